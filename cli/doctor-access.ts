/**
 * Whether the installation is what this release made it. The database compares itself
 * (verify_installation()); first it is seen whether what compares is still ours, and this release's.
 */
import pg from 'pg';
import { curable, type Finding, note, wrong } from './finding.ts';
import { version } from './package.ts';
import { shippedBody, shippedText } from './shipped.ts';
import { updateSteps, WRITE_MISSING } from './update.ts';

const API_ROLES = ['anon', 'authenticated', 'service_role'];

/** What would hide everything else if it were changed. */
const JUDGES = [
  'public.verify_installation',
  'quota.verify_installation',
  'quota.installation_findings',
  'quota.changed_objects',
  'quota.differences',
  'quota.installed_objects',
  'quota.rights_in',
  'quota.rights_statement',
  'quota.table_problems',
  'quota.lost_triggers',
  'quota.plan_writers',
  'quota.plan_sources',
  'quota.plan_statement',
  'quota.role_problems',
  'quota.require_trusted',
  'quota.is_trusted',
  'quota.version',
];

export async function findInInstallation(
  client: pg.Client,
  databaseUrl: string | undefined,
): Promise<Finding[]> {
  const bodies = await readBodies(client, ['quota.release_manifest', ...JUDGES]);
  const installed = bodies.has('quota.version') ? await installedVersion(client) : undefined;
  const isSame = bodies.get('quota.release_manifest') === shippedBody('quota.release_manifest');
  const findings: Finding[] = [];
  if (!isSame) {
    findings.push(
      installed === version
        ? wrong(
            `Not all of the migrations of pgquota ${version} were applied, or quota.release_manifest() was changed.`,
            WRITE_MISSING,
          )
        : wrong(
            `pgquota ${installed ?? 'of an unknown release'} is installed, ${version} is here.`,
            updateSteps(installed, databaseUrl),
          ),
    );
  } else {
    for (const name of JUDGES) {
      if (bodies.get(name) === shippedBody(name)) continue;
      findings.push(
        curable(
          `Function ${name}() is ${bodies.has(name) ? 'not that of this release' : 'missing'}: what it hides is not told.`,
          shippedText('function', name) as string,
        ),
      );
    }
  }
  if (!bodies.has('public.verify_installation')) return findings;
  return [...findings, ...(await findProblems(client, isSame, findings))];
}

async function readBodies(client: pg.Client, names: string[]): Promise<Map<string, string>> {
  const { rows } = await client.query(
    `select n.nspname || '.' || p.proname as name, p.prosrc as body
     from pg_proc as p
     join pg_namespace as n on n.oid = p.pronamespace
     where n.nspname || '.' || p.proname = any ($1)`,
    [names],
  );
  return new Map(rows.map(({ name, body }) => [name, body.replaceAll('\r\n', '\n')]));
}

async function installedVersion(client: pg.Client): Promise<string> {
  return (await client.query('select quota.version() as installed')).rows[0].installed;
}

interface Row {
  object: string;
  problem: string;
  statement: string | null;
}

async function findProblems(client: pg.Client, isSame: boolean, told: Finding[]) {
  let rows: Row[];
  await client.query('savepoint look');
  try {
    ({ rows } = await client.query<Row>('select * from public.verify_installation()'));
  } catch (error) {
    if (!(error instanceof pg.DatabaseError)) throw error;
    await client.query('rollback to savepoint look');
    return [wrong(`verify_installation() failed: ${error.message} (${error.code}).`)];
  }
  return rows
    .filter(({ object, statement }) => statement || !told.some(({ what }) => names(what, object)))
    .map(({ object, problem, statement }) => {
      const what = `${object[0]?.toUpperCase()}${object.slice(1)}: ${problem}.`;
      const sql = statement ?? (isSame ? textOf(object) : undefined);
      return sql ? curable(what, sql) : wrong(what, adviceFor(object, problem));
    });
}

const names = (what: string, object: string) =>
  what.toLowerCase().startsWith(`${object.split('(')[0]?.toLowerCase()}()`);

/** `function quota.is_trusted()` → its text. */
function textOf(object: string): string | undefined {
  const [, kind, name] = /^(function|view) (\w+\.\w+)/.exec(object) ?? [];
  return kind && name ? shippedText(kind as 'function' | 'view', name) : undefined;
}

function adviceFor(object: string, problem: string): string | undefined {
  if (/^(limited|followed) table/.test(object)) return;
  return problem === 'it is missing'
    ? 'Restore it from a backup; its text is in the migration.'
    : 'Its text is in the migration.';
}

/** What PostgREST needs, and what it must not show. */
export async function findInExposure(client: pg.Client): Promise<Finding[]> {
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
      curable(
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
