// A Next.js app as docs/start-next.md makes it, with the routes of examples/next and those of docs/client.md:
// installed, built and served once, with the packed package. Needs the registry.
import { readFileSync } from 'node:fs';
import { afterAll, beforeAll, expect, inject, test } from 'vitest';
import { withClient } from '../../scripts/local/client.ts';
import { withoutTlsOnLoopback } from '../../scripts/local/migrate.ts';
import { choosePort } from '../../scripts/local/ports.ts';
import { fromRoot } from '../../scripts/local/project.ts';
import { blocksOf, meetLimit } from '../readme/client-page.ts';
import { setClock } from '../support/clock.ts';
import { createDatabase, type TestDatabase } from '../support/database.ts';
import { grantLikeSupabase } from '../support/privileges.ts';
import { type Rest, startRest } from '../support/rest.ts';
import { play } from './play.ts';
import { CLI, createFreshProject, type FreshProject, SUPABASE } from './project.ts';

const PACKAGES = 'next@16 react@19 react-dom@19 standardwebhooks ws@8';
const TYPES = 'typescript@5 @types/node@20 @types/react@19 @types/ws@8';

/** What docs/client.md counts, beside the starter's own features. */
const MORE = {
  features: { export: {}, api_call: {} },
  limits: { export: { month: 2 }, api_call: { minute: 2 } },
};

let project: FreshProject;
let database: TestDatabase;
let rest: Rest;
let url: string;
let said: string;
const cleanups: (() => unknown)[] = [];

beforeAll(async () => {
  project = createFreshProject(inject('packed').tarball, {
    'supabase/config.toml': 'project_id = "app"\n',
    // What create-next-app leaves, as far as it matters here.
    'app/layout.tsx': `export default function Layout({ children }: { children: React.ReactNode }) {
      return <html lang="en"><body>{children}</body></html>; }`,
    'app/page.tsx': 'export default function Page() { return <main>An app</main>; }',
    ...nextExample(),
    ...clientPage(),
  });
  cleanups.push(project.remove);
  database = await createDatabase({ from: 'empty' });
  cleanups.push(database.drop);
  await grantLikeSupabase(await database.connect());
  rest = await startRest(database);
  cleanups.unshift(rest.stop);
  const environment = {
    ...SUPABASE,
    DATABASE_URL: withoutTlsOnLoopback(database.url),
    SUPABASE_URL: rest.url,
    SUPABASE_ANON_KEY: rest.anonKey,
    SUPABASE_SERVICE_ROLE_KEY: rest.serviceRoleKey,
    BILLING_WEBHOOK_SECRET: 'whsec_c2VjcmV0',
    NEXT_TELEMETRY_DISABLED: '1',
  };
  await project.type(`npm install ${PACKAGES} ${TYPES}`);
  const apply = 'npx pgquota plans plans.json';
  said = (
    await play('docs/start-next.md', project, {
      environment,
      instead: [...CLI, [apply, `node more.mjs\n${apply}`]],
    })
  ).output;

  const port = await choosePort(undefined, '127.0.0.1');
  const server = project.start(
    `exec node_modules/.bin/next start -p ${port} -H 127.0.0.1`,
    environment,
  );
  cleanups.unshift(() => server.kill('SIGKILL'));
  await server.said(/Ready in/);
  url = `http://127.0.0.1:${port}`;
}, 240_000);

afterAll(async () => {
  for (const cleanup of cleanups) await cleanup();
});

const ask = (path: string, headers: Record<string, string>, body?: object) =>
  fetch(`${url}${path}`, { method: 'POST', headers, body: body && JSON.stringify(body) });

test('docs/start-next.md: it compiles, and the fifty-first answers 402', async () => {
  expect(said).toMatch(/Compiled successfully/);
  for (const route of ['/api/export', '/api/generate', '/api/billing-webhook'])
    expect(said).toContain(route);
  const headers = { 'x-user': 'ada' };
  for (let n = 1; n <= 50; n++) expect((await ask('/api/export', headers)).status).toBe(200);
  const refused = await ask('/api/export', headers);
  expect(refused.status).toBe(402);
  expect(await refused.json()).toMatchObject({
    code: 'USAGE_LIMIT_EXCEEDED',
    upgrade_url: '/settings/billing',
  });
});

test('examples/next: the generation streams, and the webhook wants its signature', async () => {
  expect((await ask('/api/generate', {}, { prompt: 'a haiku' })).status).toBe(401);
  const authorization = `Bearer ${await rest.userToken('eve')}`;
  const generated = await ask('/api/generate', { authorization }, { prompt: 'a haiku' });
  expect(await generated.text()).toMatch(/"done":true/);
  expect((await ask('/api/billing-webhook', {}, {})).status).toBe(401);
});

test('docs/client.md: the route handler counts, answers with headers, and refuses', () =>
  meetLimit((subject) => ask('/client/export', { authorization: subject })));

test('docs/client.md: the proxy counts for the routes behind it, and answers in their place', async () => {
  await withClient(database.url, (owner) => setClock(owner, '2026-03-15T12:00:30Z'));
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

/** The files of docs/client.md; its route handler has the name of the other page's, so it stands elsewhere. */
function clientPage(): Record<string, string> {
  const { blocks } = blocksOf('docs/client.md');
  const code = (name: string) => blocks.find((block) => block.name === name)?.code as string;
  return {
    'usage.ts': code('usage.ts'),
    'proxy.ts': code('proxy.ts'),
    'app/client/export/route.ts': code('app/api/export/route.ts'),
    'app/api/v1/ping/route.ts': 'export const GET = () => Response.json({ pong: true });',
    'user.ts': `export const userOf = (header: string | null) => header ?? 'nobody';`,
    'more.mjs': `
      import { readFileSync, writeFileSync } from 'node:fs';
      const plans = JSON.parse(readFileSync('plans.json', 'utf8'));
      Object.assign(plans.features, ${JSON.stringify(MORE.features)});
      Object.assign(plans.plans.free.limits, ${JSON.stringify(MORE.limits)});
      writeFileSync('plans.json', JSON.stringify(plans));`,
  };
}

/** The routes of examples/next with the files that they name, as somebody would take them along. */
function nextExample(): Record<string, string> {
  const shared = 'supabase/functions/_shared';
  const taken = (path: string) =>
    readFileSync(fromRoot(path), 'utf8').replaceAll(
      /'(?:[./]+\/)?(?:supabase\/functions\/_shared|\.)\/([\w-]+)\.ts'/g,
      (_, name) => (path.startsWith(shared) ? `'./${name}'` : `'../../../lib/${name}'`),
    );
  return {
    ...Object.fromEntries(
      ['generate', 'billing-webhook'].map((name) => [
        `app/api/${name}/route.ts`,
        taken(`examples/next/app/api/${name}/route.ts`),
      ]),
    ),
    ...Object.fromEntries(
      ['generate', 'model', 'body', 'plan-change'].map((name) => [
        `lib/${name}.ts`,
        taken(`${shared}/${name}.ts`),
      ]),
    ),
  };
}
