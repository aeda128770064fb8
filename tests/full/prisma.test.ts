// The recipe for Prisma, with Prisma: too large to be a dependency of the tests, it comes from the npm
// registry. Its schema engine, which it would fetch from elsewhere, is for migrations: not needed here.
import { randomBytes } from 'node:crypto';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import type pg from 'pg';
import { afterAll, beforeAll, expect, inject, test } from 'vitest';
import {
  expectCalls,
  expectTransactions,
  prepare,
  type Recipe,
  recipe,
} from '../direct/adapters.ts';
import { run } from '../package/cli.ts';
import { urlOf } from '../support/cluster.ts';
import { createDatabase, type TestDatabase } from '../support/database.ts';

const VERSION = '7.10.0';

let database: TestDatabase;
let owner: pg.Client;
let folder: string;
const login = `prisma_${randomBytes(4).toString('hex')}`;

beforeAll(async () => {
  database = await createDatabase();
  owner = await database.connect();
  await prepare(owner, login);
  process.env.DATABASE_URL = urlOf(inject('cluster'), database.name, {
    user: login,
    password: 'secret',
  });
  folder = mkdtempSync(join(import.meta.dirname, '.run-'));
  const files = {
    'package.json': JSON.stringify({ name: 'app', private: true, type: 'module' }),
    'prisma.config.ts': `import { defineConfig } from 'prisma/config';
      export default defineConfig({ schema: 'prisma/schema.prisma' });`,
    'prisma/schema.prisma': `
      generator client {
        provider = "prisma-client"
        output   = "../generated"
      }
      datasource db {
        provider = "postgresql"
      }`,
  };
  mkdirSync(join(folder, 'prisma'));
  for (const [name, text] of Object.entries(files)) writeFileSync(join(folder, name), text);
  const command = async (name: string, args: string[]) => {
    const environment = {
      PRISMA_SCHEMA_ENGINE_BINARY: process.execPath,
      CHECKPOINT_DISABLE: '1',
    };
    const { code, output } = await run(name, args, { cwd: folder, environment });
    expect(code, output).toBe(0);
  };
  const packages = ['prisma', '@prisma/client', '@prisma/adapter-pg'].map(
    (name) => `${name}@${VERSION}`,
  );
  const quiet = ['--ignore-scripts', '--no-audit', '--no-fund', '--prefer-offline'];
  await command('npm', ['install', ...quiet, ...packages]);
  await command('npx', ['--no-install', 'prisma', 'generate']);
}, 240_000);
afterAll(async () => {
  rmSync(folder, { recursive: true, force: true });
  await owner.query(`drop owned by ${login}; drop role ${login}`);
  await database.drop();
});

test('Prisma: in its transactions, and outside of them', async () => {
  const file = join(folder, 'recipe.ts');
  const ended = 'export const end = () => prisma.$disconnect();';
  writeFileSync(file, `${recipe('Prisma')}\n${ended}\n`);
  const module: Recipe & { end(): Promise<void> } = await import(pathToFileURL(file).href);
  await expectTransactions(module, owner, 'prisma');
  await expectCalls(module.usage, 'prisma');
  await module.end();
  expect((await owner.query('select * from verify_usage()')).rows).toEqual([]);
});
