// docs/limits.md is run: its documents are applied, and each answer that it shows is what is answered.
import type pg from 'pg';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { createDatabase, type TestDatabase } from '../support/database.ts';
import { type RunPage, runPage } from '../support/page.ts';
import { applyPlans } from '../support/plans.ts';

let database: TestDatabase;
let client: pg.Client;
let page: RunPage;

beforeAll(async () => {
  database = await createDatabase();
  client = await database.connect();
  page = await runPage(client, 'docs/limits.md');
  await page.at('2026-10-05T12:00:00Z');
  await applyPlans(client, page.json(0));
});
afterAll(() => database.drop());

const use = (feature: string, amount: number, subject: string) =>
  client.query('select consume_usage($1, $2, $3)', [feature, amount, subject]);

test('the page says what is answered', async () => {
  await use('export', 7, 'ben');
  await page.at('2026-11-26T12:00:00Z');
  await use('message', 49, 'ada');
  await page.at('2026-11-26T12:01:00Z');
  await use('message', 49, 'ada');
  await page.says('past');
  await page.says('bill');
  await page.says('carried');
  await use('scan', 20, 'cleo');
  await page.says('grace');
  await page.at('2026-11-30T00:00:00Z');
  await page.says('refused');

  const { features, plans } = page.json(0) as {
    features: object;
    plans: { pro: { limits: object } };
  };
  Object.assign(plans.pro.limits, page.json(1));
  await applyPlans(client, { features, plans });
  await use('message', 30, 'dora');
  await use('message', 5, 'dora');
  await use('message', 15, 'dora');
  await page.says('report');
  expect((await client.query('select * from verify_usage()')).rows).toEqual([]);
});
