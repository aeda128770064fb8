/**
 * The storm: many sessions, few subjects, every verb. Each session draws from a random stream of its own,
 * so that the seed says what it will try; what it is told, and when, goes into the log for the auditor.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import type pg from 'pg';
import { expect } from 'vitest';
import { type Call, calls, type Decision, decisionsOf } from '../concurrency/holds.ts';
import { type Race, run } from '../concurrency/race.ts';
import { type Random, randomFrom } from '../periods/random.ts';
import { setClock } from '../support/clock.ts';
import { applyPlans } from '../support/plans.ts';
import type { Period } from './model.ts';

export const LEVELS = ['read committed', 'repeatable read', 'serializable'] as const;
export type Level = (typeof LEVELS)[number];

export const FEATURES = ['token', 'request'] as const;
export type Feature = (typeof FEATURES)[number];
/** Carl is given neither grants nor exceptions: his meters may remember his plan. */
export const SUBJECTS = ['anna', 'bert', 'carl'];
const WITH_EXTRAS = ['anna', 'bert'];

export const PLANS = {
  features: { token: {}, request: {} },
  plans: {
    free: { default: true, limits: { token: { month: 40 }, request: { minute: 25, month: 60 } } },
    small: { limits: { token: { month: 20 }, request: { minute: 15, month: 30 } } },
    large: { limits: { token: { month: null }, request: { minute: 40, month: 120 } } },
  },
};

export type Verb =
  | 'consume'
  | 'reserve'
  | 'extend'
  | 'commit'
  | 'release'
  | 'refund'
  | 'reset'
  | 'batch';

/** One thing that a session was told. A batch gives an entry for each item. */
export interface Entry {
  verb: Verb;
  subject: string;
  feature: Feature;
  /** Units asked for; of a batch, together with the items before it of the same feature. */
  asked: number;
  /** The hold or event that it is about. */
  about?: string;
  /** Takes what fits. */
  partial?: boolean;
  /** Of a hold that is made or extended, in microseconds. */
  ttl?: number;
  /** What a hold that was extended lasts until; there is no line that says so. */
  expiresAt?: number;
  /** What a reset is of; all running ones when it is not there. */
  period?: Period;
  told: Decision | string;
  /** When it was asked and answered, in microseconds of the moved clock. */
  from: number;
  to: number;
  level: Level;
}

export interface Log {
  entries: Entry[];
  /** Answers of calls that repeated a key, with the first answer. */
  repeats: { first: Decision[]; again: Decision[] }[];
  /** Repeated keys that were free: what was told at first, and until when it may have counted. */
  rebound: { first: Decision[]; until: number }[];
  /** Answers in transactions that were rolled back. */
  undone: Decision[];
  plansSet: number;
  limitsSet: number;
  grants: string[];
  voids: string[];
  retries: Record<string, number>;
}

const RETRYABLE = ['40001', '55P03'];

interface Target {
  subject: string;
  feature: Feature;
  id: string;
  amount: number;
}

/** What the sessions know of each other. */
interface Known {
  log: Log;
  holds: Target[];
  uses: Target[];
  grants: string[];
  /** The moved clock, in microseconds. */
  now(): number;
}

interface Plan {
  verb: Verb;
  subject: string;
  items: { feature: Feature; amount: number }[];
  about?: string;
  call: Call;
  partial?: boolean;
  /** In milliseconds. */
  ttl?: number;
  expiresAt?: number;
  period?: Period;
}

interface Options {
  seed: number;
  levels: readonly Level[];
  seconds: number;
}

/** A slow machine goes on until so much was said, so that every case is met. */
const LEAST = 1200;

/** In the middle of a storm a month ends. */
const MONTH_ENDS = Date.parse('2026-02-01T00:00:00Z');

/** Plays a storm in a database of its own, and hands the log to the judge when all holds are over. */
export function storm(
  options: Options,
  judge: (owner: pg.Client, log: Log) => Promise<void>,
  sabotage?: (owner: pg.Client) => Promise<void>,
): Promise<void> {
  return run(async (race) => {
    await applyPlans(race.owner, PLANS);
    const offset = MONTH_ENDS - options.seconds * 500 - Date.now();
    await setClock(race.owner, { offset: `${offset} milliseconds` });
    const log = await rage(race, options, offset);
    await setClock(race.owner, { offset: `${offset + 3_600_000} milliseconds` });
    await noHoldIsLeft(race.owner, log);
    await judge(race.owner, log);
  }, sabotage);
}

