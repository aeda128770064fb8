// Who calls, over a connection that signs in as somebody else: the server's role, and signed-in users.
import { randomBytes } from 'node:crypto';
import pg from 'pg';
import { afterAll, beforeAll, describe, expect, inject, test } from 'vitest';
import { createUsageClient, type UsageClient, type UsageOptions } from '../../types/pg.ts';
import { urlOf } from '../support/cluster.ts';
import { createDatabase, type TestDatabase } from '../support/database.ts';
import { applyPlans } from '../support/plans.ts';

// Roles are the server's: other files have databases there.
const suffix = randomBytes(4).toString('hex');
const LOGINS = {
  app: 'grant service_role, authenticated to',
  strict: 'grant service_role, authenticated to',
  stranger: 'grant anon to',
};
type Login = keyof typeof LOGINS;
const nameOf = (login: Login) => `${login}_${suffix}`;

let database: TestDatabase;
let owner: pg.Client;
const pools: pg.Pool[] = [];

beforeAll(async () => {
  database = await createDatabase();
  owner = await database.connect();
  await applyPlans(owner);
  for (const [login, grant] of Object.entries(LOGINS)) {
    const name = nameOf(login as Login);
    const inherits = login === 'strict' ? 'noinherit' : 'inherit';
    await owner.query(`create role ${name} login ${inherits} password 'secret'`);
    await owner.query(`${grant} ${name}`);
  }
});
afterAll(async () => {
  expect((await owner.query('select * from verify_usage()')).rows).toEqual([]);
  await Promise.all(pools.map((pool) => pool.end()));
  for (const login of Object.keys(LOGINS)) await owner.query(`drop role ${nameOf(login as Login)}`);
  await database.drop();
});

function poolOf(login: Login | 'owner', config: pg.PoolConfig = {}): pg.Pool {
  const url =
    login === 'owner'
      ? database.url
      : urlOf(inject('cluster'), database.name, { user: nameOf(login), password: 'secret' });
  const pool = new pg.Pool({ connectionString: url, max: 3, ...config });
  pools.push(pool);
  return pool;
}

const failure = async (call: PromiseLike<unknown>) =>
  call.then(
    (answer) => expect.unreachable(`it answered ${JSON.stringify(answer)}`),
    (error) => error,
  );

const EXPORT = { feature: 'export', subject: 'ann' };
const SERVICE: UsageOptions = { role: 'service_role' };

/** What the connection is after a call: nothing of the identity may stay. */
async function setNow(connection: pg.Pool | pg.ClientBase) {
  const { rows } = await connection.query(
    `select current_setting('role') as role, current_user::text as user,
       coalesce(current_setting('request.jwt.claims', true), '') as claims`,
  );
  return rows[0];
}

/** Writes, an answer of many rows, one of none, and a view. */
async function expectServer(usage: UsageClient, subject: string) {
  const use = { feature: 'export', subject };
  expect(await usage.consumeUsage({ ...use, amount: 2 })).toMatchObject({ allowed: true, used: 2 });
  expect(await usage.setPlan({ subject, plan: 'pro' })).toBeUndefined();
  expect(await usage.consumeUsageBatch({ items: [{ feature: 'export' }], subject })).toMatchObject([
    { used: 3 },
  ]);
  expect(await usage.verifyUsage({ subject })).toEqual([]);
  const { data } = await usage
    .from('current_usage')
    .select('used')
    .eq('subject', subject)
    .eq('feature', 'export')
    .throwOnError();
  expect(data).toEqual([{ used: 3 }]);
}

describe('a login that was granted service_role', () => {
  test('is told what is missing', async () => {
    const pool = poolOf('app');
    const usage = createUsageClient(pool);
    for (const call of [
      () => usage.consumeUsage(EXPORT),
      () => usage.setPlan({ subject: 'ann', plan: 'pro' }),
      () => usage.verifyInstallation(),
    ]) {
      const error = await failure(call());
      expect(error).toMatchObject({ code: '42501', status: 403 });
      expect(error.hint).toContain('set role service_role');
    }
    const { data } = await createUsageClient(pool).from('current_usage').select().throwOnError();
    expect(data).toEqual([]);
  });

  test('calls as it, by the option, and is itself again after the call', async () => {
    const pool = poolOf('app', { max: 1 });
    await expectServer(createUsageClient(pool, SERVICE), 'option');
    expect(await setNow(pool)).toEqual({ role: 'none', user: nameOf('app'), claims: '' });
    const error = await failure(
      createUsageClient(pool, SERVICE).consumeUsage({ ...EXPORT, feature: 'nothing' }),
    );
    expect(error.code).toBe('QFEAT');
    expect(await setNow(pool)).toMatchObject({ role: 'none', user: nameOf('app') });
  });

  test('in its own transaction goes on as what it was, also after a savepoint', async () => {
    const client = await poolOf('app').connect();
    const usage = createUsageClient(client, SERVICE);
    await client.query(`begin; select set_config('request.jwt.claims', '{"sub":"x"}', true)`);
    await expectServer(usage, 'inside');
    const own = { role: 'none', user: nameOf('app'), claims: '{"sub":"x"}' };
    expect(await setNow(client)).toEqual(own);
    await client.query('savepoint before');
    expect((await failure(usage.setPlan({ subject: 'inside', plan: 'x' }))).code).toBe('QPLAN');
    await client.query('rollback to before');
    expect(await setNow(client)).toEqual(own);
    await client.query('rollback');
    const { used } = await usage.checkUsage({ feature: 'export', subject: 'inside' });
    expect(used).toBe(0);
    client.release();
  });

  test('reads no view as it on a connection that has no transaction', async () => {
    const client = await poolOf('app').connect();
    const read = createUsageClient(client, SERVICE).from('current_usage').select();
    expect((await read).error).toMatchObject({ code: '25P01' });
    client.release();
  });

  test('reads views as it through a transaction that the adapter gives', async () => {
    const pool = poolOf('app');
    const usage = createUsageClient(
      {
        query: (text, values) => pool.query(text, values),
        async transaction(work) {
          const client = await pool.connect();
          try {
            await client.query('begin');
            const result = await work(client);
            await client.query('commit');
            return result;
          } finally {
            client.release();
          }
        },
      },
      SERVICE,
    );
    await expectServer(usage, 'adapter');
  });

  test.each([
    ['startup option of the pool', async () => poolOf('app', { options: '-c role=service_role' })],
    [
      'setting of the login',
      async () => {
        await owner.query(`alter role ${nameOf('app')} set role = 'service_role'`);
        return poolOf('app');
      },
    ],
  ])('needs no option where a %s says it', async (name, connect) => {
    const pool = await connect();
    await expectServer(createUsageClient(pool), name);
    await expectServer(createUsageClient(pool, SERVICE), `${name} too`);
    await owner.query(`alter role ${nameOf('app')} reset role`);
  });
});

