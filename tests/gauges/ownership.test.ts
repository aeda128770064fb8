// Whose tables can be limited, where the owner of schema quota is no superuser: as on a hosted project.
import { randomBytes } from 'node:crypto';
import type pg from 'pg';
import { afterAll, beforeAll, expect, inject, test } from 'vitest';
import { withClient } from '../../scripts/local/client.ts';
import { migrate } from '../../scripts/local/migrate.ts';
import { urlOf } from '../support/cluster.ts';
import { createDatabase, type TestDatabase } from '../support/database.ts';
import { asUser } from '../support/session.ts';
import { createFiles, limitFiles } from './files.ts';
import { outcomeOf } from './scenarios.ts';

const cluster = inject('cluster');
const suffix = randomBytes(6).toString('hex');
const password = randomBytes(16).toString('hex');
/** Owns the database and schema quota; a role that it belongs to; one that it does not. */
const [dba, app, stranger] = [`dba_${suffix}`, `app_${suffix}`, `stranger_${suffix}`];

let database: TestDatabase;
let admin: pg.Client;
let owner: pg.Client;

beforeAll(async () => {
  database = await createDatabase({ from: 'empty' });
  admin = await database.connect();
  await admin.query(`
    create role ${dba} login nosuperuser password '${password}';
    create role ${app};
    create role ${stranger};
    grant ${app} to ${dba};
    alter database ${database.name} owner to ${dba};
    grant create on schema public to ${app}, ${stranger};
    grant usage on schema public to anon, authenticated, service_role;`);
  const url = urlOf(cluster, database.name, { user: dba, password });
  await migrate(url);
  await withClient(url, createFiles);
  owner = await database.connect();
  await owner.query(`set session authorization ${dba}`);
});
afterAll(async () => {
  await database.drop();
  await withClient(cluster.adminUrl, (client) =>
    client.query(`drop role ${dba}; drop role ${app}; drop role ${stranger}`),
  );
});

const limit = (table: string) =>
  outcomeOf(
    owner.query(`select quota.limit_table($1, 'seat', 'user_id')`, [table]),
    '42501',
    '42809',
  );

const create = (table: string, role: string) =>
  admin.query(`
    create table public.${table} (user_id text);
    alter table public.${table} owner to ${role};
    insert into public.${table} values ('${table}')`);

test('its own table, with row security that lets its users see only their rows', async () => {
  await owner.query(`insert into public.files (user_id) values ('ada'), ('ada'), ('bob')`);
  await limitFiles(owner);
  await asUser(admin, 'ada', (client) =>
    client.query(`insert into public.files (user_id) values ('ada')`),
  );
  const { rows } = await owner.query(
    `select subject, used::integer from public.current_usage where feature = 'kb_file' order by subject`,
  );
  expect(rows).toEqual([
    { subject: 'ada', used: 3 },
    { subject: 'bob', used: 1 },
  ]);
  await owner.query('truncate public.files');
  expect((await owner.query('select * from public.verify_usage()')).rows).toEqual([]);
});

test('a table of a role that it belongs to', async () => {
  await create('of_app', app);
  expect(await limit('public.of_app')).toBe('ok');
  await owner.query('truncate public.of_app');
  expect((await owner.query('select * from public.verify_usage()')).rows).toEqual([]);
});

test('not the table of another role, and nothing of it is left behind', async () => {
  await create('of_stranger', stranger);
  expect(await limit('public.of_stranger')).toBe('42501');
  await admin.query(`grant all on public.of_stranger to ${dba}`);
  expect(await limit('public.of_stranger')).toBe('42501');
  const { rows } = await admin.query(
    `select (select count(*)::integer from pg_trigger where tgrelid = 'public.of_stranger'::regclass) as triggers,
       (select count(*)::integer from quota.limited_tables where table_id = 'public.of_stranger'::regclass) as tables`,
  );
  expect(rows).toEqual([{ triggers: 0, tables: 0 }]);
});

test('not a table with forced row security, which would hide rows from it', async () => {
  await create('forced', dba);
  await admin.query(
    'alter table public.forced enable row level security, force row level security',
  );
  expect(await limit('public.forced')).toBe('42501');
});

test('unless it bypasses row security, as the owner of a hosted project does', async () => {
  await admin.query(`alter role ${dba} bypassrls`);
  expect(await limit('public.forced')).toBe('ok');
  await owner.query('truncate public.forced');
  expect((await owner.query('select * from public.verify_usage()')).rows).toEqual([]);
  await owner.query(`select quota.unlimit_table('public.forced')`);
  await admin.query(`alter role ${dba} nobypassrls`);
});

test('a role that owns a table, and not schema quota, cannot limit it', async () => {
  await create('of_theirs', app);
  await admin.query(`begin; set local session authorization ${stranger}`);
  const limiting = admin.query(`select quota.limit_table('public.of_theirs', 'seat', 'user_id')`);
  expect(await outcomeOf(limiting, '42501')).toBe('42501');
  await admin.query('rollback');
});
