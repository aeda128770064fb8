// sql/optional/remove.sql leaves nothing, so that the migration can run again.
import { readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { migrationPath } from '../../scripts/build.ts';
import { fromRoot } from '../../scripts/local/project.ts';
import { createDatabase } from '../support/database.ts';
import { applyPlans } from '../support/plans.ts';

const OBJECTS = `
  select p.oid::regprocedure::text as object from pg_catalog.pg_proc as p
  where p.pronamespace = 'public'::regnamespace
  union all
  select c.oid::regclass::text from pg_catalog.pg_class as c
  where c.relnamespace = 'public'::regnamespace
  union all
  select t.tgname from pg_catalog.pg_trigger as t where t.tgname like 'pgquota%'
  union all
  select n.nspname from pg_catalog.pg_namespace as n where n.nspname = 'quota'
  order by 1`;

test('removing takes every object away, triggers included, and installing again works', async () => {
  const database = await createDatabase();
  try {
    const client = await database.connect();
    await applyPlans(client);
    await client.query(`create schema app; create table app.files (user_id text)`);
    await client.query(`select quota.limit_table('app.files', 'kb_file', 'user_id')`);

    await client.query(readFileSync(fromRoot('sql/optional/remove.sql'), 'utf8'));
    expect((await client.query(OBJECTS)).rows).toEqual([]);
    await client.query(`insert into app.files select 'ada' from generate_series(1, 100)`);

    await client.query(readFileSync(migrationPath, 'utf8'));
    await applyPlans(client);
    const { rows } = await client.query(`select * from consume_usage('ai_generation', 1, 'ada')`);
    expect(rows[0]).toMatchObject({ allowed: true, used: '1' });
  } finally {
    await database.drop();
  }
});
