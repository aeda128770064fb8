-- Old callers of increment_usage(p_user_id, p_type, p_period_start, p_period_end,
-- p_metadata) keep working while they are moved to consume_usage() one by one. Not part of the
-- migration: run it once, over your own function of that name.
--
-- The types of the parameters and of the result are those that your function has now (the usual ones
-- stand here): then it stays the same function, and callers that know it from before (a prepared
-- statement, PostgREST until it reads its schema anew) find it. With another user id, such as text,
-- write that everywhere below; a function that returns something returns (….used) of the decision.
--
-- p_period_start and p_period_end are ignored: the database's clock and the subject's plan decide in
-- which period a use counts. At the limit it raises as enforce_usage() does (HTTP 402 or 429).
create or replace function public.increment_usage(
  p_user_id uuid,
  p_type text,
  p_period_start timestamptz default null,
  p_period_end timestamptz default null,
  p_metadata jsonb default '{}'
)
returns void
language plpgsql
volatile
security invoker
set search_path = pg_catalog, pg_temp
as $$
begin
  perform public.enforce_usage(p_type, 1, p_user_id::text, null, p_metadata);
end
$$;

comment on function public.increment_usage(uuid, text, timestamptz, timestamptz, jsonb) is
  'Counts one use. The period arguments are ignored. Errors: as enforce_usage.';

revoke all on function public.increment_usage(uuid, text, timestamptz, timestamptz, jsonb)
  from public, anon, authenticated, service_role;
grant execute on function public.increment_usage(uuid, text, timestamptz, timestamptz, jsonb)
  to authenticated, service_role;

-- Beside a function with other types this would be a second one: old callers would still reach the
-- first, and over REST both would answer 300.
do $$
declare
  v_others text;
begin
  select string_agg(p.oid::regprocedure::text, ', ')
    into v_others
    from pg_catalog.pg_proc as p
    where p.pronamespace = 'public'::regnamespace
      and p.proname = 'increment_usage'
      and p.oid <> 'public.increment_usage(uuid, text, timestamptz, timestamptz, jsonb)'::regprocedure;
  if v_others is not null then
    raise exception 'increment_usage: your function has other types: %', v_others
      using errcode = '42723', hint = 'write its types in this text, and run it again';
  end if;
end
$$;
