// Work that can fail, over real HTTP and a network that loses calls and answers on purpose. After every
// test each number is proved by the ledger.
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from 'vitest';
import { withClient } from '../../scripts/local/client.ts';
import { connectSupabase } from '../../scripts/local/supabase.ts';
import {
  createUsageClient,
  type UsageClient,
  UsageError,
  UsageLimitExceeded,
  UsageOutcomeUnknown,
} from '../../types/index.ts';
import { createDatabase, type TestDatabase } from '../support/database.ts';
import { applyPlans } from '../support/plans.ts';
import { type Rest, startRest } from '../support/rest.ts';
import { type FlakyNetwork, startFlakyNetwork } from './flaky.ts';

let database: TestDatabase;
let rest: Rest;
let network: FlakyNetwork;
let usage: UsageClient;
let subject: string;
let count = 0;

beforeAll(async () => {
  database = await createDatabase();
  await withClient(database.url, (client) =>
    applyPlans(client, {
      features: { token: {} },
      plans: { free: { default: true, limits: { token: { lifetime: 100 } } } },
    }),
  );
  rest = await startRest(database);
});

afterAll(async () => {
  await rest.stop();
  await database.drop();
});

beforeEach(async () => {
  network = await startFlakyNetwork(rest.url);
  usage = createUsageClient(connectSupabase(network.url, rest.serviceRoleKey));
  subject = `subject-${++count}`;
});

afterEach(async () => {
  await network.stop();
  expect(await createUsageClient(rest.asService()).verifyUsage()).toEqual([]);
});

/** What is used and held now, asked past the network. */
async function state(): Promise<{ used: number; reserved: number }> {
  const { used, reserved } = await createUsageClient(rest.asService()).checkUsage({
    feature: 'token',
    subject,
  });
  return { used, reserved };
}

const calls = (name: string) => network.calls.filter((call) => call.name === name);

async function failure(call: Promise<unknown>): Promise<unknown> {
  return call.then(
    (answer) => expect.unreachable(`it gave ${JSON.stringify(answer)}`),
    (error: unknown) => error,
  );
}

test('the amount is held while the work runs, and what it reports is counted', async () => {
  const { value, decision, idempotencyKey, unavailable } = await usage.withUsage(
    'token',
    { subject, amount: 30, actor: 'maya', metadata: { model: 'small' } },
    async (work) => {
      expect(await state()).toEqual({ used: 0, reserved: 30 });
      expect(work.decision).toMatchObject({ allowed: true, amount: 30 });
      work.commit(12, { finish: 'stop' });
      return work.idempotencyKey;
    },
  );
  expect(value).toBe(idempotencyKey);
  expect(decision).toMatchObject({ amount: 12, used: 12, reserved: 0, remaining: 88 });
  expect(unavailable).toBeNull();
  expect(await state()).toEqual({ used: 12, reserved: 0 });
  const lines = await rest
    .asService()
    .from('usage_events')
    .select('kind, actor')
    .eq('subject', subject)
    .order('at');
  expect(lines.data).toEqual([
    { kind: 'reserve', actor: 'maya' },
    { kind: 'commit', actor: 'maya' },
  ]);
});

test('without a report what was held is counted, and a report of 0 counts nothing', async () => {
  await usage.withUsage('token', { subject, amount: 7 }, () => 'done');
  expect(await state()).toEqual({ used: 7, reserved: 0 });
  await usage.withUsage('token', { subject }, (work) => work.commit(0));
  expect(await state()).toEqual({ used: 7, reserved: 0 });
});

test('more than was held is counted too, and the decision says when it passed the limit', async () => {
  const { decision } = await usage.withUsage('token', { subject, amount: 10 }, (work) =>
    work.commit(130),
  );
  expect(decision).toMatchObject({ reason: 'over_limit', used: 130, remaining: 0 });
});

test('work that throws is released, and its own error comes out', async () => {
  const broken = new Error('the model is down');
  const error = await failure(
    usage.withUsage('token', { subject, amount: 30 }, (work) => {
      work.commit(5);
      throw broken;
    }),
  );
  expect(error).toBe(broken);
  expect(await state()).toEqual({ used: 0, reserved: 0 });
  expect(calls('commit_usage')).toHaveLength(0);
});

