/**
 * Whether the installation is complete and still as closed as the migrations made it. A restore, a
 * careless `create or replace` or a default privilege opens it without a sound. Compared with what
 * this package ships.
 */
import type pg from 'pg';
import { type Finding, note, wrong } from './finding.ts';
import { type Installation, shippedInstallation } from './shipped.ts';

const API_ROLES = ['anon', 'authenticated', 'service_role'];
const UPDATE = 'npx pgquota init writes the migrations that are missing; apply them.';

export async function findInAccess(client: pg.Client): Promise<Finding[]> {
  const expected = shippedInstallation();
  return [
    ...(await findInFunctions(client, expected)),
    ...(await findInRelations(client, expected)),
    ...(await findInPolicies(client, expected)),
    ...(await findInRoles(client)),
    ...(await findInExposure(client)),
  ];
}

interface FunctionRow {
  name: string;
  signature: string;
  is_definer: boolean;
  is_owned: boolean;
  search_path: string | null;
  callers: string[];
}

async function findInFunctions(client: pg.Client, expected: Installation): Promise<Finding[]> {
  const { rows } = await client.query<FunctionRow>(
    `select
       n.nspname || '.' || p.proname as name,
       format('%s.%s(%s)', n.nspname, p.proname, pg_get_function_identity_arguments(p.oid))
         as signature,
       p.prosecdef as is_definer,
       p.proowner = (select nspowner from pg_namespace where nspname = 'quota') as is_owned,
       (
         select substr(setting, length('search_path=') + 1)
         from unnest(p.proconfig) as setting
         where setting like 'search_path=%'
       ) as search_path,
       array(
         select case a.grantee when 0 then 'public' else a.grantee::regrole::text end
         from aclexplode(coalesce(p.proacl, acldefault('f', p.proowner))) as a
         where a.grantee = 0 or a.grantee::regrole::text = any ($2)
       ) as callers
     from pg_proc as p
     join pg_namespace as n on n.oid = p.pronamespace
     where n.nspname = 'quota' or n.nspname || '.' || p.proname = any ($1)
     order by 2`,
    [[...expected.functions.keys()], API_ROLES],
  );
  return [
    ...missing('Functions', [...expected.functions.keys()], rows),
    ...findDoubles(rows),
    ...rows.flatMap((row) => findInFunction(row, expected.functions.get(row.name))),
  ];
}

function findDoubles(rows: FunctionRow[]): Finding[] {
  const names = new Set(rows.map(({ name }) => name).filter((name) => name.startsWith('public.')));
  return [...names]
    .map((name) => ({ name, same: rows.filter((row) => row.name === name) }))
    .filter(({ same }) => same.length > 1)
    .map(({ name, same }) =>
      wrong(
        `There are ${same.length} functions ${name}: REST may not know which one is meant.`,
        `Rename or drop the one that is not of pgquota:\n${same.map((row) => row.signature).join('\n')}`,
      ),
    );
}

/** The app may put its own in their place, with the rights that its membership table needs. */
const REPLACEABLE = ['quota.acts_for', 'quota.subjects_of'];

type Expected = { isDefiner: boolean; callers: string[] } | undefined;

function findInFunction(row: FunctionRow, expected: Expected): Finding[] {
  const { signature, callers } = row;
  const findings: Finding[] = [];
  // A function that a newer version or the app added: only what nobody wants is wrong.
  const allowed = expected?.callers ?? ['authenticated', 'service_role'];
  const intruders = callers.filter((role) => !allowed.includes(role));
  if (intruders.length) {
    findings.push(
      wrong(
        `${people(intruders)} may execute ${signature}.`,
        `revoke execute on function ${signature} from ${intruders.join(', ')};`,
      ),
    );
  }
  const shutOut = (expected?.callers ?? []).filter((role) => !callers.includes(role));
  if (shutOut.length) {
    findings.push(
      wrong(
        `${people(shutOut)} may not execute ${signature}, and calls fail with 42501.`,
        `grant execute on function ${signature} to ${shutOut.join(', ')};`,
      ),
    );
  }
  const isReplaceable = REPLACEABLE.includes(row.name);
  if (isReplaceable ? row.search_path === null : row.search_path !== 'pg_catalog, pg_temp') {
    findings.push(
      wrong(
        `${signature} lost its search_path: objects of a caller may stand in for those of Postgres.`,
        `alter function ${signature} set search_path = pg_catalog, pg_temp;`,
      ),
    );
  }
  if (!expected || isReplaceable) return findings;
  if (expected.isDefiner && !row.is_definer) {
    findings.push(
      wrong(
        `${signature} is no longer security definer: its callers lack the rights it needs.`,
        `alter function ${signature} security definer;`,
      ),
    );
  }
  if (!expected.isDefiner && row.is_definer) {
    findings.push(
      wrong(
        `${signature} became security definer: it lends its owner's rights to every caller.`,
        `alter function ${signature} security invoker;`,
      ),
    );
  }
  if (row.is_definer && !row.is_owned) {
    findings.push(
      wrong(
        `${signature} runs with the rights of another role than the owner of schema quota.`,
        `alter function ${signature} owner to <the owner of schema quota>;`,
      ),
    );
  }
  return findings;
}

