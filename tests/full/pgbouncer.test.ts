// No session state: everything works through a pooler that gives each transaction another connection.
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import pg from 'pg';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { choosePort } from '../../scripts/local/ports.ts';
import { createDatabase, type TestDatabase } from '../support/database.ts';
import { applyPlans } from '../support/plans.ts';
import { asService, asUser } from '../support/session.ts';

const CALLERS = 16;
let database: TestDatabase;
let pooler: ChildProcess;
let folder: string;
let pool: pg.Pool;

beforeAll(async () => {
  database = await createDatabase();
  const client = await database.connect();
  await applyPlans(client, {
    features: { ai_generation: {} },
    plans: { free: { default: true, limits: { ai_generation: { month: 50 } } } },
  });
  const { hostname, port, username, password } = new URL(database.url);
  folder = mkdtempSync(join(tmpdir(), 'pgquota-pgbouncer-'));
  chmodSync(folder, 0o755); // pgbouncer refuses root and runs as somebody else
  const listenPort = await choosePort(undefined, '127.0.0.1');
  writeFileSync(join(folder, 'users.txt'), `"${username}" "${decodeURIComponent(password)}"\n`);
  writeFileSync(
    join(folder, 'pgbouncer.ini'),
    `[databases]
${database.name} = host=${hostname} port=${port}
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = ${listenPort}
unix_socket_dir =
auth_type = plain
auth_file = ${folder}/users.txt
pool_mode = transaction
default_pool_size = 2
`,
  );
  const asNobody = process.getuid?.() === 0 ? { uid: 65534, gid: 65534 } : {};
  pooler = spawn('pgbouncer', [join(folder, 'pgbouncer.ini')], { stdio: 'ignore', ...asNobody });
  await once(pooler, 'spawn');
  const url = new URL(database.url);
  url.port = String(listenPort);
  pool = new pg.Pool({ connectionString: url.href, max: CALLERS });
  for (let attempt = 0; ; attempt++) {
    try {
      await pool.query('select 1');
      break;
    } catch (error) {
      if (attempt > 50) throw error;
      await sleep(100);
    }
  }
});

afterAll(async () => {
  await pool?.end();
  if (pooler && pooler.exitCode === null && pooler.kill()) await once(pooler, 'exit');
  rmSync(folder, { recursive: true, force: true });
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
