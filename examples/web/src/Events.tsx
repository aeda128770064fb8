import type { SupabaseClient } from '@supabase/supabase-js';
import { useUsage, useUsageFormat } from 'pgquota/react';
import { useQuery } from './use-query.ts';

interface Event {
  event_id: string;
  at: string;
  kind: string;
  feature: string | null;
  used_change: number;
  reserved_change: number;
}

const SHOWN = 8;

/** Read anew with each answer about usage: both show the same moment. */
export function Events({ supabase }: { supabase: SupabaseClient }) {
  const { answeredAt } = useUsage();
  const { time, number } = useUsageFormat();
  const signed = (change: number) =>
    change === 0 ? '·' : `${change > 0 ? '+' : '−'}${number(Math.abs(change))}`;
  const { rows, failed } = useQuery<Event>(
    () =>
      supabase
        .from('usage_events')
        .select('event_id,at,kind,feature,used_change,reserved_change')
        .order('at', { ascending: false })
        .order('event_id', { ascending: false })
        .limit(SHOWN),
    answeredAt,
  );
  return (
    <section className="card wide" aria-labelledby="events">
      <div className="card-head">
        <h2 id="events">Latest events</h2>
      </div>
      <table className="events">
        <thead>
          <tr>
            <th scope="col">When</th>
            <th scope="col">What</th>
            <th scope="col">Used</th>
            <th scope="col">Held</th>
          </tr>
        </thead>
        <tbody>
          {rows?.map((event) => (
            <tr key={event.event_id}>
              <td>
                <time dateTime={event.at}>{time(Date.parse(event.at))}</time>
              </td>
              <td>
                {event.kind} <small>{event.feature}</small>
              </td>
              <td>{signed(event.used_change)}</td>
              <td>{signed(event.reserved_change)}</td>
            </tr>
          ))}
        </tbody>
      </table>
      {rows?.length === 0 && <p className="empty">The ledger is empty.</p>}
      {failed && <p role="alert">The events cannot be shown at the moment.</p>}
    </section>
  );
}
