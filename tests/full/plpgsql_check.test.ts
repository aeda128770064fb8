// Postgres 15, the oldest that is promised, as Debian has it; and plpgsql_check, which reads every
// statement of every function body against the catalogue.
import { readFileSync } from 'node:fs';
import pg from 'pg';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { migrationPath } from '../../scripts/build.ts';
import { fromRoot } from '../../scripts/local/project.ts';
import { type Debian15, startDebian15 } from '../support/debian15.ts';
import { applyPlans } from '../support/plans.ts';

let server: Debian15;
let client: pg.Client;

beforeAll(async () => {
  server = await startDebian15();
  client = new pg.Client(server.url);
  await client.connect();
  await client.query(readFileSync(fromRoot('sql/roles.sql'), 'utf8'));
  await client.query(readFileSync(migrationPath, 'utf8'));
});

afterAll(async () => {
  await client?.end();
  server?.stop();
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
