// Why a policy that checks is not a limit: the number that the README tells.
import type pg from 'pg';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { createDatabase, type TestDatabase } from '../support/database.ts';
import { type Rest, startRest } from '../support/rest.ts';
import { createFiles, LIMIT, limitFiles } from './files.ts';

let database: TestDatabase;
let owner: pg.Client;
let rest: Rest;

beforeAll(async () => {
  database = await createDatabase();
  owner = await database.connect();
  await createFiles(owner);
  await owner.query(`
    create policy under_the_limit on public.files as restrictive for insert to authenticated
      with check ((select allowed from public.check_usage('kb_file')))`);
  rest = await startRest(database);
});
afterAll(async () => {
  await rest.stop();
  await database.drop();
});

/** How many of a thousand rows in one request are written. */
async function rowsOfOneInsert(user: string): Promise<number> {
  await rest
    .asUser(user)
    .from('files')
    .insert(Array.from({ length: 1000 }, () => ({ user_id: user })));
  const { rows } = await owner.query(
    'select count(*)::integer as n from public.files where user_id = $1',
    [user],
  );
  return rows[0].n;
}

test('a policy that only checks lets 1,000 rows through a limit of 5 in one insert', async () => {
  expect(await rowsOfOneInsert('policy')).toBe(1000);
});

test('the same policy on a limited table lets none of them through, and five one by one', async () => {
  await limitFiles(owner);
  expect(await rowsOfOneInsert('limited')).toBe(0);
  const files = rest.asUser('limited').from('files');
  const statuses = [];
  for (let n = 0; n <= LIMIT; n++) {
    statuses.push((await files.insert({ user_id: 'limited' })).status);
  }
  // The policy is asked first, and answers with 403; the table would with 402.
  expect(statuses).toEqual([...Array(LIMIT).fill(201), 403]);
});
