// The suites as a DBA runs them: the README's pg_prove, on a stock Postgres 15, wherever pgTAP is.
import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { compileMigration } from '../../scripts/build.ts';
import { withClient } from '../../scripts/local/client.ts';
import { fromRoot } from '../../scripts/local/project.ts';
import { BIN, type Debian15, startDebian15 } from '../support/debian15.ts';

const read = (path: string) => readFileSync(fromRoot(path), 'utf8');
const [, command = 'README.md names no pg_prove'] =
  read('README.md').match(/`(pg_prove [^`]+)`/) ?? [];

/** What looks at schema public, where pgTAP may be as well, and one that counts. */
const SOME = ['catalog', 'rules/direct_access', 'rules/null_arguments', 'functions/consume_usage'];

let server: Debian15;
beforeAll(async () => {
  server = await startDebian15();
});
afterAll(() => server?.stop());

/** A database with pgquota, and pgTAP in this schema. */
async function createDatabase(schema: string): Promise<string> {
  const url = new URL(server.url);
  url.pathname = `/pgtap_in_${schema}`;
  await withClient(server.url, (admin) => admin.query(`create database pgtap_in_${schema}`));
  await withClient(url.href, async (client) => {
    await client.query(read('sql/roles.sql'));
    await client.query(compileMigration());
    await client.query(`
      create schema if not exists ${schema};
      grant usage on schema ${schema} to public;
      create extension pgtap schema ${schema}`);
  });
  return url.href;
}

function prove(line: string, url: string): string {
  const run = spawnSync('bash', ['-c', line], {
    cwd: fromRoot('.'),
    env: { PATH: `${BIN}:${process.env.PATH}`, DATABASE_URL: url, LANG: 'C.UTF-8' },
    encoding: 'utf8',
  });
  return run.stdout + run.stderr;
}

const PASSES = /^All tests successful\.$/m;

test('every suite passes, with pgTAP in a schema of its own', { timeout: 300_000 }, async () => {
  expect(prove(command, await createDatabase('own'))).toMatch(PASSES);
});

test.each(['public', 'extensions'])('so it is with pgTAP in %s', async (schema) => {
  const suites = SOME.map((name) => `tests/pgtap/${name}${name === 'catalog' ? '' : '.test.sql'}`);
  const line = command.replace('tests/pgtap', suites.join(' '));
  expect(prove(line, await createDatabase(schema))).toMatch(PASSES);
});
