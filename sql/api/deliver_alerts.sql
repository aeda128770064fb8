-- Why this exists: for whoever tells people of alerts: npx pgquota alerts, or a job of the app.
create function public.deliver_alerts(
  max integer default 100
)
returns setof public.usage_alerts
language plpgsql
volatile
security invoker
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict error
begin
  return query
    select
      a.subject, a.feature, a.period, a.period_start, a.threshold, a.at, a.used, a.limit, a.alert_id
    from quota.deliver_alerts(deliver_alerts.max) as a;
end
$$;

comment on function public.deliver_alerts(integer) is
  'Hands out up to max alerts that nobody was handed yet, oldest first. Each comes again after 5 minutes unless it is acknowledged, so every alert is delivered at least once: tell a repeated one by its alert_id. Several may call it at once; each is handed others. Errors: 22023 max is not from 1 to 1000; 42501 not a trusted role.';

revoke all on function public.deliver_alerts(integer)
  from public, anon, authenticated, service_role;
grant execute on function public.deliver_alerts(integer) to service_role;
