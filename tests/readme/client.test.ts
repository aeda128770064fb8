// docs/client.md is compiled as a strict project would, and run: the real frameworks, over HTTP, to a refusal.
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import type { Express } from 'express';
import type { FastifyInstance } from 'fastify';
import type { Hono } from 'hono';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { run } from '../../scripts/local/processes.ts';
import { fromRoot } from '../../scripts/local/project.ts';
import type { UsageClient } from '../../types/index.ts';
import { createDatabase, type TestDatabase } from '../support/database.ts';
import { applyPlans } from '../support/plans.ts';
import { type Rest, startRest } from '../support/rest.ts';
import { blocksOf, meetLimit } from './client-page.ts';

const PLANS = {
  features: { export: {}, api_call: {} },
  plans: { free: { default: true, limits: { export: { month: 2 }, api_call: { minute: 2 } } } },
};
const { page, blocks } = blocksOf('docs/client.md');
const blockOf = (name: string, at = 0) =>
  blocks.filter((block) => block.name === name)[at]?.code ?? expect.unreachable(name);

let database: TestDatabase;
let rest: Rest;
let folder: string;

beforeAll(async () => {
  database = await createDatabase();
  await applyPlans(await database.connect(), PLANS);
  rest = await startRest(database);
  // Beside this file, so that packages are found.
  folder = mkdtempSync(join(import.meta.dirname, '.run-'));
  write('plans.json', JSON.stringify(PLANS));
  write('user.ts', `export const userOf = (header?: string | null) => header ?? 'nobody';`);
  write('usage.ts', blockOf('usage.ts'));
  write('postgrest.ts', blockOf('usage.ts', 1));
  for (const name of ['express.ts', 'hono.ts', 'fastify.ts']) write(name, blockOf(name));
  process.env.SUPABASE_URL = rest.url;
  process.env.SUPABASE_SERVICE_ROLE_KEY = rest.serviceRoleKey;
});

afterAll(async () => {
  rmSync(folder, { recursive: true, force: true });
  await rest?.stop();
  await database?.drop();
});

const write = (name: string, code: string) =>
  writeFileSync(join(folder, name), code.replaceAll("'pgquota'", "'../../../types/index.ts'"));
const load = <Module>(name: string): Promise<Module> =>
  import(pathToFileURL(join(folder, name)).href);

/** Over a real socket. */
async function served(server: Server, check: (url: string) => Promise<void>): Promise<void> {
  if (!server.listening)
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  try {
    await check(`http://127.0.0.1:${(server.address() as AddressInfo).port}/export`);
  } finally {
    server.closeAllConnections();
    await new Promise((resolve) => server.close(resolve));
  }
}
const postTo = (url: string) => (subject: string) =>
  fetch(url, { method: 'POST', headers: { authorization: subject } });

test('Express', async () => {
  const { app } = await load<{ app: Express }>('express.ts');
  await served(createServer(app), (url) => meetLimit(postTo(url)));
});

test('Hono', async () => {
  const { app } = await load<{ app: Hono }>('hono.ts');
  await meetLimit(async (subject) =>
    app.request('/export', { method: 'POST', headers: { authorization: subject } }),
  );
});

test('Fastify', async () => {
  const { app } = await load<{ app: FastifyInstance }>('fastify.ts');
  await app.listen({ port: 0, host: '127.0.0.1' });
  await served(app.server, (url) => meetLimit(postTo(url)));
  await app.close();
});

test('other errors stay what they are in each of them', async () => {
  const { app } = await load<{ app: Hono }>('hono.ts');
  const headers = { authorization: 'x'.repeat(256) }; // QSUBJ
  await expect(app.request('/export', { method: 'POST', headers })).rejects.toMatchObject({
    code: 'QSUBJ',
  });
});

test('a PostgREST without Supabase', async () => {
  process.env.POSTGREST_URL = rest.postgrestUrl;
  process.env.JWT_SECRET = rest.jwtSecret;
  const { usage } = await load<{ usage: UsageClient }>('postgrest.ts');
  await usage.setPlan({ subject: 'ada', plan: 'free' });
  expect(await usage.enforceUsage({ feature: 'export', subject: 'ada' })).toMatchObject({
    used: 1,
  });
});

test('Node 20 has no WebSocket: supabase-js throws without the line that the page gives', async () => {
  const start = (code: string) =>
    run(process.execPath, ['--input-type=module', '-e', `delete globalThis.WebSocket; ${code}`], {
      cwd: fromRoot('.'),
    });
  const [, line] = blockOf('usage.ts').match(/^ +(realtime: .*) as never \},/m) ?? [];
  const supabase = "const { createClient } = await import('@supabase/supabase-js');";
  const bare = await start(`${supabase} createClient('http://localhost', 'key')`);
  expect(bare.code).not.toBe(0);
  expect(bare.output).toContain('WebSocket');
  const cured = await start(
    `${supabase} const { default: ws } = await import('ws');
     createClient('http://localhost', 'key', { ${line} } }); console.log('made')`,
  );
  expect(cured.output).toContain('made');
  expect(cured.code).toBe(0);
});

test('every block compiles in a strict project', async () => {
  const files = ['usage.ts', 'postgrest.ts', 'express.ts', 'hono.ts', 'fastify.ts'];
  write(
    'tsconfig.json',
    JSON.stringify({
      extends: '../../../tsconfig.json',
      compilerOptions: { resolveJsonModule: true, noUncheckedIndexedAccess: true },
      files,
      include: [],
    }),
  );
  const tsc = fromRoot('node_modules/typescript/bin/tsc');
  const { output } = await run(process.execPath, [tsc, '-p', join(folder, 'tsconfig.json')], {
    cwd: fromRoot('.'),
  });
  expect(output).toBe('');
});

test('every block of the page is named, and what needs Next.js is run with it', () => {
  expect(page.match(/```ts\n/g)?.length).toBe(blocks.length);
  expect(new Set(blocks.map(({ name }) => name))).toEqual(
    new Set([
      'usage.ts',
      'express.ts',
      'hono.ts',
      'fastify.ts',
      'app/api/export/route.ts',
      'proxy.ts',
    ]),
  );
});
