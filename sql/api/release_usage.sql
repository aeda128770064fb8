-- Why this exists: the work failed or was abandoned, and costs nothing.
create function public.release_usage(
  reservation_id uuid,
  subject text default null
)
returns public.usage_decision
language plpgsql
volatile
security invoker
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict error
begin
  return quota.release_usage(reservation_id, subject);
end
$$;

comment on function public.release_usage(uuid, text) is
  'Gives a hold back. Repeated, it gives the first answer again (replayed = true); a hold that has expired is given back already, and releasing it only rules out a late commit. subject is not needed; it routes the call where the data is sharded. Errors: QRSRV no such reservation, committed already, or of another subject than the named one; 42501 not a trusted role; 55P03 retry.';

revoke all on function public.release_usage(uuid, text)
  from public, anon, authenticated, service_role;
grant execute on function public.release_usage(uuid, text) to service_role;
