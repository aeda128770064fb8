-- Why this exists: notices that a call crosses 80 % or 100 % of a limit. Reads nothing: it is given the
-- limits before and after.
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
  v_alert record;
begin
  for v_alert in
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
    insert into quota.alerts (
      subject_id, feature_id, period, period_start, threshold, at, used, amount
    )
    select
      p_subject_id, p_feature_id, c.period, c.period_start, c.threshold, p_at, c.used, c.allowed
    from crossings as c
    on conflict do nothing
    returning period, threshold, used, amount
  loop
    -- Sent when the transaction commits. Listeners: listen usage_alert;
    perform pg_notify(
      'usage_alert',
      jsonb_build_object(
        'subject', p_subject_id, 'feature', p_feature_id, 'period', v_alert.period,
        'threshold', v_alert.threshold, 'used', v_alert.used, 'limit', v_alert.amount
      )::text
    );
  end loop;
end
$$;

comment on function quota.write_alerts(
  text, text, timestamptz, quota.limit_state[], quota.limit_state[]
) is 'Writes an alert for each threshold that is crossed for the first time in its period, and notifies the channel usage_alert.';

revoke all on function quota.write_alerts(
  text, text, timestamptz, quota.limit_state[], quota.limit_state[]
) from public, anon, authenticated, service_role;
