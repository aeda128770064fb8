// What somebody does to an installation is seen by verify_installation(), and the statement that it (or
// npx pgquota doctor --sql) gives puts it right. Each damage in a transaction of its own.
import type pg from 'pg';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { shippedText } from '../../cli/shipped.ts';
import { createDatabase, type TestDatabase } from '../support/database.ts';
import { applyPlans } from '../support/plans.ts';

interface Problem {
  object: string;
  problem: string;
  statement: string | null;
}

let database: TestDatabase;
let client: pg.Client;
beforeAll(async () => {
  database = await createDatabase();
  client = await database.connect();
  await applyPlans(client);
  await client.query(`
    create table public.files (id bigint generated always as identity primary key, user_id text, size bigint);
    alter table public.files enable row level security;
    select quota.limit_table('public.files', 'kb_file', 'user_id');
    create table public.parts (id bigint, user_id text) partition by list (id);
    create table public.parts_1 partition of public.parts for values in (1);
    alter table public.parts enable row level security;
    alter table public.parts_1 enable row level security;
    select quota.limit_table('public.parts', 'kb_file', 'user_id');
    create table public.profiles (id text primary key, "Name" text, plan text);
    alter table public.profiles enable row level security;
    revoke all on public.profiles from anon, authenticated;
    select quota.follow_plan('public.profiles', 'id', 'plan');
    insert into public.profiles values ('ada', 'Ada', 'pro');`);
});
afterAll(() => database.drop());
beforeEach(async () => {
  await client.query('begin');
});
afterEach(async () => {
  await client.query('rollback');
});

const problems = async (): Promise<Problem[]> =>
  (await client.query<Problem>('select * from public.verify_installation()')).rows;

/** The statement of a row, or the text that the package has where the row has none. */
function statementOf({ object, statement }: Problem): string {
  const [, kind, name] = /^(function|view) (\w+\.\w+)/.exec(object) ?? [];
  const sql = statement ?? shippedText(kind as 'function' | 'view', name as string);
  if (!sql) throw new Error(`no statement for ${object}`);
  return sql;
}

test('an installation with limited and followed tables has no problem', async () => {
  expect(await problems()).toEqual([]);
});

const CONSUME = 'quota.consume_usage(text, bigint, text, text, jsonb, text, boolean, interval)';

