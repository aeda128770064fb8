import type { SupabaseClient } from '@supabase/supabase-js';
import { Bar, BarChart, CartesianGrid, ReferenceLine, Tooltip, XAxis, YAxis } from 'recharts';
import { useQuery } from './use-query.ts';

interface Period {
  period_start: string;
  used: number;
  limit: number | null;
}

const SHOWN = 6;

export function History({ supabase, version }: { supabase: SupabaseClient; version: number }) {
  const { rows, failed } = useQuery<Period>(
    () =>
      supabase
        .from('usage_history')
        .select('period_start,used,limit')
        .eq('feature', 'ai_generation')
        .eq('period', 'month')
        .order('period_start', { ascending: false })
        .limit(SHOWN),
    version,
  );
  const periods = rows?.toReversed() ?? [];
  const limit = periods.at(-1)?.limit;
  return (
    <section className="card" aria-labelledby="history">
      <div className="card-head">
        <h2 id="history">AI generations by month</h2>
        {typeof limit === 'number' && <small className="limit">limit {limit}</small>}
      </div>
      <div className="chart" aria-hidden>
        {periods.length > 0 && (
          <BarChart
            responsive
            accessibilityLayer={false}
            data={periods}
            margin={{ top: 8, right: 0, bottom: 0, left: -24 }}
            style={{ width: '100%', height: '100%' }}
          >
            <CartesianGrid vertical={false} stroke="var(--line)" />
            <XAxis
              dataKey="period_start"
              tickFormatter={monthOf}
              tickLine={false}
              axisLine={false}
              tick={{ fill: 'var(--quiet)', fontSize: 12 }}
            />
            <YAxis
              allowDecimals={false}
              tickLine={false}
              axisLine={false}
              tick={{ fill: 'var(--quiet)', fontSize: 12 }}
            />
            {typeof limit === 'number' && (
              <ReferenceLine
                y={limit}
                ifOverflow="extendDomain"
                stroke="var(--bad)"
                strokeDasharray="4 4"
              />
            )}
            <Tooltip
              cursor={{ fill: 'var(--hover)' }}
              labelFormatter={(start) => dayOf(String(start))}
              contentStyle={{
                background: 'var(--card)',
                border: '1px solid var(--line)',
                borderRadius: 8,
              }}
            />
            <Bar
              dataKey="used"
              name="Used"
              fill="var(--accent)"
              radius={[4, 4, 0, 0]}
              maxBarSize={36}
              isAnimationActive={false}
            />
          </BarChart>
        )}
        {rows?.length === 0 && <p className="empty">Nothing was used yet.</p>}
      </div>
      <div className="hidden">
        <table>
          <caption>AI generations by month</caption>
          <thead>
            <tr>
              <th scope="col">From</th>
              <th scope="col">Used</th>
              <th scope="col">Limit</th>
            </tr>
          </thead>
          <tbody>
            {periods.map((period) => (
              <tr key={period.period_start}>
                <th scope="row">{dayOf(period.period_start)}</th>
                <td>{period.used}</td>
                <td>{period.limit ?? 'unlimited'}</td>
              </tr>
            ))}
          </tbody>
        </table>
      </div>
      {failed && <p role="alert">The history cannot be shown at the moment.</p>}
    </section>
  );
}

const monthOf = (start: string) =>
  new Date(start).toLocaleDateString(undefined, { month: 'short' });
const dayOf = (start: string) =>
  new Date(start).toLocaleDateString(undefined, {
    day: 'numeric',
    month: 'short',
    year: 'numeric',
  });