interface RelationRow {
  name: string;
  is_secured: boolean;
  privileges: { role: string; privilege: string }[];
}

async function findInRelations(client: pg.Client, expected: Installation): Promise<Finding[]> {
  const { rows } = await client.query<RelationRow>(
    `select
       n.nspname || '.' || c.relname as name,
       case c.relkind
         when 'v' then exists (
           select from pg_options_to_table(c.reloptions)
           where option_name = 'security_invoker' and option_value::boolean
         )
         else c.relrowsecurity
       end as is_secured,
       coalesce((
         select json_agg(json_build_object('role', g.role, 'privilege', lower(g.privilege_type)))
         from (
           select case a.grantee when 0 then 'public' else a.grantee::regrole::text end as role,
             a.privilege_type
           from aclexplode(coalesce(c.relacl, acldefault('r', c.relowner))) as a
         ) as g
         where g.role = 'public' or g.role = any ($2)
       ), '[]') as privileges
     from pg_class as c
     join pg_namespace as n on n.oid = c.relnamespace
     where c.relkind in ('r', 'p', 'v')
       and (n.nspname = 'quota' or n.nspname || '.' || c.relname = any ($1))
     order by 1`,
    [[...expected.relations.keys()], API_ROLES],
  );
  return [
    ...missing('Tables and views', [...expected.relations.keys()], rows),
    ...rows.flatMap((row) => findInRelation(row, expected.relations.get(row.name))),
  ];
}

function findInRelation(
  { name, is_secured, privileges }: RelationRow,
  expected: { kind: string; readers: string[] } | undefined,
): Finding[] {
  const findings: Finding[] = [];
  if (!is_secured) {
    findings.push(
      expected?.kind === 'view'
        ? wrong(
            `View ${name} lost security_invoker: it shows everybody's rows to every reader.`,
            `alter view ${name} set (security_invoker = true);`,
          )
        : wrong(
            `Row level security is off on ${name}: every reader sees everybody's rows.`,
            `alter table ${name} enable row level security;`,
          ),
    );
  }
  const readers = expected?.readers ?? API_ROLES;
  const granted = privileges.filter(
    ({ role, privilege }) => privilege !== 'select' || !readers.includes(role),
  );
  for (const role of new Set(granted.map((one) => one.role))) {
    const list = granted.filter((one) => one.role === role).map((one) => one.privilege);
    findings.push(
      wrong(
        `${people([role])} may ${list.join(', ')} on ${name}.`,
        `revoke ${list.join(', ')} on ${name} from ${role};`,
      ),
    );
  }
  const shutOut = (expected?.readers ?? []).filter(
    (role) => !privileges.some((one) => one.role === role && one.privilege === 'select'),
  );
  if (shutOut.length) {
    findings.push(
      wrong(
        `${people(shutOut)} may not read ${name}, and the views over it fail with 42501.`,
        `grant select on ${name} to ${shutOut.join(', ')};`,
      ),
    );
  }
  return findings;
}

async function findInPolicies(client: pg.Client, expected: Installation): Promise<Finding[]> {
  const { rows } = await client.query<{ name: string }>(
    `select schemaname || '.' || tablename || ' ' || policyname as name
     from pg_policies
     where schemaname = 'quota'`,
  );
  const known = [...expected.relations.keys()];
  const foreign = rows
    .map(({ name }) => name)
    .filter((name) => known.includes(name.split(' ')[0] as string) && !expected.policies.has(name));
  return [
    ...missing('Policies', [...expected.policies], rows),
    ...foreign.map((name) => {
      const [table, policy] = name.split(' ');
      return wrong(
        `Policy ${policy} on ${table} is not of pgquota: it may show rows that are not the reader's.`,
        `drop policy ${policy} on ${table};`,
      );
    }),
  ];
}

