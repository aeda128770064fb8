// docs/members.md is run: its document is applied, and each answer that it shows is what is answered.
import type pg from 'pg';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { createDatabase, type TestDatabase } from '../support/database.ts';
import { blocksOf, type RunPage, runPage } from '../support/page.ts';
import { applyPlans } from '../support/plans.ts';

const blocks = blocksOf('docs/members.md');
let database: TestDatabase;
let client: pg.Client;
let page: RunPage;

beforeAll(async () => {
  database = await createDatabase();
  client = await database.connect();
  page = await runPage(client, 'docs/members.md');
  await page.at('2026-11-26T12:00:00Z');
  await applyPlans(client, page.json(0));
  await client.query(blocks('sql')[0] as string);
});
afterAll(() => database.drop());

test('the page says what is answered', async () => {
  for (const name of ['first', 'refused', 'other', 'shown', 'went']) await page.says(name);
  await client.query(blocks('sql')[1] as string);
  for (const name of ['contractor', 'exempt', 'batch']) await page.says(name);
  expect((await client.query('select * from verify_usage()')).rows).toEqual([]);
});

test('its owner sees all members, and nobody else', async () => {
  await client.query(`
    create schema app;
    create table app.owners (user_id text, team_id text);
    insert into app.owners values ('ada', 'acme')`);
  await client.query(blocks('sql owners')[0] as string);
  const seen = async (user: string) => {
    await client.query('begin');
    await client.query(`select set_config('request.jwt.claims', $1, true)`, [
      JSON.stringify({ sub: user }),
    ]);
    // The function of the page is the owner's, and reads the app's table for whoever asks.
    await client.query('set local role authenticated');
    const { rows } = await client.query(
      `select array_agg(distinct member order by member) as members
       from current_usage where subject = 'acme' and member is not null`,
    );
    await client.query('rollback');
    return rows[0].members;
  };
  expect(await seen('ada')).toEqual(['ada', 'bob', 'kim']);
  expect(await seen('bob')).toEqual(['bob']);
});
