// docs/windows.md is run: its document is applied, and each answer that it shows is what is answered.
import type pg from 'pg';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { setClock } from '../support/clock.ts';
import { createDatabase, type TestDatabase } from '../support/database.ts';
import { blocksOf } from '../support/page.ts';
import { applyPlans } from '../support/plans.ts';

const blocks = blocksOf('docs/windows.md');
const answers = blocks('text');
let database: TestDatabase;
let client: pg.Client;

beforeAll(async () => {
  database = await createDatabase();
  client = await database.connect();
  await client.query(`set timezone = 'UTC'; set datestyle = 'ISO'`);
  await at('09:17');
  await applyPlans(client, JSON.parse(blocks('json')[0] as string));
  await client.query(`select set_plan('ada', 'free')`);
});
afterAll(() => database.drop());

const at = (time: string) => setClock(client, `2026-11-26T${time}:00Z`);

const shown = (value: unknown) =>
  value instanceof Date ? value.toISOString().slice(0, 19).replace('T', ' ') : `${value ?? '-'}`;

async function told(name: string): Promise<string[][]> {
  const { rows } = await client.query(blocks(`sql ${name}`)[0] as string);
  return rows.map((row) => Object.values(row).map(shown));
}

/** The block after the query, cell by cell. */
const said = (n: number) =>
  (answers[n] as string)
    .trimEnd()
    .split('\n')
    .map((line) => line.split('|').map((cell) => cell.trim()));

test('the page says what is answered', async () => {
  expect(await told('closed')).toEqual(said(0));
  expect(await told('first')).toEqual(said(1));
  await at('11:00');
  await client.query(`select consume_usage('message', 8, 'ada')`);
  await at('14:16');
  expect(await told('full')).toEqual(said(2));
  await at('20:30');
  expect(await told('next')).toEqual(said(3));
  expect(await told('history')).toEqual(said(4));
  await client.query(`select reset_usage('message', 'ada', '5 hours')`);
  expect((await client.query('select * from verify_usage()')).rows).toEqual([]);
});
