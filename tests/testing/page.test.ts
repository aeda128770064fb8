// docs/testing.md as it stands there: its TypeScript and its SQL against a database, its seeds by
// `supabase db reset`.
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type pg from 'pg';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { STARTER_PLANS } from '../../cli/starter-plans.ts';
import { fromRoot } from '../../scripts/local/project.ts';
import { runSupabase } from '../../scripts/local/supabase-cli.ts';
import { createProject, run } from '../package/cli.ts';
import { createDatabase, type TestDatabase } from '../support/database.ts';
import { blocksOf } from '../support/page.ts';
import { applyPlans } from '../support/plans.ts';

const page = blocksOf('docs/testing.md');
let database: TestDatabase;
let client: pg.Client;

beforeAll(async () => {
  database = await createDatabase();
  client = await database.connect();
  await applyPlans(client, {
    features: { ai_generation: {} },
    plans: { free: { default: true, limits: { ai_generation: { month: 50, minute: 60 } } } },
  });
});
afterAll(() => database?.drop());

test('the helpers are called as the page calls them', async () => {
  const [code = ''] = page('ts');
  const lines = code.split('\n');
  // After each line, what the page says of it: is one more allowed?
  const allowed = `console.log((await client.query(
    "select allowed from public.check_usage('ai_generation', 1, 'ada')")).rows[0].allowed);`;
  const watched = lines.flatMap((line) =>
    /^await usage\.(?!close)/.test(line) ? [line, allowed] : [line],
  );
  const folder = mkdtempSync(join(import.meta.dirname, '.run-'));
  try {
    const file = join(folder, 'page.ts');
    writeFileSync(
      file,
      `import pg from 'pg';
       const client = new pg.Client(process.env.DATABASE_URL); await client.connect();
       ${watched.join('\n').replace("'pgquota/testing'", "'../../../testing/index.ts'")}
       await client.end();`,
    );
    const tsx = import.meta.resolve('tsx');
    const { code: exit, output } = await run(process.execPath, ['--import', tsx, file], {
      cwd: folder,
      environment: { DATABASE_URL: database.url },
    });
    expect(output.trim().split('\n')).toEqual([
      ...['true', 'false', 'true'], // one left, none left, the next month
      ...['true', 'true', 'false'], // three days on, February, and back in the month that is full
      'true',
    ]);
    expect(exit).toBe(0);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
});

test('the transactions of the page answer as it says, and leave nothing', async () => {
  const [clock = '', user = '', seed = ''] = page('sql');
  expect(seed).toContain('import_usage');
  const answers = (await client.query(clock)) as unknown as pg.QueryResult[];
  const rows = answers.flatMap((answer) => answer.rows);
  expect(rows).toEqual([{ allowed: true }, { allowed: true, used: '1' }]);
  const asUser = (await client.query(user)) as unknown as pg.QueryResult[];
  expect(asUser.flatMap((answer) => answer.rows)).toEqual([{ allowed: true }]);
  expect((await client.query('select from quota.events')).rowCount).toBe(0);
  expect((await client.query('select * from public.verify_installation()')).rows).toEqual([]);
});

test('supabase db reset applies plans and people, as often as it is called', async () => {
  const [toml = ''] = page('toml');
  const [makePlans = ''] = page('sh');
  const seed = page('sql').at(-1) as string;
  const empty = await createDatabase({ from: 'empty' });
  const migrations = readdirSync(fromRoot('supabase/migrations')).map((name) => [
    `supabase/migrations/${name}`,
    readFileSync(fromRoot(`supabase/migrations/${name}`), 'utf8'),
  ]);
  const project = createProject({
    ...Object.fromEntries(migrations),
    'supabase/config.toml': `project_id = "app"\n\n${toml}`,
    'supabase/seed.sql': seed,
    'plans.json': JSON.stringify({ $schema: './plans.schema.json', ...STARTER_PLANS }, null, 2),
  });
  try {
    expect((await run('sh', ['-c', makePlans], { cwd: project.folder })).code).toBe(0);
    for (let n = 1; n <= 2; n++) {
      const reset = await runSupabase(['db', 'reset', '--yes'], empty.url, project.folder);
      expect(reset.code, reset.stderr).toBe(0);
    }
    const owner = await empty.connect();
    const { rows } = await owner.query(
      `select subject, plan, used::integer, remaining::integer
       from public.current_usage where feature = 'ai_generation' and period = 'month' order by 1`,
    );
    expect(rows).toEqual([
      { subject: 'acme', plan: 'free', used: 0, remaining: 50 },
      { subject: 'ada', plan: 'pro', used: 0, remaining: null },
      { subject: 'eve', plan: 'free', used: 49, remaining: 21 },
    ]);
    const { rows: history } = await owner.query(
      `select used::integer from public.usage_history where subject = 'eve' and period = 'month' order by period_start`,
    );
    expect(history).toEqual([{ used: 12 }, { used: 49 }]);
    expect((await owner.query('select * from public.verify_usage()')).rows).toEqual([]);
  } finally {
    project.remove();
    await empty.drop();
  }
});
