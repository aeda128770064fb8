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

-- As hold_features(): subjects have a foreign key to their plan.
create or replace function quota.hold_plans(p_plan_ids text[])
returns void
language plpgsql volatile security invoker set search_path = pg_catalog, pg_temp
as $$
declare
  v_known text[] := array(select p.plan_id from quota.plans as p where p.plan_id = any (p_plan_ids));
  v_unknown text := (
    select min(u.plan_id) from unnest(p_plan_ids) as u (plan_id) where u.plan_id <> all (v_known)
  );
begin
  if v_unknown is not null then
    raise exception 'unknown plan %', quote_literal(left(v_unknown, 100))
      using errcode = 'QPLAN', hint = 'plans come from the plan document; see plan_catalog';
  end if;
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

-- A call's shares lie with who called, on any node, and no statement joins them to lines of the organisation:
-- line by line instead, when a cap is met for the first time.
create or replace function quota.member_uses(
  p_cap_id text,
  p_feature_id text,
  p_from timestamptz
)
returns table (
  call_subject_id text, call_id uuid, feature_id text, units bigint, per bigint, is_price boolean,
  counts_at timestamptz, used bigint, held bigint, expires_at timestamptz, state text
)
language plpgsql stable security invoker set search_path = pg_catalog, pg_temp
as $$
declare
  v_holder_id text := quota.cap_holder(p_cap_id);
  v_names text[] := quota.names_of(quota.cap_member(p_cap_id));
  v_line record;
  v_given record;
  v_share record;
  v_hold record;
  v_call_id uuid;
  v_uses jsonb := '[]';
begin
  for v_line in
    select e.event_id, e.about_id, e.kind, e.counts_at, e.used_change
    from quota.events as e
    where e.subject_id = v_holder_id
      and e.feature_id = p_feature_id
      and e.counts_at >= p_from
      and e.actor = any (v_names)
      and (e.used_change <> 0 or e.kind = 'reserve')
      and e.kind not in ('reset', 'carry')
  loop
    v_given := v_line;
    if v_line.kind = 'refund' then
      select o.event_id, o.about_id, o.kind
        into v_given
        from quota.events as o
        where o.subject_id = v_holder_id
          and o.event_id = v_line.about_id;
      if not found then
        v_given := v_line;
      end if;
    end if;
    select s.subject_id, s.call_id, s.feature_id, s.units, s.per, s.share_id
      into v_share
      from quota.shares as s
      where s.share_subject_id = v_holder_id
        and s.share_feature_id = p_feature_id
        and s.share_id in (v_given.event_id, v_given.about_id);
    v_call_id := coalesce(
      v_share.call_id,
      case when v_given.kind in ('consume', 'import') then v_given.event_id else v_given.about_id end
    );
    select h.amount, h.expires_at, h.state
      into v_hold
      from quota.reservations as h
      where h.subject_id = v_holder_id
        and h.reservation_id = coalesce(v_share.share_id, v_call_id)
        and h.state in ('open', 'expired');
    v_uses := v_uses || jsonb_build_object(
      'subject_id', coalesce(v_share.subject_id, v_holder_id), 'call_id', v_call_id,
      'feature_id', coalesce(v_share.feature_id, p_feature_id), 'units', coalesce(v_share.units, 1),
      'per', coalesce(v_share.per, 1), 'counts_at', v_line.counts_at, 'used', v_line.used_change,
      'held', coalesce(v_hold.amount, 0), 'expires_at', v_hold.expires_at, 'state', v_hold.state
    );
  end loop;
  return query
    select c.subject_id, c.call_id, c.feature_id, c.units, c.per, c.feature_id <> p_feature_id,
      min(c.counts_at), sum(c.used)::bigint, c.held, c.expires_at, c.state
    from jsonb_to_recordset(v_uses) as c (
      subject_id text, call_id uuid, feature_id text, units bigint, per bigint, counts_at timestamptz,
      used bigint, held bigint, expires_at timestamptz, state text
    )
    group by c.subject_id, c.call_id, c.feature_id, c.units, c.per, c.held, c.expires_at, c.state
    having sum(c.used) <> 0 or c.state is not null;
end
$$;
