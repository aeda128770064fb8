// One session walks at random through calls, terms and time. After each step every number is proved,
// periods do not overlap, and what checks, explanations and refusals say comes true.
import type pg from 'pg';
import { expect, test } from 'vitest';
import { type Random, randomFrom, seedOfThisRun } from '../periods/random.ts';
import { createDatabase } from '../support/database.ts';
import { applyPlans } from '../support/plans.ts';

const STEPS = 300;
const MINUTE = 60_000;
const DAY = 1440 * MINUTE;
const PERIODS = ['minute', 'hour', '5 hours', 'day', '3 days', 'week', 'month', 'year', 'lifetime'];
const SUBJECTS = ['anna', 'bert'];
const FEATURES = ['text', 'image', 'file'];

test.for([0, 1, 2])(
  'walk %i: the books are right after each step, and answers come true',
  { timeout: 240_000 },
  async (walk) => {
    const seed = seedOfThisRun() + walk;
    const database = await createDatabase();
    try {
      const client = await database.connect();
      await client.query(`
      create or replace function quota.clock() returns timestamptz
      language plpgsql set search_path = pg_catalog, pg_temp
      as $$ begin return current_setting('test.clock')::timestamptz; end $$`);
      const state: State = {
        client,
        random: randomFrom(seed),
        now: Date.parse('2026-01-20T10:00:00Z'),
        latest: 0,
        holds: [],
        uses: [],
        grants: [],
      };
      await setTime(state, state.now);
      await applyPlans(client, document(state.random));
      await client.query('create table public.files (id serial primary key, owner text)');
      await client.query(`select quota.limit_table('public.files', 'file', 'owner')`);
      for (let step = 1; step <= STEPS; step++) {
        const where = `PGQUOTA_SEED=${seed}, step ${step}`;
        const did = await takeStep(state).catch((cause) => {
          throw new Error(`${where}: ${cause.message}`, { cause });
        });
        state.latest = Math.max(state.latest, state.now);
        await prove(state, `${where}: ${JSON.stringify(did)}`);
      }
    } finally {
      await database.drop();
    }
  },
);

interface State {
  client: pg.Client;
  random: Random;
  now: number;
  /** How far the clock has ever been. */
  latest: number;
  holds: string[];
  uses: string[];
  grants: string[];
}

const setTime = ({ client }: State, time: number) =>
  client.query(`select set_config('test.clock', $1, false)`, [new Date(time).toISOString()]);

function document(random: Random) {
  const limits = (most: number) =>
    Object.fromEntries(
      Array.from({ length: random.between(1, most) }, () => {
        const at = random.between(0, PERIODS.length - 1);
        const period = PERIODS[at] as string;
        return [period, limitOf(random, period, (at + 1) * random.between(2, 9))];
      }),
    );
  return {
    features: { text: {}, image: {}, file: { kind: 'gauge' } },
    plans: {
      free: {
        default: true,
        limits: { text: limits(3), image: limits(3), file: { lifetime: 5 } },
      },
      pro: { limits: { text: limits(3), image: limits(2), file: { lifetime: 9 } } },
      none: { limits: { text: { month: null } } },
    },
  };
}

/** A number, or what else can be said of it. */
function limitOf(random: Random, period: string, limit: number) {
  const short = /minute|hour/.test(period);
  const carries = ['day', 'week', 'month', 'year'].includes(period);
  return random.pick<unknown>([
    limit,
    limit,
    { limit, mode: 'soft', ceiling: random.pick([null, limit + 4]) },
    { limit, mode: 'shadow' },
    short ? limit : { limit, grace: random.pick(['90 minutes', '2 days']), ceiling: limit + 5 },
    carries ? { limit, rollover: random.between(1, limit) } : limit,
    carries ? { limit, rollover: 3, mode: 'soft', ceiling: limit + 2 } : limit,
  ]);
}

/** Errors that say no to a random argument. Any other ends the walk. */
const EXPECTED = ['QRSRV', 'QAMNT', '22023', 'QFEAT', 'QPLAN', 'QIDEM', 'PT402'];
const KEYS = [null, null, 'k1', 'k2'];