const CURABLE: Record<string, [damage: string, object: RegExp, count?: number]> = {
  'a body that trusts everybody': [
    `create or replace function quota.is_trusted() returns boolean language plpgsql stable
       set search_path = pg_catalog, pg_temp as 'begin return true; end'`,
    /^function quota\.is_trusted\(\)$/,
  ],
  'a checker that finds nothing': [
    `create or replace function public.verify_usage(subject text default null)
       returns setof public.usage_mismatch language plpgsql stable
       set search_path = pg_catalog, pg_temp as 'begin end'`,
    /^function public\.verify_usage\(text\)$/,
  ],
  'a clock that stands still': [
    `create or replace function quota.clock() returns timestamptz language plpgsql
       set search_path = pg_catalog, pg_temp as 'begin return ''2020-01-01Z''::timestamptz; end'`,
    /quota\.clock/,
  ],
  'a careless create or replace': [
    `create or replace function quota.set_plan(p_subject text, p_plan text, p_anchor timestamptz, p_time_zone text, p_ends_at timestamptz, p_reason text default null)
       returns void language plpgsql as 'begin end'`,
    /^function quota\.set_plan/,
    3, // body, security definer, settings
  ],
  'a lost search_path': [`alter function ${CONSUME} reset search_path`, /quota\.consume_usage/],
  'a lost lock timeout': [`alter function ${CONSUME} reset lock_timeout`, /quota\.consume_usage/],
  'a lost security definer': [`alter function ${CONSUME} security invoker`, /quota\.consume_usage/],
  'a wrapper that became security definer': [
    'alter function public.check_usage(text, bigint, text) security definer',
    /public\.check_usage/,
  ],
  'a function that is no longer stable': [
    'alter function quota.user_id() volatile',
    /quota\.user_id/,
  ],
  'a function of another owner': [
    'alter function quota.clock() owner to service_role',
    /quota\.clock/,
    2, // the rights went along
  ],
  'a function that visitors may execute': [
    'grant execute on function public.refund_usage(uuid, bigint, text, text, text) to anon',
    /public\.refund_usage/,
  ],
  'a function that everybody may execute': [
    'grant execute on function quota.record(quota.events) to public',
    /quota\.record/,
  ],
  'a function that users lost': [
    'revoke execute on function public.consume_usage(text, bigint, text, text, jsonb, text, boolean) from authenticated',
    /public\.consume_usage/,
  ],
  'a function that was dropped': [
    'drop function public.enforce_usage(text, bigint, text, text, jsonb, text, boolean)',
    /public\.enforce_usage/,
  ],
  'a second function of a name': [
    `create function public.consume_usage(feature text, amount integer) returns void as '' language sql`,
    /^function public\.consume_usage\(text, integer\)$/,
  ],
  'a second function of a private name': [
    `create function quota.room(mine uuid) returns void as '' language sql`,
    /^function quota\.room\(uuid\)$/,
  ],
  'row level security that is off': [
    'alter table quota.counters disable row level security',
    /^table quota\.counters$/,
  ],
  'an unlogged ledger': ['alter table quota.events set unlogged', /^table quota\.events$/],
  'a table that users may write': [
    'grant insert, update on quota.grants to authenticated',
    /^table quota\.grants$/,
  ],
  'a column that users may write': [
    'grant update (used) on quota.counters to authenticated',
    /^table quota\.counters$/,
  ],
  'a right that may be passed on': [
    'grant select on quota.plans to anon with grant option',
    /^table quota\.plans$/,
  ],
  'a table that its readers lost': [
    'revoke select on quota.counters from authenticated',
    /^table quota\.counters$/,
  ],
  'a view that visitors may read': [
    'grant select on public.current_usage to anon',
    /^view public\.current_usage$/,
  ],
  'a view without security_invoker': [
    'alter view public.usage_events reset (security_invoker)',
    /^view public\.usage_events$/,
  ],
  'a view that shows more': [
    `do $$ begin execute 'create or replace view public.usage_history with (security_invoker = true) as '
       || replace(pg_get_viewdef('public.usage_history'), ';', '') || ' limit 1'; end $$`,
    /^view public\.usage_history$/,
  ],
  'a view that was dropped': ['drop view public.plan_catalog', /^view public\.plan_catalog$/],
  'a loosened policy': [
    'alter policy select_own on quota.events using (true)',
    /^policy select_own on quota\.events$/,
  ],
  'a policy for everybody': [
    'alter policy select_own on quota.events to authenticated, anon',
    /^policy select_own on quota\.events$/,
  ],
  'a dropped policy': [
    'drop policy select_own on quota.counters',
    /^policy select_own on quota\.counters$/,
  ],
  'a policy of somebody else': [
    'create policy everything on quota.events for select to authenticated using (true)',
    /^policy everything on quota\.events$/,
  ],
  'a dropped index': ['drop index quota.events_by_id', /^index quota\.events_by_id$/],
  'an index over another column': [
    `drop index quota.events_by_what_they_are_about;
     create index events_by_what_they_are_about on quota.events (subject_id, at)`,
    /^index quota\.events_by_what_they_are_about$/,
  ],
  'a unique index that is gone': [
    'drop index quota.plans_have_one_default',
    /^index quota\.plans_have_one_default$/,
  ],
  'a unique index of somebody else': [
    'create unique index one_line on quota.events (subject_id)',
    /^index quota\.one_line$/,
  ],
  'a dropped constraint': [
    'alter table quota.plans drop constraint plans_id_is_1_to_255_characters',
    /^constraint plans_id_is_1_to_255_characters on quota\.plans$/,
  ],
  'a dropped primary key': [
    'alter table quota.events drop constraint events_pkey',
    /^constraint events_pkey on quota\.events$/,
  ],
  'a constraint of somebody else': [
    'alter table quota.events add constraint small check (used_change < 9) not valid',
    /^constraint small on quota\.events$/,
  ],
  'a column that may be null': [
    'alter table quota.plans alter name drop not null',
    /^column quota\.plans\.name$/,
  ],
  'another default': [
    'alter table quota.plans alter is_default set default true',
    /^column quota\.plans\.is_default$/,
  ],
  'a column of somebody else': [
    'alter table quota.events add extra text',
    /^column quota\.events\.extra$/,
  ],
  'a trigger on the counters': [
    `create trigger forget before update on quota.counters for each row execute function suppress_redundant_updates_trigger()`,
    /^trigger forget on quota\.counters$/,
  ],
  'a rule on the ledger': [
    'create rule forget as on insert to quota.events do instead nothing',
    /^rule forget on quota\.events$/,
  ],
  'foreign keys that are off': [
    'alter table quota.plan_limits disable trigger all',
    /^table quota\.plan_limits$/,
  ],
  'a schema that users may create in': [
    'grant create on schema quota to authenticated',
    /^schema quota$/,
  ],
  'a schema that users may not use': [
    'revoke usage on schema quota from authenticated',
    /^schema quota$/,
  ],
  'a function of the app that visitors reach': [
    'create function quota.helper() returns integer language sql return 1',
    /^function quota\.helper\(\)$/,
  ],
  'users who pass by row level security': [
    'alter role authenticated bypassrls',
    /^role authenticated$/,
  ],
  'users who are a superuser': ['alter role authenticated superuser', /^role authenticated$/],
  'users who became the server': ['grant service_role to authenticated', /^role authenticated$/],
  'users who became it by another role': [
    'create role staff_of_test nologin; grant service_role to staff_of_test; grant staff_of_test to authenticated',
    /^role authenticated$/,
  ],
  'visitors who became users': ['grant authenticated to anon', /^role anon$/],
  'a server that became the owner': ['grant postgres to service_role', /^role service_role$/],
  'a limited table whose trigger was dropped': [
    'drop trigger pgquota_insert on public.files',
    /^limited table public\.files$|^limited table files$/,
  ],
  'a limited table whose triggers are disabled': [
    'alter table public.files disable trigger user',
    /^limited table/,
  ],
  'a limited table whose trigger counts something else': [
    `create or replace trigger pgquota_delete after delete on public.files
       referencing old table as old_rows for each statement execute function quota.count_rows('kb_file', 'id', '')`,
    /^limited table/,
  ],
  'a partition whose trigger was dropped': [
    'drop trigger pgquota_truncate on public.parts_1',
    /^limited table/,
  ],
  'a partition that was made after the call': [
    'create table public.parts_2 partition of public.parts for values in (2)',
    /^limited table/,
  ],
  'a limited table that was dropped': ['drop table public.files', /^limited table \d+$/],
  'a trigger that counts without a limit': [
    `delete from quota.limited_tables where table_id = 'public.files'::regclass`,
    /^trigger pgquota_\w+ on public\.files$/,
    4,
  ],
  'a followed table whose trigger was dropped': [
    'drop trigger pgquota_follow_plan_update on public.profiles',
    /^followed table/,
  ],
  'a followed table that lost both triggers': [
    `drop trigger pgquota_follow_plan_update on public.profiles;
     drop trigger pgquota_follow_plan on public.profiles`,
    /^followed table/,
  ],
  'a followed table whose trigger is disabled': [
    'alter table public.profiles disable trigger pgquota_follow_plan',
    /^followed table/,
  ],
  'a followed table that was dropped': ['drop table public.profiles', /^followed table \d+$/],
  'a plan column that its user may write': [
    `grant select, insert, update on public.profiles to authenticated;
     create policy own on public.profiles for all to authenticated using (id = current_user) with check (id = current_user)`,
    /^followed table/,
  ],
  'a plan column that anybody may write, without policies': [
    'alter table public.profiles disable row level security; grant update on public.profiles to anon',
    /^followed table/,
  ],
  'a copy of the schema alone': ['delete from quota.catalogue', /^table quota\.catalogue$/],
};

