// shareRoundTrips: calls that wait at the same moment go together, over PostgREST and over pg, and what
// becomes of one is its own affair.
import { readFileSync } from 'node:fs';
import pg from 'pg';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { fromRoot } from '../../scripts/local/project.ts';
import type { UsageCalls, UsageConnection } from '../../types/index.ts';
import * as overRest from '../../types/index.ts';
import * as overSql from '../../types/pg.ts';

import { createDatabase, type TestDatabase } from '../support/database.ts';
import { applyPlans } from '../support/plans.ts';
import { type Rest, startRest } from '../support/rest.ts';

let database: TestDatabase;
let rest: Rest;
let owner: pg.Client;
let pool: pg.Pool;
/** The functions that were asked, one entry per round trip. */
let trips: string[];

beforeAll(async () => {
  database = await createDatabase();
  owner = await database.connect();
  await applyPlans(owner, {
    features: { export: {}, token: {}, ai_generation: {} },
    plans: {
      free: {
        default: true,
        limits: { export: { month: 100 }, token: { month: null }, ai_generation: { month: 50 } },
      },
    },
  });
  rest = await startRest(database);
  pool = database.pool(16);
});
afterAll(async () => {
  expect((await owner.query('select * from verify_usage()')).rows).toEqual([]);
  await rest.stop();
  await database.drop();
});

