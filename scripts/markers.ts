/**
 * What stands around the statements of a migration, so that the same file does the right thing for psql and
 * the Supabase CLI, which run all of it, and for dbmate, which runs the part of one marker.
 *
 * A down part that only says "forward only" lets `dbmate rollback` succeed: nothing is undone, the version
 * is forgotten, and the next `up` fails for good. So it raises, when it is run without the up part: that
 * leaves a note of itself, in its transaction, or in its session where each statement commits by itself.
 */
import { findTaken, REFUSE_TAKEN } from './taken-names.ts';

export const UP = '-- migrate:up';
export const DOWN = '-- migrate:down';

const NOTE = `'pgquota.migration'`;

export const upBegins = (version: string) => `\
do $$
begin
  perform pg_catalog.set_config(${NOTE}, '${version}', true);
end
$$;
`;

/**
 * An upgrade is one transaction or nothing: statement by statement, a killed session would leave half of two
 * releases. Calls under way end first, and those that come wait or fail with 55P03: none meets half of each.
 */
export const upgradeBegins = (from: string, to: string, newNames: string[]) => `\
${upBegins(to)}
do $$
declare
  v_owner text;${newNames.length ? '\n  v_taken text;' : ''}
begin
${newNames.length ? findTaken(newNames) : ''}\
  if pg_catalog.current_setting(${NOTE}, true) is distinct from '${to}' then
    raise exception 'the upgrade of pgquota from ${from} to ${to} runs in one transaction, and nothing was changed'
      using errcode = '25P01', hint = 'psql -1 -v ON_ERROR_STOP=1 -f …';
  end if;
  if pg_catalog.to_regprocedure('quota.version()') is null then
    raise exception 'pgquota is not installed here, and this is the upgrade from ${from} to ${to}'
      using errcode = '55000', hint = 'the migrations before this one come first';
  end if;
  if quota.version() <> '${from}' then
    raise exception 'pgquota % is installed here, and this is the upgrade from ${from} to ${to}', quota.version()
      using errcode = '55000', hint = 'npx pgquota doctor says what is missing';
  end if;
  select r.rolname into v_owner
    from pg_catalog.pg_namespace as n
    join pg_catalog.pg_roles as r on r.oid = n.nspowner
    where n.nspname = 'quota';
  if v_owner <> current_user then
    raise exception 'pgquota belongs to role %, and the upgrade runs as %', v_owner, current_user
      using errcode = '42501', hint = 'connect as the role that installed it, or set role first';
  end if;
${newNames.length ? REFUSE_TAKEN : ''}\
  perform pg_catalog.set_config('lock_timeout', '10s', true);
  lock table quota.meters in access exclusive mode;
end
$$;
`;

/** Where the note is gone already, each statement is a transaction: psql without -1. */
export const upEnds = (version: string) => `\
do $$
begin
  if pg_catalog.current_setting(${NOTE}, true) is distinct from '${version}' then
    perform pg_catalog.set_config(${NOTE}, '${version}', false);
  end if;
end
$$;
`;

export const down = (version: string) => `\
-- psql and the Supabase CLI come here after the part above, and nothing happens. dbmate's rollback comes
-- alone: a down part that drops would delete the ledger, and one that does nothing would make the next
-- up fail, since all of it is there.
do $$
begin
  if pg_catalog.current_setting(${NOTE}, true) is not distinct from '${version}' then
    perform pg_catalog.set_config(${NOTE}, '', false);
  elsif exists (select from pg_catalog.pg_namespace where nspname = 'quota') then
    raise exception 'pgquota goes forward only, and nothing was rolled back: that would delete the ledger. To take pgquota out, run node_modules/pgquota/sql/optional/remove.sql first'
      using errcode = '0A000';
  end if;
end
$$;
`;
