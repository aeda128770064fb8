-- Why this exists: old callers of increment_usage(p_user_id, p_type, p_period_start, p_period_end,
-- p_metadata) keep working while they are moved to consume_usage() one by one. Not part of the
-- migration: run it once, after dropping your own function of that name.
--
-- p_period_start and p_period_end are ignored: the database's clock and the subject's plan decide in
-- which period a use counts. At the limit it raises as enforce_usage() does (HTTP 402 or 429).
create or replace function public.increment_usage(
  p_user_id text,
  p_type text,
  p_period_start timestamptz default null,
  p_period_end timestamptz default null,
  p_metadata jsonb default '{}'
)
returns bigint
language plpgsql
volatile
security invoker
set search_path = pg_catalog, pg_temp
as $$
begin
  return (public.enforce_usage(p_type, 1, p_user_id, null, p_metadata)).used;
end
$$;

comment on function public.increment_usage(text, text, timestamptz, timestamptz, jsonb) is
  'Counts one use and returns how many there are in the period now. The period arguments are ignored. Errors: as enforce_usage.';

revoke all on function public.increment_usage(text, text, timestamptz, timestamptz, jsonb)
  from public, anon, authenticated, service_role;
grant execute on function public.increment_usage(text, text, timestamptz, timestamptz, jsonb)
  to authenticated, service_role;
