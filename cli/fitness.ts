/** Whether a database can take pgquota: version, roles, rights, and names that are taken. */
import type pg from 'pg';
import { placeOf, withDatabase } from './database.ts';
import { type Finding, wrong } from './finding.ts';
import { Problem } from './problem.ts';
import { shippedInstallation } from './shipped.ts';

const ROLES = ['anon', 'authenticated', 'service_role'];
const OLDEST = 15;

/** For init: nothing is written for a database that would refuse it. */
export async function refuseUnfit(url: string, { createsRoles }: { createsRoles: boolean }) {
  const findings = await withDatabase(url, async (client) => [
    ...(await findOldVersion(client)),
    ...(await findMissingRoles(client, createsRoles)),
    ...(await findMissingRights(client)),
    ...((await isInstalled(client)) ? [] : await findNameClashes(client)),
  ]);
  if (findings.length === 0) return;
  throw new Problem(
    `${placeOf(url)} cannot take pgquota:\n${findings
      .map(({ what, todo }) => `  ${what}${todo ? `\n    ${todo}` : ''}`)
      .join('\n')}`,
    'Nothing was written.',
  );
}

export async function isInstalled(client: pg.Client): Promise<boolean> {
  const { rowCount } = await client.query(`select from pg_namespace where nspname = 'quota'`);
  return rowCount === 1;
}

export async function findOldVersion(client: pg.Client): Promise<Finding[]> {
  const { rows } = await client.query(
    `select current_setting('server_version') as version,
       current_setting('server_version_num')::integer / 10000 as major`,
  );
  if (rows[0].major >= OLDEST) return [];
  return [
    wrong(
      `Postgres ${rows[0].version} is too old: pgquota needs ${OLDEST} or newer.`,
      'Upgrade the server; security_invoker views, which carry the access rules, came with 15.',
    ),
  ];
}

export async function findMissingRoles(
  client: pg.Client,
  createsRoles = false,
): Promise<Finding[]> {
  const { rows } = await client.query(
    `select
       array(select r from unnest($1::text[]) as r where r not in (select rolname from pg_roles))
         as missing,
       (select rolsuper or rolcreaterole from pg_roles where rolname = current_user) as may_create,
       current_user as name`,
    [ROLES],
  );
  const { missing, may_create, name } = rows[0];
  if (missing.length === 0 || (createsRoles && may_create)) return [];
  return [
    wrong(
      `Roles are missing: ${missing.join(', ')}.`,
      createsRoles
        ? `${name} may not create roles: have a superuser run ${missing
            .map((role: string) => `create role ${role} nologin noinherit;`)
            .join(' ')}`
        : 'A Supabase project has them. On plain Postgres: psql "$DATABASE_URL" -f node_modules/pgquota/sql/roles.sql',
    ),
  ];
}

async function findMissingRights(client: pg.Client): Promise<Finding[]> {
  const { rows } = await client.query(
    `select current_user as name, current_database() as database,
       has_database_privilege(current_database(), 'create') as in_database,
       has_schema_privilege('public', 'create') as in_public`,
  );
  const { name, database, in_database, in_public } = rows[0];
  const findings: Finding[] = [];
  if (!in_database) {
    findings.push(
      wrong(
        `${name} may not create a schema in ${database}.`,
        `As the database's owner: grant create on database "${database}" to "${name}";`,
      ),
    );
  }
  if (!in_public) {
    findings.push(
      wrong(
        `${name} may not create in schema public.`,
        `As the schema's owner: grant create on schema public to "${name}";`,
      ),
    );
  }
  return findings;
}

/** Functions clash by name, whatever their arguments: REST could not tell the two apart. */
export async function findNameClashes(client: pg.Client): Promise<Finding[]> {
  const { functions, relations, types } = shippedInstallation();
  const names = [...functions.keys(), ...relations.keys(), ...types]
    .filter((name) => name.startsWith('public.'))
    .map((name) => name.slice('public.'.length));
  const { rows } = await client.query(
    `select pg_catalog.pg_describe_object(o.classid, o.oid, 0) as taken
     from (
       select 'pg_proc'::regclass as classid, p.oid, p.proname as name, p.pronamespace as namespace
       from pg_proc as p
       union all
       select 'pg_class'::regclass, c.oid, c.relname, c.relnamespace
       from pg_class as c
       union all
       select 'pg_type'::regclass, t.oid, t.typname, t.typnamespace
       from pg_type as t
       where t.typrelid = 0 and t.typelem = 0
     ) as o
     where o.namespace = 'public'::regnamespace and o.name = any ($1)
     order by taken`,
    [names],
  );
  return rows.map(({ taken }) =>
    wrong(
      `Schema public already has ${taken}, a name that pgquota needs.`,
      'Rename yours, or drop it when pgquota takes its place.',
    ),
  );
}
