// The next release, before there is one: installed as it is today and in use, then upgraded, by each tool.
import { appendFileSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test, vi } from 'vitest';
import { withClient } from '../../scripts/local/client.ts';
import { migrate } from '../../scripts/local/migrate.ts';
import { cleanEnvironment, run } from '../../scripts/local/processes.ts';
import { fromRoot } from '../../scripts/local/project.ts';
import { describe, differences } from '../../scripts/verify/describe.ts';
import { hasPsql, pushBySupabase } from '../../scripts/verify/ways.ts';
import { createProject, pgquota } from '../package/cli.ts';
import { createDatabase, type TestDatabase } from '../support/database.ts';
import { grantLikeSupabase } from '../support/privileges.ts';
import { asService, asUser } from '../support/session.ts';
import { fill, type Rehearsal, rehearse, rowsOf } from './rehearsal.ts';

vi.setConfig({ testTimeout: 120_000 }); // tools that start a process or twenty, on a busy machine

let next: Rehearsal;
let fresh: Map<string, string>;
beforeAll(async () => {
  next = await rehearse();
  fresh = await inUse(async ({ url }) => {
    await migrate(url, next.migrations);
    await withClient(url, async (client) => {
      expect((await client.query('select * from verify_installation()')).rows).toEqual([]);
    });
    return withClient(url, describe);
  });
}, 120_000);
afterAll(() => next?.remove());

async function inUse<T>(use: (database: TestDatabase) => Promise<T>): Promise<T> {
  const database = await createDatabase({ from: 'blank' });
  try {
    await withClient(database.url, grantLikeSupabase);
    return await use(database);
  } finally {
    await database.drop();
  }
}

const TSX = import.meta.resolve('tsx');
/** What the page tells to type. */
const PSQL = /`psql "\$DATABASE_URL" (.*) -f …`/.exec(
  readFileSync(fromRoot('UPGRADING.md'), 'utf8'),
)?.[1] as string;
const today = fromRoot('supabase/migrations');
const filesOf = (folder: string) =>
  readdirSync(folder)
    .filter((name) => name.endsWith('.sql'))
    .sort();

/** All of the folder that is not there yet, as psql is told to: its files, in one transaction. */
async function byPsql(url: string, folder: string): Promise<string[]> {
  const isThere = await withClient(
    url,
    async (client) =>
      (await client.query(`select to_regclass('quota.meters') is not null as it`)).rows[0].it,
  );
  const names = filesOf(folder).slice(isThere ? -1 : 0);
  if (hasPsql()) {
    const files = names.flatMap((name) => ['-f', join(folder, name)]);
    const args = ['-X', '-q', ...PSQL.split(' '), ...files, url];
    const { code, output } = await run('psql', args, { env: cleanEnvironment() });
    if (code !== 0) throw new Error(output.trim());
  } else {
    await withClient(url, async (client) => {
      await client.query('begin');
      for (const name of names) await client.query(readFileSync(join(folder, name), 'utf8'));
      await client.query('commit');
    });
  }
  return names;
}

/** Kills the session that `work` waits with, once it waits for one of ours. */
async function killWhileItRuns(
  database: TestDatabase,
  work: () => Promise<unknown>,
): Promise<void> {
  const holder = await database.connect();
  await holder.query('begin; select from public.plan_catalog limit 1');
  const ended = work().then(
    () => 'applied',
    () => 'failed',
  );
  const killer = await database.connect();
  await vi.waitFor(
    async () => {
      const { rows } = await killer.query(
        `select pg_terminate_backend(pid) from pg_stat_activity
         where datname = current_database() and backend_type = 'client backend'
           and cardinality(pg_blocking_pids(pid)) > 0`,
      );
      expect(rows).toHaveLength(1);
    },
    { timeout: 60_000, interval: 50 },
  );
  expect(await ended).toBe('failed');
  await Promise.all([holder.end(), killer.end()]);
}

test.for([
  ['psql', byPsql, 'refused'],
  ['dbmate', migrate, []],
  ['supabase db push', pushBySupabase, []],
] as const)('%s: killed halfway nothing is done, then all of it, and once', ([, apply, again]) =>
  inUse(async (database) => {
    await apply(database.url, today);
    const client = await database.connect();
    await fill(client);
    const [before, rows] = [await describe(client), await rowsOf(client)];

    await killWhileItRuns(database, () => apply(database.url, next.migrations));
    expect(differences(before, await describe(client))).toEqual([]);
    expect(await rowsOf(client)).toEqual(rows);

    expect(await apply(database.url, next.migrations)).toHaveLength(1);
    const after = await describe(client);
    expect(await apply(database.url, next.migrations).catch(() => 'refused')).toEqual(again);
    expect(differences(after, await describe(client))).toEqual([]);
    await proveUpgraded(database, after, rows);
  }),
);

