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

-- What a call took elsewhere is written down with the call: another question, to all nodes. Lines that wait
-- for 10,000 calls of others to be folded hide those after them until then.
create or replace function quota.lines_to_fold(
  p_subject_id text,
  p_feature_id text,
  p_before timestamptz,
  p_until timestamptz,
  p_now timestamptz,
  p_most bigint
)
returns uuid[]
language plpgsql stable security invoker set search_path = pg_catalog, pg_temp
as $$
declare
  v_open uuid[] := array(
    select g.grant_id
    from quota.grants as g
    where g.subject_id = p_subject_id
      and g.feature_id = p_feature_id
      and g.voided_at is null
      and g.expires_at > p_now
      and not g.is_spent
  );
  v_found uuid[];
  v_tied uuid[];
begin
  v_found := array(
    select e.event_id
    from quota.events as e
    where e.subject_id = p_subject_id
      and e.feature_id = p_feature_id
      and e.counts_at < p_until
      and e.at < p_before
      and e.kind = any (quota.kinds_to_fold())
      and not exists (
        select from quota.reservations as r
        where r.subject_id = p_subject_id
          and r.reservation_id = e.about_id
      )
      and not exists (
        select from quota.keys as k
        where k.subject_id = p_subject_id
          and k.idempotency_key = coalesce(
            e.idempotency_key,
            (
              select b.idempotency_key
              from quota.events as b
              where b.subject_id = p_subject_id
                and b.event_id = e.about_id
                and b.kind = 'batch'
            )
          )
          and k.arguments ->> 'call' <> 'import_usage'
      )
      -- What is about it, or about the same hold: refunds, draws, the end of the hold.
      and not exists (
        select from quota.events as n
        where n.subject_id = p_subject_id
          and n.about_id in (e.event_id, e.about_id)
          and (n.at >= p_before or n.grant_id = any (v_open))
          and n.kind in ('refund', 'commit', 'release', 'expire', 'draw')
      )
      -- A draw goes after what it was for, a refund with its use, or after it: it may have been on its way
      -- when the use was folded.
      and (e.kind not in ('draw', 'refund') or not exists (
        select from quota.events as n
        where n.subject_id = p_subject_id
          and (n.event_id = e.about_id or e.kind = 'draw' and n.about_id = e.about_id)
          and n.kind <> 'draw'
      ))
    order by e.counts_at, e.at
    limit p_most
  );
  -- Where a share is, is known by the call alone.
  v_tied := array(
    select s.share_id
    from quota.shares as s
    where s.share_subject_id = p_subject_id
      and s.share_id = any (
        v_found || array(
          select e.about_id
          from quota.events as e
          where e.subject_id = p_subject_id
            and e.event_id = any (v_found)
        )
      )
  );
  return array(
    select e.event_id
    from quota.events as e
    where e.subject_id = p_subject_id
      and e.event_id = any (v_found)
      and e.event_id <> all (v_tied)
      and coalesce(e.about_id, e.event_id) <> all (v_tied)
    order by e.counts_at, e.at
  );
end
$$;

-- Rows that are brought in are written one by one, as a call writes its line: each asks the node of its
-- subject.
create or replace function quota.write_imports(
  p_rows quota.import_row[],
  p_at timestamptz
)
returns void
language plpgsql volatile security invoker set search_path = pg_catalog, pg_temp
as $$
declare
  v_row quota.import_row;
  v_before quota.limit_state[];
begin
  foreach v_row in array p_rows loop
    v_before := (quota.limits_of(v_row.subject_id, v_row.feature_id, p_at)).limits;
    perform quota.open_counters(
      v_row.subject_id, v_row.feature_id, p_at,
      (quota.limits_of(v_row.subject_id, v_row.feature_id, v_row.counts_at)).limits
    );
    insert into quota.keys (subject_id, owner_id, idempotency_key, bound_at, arguments, answer)
      values (
        v_row.subject_id, '', v_row.idempotency_key, p_at,
        jsonb_build_object('call', 'import_usage', 'amount', v_row.amount),
        jsonb_build_object(
          'row', v_row.place, 'subject', v_row.subject_id, 'feature', v_row.feature_id,
          'amount', v_row.amount, 'action', v_row.action, 'problem', v_row.problem
        )
      );
    perform quota.record(
      row(
        v_row.subject_id, quota.new_id(p_at), p_at, 'import', v_row.feature_id, v_row.counts_at,
        v_row.amount, 0, 0, null, null, v_row.actor, v_row.idempotency_key, v_row.metadata
      )::quota.events
    );
    -- As renew_caps().
    if v_row.actor is not null then
      perform quota.clear_cap(
        v_row.subject_id, v_row.feature_id, quota.account_of(v_row.actor)
      );
    end if;
    update quota.meters as m
      set fresh_from = 'infinity'
      where m.subject_id = v_row.subject_id
        and m.feature_id = v_row.feature_id;
    perform quota.write_alerts(
      v_row.subject_id, v_row.feature_id, p_at, v_before,
      (quota.limits_of(v_row.subject_id, v_row.feature_id, p_at)).limits
    );
  end loop;
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

-- What citus.sql changed is so (citus_nodes.sql writes it down), and users read no table themselves.
create or replace function quota.changed_objects()
returns setof quota.finding
language plpgsql stable security invoker set search_path = pg_catalog, pg_temp
as $$
declare
  v_released constant quota.installed_object[] := array(
    select row(
      coalesce(m.kind, s.kind), coalesce(m.object, s.object), coalesce(s.definition, m.definition)
    )::quota.installed_object
    from quota.release_manifest() as m
    full join quota.spread_manifest() as s on s.kind = m.kind and s.object = m.object
    where (m.kind = 'policy' and m.object ~ '^select_own ') is not true
  );
  v_installed constant quota.installed_object[] := array(
    select row(o.kind, o.object, o.definition)::quota.installed_object
    from quota.installed_objects() as o
  );
begin
  return query
    select d.rank, d.object, d.problem, d.statement, d.is_right
    from unnest(v_released) as r
    join unnest(v_installed) as i on i.kind = r.kind and i.object = r.object
    cross join lateral quota.differences(r.kind, r.object, r.definition, i.definition) as d
    where r.definition is distinct from i.definition
    union all
    select m.rank, m.object, m.problem, m.statement, m.is_right
    from quota.missing_objects(v_released, v_installed) as m
    union all
    select f.rank, f.object, f.problem, f.statement, f.is_right
    from quota.foreign_objects(v_released, v_installed) as f
    union all
    select f.rank, f.object, f.problem, f.statement, f.is_right
    from quota.open_objects(v_released, v_installed) as f;
end
$$;
