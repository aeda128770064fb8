// Supabase's own lints of security and performance find nothing, and they do look.
import { expect, test, vi } from 'vitest';
import { withClient } from '../../scripts/local/client.ts';
import { migrate } from '../../scripts/local/migrate.ts';
import { runSupabase } from '../../scripts/local/supabase-cli.ts';
import { createDatabase } from '../support/database.ts';
import { applyPlans } from '../support/plans.ts';
import { grantLikeSupabase } from '../support/privileges.ts';

vi.setConfig({ testTimeout: 120_000 }); // tools that start a process or twenty, on a busy machine

const advise = (url: string) => runSupabase(['db', 'advisors', '--fail-on', 'warn'], url);

for (const profile of ['open', 'closed'] as const) {
  test(`the advisors are clean under the ${profile} default privileges`, async () => {
    const database = await createDatabase({ from: 'empty' });
    await withClient(database.url, (client) => grantLikeSupabase(client, profile));
    await migrate(database.url);
    await withClient(database.url, applyPlans);

    const { code, stdout, stderr } = await advise(database.url);
    expect(stdout + stderr).toContain('No issues found');
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
