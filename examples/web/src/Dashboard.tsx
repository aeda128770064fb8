import { Paywall, type Refused, UsageIndicator, usePlans, useUsage } from 'pgquota/react';
import { useState } from 'react';
import { type Session, upgrade } from './api.ts';
import { Events } from './Events.tsx';
import { Files } from './Files.tsx';
import { Generate } from './Generate.tsx';
import { History } from './History.tsx';
import { Included } from './Included.tsx';
import { Team } from './Team.tsx';

export const FEATURES = ['ai_generation', 'export', 'kb_file'];
/** Switches and values. */
export const INCLUDED = ['sso', 'max_context'];

export function Dashboard({ session }: { session: Session }) {
  const { supabase, user } = session;
  const [refused, setRefused] = useState<Refused | null>(null);
  const [news, setNews] = useState('');
  const { plan, refresh } = useUsage();
  const { nameOf } = usePlans();

  return (
    <div className="parts">
      <h1 className="hidden">Drafts, files and usage of {user}</h1>
      <Generate session={session} onRefuse={setRefused} />
      <section className="card" aria-labelledby="usage">
        <div className="card-head">
          <h2 id="usage">Your usage</h2>
          <a className="plan" href="/settings/billing" data-testid="plan" title="Your plan">
            {plan === null ? '\u00a0' : nameOf(plan)}
          </a>
        </div>
        <UsageIndicator features={FEATURES} onUpgrade={({ feature }) => setRefused({ feature })} />
        <Included features={INCLUDED} />
      </section>
      <Team session={session} team="demo-team" />
      <Files session={session} onRefuse={setRefused} />
      <History supabase={supabase} />
      <Events supabase={supabase} />
      <p className="hidden" role="status">
        {news}
      </p>
      <Paywall
        refused={refused}
        onUpgrade={(wanted) => upgrade(session, wanted)}
        onClose={(why, wanted) => {
          setRefused(null);
          if (why === 'room') setNews('There is room again.');
          if (wanted) setNews(`You are on the ${nameOf(wanted)} plan now.`);
          refresh();
        }}
      />
    </div>
  );
}