test('a report that is no whole number fails inside the work, which is released', async () => {
  for (const used of [-1, 1.5, Number.NaN]) {
    const error = await failure(usage.withUsage('token', { subject }, (work) => work.commit(used)));
    expect(error).toBeInstanceOf(RangeError);
  }
  expect(await state()).toEqual({ used: 0, reserved: 0 });
});

test('aborted work is released at once, even if it never ends', async () => {
  const controller = new AbortController();
  const reason = new Error('the user left');
  const error = await failure(
    usage.withUsage('token', { subject, amount: 30, signal: controller.signal }, (work) => {
      expect(work.signal).toBe(controller.signal);
      controller.abort(reason);
      return new Promise(() => {});
    }),
  );
  expect(error).toBe(reason);
  expect(await state()).toEqual({ used: 0, reserved: 0 });
});

test('aborted work counts what it had reported by then, and gives the rest back', async () => {
  const controller = new AbortController();
  const reason = new Error('the reader left');
  const error = await failure(
    usage.withUsage('token', { subject, amount: 30, signal: controller.signal }, (work) => {
      work.commit(5);
      work.commit(12, { finish: 'left' });
      controller.abort(reason);
      return new Promise(() => {});
    }),
  );
  expect(error).toBe(reason);
  expect(calls('commit_usage').map(({ args }) => args)).toMatchObject([
    { amount: 12, metadata: { finish: 'left' } },
  ]);
  expect(await state()).toEqual({ used: 12, reserved: 0 });
});

test('it makes no difference whether the work hears of the abort itself', async () => {
  const controller = new AbortController();
  const heard = new Promise<never>((_, reject) => {
    controller.signal.addEventListener('abort', () => reject(new Error('the model was stopped')));
  });
  await failure(
    usage.withUsage('token', { subject, amount: 30, signal: controller.signal }, (work) => {
      work.commit(7);
      setTimeout(() => controller.abort(), 5);
      return heard;
    }),
  );
  expect(await state()).toEqual({ used: 7, reserved: 0 });
});

test('what is reported after the abort comes too late', async () => {
  const controller = new AbortController();
  network.next('commit_usage', 'call lost');
  await failure(
    usage.withUsage('token', { subject, amount: 30, signal: controller.signal }, async (work) => {
      work.commit(7);
      controller.abort();
      await new Promise((resolve) => setTimeout(resolve, 20));
      work.commit(29);
    }),
  );
  expect(calls('commit_usage').map(({ args }) => args.amount)).toEqual([7, 7]);
  expect(await state()).toEqual({ used: 7, reserved: 0 });
});

test('a report of 0 before an abort counts nothing', async () => {
  const controller = new AbortController();
  await failure(
    usage.withUsage('token', { subject, signal: controller.signal }, (work) => {
      work.commit(0);
      controller.abort();
      return new Promise(() => {});
    }),
  );
  expect(await state()).toEqual({ used: 0, reserved: 0 });
});

test('no answer to the commit of aborted work is an unknown outcome that can be settled', async () => {
  const controller = new AbortController();
  network.next('commit_usage', 'call lost', 'call lost');
  const error = (await failure(
    usage.withUsage('token', { subject, retries: 1, signal: controller.signal }, (work) => {
      work.commit(1);
      controller.abort();
      return new Promise(() => {});
    }),
  )) as UsageOutcomeUnknown;
  expect(error).toBeInstanceOf(UsageOutcomeUnknown);
  expect(error).toMatchObject({ step: 'commit', value: undefined });
  await usage.commitUsage({ reservation_id: error.reservationId ?? '' });
  expect(await state()).toEqual({ used: 1, reserved: 0 });
});

test('a call that is aborted before it starts holds nothing', async () => {
  const ran = await failure(
    usage.withUsage('token', { subject, signal: AbortSignal.abort() }, () => 'ran'),
  );
  expect(ran).toMatchObject({ name: 'AbortError' });
  expect(network.calls).toEqual([]);
});

