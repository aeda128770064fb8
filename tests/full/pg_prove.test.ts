// The suites as a DBA runs them: pg_prove, over psql.
import { spawnSync } from 'node:child_process';
import { expect, test } from 'vitest';
import { fromRoot } from '../../scripts/local/project.ts';
import { createDatabase } from '../support/database.ts';

test('pg_prove passes every pgTAP suite', { timeout: 180_000 }, async () => {
  const database = await createDatabase();
  try {
    const { hostname, port, username, password } = new URL(database.url);
    const login = ['-h', hostname, '-p', port, '-U', username, '-d', database.name];
    const run = spawnSync('pg_prove', [...login, '--ext', '.sql', '--recurse', 'tests/pgtap'], {
      cwd: fromRoot('.'),
      env: { ...process.env, PGPASSWORD: password },
      encoding: 'utf8',
    });
    expect(run.error, 'pg_prove (Debian: libtap-parser-sourcehandler-pgtap-perl)').toBeUndefined();
    expect(run.stdout + run.stderr).toMatch(/All tests successful/);
    expect(run.status).toBe(0);
  } finally {
    await database.drop();
  }
});
