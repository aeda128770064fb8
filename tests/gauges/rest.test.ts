// A limited table over HTTP, written by users that have no right on schema quota at all.
import type { SupabaseClient } from '@supabase/supabase-js';
import type pg from 'pg';
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest';
import { must, rawPost } from '../client/api.ts';
import { createDatabase, type TestDatabase } from '../support/database.ts';
import { type Rest, startRest } from '../support/rest.ts';
import { everythingStored } from '../support/stored.ts';
import { countsOf, createFiles, LIMIT, limitFiles, linesOf } from './files.ts';

let database: TestDatabase;
let owner: pg.Client;
let rest: Rest;
let user: string;
let files: () => ReturnType<SupabaseClient['from']>;

beforeAll(async () => {
  database = await createDatabase();
  owner = await database.connect();
  await createFiles(owner);
  await limitFiles(owner, 'counted');
  await owner.query(`
    revoke all on schema quota from public, anon, authenticated;
    revoke all on all tables in schema quota from public, anon, authenticated;
    revoke all on all functions in schema quota from public, anon, authenticated;`);
  rest = await startRest(database);
});
beforeEach(({ task }) => {
  user = task.id;
  files = () => rest.asUser(user).from('files');
});
afterAll(async () => {
  await rest.stop();
  await database.drop();
});

const rows = (count: number, of = user) =>
  Array.from({ length: count }, (_, at) => ({ user_id: of, name: `file ${at}` }));

test('a user inserts up to the limit and is refused the next row with 402 and the decision', async () => {
  for (const row of rows(LIMIT)) {
    const { status } = await files().insert(row);
    expect(status).toBe(201);
  }
  const before = await everythingStored(owner);
  const { status, error } = await files().insert(rows(1)).select();
  expect(status).toBe(402);
  expect(error).toMatchObject({ code: 'PT402', hint: '/settings/billing' });
  expect(JSON.parse(error?.details ?? '')).toMatchObject({
    allowed: false,
    reason: 'limit_reached',
    feature: 'kb_file',
    subject: user,
    plan: 'free',
    amount: 1,
    used: LIMIT,
    limit: LIMIT,
    remaining: 0,
    period: 'lifetime',
    resets_at: null,
    upgrade_url: '/settings/billing',
  });
  expect(await countsOf(owner, user)).toEqual({ gauge: LIMIT, rows: LIMIT });
  expect(await everythingStored(owner)).toBe(before);
});

test('the status line of a refusal is a constant', async () => {
  must(await files().insert(rows(LIMIT)));
  const refused = await rawPost(`${rest.postgrestUrl}/files`, await rest.userToken(user), rows(1));
  expect(refused.status).toBe(402);
  expect(refused.statusLine).not.toContain(user);
  expect(refused.headers.map(([name]) => name)).not.toContain('retry-after');
});

test('rows in one request are all written or none, in one ledger line', async () => {
  must(await files().insert(rows(3)));
  const { status } = await files().insert(rows(3));
  expect(status).toBe(402);
  must(await files().insert(rows(2)));
  expect(await countsOf(owner, user)).toEqual({ gauge: 5, rows: 5 });
  expect(await linesOf(owner, user)).toEqual([3, 2]);
});

test('a deleted row makes room', async () => {
  must(await files().insert(rows(LIMIT)));
  must(await files().delete().eq('name', 'file 1'));
  expect((await files().insert(rows(1))).status).toBe(201);
  expect(await linesOf(owner, user)).toEqual([LIMIT, -1, 1]);
});

test('an upsert counts the rows that it inserts', async () => {
  const [{ id }] = must(await files().insert(rows(4)).select('id'));
  must(
    await files().upsert([
      { id, user_id: user, name: 'kept' },
      { id: 900001, user_id: user, name: 'new' },
    ]),
  );
  expect(await countsOf(owner, user)).toEqual({ gauge: LIMIT, rows: LIMIT });
  const { status } = await files().upsert([
    { id, user_id: user, name: 'kept again' },
    { id: 900002, user_id: user, name: 'one too many' },
  ]);
  expect(status).toBe(402);
  const kept = must(await files().select('name').eq('id', id));
  expect(kept).toEqual([{ name: 'kept' }]);
});

test('a soft delete makes room, and bringing the row back is refused at the limit', async () => {
  must(await files().insert(rows(LIMIT)));
  must(await files().update({ deleted_at: '2026-01-10T12:00:00Z' }).eq('name', 'file 0'));
  must(await files().insert({ user_id: user, name: 'in its place' }));
  const { status, error } = await files().update({ deleted_at: null }).eq('name', 'file 0');
  expect([status, error?.code]).toEqual([402, 'PT402']);
  must(await files().delete().eq('name', 'in its place'));
  expect((await files().update({ deleted_at: null }).eq('name', 'file 0')).status).toBe(204);
});

test("a row of another user is refused by the app's policy, and charges nobody", async () => {
  must(await files().insert(rows(1)));
  expect((await files().insert(rows(1, 'victim'))).error?.code).toBe('42501');
  expect((await files().update({ user_id: 'victim' }).eq('name', 'file 0')).error?.code).toBe(
    '42501',
  );
  expect(await countsOf(owner, 'victim')).toEqual({ gauge: 0, rows: 0 });
  expect(await countsOf(owner, user)).toEqual({ gauge: 1, rows: 1 });
});

test('the server writes rows of many users in one request', async () => {
  const server = rest.asService().from('files');
  const [mine, yours] = [`${user} mine`, `${user} yours`];
  must(await server.insert([...rows(2, yours), ...rows(3, mine), ...rows(1, yours)]));
  expect([await linesOf(owner, mine), await linesOf(owner, yours)]).toEqual([[3], [3]]);
  must(await server.update({ user_id: mine }).eq('user_id', yours).eq('name', 'file 1'));
  expect([await linesOf(owner, mine), await linesOf(owner, yours)]).toEqual([
    [3, 1],
    [3, -1],
  ]);
  const { status } = await server.update({ user_id: mine }).eq('user_id', yours);
  expect(status, 'two more rows for one who has room for one').toBe(402);
});

test('after all of this every gauge equals its table', async () => {
  const { rows: gaps } = await owner.query('select * from public.verify_usage()');
  expect(gaps).toEqual([]);
});
