/**
 * Helpers for the tests of an app: fill up a limit, move the clock, begin anew. They need a throwaway
 * database and the owner of schema quota; see docs/testing.md.
 */
import type pg from 'pg';
import { connect, findDatabaseUrl } from '../cli/database.ts';
import { Problem } from '../cli/problem.ts';
import { openClock } from './clock.ts';
import { hostOf, refuseDatabase, refuseHost } from './throwaway.ts';

export type LimitPeriod =
  | 'minute'
  | 'hour'
  | 'day'
  | 'week'
  | 'month'
  | 'year'
  | 'lifetime'
  /** `5 hours` */
  | `${number} ${string}`;

export interface TestUsageOptions {
  /** As the owner of schema quota. Else DATABASE_URL, also of a file .env here. */
  databaseUrl?: string;
  /** The host of a database that is not on this machine and that nobody would miss. */
  throwaway?: string;
  /** How long to wait for another session that moved the clock (default `30s`). */
  patience?: string;
}

export interface LimitOfSubject<Feature extends string = string> {
  feature: Feature;
  subject: string;
  /** Default: the longest period that is limited. */
  period?: LimitPeriod;
}

export interface TestUsage<Feature extends string = string> {
  /**
   * Uses what there is, but `leave` (default 0): the next call is refused. Limits of shorter periods are
   * left alone where they lie in the way. Gives back how much was used up.
   *
   * @throws Error when the limit is unlimited or not in the plan, or less than `leave` is left
   */
  fillUp(limit: LimitOfSubject<Feature> & { leave?: number }): Promise<number>;
  /** On by an interval (`'1 month'`, `'-2 hours'`), for all who use the database; it goes on running. */
  moveClock(by: string): Promise<Date>;
  /** Running on from an instant. */
  startClockAt(instant: Date | string): Promise<Date>;
  /** Still at an instant; at the present one without. */
  stopClock(instant?: Date | string): Promise<Date>;
  /**
   * A second into the next period of a limit, running or stopped as it was.
   *
   * @throws Error when the limit never resets
   */
  passReset(limit: LimitOfSubject<Feature>): Promise<Date>;
  /** What the database takes for now. */
  now(): Promise<Date>;
  /** The real clock again. */
  resetClock(): Promise<void>;
  /** Forgets a subject, or all of them: use, holds, grants, plans, memberships. The plan document stays. */
  reset(subject?: string): Promise<void>;
  /** Puts the clock back and ends the session. */
  close(): Promise<void>;
}

/**
 * A session for tests. A clock that an earlier run left moved is put back.
 *
 * @throws Error where the database is not on this machine and not named as throwaway, where it looks like
 *   production, or where the user is not the owner of schema quota
 */
export async function connectForTests<Feature extends string = string>(
  options: TestUsageOptions = {},
): Promise<TestUsage<Feature>> {
  const { throwaway, patience = '30s' } = options;
  const client = await open(options.databaseUrl, throwaway);
  try {
    const clock = await openClock(client, patience);
    return {
      fillUp: (limit) => fillUp(client, limit),
      moveClock: clock.move,
      startClockAt: (instant) => clock.set(instant, true),
      stopClock: (instant) => clock.set(instant),
      async passReset(limit) {
        const { resets_at, period } = await findLimit(client, limit);
        if (!resets_at) {
          throw new Error(
            `pgquota/testing: the limit of ${limit.feature} per ${period} ${period === 'lifetime' ? 'never resets' : 'is closed: its first use opens it'}.`,
          );
        }
        const { rows } = await client.query(
          `select extract(epoch from $1::timestamptz - quota.clock() + interval '1 s')::text || ' s' as wait`,
          [resets_at],
        );
        return clock.move(rows[0].wait);
      },
      now: clock.now,
      resetClock: clock.putBack,
      reset: (subject) => reset(client, subject),
      async close() {
        try {
          await clock.putBack();
        } finally {
          await client.end();
        }
      },
    };
  } catch (error) {
    await client.end();
    throw error;
  }
}

async function open(option: string | undefined, throwaway: string | undefined) {
  try {
    const url = findDatabaseUrl(option);
    const host = hostOf(url);
    refuseHost(host, throwaway);
    const client = await connect(url);
    try {
      await refuseDatabase(client, host, throwaway);
      return client;
    } catch (error) {
      await client.end();
      throw error;
    }
  } catch (error) {
    // A test runner shows the message alone.
    if (error instanceof Problem) throw new Error(`${error.message} ${error.advice ?? ''}`.trim());
    throw error;
  }
}

interface Limit {
  period: LimitPeriod;
  remaining: number | null;
  /** As text, to the microsecond. */
  resets_at: string | null;
}

