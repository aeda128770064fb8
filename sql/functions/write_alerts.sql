-- Why this exists: notices that a call crosses 80 % or 100 % of a limit. Reads nothing: it is given the
-- limits before and after. Sends nothing: NOTIFY takes one lock of the whole server at commit (560 calls/s
-- became 117), so deliver_alerts() hands the rows out afterwards.
create function quota.write_alerts(
  p_subject_id text,
  p_feature_id text,
  p_at timestamptz,
  p_before quota.limit_state[],
  p_after quota.limit_state[]
)
returns void
language plpgsql
volatile
security invoker
set search_path = pg_catalog, pg_temp
as $$
declare
  v_crossing record;
  v_alert_id uuid;
begin
  for v_crossing in
    with crossings as (
      select
        a.period, a.period_start, t.threshold,
        a.used + a.reserved as used,
        a.amount + a.drawn + a.granted as allowed
      from unnest(p_after) as a
      join unnest(p_before) as b on b.period = a.period
      cross join (values (80), (100)) as t (threshold)
      where a.amount is not null
        and (b.used + b.reserved) * 100 < (b.amount + b.drawn + b.granted) * t.threshold
        and (a.used + a.reserved) * 100 >= (a.amount + a.drawn + a.granted) * t.threshold
    )
    select c.period, c.period_start, c.threshold, c.used, c.allowed from crossings as c
  loop
    v_alert_id := quota.new_id(p_at);
    insert into quota.alerts (
      subject_id, feature_id, period, period_start, threshold, at, used, amount, alert_id
    )
    values (
      p_subject_id, p_feature_id, v_crossing.period, v_crossing.period_start,
      v_crossing.threshold, p_at, v_crossing.used, v_crossing.allowed, v_alert_id
    )
    on conflict do nothing;
  end loop;
end
$$;

comment on function quota.write_alerts(
  text, text, timestamptz, quota.limit_state[], quota.limit_state[]
) is 'Writes an alert for each threshold that is crossed for the first time in its period.';

revoke all on function quota.write_alerts(
  text, text, timestamptz, quota.limit_state[], quota.limit_state[]
) from public, anon, authenticated, service_role;
