/** Which databases a test may change the time of: those that nobody would miss. */
import type pg from 'pg';

const LOOPBACK = ['', 'localhost', '127.0.0.1', '::1', '[::1]'];
/** More subjects than a test suite makes, and fewer than a product that lives. */
const MOST_SUBJECTS = 1000;

/** The host as the url names it; empty for a socket of this machine. */
export function hostOf(databaseUrl: string): string {
  const { hostname, searchParams } = new URL(databaseUrl);
  const host = hostname || searchParams.get('host') || '';
  return host.startsWith('/') ? '' : decodeURIComponent(host);
}

/**
 * Before a connection is made.
 *
 * @throws Error where the process or the host says production
 */
export function refuseHost(host: string, throwaway: string | undefined): void {
  if (process.env.NODE_ENV === 'production') {
    throw new Error(
      'pgquota/testing: NODE_ENV is production. The helpers fill limits and move the clock for everybody who uses the database; run them where NODE_ENV is test.',
    );
  }
  if (LOOPBACK.includes(host) || host === throwaway) return;
  throw new Error(
    `pgquota/testing: the database is at ${host}, not on this machine, and may be somebody's. If nobody would miss it (a service container, a preview branch), name its host: connectForTests({ throwaway: '${host}' }).`,
  );
}

/**
 * Before anything is changed.
 *
 * @throws Error where pgquota is not installed, the user does not own it, or the data look real
 */
export async function refuseDatabase(
  client: pg.ClientBase,
  host: string,
  throwaway: string | undefined,
): Promise<void> {
  const { rows } = await client.query(
    `select
       current_user as name,
       pg_catalog.pg_get_userbyid(n.nspowner) as owner,
       pg_catalog.pg_has_role(current_user, n.nspowner, 'usage') as is_owner,
       pg_catalog.to_regprocedure('quota.clock()') is not null as has_clock,
       pg_catalog.current_setting('archive_mode') <> 'off'
         or exists (select from pg_catalog.pg_stat_replication) as is_kept
     from (values ('quota')) as s (name)
     left join pg_catalog.pg_namespace as n on n.nspname = s.name`,
  );
  const [found] = rows;
  if (!found.owner || !found.has_clock) {
    throw new Error(
      'pgquota/testing: pgquota is not installed in this database. Apply its migrations first.',
    );
  }
  if (!found.is_owner) {
    throw new Error(
      `pgquota/testing: ${found.name} is not the owner of schema quota, ${found.owner} is. Connect as ${found.owner}: only the owner may replace the clock.`,
    );
  }
  if (found.is_kept && host !== throwaway) {
    throw new Error(
      `pgquota/testing: the server archives its log or feeds a replica, as production does. If nobody would miss this database, name its host: connectForTests({ throwaway: '${host}' }).`,
    );
  }
  const { rows: subjects } = await client.query(
    `select count(distinct u.subject)::integer as count
     from (select subject from public.usage_overview limit 50 * $1::integer) as u`,
    [MOST_SUBJECTS],
  );
  if (subjects[0].count > MOST_SUBJECTS) {
    throw new Error(
      `pgquota/testing: over ${MOST_SUBJECTS} subjects have used something here: this looks like production. Use a database of its own for tests.`,
    );
  }
}