/** Every limit of the subject, the longest period first. */
async function limitsOf(client: pg.ClientBase, feature: string, subject: string): Promise<Limit[]> {
  const { rows } = await client.query<Limit>(
    `select e.period, e.remaining::float8 as remaining, e.resets_at::text as resets_at
     from public.explain_usage($1, 1, $2) as e
     where e.source <> 'grant' and e.period is not null
     order by quota.period_rank(e.period) desc`,
    [feature, subject],
  );
  return rows;
}

async function findLimit(client: pg.ClientBase, wanted: LimitOfSubject): Promise<Limit> {
  const { feature, subject, period } = wanted;
  const limits = await limitsOf(client, feature, subject);
  const found = period
    ? limits.find((limit) => limit.period === period)
    : (limits.find((limit) => limit.remaining !== null) ?? limits[0]);
  if (found) return found;
  throw new Error(
    period && limits.length
      ? `pgquota/testing: ${subject} has no limit of ${feature} per ${period}, only per ${limits.map((limit) => limit.period).join(' and ')}.`
      : `pgquota/testing: the plan of ${subject} has no ${feature}.`,
  );
}

async function fillUp(
  client: pg.ClientBase,
  { leave = 0, ...wanted }: LimitOfSubject & { leave?: number },
): Promise<number> {
  const { feature, subject } = wanted;
  if (!Number.isInteger(leave) || leave < 0) {
    throw new Error(`pgquota/testing: leave is ${leave}; a whole number from 0 is expected.`);
  }
  const { period, remaining } = await findLimit(client, wanted);
  const what = `${feature} per ${period} of ${subject}`;
  if (remaining === null) {
    throw new Error(`pgquota/testing: ${what} is unlimited, it cannot be filled up.`);
  }
  const amount = remaining - leave;
  if (amount < 0) {
    throw new Error(`pgquota/testing: ${what} has only ${remaining} left, not ${leave}.`);
  }
  if (amount === 0) return 0;
  if (await consume(client, feature, subject, amount)) return amount;

  for (const longer of await limitsOf(client, feature, subject)) {
    if (longer.period === period) break;
    if (longer.remaining === null || longer.remaining >= amount) continue;
    throw new Error(
      `pgquota/testing: ${what} cannot be filled up: per ${longer.period} only ${longer.remaining} are left, not ${amount}.`,
    );
  }
  // A shorter limit is in the way. Use that began with the period is past it. A subject is listed with its
  // periods once something of it was counted.
  const one = (await consume(client, feature, subject, 1)) ? 1 : 0;
  const { rows } = await client.query(
    `select i.problem
     from public.current_usage as u
     cross join lateral quota.import_usage(pg_catalog.jsonb_build_array(pg_catalog.jsonb_build_object(
       'subject', u.subject, 'feature', u.feature, 'amount', $4::bigint, 'period_start',
       -- At a moment of its own: what was brought in before is known by its moment.
       u.period_start + pg_catalog.random() * least(
         interval '1 s', (quota.clock() - u.period_start) / 2
       )
     ))) as i
     where u.subject = $2 and u.feature = $1 and u.period = $3 and to_jsonb(u) ->> 'member' is null`,
    [feature, subject, period, amount - one],
  );
  const left = (await findLimit(client, wanted)).remaining;
  if (left !== leave) {
    throw new Error(
      `pgquota/testing: ${what} could not be filled up, ${left} are left${rows[0]?.problem ? `: ${rows[0].problem}` : ''}.`,
    );
  }
  return amount;
}

async function consume(
  client: pg.ClientBase,
  feature: string,
  subject: string,
  amount: number,
): Promise<boolean> {
  const { rows } = await client.query(
    `select d.allowed from public.consume_usage(
       $1, $3, $2, metadata => '{"by": "pgquota/testing"}'
     ) as d`,
    [feature, subject, amount],
  );
  return rows[0].allowed;
}

async function reset(client: pg.ClientBase, subject: string | undefined): Promise<void> {
  const subjects = subject === undefined ? await allSubjects(client) : [subject];
  await client.query(`select public.forget_subject(s.id) from unnest($1::text[]) as s (id)`, [
    subjects,
  ]);
}

async function allSubjects(client: pg.ClientBase): Promise<string[]> {
  const { rows: tables } = await client.query<{ name: string }>(
    `select a.attrelid::regclass::text as name
     from pg_catalog.pg_attribute as a
     join pg_catalog.pg_class as c on c.oid = a.attrelid
     where c.relnamespace = 'quota'::regnamespace
       and c.relkind in ('r', 'p')
       and a.attname = 'subject_id'
       and not a.attisdropped`,
  );
  const { rows } = await client.query<{ id: string }>(
    `${tables.map(({ name }) => `select subject_id as id from ${name}`).join(' union ')} order by 1`,
  );
  return rows.map(({ id }) => id);
}
