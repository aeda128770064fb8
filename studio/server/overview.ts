/**
 * What was used lately, from the ledger. It has no index by time, but the ids of its lines begin with the
 * time; so a bucket is one range of an index. A bucket that is over is read once: buckets are kept, and a long
 * ledger is read as far as there is time, the newest first, and further with the next look.
 */
import type { Query } from './database.ts';
import type { Attention, Unit, UsageBucket, UsageOverview } from './shapes.ts';

const BUCKETS: Record<Unit, number> = { hour: 24, day: 30, month: 12 };
/** Milliseconds that one look may read for. */
const PATIENCE = 2_500;
/** Lines that come late, of calls whose transaction took long. */
const SETTLED_AFTER = 10 * 60_000;

const COUNTED = `
  select feature_id as feature, count(*) as lines,
    sum(used_change) as used,
    -coalesce(sum(used_change) filter (where kind in ('refund', 'return')), 0) as returned
  from quota.events
  where event_id >= $1::uuid and event_id < $2::uuid
    and feature_id is not null
    -- What caps of members count stands in the lines of their organisations, too.
    and strpos(subject_id, chr(31)) = 0
    and kind in ('consume', 'batch', 'commit', 'cost', 'table', 'refund', 'return')
  group by feature_id`;

type Sums = NonNullable<UsageBucket['features']>;
type Kept = Map<string, Sums>;
export const createKept = (): Kept => new Map();

export async function readUsage(query: Query, unit: Unit, kept: Kept): Promise<UsageOverview> {
  const now = await readClock(query);
  const look = { query, kept, now, until: performance.now() + PATIENCE };
  const starts = startsOf(unit, now);
  const buckets: UsageBucket[] = [];
  for (const from of starts.toReversed()) {
    buckets.unshift({ from: from.toISOString(), features: await readBucket(look, unit, from) });
  }
  const since = starts[0] as Date;
  const reached = await query(
    `select feature, count(*) as times
     from (
       select feature_id as feature, threshold, at
       from quota.alerts
       where acknowledged_at is null and alert_id >= $1::uuid and strpos(subject_id, chr(31)) = 0
       union all
       select feature_id, threshold, at from quota.alerts
       where acknowledged_at >= $2 and at >= $2 and strpos(subject_id, chr(31)) = 0
     ) as a
     where threshold = 100 and at >= $2
     group by feature`,
    [idOf(since), since.toISOString()],
  );
  const shadow = await query(
    `select feature_id as feature, count(distinct event_id) as times
     from quota.overages
     where mode = 'shadow' and units > 0 and event_id >= $1::uuid and strpos(subject_id, chr(31)) = 0
     group by feature_id`,
    [idOf(since)],
  );
  return {
    unit,
    buckets,
    isComplete: buckets.every(({ features }) => features !== null),
    reached: Object.fromEntries(reached.map(({ feature, times }) => [feature, times])),
    shadow: Object.fromEntries(shadow.map(({ feature, times }) => [feature, times])),
  };
}

interface Look {
  query: Query;
  kept: Kept;
  now: Date;
  /** By performance.now(): no more is read after it. */
  until: number;
}

async function readBucket(look: Look, unit: Unit, from: Date): Promise<Sums | null> {
  const { query, kept, now, until } = look;
  const end = next(unit, from);
  const name = `${unit} ${from.toISOString()}`;
  const known = kept.get(name);
  if (known) return known;
  let sums: Sums | null;
  if (unit === 'month') sums = await addDays(look, from, end);
  else if (performance.now() > until) return null;
  else {
    const rows = await query(COUNTED, [idOf(from), idOf(end)]);
    sums = Object.fromEntries(rows.map(({ feature, ...counts }) => [feature, counts]));
  }
  if (sums && end.getTime() < now.getTime() - SETTLED_AFTER) kept.set(name, sums);
  return sums;
}

