-- Why this exists: somebody must be told, at least once, whatever crashes on the way. An alert is handed
-- out, and handed out again after five minutes unless it was acknowledged. Several deliverers share the
-- work: each skips what another is being handed.
create function quota.deliver_alerts(p_max integer)
returns setof public.usage_alerts
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
set lock_timeout = '2s'
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
        a.alert_id
    )
    select
      h.subject_id, h.feature_id, h.period, nullif(h.period_start, '-infinity'), h.threshold, h.at,
      h.used, h.amount, h.alert_id
    from handed as h
    order by h.at, h.alert_id;
end
$$;

comment on function quota.deliver_alerts(integer) is 'See public.deliver_alerts.';

revoke all on function quota.deliver_alerts(integer)
  from public, anon, authenticated, service_role;
grant execute on function quota.deliver_alerts(integer) to service_role;

create function quota.acknowledge_alerts(p_ids uuid[])
returns bigint
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
set lock_timeout = '2s'
as $$
declare
  v_now timestamptz := quota.clock();
  v_acknowledged bigint;
begin
  perform quota.require_trusted();
  if p_ids is null then
    raise exception 'acknowledge_alerts: ids is null, the alert_id of each alert that arrived is expected'
      using errcode = '22023', hint = 'an empty array acknowledges none';
  end if;
  -- skip locked: who holds one is forgetting it, acknowledging it, or handing it out once more. It
  -- waits for nobody, so it deadlocks with nobody; at worst an alert arrives twice.
  with arrived as (
    select a.subject_id, a.alert_id
    from quota.alerts as a
    where a.alert_id = any (p_ids)
      and a.acknowledged_at is null
    for update skip locked
  )
  update quota.alerts as a
    set acknowledged_at = v_now
    from arrived as r
    where a.subject_id = r.subject_id
      and a.alert_id = r.alert_id;
  get diagnostics v_acknowledged = row_count;
  return v_acknowledged;
end
$$;

comment on function quota.acknowledge_alerts(uuid[]) is 'See public.acknowledge_alerts.';

revoke all on function quota.acknowledge_alerts(uuid[])
  from public, anon, authenticated, service_role;
grant execute on function quota.acknowledge_alerts(uuid[]) to service_role;
