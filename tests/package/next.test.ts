// docs/client.md in a Next.js app: built and served by Next.js itself, with the packed package. Needs the registry.
import { mkdirSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { choosePort } from '../../scripts/local/ports.ts';
import { fromRoot } from '../../scripts/local/project.ts';
import { blocksOf, meetLimit } from '../readme/client-page.ts';
import { setClock } from '../support/clock.ts';
import { createDatabase, type TestDatabase } from '../support/database.ts';
import { applyPlans } from '../support/plans.ts';
import { type Rest, startRest } from '../support/rest.ts';
import { createProject, run, start } from './cli.ts';

const PLANS = {
  features: { export: {}, api_call: {} },
  plans: { free: { default: true, limits: { export: { month: 2 }, api_call: { minute: 2 } } } },
};
const { blocks } = blocksOf('docs/client.md');
const PACKAGES = ['next@16', 'react@19', 'react-dom@19', '@supabase/supabase-js@2', 'ws@8'];
const TYPES = ['typescript@5.9', '@types/node@20', '@types/react@19', '@types/ws@8'];

let database: TestDatabase;
let rest: Rest;
let url: string;
const cleanups: (() => void)[] = [];

beforeAll(async () => {
  database = await createDatabase();
  const owner = await database.connect();
  await setClock(owner, '2026-03-15T12:00:30Z'); // no minute ends between two calls
  await applyPlans(owner, PLANS);
  rest = await startRest(database);

  const { folder, remove } = createProject({
    'package.json': JSON.stringify({ name: 'app', private: true, type: 'module' }),
    'plans.json': JSON.stringify(PLANS),
    'next.config.ts': 'export default {};',
    'user.ts': `export const userOf = (header: string | null) => header ?? 'nobody';`,
    'app/api/v1/ping/route.ts': 'export const GET = () => Response.json({ pong: true });',
  });
  cleanups.push(remove);
  for (const name of ['usage.ts', 'app/api/export/route.ts', 'proxy.ts']) {
    const file = join(folder, name);
    mkdirSync(dirname(file), { recursive: true });
    writeFileSync(file, blocks.find((block) => block.name === name)?.code as string);
  }
  const environment = {
    NEXT_TELEMETRY_DISABLED: '1',
    SUPABASE_URL: rest.url,
    SUPABASE_SERVICE_ROLE_KEY: rest.serviceRoleKey,
  };
  const command = async (name: string, args: string[], cwd = folder) => {
    const { code, output } = await run(name, args, { cwd, environment });
    if (code !== 0) throw new Error(`${name} ${args.join(' ')} failed:\n${output}`);
  };
  await command('npm', ['pack', '--pack-destination', folder, '--loglevel=error'], fromRoot('.'));
  const tarball = './pgquota-*.tgz';
  const quiet = '--no-audit --no-fund --prefer-offline --loglevel=error';
  await command('sh', [
    '-c',
    `npm install ${tarball} ${[...PACKAGES, ...TYPES].join(' ')} ${quiet}`,
  ]);
  await command('npx', ['--no-install', 'next', 'build']); // compiles and checks the types, too

  const port = await choosePort(undefined, '127.0.0.1');
  const next = join(folder, 'node_modules/next/dist/bin/next');
  const server = start(process.execPath, [next, 'start', '-H', '127.0.0.1', '-p', String(port)], {
    cwd: folder,
    environment,
  });
  cleanups.unshift(() => server.kill('SIGKILL'));
  await server.said(/Ready/);
  url = `http://127.0.0.1:${port}`;
}, 240_000);

afterAll(async () => {
  for (const cleanup of cleanups) cleanup();
  await rest?.stop();
  await database?.drop();
});

test('the route handler counts, answers with headers, and refuses', () =>
  meetLimit((subject) =>
    fetch(`${url}/api/export`, { method: 'POST', headers: { authorization: subject } }),
  ));

test('the proxy counts for the routes behind it, and answers in their place', async () => {
  const get = () => fetch(`${url}/api/v1/ping`, { headers: { authorization: 'ada' } });
  for (const left of [1, 0]) {
    const done = await get();
    expect([done.status, await done.json()]).toEqual([200, { pong: true }]);
    expect(done.headers.get('ratelimit')).toMatch(new RegExp(`^"api_call/minute";r=${left}`));
  }
  const refused = await get();
  expect([refused.status, refused.headers.get('retry-after')]).toEqual([429, '30']);
  expect(await refused.json()).toMatchObject({ code: 'USAGE_LIMIT_EXCEEDED' });
});
