-- Why this exists: the proof. Run it in tests, in monitoring, after an incident.
create function public.verify_usage(
  subject text default null
)
returns setof public.usage_mismatch
language plpgsql
stable
security invoker
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict error
begin
  return query
    select r.subject, r.feature, r.period, r.period_start, r.counted, r.ledger
    from quota.verify_usage(verify_usage.subject) as r;
end
$$;

comment on function public.verify_usage(text) is
  'Compares every counter with its ledger, holds with open reservations, grants with their draws and gauges with the rows of limited tables, of one subject or of all (null). No rows: every number is proved. Each row (subject, feature, period, period_start, counted, ledger) is a number that is not. Reads only. Errors: 42501 not a trusted role.';

revoke all on function public.verify_usage(text)
  from public, anon, authenticated, service_role;
grant execute on function public.verify_usage(text) to service_role;
