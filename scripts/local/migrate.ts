/**
 * Migrations by dbmate and the seed. The history is kept in the table that the Supabase CLI uses too,
 * outside the schema that REST exposes, so either tool can continue where the other stopped.
 */
import { existsSync, readFileSync } from 'node:fs';
import { resolveBinary } from 'dbmate';
import type pg from 'pg';
import { withClient } from './client.ts';
import { cleanEnvironment, run } from './processes.ts';
import { fromRoot } from './project.ts';

const HISTORY_SCHEMA = 'supabase_migrations';

/** Applies what is missing; gives back the names of the files it applied. */
export async function migrate(
  url: string,
  folder = fromRoot('supabase/migrations'),
): Promise<string[]> {
  if (!existsSync(folder)) throw new Error(`No migrations: ${folder} does not exist`);
  await createHistorySchema(url);
  const { code, output } = await run(
    resolveBinary(),
    ['--migrations-dir', folder, '--no-dump-schema', 'migrate'],
    {
      env: cleanEnvironment({
        DATABASE_URL: withoutTlsOnLoopback(url),
        DBMATE_MIGRATIONS_TABLE: `${HISTORY_SCHEMA}.schema_migrations`,
        DBMATE_NO_DUMP_SCHEMA: 'true',
      }),
    },
  );
  if (code !== 0) throw new Error(`A migration failed:\n${output.trim()}`);
  return [...output.matchAll(/^Applied: (\S+)/gm)].map(([, name]) => name as string);
}

/** Fills the catalogue with the sample plans; running it again changes nothing. */
export async function seed(client: pg.ClientBase): Promise<void> {
  await client.query(readFileSync(fromRoot('supabase/seed.sql'), 'utf8'));
}

/**
 * `create schema if not exists` wants the right to create even where there is nothing to create, and
 * of two at once the second fails on the catalogue's unique index: they take turns.
 */
async function createHistorySchema(url: string): Promise<void> {
  await withClient(url, (client) =>
    client.query(`
      select pg_advisory_xact_lock(hashtext('pgquota: migrations'));
      do $$ begin
        if not exists (select from pg_namespace where nspname = '${HISTORY_SCHEMA}') then
          create schema ${HISTORY_SCHEMA};
        end if;
      end $$`),
  );
}

/** dbmate asks for TLS unless told otherwise; a server on this machine rarely speaks it. */
export function withoutTlsOnLoopback(url: string): string {
  const parsed = new URL(url);
  const loopback = ['127.0.0.1', 'localhost', '[::1]', ''].includes(parsed.hostname);
  if (loopback && !parsed.searchParams.has('sslmode'))
    parsed.searchParams.set('sslmode', 'disable');
  return parsed.href;
}
