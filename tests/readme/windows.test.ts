// docs/windows.md is run: its document is applied, and each answer that it shows is what is answered.
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
  page = await runPage(client, 'docs/windows.md');
  await at('09:17');
  await applyPlans(client, page.json(0));
  await client.query(`select set_plan('ada', 'free')`);
});
afterAll(() => database.drop());

const at = (time: string) => page.at(`2026-11-26T${time}:00Z`);

test('the page says what is answered', async () => {
  await page.says('closed');
  await page.says('first');
  await at('11:00');
  await client.query(`select consume_usage('message', 8, 'ada')`);
  await at('14:16');
  await page.says('full');
  await at('20:30');
  await page.says('next');
  await page.says('history');
  await client.query(`select reset_usage('message', 'ada', '5 hours')`);
  expect((await client.query('select * from verify_usage()')).rows).toEqual([]);
});
