// As somebody who has a page open and nothing else: the commands of each page, in a fresh folder, with the
// packed package. Needs the npm registry for what the package and the projects depend on.
import { cpSync, readFileSync } from 'node:fs';
import { expect, inject, test } from 'vitest';
import { parse } from 'yaml';
import { withoutTlsOnLoopback } from '../../scripts/local/migrate.ts';
import { choosePort } from '../../scripts/local/ports.ts';
import { fromRoot } from '../../scripts/local/project.ts';
import { createDatabase } from '../support/database.ts';
import { grantLikeSupabase } from '../support/privileges.ts';
import { startRest } from '../support/rest.ts';
import { play } from './play.ts';
import { createFreshProject, type FreshProject } from './project.ts';

const { tarball } = inject('packed');

/** supabase: the command of this checkout, and nobody to answer its question. */
const SUPABASE = {
  PATH: `${fromRoot('node_modules/.bin')}:${process.env.PATH}`,
  SUPABASE_YES: '1',
};
const CLI: [string, string][] = [['npx supabase ', 'supabase ']];

test('a Supabase project: docs/start-supabase.md', async () => {
  const project = createFreshProject(tarball, { 'supabase/config.toml': 'project_id = "app"\n' });
  const database = await createDatabase({ from: 'empty' });
  await grantLikeSupabase(await database.connect());
  const rest = await startRest(database);
  try {
    await play('docs/start-supabase.md', project, {
      instead: CLI,
      secrets: {
        DATABASE_URL: withoutTlsOnLoopback(database.url),
        SUPABASE_URL: rest.url,
        SUPABASE_SERVICE_ROLE_KEY: rest.serviceRoleKey,
      },
      environment: {
        ...SUPABASE,
        NODE_OPTIONS:
          Number.parseInt(process.versions.node, 10) < 22 ? '--experimental-websocket' : '',
      },
    });
    const { data } = await rest
      .asUser('a-user')
      .from('current_usage')
      .select('feature, used, status');
    expect(data).toContainEqual({ feature: 'ai_generation', used: 50, status: 'at_limit' });
    expect(await project.type('npx pgquota doctor')).toContain('Nothing is wrong.');
  } finally {
    await rest.stop();
    project.remove();
    await database.drop();
  }
}, 120_000);

test('a backend with dbmate and strict TypeScript: docs/start-backend.md', async () => {
  const project = createFreshProject(tarball);
  const database = await createDatabase({ from: 'empty' });
  try {
    await play('docs/start-backend.md', project, {
      secrets: { DATABASE_URL: withoutTlsOnLoopback(database.url) },
      // A pg_dump of this machine may be older than the server.
      environment: { DBMATE_NO_DUMP_SCHEMA: 'true' },
    });
    project.write(
      'src/wrong.ts',
      `import { consume } from './usage.js'; import pg from 'pg';
      consume(new pg.Pool(), 'ai_generatoin', 'a-user');`,
    );
    const { code, output } = await project.tryTo('npx tsc');
    expect(output).toMatch(/src\/wrong\.ts.*TS2345/);
    expect(code).not.toBe(0);
  } finally {
    project.remove();
    await database.drop();
  }
}, 120_000);

