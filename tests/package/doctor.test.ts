import type pg from 'pg';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { createDatabase, type TestDatabase } from '../support/database.ts';
import { applyPlans } from '../support/plans.ts';
import { pgquota } from './cli.ts';

const doctor = (url: string) => pgquota(process.cwd(), ['doctor', '--database-url', url]);

describe('a healthy database', () => {
  let database: TestDatabase;
  beforeAll(async () => {
    database = await createDatabase();
    const client = await database.connect();
    await applyPlans(client);
    await client.query(`select public.consume_usage('export', 1, 'ada')`);
  });
  afterAll(() => database.drop());

  test('has nothing wrong, and the exit code is 0', async () => {
    const { code, output } = await doctor(database.url);
    expect(output).toContain('Nothing is wrong.');
    expect(output).not.toContain('✗');
    expect(code).toBe(0);
  });

  test('is looked at and not changed', async () => {
    const client = await database.connect();
    const state = async () =>
      (
        await client.query(`
          select array(select c from quota.counters as c order by c)::text,
            array(select e from quota.events as e order by e)::text`)
      ).rows;
    const before = await state();
    await doctor(database.url);
    expect(await state()).toEqual(before);
  });
});

test('an app may put its own membership in place of ours', async () => {
  const database = await createDatabase();
  const client = await database.connect();
  await applyPlans(client);
  await client.query(`
    create table public.team_members (team text, member text);
    create or replace function quota.acts_for(p_user_id text, p_subject_id text) returns boolean
      language sql stable security definer set search_path = '' as $$
        select exists (
          select from public.team_members where team = p_subject_id and member = p_user_id
        )
      $$;
    create or replace function quota.subjects_of(p_user_id text) returns setof text
      language sql stable rows 3 security definer set search_path = '' as $$
        select p_user_id union select team from public.team_members where member = p_user_id
      $$;`);
  const { code, output } = await doctor(database.url);
  await database.drop();
  expect(output).toContain('Nothing is wrong.');
  expect(code).toBe(0);
});

/** What somebody did, and a word of what the doctor says of it. Its advice, followed, heals it. */
const REPAIRABLE: Record<string, [damage: string, finding: RegExp]> = {
  'a function that visitors may execute': [
    'grant execute on function public.refund_usage(uuid, bigint, text, text, text) to anon',
    /\(anon\) may execute public\.refund_usage/,
  ],
  'a function that everybody may execute': [
    'grant execute on function quota.record(quota.events) to public',
    /\(public\) may execute quota\.record/,
  ],
  'a function of the server that signed-in users may execute': [
    'grant execute on function public.set_plan(text, text, timestamptz, text, timestamptz) to authenticated',
    /\(authenticated\) may execute public\.set_plan/,
  ],
  'a function that users lost': [
    'revoke execute on function public.consume_usage(text, bigint, text, text, jsonb) from authenticated',
    /\(authenticated\) may not execute public\.consume_usage/,
  ],
  'a function that lost its search_path': [
    'alter function quota.consume_usage(text, bigint, text, text, jsonb) reset search_path',
    /quota\.consume_usage.* lost its search_path/,
  ],
  'a function that lost security definer': [
    'alter function quota.consume_usage(text, bigint, text, text, jsonb) security invoker',
    /quota\.consume_usage.* is no longer security definer/,
  ],
  'a function that became security definer': [
    'alter function public.check_usage(text, bigint, text) security definer',
    /public\.check_usage.* became security definer/,
  ],
  'a table without row level security': [
    'alter table quota.counters disable row level security',
    /Row level security is off on quota\.counters/,
  ],
  'a view that lost security_invoker': [
    'alter view public.usage_events reset (security_invoker)',
    /View public\.usage_events lost security_invoker/,
  ],
  'a table that users may write': [
    'grant insert, update on quota.grants to authenticated',
    /\(authenticated\) may insert, update on quota\.grants/,
  ],
  'a view that visitors may read': [
    'grant select on public.current_usage to anon',
    /\(anon\) may select on public\.current_usage/,
  ],
  'a table that its readers lost': [
    'revoke select on quota.counters from authenticated',
    /\(authenticated\) may not read quota\.counters/,
  ],
  'a policy of somebody else': [
    'create policy everything on quota.events for select to authenticated using (true)',
    /Policy everything on quota\.events is not of pgquota/,
  ],
  'a schema that users may not use': [
    'revoke usage on schema quota from authenticated',
    /authenticated may not use schema quota/,
  ],
  'a schema that users may create in': [
    'grant create on schema quota to authenticated',
    /authenticated may create in schema quota/,
  ],
};