async function rage(race: Race, { seed, levels, seconds }: Options, offset: number): Promise<Log> {
  const log: Log = {
    entries: [],
    repeats: [],
    rebound: [],
    undone: [],
    plansSet: 0,
    limitsSet: 0,
    grants: [],
    voids: [],
    retries: {},
  };
  const now = () => (Date.now() + offset) * 1000;
  const known: Known = { log, holds: [], uses: [], grants: [], now };
  const end = Date.now() + seconds * 1000;
  const last = end + 8_000;
  await Promise.all(
    Array.from({ length: 12 }, async (_, at) => {
      const level = levels[at % levels.length] as Level;
      const session = await race.server();
      await session.query(`set default_transaction_isolation = '${level}'`);
      const random = randomFrom(seed + at);
      for (
        let n = 0;
        Date.now() < end || (known.log.entries.length < LEAST && Date.now() < last);
        n++
      )
        await step(known, session, level, random, `${at}-${n}`);
    }),
  );
  return log;
}

/** First for readers, with nobody writing; then in the books, which any call that locks a meter keeps. */
async function noHoldIsLeft(owner: pg.Client, log: Log) {
  const { rows: shown } = await owner.query(
    'select subject, feature, reserved from public.current_usage where reserved <> 0',
  );
  expect(shown, 'holds that are shown after their end').toEqual([]);
  for (const subject of SUBJECTS)
    await owner.query(`select public.set_plan($1, 'free')`, [subject]);
  log.plansSet += SUBJECTS.length;
  const { rows: kept } = await owner.query(`
    select subject_id, reserved::text as left from quota.counters where reserved <> 0
    union all
    select subject_id, reserved::text from quota.meters where reserved <> 0
    union all
    select subject_id, state from quota.reservations where state = 'open'`);
  expect(kept, 'holds that leak').toEqual([]);
  await owner.query('select pg_stat_force_next_flush()');
  const { rows } = await owner.query(
    'select deadlocks::integer from pg_stat_database where datname = current_database()',
  );
  expect(rows, 'deadlocks').toEqual([{ deadlocks: 0 }]);
}

async function step(known: Known, session: pg.Client, level: Level, random: Random, key: string) {
  const dice = random.between(1, 100);
  if (dice <= 3) return changePlan(known, session, random);
  if (dice <= 9) return grant(known, session, random);
  if (dice <= 10) return voidGrant(known, session, random);
  if (dice <= 12) return changeLimit(known, session, random);
  if (dice <= 19) return pair(known, session, level, random);
  const plan = choose(known, random, key);
  if (!plan) return;
  const first = await attempt(known, session, level, plan);
  const isBound = first[0]?.allowed && plan.call.values.includes(key);
  if (dice <= 30 && isBound) {
    // Often at once, sometimes when the hold is over or the use was given back.
    if (random.between(0, 2) === 0) await sleep(random.between(5, 150));
    const from = known.now();
    const again = await retried(known, () => decisionsOf(session, plan.call));
    const to = known.now();
    if (again[0]?.replayed) known.log.repeats.push({ first, again });
    else {
      enter(known, plan, again, { from, to, level });
      known.log.rebound.push({ first, until: to });
    }
  }
}

