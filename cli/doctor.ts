/** pgquota doctor: looks at a database and says in plain words what is wrong and what to do. */
import type pg from 'pg';
import { findDatabaseUrl, placeOf, withDatabase } from './database.ts';
import { findInAccess } from './doctor-access.ts';
import { findInOperation } from './doctor-operation.ts';
import type { Finding } from './finding.ts';
import { wrong } from './finding.ts';
import { findMissingRoles, findNameClashes, findOldVersion, isInstalled } from './fitness.ts';
import { version } from './package.ts';

/** True when nothing is wrong. */
export async function doctor(databaseUrl: string | undefined): Promise<boolean> {
  const url = findDatabaseUrl(databaseUrl);
  const { server, findings } = await withDatabase(url, async (client) => {
    // Looks only, and at one moment.
    await client.query('begin transaction isolation level repeatable read read only');
    const { rows } = await client.query(`select current_setting('server_version') as server`);
    return { server: rows[0].server, findings: await examine(client) };
  });

  console.log(`pgquota ${version} looks at ${placeOf(url)}, Postgres ${server}`);
  for (const { level, what, todo } of findings) {
    console.log(`\n${level === 'wrong' ? '✗' : '·'} ${what}`);
    if (todo) console.log(todo.replace(/^/gm, '    '));
  }
  const problems = findings.filter(({ level }) => level === 'wrong').length;
  if (problems === 0) console.log('\nNothing is wrong.');
  else console.log(`\n${problems} ${problems === 1 ? 'thing is' : 'things are'} wrong.`);
  return problems === 0;
}

async function examine(client: pg.Client): Promise<Finding[]> {
  const ground = [...(await findOldVersion(client)), ...(await findMissingRoles(client))];
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
  return [...(await findInAccess(client)), ...(await findInOperation(client))];
}