describe.each(Object.entries(CURABLE))('%s', (_, [damage, object, count = 1]) => {
  test('is found, and the statement heals it', async () => {
    await client.query(damage);
    const found = await problems();
    expect(found, JSON.stringify(found)).toHaveLength(count);
    for (const one of found) expect(one.object).toMatch(object);
    for (const one of found) await client.query(statementOf(one));
    expect(await problems()).toEqual([]);
  });
});

test('what a person has to decide has no statement', async () => {
  await client.query(`
    alter table public.profiles rename column plan to tier;
    alter table public.files rename column user_id to owner_id;`);
  const found = await problems();
  expect(found.map(({ object }) => object)).toEqual([
    expect.stringMatching(/^followed table .*profiles$/),
    expect.stringMatching(/^limited table .*files$/),
  ]);
  expect(found.map(({ statement }) => statement)).toEqual([null, null]);
});

test('a table that is gone is one problem', async () => {
  await client.query('drop table quota.alerts cascade');
  const objects = (await problems()).map(({ object }) => object);
  expect(objects.filter((object) => object.includes('quota.alerts'))).toEqual([
    'table quota.alerts',
  ]);
  expect(objects).toContain('view public.usage_alerts');
});

test('membership of the app is its own; its search path and rights are looked at', async () => {
  await client.query(`
    create or replace function quota.acts_for(p_user_id text, p_subject_id text) returns boolean
      language sql stable security definer set search_path = '' as 'select false';
    create or replace function quota.subjects_of(p_user_id text) returns setof text
      language sql stable rows 3 security definer set search_path = '' as 'select p_user_id';`);
  expect(await problems()).toEqual([]);
  await client.query(`
    alter function quota.acts_for(text, text) reset search_path;
    grant execute on function quota.acts_for(text, text) to anon;`);
  const found = await problems();
  expect(found.map(({ object }) => object)).toEqual(
    Array(2).fill('function quota.acts_for(text, text)'),
  );
  for (const one of found) await client.query(statementOf(one));
  expect(await problems()).toEqual([]);
});

