-- What is done in sets on one node, and row by row, or in two questions, on several: part of citus.sql.

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
    insert into quota.keys (subject_id, owner_id, idempotency_key, bound_at, arguments, answers)
      values (
        v_row.subject_id, '', v_row.idempotency_key, p_at,
        jsonb_build_object('call', 'import_usage', 'amount', v_row.amount),
        '{}'
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
