/** Makes a server that somebody else runs ready for pgquota, or says what it lacks. */
import { readdirSync } from 'node:fs';
import type pg from 'pg';
import { isInstalled } from '../../cli/fitness.ts';
import { thisVersion } from '../build.ts';
import { fromRoot } from './project.ts';
import { ensureApiRoles } from './roles.ts';

const ROLES = ['anon', 'authenticated', 'service_role'];
const OLDEST = 15;

/**
 * Checks version and rights and creates the API's roles where they are missing. PostgREST then signs
 * in as the same role, so no other login is made and no password is changed. `log` hears of every
 * change.
 */
export async function prepareExisting(
  client: pg.Client,
  log: (line: string) => void,
): Promise<void> {
  const { rows } = await client.query(
    `select
       current_setting('server_version') as version,
       current_setting('server_version_num')::integer / 10000 as major,
       current_user as name,
       current_database() as database,
       rolsuper or rolcreaterole as may_create_roles,
       has_database_privilege(current_database(), 'create') as may_create_schemas,
       has_schema_privilege('public', 'create') as may_create_in_public,
       array(select r from unnest($1::text[]) as r where r not in (select rolname from pg_roles))
         as missing
     from pg_roles
     where rolname = current_user`,
    [ROLES],
  );
  const [server] = rows;
  if (server.major < OLDEST) {
    throw new Error(`Postgres ${OLDEST} or newer is needed; this server runs ${server.version}.`);
  }
  if (!server.may_create_schemas) {
    throw new Error(
      `Role ${server.name} may not create schemas in database ${server.database}. As its owner: ` +
        `grant create on database "${server.database}" to "${server.name}";`,
    );
  }
  if (!server.may_create_in_public) {
    throw new Error(
      `Role ${server.name} may not create in schema public. As its owner: ` +
        `grant create on schema public to "${server.name}";`,
    );
  }
  if (server.missing.length && !server.may_create_roles) {
    throw new Error(
      `The roles ${server.missing.join(', ')} are missing and ${server.name} may not create ` +
        'roles. Run sql/roles.sql as a superuser, or connect as a role with createrole.',
    );
  }
  await ensureApiRoles(client);
  if (server.missing.length) log(`Created the roles ${server.missing.join(', ')}`);
  for (const role of ROLES) {
    if (await canBecome(client, role)) continue;
    await becomeMember(client, role, server.name);
    log(`Granted ${role} to ${server.name}`);
  }
}

/**
 * Whether pgquota came here by other hands: psql, the Supabase CLI, a project's own dbmate. Their
 * history is theirs, and our migrations would run into what is there.
 *
 * @throws Error where that pgquota is of another release
 */
export async function isUpToDate(client: pg.Client): Promise<boolean> {
  if (!(await isInstalled(client)) || (await hasOurHistory(client))) return false;
  const { rows } = await client.query(
    `select to_regprocedure('quota.version()') is not null as has`,
  );
  const found = rows[0].has
    ? (await client.query('select quota.version()')).rows[0].version
    : 'none';
  if (found === thisVersion()) return true;
  throw new Error(
    `pgquota ${found} is installed in this database, and this is ${thisVersion()}. Bring it up to date with ` +
      'the tool that installed it (npx pgquota init writes what is missing), then start again.',
  );
}

async function hasOurHistory(client: pg.Client): Promise<boolean> {
  const table = `supabase_migrations.schema_migrations`;
  const { rows } = await client.query(`select to_regclass($1) is not null as is_there`, [table]);
  if (!rows[0].is_there) return false;
  const ours = readdirSync(fromRoot('supabase/migrations')).map((name) => name.split('_')[0]);
  const { rowCount } = await client.query(
    `select from ${table} where version = any ($1::text[]) limit 1`,
    [ours],
  );
  return rowCount === 1;
}

async function becomeMember(client: pg.Client, role: string, name: string): Promise<void> {
  await client.query(`grant ${role} to current_user`).catch(() => {});
  if (await canBecome(client, role)) return;
  throw new Error(
    `Role ${name} may not become ${role}, which PostgREST must do for it. As a superuser: ` +
      `grant ${ROLES.join(', ')} to "${name}";`,
  );
}

async function canBecome(client: pg.Client, role: string): Promise<boolean> {
  try {
    await client.query(`begin; set local role ${role}; commit`);
    return true;
  } catch {
    await client.query('rollback');
    return false;
  }
}
