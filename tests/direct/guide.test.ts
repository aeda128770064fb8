// docs/postgres-clients.md is run: each recipe with its real library, as a login that was granted the
// roles, in transactions of its own and outside of them.
import { randomBytes } from 'node:crypto';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import type pg from 'pg';
import { afterAll, afterEach, beforeAll, expect, inject, test } from 'vitest';
import { fromRoot } from '../../scripts/local/project.ts';
import { run } from '../package/cli.ts';
import { urlOf } from '../support/cluster.ts';
import { createDatabase, type TestDatabase } from '../support/database.ts';
import { expectCalls, expectTransactions, prepare, type Recipe, recipe } from './adapters.ts';

let database: TestDatabase;
let owner: pg.Client;
let folder: string;
const login = `guide_${randomBytes(4).toString('hex')}`;

beforeAll(async () => {
  database = await createDatabase();
  owner = await database.connect();
  await prepare(owner, login);
  const url = urlOf(inject('cluster'), database.name, { user: login, password: 'secret' });
  process.env.DATABASE_URL = url;
  // Beside this file, so that packages are found.
  folder = mkdtempSync(join(import.meta.dirname, '.run-'));
});
afterAll(async () => {
  rmSync(folder, { recursive: true, force: true });
  expect((await owner.query('select * from verify_usage()')).rows).toEqual([]);
  await owner.query(`drop owned by ${login}; drop role ${login}`);
  await database.drop();
});

const ends: (() => unknown)[] = [];
afterEach(async () => {
  for (const end of ends.splice(0)) await end();
});

/** The chapter's module; `end` is what ends its connections. */
async function load<Module>(heading: string, end: string): Promise<Module> {
  const file = join(folder, `${heading.replaceAll(/\W/g, '')}.ts`);
  writeFileSync(file, `${recipe(heading)}\nexport const end = () => ${end};\n`);
  const module = await import(pathToFileURL(file).href);
  ends.push(module.end);
  return module;
}

test('the first example answers with the usage, and 402 when it is used up', async () => {
  type Route = { route(userId: string): Promise<Response> };
  const { route } = await load<Route>('Without PostgREST', 'pool.end()');
  for (let used = 1; used <= 5; used++) {
    const response = await route('reader');
    expect(response.status).toBe(200);
    expect(await response.json()).toContainEqual({ feature: 'export', used, limit: 5 });
  }
  const refused = await route('reader');
  expect(refused.status).toBe(402);
  expect(await refused.json()).toMatchObject({ upgrade_url: '/settings/billing' });
});

test('in a transaction of pg the use and the work are one', async () => {
  const transaction = await load<Recipe>('In your transaction', 'pool.end()');
  await expectTransactions(transaction, owner, 'pg');
});

test.each([
  ['Drizzle', 'db.$client.end()'],
  ['Kysely', 'db.destroy()'],
  ['postgres.js', 'sql.end()'],
])('%s: in its transactions, and outside of them', async (name, end) => {
  const module = await load<Recipe>(name, end);
  await expectTransactions(module, owner, name);
  await expectCalls(module.usage, name);
});

test('the recipes compile, strictly', async () => {
  writeFileSync(
    join(folder, 'tsconfig.json'),
    JSON.stringify({ extends: '../../../tsconfig.json', include: ['./*.ts'], exclude: [] }),
  );
  const { output } = await run(fromRoot('node_modules/.bin/tsc'), ['-p', '.'], { cwd: folder });
  expect(output).toBe('');
});
