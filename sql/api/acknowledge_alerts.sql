-- Why this exists: the other half of deliver_alerts(): only what has arrived is not sent again.
create function public.acknowledge_alerts(
  ids uuid[]
)
returns bigint
language plpgsql
volatile
security invoker
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict error
begin
  return quota.acknowledge_alerts(ids);
end
$$;

comment on function public.acknowledge_alerts(uuid[]) is
  'Says that these alerts have arrived (ids are their alert_id): they are not handed out again. Returns how many were acknowledged now; unknown ones and those acknowledged before are passed over. Errors: 22023 no array; 42501 not a trusted role.';

revoke all on function public.acknowledge_alerts(uuid[])
  from public, anon, authenticated, service_role;
grant execute on function public.acknowledge_alerts(uuid[]) to service_role;
