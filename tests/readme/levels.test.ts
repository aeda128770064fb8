// docs/levels.md is run: its document is applied, and each answer that it shows is what is answered.
import type pg from 'pg';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { createDatabase, type TestDatabase } from '../support/database.ts';
import { blocksOf, type RunPage, runPage } from '../support/page.ts';
import { applyPlans } from '../support/plans.ts';

let database: TestDatabase;
let client: pg.Client;
let page: RunPage;

beforeAll(async () => {
  database = await createDatabase();
  client = await database.connect();
  page = await runPage(client, 'docs/levels.md');
  await page.at('2026-11-26T12:00:00Z');
  await applyPlans(client, page.json(0));
  await client.query(blocksOf('docs/levels.md')('sql')[0] as string);
});
afterAll(() => database.drop());

test('the page says what is answered', async () => {
  await page.says('first');
  await page.says('other');
  await page.says('refused');
  await page.says('counted');
  expect((await client.query('select * from verify_usage()')).rows).toEqual([]);
});
