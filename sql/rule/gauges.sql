-- Gauges at levels. What a gauge shows stands where it stands: files of a team are the team's, and in the
-- organisation's limit there is what it has itself and what those below it have. So nothing is counted twice, and
-- nothing need be moved with a child. Whoever takes holds the meters of all above, which makes it exact.

create function quota.with_below(
  p_limits quota.limit_state[],
  p_subject_id text,
  p_feature_id text,
  p_at timestamptz
)
returns quota.limit_state[]
language plpgsql stable security invoker set search_path = pg_catalog, pg_temp
as $$
declare
  v_limits quota.limit_state[] := p_limits;
  v_below quota.balance;
begin
  if p_limits is null then
    return p_limits;
  end if;
  v_below := quota.below_it(p_subject_id, p_feature_id, p_at);
  if v_below.used is null then
    return p_limits;
  end if;
  for i in 1 .. cardinality(v_limits) loop
    v_limits[i].used := least((v_limits[i]).used + v_below.used, 9007199254740991);
    v_limits[i].reserved := least((v_limits[i]).reserved + v_below.reserved, 9007199254740991);
  end loop;
  return v_limits;
end
$$;

comment on function quota.with_below is
  'The limits of a gauge with what those below the subject have of it.';

create function quota.below_it(
  p_subject_id text,
  p_feature_id text,
  p_at timestamptz
)
returns quota.balance
language plpgsql stable security invoker set search_path = pg_catalog, pg_temp
as $$
declare
  v_below text[] := quota.below(array[p_subject_id]);
  v_balance quota.balance;
begin
  if v_below = '{}' then
    return null;
  end if;
  v_below := v_below || quota.below(v_below);
  select coalesce(sum(m.used), 0), coalesce(sum(m.reserved), 0)
    into v_balance.used, v_balance.reserved
    from quota.meters as m
    where m.subject_id = any (v_below)
      and m.feature_id = p_feature_id;
  -- What has expired there is settled by the next call there.
  select v_balance.reserved - coalesce(sum(r.amount), 0)
    into v_balance.reserved
    from quota.reservations as r
    where r.subject_id = any (v_below)
      and r.feature_id = p_feature_id
      and r.state = 'open'
      and r.expires_at <= p_at;
  return v_balance;
end
$$;

comment on function quota.below_it is
  'What those below a subject have and hold of a gauge; null where there is nobody.';

-- For usage_history and usage_overview. Read as the owner: who reads sees the subject, and not those below it.
create function quota.below_shown(
  p_subject_id text,
  p_feature_id text
)
returns setof quota.balance
language plpgsql stable strict rows 1 security definer set search_path = pg_catalog, pg_temp
as $$
begin
  if (quota.is_trusted() or quota.may_see(quota.user_id(), p_subject_id)) is not true
    or not exists (
      select from quota.features as f where f.feature_id = p_feature_id and f.kind = 'gauge'
    )
  then
    return;
  end if;
  return next quota.below_it(p_subject_id, p_feature_id, quota.clock());
end
$$;

comment on function quota.below_shown is
  'What those below a subject have of a gauge, for whoever may see the subject; no rows, or nulls, where there is none.';

-- At a level above the one that takes: no line, for what is there is below. The meter is written by nothing, so that a
-- call whose snapshot has not this use fails with 40001.
create function quota.note_level(
  p_part quota.part,
  p_amount bigint,
  p_at timestamptz,
  p_allowance quota.allowance,
  p_is_held boolean
)
returns public.usage_decision
language plpgsql volatile security invoker set search_path = pg_catalog, pg_temp
as $$
declare
  v_allowance quota.allowance := p_allowance;
  v_limits quota.limit_state[] := coalesce(p_allowance.limits, '{}');
  v_verdict quota.verdict := quota.decide(p_allowance.limits, p_amount);
begin
  for i in 1 .. cardinality(v_limits) loop
    v_limits[i].used := (v_limits[i]).used + case when p_is_held then 0 else p_amount end;
    v_limits[i].reserved := (v_limits[i]).reserved + case when p_is_held then p_amount else 0 end;
  end loop;
  update quota.meters as m
    set used = m.used
    where m.subject_id = p_part.subject_id
      and m.feature_id = p_part.feature_id;
  perform quota.open_counters(p_part.subject_id, p_part.feature_id, p_at, p_allowance.limits);
  perform quota.write_alerts(
    p_part.subject_id, p_part.feature_id, p_at, p_allowance.limits, v_limits
  );
  v_allowance.limits := v_limits;
  return quota.decision(
    p_part.subject_id, p_part.feature_id, p_amount, v_allowance,
    (quota.decide(nullif(v_limits, '{}'), 0)).shown, quota.allowing_reason(v_verdict)
  );
end
$$;

comment on function quota.note_level is
  'What a use of a gauge below means at this level: its answer, and its alerts. Expects the meter to be locked.';

-- Of rows of limited tables, whose subjects may be merged names.
create function quota.lock_levels(
  p_subject_id text,
  p_feature_ids text[]
)
returns timestamptz
language plpgsql volatile security invoker set search_path = pg_catalog, pg_temp
as $$
declare
  v_levels text[] := quota.levels_of(p_subject_id);
  v_level text;
  v_now timestamptz;
begin
  if cardinality(v_levels) = 1 and cardinality(p_feature_ids) = 1 then
    return quota.lock_meter(p_subject_id, p_feature_ids[1], true);
  end if;
  if cardinality(v_levels) = 1 then
    return quota.lock_meters(p_subject_id, p_feature_ids, true);
  end if;
  -- All exist before the first is locked.
  perform quota.make_meters(
    array(
      select row(l, f, 1, 1, false)::quota.part
      from unnest(v_levels) as l
      cross join unnest(p_feature_ids) as f
    ),
    true
  );
  for v_level in select l from unnest(v_levels) as l order by l collate "C" loop
    v_now := quota.lock_meters(v_level, p_feature_ids, true);
  end loop;
  return v_now;
end
$$;

comment on function quota.lock_levels is
  'Locks the meters of a subject and of all above it, in byte order, and returns the time.';
