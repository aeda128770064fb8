// docs/slots.md as it stands there, its times a tenth: workers that are processes of their own, killed.
import { type ChildProcess, spawn } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type pg from 'pg';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { fromRoot } from '../../scripts/local/project.ts';
import { run } from '../package/cli.ts';
import { createDatabase, type TestDatabase } from '../support/database.ts';
import { blocksOf } from '../support/page.ts';
import { applyPlans } from '../support/plans.ts';

const page = blocksOf('docs/slots.md');
const TTL = 6000;
let database: TestDatabase;
let owner: pg.Client;
let folder: string;
const workers: ChildProcess[] = [];

beforeAll(async () => {
  database = await createDatabase();
  owner = await database.connect();
  await applyPlans(owner, JSON.parse(page('json')[0] as string));
  await owner.query(`select public.set_plan('acme', 'team')`);
  // Beside this file, so that packages are found.
  folder = mkdtempSync(join(import.meta.dirname, '.run-'));
  const [code = ''] = page('ts');
  const quick = code.replace("'30 seconds'", "'6 seconds'").replace('10_000', '2_000');
  expect(quick).not.toBe(code);
  write('worker.ts', quick);
  write(
    'usage.ts',
    `import pg from 'pg';
import { createUsageClient } from '../../../types/pg.ts';
export const pool = new pg.Pool({ connectionString: process.env.DATABASE_URL });
export const usage = createUsageClient<'export_slot'>(pool, { role: 'service_role' });
`,
  );
  // Works until it is told to end.
  write(
    'main.ts',
    `import { exportFor } from './worker.ts';
import { pool } from './usage.ts';
const told = await exportFor('acme', async (signal) => {
  console.log('working');
  await new Promise((resolve, reject) => {
    process.stdin.once('data', resolve);
    signal.addEventListener('abort', () => reject(signal.reason));
  });
}).catch((error) => error.code);
console.log(told);
process.stdin.destroy();
await pool.end();
`,
  );
});

afterAll(async () => {
  for (const worker of workers) worker.kill('SIGKILL');
  rmSync(folder, { recursive: true, force: true });
  await database.drop();
});

const write = (name: string, code: string) =>
  writeFileSync(join(folder, name), code.replaceAll("'pgquota'", "'../../../types/index.ts'"));

interface Worker {
  process: ChildProcess;
  /** Its next line. */
  says(): Promise<string>;
}

function startWorker(): Worker {
  const child = spawn(process.execPath, ['--import', 'tsx', join(folder, 'main.ts')], {
    env: { ...process.env, DATABASE_URL: database.url },
    stdio: ['pipe', 'pipe', 'inherit'],
  });
  workers.push(child);
  let text = '';
  child.stdout.on('data', (piece) => {
    text += piece;
  });
  return {
    process: child,
    async says() {
      while (!text.includes('\n')) await sleep(10);
      const [line = '', ...rest] = text.split('\n');
      text = rest.join('\n');
      return line;
    },
  };
}

async function taken(): Promise<number> {
  const { rows } = await owner.query(
    `select reserved::integer from public.check_usage('export_slot', 1, 'acme')`,
  );
  return rows[0].reserved;
}

test('three exports at a time: a fourth is refused, one that is killed frees its slot, one that lives keeps it', async () => {
  const [first, second, third] = [startWorker(), startWorker(), startWorker()];
  for (const worker of [first, second, third]) expect(await worker.says()).toBe('working');
  expect(await startWorker().says()).toBe('all slots are taken');

  first.process.kill('SIGKILL');
  const killedAt = Date.now();
  await sleep(TTL / 3);
  expect(await taken(), 'it does not hear of the death').toBe(3);
  while ((await taken()) === 3 && Date.now() < killedAt + 2 * TTL) await sleep(50);
  expect(Date.now() - killedAt, 'ttl after the last beat').toBeLessThan(2 * TTL);
  // The others have held for longer than their ttl.
  expect(await taken()).toBe(2);
  const next = startWorker();
  expect(await next.says()).toBe('working');
  expect(await taken()).toBe(3);

  // One that ends gives its slot back at once; one whose slot was taken away stops.
  second.process.stdin?.write('end\n');
  expect(await second.says()).toBe('done');
  expect(await taken()).toBe(2);
  await owner.query(
    `select public.release_usage(reservation_id) from quota.reservations
     where state = 'open' and expires_at > quota.clock()`,
  );
  expect(await third.says()).toBe('QRSRV');
  expect(await next.says()).toBe('QRSRV');
  expect(await taken()).toBe(0);
  expect((await owner.query('select * from public.verify_usage()')).rows).toEqual([]);
});

test('the same in SQL', async () => {
  const [sql = ''] = page('sql');
  const client = await database.connect();
  await client.query('set role service_role');
  const [take = '', extend = '', release = ''] = sql.split(/^(?=-- )/m);
  await client.query(take);
  await client.query(extend);
  expect(await taken()).toBe(1);
  await client.query(release);
  expect(await taken()).toBe(0);
});

test('the page compiles, strictly', async () => {
  writeFileSync(
    join(folder, 'tsconfig.json'),
    JSON.stringify({ extends: '../../../tsconfig.json', include: ['./*.ts'], exclude: [] }),
  );
  const { output } = await run(fromRoot('node_modules/.bin/tsc'), ['-p', '.'], { cwd: folder });
  expect(output).toBe('');
});
