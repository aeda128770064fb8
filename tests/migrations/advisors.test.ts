// Supabase's own lints of security and performance find nothing, and they do look.
import { expect, test, vi } from 'vitest';
import { withClient } from '../../scripts/local/client.ts';
import { migrate } from '../../scripts/local/migrate.ts';
import { runSupabase } from '../../scripts/local/supabase-cli.ts';
import { createDatabase } from '../support/database.ts';
import { applyPlans } from '../support/plans.ts';
import { grantLikeSupabase } from '../support/privileges.ts';

vi.setConfig({ testTimeout: 120_000 }); // tools that start a process or twenty, on a busy machine

const advise = (url: string) =>
  runSupabase(['db', 'advisors', '--level', 'info', '--fail-on', 'warn'], url);

const TABLES = `
  create schema app;
  create table app.files (id bigint primary key, user_id text);
  create table app.profiles (id text primary key, plan text);
  select quota.limit_table('app.files', 'kb_file', 'user_id');
  select quota.follow_plan('app.profiles', 'id', 'plan');`;

for (const profile of ['open', 'closed'] as const) {
  test(`the advisors are clean under the ${profile} default privileges`, async () => {
    const database = await createDatabase({ from: 'empty' });
    await withClient(database.url, (client) => grantLikeSupabase(client, profile));
    await migrate(database.url);
    await withClient(database.url, async (client) => {
      await applyPlans(client);
      await client.query(TABLES);
    });

    const { code, stdout } = await advise(database.url);
    // A database that nobody has asked yet has used no index: information, which goes with use.
    const titles = [...stdout.matchAll(/"title": "(.+)"/g)].map(([, title]) => title);
    expect(titles.filter((title) => title !== 'Unused Index')).toEqual([]);
    expect(titles.length).toBeGreaterThan(0);
    expect(code).toBe(0);
    await database.drop();
  });
}

test('the advisors see what is wrong when something is', async () => {
  const database = await createDatabase();
  await withClient(database.url, (client) =>
    client.query(`
      alter view public.current_usage reset (security_invoker);
      create function public.leak() returns bigint language sql security definer as 'select 1';
      create table public.bare (id bigint);`),
  );
  const { code, stdout, stderr } = await advise(database.url);
  expect(code).not.toBe(0);
  for (const finding of ['current_usage', 'leak', 'bare'])
    expect(stdout + stderr).toContain(finding);
  await database.drop();
});
