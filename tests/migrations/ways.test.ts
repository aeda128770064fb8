// The same files by different tools: the same database, one history, and nothing done twice. What
// npm run verify shows on plain Postgres is shown here with what a Supabase project grants by itself.
import { expect, test, vi } from 'vitest';
import { withClient } from '../../scripts/local/client.ts';
import { migrate } from '../../scripts/local/migrate.ts';
import { readReleases } from '../../scripts/releases.ts';
import { describe, differences } from '../../scripts/verify/describe.ts';
import { pushBySupabase, waysHere } from '../../scripts/verify/ways.ts';
import { createDatabase, type DatabaseOptions, type TestDatabase } from '../support/database.ts';
import { type DefaultPrivilegeProfile, grantLikeSupabase } from '../support/privileges.ts';

vi.setConfig({ testTimeout: 120_000 }); // tools that start a process or twenty, on a busy machine

async function withDatabase<T>(
  from: DatabaseOptions['from'],
  use: (database: TestDatabase) => Promise<T>,
): Promise<T> {
  const database = await createDatabase({ from });
  try {
    return await use(database);
  } finally {
    await database.drop();
  }
}

type Objects = Map<string, string>;

/** What a database of such a project holds once pgquota is installed. */
function installed(
  profile: DefaultPrivilegeProfile,
  install: (url: string) => Promise<unknown>,
): Promise<Objects> {
  return withDatabase('empty', async ({ url }) => {
    await withClient(url, (client) => grantLikeSupabase(client, profile));
    await install(url);
    return withClient(url, describe);
  });
}

for (const profile of ['open', 'closed'] as const) {
  test(`every way gives the same database under the ${profile} default privileges`, async () => {
    const found = await Promise.all(waysHere().ways.map((way) => installed(profile, way.install)));
    expect(found.length).toBeGreaterThanOrEqual(3);
    for (const other of found.slice(1)) expect(differences(found[0] as Objects, other)).toEqual([]);
  });
}

test('the default privileges of the server make no difference to what may be called', async () => {
  const withoutDefaults = async (profile: DefaultPrivilegeProfile) => {
    const objects = await installed(profile, migrate);
    return new Map([...objects].filter(([name]) => !name.startsWith('default privileges')));
  };
  const open = await withoutDefaults('open');
  expect(differences(open, await withoutDefaults('closed'))).toEqual([]);
});

test('each tool continues where the other stopped', async () => {
  await withDatabase('empty', async ({ url }) => {
    expect(await migrate(url)).toHaveLength(readReleases().length);
    expect(await pushBySupabase(url)).toEqual([]);
  });
  await withDatabase('empty', async ({ url }) => {
    expect(await pushBySupabase(url)).toHaveLength(readReleases().length);
    expect(await migrate(url)).toEqual([]);
  });
});

test('the comparison notices each kind of difference', async () => {
  const database = await createDatabase();
  const client = await database.connect();
  let before = await describe(client);
  const damage: [string, RegExp][] = [
    ['grant execute on function public.set_plan to anon', /^function public.set_plan.* differs/],
    ['revoke select on public.current_usage from authenticated', /current_usage differs/],
    ['alter view public.current_usage reset (security_invoker)', /current_usage differs/],
    ['alter function quota.clock() security definer', /^function quota.clock\(\) differs/],
    ['alter function quota.clock() reset search_path', /^function quota.clock\(\) differs/],
    ['alter function quota.clock() owner to service_role', /^function quota.clock\(\) differs/],
    ["comment on function quota.clock() is 'Time.'", /^function quota.clock\(\) differs/],
    ["comment on column public.usage_decision.used is 'Used.'", /usage_decision.used differs/],
    ['alter table quota.events disable row level security', /^table quota.events differs/],
    ['drop policy select_own on quota.events', /^policy quota.events.select_own is missing/],
    ['alter policy select_service on quota.events using (false)', /select_service differs/],
    ['drop index quota.events_by_id', /^index quota.events_by_id is missing/],
    ['alter table quota.plans alter name drop not null', /^column quota.plans.name differs/],
    ['alter table quota.plans alter is_default set default true', /is_default differs/],
    ['grant select (name) on quota.plans to anon', /^column quota.plans.name differs/],
    ['alter table quota.plans drop constraint plans_id_is_1_to_255_characters', /is missing/],
    ['create schema other', /^schema other is too much/],
    ['grant usage on schema quota to public', /^schema quota differs/],
    ['create domain public.small as integer check (value < 9)', /^type public.small is too much/],
  ];
  for (const [sql, message] of damage) {
    // describe() has a transaction of its own, so each damage stays for those that follow.
    await client.query(sql);
    const now = await describe(client);
    const lines = differences(before, now);
    before = now;
    expect(lines.length, sql).toBeGreaterThan(0);
    expect(
      lines.some((line) => message.test(line)),
      `${sql}: ${lines}`,
    ).toBe(true);
  }
  await database.drop();
});