/** A call, or nothing while there is no hold or use to be about. */
function choose(known: Known, random: Random, key: string): Plan | undefined {
  const subject = random.pick(SUBJECTS);
  const feature = random.pick(FEATURES);
  const amount = random.between(1, 6);
  const items = [{ feature, amount }];
  const dice = random.between(1, 100);
  const partial = random.between(1, 4) === 1;
  const ttl = random.between(5, 500);
  if (dice <= 21) {
    const call = calls.consume({ subject, feature, amount, key, partial });
    return { verb: 'consume', subject, items, call, partial };
  }
  if (dice <= 47) {
    const hold = { subject, feature, amount, key, partial };
    const call = calls.reserve({ ...hold, ttl: `${ttl} milliseconds` });
    return { verb: 'reserve', subject, items, call, partial, ttl };
  }
  if (dice <= 49) {
    const period = random.pick([undefined, 'minute', 'month'] as const);
    const call = calls.reset(subject, period, key, feature);
    return { verb: 'reset', subject, items: [{ feature, amount: 0 }], call, period };
  }
  if (dice <= 56) {
    const all = [...items, { feature: random.pick(FEATURES), amount: random.between(1, 4) }];
    return { verb: 'batch', subject, items: all, call: calls.batch(subject, all, key) };
  }
  const verb = (
    [
      [63, 'extend'],
      [78, 'commit'],
      [86, 'release'],
      [100, 'refund'],
    ] as const
  ).find(([most]) => dice <= most)?.[1] as 'extend' | 'commit' | 'release' | 'refund';
  const back = youngest(random);
  const used = random.pick(['nothing', 'one', 'all', 'all', 'more']);
  const target = (verb === 'refund' ? known.uses : known.holds).at(-back);
  if (!target) return undefined;
  const { id, amount: held } = target;
  if (verb === 'extend') {
    const { subject, feature } = target;
    const call = calls.extend(id, `${ttl} milliseconds`);
    return { verb, subject, items: [{ feature, amount: 0 }], about: id, call, ttl };
  }
  const amounts: Record<string, number> = { nothing: 0, one: 1, all: held, more: held + 3 };
  const asked = Math.max(amounts[used] as number, verb === 'refund' ? 1 : 0);
  return {
    verb,
    subject: target.subject,
    items: [{ feature: target.feature, amount: asked }],
    about: id,
    call: verb === 'release' ? calls.release(id) : calls[verb](id, asked),
  };
}

/**
 * How far back in the list of all to look: somebody else's, too, and mostly a young one. Draws the same
 * from the stream whatever there is in the list, so that a seed tries the same again.
 */
const youngest = (random: Random) => random.between(1, random.pick([5, 20, 60]));

async function attempt(known: Known, session: pg.Client, level: Level, plan: Plan) {
  for (;;) {
    const from = known.now();
    try {
      const told =
        plan.verb === 'extend'
          ? await extendHold(session, plan)
          : await decisionsOf(session, plan.call);
      enter(known, plan, told, { from, to: known.now(), level });
      return told;
    } catch (error) {
      const code = codeOf(error);
      if (RETRYABLE.includes(code)) count(known.log.retries, `${code} at ${level}`);
      else {
        enter(known, plan, code, { from, to: known.now(), level });
        return [];
      }
    }
  }
}

/** Told in one transaction with what the hold lasts until, which no line and no answer says. */
async function extendHold(session: pg.Client, plan: Plan) {
  await session.query('begin');
  try {
    const told = await decisionsOf(session, plan.call);
    const { rows } = await session.query(
      `select (extract(epoch from expires_at) * 1000000)::bigint::float8 as at
       from quota.reservations where reservation_id = $1`,
      [plan.about],
    );
    await session.query('commit');
    plan.expiresAt = rows[0].at;
    return told;
  } catch (error) {
    await session.query('rollback');
    throw error;
  }
}

const codeOf = (error: unknown) => {
  const { code } = error as pg.DatabaseError;
  if (!code) throw error;
  return code;
};

const count = (counts: Record<string, number>, what: string) => {
  counts[what] = (counts[what] ?? 0) + 1;
};

function enter(
  known: Known,
  { verb, subject, items, about, partial, ttl = 0, expiresAt, period }: Plan,
  told: Decision[] | string,
  when: Pick<Entry, 'from' | 'to' | 'level'>,
) {
  items.forEach(({ feature, amount }, at) => {
    const answer = typeof told === 'string' ? told : (told[at] as Decision);
    // Items of one feature and amount are refused with one answer: that of the first of them.
    const isTwin = (item: (typeof items)[number], other: number) =>
      item.feature === feature &&
      item.amount === amount &&
      typeof told !== 'string' &&
      told[other]?.reason === 'limit_reached';
    const until =
      typeof answer !== 'string' && answer.reason === 'limit_reached'
        ? items.findIndex(isTwin)
        : at;
    const asked = items
      .slice(0, until + 1)
      .reduce((sum, item) => sum + (item.feature === feature ? item.amount : 0), 0);
    const more = { about, partial, ttl: ttl * 1000, expiresAt, period };
    known.log.entries.push({ verb, subject, feature, asked, ...more, told: answer, ...when });
    if (typeof answer === 'string' || !answer.allowed || answer.replayed) return;
    const target = { subject, feature, amount: partial ? answer.amount : amount };
    if (verb === 'reserve') known.holds.push({ ...target, id: answer.reservation_id });
    else if (verb === 'consume' || verb === 'batch' || verb === 'commit') {
      known.uses.push({ ...target, id: answer.event_id });
    }
  });
}

