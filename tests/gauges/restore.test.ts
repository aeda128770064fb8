// A dump names tables, not numbers: what it holds of limited tables is read back into a database where
// every table has another oid.
import type pg from 'pg';
import { expect, test } from 'vitest';
import { createDatabase } from '../support/database.ts';
import { countsOf, createFiles, LIMIT, limitFiles } from './files.ts';
import { insertRows, outcomeOf } from './scenarios.ts';

/** The rows of a table as a dump writes them: as text, with an empty search_path. */
async function dumped(client: pg.ClientBase, table: string): Promise<string[]> {
  await client.query(`set search_path = ''`);
  const { rows } = await client.query(`select row_to_json(t)::text as row from ${table} as t`);
  return rows.map(({ row }) => row);
}

async function restored(client: pg.ClientBase, table: string, rows: string[]): Promise<void> {
  await client.query(`set search_path = ''`);
  await client.query(
    `insert into ${table} select r.* from unnest($1::text[]) as row
     cross join lateral json_populate_record(null::${table}, row::json) as r`,
    [rows],
  );
}

test('a limited table that was dumped and restored goes on where it was', async () => {
  const [from, to] = await Promise.all([createDatabase(), createDatabase()]);
  try {
    const [before, after] = await Promise.all([from.connect(), to.connect()]);
    await createFiles(before);
    await limitFiles(before);
    await insertRows(before, 'ada', 'ada', 'ada', 'bob');

    // Schema, then data, then triggers: the order of pg_dump.
    await after.query('create table public.earlier (id integer)');
    await createFiles(after);
    const { rows: oids } = await after.query(`select 'public.files'::regclass::oid as id`);
    const { rows: formerly } = await before.query(`select 'public.files'::regclass::oid as id`);
    expect(oids).not.toEqual(formerly);
    for (const table of ['subjects', 'meters', 'counters', 'events', 'limited_tables']) {
      await restored(after, `quota.${table}`, await dumped(before, `quota.${table}`));
    }
    for (const row of await dumped(before, 'public.files')) {
      const { id, user_id } = JSON.parse(row);
      await after.query('insert into public.files (id, user_id) values ($1, $2)', [id, user_id]);
    }
    const { rows: triggers } = await before.query(
      `select pg_get_triggerdef(oid) as definition from pg_trigger
       where tgrelid = 'public.files'::regclass and not tgisinternal`,
    );
    expect(triggers).toHaveLength(4);
    for (const { definition } of triggers) await after.query(definition);

    expect((await after.query('select * from public.verify_usage()')).rows).toEqual([]);
    await after.query(`select setval('public.files_id_seq', 100)`);
    await insertRows(after, 'ada', 'ada');
    expect(await outcomeOf(insertRows(after, 'ada'))).toBe('PT402');
    expect(await countsOf(after, 'ada')).toEqual({ gauge: LIMIT, rows: LIMIT });
    await limitFiles(after);
    expect((await after.query('select * from public.verify_usage()')).rows).toEqual([]);
  } finally {
    await Promise.all([from.drop(), to.drop()]);
  }
});
