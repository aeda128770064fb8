// Postgres 15, the oldest that is promised, as Debian has it; and plpgsql_check, which reads every
// statement of every function body against the catalogue, as `supabase db lint` runs it.
import { readFileSync } from 'node:fs';
import pg from 'pg';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { compileMigration } from '../../scripts/build.ts';
import { fromRoot } from '../../scripts/local/project.ts';
import { runSupabase } from '../../scripts/local/supabase-cli.ts';
import { type Debian15, startDebian15 } from '../support/debian15.ts';
import { applyPlans } from '../support/plans.ts';

let server: Debian15;
let client: pg.Client;

beforeAll(async () => {
  server = await startDebian15();
  client = new pg.Client(server.url);
  await client.connect();
  await client.query(readFileSync(fromRoot('sql/roles.sql'), 'utf8'));
  await client.query(compileMigration());
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
    features: { ai_generation: {}, kb_file: { kind: 'gauge' } },
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

test('supabase db lint has nothing to say, and would say it', async () => {
  await client.query(`
    create schema app;
    create table app.files (user_id text, bytes bigint);
    create table app.profiles (id text, plan text);
    select quota.limit_table('app.files', 'kb_file', 'user_id', 'bytes');
    select quota.follow_plan('app.profiles', 'id', 'plan');`);
  const lint = async () => {
    const { stdout, stderr } = await runSupabase(
      ['db', 'lint', '--level', 'warning', '--schema', 'quota,public'],
      server.url,
    );
    return stdout + stderr;
  };
  expect(await lint()).toContain('No schema errors found');
  await client.query(`
    create function public.careless() returns uuid language plpgsql as $$ begin return ''::text; end $$`);
  expect(await lint()).toMatch(/public\.careless/);
});
