/**
 * Who may see and do what over HTTP. The access tests play these on the engine, the zoo on databases
 * where a right was left open or a view forgot whose rights it runs with.
 */
import type { SupabaseClient } from '@supabase/supabase-js';
import { expect } from 'vitest';
import { everythingStored, must, type TestApi } from './api.ts';

export type AccessScenario = (api: TestApi) => Promise<void>;

/** What a signed-in user may call. Everything else is for the server. */
const FOR_USERS = [
  'check_usage',
  'consume_usage',
  'enforce_usage',
  'consume_usage_batch',
  'explain_usage',
];

export const OWN_VIEWS = ['current_usage', 'usage_history', 'usage_events'] as const;

/** Two users with use of their own; each reads every view. */
export const usersSeeOnlyThemselves: AccessScenario = async ({ rest }) => {
  for (const name of ['alice', 'bob']) {
    const metadata = { note: `of ${name}` };
    must(await rest.asUser(name).rpc('consume_usage', { feature: 'export', metadata }));
  }
  for (const name of ['alice', 'bob']) {
    const user = rest.asUser(name);
    for (const view of OWN_VIEWS) {
      const rows = must(await user.from(view).select('subject'));
      const subjects = new Set(rows.map((row: { subject: string }) => row.subject));
      expect(subjects, `subjects that ${name} sees in ${view}`).toEqual(new Set([name]));
    }
  }
};

/** Every function that is there is called, with nulls: the right to execute comes before arguments. */
export const functionsAreClosed: AccessScenario = async (api) => {
  const before = await everythingStored(api.owner);
  for (const { name, parameters } of await functionsOf(api)) {
    expect(await codeOf(api.rest.asAnon(), name, parameters), `anon calls ${name}`).toBe('42501');
    if (FOR_USERS.includes(name)) continue;
    const user = api.rest.asUser('mallory');
    expect(await codeOf(user, name, parameters), `a user calls ${name}`).toBe('42501');
  }
  expect(await everythingStored(api.owner)).toBe(before);
};

async function codeOf(client: SupabaseClient, name: string, parameters: object) {
  const { error, status } = await client.rpc(name, parameters);
  return error?.code || `HTTP ${status}`;
}

async function functionsOf({ owner }: TestApi) {
  const { rows } = await owner.query<{ name: string; required: string[] }>(
    `select proname as name,
       coalesce(proargnames[1:pronargs - pronargdefaults], '{}') as required
     from pg_proc
     where pronamespace = 'public'::regnamespace
     order by 1`,
  );
  expect(rows.length).toBeGreaterThan(5);
  return rows.map(({ name, required }) => ({
    name,
    parameters: Object.fromEntries(required.map((parameter) => [parameter, null])),
  }));
}
