// As somebody who has a page open and nothing else: the commands of each page, in a fresh folder, with the
// packed package. Needs the npm registry for what the package and the projects depend on.
import { cpSync, readFileSync } from 'node:fs';
import { expect, inject, test } from 'vitest';
import { parse } from 'yaml';
import { withoutTlsOnLoopback } from '../../scripts/local/migrate.ts';
import { fromRoot } from '../../scripts/local/project.ts';
import { createDatabase } from '../support/database.ts';
import { createFreshProject } from './project.ts';

const { tarball } = inject('packed');

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
