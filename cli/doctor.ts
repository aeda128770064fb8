/** pgquota doctor: looks at a database and says in plain words what is wrong and what to do. */
import type pg from 'pg';
import { findDatabaseUrl, placeOf, withDatabase } from './database.ts';
import { findInExposure, findInInstallation } from './doctor-access.ts';
import { findInOperation, findUntrusted } from './doctor-operation.ts';
import type { Finding } from './finding.ts';
import { wrong } from './finding.ts';
import {
  findForeignSchema,
  findMissingRoles,
  findNameClashes,
  findOldVersion,
  isInstalled,
} from './fitness.ts';
import { version } from './package.ts';

/** True when nothing is wrong. */
export async function doctor(
  databaseUrl: string | undefined,
  { asSql = false } = {},
): Promise<boolean> {
  const url = findDatabaseUrl(databaseUrl);
  const { server, findings } = await withDatabase(url, async (client) => {
    // Looks only, and at one moment.
    await client.query('begin transaction isolation level repeatable read read only');
    const { rows } = await client.query(`select current_setting('server_version') as server`);
    return { server: rows[0].server, findings: await examine(client, databaseUrl) };
  });

  const problems = findings.filter(({ level }) => level === 'wrong').length;
  if (asSql) {
    console.log(findings.map(asStatements).join('\n\n') || '-- Nothing is wrong.');
    return problems === 0;
  }
  console.log(`pgquota ${version} looks at ${placeOf(url)}, Postgres ${server}`);
  for (const { level, what, todo, sql } of findings) {
    console.log(`\n${level === 'wrong' ? '✗' : '·'} ${what}`);
    const advice = sql && sql.split('\n').length > 12 ? WITH_SQL : (sql ?? todo);
    if (advice) console.log(advice.replace(/^/gm, '    '));
  }
  if (problems === 0) console.log('\nNothing is wrong.');
  else console.log(`\n${problems} ${problems === 1 ? 'thing is' : 'things are'} wrong.`);
  return problems === 0;
}

/** A text of a page or more is not read, it is run. */
const WITH_SQL = 'npx pgquota doctor --sql prints the statement.';

/** For psql: what a person has to decide stays a comment. */
const asStatements = ({ what, todo, sql }: Finding) =>
  [comment(what), sql ?? (todo && comment(todo))].filter(Boolean).join('\n');

const comment = (text: string) => text.replace(/^/gm, '-- ');

async function examine(client: pg.Client, databaseUrl: string | undefined): Promise<Finding[]> {
  const ground = [...(await findOldVersion(client)), ...(await findMissingRoles(client))];
  const foreign = await findForeignSchema(client);
  if (foreign.length) return foreign;
  if (!(await isInstalled(client))) {
    return [
      ...ground,
      ...(await findNameClashes(client)),
      wrong(
        'pgquota is not installed here: there is no schema quota.',
        'npx pgquota init writes the migrations; apply them as you apply your own.',
      ),
    ];
  }
  // The rest asks about these roles.
  if (ground.length) return ground;
  const untrusted = await findUntrusted(client);
  if (untrusted.length) return untrusted;
  return [
    ...(await findInInstallation(client, databaseUrl)),
    ...(await findInExposure(client)),
    ...(await findInOperation(client)),
  ];
}
