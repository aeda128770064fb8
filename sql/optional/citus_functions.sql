-- Functions that take another way where subjects are on several nodes: part of citus.sql, which runs it.

-- A lock on a row of the catalogue is one for the whole cluster, and all first uses would wait for each other.
-- A foreign key of the meters looks at the row of their own node instead (citus_tables.sql).
create or replace function quota.hold_features(p_feature_ids text[])
returns void
language plpgsql volatile security invoker set search_path = pg_catalog, pg_temp
as $$
declare
  v_known bigint;
begin
  select count(*)
    into v_known
    from quota.features as f
    where f.feature_id = any (p_feature_ids)
      and f.kind in ('metered', 'gauge');
  if v_known < cardinality(p_feature_ids) then
    perform quota.check_feature(f.feature_id) from unnest(p_feature_ids) as f (feature_id);
  end if;
end
$$;

-- What a call counts in lies on several nodes, and no snapshot is one of all of them: it is asked properly.
create or replace function quota.joint_call_of(
  p_subject_id text,
  p_feature_id text
)
returns quota.joint_call
language plpgsql stable security invoker set search_path = pg_catalog, pg_temp
as $$
begin
  return null;
end
$$;

-- No statement may lock rows of all subjects there, passing over those that are locked. Handing out an alert
-- waits for who holds it instead (2 s at most), and looks again under the lock; at worst one arrives twice,
-- as before.

create or replace function quota.deliver_alerts(p_max integer)
returns setof public.usage_alerts
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp set lock_timeout = '2s'
as $$
declare
  v_now timestamptz := quota.clock();
  v_due record;
  v_alert quota.alerts;
begin
  perform quota.require_trusted();
  if p_max is null or p_max < 1 or p_max > 1000 then
    raise exception 'deliver_alerts: max is %, from 1 to 1000 are handed out at a time',
      coalesce(p_max::text, 'null')
      using errcode = '22023', hint = 'leave it out for 100';
  end if;
  for v_due in
    select d.subject_id, d.alert_id
    from (
      select a.subject_id, a.alert_id, a.at
      from quota.alerts as a
      where a.acknowledged_at is null
        and (
          a.handed_at is null
          or a.handed_at <= v_now - interval '5 minutes'
          or a.handed_at > v_now
        )
      order by a.handed_at nulls first, a.at
      limit p_max
    ) as d
    order by d.at, d.alert_id
  loop
    update quota.alerts as a
      set handed_at = v_now
      where a.subject_id = v_due.subject_id
        and a.alert_id = v_due.alert_id
        and a.acknowledged_at is null
        and (
          a.handed_at is null
          or a.handed_at <= v_now - interval '5 minutes'
          or a.handed_at > v_now
        )
      returning
        a.subject_id, a.feature_id, a.period, a.period_start, a.threshold, a.at, a.used, a.amount,
        a.alert_id, a.handed_at, a.acknowledged_at, a.member
      into v_alert;
    if found then
      return query
        select v_alert.subject_id::text, v_alert.feature_id::text, v_alert.period,
          nullif(v_alert.period_start, '-infinity'), v_alert.threshold, v_alert.at, v_alert.used,
          v_alert.amount, v_alert.alert_id, v_alert.member::text;
    end if;
  end loop;
end
$$;

create or replace function quota.acknowledge_alerts(p_ids uuid[])
returns bigint
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp set lock_timeout = '2s'
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
  update quota.alerts as a
    set acknowledged_at = v_now
    where a.alert_id = any (p_ids)
      and a.acknowledged_at is null;
  get diagnostics v_acknowledged = row_count;
  return v_acknowledged;
end
$$;