/** A month may be more than can be read at one go; its days are kept, whether or not all of them are there yet. */
async function addDays(look: Look, from: Date, end: Date): Promise<Sums | null> {
  const all: Sums = {};
  for (let day = from; day < end && day <= look.now; day = next('day', day)) {
    const sums = await readBucket(look, 'day', day);
    if (!sums) return null;
    for (const [feature, { used, lines, returned }] of Object.entries(sums)) {
      const sum = all[feature] ?? { used: 0, lines: 0, returned: 0 };
      all[feature] = {
        used: sum.used + used,
        lines: sum.lines + lines,
        returned: sum.returned + returned,
      };
    }
  }
  return all;
}

export async function readClock(query: Query): Promise<Date> {
  const [{ now }] = (await query('select quota.clock() as now')) as [{ now: string }];
  return new Date(now);
}

/** The first id of a millisecond: ids are uuids of version 7. */
export function idOf(at: Date): string {
  const hex = Math.max(0, at.getTime()).toString(16).padStart(12, '0');
  return `${hex.slice(0, 8)}-${hex.slice(8)}-0000-0000-000000000000`;
}

/** Hours, days and months of UTC, the oldest first, the running one last. */
export function startsOf(unit: Unit, now: Date, count = BUCKETS[unit]): Date[] {
  const [year, month, day, hour] = [
    now.getUTCFullYear(),
    now.getUTCMonth(),
    now.getUTCDate(),
    now.getUTCHours(),
  ];
  return Array.from({ length: count }, (_, n) => {
    const ago = count - 1 - n;
    if (unit === 'hour') return new Date(Date.UTC(year, month, day, hour - ago));
    if (unit === 'day') return new Date(Date.UTC(year, month, day - ago));
    return new Date(Date.UTC(year, month - ago, 1));
  });
}

const next = (unit: Unit, from: Date) =>
  startsOf(unit, from, 1).map((start) => {
    if (unit === 'hour') return new Date(start.getTime() + 3_600_000);
    if (unit === 'day') return new Date(start.getTime() + 86_400_000);
    return new Date(Date.UTC(start.getUTCFullYear(), start.getUTCMonth() + 1, 1));
  })[0] as Date;

/** Index reservations_open holds open ones alone: this walks over them, and over nothing else. */
export const HOLDS = `
  select subject_id as subject, reservation_id, feature_id as feature, amount, reserved_at, expires_at,
    state, actor, expires_at <= quota.clock() as is_overdue
  from quota.reservations
  where strpos(subject_id, chr(31)) = 0`;

export const ALERTS = `
  select subject_id as subject, feature_id as feature, period, threshold, at, used, amount as "limit"
  from quota.alerts
  where strpos(subject_id, chr(31)) = 0`;

export async function readAttention(query: Query): Promise<Attention> {
  const holds = await query(`${HOLDS} and state = 'open' order by reserved_at limit 8`);
  // What nobody has been told of is in an index by time; what was delivered is found by when it was.
  const alerts = await query(
    `select * from (
       (${ALERTS} and acknowledged_at is null order by alert_id desc limit 8)
       union all
       (${ALERTS} and acknowledged_at is not null order by acknowledged_at desc limit 8)
     ) as a
     order by at desc limit 8`,
  );
  const [{ undelivered }] = (await query(
    'select count(*) as undelivered from quota.alerts where acknowledged_at is null',
  )) as [{ undelivered: number }];
  const growth = await query(
    `select c.relname as "table", pg_total_relation_size(c.oid) as bytes,
       greatest(s.n_live_tup, 0) as rows
     from pg_class as c
     join pg_stat_user_tables as s on s.relid = c.oid
     where c.relnamespace = 'quota'::regnamespace
     order by bytes desc limit 5`,
  );
  const [{ subjects }] = (await query('select count(*) as subjects from quota.subjects')) as [
    { subjects: number },
  ];
  return { holds, alerts, undelivered, growth, subjects };
}
