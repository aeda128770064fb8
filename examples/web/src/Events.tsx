import type { SupabaseClient } from '@supabase/supabase-js';
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

export function Events({ supabase, version }: { supabase: SupabaseClient; version: number }) {
  const { rows, failed } = useQuery<Event>(
    () =>
      supabase
        .from('usage_events')
        .select('event_id,at,kind,feature,used_change,reserved_change')
        .order('at', { ascending: false })
        .order('event_id', { ascending: false })
        .limit(SHOWN),
    version,
  );
  return (
    <section className="card" aria-labelledby="events">
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
                <time dateTime={event.at}>{timeOf(event.at)}</time>
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

const timeOf = (at: string) =>
  new Date(at).toLocaleTimeString(undefined, {
    hour: '2-digit',
    minute: '2-digit',
    second: '2-digit',
  });
const signed = (change: number) => (change === 0 ? '·' : change > 0 ? `+${change}` : `−${-change}`);