describe('a login that cannot', () => {
  test('for it does not inherit: the hint says so, and a setting of the login helps', async () => {
    const pool = poolOf('strict');
    const error = await failure(createUsageClient(pool, SERVICE).consumeUsage(EXPORT));
    expect(error).toMatchObject({ code: '42501', status: 403 });
    expect(error.hint).toContain('inherit');
    const usage = createUsageClient(poolOf('strict', { options: '-c role=service_role' }));
    await expectServer(usage, 'strict');
  });

  test('for it was not granted the role: the hint names it', async () => {
    const pool = poolOf('stranger');
    for (const options of [{}, SERVICE]) {
      const usage = createUsageClient(pool, options);
      const error = await failure(usage.consumeUsage(EXPORT));
      expect(error).toMatchObject({ code: '42501', status: 403 });
      expect(error.hint).toContain('service_role');
      expect((await usage.from('current_usage').select()).error?.code).toBe('42501');
    }
    const user = createUsageClient(pool, { claims: { sub: 'ann' } });
    expect((await failure(user.consumeUsage({ feature: 'export' }))).hint).toContain(
      'authenticated',
    );
  });
});

describe.each(['app', 'owner'] as const)('for a signed-in user, over a pool of %s', (login) => {
  const sub = `user-${login}`;
  const other = `other-${login}`;

  test('it uses its own allowance and no other', async () => {
    const pool = poolOf(login, { max: 1 });
    const usage = createUsageClient(pool, { claims: { sub } });
    expect(await usage.enforceUsage({ feature: 'export', amount: 4 })).toMatchObject({
      subject: sub,
      used: 4,
    });
    for (const call of [
      usage.consumeUsage({ feature: 'export', subject: other }),
      usage.reserveUsage({ feature: 'export', subject: sub }),
      usage.setPlan({ subject: sub, plan: 'pro' }),
      usage.verifyUsage(),
      usage.verifyInstallation(),
      usage.deliverAlerts(),
    ]) {
      expect(await failure(call)).toMatchObject({ code: '42501', status: 403 });
    }
    expect(await setNow(pool)).toMatchObject({ role: 'none', claims: '' });
  });

  test('it reads its own rows, whatever the login may see', async () => {
    const pool = poolOf(login, { max: 1 });
    await createUsageClient(pool, SERVICE).consumeUsage({ feature: 'export', subject: other });
    const usage = createUsageClient(pool, { claims: { sub } });
    for (const view of ['current_usage', 'usage_events', 'usage_history'] as const) {
      const { data } = await usage.from(view).select('subject').throwOnError();
      expect(new Set(data.map(({ subject }) => subject)), view).toEqual(new Set([sub]));
    }
    expect((await usage.from('usage_overview').select()).error).toMatchObject({ code: '42501' });
    expect(await setNow(pool)).toMatchObject({ role: 'none', claims: '' });
  });

  test('in the transaction of the server, which goes on as itself', async () => {
    const client = await poolOf(login).connect();
    await client.query('begin');
    const before = await setNow(client);
    const usage = createUsageClient(client, { claims: { sub } });
    await usage.consumeUsage({ feature: 'ai_generation' });
    const { data } = await usage.from('current_usage').select('subject').throwOnError();
    expect(new Set(data.map(({ subject }) => subject))).toEqual(new Set([sub]));
    expect(await setNow(client)).toEqual(before);
    await client.query('rollback');
    client.release();
  });

  test('many at once on few connections: each is counted for itself', async () => {
    const pool = poolOf(login);
    const calls = Array.from({ length: 60 }, (_, call) =>
      createUsageClient(pool, { claims: { sub: `crowd-${login}-${call % 12}` } }).consumeUsage({
        feature: 'export',
      }),
    );
    const decisions = await Promise.all(calls);
    decisions.forEach((decision, call) => {
      expect(decision.subject).toBe(`crowd-${login}-${call % 12}`);
    });
    expect(decisions.every(({ allowed }) => allowed)).toBe(true);
    expect(decisions.filter(({ used }) => used === 5)).toHaveLength(12);
  });
});

test('claims without a sub are nobody, and stop before anything is sent', () => {
  expect(() => createUsageClient(poolOf('owner'), { claims: { sub: '' } })).toThrow(
    expect.objectContaining({ code: '42501', status: 401 }),
  );
});
