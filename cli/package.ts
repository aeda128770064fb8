/** The installed package: its version and the files it ships, from the sources or from dist/. */
import { readdirSync, readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';

const manifestPath = createRequire(import.meta.url).resolve('pgquota/package.json');

export const version: string = JSON.parse(readFileSync(manifestPath, 'utf8')).version;

export const fromPackage = (path: string) => join(dirname(manifestPath), path);

export interface Shipped {
  /** `20261125000000_pgquota.sql`: the name says which migration it is, wherever it is written. */
  name: string;
  text: string;
}

export function shippedMigrations(): Shipped[] {
  const folder = fromPackage('supabase/migrations');
  return readdirSync(folder)
    .filter((name) => name.endsWith('.sql'))
    .sort()
    .map((name) => ({ name, text: readFileSync(join(folder, name), 'utf8') }));
}

/** The roles that Supabase has and plain Postgres lacks, as a migration before all others. */
export function shippedRoles(): Shipped {
  const text = readFileSync(fromPackage('sql/roles.sql'), 'utf8');
  return {
    name: '00000000000000_pgquota_roles.sql',
    text: `-- migrate:up\n\n${text}\n-- migrate:down\n\n-- Roles belong to the whole server: other databases may use them.\n`,
  };
}
