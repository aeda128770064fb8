/** One subject, whole: all of it in one snapshot. */
import pg from 'pg';
import type { Query } from './database.ts';
import { instant, LINES } from './ledger.ts';
import { ALERTS, HOLDS } from './overview.ts';
import { refusalOf } from './refusal.ts';
import type { Limit, Moment, Refusal, Subject } from './shapes.ts';

const EXPLAINED = `
  select e.feature, e.subject, e.plan, e.period, e.source, e."limit", e.used, e.reserved, e.remaining,
    e.unlimited, e.granted, e.resets_at, e.refuses, e.retry_after, e.top_up, e.plans, e.projected,
    e.exhausted_at, e.carried, e.mode, e.ceiling, e.member
  from quota.features as f
  cross join lateral public.explain_usage(f.feature_id, 1, $1) as e
  where f.kind in ('metered', 'gauge') and e.feature = f.feature_id
  order by f.feature_id, e.source = 'grant', e.period is null`;

/** For who may not ask: what the last calls left in the counters. */
const STORED = `
  select feature, subject, null as plan, period, 'last call' as source, "limit", used, reserved, remaining,
    unlimited, 0 as granted, resets_at, status in ('at_limit', 'over_limit') as refuses,
    null as retry_after, null as top_up, null as plans, null as projected, null as exhausted_at,
    0 as carried, null as mode, null as ceiling, null as member
  from public.usage_overview
  where subject = $1
  order by feature, period`;

/** A refusal ends the transaction; a savepoint keeps the rest of the page. */
export async function readLimits(
  query: Query,
  subject: string,
): Promise<{ limits: Limit[]; refused: Refusal | null }> {
  await query('savepoint limits');
  try {
    const limits = await query<Limit>(EXPLAINED, [subject]);
    // Lines that are written within it would not be this transaction's own.
    await query('release savepoint limits');
    return { limits, refused: null };
  } catch (error) {
    if (!(error instanceof pg.DatabaseError) || error.code !== '42501') throw error;
    await query('rollback to savepoint limits');
    return { limits: await query<Limit>(STORED, [subject]), refused: refusalOf(error).refusal };
  }
}

/** What members may take of what it has: of those that a call has met, or that were set. */
export const CAPS = `
  select feature, subject, period, 'cap' as source, "limit", used, reserved, remaining, unlimited,
    null as mode, member, resets_at
  from public.current_usage
  where subject = $1 and member is not null
  order by member, feature, period`;

export const GRANTS = `
  select grant_id, feature_id as feature, amount, drawn,
    case when voided_at is null and expires_at > quota.clock() then amount - drawn else 0 end as left,
    granted_at, expires_at, metadata,
    case
      when voided_at is not null then 'void'
      when expires_at <= quota.clock() then 'expired'
      when drawn = amount then 'spent'
      else 'open'
    end as state
  from quota.grants
  where subject_id = $1`;

/**
 * What the terms were: the lines without a feature, which an index has together, and those of limits, grants
 * and fresh starts among the latest ones.
 */
const HISTORY = `
  ${LINES}
  where e.subject_id = $1 and e.event_id in (
    select w.event_id
    from (
      select l.event_id
      from quota.events as l
      where l.subject_id = $1 and l.feature_id is null
      offset 0
    ) as w
    union all
    select n.event_id
    from (
      select l.event_id, l.kind
      from quota.events as l
      where l.subject_id = $1
      order by l.at desc
      limit 20000
    ) as n
    where n.kind in ('limit', 'grant', 'void', 'reset')
  )
  order by e.at desc, e.event_id desc
  limit 60`;

/** Ids in the ledger of a subject are counted up to here. */
const MOST_COUNTED = 10_000;