test('a Next.js app: docs/start-next.md and the routes of examples/next', async () => {
  const project = createFreshProject(tarball, {
    'supabase/config.toml': 'project_id = "app"\n',
    // What create-next-app leaves, as far as it matters here.
    'app/layout.tsx': `export default function Layout({ children }: { children: React.ReactNode }) {
      return <html lang="en"><body>{children}</body></html>; }`,
    'app/page.tsx': 'export default function Page() { return <main>An app</main>; }',
    ...nextExample(),
  });
  const database = await createDatabase({ from: 'empty' });
  await grantLikeSupabase(await database.connect());
  const rest = await startRest(database);
  const environment = {
    ...SUPABASE,
    DATABASE_URL: withoutTlsOnLoopback(database.url),
    SUPABASE_URL: rest.url,
    SUPABASE_ANON_KEY: rest.anonKey,
    SUPABASE_SERVICE_ROLE_KEY: rest.serviceRoleKey,
    BILLING_WEBHOOK_SECRET: 'whsec_c2VjcmV0',
    NEXT_TELEMETRY_DISABLED: '1',
    NODE_OPTIONS: Number.parseInt(process.versions.node, 10) < 22 ? '--experimental-websocket' : '',
  };
  let server: ReturnType<FreshProject['start']> | undefined;
  try {
    await project.type(
      'npm install next react react-dom typescript@5 @types/node @types/react standardwebhooks',
    );
    const { output } = await play('docs/start-next.md', project, { environment, instead: CLI });
    expect(output).toMatch(/Compiled successfully/);
    for (const route of ['/api/export', '/api/generate', '/api/billing-webhook'])
      expect(output).toContain(route);

    const port = await choosePort(undefined, '127.0.0.1');
    server = project.start(
      `exec node_modules/.bin/next start -p ${port} -H 127.0.0.1`,
      environment,
    );
    await server.said(/Ready in/);
    const ask = (path: string, headers: Record<string, string>, body?: object) =>
      fetch(`http://127.0.0.1:${port}${path}`, {
        method: 'POST',
        headers,
        body: body && JSON.stringify(body),
      });
    const headers = { 'x-user': 'ada' };
    for (let n = 1; n <= 50; n++) expect((await ask('/api/export', headers)).status).toBe(200);
    const refused = await ask('/api/export', headers);
    expect(refused.status).toBe(402);
    expect(await refused.json()).toMatchObject({
      code: 'USAGE_LIMIT_EXCEEDED',
      upgrade_url: '/settings/billing',
    });

    expect((await ask('/api/generate', {}, { prompt: 'a haiku' })).status).toBe(401);
    const authorization = `Bearer ${await rest.userToken('eve')}`;
    const generated = await ask('/api/generate', { authorization }, { prompt: 'a haiku' });
    expect(await generated.text()).toMatch(/"done":true/);
    expect((await ask('/api/billing-webhook', {}, {})).status).toBe(401);
  } finally {
    server?.kill('SIGKILL');
    await rest.stop();
    project.remove();
    await database.drop();
  }
}, 180_000);

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

interface Workflow {
  jobs: Record<string, { env: Record<string, string>; steps: Step[] }>;
}
type Step = { name?: string; uses?: string; run?: string; env?: Record<string, string> };

test('the workflow for GitHub Actions, step by step, in a project that follows the page', async () => {
  const project = createFreshProject(tarball);
  const database = await createDatabase({ from: 'empty' });
  try {
    cpSync(fromRoot('examples/testing'), project.folder, { recursive: true });
    // What is committed before CI sees it: the migrations, the plans and the lock file.
    await project.type('npm install pgquota && npx pgquota init --psql');

    const workflow: Workflow = parse(
      readFileSync(fromRoot('examples/testing/.github/workflows/test.yml'), 'utf8'),
    );
    const { env, steps } = workflow.jobs.test as Workflow['jobs'][string];
    expect(env).toHaveProperty('DATABASE_URL');
    // The service container: a server of this machine in its place.
    const environment = { ...env, DATABASE_URL: withoutTlsOnLoopback(database.url) };
    expect(steps.filter((step) => step.run)).toHaveLength(5);
    for (const step of steps) {
      if (!step.run) {
        expect(step.uses).toMatch(/^actions\/(checkout|setup-node)@v\d+$/);
        continue;
      }
      const output = await project.type(step.run, { ...environment, ...step.env });
      if (step.run === 'npm test') expect(output).toMatch(/^# pass 2$/m);
      if (/doctor/.test(step.run)) expect(output).toContain('Nothing is wrong.');
    }
    const owner = await database.connect();
    expect((await owner.query('select from quota.events')).rowCount).toBe(0);
    expect((await owner.query('select * from public.verify_installation()')).rows).toEqual([]);
  } finally {
    project.remove();
    await database.drop();
  }
}, 120_000);