async function call({ client }: State, sql: string, values: unknown[]) {
  try {
    const { rows } = await client.query(`select to_jsonb(d) as told from ${sql} as d`, values);
    return rows[0]?.told;
  } catch (error) {
    if (!EXPECTED.includes((error as pg.DatabaseError).code ?? '')) throw error;
    return undefined;
  }
}

async function takeStep(state: State): Promise<unknown[]> {
  const { random } = state;
  const [subject, feature, amount] = [
    random.pick(SUBJECTS),
    random.pick(FEATURES),
    random.between(1, 4),
  ];
  const dice = random.between(1, 100);
  const at = (milliseconds: number) => new Date(state.now + milliseconds);
  const keep = (list: string[], id: string | null | undefined) => id && list.push(id);
  const did = [dice, subject, feature, amount, new Date(state.now)];

  if (dice <= 24) {
    const partial = random.between(1, 4) === 1;
    const values = [feature, amount, subject, random.pick(KEYS), partial];
    const told = await call(state, 'public.consume_usage($1, $2, $3, $4, partial => $5)', values);
    keep(state.uses, told?.event_id);
    await isTrue(state, told);
  } else if (dice <= 38) {
    const ttl = random.pick(['30 seconds', '1 hour', '7 days']);
    const partial = random.between(1, 4) === 1;
    const values = [feature, amount, subject, ttl, random.pick(KEYS), partial];
    const told = await call(
      state,
      'public.reserve_usage($1, $2, $3, $4, $5, partial => $6)',
      values,
    );
    keep(state.holds, told?.reservation_id);
    await isTrue(state, told);
  } else if (dice <= 50) {
    const values = [random.pick(state.holds), random.pick([null, 0, 2, 6])];
    const told = await call(state, 'public.commit_usage($1, $2)', values);
    keep(state.uses, told?.event_id);
  } else if (dice <= 52) {
    const values = [random.pick(state.holds), random.pick(['1 second', '1 hour', '7 days'])];
    await call(state, 'public.extend_usage($1, $2)', values);
  } else if (dice <= 55) {
    await call(state, 'public.release_usage($1)', [random.pick(state.holds)]);
  } else if (dice <= 57) {
    const values = [feature, subject, random.pick([null, random.pick(PERIODS)]), random.pick(KEYS)];
    await call(state, 'public.reset_usage($1, $2, $3, null, $4)', values);
  } else if (dice <= 62) {
    const values = [random.pick(state.uses), random.pick([null, 1])];
    await call(state, 'public.refund_usage($1, $2)', values);
  } else if (dice <= 68) {
    const values = [feature, amount, subject, random.pick([null, at(60 * MINUTE), at(20 * DAY)])];
    keep(state.grants, await call(state, 'public.grant_usage($1, $2, $3, $4)', values));
  } else if (dice <= 70) {
    const values = [random.pick(state.grants), random.pick([null, 1, 3])];
    await call(state, 'public.void_grant($1, null, $2)', values);
  } else if (dice <= 76) {
    const plan = random.pick(['free', 'pro', 'none']);
    const anchor = random.pick([null, at(0), at(-random.between(0, 50) * DAY - 1_234_567)]);
    const zone = random.pick([null, 'Asia/Tokyo', 'America/New_York']);
    const values = [subject, plan, anchor, zone, random.pick([null, at(5 * DAY)])];
    await call(state, 'public.set_plan($1, $2, $3, $4, $5)', values);
  } else if (dice <= 80) {
    const limit = [random.pick(PERIODS), random.pick([0, 5, 50, null])];
    const endsAt = random.pick([null, at(30_000), at(90 * MINUTE), at(9 * DAY)]);
    const values = [subject, feature, ...limit, endsAt];
    await call(state, 'public.set_limit($1, $2, $3, $4, $5)', values);
  } else if (dice <= 83) {
    await call(state, 'public.clear_limit($1, $2, $3)', [subject, feature, random.pick(PERIODS)]);
  } else if (dice <= 84) {
    await call(state, 'quota.tidy()', []);
  } else if (dice <= 85) {
    await applyPlans(state.client, document(random));
  } else if (dice <= 87) {
    await call(state, 'public.return_usage($1, $2, $3)', [feature, amount, subject]);
  } else if (dice <= 88) {
    await call(state, 'public.forget_subject($1)', [subject]);
  } else if (dice <= 92) {
    // Statements of the app on a limited table. Each as its own transaction: what is refused is undone.
    const sql = random.pick([
      'insert into public.files (owner) values ($1)',
      'update public.files set owner = $1 where id = (select min(id) from public.files)',
      'delete from public.files where id = (select max(id) from public.files where owner = $1)',
    ]);
    await statement(state, sql, [subject]);
  } else if (dice <= 94) {
    // A clock that is set back: by seconds, or over the end of a day or a month.
    state.now -= random.pick([1000, 90_000, 2 * DAY]);
    await setTime(state, state.now);
  } else {
    state.now += random.pick([1000, 31_000, 61_000, 60 * MINUTE, DAY, 8 * DAY, 33 * DAY]);
    await setTime(state, state.now);
  }
  return did;
}

