/**
 * The roles a Supabase project has from the start. On plain Postgres sql/roles.sql makes them; the
 * embedded server also needs the one PostgREST signs in with.
 */
import { randomBytes } from 'node:crypto';
import { readFileSync } from 'node:fs';
import type pg from 'pg';
import { fromRoot } from './project.ts';

export interface Login {
  user: string;
  password: string;
}

/** Creates anon, authenticated and service_role where they are missing; changes none that exist. */
export async function ensureApiRoles(client: pg.ClientBase): Promise<void> {
  await client.query(readFileSync(fromRoot('sql/roles.sql'), 'utf8'));
}

/**
 * All of the above, and `authenticator` with a new password. Only for a server that is ours: on
 * another one it would lock out whoever signs in as authenticator already.
 */
export async function ensureRoles(client: pg.ClientBase): Promise<Login> {
  await ensureApiRoles(client);
  const login = { user: 'authenticator', password: randomBytes(24).toString('base64url') };
  const { rowCount } = await client.query('select from pg_roles where rolname = $1', [login.user]);
  if (!rowCount) await client.query(`create role ${login.user}`);
  // base64url has no quote to escape
  await client.query(`alter role ${login.user} login noinherit password '${login.password}'`);
  await client.query(`grant anon, authenticated, service_role to ${login.user}`);
  return login;
}
