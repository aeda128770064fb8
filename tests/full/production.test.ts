// docs/production.md and docs/from-redis.md with what Debian has of their neighbours: pg_cron and Redis.
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import pg from 'pg';
import { afterAll, beforeAll, describe, test } from 'vitest';
import { withClient } from '../../scripts/local/client.ts';
import { migrate } from '../../scripts/local/migrate.ts';
import { choosePort } from '../../scripts/local/ports.ts';
import { ensureApiRoles } from '../../scripts/local/roles.ts';
import { createProject, run } from '../package/cli.ts';
import { setClock } from '../support/clock.ts';
import { createDatabase } from '../support/database.ts';
import { type Debian15, startDebian15 } from '../support/debian15.ts';
import { blocksOf } from '../support/page.ts';
import { applyPlans } from '../support/plans.ts';

let server: Debian15;
let redis: ChildProcess;
let port: number;
beforeAll(async () => {
  server = await startDebian15('-c shared_preload_libraries=pg_cron -c cron.host=127.0.0.1');
  port = await choosePort(undefined, '127.0.0.1');
  const settings = [
    '--port',
    String(port),
    '--bind',
    '127.0.0.1',
    '--save',
    '',
    '--daemonize',
    'no',
  ];
  redis = spawn('redis-server', settings, { stdio: 'ignore', cwd: '/' });
  await Promise.race([
    once(redis, 'spawn'),
    once(redis, 'error').then(([error]) => Promise.reject(error)),
  ]);
});
afterAll(() => {
  redis?.kill();
  server?.stop();
});

// Side by side: pg_cron starts a job at the next full minute.
describe.concurrent('with what runs beside it', () => {
  // Of its own: a poll that starts when the one beside it has just ended belongs to no test.
  test('pg_cron runs the job as it is scheduled', { timeout: 120_000 }, async ({ expect }) => {
    const client = new pg.Client(server.url);
    await client.connect();
    try {
      await ensureApiRoles(client);
      await migrate(server.url);
      await client.query('create extension pg_cron');
      await client.query(blocksOf('docs/production.md')('sql', 'Tidying')[0] as string);
      const job = `select jobname, schedule, command, active from cron.job`;
      expect((await client.query(job)).rows).toEqual([
        {
          jobname: 'pgquota tidy',
          schedule: '17 3 * * *',
          command: 'select quota.tidy()',
          active: true,
        },
      ]);
      await client.query(`select cron.alter_job(jobid, schedule => '* * * * *') from cron.job`);
      const runs = `select status, return_message from cron.job_run_details where end_time is not null`;
      await expect
        .poll(async () => (await client.query(runs)).rows, { timeout: 100_000, interval: 500 })
        .toEqual([{ status: 'succeeded', return_message: '1 row' }]);
    } finally {
      await client.end();
    }
  });

  test('the counts of a Redis come along', { timeout: 60_000 }, async ({ expect }) => {
    const [database, project] = [await createDatabase(), createProject()];
    try {
      const cli = `redis-cli -p ${port}`;
      const type = async (line: string) => {
        const { code, output } = await run('bash', ['-e', '-o', 'pipefail', '-c', line], {
          cwd: project.folder,
        });
        expect(code, output).toBe(0);
      };
      for (let tries = 0; tries < 50; tries++) {
        if ((await run('redis-cli', ['-p', String(port), 'ping'], { cwd: '/' })).code === 0) break;
        await sleep(100);
      }
      await type(`${cli} set month:ai_generation:ada 37
        ${cli} set month:ai_generation:eve 61
        ${cli} set month:export:ada 1`);
      await type((blocksOf('docs/from-redis.md')('sh')[0] as string).replaceAll('redis-cli', cli));
      await withClient(database.url, async (client) => {
        await setClock(client, '2026-11-20T12:00:00Z'); // the page's month
        await applyPlans(client);
        const counts = readFileSync(`${project.folder}/counts.json`, 'utf8');
        await client.query('select from quota.import_usage($1)', [counts]);
        const { rows } = await client.query(
          `select subject, used::integer from public.usage_overview where period = 'month' order by 1`,
        );
        expect(rows).toEqual([
          { subject: 'ada', used: 37 },
          { subject: 'eve', used: 61 },
        ]);
        expect((await client.query('select * from public.verify_usage()')).rows).toEqual([]);
      });
    } finally {
      project.remove();
      await database.drop();
    }
  });
});