async function statement({ client }: State, sql: string, values: unknown[]) {
  try {
    await client.query(sql, values);
  } catch (error) {
    if ((error as pg.DatabaseError).code !== 'PT402') throw error;
  }
}

/** An answer that says allowed speaks of what counts: an open or committed hold, a use not given back. */
async function isTrue({ client }: State, told: { allowed: boolean } | undefined) {
  if (!told?.allowed) return;
  const { rows } = await client.query(
    `select
       case
         when $1::jsonb ->> 'reservation_id' is null then (
           select sum(used_change) from quota.events
           where event_id = ($1::jsonb ->> 'event_id')::uuid
             or about_id = ($1::jsonb ->> 'event_id')::uuid and kind = 'refund'
         ) > 0
         else exists (
           select from quota.reservations
           where reservation_id = ($1::jsonb ->> 'reservation_id')::uuid
             and (state = 'committed' or state = 'open' and expires_at > quota.clock())
         )
       end as is_true`,
    [JSON.stringify(told)],
  );
  expect(rows, `what counts for ${JSON.stringify(told)}`).toEqual([{ is_true: true }]);
}

async function prove(state: State, where: string) {
  const { client, random } = state;
  const mismatches = await client.query('select * from public.verify_usage()');
  expect(mismatches.rows, `${where}: every counter equals its ledger`).toEqual([]);
  const overlaps = await client.query(`
    select a.subject_id, a.feature_id, a.period, a.period_start
    from quota.counters as a
    join quota.counters as b using (subject_id, feature_id, period)
    where a.period_start < b.period_start and a.period_end > b.period_start`);
  expect(overlaps.rows, `${where}: periods do not overlap`).toEqual([]);

  const ask = [random.pick(FEATURES), random.between(1, 9), random.pick(SUBJECTS)];
  const check = async () => call(state, 'public.check_usage($1, $2, $3)', ask);
  const told = await check();
  const { rows: reasons } = await client.query(
    'select refuses, retry_after from public.explain_usage($1, $2, $3)',
    ask,
  );
  expect(
    reasons.some(({ refuses }) => refuses),
    `${where}: explain_usage refuses what check_usage does`,
  ).toBe(!told.allowed);
  expect(reasons[0].retry_after, `${where}: and names its wait`).toBe(told.retry_after);

  await client.query('begin');
  const used = await call(state, 'public.consume_usage($1, $2, $3)', ask);
  await client.query('rollback');
  expect(used, `${where}: a use is told what the check was`).toMatchObject({
    allowed: told.allowed,
    reason: told.reason,
    limit: told.limit,
    retry_after: told.retry_after,
  });

  if (told.retry_after === null) return;
  const until = state.now + told.retry_after * 1000;
  await setTime(state, until);
  expect((await check()).allowed, `${where}: after the wait it is allowed`).toBe(true);
  // Behind where it was, time also brings back what had begun then: a grant may hold sooner than told.
  if (told.retry_after > 1 && state.now === state.latest) {
    await setTime(state, until - 1000);
    expect((await check()).allowed, `${where}: and not before`).toBe(false);
  }
  await setTime(state, state.now);
}