test('an abort during the reservation gives the hold back and does not run the work', async () => {
  const controller = new AbortController();
  network.onAnswer = (name) => name === 'reserve_usage' && controller.abort();
  let ran = false;
  const error = await failure(
    usage.withUsage('token', { subject, signal: controller.signal }, () => {
      ran = true;
    }),
  );
  expect(error).toMatchObject({ name: 'AbortError' });
  expect(ran).toBe(false);
  expect(calls('release_usage')).toHaveLength(1);
  expect(await state()).toEqual({ used: 0, reserved: 0 });
});

test('at the limit the work does not run', async () => {
  await usage.consumeUsage({ feature: 'token', amount: 95, subject });
  let ran = false;
  const error = await failure(
    usage.withUsage('token', { subject, amount: 6 }, () => {
      ran = true;
    }),
  );
  expect(error).toBeInstanceOf(UsageLimitExceeded);
  expect(ran).toBe(false);
  expect(await state()).toEqual({ used: 95, reserved: 0 });
});

/** What makes the hold of a key a dead one. */
const ENDS: [string, (key: string) => Promise<unknown>][] = [
  [
    'was released',
    (idempotencyKey) =>
      failure(usage.withUsage('token', { subject, idempotencyKey }, () => Promise.reject('no'))),
  ],
  [
    'has expired',
    async (idempotency_key) => {
      await usage.reserveUsage({ feature: 'token', subject, ttl: '50 ms', idempotency_key });
      await new Promise((resolve) => setTimeout(resolve, 100));
    },
  ],
  [
    'was refunded in full',
    async (idempotencyKey) => {
      const { decision } = await usage.withUsage('token', { subject, idempotencyKey }, () => 1);
      await usage.refundUsage({ event_id: decision?.event_id ?? '' });
    },
  ],
  [
    'was committed with nothing',
    (idempotencyKey) =>
      usage.withUsage('token', { subject, idempotencyKey }, (work) => work.commit(0)),
  ],
];

test.each(ENDS)('a key whose hold %s holds afresh, and the work is counted', async (_, end) => {
  await end('stable');
  const { value, decision } = await usage.withUsage(
    'token',
    { subject, idempotencyKey: 'stable' },
    () => 'ran',
  );
  expect(value).toBe('ran');
  expect(decision).toMatchObject({ used: 1, reserved: 0, replayed: false });
  expect(await state()).toEqual({ used: 1, reserved: 0 });
});

test.each(ENDS)('at the limit a key whose hold %s does not run the work', async (_, end) => {
  await end('stable');
  await usage.consumeUsage({ feature: 'token', subject, amount: 100 });
  let ran = false;
  const error = await failure(
    usage.withUsage('token', { subject, idempotencyKey: 'stable' }, () => {
      ran = true;
    }),
  );
  expect(error).toBeInstanceOf(UsageLimitExceeded);
  expect(ran).toBe(false);
  expect(await state()).toEqual({ used: 100, reserved: 0 });
});

test('the key of a call that was counted counts nothing more', async () => {
  const call = () =>
    usage.withUsage('token', { subject, amount: 5, idempotencyKey: 'stable' }, () => 'ran');
  await call();
  expect((await call()).decision).toMatchObject({ used: 5, replayed: true });
  expect(await state()).toEqual({ used: 5, reserved: 0 });
});

test('lost calls and lost answers are repeated with one key, and count once', async () => {
  network.next('reserve_usage', 'answer lost', 'call lost');
  network.next('commit_usage', 'call lost', 'answer lost', 'answer lost');
  const { decision, idempotencyKey } = await usage.withUsage(
    'token',
    { subject, amount: 30 },
    (work) => work.commit(20),
  );
  expect(decision).toMatchObject({ used: 20, reserved: 0, replayed: true });
  expect(calls('reserve_usage').map(({ args }) => args.idempotency_key)).toEqual(
    Array(3).fill(idempotencyKey),
  );
  expect(calls('commit_usage')).toHaveLength(4);
  expect(await state()).toEqual({ used: 20, reserved: 0 });
});

test('a lost release is repeated too', async () => {
  network.next('release_usage', 'answer lost', 'call lost');
  await failure(usage.withUsage('token', { subject }, () => Promise.reject(new Error('no'))));
  expect(calls('release_usage')).toHaveLength(3);
  expect(await state()).toEqual({ used: 0, reserved: 0 });
});