test('a plan column that users are meant to write is no problem, a trigger of it that is gone is', async () => {
  await client.query(`
    grant update on public.profiles to authenticated;
    select quota.follow_plan('public.profiles', 'id', 'plan', p_users_may_write => true);`);
  expect(await problems()).toEqual([]);
  await client.query('drop trigger pgquota_follow_plan on public.profiles');
  const found = await problems();
  expect(found).toHaveLength(1);
  await client.query(statementOf(found[0] as Problem));
  expect(await problems()).toEqual([]);
});

test('a trigger of the app on the alerts is its own', async () => {
  await client.query(`
    create function public.tell() returns trigger language plpgsql as 'begin return null; end';
    create trigger tell after insert on quota.alerts for each row execute function public.tell()`);
  expect(await problems()).toEqual([]);
});

test('an index of the app is its own', async () => {
  await client.query('create index of_the_app on quota.events (at)');
  expect(await problems()).toEqual([]);
});

test('repair_privileges() puts back every right after a restore without them', async () => {
  await client.query(`
    do $$ declare r record; begin
      for r in select p.oid::regprocedure as name from pg_proc as p
        where p.pronamespace = 'quota'::regnamespace or p.proname in ('consume_usage', 'set_plan') loop
        execute format('revoke all on function %s from authenticated, service_role', r.name);
        execute format('grant execute on function %s to public', r.name);
      end loop;
    end $$;
    grant all on all tables in schema quota to anon, authenticated;
    revoke all on public.plan_catalog from service_role;
    revoke usage on schema quota from anon, authenticated;`);
  expect((await problems()).length).toBeGreaterThan(100);
  const { rows } = await client.query('select quota.repair_privileges() as statement');
  expect(rows.length).toBeGreaterThan(100);
  expect(await problems()).toEqual([]);
  expect((await client.query('select quota.repair_privileges()')).rows).toEqual([]);
});

test('who may ask: the server and the owner, and nobody else', async () => {
  await client.query('set local role service_role');
  expect(await problems()).toEqual([]);
  expect((await client.query('select quota.version() as v')).rows[0].v).toMatch(/^\d+\.\d+\.\d+/);
  for (const statement of ['select quota.repair_privileges()']) {
    await client.query('savepoint one');
    await expect(client.query(statement)).rejects.toMatchObject({ code: '42501' });
    await client.query('rollback to one');
  }
  for (const role of ['authenticated', 'anon']) {
    await client.query('savepoint one');
    await client.query(`set local role ${role}`);
    await expect(problems()).rejects.toMatchObject({ code: '42501' });
    await client.query('rollback to one');
  }
});

test('after a copy of the schema alone calls count, and apply_plans() begins a new edition', async () => {
  await client.query('delete from quota.catalogue');
  const call = `select (public.consume_usage('export', 1, 'eve')).allowed`;
  expect((await client.query(call)).rows[0].allowed).toBe(true);
  await client.query(`
    update quota.meters set catalogue_version = 40 where subject_id = 'eve';
    select public.apply_plans('{"features": {"kb_file": {"kind": "gauge"}, "export": {}, "ai_generation": {}},
      "plans": {"pro": {"limits": {"export": {"month": 2}}}, "free": {"default": true, "limits": {"export": {"month": 2}}}}}')`);
  expect((await client.query('select version from quota.catalogue')).rows).toEqual([
    { version: '41' },
  ]);
  expect((await client.query(call)).rows[0].allowed).toBe(true);
  expect((await client.query(call)).rows[0].allowed).toBe(false);
  expect((await client.query('select * from public.verify_usage()')).rows).toEqual([]);
});
