// No session state: everything works through a pooler that gives each transaction another connection.
import pg from 'pg';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { createDatabase, type TestDatabase } from '../support/database.ts';
import { applyPlans } from '../support/plans.ts';
import { type Pooler, startPooler } from '../support/pooler.ts';
import { asService, asUser } from '../support/session.ts';

const CALLERS = 16;
let database: TestDatabase;
let pooler: Pooler;
let pool: pg.Pool;

beforeAll(async () => {
  database = await createDatabase();
  const client = await database.connect();
  await applyPlans(client, {
    features: { ai_generation: {} },
    plans: { free: { default: true, limits: { ai_generation: { month: 50 } } } },
  });
  pooler = await startPooler(database.url);
  pool = new pg.Pool({ connectionString: pooler.url, max: CALLERS });
});

afterAll(async () => {
  await pool?.end();
  await pooler?.stop();
  await database?.drop();
});

/** Each transaction on a connection of its own, as far as the pooler lets it. */
async function inParallel<Result>(
  count: number,
  work: (client: pg.PoolClient, n: number) => Promise<Result>,
) {
  return Promise.all(
    Array.from({ length: count }, async (_, n) => {
      const client = await pool.connect();
      try {
        return await work(client, n);
      } finally {
        client.release();
      }
    }),
  );
}

test('two users through two shared connections are limited apart, and exactly', async () => {
  const allowed = await inParallel(160, (client, n) =>
    asUser(client, n % 2 ? 'ada' : 'grace', async () => {
      const { rows } = await client.query(`select * from consume_usage('ai_generation')`);
      return rows[0].allowed ? rows[0].subject : null;
    }),
  );
  expect(allowed.filter((subject) => subject === 'ada')).toHaveLength(50);
  expect(allowed.filter((subject) => subject === 'grace')).toHaveLength(50);
});

test('holds are made on one connection and ended on another', async () => {
  const holds = await inParallel(40, (client) =>
    asService(client, async () => {
      const { rows } = await client.query(`select * from reserve_usage('ai_generation', 1, 'lin')`);
      return rows[0].reservation_id as string;
    }),
  );
  await inParallel(40, (client, n) =>
    asService(client, () =>
      client.query(`select ${n % 2 ? 'commit_usage' : 'release_usage'}($1)`, [holds[n]]),
    ),
  );
  const { rows } = await pool.query(
    `select used, reserved from current_usage where subject = 'lin'`,
  );
  expect(rows).toEqual([{ used: '20', reserved: '0' }]);
});

test('a transaction leaves nobody behind: the next has no identity', async () => {
  const client = await pool.connect();
  try {
    await expect(
      client.query(`begin; set local role authenticated; select consume_usage('ai_generation')`),
    ).rejects.toMatchObject({ code: '42501' });
    await client.query('rollback');
  } finally {
    client.release();
  }
});

test('every number is proved afterwards', async () => {
  expect((await pool.query('select * from verify_usage()')).rows).toEqual([]);
});
