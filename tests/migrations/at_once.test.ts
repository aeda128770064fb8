// Many deployments start at once and each migrates: one does it, nobody breaks it.
import { expect, test, vi } from 'vitest';
import { withClient } from '../../scripts/local/client.ts';
import { migrate } from '../../scripts/local/migrate.ts';
import { readReleases } from '../../scripts/releases.ts';
import { describe, differences } from '../../scripts/verify/describe.ts';
import { createDatabase } from '../support/database.ts';

vi.setConfig({ testTimeout: 120_000 }); // tools that start a process or twenty, on a busy machine

const AT_ONCE = 20;

test('twenty dbmate runs at once on an empty database leave what one leaves', async () => {
  const [alone, crowded] = await Promise.all([
    createDatabase({ from: 'empty' }),
    createDatabase({ from: 'empty' }),
  ]);
  await migrate(alone.url);

  const runs = await Promise.allSettled(
    Array.from({ length: AT_ONCE }, () => migrate(crowded.url)),
  );
  // dbmate takes no lock: who finds the schema or the release there, or in the making, fails at the start.
  for (const run of runs) {
    if (run.status === 'rejected') expect(String(run.reason)).toMatch(/\((42P06|23505|55000)\)/);
  }
  const releases = readReleases().length;
  // The one who installs may lose the next release to another.
  const applied = runs.flatMap((run) => (run.status === 'fulfilled' ? run.value : []));
  expect(applied.length).toBeLessThanOrEqual(releases);
  if (releases === 1) expect(applied).toHaveLength(1);

  const [expected, found] = await Promise.all([
    withClient(alone.url, describe),
    withClient(crowded.url, describe),
  ]);
  expect(differences(expected, found)).toEqual([]);

  const again = await Promise.all(Array.from({ length: AT_ONCE }, () => migrate(crowded.url)));
  expect(again.flat()).toEqual([]);
  const { rows } = await withClient(crowded.url, (client) =>
    client.query('select count(*)::integer as lines from supabase_migrations.schema_migrations'),
  );
  expect(rows).toEqual([{ lines: releases }]);
  await Promise.all([alone.drop(), crowded.drop()]);
});