async function proveUpgraded(
  database: TestDatabase,
  after: Map<string, string>,
  rows: Record<string, unknown[]>,
): Promise<void> {
  const client = await database.connect();
  const ask = async (sql: string) => (await client.query(sql)).rows;
  expect(
    differences(
      fresh,
      new Map([...after].filter(([key]) => !/\bapp\b/.test(key.split(' ').slice(0, 2).join(' ')))),
    ).map((line) => line.replace(/ differs: .*/s, '')),
  ).toEqual(['function quota.acts_for(text,text)', 'function quota.subjects_of(text)']);
  expect(await rowsOf(client)).toEqual(rows);
  expect(await ask('select * from verify_installation()')).toEqual([]);
  expect(await ask('select * from verify_usage()')).toEqual([]);
  expect(
    await ask(`select count(*)::integer as n from quota.exceptions where note = 'from before'`),
  ).toEqual([{ n: 1 }]);
  expect(await ask('select quota.version()')).toEqual([{ version: next.to }]);
  expect(await ask('select id from quota.rehearsed')).toEqual([{ id: 'first' }]);

  // What was counted, held and granted before goes on.
  const service = (sql: string) =>
    asService(
      client,
      async (session) => (await session.query(`select a.* from ${sql} as a`)).rows[0],
    );
  expect(await service(`consume_usage('ai_generation', 1, 'ada')`)).toMatchObject({
    allowed: true,
    used: '5',
    reserved: '2',
  });
  expect(await service(`consume_usage('ai_generation', 6, 'ada', 'key of today')`)).toMatchObject({
    replayed: true,
  });
  const { reservation_id } = await service(
    `reserve_usage('ai_generation', 2, 'ada', '7 days', 'open hold')`,
  );
  expect(await service(`release_usage('${reservation_id}', note => 'rehearsed')`)).toMatchObject({
    reserved: '0',
  });
  expect(await service(`consume_usage('export', 3, 'bob')`)).toMatchObject({
    allowed: true,
    granted: '0',
  });
  expect(await service(`consume_usage('export', 1, 'bob')`)).toMatchObject({ allowed: false });
  expect(await service(`consume_usage('export', 2, 'cyd')`)).toMatchObject({
    allowed: false,
    limit: '9',
  });
  await expect(
    client.query(`insert into app.files (user_id) select 'ada' from generate_series(1, 7)`),
  ).rejects.toMatchObject({ code: 'PT402' });
  const as = (user: string) =>
    asUser(
      client,
      user,
      async (session) =>
        (await session.query(`select * from consume_usage('export', 1, 'acme')`)).rows[0],
    );
  expect(await as('ada')).toMatchObject({ allowed: true, used: '3' });
  await expect(as('ann')).rejects.toMatchObject({ code: '42501' });
  expect(await ask('select * from verify_usage()')).toEqual([]);
}

test('an upgrade among callers: each call is counted or failed, none half', () =>
  inUse(async (database) => {
    await migrate(database.url, today);
    const client = await database.connect();
    await fill(client);
    let isOver = false;
    const codes = new Map<string, number>();
    const callers = Array.from({ length: 4 }, async () => {
      const caller = await database.connect();
      let counted = 0;
      while (!isOver) {
        await caller.query(`select from consume_usage('ai_generation', 1, 'dan')`).then(
          () => {
            counted += 1;
          },
          ({ code }) => codes.set(code, (codes.get(code) ?? 0) + 1),
        );
      }
      return counted;
    });
    await migrate(database.url, next.migrations);
    isOver = true;
    const counted = (await Promise.all(callers)).reduce((sum, one) => sum + one, 0);
    const { rows } = await client.query(
      `select count(*)::integer as lines from quota.events where subject_id = 'dan' and used_change = 1`,
    );
    expect(counted).toBeGreaterThan(0);
    expect([...codes.keys()].filter((code) => code !== '55P03')).toEqual([]);
    expect(rows).toEqual([{ lines: counted }]);
    expect((await client.query('select * from verify_usage()')).rows).toEqual([]);
  }));

test('init adds the one file that is new, and doctor says what to run and then that nothing is wrong', () =>
  inUse(async (database) => {
    const { folder, remove } = createProject({ 'db/migrations/.keep': '' });
    const migrations = join(folder, 'db/migrations');
    const command = (...args: string[]) =>
      run(process.execPath, ['--import', TSX, join(next.folder, 'cli/main.ts'), ...args], {
        cwd: folder,
        env: cleanEnvironment({ DATABASE_URL: database.url }),
      });
    try {
      // As it is installed today.
      expect((await pgquota(folder, ['init', '--dbmate'])).code).toBe(0);
      const [before, client] = [filesOf(migrations), await database.connect()];
      await migrate(database.url, migrations);
      await fill(client);

      // And with the package of tomorrow.
      const says = `✗ pgquota ${next.from} is installed, ${next.to} is here.\n`;
      const apply = '    npx dbmate --url "$DATABASE_URL?sslmode=disable" up\n';
      const first = await command('doctor');
      expect(first.code).toBe(1);
      expect(first.output).toContain(`${says}    npx pgquota init --dbmate\n${apply}`);
      const init = await command('init', '--dbmate');
      const [added, ...more] = filesOf(migrations).filter((name) => !before.includes(name));
      expect(more).toEqual([]);
      expect(init.output).toContain(`wrote db/migrations/${added}`);

      expect(await migrate(database.url, migrations)).toEqual([added]);
      expect(await command('doctor')).toMatchObject({
        code: 0,
        output: expect.stringContaining('Nothing is wrong.'),
      });
      // What doctor prints to heal a function that has another signature now.
      await client.query(`drop function public.release_usage`);
      const healing = await command('doctor', '--sql');
      await client.query(healing.output);
      expect((await client.query('select * from verify_installation()')).rows).toEqual([]);
    } finally {
      remove();
    }
  }));

test('a frozen file that was changed is refused by its name', async () => {
  const first = join(next.migrations, filesOf(next.migrations)[0] as string);
  const text = readFileSync(first, 'utf8');
  appendFileSync(first, '-- a word more\n');
  const { code, output } = await next.script('build.ts');
  writeFileSync(first, text);
  expect(output).toMatch(
    /supabase\/migrations\/\d+_pgquota\.sql is frozen as release .* and was changed/,
  );
  expect(code).not.toBe(0);
});
