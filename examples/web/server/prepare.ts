/** What the example needs before its first page: the tables of its own, sample use, the built page. */
import { readFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type pg from 'pg';
import { cleanEnvironment, run } from '../../../scripts/local/processes.ts';

const EXAMPLE = new URL('../', import.meta.url);
/** Of the months before, the latest first. */
const FREE_MONTHS = [47, 38, 50, 29, 41];
const PRO_MONTHS = [212, 184, 96, 143, 61];

/** As the superuser. Running it again changes nothing. */
export async function prepareDatabase(client: pg.ClientBase): Promise<void> {
  await client.query(await readFile(new URL('sql/example.sql', EXAMPLE), 'utf8'));
  const { rowCount } = await client.query(
    `select from public.usage_events where subject in ('demo-free', 'demo-pro') limit 1`,
  );
  if (rowCount) return;
  await client.query('begin');
  await client.query(`select public.set_plan('demo-pro', 'pro')`);
  // A team of two, its pool of credits, and what they went for.
  await client.query(`
    select public.set_plan('demo-team', 'team');
    select public.add_member('demo-team', u) from unnest(array['demo-ada', 'demo-bob']) as u;
    select public.consume_usage('image', n, 'demo-team', actor => u)
    from (values (4, 'demo-ada'), (20, 'demo-bob'), (9, 'demo-bob')) as d (n, u)`);
  await client.query(
    `select quota.import_usage(
       (select jsonb_agg(jsonb_build_object(
          'subject', u.subject, 'feature', u.feature, 'amount', u.amount,
          'period_start', date_trunc('month', now() at time zone 'UTC') - u.months_ago * interval '1 month'
        )) from jsonb_to_recordset($1) as u(subject text, feature text, amount int, months_ago int)))`,
    [JSON.stringify(sampleUse())],
  );
  await client.query('commit');
}

function sampleUse() {
  const rows = (subject: string, feature: string, amounts: number[]) =>
    amounts.map((amount, months_ago) => ({ subject, feature, amount, months_ago }));
  return [
    ...rows('demo-free', 'ai_generation', [32, ...FREE_MONTHS]),
    ...rows('demo-free', 'export', [2]),
    ...rows('demo-pro', 'ai_generation', [96, ...PRO_MONTHS]),
    ...rows('demo-pro', 'export', [14]),
  ];
}

/** In a process of its own: whatever NODE_ENV says here, the page is built as it is meant to be. */
export async function buildPage(folder = fileURLToPath(EXAMPLE)): Promise<void> {
  const vite = createRequire(import.meta.url).resolve('vite/package.json');
  const { code, output } = await run(
    process.execPath,
    [join(dirname(vite), 'bin/vite.js'), 'build', folder, '--logLevel', 'warn'],
    { env: cleanEnvironment({ NODE_ENV: 'production' }) },
  );
  if (code !== 0) throw new Error(`vite build failed:\n${output.trim()}`);
}
