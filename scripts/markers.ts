/**
 * What stands around the statements of a migration, so that the same file does the right thing for psql and
 * the Supabase CLI, which run all of it, and for dbmate, which runs the part of one marker.
 *
 * A down part that only says "forward only" lets `dbmate rollback` succeed: nothing is undone, the version
 * is forgotten, and the next `up` fails for good. So it raises, when it is run without the up part: that
 * leaves a note of itself, in its transaction, or in its session where each statement commits by itself.
 */
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