test('what stands in front of PostgREST and gets no answer is as good as none', async () => {
  network.next('reserve_usage', { status: 502, body: '<html>' }, { status: 504, body: '' });
  await usage.withUsage('token', { subject }, () => 'done');
  expect(calls('reserve_usage')).toHaveLength(3);
});

test('PostgREST 16 hands class 40 through, and it is repeated', async () => {
  // PostgREST 12, which runs here, repeats these by itself; so its successor's answer is played.
  const answer = (code: string) => ({ status: 500, body: JSON.stringify({ code, message: '' }) });
  network.next('reserve_usage', answer('40001'), answer('40P01'));
  await usage.withUsage('token', { subject }, () => 'done');
  expect(calls('reserve_usage')).toHaveLength(3);
  expect(await state()).toEqual({ used: 1, reserved: 0 });
});

test('a call that met a locked row is repeated until the row is free', async () => {
  await usage.consumeUsage({ feature: 'token', subject });
  const holder = await database.connect();
  await holder.query('begin');
  await holder.query(`select public.consume_usage('token', 1, $1)`, [subject]);
  const statuses: number[] = [];
  network.onAnswer = (_, status) => {
    statuses.push(status);
    if (statuses.length === 1) holder.query('commit');
  };
  const { decision } = await usage.withUsage('token', { subject, timeout: 20_000 }, () => 'done');
  expect(statuses[0]).toBe(500);
  expect(decision).toMatchObject({ used: 3 });
  await holder.end();
});

test('a definite error is not repeated', async () => {
  const error = await failure(usage.withUsage('nothing', { subject }, () => 'ran'));
  expect(error).toBeInstanceOf(UsageError);
  expect(error).toMatchObject({ code: 'QFEAT' });
  expect(network.calls).toHaveLength(1);
});

test('no answer to the reservation is an unknown outcome with the key, and the work does not run', async () => {
  network.next('reserve_usage', 'answer lost', 'call lost');
  let ran = false;
  const error = await failure(
    usage.withUsage('token', { subject, amount: 9, retries: 1, idempotencyKey: 'key-1' }, () => {
      ran = true;
    }),
  );
  expect(error).toBeInstanceOf(UsageOutcomeUnknown);
  expect(error).toMatchObject({ step: 'reserve', idempotencyKey: 'key-1', code: '' });
  expect(ran).toBe(false);

  // The key tells what became of it: here the hold exists.
  expect(await state()).toEqual({ used: 0, reserved: 9 });
  const told = await usage.reserveUsage({
    feature: 'token',
    amount: 9,
    subject,
    idempotency_key: 'key-1',
  });
  expect(told.replayed).toBe(true);
  await usage.releaseUsage({ reservation_id: told.reservation_id ?? '' });
});

test('after a lost attempt a definite error leaves the outcome unknown', async () => {
  network.next('reserve_usage', 'answer lost', {
    status: 401,
    body: JSON.stringify({ code: 'PGRST301', message: 'JWT expired' }),
  });
  const error = await failure(usage.withUsage('token', { subject }, () => 'ran'));
  expect(error).toBeInstanceOf(UsageOutcomeUnknown);
  expect((error as UsageOutcomeUnknown).cause).toMatchObject({ code: 'PGRST301' });
  expect(await state()).toEqual({ used: 0, reserved: 1 });
});

test('no answer to the commit is an unknown outcome that keeps the value and can be settled', async () => {
  network.next('commit_usage', 'answer lost', 'call lost');
  const error = (await failure(
    usage.withUsage('token', { subject, amount: 30, retries: 1 }, (work) => {
      work.commit(20);
      return 'a poem';
    }),
  )) as UsageOutcomeUnknown;
  expect(error).toBeInstanceOf(UsageOutcomeUnknown);
  expect(error).toMatchObject({ step: 'commit', value: 'a poem' });
  expect(calls('reserve_usage')[0]?.args.idempotency_key).toBe(error.idempotencyKey);

  const settled = await usage.commitUsage({ reservation_id: error.reservationId ?? '' });
  expect(settled).toMatchObject({ amount: 20, used: 20, replayed: true });
});

