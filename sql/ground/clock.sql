-- The only reader of time. Not now(): a transaction held open over midnight must
-- not count into yesterday. Tests replace this function; there is no setting that moves it.
create function quota.clock()
returns timestamptz
language plpgsql volatile security invoker set search_path = pg_catalog, pg_temp
as $$
begin
  return clock_timestamp();
end
$$;

comment on function quota.clock is 'The time by which everything is decided and counted.';