const countedPool = (): overSql.UsageDatabase => ({
  query(text, values) {
    trips.push(/public\.(\w+)\(/.exec(text)?.[1] ?? text);
    return pool.query(text, values);
  },
});
function countedRest(): UsageConnection {
  const client = rest.asService();
  return {
    rpc(name, args) {
      trips.push(name);
      return client.rpc(name, args);
    },
    from: (view) => client.from(view),
  };
}

const CLIENTS: [string, () => UsageCalls][] = [
  ['pgquota/pg', () => overSql.createUsageClient(countedPool(), { shareRoundTrips: true })],
  ['supabase-js', () => overRest.createUsageClient(countedRest(), { shareRoundTrips: true })],
];

describe.each(CLIENTS)('over %s', (name, create) => {
  const subject = (of: string) => `${of} over ${name}`;
  const start = () => {
    trips = [];
    return create();
  };
  const times = <Result>(n: number, call: (n: number) => Result) =>
    Array.from({ length: n }, (_, at) => call(at));

  test('a call without company goes at once, and as itself', async () => {
    const usage = start();
    const answer = usage.consumeUsage({ feature: 'token', subject: subject('alone') });
    await Promise.resolve();
    await Promise.resolve();
    expect(trips).toEqual(['consume_usage']);
    expect(await answer).toMatchObject({ allowed: true, used: 1 });
  });

  test('calls of one breath share a trip, those that come meanwhile the next; each has its own answer', async () => {
    const usage = start();
    const first = times(40, (n) =>
      usage.consumeUsage({ feature: 'token', subject: subject('busy'), metadata: { n } }),
    );
    await new Promise(setImmediate);
    const second = times(30, (n) =>
      usage.enforceUsage({ feature: 'token', subject: subject('busy'), amount: 1 + (n % 2) }),
    );
    const decisions = await Promise.all([...first, ...second]);
    expect(trips).toEqual(['consume_usage_many', 'consume_usage_many']);
    let used = 0;
    for (const decision of decisions) {
      used += decision.amount;
      expect(decision).toMatchObject({ allowed: true, used, replayed: false });
    }
    const { rows } = await owner.query(
      `select event_id, metadata from usage_events where subject = $1 and metadata <> '{}'`,
      [subject('busy')],
    );
    const of = new Map(rows.map(({ event_id, metadata }) => [event_id, metadata.n]));
    expect(decisions.slice(0, 40).map(({ event_id }) => of.get(event_id))).toEqual(
      times(40, (n) => n),
    );
  });

  test('callers in a loop keep company; other subjects and features go their own way', async () => {
    const usage = start();
    await Promise.all(
      times(20, async (n) => {
        for (let round = 0; round < 5; round++) {
          await usage.consumeUsage({
            feature: 'token',
            subject: subject(n < 16 ? 'loop' : `other-${n}`),
          });
        }
      }),
    );
    expect(trips.filter((trip) => trip === 'consume_usage_many').length).toBeLessThanOrEqual(10);
    expect(trips.filter((trip) => trip === 'consume_usage')).toHaveLength(20);
  });

  test('of 240 calls through two clients for a limit of 100, 100 are allowed', async () => {
    const [one, two] = [start(), create()];
    const answers = await Promise.allSettled(
      times(240, (n) =>
        (n % 2 ? one : two).enforceUsage({ feature: 'export', subject: subject('limited') }),
      ),
    );
    expect(answers.filter(({ status }) => status === 'fulfilled')).toHaveLength(100);
    for (const answer of answers) {
      if (answer.status === 'fulfilled') continue;
      expect(answer.reason).toBeInstanceOf(overRest.UsageLimitExceeded);
      expect(answer.reason.decision).toMatchObject({ allowed: false, used: 100, remaining: 0 });
    }
  });

  test('what is wrong with one call is the error of that caller, as it would be alone', async () => {
    const usage = start();
    const use = { feature: 'token', subject: subject('wrong') };
    const wrong = [
      { ...use, amount: 0 },
      { ...use, metadata: [] as never },
      { ...use, idempotency_key: 'k', amount: 2 },
      { ...use, actor: '' },
    ];
    await usage.consumeUsage({ ...use, idempotency_key: 'k' });
    const calls = wrong.flatMap((bad) => [usage.consumeUsage(use), usage.consumeUsage(bad)]);
    const answers = await Promise.allSettled(calls);
    expect(answers.filter((_, at) => at % 2 === 0).map(({ status }) => status)).toEqual(
      times(4, () => 'fulfilled'),
    );
    const alone = create();
    for (const [at, bad] of wrong.entries()) {
      const expected = await alone.consumeUsage(bad).catch((error) => error);
      expect(expected).toBeInstanceOf(overRest.UsageError);
      const { code, message, hint } = expected;
      expect(answers[2 * at + 1]).toMatchObject({ reason: { code, message, hint } });
    }
    expect(await usage.checkUsage(use)).toMatchObject({ used: 5 });
  });

  test('a feature that there is not is told each of its callers', async () => {
    const usage = start();
    const answers = await Promise.allSettled(
      times(3, () => usage.consumeUsage({ feature: 'nothing', subject: subject('wrong') })),
    );
    expect(answers).toMatchObject(times(3, () => ({ reason: { code: 'QFEAT' } })));
  });

  test('retries with a key are told the first answer, in whatever company', async () => {
    const usage = start();
    const use = { feature: 'token', subject: subject('again') };
    const keyed = { ...use, idempotency_key: 'k' };
    const decisions = await Promise.all(times(10, () => usage.consumeUsage(keyed)));
    expect(decisions.filter(({ replayed }) => !replayed)).toHaveLength(1);
    expect(new Set(decisions.map(({ event_id }) => event_id)).size).toBe(1);
    expect(await usage.checkUsage(use)).toMatchObject({ used: 1 });
  });

  test('who gives up while it waits is not counted; who gives up later is, and the others are answered', async () => {
    const usage = start();
    const use = { feature: 'token', subject: subject('gives up') };
    const [early, late, gone] = [
      new AbortController(),
      new AbortController(),
      AbortSignal.abort('x'),
    ];
    const first = usage.consumeUsage(use);
    await new Promise(setImmediate);
    const waiting = [
      usage.consumeUsage(use, { signal: early.signal }),
      usage.consumeUsage(use, { signal: gone }),
      usage.consumeUsage(use, { signal: late.signal }),
      usage.consumeUsage(use),
    ];
    early.abort('too slow');
    const ended = Promise.allSettled(waiting);
    await first;
    while (trips.length < 2) await new Promise(setImmediate);
    late.abort('too late');
    expect(await ended).toMatchObject([
      { reason: { status: 0, message: /aborted/ } },
      { reason: { status: 0, message: /aborted/ } },
      { reason: { status: 0, message: /aborted/ } },
      { value: { used: 3 } },
    ]);
    expect(await usage.checkUsage(use)).toMatchObject({ used: 3 });
  });

  test('a lock that is not to be had is told all that waited for it, and no others', async () => {
    const usage = start();
    const use = { feature: 'token', subject: subject('held') };
    await usage.consumeUsage(use);
    const holder = await database.connect();
    await holder.query('begin');
    await holder.query('select public.consume_usage($1, 1, $2)', [use.feature, use.subject]);
    const held = Promise.allSettled(times(3, () => usage.consumeUsage(use)));
    expect(await usage.consumeUsage({ ...use, feature: 'export' })).toMatchObject({ used: 1 });
    expect(await held).toMatchObject(times(3, () => ({ reason: { code: '55P03' } })));
    await holder.query('rollback');
    await holder.end();
    expect(await usage.consumeUsage(use)).toMatchObject({ used: 2 });
  });

  test('a connection that breaks leaves those on the way without an answer, and the next have one', async () => {
    const usage = start();
    const use = { feature: 'token', subject: subject('broken') };
    await usage.consumeUsage(use);
    const holder = await database.connect();
    await holder.query('begin');
    await holder.query('select public.consume_usage($1, 1, $2)', [use.feature, use.subject]);
    const broken = Promise.allSettled(times(3, () => usage.consumeUsage(use)));
    const waits = async () => {
      const { rows } = await owner.query(
        `select pid from pg_stat_activity
         where datname = current_database() and wait_event_type = 'Lock'`,
      );
      return rows[0]?.pid;
    };
    await expect.poll(waits).toBeDefined();
    const later = usage.consumeUsage(use);
    await owner.query('select pg_terminate_backend($1)', [await waits()]);
    for (const answer of await broken) {
      expect(answer).toMatchObject({ status: 'rejected' });
      expect((answer as PromiseRejectedResult).reason.code).toMatch(/^(|57P01|PGRST001)$/);
    }
    await holder.query('rollback');
    await holder.end();
    expect(await later).toMatchObject({ used: 2 });
  });
});

test("a user's calls go alone", async () => {
  trips = [];
  const claims = { sub: 'ada' };
  const clients = [
    overSql.createUsageClient(countedPool(), { claims, shareRoundTrips: true }),
    overRest.createUsageClient(rest.asUser('bob'), { shareRoundTrips: true }),
  ];
  for (const [at, usage] of clients.entries()) {
    const subject = ['ada', 'bob'][at];
    const answers = await Promise.all(
      [1, 2, 3].map(() => usage.consumeUsage({ feature: 'token', subject })),
    );
    expect(answers.map(({ used }) => used).toSorted()).toEqual([1, 2, 3]);
  }
  expect(trips).toEqual(['consume_usage', 'consume_usage', 'consume_usage']);
});

test('in a transaction of the app they are part of it', async () => {
  const client = await database.connect();
  const usage = overSql.createUsageClient(client, { shareRoundTrips: true });
  await client.query('begin');
  const use = { feature: 'token', subject: 'transaction' };
  await Promise.all([1, 2, 3].map(() => usage.consumeUsage(use)));
  await client.query('rollback');
  expect(await usage.checkUsage(use)).toMatchObject({ used: 0 });
  await client.end();
});

test('docs/many-calls.md works as written', async () => {
  const [make, ask] = [
    ...readFileSync(fromRoot('docs/many-calls.md'), 'utf8').matchAll(/```(?:ts|sql)\n(.*?)```/gs),
  ].map(([, code]) => code);
  const body = (make as string)
    .replace(/^import .*$/gm, '')
    .replace('export const', 'return') as string;
  const page = new Function('pg', 'createUsageClient', 'process', body.replace('usage =', ''));
  const env = { DATABASE_URL: database.url };
  let own: pg.Pool | undefined;
  const usage = page(
    pg,
    (made: pg.Pool, options: overSql.UsageOptions) => {
      own = made;
      expect(options).toEqual({ shareRoundTrips: true });
      return overSql.createUsageClient(made, options);
    },
    { env },
  ) as UsageCalls;
  const answers = [1, 2, 3].map(() => usage.consumeUsage({ feature: 'token', subject: 'page' }));
  expect((await Promise.all(answers)).map(({ used }) => used)).toEqual([1, 2, 3]);
  await own?.end();
  const { rows } = await owner.query(ask as string);
  expect(rows.map(({ allowed, used }) => [allowed, Number(used)])).toEqual([
    [true, 1],
    [true, 4],
    [true, 1],
  ]);
});
