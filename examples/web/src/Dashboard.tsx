import { useCallback, useState } from 'react';
import type { Session } from './api.ts';
import { Events } from './Events.tsx';
import { Files } from './Files.tsx';
import { Generate } from './Generate.tsx';
import { History } from './History.tsx';
import { Paywall, type PaywallReason } from './Paywall.tsx';
import { refreshUsage, UsageIndicator, useUsage } from './UsageIndicator.tsx';
import { useQuery } from './use-query.ts';

interface PlanName {
  plan: string;
  plan_name: string;
}

export function Dashboard({ session }: { session: Session }) {
  const { supabase, user } = session;
  const [version, setVersion] = useState(0);
  const [paywall, setPaywall] = useState<PaywallReason | null>(null);
  const [news, setNews] = useState('');

  /** After each action: what it changed is shown at once. */
  const refresh = useCallback(() => {
    refreshUsage(supabase);
    setVersion((before) => before + 1);
  }, [supabase]);

  const { rows } = useUsage(supabase);
  const plans = useQuery<PlanName>(
    () => supabase.from('plan_catalog').select('plan,plan_name'),
    user,
  );
  const nameOf = (plan: string) => plans.rows?.find((row) => row.plan === plan)?.plan_name ?? plan;
  const plan = rows?.find((row) => row.subject === user)?.plan;

  const close = (upgradedTo?: string) => {
    setPaywall(null);
    if (upgradedTo) setNews(`You are on the ${nameOf(upgradedTo)} plan now.`);
    refresh();
  };

  return (
    <div className="columns">
      <h1 className="hidden">Drafts, files and usage of {user}</h1>
      <div className="column">
        <Generate session={session} onChange={refresh} onRefuse={setPaywall} />
        <Files session={session} onChange={refresh} onRefuse={setPaywall} />
      </div>
      <div className="column">
        <section className="card" aria-labelledby="plan">
          <div className="card-head">
            <h2 id="plan">Your usage</h2>
            <span className="plan" data-testid="plan">
              {plan ? nameOf(plan) : '\u00a0'}
            </span>
          </div>
          <UsageIndicator supabase={supabase} features={['ai_generation', 'export', 'kb_file']} />
        </section>
        <History supabase={supabase} version={version} />
        <Events supabase={supabase} version={version} />
      </div>
      <p className="hidden" role="status">
        {news}
      </p>
      {paywall && <Paywall session={session} reason={paywall} nameOf={nameOf} onClose={close} />}
    </div>
  );
}
