// A hosted project: the roles exist, and who migrates owns the database but is no superuser. All that
// follows is done with that role's rights, as it is there.
import { randomBytes } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { afterAll, beforeAll, expect, inject, test, vi } from 'vitest';
import { withClient } from '../../scripts/local/client.ts';
import { migrate } from '../../scripts/local/migrate.ts';
import { fromRoot } from '../../scripts/local/project.ts';
import { readReleases } from '../../scripts/releases.ts';
import { describe, differences } from '../../scripts/verify/describe.ts';
import { pushBySupabase } from '../../scripts/verify/ways.ts';
import { createUsageClient } from '../../types/index.ts';
import { urlOf } from '../support/cluster.ts';
import { createDatabase, type TestDatabase } from '../support/database.ts';
import { applyPlans } from '../support/plans.ts';
import { grantLikeSupabase } from '../support/privileges.ts';
import { startRest } from '../support/rest.ts';

vi.setConfig({ testTimeout: 120_000 }); // tools that start a process or twenty, on a busy machine

const owner = {
  user: `owner_${randomBytes(6).toString('hex')}`,
  password: randomBytes(16).toString('hex'),
};
const cluster = inject('cluster');
const databases: TestDatabase[] = [];

beforeAll(() =>
  withClient(cluster.adminUrl, (admin) =>
    admin.query(`
      create role ${owner.user} login createrole nosuperuser password '${owner.password}';
      grant anon, authenticated, service_role to ${owner.user};`),
  ),
);

afterAll(async () => {
  for (const database of databases) await database.drop();
  await withClient(cluster.adminUrl, (admin) => admin.query(`drop role ${owner.user}`));
});

/** An empty project of the owner, and the url it signs in with. */
async function createProject(): Promise<{ database: TestDatabase; url: string }> {
  const database = await createDatabase({ from: 'empty' });
  databases.push(database);
  await withClient(database.url, (admin) =>
    admin.query(`alter database ${database.name} owner to ${owner.user}`),
  );
  const url = urlOf(cluster, database.name, owner);
  await withClient(url, (client) => grantLikeSupabase(client));
  return { database, url };
}

test('an owner that is no superuser migrates by every tool, to the same database', async () => {
  const [one, other] = await Promise.all([createProject(), createProject()]);
  await withClient(one.url, (client) =>
    client.query(readFileSync(fromRoot('sql/roles.sql'), 'utf8')),
  );
  expect(await migrate(one.url)).toHaveLength(readReleases().length);
  expect(await pushBySupabase(other.url)).toHaveLength(readReleases().length);

  const [byDbmate, bySupabase] = await Promise.all([
    withClient(one.url, describe),
    withClient(other.url, describe),
  ]);
  expect(differences(byDbmate, bySupabase)).toEqual([]);
});

test('what that owner installed counts, refuses and proves itself over REST', async () => {
  const { database, url } = await createProject();
  await migrate(url);
  // The owner is a trusted caller: it applies the plans, without any role switched.
  await withClient(url, applyPlans);
  const rest = await startRest(database);
  try {
    const usage = createUsageClient(rest.asUser('ann'));
    expect((await usage.consumeUsage({ feature: 'export', amount: 5 })).allowed).toBe(true);
    expect((await usage.consumeUsage({ feature: 'export' })).allowed).toBe(false);
    const { data } = await usage.from('current_usage').select().eq('feature', 'export');
    expect(data).toMatchObject([{ subject: 'ann', used: 5, remaining: 0 }]);

    const service = createUsageClient(rest.asService());
    await service.setPlan({ subject: 'ann', plan: 'pro' });
    expect((await usage.consumeUsage({ feature: 'export' })).unlimited).toBe(true);
    expect(await service.verifyUsage()).toEqual([]);
  } finally {
    await rest.stop();
  }
});