export async function readSubject(query: Query, subject: string): Promise<Subject> {
  const one = [subject];
  const [row] = await query(
    `select subject_id, plan_id as put_on, plan_ends_at, anchor_at, time_zone, parent_id
     from quota.subjects where subject_id = $1`,
    one,
  );
  const [{ at }] = (await query('select quota.clock() as at')) as [{ at: string }];
  const parents = await query(
    `with recursive levels as (
       select s.parent_id, 1 as n from quota.subjects as s where s.subject_id = $1
       union all
       select s.parent_id, l.n + 1
       from levels as l join quota.subjects as s on s.subject_id = l.parent_id
       where l.n < 5
     )
     select parent_id as id from levels where parent_id is not null order by n`,
    one,
  );
  const children = await query(
    'select subject_id as id from quota.subjects where parent_id = $1 order by subject_id limit 100',
    one,
  );
  const members = await query(
    'select user_id as id from quota.members where subject_id = $1 order by user_id limit 100',
    one,
  );
  const organisations = await query(
    'select subject_id as id from quota.members where user_id = $1 order by subject_id limit 100',
    one,
  );
  const { limits, refused } = await readLimits(query, subject);
  const [named] = await query(
    `select plan_id from quota.plans where is_default and $1::text is null`,
    [row?.parent_id ?? null],
  );
  const hasEnded = row?.plan_ends_at && new Date(row.plan_ends_at) <= new Date(at);
  return {
    subject,
    isKnown: row !== undefined,
    at,
    plan:
      limits.find(({ plan }) => plan)?.plan ??
      ((hasEnded ? null : row?.put_on) || named?.plan_id) ??
      null,
    put_on: row?.put_on ?? null,
    plan_ends_at: row?.plan_ends_at ?? null,
    anchor_at: row?.anchor_at ?? null,
    time_zone: row?.time_zone ?? 'UTC',
    parents: idsOf(parents),
    children: idsOf(children),
    members: idsOf(members),
    organisations: idsOf(organisations),
    limits: limits.filter(({ source }) => source !== 'grant'),
    limitsRefused: refused,
    entitlements: refused
      ? []
      : await query(
          `select feature, kind, enabled, value from public.entitlements where subject = $1 order by feature`,
          one,
        ),
    caps: refused ? [] : await query(`${CAPS} limit 200`, one),
    exceptions: await query(
      `select feature_id as feature, period, amount as "limit", ends_at,
         nullif(split_part(subject_id, chr(31), 2), '') as member
       from quota.exceptions
       where (subject_id = $1 or subject_id > $1 || chr(31) and subject_id < $1 || chr(32))
         and ends_at > quota.clock()
       order by 5 nulls first, 1, 2`,
      one,
    ),
    grants: await query(`${GRANTS} order by granted_at desc limit 50`, one),
    holds: await query(
      `select * from (
         (${HOLDS} and subject_id = $1 and state = 'open' order by reserved_at limit 50)
         union
         (${HOLDS} and subject_id = $1 order by reservation_id desc limit 10)
       ) as h order by state <> 'open', reserved_at desc`,
      one,
    ),
    alerts: await query(`${ALERTS} and subject_id = $1 order by alert_id desc limit 20`, one),
    history: await query(HISTORY, one),
    lines: (
      await query(
        `select count(*) as lines from (
           select from quota.events where subject_id = $1 limit ${MOST_COUNTED}
         ) as l`,
        one,
      )
    )[0]?.lines,
  };
}

const idsOf = (rows: { id: string }[]) => rows.map(({ id }) => id);

/**
 * "I was blocked at 10:42." A refusal writes nothing; but what had been used by then is in the ledger, so
 * whether there was room can be said. For each limit: its period then, and what counted in it by the end of
 * that minute.
 */
export async function readMoment(
  query: Query,
  asked: { subject: string; at: string },
): Promise<Moment> {
  const from = new Date(instant(asked.at));
  from.setUTCSeconds(0, 0);
  const until = new Date(from.getTime() + 60_000);
  const { limits } = await readLimits(query, asked.subject);
  const own = limits.filter(
    ({ period, source }) => period && !period.includes(' ') && source !== 'grant',
  );
  // Of the levels above, too: a use counts for each of them, in its own periods.
  const found = await query(
    `select l.feature, l.subject, l.period, p.period_start, p.resets_at, l."limit",
       coalesce(u.used, 0) as used, coalesce(u.reserved, 0) as reserved, c.last_limit as "limitThen",
       l.mode, l.ceiling,
       (
         select coalesce(sum(g.amount), 0)
         from quota.grants as g
         where g.subject_id = l.subject and g.feature_id = l.feature
           and g.granted_at >= $3 and g.voided_at is null
       ) as "grantedSince"
     from jsonb_to_recordset($1) as l (
       feature text, subject text, period text, "limit" bigint, mode text, ceiling bigint
     )
     left join quota.subjects as s on s.subject_id = l.subject
     cross join lateral quota.period_of(l.period, $2, s.anchor_at, coalesce(s.time_zone, 'UTC')) as p
     left join lateral (
       select sum(e.used_change) as used, sum(e.reserved_change) as reserved
       from quota.events as e
       where e.subject_id = l.subject and e.feature_id = l.feature
         and e.counts_at >= p.period_start and e.counts_at < least(p.resets_at, $3)
         and e.at < $3
     ) as u on true
     left join quota.counters as c
       on c.subject_id = l.subject and c.feature_id = l.feature and c.period_end > $2
         and c.period = l.period and c.period_start <= $2`,
    [JSON.stringify(own), from.toISOString(), until.toISOString()],
  );
  const lines = (where: string, order: string, values: unknown[]) =>
    query(`${LINES} where e.subject_id = $1 and ${where} order by ${order} limit 20`, [
      asked.subject,
      ...values,
    ]);
  return {
    from: from.toISOString(),
    until: until.toISOString(),
    limits: found.map(({ mode, ceiling, grantedSince, ...limit }) => {
      const lifted = /minute|hour/.test(limit.period) ? 0 : grantedSince;
      // With what was granted since, a limit of now says nothing of then.
      const limitThen =
        lifted > 0 ? limit.limit && limit.limit - lifted : (limit.limitThen ?? limit.limit);
      // Past a soft limit there is room, up to its ceiling; past one in shadow always.
      const most = mode === 'shadow' ? null : mode === 'soft' ? ceiling : limitThen;
      return { ...limit, limitThen, wasFull: most !== null && limit.used + limit.reserved >= most };
    }),
    changes: await lines(
      `e.at >= $2 and e.kind in ('plan', 'limit', 'grant', 'void', 'reset', 'parent', 'merge')`,
      'e.at',
      [from.toISOString()],
    ),
    before: await lines('e.at < $2', 'e.at desc, e.event_id desc', [from.toISOString()]),
    within: await lines('e.at >= $2 and e.at < $3', 'e.at desc, e.event_id desc', [
      from.toISOString(),
      until.toISOString(),
    ]),
    after: await lines('e.at >= $2', 'e.at, e.event_id', [until.toISOString()]),
  };
}
