/**
 * Moves `quota.clock()` of a throwaway database, for all its sessions and also while one of them
 * waits: the function is replaced and committed. Owner, grants and attributes stay as they were.
 */
import type pg from 'pg';

/** An instant (ISO text or Date) stops the clock there; `{ offset: '1 month' }` moves it, running. */
export async function setClock(
  client: pg.ClientBase,
  time: string | Date | { offset: string },
): Promise<void> {
  const value =
    typeof time === 'object' && 'offset' in time
      ? [null, time.offset]
      : [new Date(time).toISOString(), null];
  // From a table: a session that waits inside a call may have looked the function up already.
  const { rows } = await client.query(`
    select to_regclass('test_clock.hands') is null as is_new,
      prosrc like '%from test_clock.hands%' as is_read
    from pg_catalog.pg_proc
    where oid = 'quota.clock()'::pg_catalog.regprocedure`);
  if (rows[0].is_new) {
    await client.query(`
      create schema test_clock;
      create table test_clock.hands (stopped_at timestamptz, ahead interval);
      insert into test_clock.hands values (null, '0');
      grant usage on schema test_clock to public;
      grant select on test_clock.hands to public`);
  }
  await client.query('update test_clock.hands set stopped_at = $1, ahead = $2', value);
  if (rows[0].is_read) return;
  await client.query(
    await clockReturning(
      client,
      `(select coalesce(h.stopped_at, pg_catalog.clock_timestamp() + h.ahead) from test_clock.hands as h)`,
    ),
  );
}

/** Each look at the clock of this database is 33 days after the one before. */
export async function hurryClock(client: pg.ClientBase): Promise<void> {
  await client.query(`
    create schema test_clock;
    create sequence test_clock.looks;
    grant usage on schema test_clock to public;
    grant usage on sequence test_clock.looks to public`);
  await client.query(
    await clockReturning(
      client,
      `pg_catalog.clock_timestamp() + pg_catalog.nextval('test_clock.looks') * interval '33 days'`,
    ),
  );
}

/** The statement, on one line, that lets the clock of this database return `value`. */
export async function clockReturning(client: pg.ClientBase, value: string): Promise<string> {
  const { rows } = await client.query(`
    select
      case provolatile when 'i' then 'immutable' when 's' then 'stable' else 'volatile' end
        || case proparallel when 's' then ' parallel safe' when 'r' then ' parallel restricted'
             else ' parallel unsafe' end
        || case when prosecdef then ' security definer' else '' end
        || case when proleakproof then ' leakproof' else '' end as attributes
    from pg_catalog.pg_proc
    where oid = 'quota.clock()'::pg_catalog.regprocedure`);
  return (
    `create or replace function quota.clock() returns timestamptz language plpgsql ` +
    `${rows[0].attributes} set search_path = pg_catalog, pg_temp ` +
    `as $clock$ begin return ${value}; end $clock$`
  );
}
