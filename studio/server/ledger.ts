/** Lines of the ledger: of a subject, newest first, a page at a time; of everybody, as they come. */
import { fromCursor, type Query } from './database.ts';
import { idOf, readClock, startsOf } from './overview.ts';
import { Bad } from './refusal.ts';
import type { ChartOf, LedgerLine, Page, Unit } from './shapes.ts';
import { PAGE, paged } from './subjects.ts';

/** With how far each went past limits, shadows included. */
export const LINES = `
  select e.subject_id as subject, e.event_id, e.at, e.kind, e.feature_id as feature, e.counts_at,
    e.used_change, e.reserved_change, e.drawn_change, e.about_id, e.grant_id, e.actor, e.idempotency_key,
    e.metadata,
    (
      select jsonb_object_agg(o.period, o.units)
      from quota.overages as o
      where o.subject_id = e.subject_id
        and o.event_id = case e.kind when 'reserve' then e.about_id else e.event_id end
    ) as over
  from quota.events as e`;

export async function readLedger(
  query: Query,
  asked: {
    subject: string;
    feature?: string;
    kind?: string;
    actor?: string;
    from?: string;
    until?: string;
    before?: string;
  },
): Promise<Page<LedgerLine>> {
  const values: unknown[] = [asked.subject];
  const value = (one: unknown) => `$${values.push(one)}`;
  const where = ['e.subject_id = $1'];
  if (asked.feature) where.push(`e.feature_id = ${value(asked.feature)}`);
  if (asked.kind) where.push(`e.kind = any (${value(asked.kind.split(','))})`);
  if (asked.actor) where.push(`e.actor = ${value(asked.actor)}`);
  if (asked.from) where.push(`e.at >= ${value(instant(asked.from))}`);
  if (asked.until) where.push(`e.at < ${value(instant(asked.until))}`);
  if (asked.before) {
    const [at, id] = fromCursor(asked.before, 2);
    where.push(`(e.at, e.event_id) < (${value(at)}::timestamptz, ${value(id)}::uuid)`);
  }
  const rows = await query<LedgerLine>(
    `${LINES} where ${where.join(' and ')} order by e.at desc, e.event_id desc limit ${PAGE + 1}`,
    values,
  );
  return paged(rows, ({ at, event_id }) => [at, event_id]);
}

export function instant(text: string): string {
  const at = new Date(text);
  if (Number.isNaN(at.getTime())) throw new Bad(`${text.slice(0, 40)} is no instant`);
  return at.toISOString();
}

/** What one feature of a subject used, by the time in which it counts: an index range of its lines. */
export async function readChart(
  query: Query,
  asked: { subject: string; feature: string; unit: Unit },
): Promise<ChartOf> {
  const starts = startsOf(asked.unit, await readClock(query));
  const rows = await query<{ from: number; used: number; lines: number }>(
    `select width_bucket(e.counts_at, $3::timestamptz[]) as "from", sum(e.used_change) as used,
       count(*) as lines
     from quota.events as e
     where e.subject_id = $1 and e.feature_id = $2
       and e.counts_at >= ($3::timestamptz[])[1]
       and e.used_change <> 0
       and e.kind not in ('carry', 'reset')
     group by 1`,
    [asked.subject, asked.feature, starts],
  );
  const sums = new Map(rows.map((row) => [row.from, row]));
  return {
    unit: asked.unit,
    buckets: starts.map((from, n) => ({
      from: from.toISOString(),
      used: sums.get(n + 1)?.used ?? 0,
      lines: sums.get(n + 1)?.lines ?? 0,
    })),
  };
}

/** How far back each look goes: a line of a call that was long under way comes after younger ones. */
const LATE = 20_000;
const MOST_LIVE = 300;

/** The ledger's end, by its ids, which begin with the time. */
export async function readLive(
  query: Query,
  asked: { since?: string },
): Promise<{ lines: LedgerLine[]; now: string; isCut: boolean }> {
  const now = await readClock(query);
  const since = asked.since ? new Date(instant(asked.since)) : undefined;
  const lines = await query<LedgerLine>(
    `${LINES} where e.event_id >= $1::uuid and strpos(e.subject_id, chr(31)) = 0 order by e.event_id desc limit ${MOST_LIVE}`,
    [since ? idOf(new Date(since.getTime() - LATE)) : idOf(new Date(0))],
  );
  return {
    lines: since ? lines : lines.slice(0, 50),
    now: now.toISOString(),
    isCut: since !== undefined && lines.length === MOST_LIVE,
  };
}