async function findInRoles(client: pg.Client): Promise<Finding[]> {
  const { rows } = await client.query(
    `select
       r.name,
       has_schema_privilege(r.name, 'quota', 'usage') as may_use,
       has_schema_privilege(r.name, 'quota', 'create') as may_create,
       r.name <> 'service_role' and pg_has_role(r.name, q.nspowner, 'member') as is_trusted,
       q.nspowner::regrole::text as owner
     from unnest($1::text[]) as r (name)
     join pg_namespace as q on q.nspname = 'quota'`,
    [API_ROLES],
  );
  return rows.flatMap(({ name, may_use, may_create, is_trusted, owner }) => [
    ...(may_use
      ? []
      : [wrong(`${name} may not use schema quota.`, `grant usage on schema quota to ${name};`)]),
    ...(may_create
      ? [
          wrong(
            `${name} may create in schema quota.`,
            `revoke create on schema quota from public, ${name};`,
          ),
        ]
      : []),
    ...(is_trusted
      ? [
          wrong(
            `${name} is a member of ${owner}, the owner of schema quota: every request is trusted.`,
            `revoke ${owner} from ${name};`,
          ),
        ]
      : []),
  ]);
}

/** What PostgREST needs, and what it must not show. */
async function findInExposure(client: pg.Client): Promise<Finding[]> {
  const findings: Finding[] = [];
  const { rows: logins } = await client.query(
    `select array(
       select role
       from unnest($1::text[]) as role
       where not pg_has_role(
         'authenticator', role,
         case when current_setting('server_version_num')::integer < 160000 then 'member' else 'set' end
       )
     ) as out_of_reach
     from pg_roles
     where rolname = 'authenticator'`,
    [API_ROLES],
  );
  if (logins.length === 0) {
    findings.push(
      note(
        'There is no role authenticator; PostgREST signs in as some other role.',
        `grant ${API_ROLES.join(', ')} to <that role>;`,
      ),
    );
  } else if (logins[0].out_of_reach.length) {
    const roles = logins[0].out_of_reach.join(', ');
    findings.push(
      wrong(
        `PostgREST's login authenticator cannot become ${roles}.`,
        `grant ${roles} to authenticator;`,
      ),
    );
  }
  const { rows: exposed } = await client.query(
    `select distinct substr(setting, length('pgrst.db_schemas=') + 1) as schemas,
       coalesce(nullif(s.setrole, 0)::regrole::text, '') as role
     from pg_db_role_setting as s
     cross join lateral unnest(s.setconfig) as setting
     where setting like 'pgrst.db\\_schemas=%'
       and s.setdatabase in (0, (select oid from pg_database where datname = current_database()))`,
  );
  for (const { schemas, role } of exposed) {
    const list: string[] = schemas.split(',').map((name: string) => name.trim());
    if (list.includes('quota')) {
      findings.push(
        wrong(
          'Schema quota is exposed over REST; it is private, callers use schema public.',
          `Take quota out of pgrst.db_schemas (now ${schemas}${role && ` for role ${role}`}), or of "Exposed schemas" in the API settings.`,
        ),
      );
    }
    if (!list.includes('public')) {
      findings.push(
        note(
          `Schema public is not exposed over REST${role && ` to ${role}`}: only direct connections can call.`,
          `Add public to pgrst.db_schemas (now ${schemas}).`,
        ),
      );
    }
  }
  return findings;
}

function missing(kind: string, expected: string[], rows: { name: string }[]): Finding[] {
  const names = expected.filter((name) => !rows.some((row) => row.name === name));
  return names.length ? [wrong(`${kind} are missing: ${names.join(', ')}.`, UPDATE)] : [];
}

const WHO: Record<string, string> = {
  public: 'Everybody (public)',
  anon: 'Visitors without a login (anon)',
  authenticated: 'Signed-in users (authenticated)',
  service_role: 'The server (service_role)',
};

const people = (roles: string[]) => roles.map((role) => WHO[role] ?? role).join(', ');
