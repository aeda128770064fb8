-- For whoever tells people of alerts: npx pgquota alerts, or a job of the app.
create function public.deliver_alerts(
  max integer default 100
)
returns setof public.usage_alerts
language plpgsql volatile security invoker set search_path = pg_catalog, pg_temp
as $$
#variable_conflict error
begin
  return query
    select
      a.subject, a.feature, a.period, a.period_start, a.threshold, a.at, a.used, a.limit, a.alert_id,
      a.member
    from quota.deliver_alerts(deliver_alerts.max) as a;
end
$$;

comment on function public.deliver_alerts is
  'Hands out up to max alerts that nobody was handed yet, oldest first. Each comes again after 5 minutes unless it is acknowledged, so every alert is delivered at least once: tell a repeated one by its alert_id. Several may call it at once; each is handed others. Errors: 22023 max is not from 1 to 1000; 42501 not a trusted role.';

-- Somebody must be told, at least once, whatever crashes on the way. An alert is handed
-- out, and handed out again after five minutes unless it was acknowledged. Several deliverers share the
-- work: each skips what another is being handed.
create function quota.deliver_alerts(p_max integer)
returns setof public.usage_alerts
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp set lock_timeout = '2s'
as $$
declare
  v_now timestamptz := quota.clock();
begin
  perform quota.require_trusted();
  if p_max is null or p_max < 1 or p_max > 1000 then
    raise exception 'deliver_alerts: max is %, from 1 to 1000 are handed out at a time',
      coalesce(p_max::text, 'null')
      using errcode = '22023', hint = 'leave it out for 100';
  end if;

  return query
    with due as (
      select a.subject_id, a.alert_id
      from quota.alerts as a
      where a.acknowledged_at is null
        and (
          a.handed_at is null
          or a.handed_at <= v_now - interval '5 minutes'
          -- The clock was set back: nobody waits until it comes there again.
          or a.handed_at > v_now
        )
      -- New ones first: a receiver that refuses some does not hold up the others.
      order by a.handed_at nulls first, a.at
      limit p_max
      for update skip locked
    ),
    handed as (
      update quota.alerts as a
        set handed_at = v_now
        from due as d
        where a.subject_id = d.subject_id
          and a.alert_id = d.alert_id
      returning
        a.subject_id, a.feature_id, a.period, a.period_start, a.threshold, a.at, a.used, a.amount,
        a.alert_id, a.member
    )
    select
      h.subject_id, h.feature_id, h.period, nullif(h.period_start, '-infinity'), h.threshold, h.at,
      h.used, h.amount, h.alert_id, h.member
    from handed as h
    order by h.at, h.alert_id;
end
$$;

comment on function quota.deliver_alerts is 'See public.deliver_alerts.';
