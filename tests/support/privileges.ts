/**
 * What a Supabase project grants by itself on every new object of schema public. Hosted projects made
 * since October 2026 no longer do it for tables; functions stay executable by name in both.
 */
import type pg from 'pg';

export const DEFAULT_PRIVILEGE_PROFILES = {
  /** Local stacks and older projects. */
  open: `
    alter default privileges in schema public grant all on tables to postgres, anon, authenticated, service_role;
    alter default privileges in schema public grant all on functions to postgres, anon, authenticated, service_role;
    alter default privileges in schema public grant all on sequences to postgres, anon, authenticated, service_role;`,
  /** New projects: every grant is written down by whoever wants it. */
  closed: `
    alter default privileges in schema public revoke all on tables from anon, authenticated, service_role;
    alter default privileges in schema public grant execute on functions to postgres, anon, authenticated, service_role;
    alter default privileges in schema public revoke all on sequences from anon, authenticated, service_role;`,
} as const;

export type DefaultPrivilegeProfile = keyof typeof DEFAULT_PRIVILEGE_PROFILES;

/** To be run before the migrations, as it is on Supabase. `open` is the harder one to be safe under. */
export async function grantLikeSupabase(
  client: pg.ClientBase,
  profile: DefaultPrivilegeProfile = 'open',
): Promise<void> {
  await client.query(`
    grant usage on schema public to anon, authenticated, service_role;
    ${DEFAULT_PRIVILEGE_PROFILES[profile]}`);
}
