// sql/optional/remove.sql leaves nothing: the catalogue is what it was before, and the migration can run again.
import { readFileSync } from 'node:fs';
import type pg from 'pg';
import { expect, test } from 'vitest';
import { compileMigration } from '../../scripts/build.ts';
import { fromRoot } from '../../scripts/local/project.ts';
import { createDatabase } from '../support/database.ts';
import { applyPlans } from '../support/plans.ts';

const read = (name: string) => readFileSync(fromRoot(`sql/optional/${name}`), 'utf8');

/** What a database consists of, with rights, comments and options, as text. */
const CATALOGUE = `
  select pg_describe_object(d.classid, d.objid, d.objsubid) as object, d.state
  from (
    select 'pg_namespace'::regclass as classid, oid as objid, 0 as objsubid, nspacl::text as state from pg_namespace
      where nspname !~ '^pg_(temp|toast_temp)'
    union all
    select 'pg_proc'::regclass, oid, 0, concat(proacl, md5(prosrc), proconfig) from pg_proc
    union all
    select 'pg_class'::regclass, oid, 0, concat(relacl, relrowsecurity, relforcerowsecurity, reloptions) from pg_class
      where relnamespace <> 'pg_toast'::regnamespace
    union all
    select 'pg_class'::regclass, attrelid, attnum, concat(attacl, attstattarget, attnotnull) from pg_attribute
      where attnum > 0 and not attisdropped
        and attrelid in (select oid from pg_class where relnamespace <> 'pg_toast'::regnamespace)
    union all
    select 'pg_type'::regclass, oid, 0, concat(typacl) from pg_type where typnamespace <> 'pg_toast'::regnamespace
    union all select 'pg_trigger'::regclass, oid, 0, tgenabled::text from pg_trigger
    union all select 'pg_constraint'::regclass, oid, 0, '' from pg_constraint
    union all select 'pg_policy'::regclass, oid, 0, '' from pg_policy
    union all select 'pg_rewrite'::regclass, oid, 0, '' from pg_rewrite
    union all select 'pg_event_trigger'::regclass, oid, 0, '' from pg_event_trigger
    union all select 'pg_extension'::regclass, oid, 0, '' from pg_extension
    union all select 'pg_default_acl'::regclass, oid, 0, defaclacl::text from pg_default_acl
    union all select 'pg_publication'::regclass, oid, 0, '' from pg_publication
    union all select 'pg_statistic_ext'::regclass, oid, 0, '' from pg_statistic_ext
    union all select 'pg_collation'::regclass, oid, 0, '' from pg_collation
    union all select 'pg_operator'::regclass, oid, 0, '' from pg_operator
    union all select 'pg_cast'::regclass, oid, 0, '' from pg_cast
    union all select 'pg_database'::regclass, setdatabase, setrole::int, setconfig::text from pg_db_role_setting
      where setdatabase = (select oid from pg_database where datname = current_database())
  ) as d
  order by 1, 2`;

const APP = `
  create schema app;
  create table app.files (id int, user_id text, bytes bigint);
  create table app.parts (user_id text, n int) partition by list (n);
  create table app.parts_1 partition of app.parts for values in (1);
  create table app.profiles (id text primary key, plan text);
  create function app.is_of(p_user text, p_subject text) returns boolean language sql as 'select p_user = p_subject';
  create function public.increment_usage(day date) returns void language sql as '';
  create function public.set_plan(id uuid) returns void language sql as '';`;

/** Everything that an app may do with pgquota. */
async function use(client: pg.Client): Promise<void> {
  await client.query('drop function public.set_plan(uuid), public.increment_usage(date)');
  await client.query(compileMigration());
  await applyPlans(client);
  await client.query(`
    create or replace function quota.acts_for(p_user_id text, p_subject_id text) returns boolean
    language sql stable set search_path = pg_catalog, pg_temp as 'select app.is_of($1, $2)';
    select quota.limit_table('app.files', 'kb_file', 'user_id');
    select quota.limit_table('app.parts', 'kb_file', 'user_id');
    select quota.follow_plan('app.profiles', 'id', 'plan');
    select public.consume_usage('ai_generation', 1, 'ada');
    select public.reserve_usage('ai_generation', 1, 'ada');`);
  // With the types of this app, and with the usual ones.
  await client.query(read('increment_usage.sql').replaceAll('uuid', 'text'));
  await client.query(
    'drop function public.increment_usage(text, text, timestamptz, timestamptz, jsonb)',
  );
  await client.query(read('increment_usage.sql'));
  // Other functions of the app that have a name of ours.
  await client.query(APP.split('\n').slice(-2).join('\n'));
}

test('the catalogue is what it was before pgquota came, and installing again works', async () => {
  const database = await createDatabase({ from: 'empty' });
  try {
    const client = await database.connect();
    await client.query(APP);
    const before = (await client.query(CATALOGUE)).rows;
    await use(client);
    await client.query(read('remove.sql'));
    expect((await client.query(CATALOGUE)).rows).toEqual(before);
    await client.query(
      `insert into app.files select n, 'ada', 1 from generate_series(1, 100) as n`,
    );

    // What is gone already is no obstacle.
    await client.query(read('remove.sql'));
    await use(client);
    const { rows } = await client.query(`select * from consume_usage('ai_generation', 1, 'ada')`);
    expect(rows[0]).toMatchObject({ allowed: true, used: '2' });
  } finally {
    await database.drop();
  }
});

test('the drop-in goes also with types of its own, and where schema quota went before', async () => {
  const database = await createDatabase();
  try {
    const client = await database.connect();
    await client.query(read('increment_usage.sql').replaceAll('uuid', 'text'));
    await client.query('drop schema quota cascade');
    await client.query(read('remove.sql'));
    const { rows } = await client.query(`
      select oid::regprocedure::text as object from pg_proc where pronamespace = 'public'::regnamespace
      union all
      select oid::regclass::text from pg_class where relnamespace = 'public'::regnamespace`);
    expect(rows).toEqual([]);
  } finally {
    await database.drop();
  }
});
