/**
 * A migration that was applied must not change: the tools skip it by its number, and a database kept
 * from an earlier run would silently go on with the old functions. Our own server remembers what it
 * applied; other people's servers are left alone.
 */
import { createHash } from 'node:crypto';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import type pg from 'pg';
import { fromRoot } from './project.ts';

const FOLDER = fromRoot('supabase/migrations');

export async function refuseChanged(client: pg.Client): Promise<void> {
  await client.query(`
    create schema if not exists supabase_migrations;
    create table if not exists supabase_migrations.applied_files (
      name text primary key,
      sha256 text not null
    );`);
  const { rows } = await client.query('select name, sha256 from supabase_migrations.applied_files');
  const now = checksums();
  const changed = rows.filter(({ name, sha256 }) => now.get(name) !== sha256);
  if (!changed.length) return;
  const directory = (await client.query('show data_directory')).rows[0].data_directory;
  throw new Error(
    `${changed.map(({ name }) => name).join(', ')} changed after it was applied to the database in ` +
      `${directory}. Delete that folder to begin anew (what was counted in it is lost).`,
  );
}

export async function rememberApplied(client: pg.Client): Promise<void> {
  await client.query(
    `insert into supabase_migrations.applied_files (name, sha256)
     select * from unnest($1::text[], $2::text[])
     on conflict do nothing`,
    [[...checksums().keys()], [...checksums().values()]],
  );
}

function checksums(): Map<string, string> {
  const names = readdirSync(FOLDER).filter((name) => name.endsWith('.sql'));
  const hash = (name: string) =>
    createHash('sha256')
      .update(readFileSync(join(FOLDER, name)))
      .digest('hex');
  return new Map(names.map((name) => [name, hash(name)]));
}
