/** Whether a database can take pgquota: version, roles, rights, and names that are taken. */
import type pg from 'pg';
import { placeOf, withDatabase } from './database.ts';
import { type Finding, wrong } from './finding.ts';
import { Problem } from './problem.ts';
import { shippedNames } from './shipped.ts';

const ROLES = ['anon', 'authenticated', 'service_role'];
const OLDEST = 15;

/** For init: nothing is written for a database that would refuse it. */
export async function refuseUnfit(url: string, { createsRoles }: { createsRoles: boolean }) {
  const findings = await withDatabase(url, async (client) => [
    ...(await findOldVersion(client)),
    ...(await findMissingRoles(client, createsRoles)),
    ...(await findMissingRights(client)),
    ...(await findForeignSchema(client)),
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
  return (await whoseSchema(client)) === 'ours';
}

/** A table of ours may be lost, and a restore may lack comments: each tells alone. */
async function whoseSchema(client: pg.Client): Promise<'ours' | 'foreign' | undefined> {
  const { rows } = await client.query(
    `select coalesce(obj_description(n.oid, 'pg_namespace') like 'pgquota:%', false)
       or to_regclass('quota.meters') is not null
       or to_regprocedure('quota.version()') is not null as is_ours
     from pg_namespace as n
     where n.nspname = 'quota'`,
  );
  if (rows.length === 0) return;
  return rows[0].is_ours ? 'ours' : 'foreign';
}

export async function findForeignSchema(client: pg.Client): Promise<Finding[]> {
  if ((await whoseSchema(client)) !== 'foreign') return [];
  return [
    wrong(
      'This database has a schema quota that is not of pgquota: rename it before pgquota comes (alter schema quota rename to …).',
    ),
  ];
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
    [shippedNames()],
  );
  return rows.map(({ taken }) =>
    wrong(
      `Schema public already has ${taken}, a name that pgquota needs.`,
      'Rename yours, or drop it when pgquota takes its place.',
    ),
  );
}