describe.each(Object.entries(REPAIRABLE))('%s', (_, [damage, finding]) => {
  test('is found, and the advice heals it', async () => {
    const database = await createDatabase();
    try {
      const client = await database.connect();
      await applyPlans(client);
      await client.query(damage);
      const sick = await doctor(database.url);
      expect(sick.output).toMatch(finding);
      expect(sick.output).toContain('\n1 thing is wrong.');
      expect(sick.code).toBe(1);
      await client.query(adviceIn(sick.output));
      expect((await doctor(database.url)).output).toContain('Nothing is wrong.');
    } finally {
      await database.drop();
    }
  });
});

/** Indented lines below a finding. */
const adviceIn = (output: string) =>
  [...output.matchAll(/^✗.*\n((?: {4}.*\n)+)/gm)].map(([, advice]) => advice).join('');

describe('what needs a person', () => {
  let database: TestDatabase;
  let client: pg.Client;
  beforeAll(async () => {
    database = await createDatabase();
    client = await database.connect();
    await applyPlans(client);
  });
  afterAll(() => database.drop());

  async function diagnosis(damage: string, repair: string) {
    await client.query(damage);
    const { code, output } = await doctor(database.url);
    await client.query(repair);
    return { code, output };
  }

  test('a function that was dropped is named', async () => {
    const { code, output } = await diagnosis(
      'alter function public.enforce_usage(text, bigint, text, text, jsonb) rename to gone',
      'alter function public.gone(text, bigint, text, text, jsonb) rename to enforce_usage',
    );
    expect(output).toMatch(/Functions are missing: public\.enforce_usage\./);
    expect(code).toBe(1);
  });

  test('a policy that was dropped is named', async () => {
    const { output } = await diagnosis(
      'alter policy select_own on quota.counters rename to gone',
      'alter policy gone on quota.counters rename to select_own',
    );
    expect(output).toMatch(/Policies are missing: quota\.counters select_own\./);
  });

  test('a table that is gone is named, and the looks that need it say so', async () => {
    const { code, output } = await diagnosis(
      'alter table quota.counters rename to gone',
      'alter table quota.gone rename to counters',
    );
    expect(output).toMatch(/Tables and views are missing: quota\.counters\./);
    expect(output).toMatch(/A look at catalogue, time or ledger failed: .*\(42P01\)/);
    expect(code).toBe(1);
  });

  test('a second function of the same name is named, since REST cannot tell them apart', async () => {
    const { output } = await diagnosis(
      `create function public.consume_usage(feature text, amount integer) returns void
         set search_path = pg_catalog, pg_temp as '' language sql;
       revoke execute on function public.consume_usage(text, integer) from public, anon, authenticated, service_role`,
      'drop function public.consume_usage(text, integer)',
    );
    expect(output).toMatch(/There are 2 functions public\.consume_usage/);
  });

  test('a counter that somebody wrote by hand is shown beside its ledger', async () => {
    await client.query(`select public.consume_usage('export', 2, 'eve')`);
    const { code, output } = await diagnosis(
      `update quota.counters set used = 1 where subject_id = 'eve'`,
      `update quota.counters set used = 2 where subject_id = 'eve'`,
    );
    expect(output).toMatch(/eve export month: counted 1, the ledger says 2/);
    expect(code).toBe(1);
  });

  test('a subject in a time zone that the server does not know is named', async () => {
    await client.query(`select public.set_plan('eve', 'pro')`);
    const { output } = await diagnosis(
      `update quota.subjects set time_zone = 'Mars/Olympus' where subject_id = 'eve'`,
      `update quota.subjects set time_zone = 'UTC' where subject_id = 'eve'`,
    );
    expect(output).toMatch(/time zone Mars\/Olympus of 1 subject \(such as eve\)/);
  });

  test('an empty catalogue is wrong, one without a default plan is a note', async () => {
    const { rows } = await client.query('select plan_id from quota.plans where is_default');
    const undefaulted = await diagnosis(
      'update quota.plans set is_default = false',
      `update quota.plans set is_default = true where plan_id = '${rows[0].plan_id}'`,
    );
    expect(undefaulted.output).toMatch(/^· No plan is the default/m);
    expect(undefaulted.code).toBe(0);

    const fresh = await createDatabase();
    const { code, output } = await doctor(fresh.url);
    await fresh.drop();
    expect(output).toMatch(/✗ There are no plans/);
    expect(code).toBe(1);
  });

  test('a schema that REST exposes is named', async () => {
    const { output } = await diagnosis(
      `alter database ${database.name} set pgrst.db_schemas = 'public, quota'`,
      `alter database ${database.name} set pgrst.db_schemas = 'public'`,
    );
    expect(output).toMatch(/✗ Schema quota is exposed over REST/);
  });

  test('a clock that was replaced is told', async () => {
    const { output } = await diagnosis(
      `create or replace function quota.clock() returns timestamptz language plpgsql
         set search_path = pg_catalog, pg_temp as 'begin return ''2020-01-01Z''::timestamptz; end'`,
      `create or replace function quota.clock() returns timestamptz language plpgsql
         set search_path = pg_catalog, pg_temp as 'begin return pg_catalog.clock_timestamp(); end'`,
    );
    expect(output).toMatch(/quota\.clock\(\) was replaced: it says 2020/);
  });

  test('a role that may not read what is counted is told so', async () => {
    const name = `reader_${database.name}`;
    const url = new URL(database.url);
    Object.assign(url, { username: name, password: 'secret' });
    await client.query(`create role ${name} login password 'secret'`);
    const { code, output } = await doctor(url.href);
    await client.query(`drop role ${name}`);
    expect(output).toMatch(new RegExp(`✗ ${name} may not read what is counted`));
    expect(code).toBe(1);
  });
});

