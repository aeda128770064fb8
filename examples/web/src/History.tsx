import type { SupabaseClient } from '@supabase/supabase-js';
import { useUsage, useUsageFormat } from 'pgquota/react';
import { useQuery } from './use-query.ts';

interface Period {
  period_start: string;
  used: number;
  limit: number | null;
}

const SHOWN = 6;

/** A table that draws itself: each row has its bar, and a mark where the limit of that month was. */
export function History({ supabase }: { supabase: SupabaseClient }) {
  const { answeredAt, timeZone } = useUsage();
  const { month, day, number } = useUsageFormat();
  const { rows, failed } = useQuery<Period>(
    () =>
      supabase
        .from('usage_history')
        .select('period_start,used,limit')
        .eq('feature', 'ai_generation')
        .eq('period', 'month')
        .order('period_start', { ascending: false })
        .limit(SHOWN),
    answeredAt,
  );
  const periods = rows?.toReversed() ?? [];
  const largest = Math.max(1, ...periods.flatMap(({ used, limit }) => [used, limit ?? 0]));
  const share = (amount: number) => `${(100 * amount) / largest}%`;
  return (
    <section className="card" aria-labelledby="history">
      <div className="card-head">
        <h2 id="history">AI generations by month</h2>
        {periods.some(({ limit }) => limit !== null) && <small className="limit">limit</small>}
      </div>
      {periods.length > 0 && (
        <table className="history">
          <caption className="hidden">AI generations by month</caption>
          <thead className="hidden">
            <tr>
              <th scope="col">From</th>
              <th scope="col">Used</th>
              <th scope="col">Limit</th>
            </tr>
          </thead>
          <tbody>
            {periods.map(({ period_start, used, limit }) => (
              <tr key={period_start}>
                <th scope="row" title={day(period_start, timeZone)}>
                  {month(period_start, timeZone)}
                </th>
                <td>
                  <span className="bar" aria-hidden>
                    <span style={{ inlineSize: share(used) }} />
                    {limit !== null && <i style={{ insetInlineStart: share(limit) }} />}
                  </span>
                  {number(used)}
                </td>
                <td className="hidden">{limit === null ? 'unlimited' : number(limit)}</td>
              </tr>
            ))}
          </tbody>
        </table>
      )}
      {rows?.length === 0 && <p className="empty">Nothing was used yet.</p>}
      {failed && <p role="alert">The history cannot be shown at the moment.</p>}
    </section>
  );
}
