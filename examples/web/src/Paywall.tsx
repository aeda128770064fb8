import { useEffect, useRef, useState } from 'react';
import { type Session, upgrade } from './api.ts';
import { formatInstant } from './UsageIndicator.tsx';
import { useQuery } from './use-query.ts';

/** What was refused. */
export interface PaywallReason {
  feature: string;
  amount: number;
}

interface Explanation {
  period: string | null;
  limit: number | null;
  used: number;
  reserved: number;
  remaining: number | null;
  resets_at: string | null;
  refuses: boolean;
  retry_after: number | null;
  plans: string[] | null;
  plan: string | null;
}

interface Offer {
  plan: string;
  feature: string;
  feature_name: string;
  unit: string;
  period: string;
  limit: number | null;
}

interface PaywallProps {
  session: Session;
  reason: PaywallReason;
  nameOf(plan: string): string;
  onClose(upgradedTo?: string): void;
}

/** All it says comes from explain_usage(): what was used, when it resets, which plan would allow it. */
export function Paywall({ session, reason, nameOf, onClose }: PaywallProps) {
  const { supabase } = session;
  const dialog = useRef<HTMLDialogElement>(null);
  const upgradedTo = useRef<string>(undefined);
  const [paying, setPaying] = useState<string | null>(null);
  const [failure, setFailure] = useState('');
  const explained = useQuery<Explanation>(
    () => supabase.rpc('explain_usage', { feature: reason.feature, amount: reason.amount }),
    reason,
  );
  const catalog = useQuery<Offer>(
    () => supabase.from('plan_catalog').select('plan,feature,feature_name,unit,period,limit'),
    reason,
  );
  useEffect(() => {
    dialog.current?.showModal();
  }, []);

  const refusing = explained.rows?.find((row) => row.refuses) ?? explained.rows?.[0];
  const offers = catalog.rows?.filter((row) => row.feature === reason.feature) ?? [];
  const [about] = offers;
  // Plans that allow the same here differ elsewhere: the one with fewer unlimited features comes first.
  const size = (plan: string) =>
    catalog.rows?.filter((row) => row.plan === plan && row.limit === null).length ?? 0;
  const plans = refusing?.plans?.toSorted((a, b) => size(a) - size(b));

  async function pay(plan: string) {
    setPaying(plan);
    try {
      await upgrade(session, plan);
      upgradedTo.current = plan;
      dialog.current?.close(); // gives the focus back to where it was
    } catch (error) {
      setFailure((error as Error).message);
      setPaying(null);
    }
  }

  return (
    <dialog
      ref={dialog}
      className="paywall"
      aria-labelledby="paywall"
      onClose={() => onClose(upgradedTo.current)}
    >
      <h2 id="paywall">{about ? `No room for ${count(reason.amount, about.unit)}` : '\u00a0'}</h2>
      <p className="why">{refusing && why(refusing)}</p>
      {plans?.length === 0 && <p>No other plan allows that much at once.</p>}
      <ul className="offers">
        {plans?.map((plan, at) => (
          <li key={plan}>
            <span>
              <strong>{nameOf(plan)}</strong>
              {offers
                .filter((row) => row.plan === plan)
                .map((row) => (
                  <small key={row.period}>
                    {row.limit === null ? 'Unlimited' : row.limit.toLocaleString()}{' '}
                    {about?.feature_name}
                    {row.period !== 'lifetime' && ` per ${row.period}`}
                  </small>
                ))}
            </span>
            <button
              type="button"
              className={at === 0 ? 'main' : undefined}
              disabled={paying !== null}
              onClick={() => pay(plan)}
            >
              {paying === plan ? 'One moment …' : `Upgrade to ${nameOf(plan)}`}
            </button>
          </li>
        ))}
      </ul>
      <p className="status" role="alert">
        {explained.failed ? 'The reason cannot be shown at the moment.' : failure}
      </p>
      <button type="button" className="quiet" onClick={() => dialog.current?.close()}>
        Not now
      </button>
    </dialog>
  );
}

function why({ used, reserved, limit, remaining, period, resets_at, plan }: Explanation): string {
  if (period === null) return `It is not part of the ${plan ?? 'present'} plan.`;
  const held = reserved > 0 ? ` and ${reserved} are reserved` : '';
  const when = period === 'lifetime' ? '' : ` this ${period}`;
  const left = remaining ? ` ${remaining} left.` : '';
  const reset = resets_at
    ? ` It starts again at 0 on ${formatInstant(resets_at)}.`
    : ' It does not reset: deleting makes room.';
  return `You have used ${used} of ${limit}${held}${when}.${left}${reset}`;
}

const count = (amount: number, unit: string) =>
  amount === 1 ? `one more ${unit}` : `${amount} more ${unit}s`;
