// docs/changing-plans.md is run: what it says the commands answer is what they answer.
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type pg from 'pg';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { fromRoot } from '../../scripts/local/project.ts';
import { pgquota } from '../package/cli.ts';
import { setClock } from '../support/clock.ts';
import { createDatabase, type TestDatabase } from '../support/database.ts';
import { blocksOf } from '../support/page.ts';

const PAGE = 'docs/changing-plans.md';
const blocks = blocksOf(PAGE);
const [queries = '', exhausted = '', ofOne = ''] = blocks('sql');
let database: TestDatabase;
let client: pg.Client;
let folder: string;

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'pgquota-changing-'));
  database = await createDatabase();
  client = await database.connect();
  await setClock(client, '2026-09-15T12:00:00Z');
  await apply('before');
  await client.query(`
    select public.set_plan(s, 'pro') from unnest(array['ada', 'bob']) as s;
    select public.set_plan('bob', 'pro', '2026-08-20 08:00+00');
    select public.consume_usage('ai_generation', 70, s) from unnest(array['ada', 'bob']) as s;
    select public.consume_usage('seat', 12, 'bob');
    select public.consume_usage('ai_generation', 9, 'cy')`);
});
afterAll(async () => {
  rmSync(folder, { recursive: true, force: true });
  await database.drop();
});

const plans = (...args: string[]) =>
  pgquota(folder, ['plans', 'plans.json', ...args], { DATABASE_URL: database.url });

async function apply(name: string, ...args: string[]) {
  writeFileSync(join(folder, 'plans.json'), blocks(`json ${name}`)[0] as string);
  const { code, output } = await plans(...args);
  expect(code, output).toBe(0);
  return output;
}

test('--impact answers what the page shows', async () => {
  const shown = /^```\n(plans\.json →.*?)^```$/ms.exec(readFileSync(fromRoot(PAGE), 'utf8'))?.[1];
  const output = await apply('after', '--impact');
  expect(output.replace(/→ \S+$/m, '→ db.example.com/app').trimEnd()).toBe(shown?.trimEnd());
});

test('a retired plan keeps who is on it, moves it at its renewal, and takes nobody else', async () => {
  const [look, known, unknown] = queries.trim().split('\n') as [string, string, string];
  const held = async () => (await client.query(look)).rows;
  await apply('after');
  const use = { subject: 'bob', feature: 'ai_generation' };
  expect(await held()).toEqual([{ ...use, plan: 'pro', used: '70', limit: '100' }]);
  await client.query(known);
  await expect(client.query(unknown)).rejects.toMatchObject({ code: 'QPLAN' });
  const { rows } = await client.query(exhausted);
  expect(rows.map(({ subject, projected }) => [subject, projected])).toEqual([
    ['cy', '19'],
    ['ada', '145'],
  ]);
  await setClock(client, '2026-09-20T08:00:00Z');
  expect(await held()).toEqual([{ ...use, plan: 'pro_2027', used: '0', limit: '60' }]);
  await client.query(known);
  expect(await held()).toEqual([{ ...use, plan: 'pro_2027', used: '0', limit: '60' }]);
});

test('one customer: an exception, a fresh start, a top-up in part, and what fits', async () => {
  const results = (await client.query(ofOne)) as unknown as pg.QueryResult[];
  expect(results.at(-1)?.rows).toEqual([{ amount: '55', remaining: '0' }]);
  expect((await client.query('select * from verify_usage()')).rows).toEqual([]);
});
