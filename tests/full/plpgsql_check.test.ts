// Postgres 15, the oldest that is promised, as Debian has it; and plpgsql_check, which reads every
// statement of every function body against the catalogue.
import { spawnSync } from 'node:child_process';
import { chmodSync, chownSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import pg from 'pg';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { migrationPath } from '../../scripts/build.ts';
import { choosePort } from '../../scripts/local/ports.ts';
import { fromRoot } from '../../scripts/local/project.ts';
import { applyPlans } from '../support/plans.ts';

const BIN = '/usr/lib/postgresql/15/bin';
let folder: string;
let client: pg.Client;

function run(program: string, args: string[]) {
  const asNobody = process.getuid?.() === 0 ? { uid: 65534, gid: 65534 } : {};
  const { status, error, stderr } = spawnSync(join(BIN, program), args, {
    ...asNobody,
    cwd: '/',
    encoding: 'utf8',
    stdio: ['ignore', 'ignore', 'pipe'],
  });
  expect(error, 'Debian: postgresql-15, postgresql-15-plpgsql-check').toBeUndefined();
  expect(status, stderr).toBe(0);
}

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'pgquota-15-'));
  if (process.getuid?.() === 0) chownSync(folder, 65534, 65534);
  else chmodSync(folder, 0o700);
  const port = await choosePort(undefined, '127.0.0.1');
  run('initdb', [
    '-D',
    join(folder, 'data'),
    '-U',
    'postgres',
    '-A',
    'trust',
    '-E',
    'UTF8',
    '--locale=C.UTF-8',
  ]);
  run('pg_ctl', [
    ...['-D', join(folder, 'data'), '-l', join(folder, 'log'), '-w', 'start'],
    ...['-o', `-p ${port} -c listen_addresses=127.0.0.1 -c unix_socket_directories= -c fsync=off`],
  ]);
  client = new pg.Client({ host: '127.0.0.1', port, user: 'postgres', database: 'postgres' });
  await client.connect();
  await client.query(readFileSync(fromRoot('sql/roles.sql'), 'utf8'));
  await client.query(readFileSync(migrationPath, 'utf8'));
});

afterAll(async () => {
  await client?.end();
  run('pg_ctl', ['-D', join(folder, 'data'), '-m', 'immediate', 'stop']);
  rmSync(folder, { recursive: true, force: true });
});

test('what the release says of itself, read from another version of Postgres, holds here', async () => {
  expect((await client.query('select * from public.verify_installation()')).rows).toEqual([]);
  await client.query('begin');
  await client.query('alter policy select_own on quota.events using (true)');
  const { rows } = await client.query('select * from public.verify_installation()');
  expect(rows).toHaveLength(1);
  await client.query(rows[0].statement);
  expect((await client.query('select * from public.verify_installation()')).rows).toEqual([]);
  await client.query('rollback');
});

test('Postgres 15 runs the main job', async () => {
  await applyPlans(client, {
    features: { ai_generation: {} },
    plans: { free: { default: true, limits: { ai_generation: { month: 2 } } } },
  });
  const allowed = [];
  for (let n = 0; n < 3; n++) {
    const { rows } = await client.query(`select * from consume_usage('ai_generation', 1, 'ada')`);
    allowed.push(rows[0].allowed);
  }
  expect(allowed).toEqual([true, true, false]);
  expect((await client.query('select * from verify_usage()')).rows).toEqual([]);
});

test('plpgsql_check finds no error in any function', async () => {
  await client.query('create extension plpgsql_check');
  const { rows } = await client.query(`
    select p.oid::regprocedure::text as function, c.lineno, c.sqlstate, c.message
    from pg_catalog.pg_proc as p
    join pg_catalog.pg_language as l on l.oid = p.prolang and l.lanname = 'plpgsql'
    cross join lateral plpgsql_check_function_tb(
      p.oid,
      -- A trigger function is checked for the table it will meet; the engine's read any table.
      fatal_errors => false, other_warnings => false, extra_warnings => false
    ) as c
    where p.pronamespace in ('quota'::regnamespace, 'public'::regnamespace)
      and p.prorettype <> 'trigger'::regtype
      and c.level = 'error'`);
  expect(rows).toEqual([]);
});
