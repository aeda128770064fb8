// As somebody who has a page open and nothing else: the commands of each page, in a fresh folder, with the
// packed package (Next.js is in next.test.ts). Needs the npm registry for what the projects depend on.
import { cpSync, readFileSync } from 'node:fs';
import { expect, inject, test } from 'vitest';
import { parse } from 'yaml';
import { withoutTlsOnLoopback } from '../../scripts/local/migrate.ts';
import { fromRoot } from '../../scripts/local/project.ts';
import { createDatabase } from '../support/database.ts';
import { grantLikeSupabase } from '../support/privileges.ts';
import { startRest } from '../support/rest.ts';
import { play } from './play.ts';
import { CLI, createFreshProject, SUPABASE } from './project.ts';

const { tarball } = inject('packed');

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
      environment: SUPABASE,
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
      `import { usageOver } from './usage.js'; import pg from 'pg';
      usageOver(new pg.Pool()).enforceUsage({ feature: 'ai_generatoin', subject: 'a-user' });`,
    );
    const { code, output } = await project.tryTo('npx tsc');
    expect(output).toMatch(/src\/wrong\.ts.*TS2820/);
    expect(code).not.toBe(0);
  } finally {
    project.remove();
    await database.drop();
  }
}, 120_000);

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
