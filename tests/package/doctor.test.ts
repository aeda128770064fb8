import type pg from 'pg';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { updateSteps } from '../../cli/update.ts';
import { createDatabase, type TestDatabase } from '../support/database.ts';
import { applyPlans } from '../support/plans.ts';
import { pgquota } from './cli.ts';

const doctor = (url: string, ...options: string[]) =>
  pgquota(process.cwd(), ['doctor', '--database-url', url, ...options]);

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

describe('what statements put right', () => {
  test('is told one by one, and --sql, run, heals all of it', async () => {
    const database = await createDatabase();
    try {
      const client = await database.connect();
      await applyPlans(client);
      await client.query(`
        create table public.files (user_id text);
        alter table public.files enable row level security;
        select quota.limit_table('public.files', 'kb_file', 'user_id');
        create or replace function quota.is_trusted() returns boolean language plpgsql stable
          set search_path = pg_catalog, pg_temp as 'begin return true; end';
        create or replace function quota.room(p_limit bigint, p_used bigint) returns bigint
          language sql as 'select 1';
        grant execute on function public.refund_usage(uuid, bigint, text, text, text) to anon;
        alter view public.usage_events reset (security_invoker);
        alter policy select_own on quota.counters using (true);
        drop index quota.events_by_id;
        alter table public.files disable trigger user;
        insert into public.files values ('ada'), ('ada');
        create function public.consume_usage(user_id uuid) returns void language sql as '';`);
      const sick = await doctor(database.url);
      for (const finding of [
        /^✗ Function quota\.is_trusted\(\) is not that of this release/m,
        /^✗ Function public\.refund_usage.*anon EXECUTE should not be/m,
        /^✗ View public\.usage_events: it lost security_invoker/m,
        /^✗ Policy select_own on quota\.counters: it is .*using \(true\)/m,
        /^✗ Index quota\.events_by_id: it is missing/m,
        /^✗ Limited table public\.files: trigger .* is disabled.*uncounted/m,
        /^✗ Function public\.consume_usage\(uuid\): it is not of pgquota/m,
        /^✗ Gauge kb_file is not what its limited tables hold, for 1 subject/m,
      ]) {
        expect(sick.output).toMatch(finding);
      }
      expect(sick.output).not.toContain('somebody wrote past the functions');
      expect(sick.output.match(/quota\.is_trusted\(\)/g)).toHaveLength(1);
      expect(sick.code).toBe(1);

      const cure = await doctor(database.url, '--sql');
      expect(cure.code).toBe(1);
      await client.query(cure.output);
      const healed = await doctor(database.url);
      expect(healed.output).toContain('Nothing is wrong.');
      expect((await doctor(database.url, '--sql')).output).toBe('-- Nothing is wrong.\n');
    } finally {
      await database.drop();
    }
  });

  test('a checker that was made to find nothing is found, and so is what it hid', async () => {
    const database = await createDatabase();
    try {
      const client = await database.connect();
      await applyPlans(client);
      await client.query(`
        alter policy select_own on quota.counters using (true);
        create or replace function public.verify_installation()
          returns setof public.installation_problem language plpgsql stable
          set search_path = pg_catalog, pg_temp as 'begin end'`);
      const blind = await doctor(database.url, '--sql');
      expect(blind.output).toMatch(/^-- Function public\.verify_installation\(\) is not that of/m);
      await client.query(blind.output);
      const seen = await doctor(database.url);
      expect(seen.output).toMatch(/✗ Policy select_own on quota\.counters/);
    } finally {
      await database.drop();
    }
  });
});

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

  test('a table that is gone is named, and the looks that need it say so', async () => {
    const { code, output } = await diagnosis(
      'alter table quota.counters rename to gone',
      'alter table quota.gone rename to counters',
    );
    expect(output).toMatch(
      /✗ Table quota\.counters: it is missing\.\n {4}Restore it from a backup/,
    );
    expect(output).toMatch(/A look at catalogue, zones or ledger failed: .*\(42P01\)/);
    expect(code).toBe(1);
  });

  test('an older release, and a migration that was not applied, are told', async () => {
    const manifest = (
      await client.query(`select pg_get_functiondef('quota.release_manifest'::regproc) as d`)
    ).rows[0].d;
    const version = (await client.query(`select pg_get_functiondef('quota.version'::regproc) as d`))
      .rows[0].d;
    const half = await diagnosis(manifest.replace('quota.clock()', 'quota.watch()'), manifest);
    expect(half.output).toMatch(/✗ Not all of the migrations of pgquota [\d.]+ were applied/);
    expect(half.code).toBe(1);
    const older = await diagnosis(
      `${manifest.replace('quota.clock()', 'quota.watch()')};${version.replace(/return '[\d.]+'/, "return '0.0.9'")}`,
      `${manifest};${version}`,
    );
    expect(older.output).toMatch(
      // The migrations are in this folder: what is left is to apply them.
      /✗ pgquota 0\.0\.9 is installed, \d+\.\d+\.\d+ is here\.\n {4}npx supabase db push --remote/,
    );
    expect((await doctor(database.url)).code).toBe(0);
  });

  test('a database that is newer than the package asks for that package', () => {
    expect(updateSteps('99.0.0', database.url)).toMatch(/^npm install pgquota@99\.0\.0/);
  });

  test('a limited table that was dropped is told as that', async () => {
    await client.query(`create table public.notes (user_id text);
      alter table public.notes enable row level security;
      select quota.limit_table('public.notes', 'kb_file', 'user_id');
      insert into public.notes values ('zoe');
      drop table public.notes;`);
    const { output } = await doctor(database.url);
    expect(output).toMatch(
      /✗ Limited table \d+: it was dropped.*\n {4}select quota\.unlimit_table\(/,
    );
    expect(output).not.toContain('somebody wrote past the functions');
    await client.query((await doctor(database.url, '--sql')).output);
    expect((await doctor(database.url)).output).toContain('Nothing is wrong.');
  });

  test('a counter that somebody wrote by hand is shown beside its ledger', async () => {
    await client.query(`select public.consume_usage('export', 2, 'eve')`);
    const { code, output } = await diagnosis(
      `update quota.counters set used_before = used_before + 1 where subject_id = 'eve'`,
      `update quota.counters set used_before = used_before - 1 where subject_id = 'eve'`,
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
    expect(undefaulted.code, undefaulted.output).toBe(0);

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
  test('that has a schema quota of somebody else is told so in one line', async () => {
    const database = await createDatabase({ from: 'empty' });
    const client = await database.connect();
    await client.query('create schema quota; create table quota.budgets (id bigint)');
    const { code, output } = await doctor(database.url);
    await database.drop();
    expect(output.match(/^✗.*/gm)).toEqual([
      expect.stringMatching(/schema quota that is not of pgquota: rename it/),
    ]);
    expect(output).toContain('1 thing is wrong.');
    expect(code).toBe(1);
  });

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
