// A DBA with psql and a stock Postgres 15: docs/start-dba.md from top to bottom, with the packed package, the
// restore of docs/production.md, and docs/extension.md.
import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import pg from 'pg';
import { afterAll, beforeAll, expect, inject, test } from 'vitest';
import { fromRoot } from '../../scripts/local/project.ts';
import { play } from '../package/play.ts';
import { createFreshProject, type FreshProject } from '../package/project.ts';
import { BIN, type Debian15, startDebian15 } from '../support/debian15.ts';

const { tarball } = inject('packed');
const { version } = JSON.parse(readFileSync(fromRoot('package.json'), 'utf8'));
let server: Debian15;
let project: FreshProject;
let environment: NodeJS.ProcessEnv;

beforeAll(async () => {
  server = await startDebian15();
  project = createFreshProject(tarball);
  environment = {
    PATH: `${BIN}:${process.env.PATH}`,
    PGHOST: '127.0.0.1',
    PGPORT: String(server.port),
    PGUSER: 'postgres',
    // The page exports it in its first block; here each block is a shell of its own.
    PGDATABASE: 'app',
  };
});
afterAll(() => {
  project?.remove();
  server?.stop();
});

test('docs/start-dba.md, from the tarball to the refusal', async () => {
  const { output } = await play('docs/start-dba.md', project, {
    environment,
    // The tarball of this checkout in place of the one that was downloaded.
    instead: [[`tar xzf pgquota-${version}.tgz`, `tar xzf ${tarball}`]],
  });
  expect(output).toMatch(/object +\| +problem +\| +statement\s+[-+]+\s+\(0 rows\)/);
  expect(output).toMatch(/version\s+-+\s+\d+\.\d+\.\d+/);

  const app = new pg.Client(`postgres://app_login@127.0.0.1:${server.port}/app`);
  await app.connect();
  try {
    await app.query(`select public.set_plan('ada', 'pro')`);
    await expect(app.query('delete from quota.events')).rejects.toMatchObject({ code: '42501' });
  } finally {
    await app.end();
  }
});

test('docs/production.md, the restore without privileges', async () => {
  const { output } = await play('docs/production.md', project, {
    heading: 'Restore',
    environment,
  });
  expect(output.match(/grant /gi)?.length).toBeGreaterThan(20);
  // The last command says nothing: no problem, and no number that is not the sum of its ledger.
  expect(output.trimEnd()).toMatch(/\(\d+ rows?\)$/);
});

test('docs/extension.md, from the files to the restored copy', async () => {
  const asRoot = process.getuid?.() === 0 ? '' : 'sudo ';
  const folder = `${execFileSync(join(BIN, 'pg_config'), ['--sharedir'], { encoding: 'utf8' }).trim()}/extension`;
  try {
    const { output } = await play('docs/extension.md', project, {
      environment,
      instead: [
        [`tar xzf pgquota-${version}.tgz`, `tar xzf ${tarball}`],
        ['cp package/', `${asRoot}cp package/`],
      ],
    });
    // The last two say nothing: no problem, and no number that is not the sum of its ledger.
    expect(output.trimEnd()).toMatch(/ t +\| +2 +\| +0\s+\(1 row\)$/);
  } finally {
    execFileSync('bash', ['-c', `${asRoot}rm -f "${folder}"/pgquota*`]);
  }
});
