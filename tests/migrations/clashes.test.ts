// A name that is taken stops the migration before it begins, in one sentence.
import type pg from 'pg';
import { expect, test } from 'vitest';
import { compileMigration } from '../../scripts/build.ts';
import { createDatabase } from '../support/database.ts';

const migrate = (client: pg.Client) => client.query(compileMigration());

async function refused(prepare: string): Promise<{ code: string; message: string }> {
  const database = await createDatabase({ from: 'empty' });
  try {
    const client = await database.connect();
    await client.query(prepare);
    const error = await migrate(client).then(
      () => undefined,
      (reason) => reason,
    );
    expect(error, 'the migration was applied').toBeDefined();
    const { rows } = await client.query(`select to_regclass('quota.meters') as meters`);
    expect(rows).toEqual([{ meters: null }]);
    return { code: error.code, message: error.message };
  } finally {
    await database.drop();
  }
}

test('a schema quota of somebody else', async () => {
  const { code, message } = await refused('create schema quota; create table quota.budgets ()');
  expect(code).toBe('42P06');
  expect(message).toMatch(/a schema quota that is not of pgquota/);
});

test('every name that it needs in schema public', async () => {
  const database = await createDatabase();
  const client = await database.connect();
  const { rows } = await client.query<{ name: string; is_function: boolean }>(
    `select proname as name, true as is_function from pg_proc
     where pronamespace = 'public'::regnamespace
     union all
     select relname, false from pg_class where relnamespace = 'public'::regnamespace`,
  );
  await database.drop();
  expect(rows.length).toBeGreaterThan(30);
  const { code, message } = await refused(
    rows
      .map(({ name, is_function }) =>
        is_function
          ? `create function public.${name}(mine uuid) returns void language sql as '';`
          : `create table public.${name} (mine uuid);`,
      )
      .join('\n'),
  );
  expect(code).toBe('42710');
  for (const { name, is_function } of rows) {
    expect(message).toMatch(new RegExp(is_function ? `\\b${name}\\(uuid\\)` : `table ${name}\\b`));
  }
});

test('installed already: said so, and nothing is changed', async () => {
  const database = await createDatabase();
  try {
    const client = await database.connect();
    await expect(migrate(client)).rejects.toMatchObject({
      code: '42P06',
      message: expect.stringMatching(/installed in this database already/),
    });
  } finally {
    await database.drop();
  }
});