test('a silent database is given up after the timeout', async () => {
  network.next('reserve_usage', 'silence', 'silence');
  const error = await failure(
    usage.withUsage('token', { subject, timeout: 100, retries: 1 }, () => 'ran'),
  );
  expect(error).toBeInstanceOf(UsageOutcomeUnknown);
  expect(calls('reserve_usage')).toHaveLength(2);
});

test('without a database the work runs only if the call allows it, and that is reported', async () => {
  await network.stop();
  const deny = await failure(usage.withUsage('token', { subject, retries: 1 }, () => 'ran'));
  expect(deny).toBeInstanceOf(UsageOutcomeUnknown);

  const allowed = await usage.withUsage(
    'token',
    { subject, retries: 0, whenUnavailable: 'allow' },
    (work) => {
      work.commit(3);
      return work.decision === null ? 'ran uncounted' : 'ran';
    },
  );
  expect(allowed).toMatchObject({ value: 'ran uncounted', decision: null });
  expect(allowed.unavailable).toBeInstanceOf(UsageOutcomeUnknown);
  expect(allowed.unavailable?.idempotencyKey).toBe(allowed.idempotencyKey);
});

test('allowing when unavailable does not allow past a limit', async () => {
  await usage.consumeUsage({ feature: 'token', amount: 100, subject });
  const error = await failure(
    usage.withUsage('token', { subject, whenUnavailable: 'allow' }, () => 'ran'),
  );
  expect(error).toBeInstanceOf(UsageLimitExceeded);
});

test('a batch takes all items or none', async () => {
  const items = [
    { feature: 'token', amount: 60 },
    { feature: 'token', amount: 41 },
  ];
  const refused = await usage.consumeUsageBatch({ items, subject });
  expect(refused.map(({ allowed }) => allowed)).toEqual([false, false]);
  expect(await state()).toEqual({ used: 0, reserved: 0 });
  const taken = await usage.consumeUsageBatch({ items: [{ feature: 'token' }], subject });
  expect(taken).toMatchObject([{ allowed: true, used: 1 }]);
});

test('long work keeps its hold by a heartbeat, which ends with it', async () => {
  const options = { subject, amount: 30, ttl: '4 seconds', heartbeat: 150 };
  network.next('extend_usage', 'call lost', 'answer lost');
  await usage.withUsage('token', options, async (work) => {
    // Longer than the ttl, however slowly it beats.
    await new Promise((resolve) => setTimeout(resolve, 4500));
    await expect.poll(() => calls('extend_usage').length).toBeGreaterThan(4);
    expect(await state()).toEqual({ used: 0, reserved: 30 });
    work.commit(12);
  });
  expect(await state()).toEqual({ used: 12, reserved: 0 });
  const beats = calls('extend_usage');
  expect(beats.length).toBeGreaterThan(4);
  expect(beats[0]?.args).toMatchObject({ subject, ttl: '4 seconds' });
  await new Promise((resolve) => setTimeout(resolve, 250));
  expect(calls('extend_usage')).toHaveLength(beats.length);
});

test('work whose hold is lost is aborted with QRSRV, and what it had reported is counted', async () => {
  let heard = false;
  network.onAnswer = async (name) => {
    if (name !== 'reserve_usage') return;
    network.next('extend_usage', ...Array(5).fill('call lost'));
  };
  const error = await failure(
    usage.withUsage('token', { subject, amount: 30, ttl: '300 ms', heartbeat: 100 }, (work) => {
      work.commit(12);
      work.signal.addEventListener('abort', () => {
        heard = true;
      });
      return new Promise(() => {});
    }),
  );
  expect(error).toMatchObject({ code: 'QRSRV' });
  expect(heard).toBe(true);
  expect(await state()).toEqual({ used: 12, reserved: 0 });
});

test('a heartbeat that is no number of milliseconds holds nothing', async () => {
  for (const heartbeat of [0, -1, Number.NaN, 2 ** 31]) {
    const error = await failure(usage.withUsage('token', { subject, heartbeat }, () => 1));
    expect(error).toBeInstanceOf(RangeError);
  }
  expect(network.calls).toEqual([]);
});
