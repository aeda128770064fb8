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
  'usage_breakdown',
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

/** An app's own table of memberships: who is in no row of it gets null for an answer. */
export const strangersAreNobody: AccessScenario = async ({ rest, owner }) => {
  await owner.query(`
    create or replace function quota.acts_for(p_user_id text, p_subject_id text) returns boolean
    language plpgsql stable set search_path = pg_catalog, pg_temp as 'begin return null; end'`);
  must(await rest.asService().rpc('consume_usage', { feature: 'export', subject: 'team' }));
  const before = await everythingStored(owner);
  const user = rest.asUser('stranger');
  for (const name of FOR_USERS) {
    const parameters = {
      subject: 'team',
      ...(name === 'consume_usage_batch'
        ? { items: [{ feature: 'export' }] }
        : { feature: 'export' }),
    };
    expect(await codeOf(user, name, parameters), `a stranger calls ${name}`).toBe('42501');
  }
  expect(await everythingStored(owner)).toBe(before);
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

/** Insert, upsert, update and delete, by each role, on each view. */
export const viewsRefuseWrites: AccessScenario = async ({ rest, owner }) => {
  must(await rest.asUser('alice').rpc('consume_usage', { feature: 'export' }));
  const before = await everythingStored(owner);
  const clients = { anon: rest.asAnon(), user: rest.asUser('alice'), service: rest.asService() };
  for (const [role, client] of Object.entries(clients)) {
    for (const view of [...OWN_VIEWS, 'plan_catalog']) {
      const column = view === 'plan_catalog' ? 'plan' : 'subject';
      const value = view === 'plan_catalog' ? 'free' : 'alice';
      const row = { [column]: value } as never;
      const attempts = {
        insert: await client.from(view).insert(row),
        upsert: await client.from(view).upsert(row),
        update: await client.from(view).update(row).eq(column, value),
        delete: await client.from(view).delete().eq(column, value),
      };
      for (const [verb, { error }] of Object.entries(attempts)) {
        // 55000: a view that cannot be written at all.
        expect(['42501', '55000'], `${role} may not ${verb} on ${view}`).toContain(error?.code);
      }
    }
  }
  expect(await everythingStored(owner)).toBe(before);
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