/** Two calls on one meter in one transaction, of which half are rolled back. */
async function pair(known: Known, session: pg.Client, level: Level, random: Random) {
  const subject = random.pick(SUBJECTS);
  const feature = random.pick(FEATURES);
  const isUndone = random.between(0, 1) === 1;
  const amounts = { reserve: random.between(1, 4), consume: random.between(1, 4) };
  const from = known.now();
  const told: [Plan, Decision[]][] = [];
  try {
    await session.query('begin');
    for (const verb of ['reserve', 'consume'] as const) {
      const amount = amounts[verb];
      const call = calls[verb]({ subject, feature, amount, ttl: '100 milliseconds' });
      const plan = { verb, subject, items: [{ feature, amount }], call, ttl: 100 };
      told.push([plan, await decisionsOf(session, plan.call)]);
    }
    await session.query(isUndone ? 'rollback' : 'commit');
  } catch (error) {
    await session.query('rollback');
    const code = codeOf(error);
    if (!RETRYABLE.includes(code)) throw error;
    count(known.log.retries, `${code} at ${level}`);
    return;
  }
  const when = { from, to: known.now(), level };
  for (const [plan, answers] of told) {
    if (isUndone) known.log.undone.push(...answers);
    else enter(known, plan, answers, when);
  }
}

async function retried<T>(known: Known, call: () => Promise<T>): Promise<T> {
  for (;;) {
    try {
      return await call();
    } catch (error) {
      if (!RETRYABLE.includes(codeOf(error))) throw error;
      count(known.log.retries, codeOf(error));
    }
  }
}

async function changePlan(known: Known, session: pg.Client, random: Random) {
  const values = [random.pick(SUBJECTS), random.pick(Object.keys(PLANS.plans))];
  await retried(known, () => session.query('select public.set_plan($1, $2)', values));
  known.log.plansSet++;
}

async function changeLimit(known: Known, session: pg.Client, random: Random) {
  const values = [
    random.pick(WITH_EXTRAS),
    random.pick(FEATURES),
    random.pick(['minute', 'month']),
  ];
  const limit = random.pick([null, 5, 25, 50]);
  const isCleared = random.between(0, 2) === 0;
  const endsAt =
    random.between(0, 1) === 0 ? null : new Date(known.now() / 1000 + random.between(50, 900));
  try {
    await retried(known, () =>
      isCleared
        ? session.query('select public.clear_limit($1, $2, $3)', values)
        : session.query('select public.set_limit($1, $2, $3, $4, $5)', [...values, limit, endsAt]),
    );
    known.log.limitsSet++;
  } catch (error) {
    // It waited for longer than the exception was to hold.
    if (codeOf(error) !== '22023') throw error;
  }
}

async function grant(known: Known, session: pg.Client, random: Random) {
  const expiresAt =
    random.between(0, 3) === 0 ? null : new Date(known.now() / 1000 + random.between(50, 900));
  const values = [
    random.pick(FEATURES),
    random.between(1, 12),
    random.pick(WITH_EXTRAS),
    expiresAt,
  ];
  try {
    const { rows } = await retried(known, () =>
      session.query('select public.grant_usage($1, $2, $3, $4) as id', values),
    );
    known.log.grants.push(rows[0].id);
    known.grants.push(rows[0].id);
  } catch (error) {
    // It waited for longer than the grant was to live.
    if (codeOf(error) !== '22023') throw error;
  }
}

async function voidGrant(known: Known, session: pg.Client, random: Random) {
  const id = known.grants.at(-youngest(random));
  if (!id) return;
  const { rows } = await retried(known, () =>
    session.query('select public.void_grant($1, null, $2)::integer as taken', [
      id,
      random.pick([null, 1, 3]),
    ]),
  );
  const [{ taken }] = rows;
  if (taken > 0) known.log.voids.push(`${id} ${taken}`);
}