describe('a database without pgquota', () => {
  test('is told how to get it, and which names are taken', async () => {
    const database = await createDatabase({ from: 'empty' });
    const client = await database.connect();
    await client.query(`
      create table public.usage_events (id bigint);
      create function public.consume_usage(user_id uuid) returns void as '' language sql;`);
    const { code, output } = await doctor(database.url);
    await database.drop();
    expect(output).toMatch(/✗ Schema public already has function consume_usage\(uuid\)/);
    expect(output).toMatch(/✗ Schema public already has table usage_events/);
    expect(output).toMatch(/✗ pgquota is not installed here/);
    expect(output).toContain('3 things are wrong.');
    expect(code).toBe(1);
  });
});

describe('no connection', () => {
  test.each([
    ['nobody named a database', [], /No database named\./],
    ['an address without a scheme', ['--database-url', 'localhost/app'], /cannot be read/],
    [
      'a port where nothing listens',
      ['--database-url', 'postgres://u:hunter2@127.0.0.1:1/app'],
      /Nothing answers at 127\.0\.0\.1:1\/app/,
    ],
  ])('%s: said in words, without the password', async (_, args, message) => {
    const { code, output } = await pgquota('/', ['doctor', ...args]);
    expect(output).toMatch(message);
    expect(output).not.toContain('hunter2');
    expect(output).not.toMatch(/^\s+at /m);
    expect(code).toBe(1);
  });

  test('a wrong password and an unknown database are told apart', async () => {
    const database = await createDatabase();
    const wrongPassword = new URL(database.url);
    wrongPassword.password = 'wrong';
    const wrongDatabase = new URL(database.url);
    wrongDatabase.pathname = '/nowhere';
    expect((await doctor(wrongPassword.href)).output).toMatch(/Check user and password/);
    expect((await doctor(wrongDatabase.href)).output).toMatch(/There is no database "nowhere"/);
    await database.drop();
  });
});
