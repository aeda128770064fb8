-- The first use of a feature is nearly always plain: the subject has nothing above it and nothing of its
-- own, and is on a plan that stays, whose limits refuse what does not fit and have room up to their first
-- mark. Nothing was used, held or granted yet, so all that take() would find out in turn is known: the
-- meter is written once, as remember() would leave it, its counter as open_counters() would, and the line.
--
-- What was read holds: set_plan() and all who change the terms wait for the subject's row. Of several
-- first uses at once one makes the meter; the others wait for it at the insert, have written nothing, and
-- ask properly.
create function quota.take_first(
  p_caller quota.caller,
  p_feature_id text,
  p_amount bigint,
  p_metadata jsonb
)
returns public.usage_decision
language plpgsql volatile security invoker set search_path = pg_catalog, pg_temp
as $$
declare
  v_terms record;
  v_at timestamptz;
  v_meter quota.meters;
  v_id uuid;
begin
  if not quota.hold_subject(p_caller.subject_id, array[p_feature_id], false) then
    return null;
  end if;
  select s.plan_id, s.anchor_at, s.time_zone
    into v_terms
    from quota.subjects as s
    where s.subject_id = p_caller.subject_id
      and s.parent_id is null
      and not s.has_extras
      and s.plan_ends_at is null
      and not exists (
        select from quota.caps as c where c.subject_id = s.subject_id and c.feature_id = p_feature_id
      );
  if not found then
    return null;
  end if;
  v_at := quota.clock();
  v_meter := quota.first_meter(
    p_feature_id, p_amount, v_at, v_terms.plan_id, v_terms.anchor_at, v_terms.time_zone
  );
  if v_meter.period is null
    or v_meter.server_only and p_caller.is_trusted is not true
    or not quota.insert_meter(p_caller.subject_id, p_feature_id, p_amount, v_at, v_meter)
  then
    return null;
  end if;
  -- As new_id(), without a call.
  v_id := (
    lpad(to_hex((date_part('epoch', v_at) * 1000)::bigint), 12, '0')
    || '7' || right(gen_random_uuid()::text, 21)
  )::uuid;
  insert into quota.events (
    subject_id, event_id, at, kind, feature_id, counts_at, used_change, reserved_change, actor, metadata
  )
  values (
    p_caller.subject_id, v_id, v_at, 'consume', p_feature_id, v_at, p_amount, 0, p_caller.actor,
    p_metadata
  );
  return row(
    true, 'ok', p_feature_id, p_caller.subject_id, v_meter.plan_id, p_amount, p_amount, 0,
    v_meter.allowed, v_meter.allowed - p_amount, v_meter.allowed is null, v_meter.period,
    nullif(v_meter.period_start, '-infinity'), nullif(v_meter.period_end, 'infinity'), null, v_id, null,
    false, v_meter.upgrade_url, 0, 0, p_feature_id, p_caller.subject_id, null
  )::public.usage_decision;
end
$$;

comment on function quota.take_first is
  'Counts the first use of a feature, which has no meter yet, where that is plain. Null: ask properly, nothing was counted. Errors: QFEAT.';

create function quota.first_meter(
  p_feature_id text,
  p_amount bigint,
  p_at timestamptz,
  p_plan_id text,
  p_anchor_at timestamptz,
  p_time_zone text
)
returns quota.meters
language plpgsql stable security invoker set search_path = pg_catalog, pg_temp
as $$
declare
  v_limit record;
  v_span record;
  v_meter quota.meters;
begin
  -- The one with least room comes last, as decide() chooses it; before all others one that is not plain.
  for v_limit in
    select l.period, l.amount, r.mark, p.plan_id, p.upgrade_url, f.server_only,
      f.marks[1] as first_mark, (select k.version from quota.catalogue as k) as version,
      f.kind = 'metered' and l.mode = 'hard' and l.rollover is null and l.grace is null
        and l.period not like '% %' and p_amount <= r.mark and p.moves_from is null
        and not exists (select from quota.feature_costs as c where c.feature_id = l.feature_id)
        and not exists (
          select from quota.member_limits as c
          where c.plan_id = l.plan_id
            and c.feature_id = l.feature_id
        ) as is_plain
    from quota.plans as p
    join quota.plan_limits as l on l.plan_id = p.plan_id and l.feature_id = p_feature_id
    join quota.features as f on f.feature_id = l.feature_id
    cross join lateral (
      select
        least(coalesce(l.amount, 9007199254740991), (l.amount * f.marks[1] + 99) / 100 - 1) as mark
    ) as r
    where p.plan_id = coalesce(
        p_plan_id, (select d.plan_id from quota.plans as d where d.is_default)
      )
    order by is_plain, l.amount desc nulls first, l.period = 'minute' desc, l.period = 'hour' desc
  loop
    -- Of several of a day and longer, take() opens the counters.
    if not v_limit.is_plain
      or v_limit.period not in ('minute', 'hour') and v_meter.long_period is not null
    then
      return null;
    end if;
    v_span := quota.period_of(v_limit.period, p_at, p_anchor_at, p_time_zone);
    v_meter.fresh_until := least(v_meter.fresh_until, v_span.resets_at);
    v_meter.ceiling := least(v_meter.ceiling, v_limit.mark);
    if v_limit.period = 'minute' then
      v_meter.minute_limit := coalesce(v_limit.amount, -1);
      v_meter.minute_until := v_span.resets_at;
    elsif v_limit.period = 'hour' then
      v_meter.hour_limit := coalesce(v_limit.amount, -1);
      v_meter.hour_until := v_span.resets_at;
      v_meter.hour_ceiling := v_limit.mark;
    else
      v_meter.long_period := v_limit.period;
      v_meter.long_start := v_span.period_start;
      v_meter.long_end := v_span.resets_at;
      v_meter.long_allowed := v_limit.amount;
      v_meter.long_ceiling := v_limit.mark;
    end if;
  end loop;
  -- No limit; or no edition, after a copy of the schema alone.
  if v_limit.version is null then
    return null;
  end if;
  v_meter.period := v_limit.period;
  v_meter.period_start := v_span.period_start;
  v_meter.period_end := v_span.resets_at;
  v_meter.allowed := v_limit.amount;
  v_meter.plan_id := v_limit.plan_id;
  v_meter.upgrade_url := v_limit.upgrade_url;
  v_meter.server_only := v_limit.server_only;
  v_meter.first_mark := v_limit.first_mark;
  v_meter.catalogue_version := v_limit.version;
  return v_meter;
end
$$;

comment on function quota.first_meter is
  'What a meter of the feature would remember after an amount as its first use, on a plan (null: the default plan). No period: that is not plain.';

create function quota.insert_meter(
  p_subject_id text,
  p_feature_id text,
  p_amount bigint,
  p_at timestamptz,
  p_meter quota.meters
)
returns boolean
language plpgsql volatile security invoker set search_path = pg_catalog, pg_temp
as $$
begin
  insert into quota.meters (
    subject_id, feature_id, used, counted_until, open_from, open_until, minute_until, hour_until,
    fresh_from, fresh_until, catalogue_version, floor, ceiling, joint_ceiling, period, period_start,
    period_end, allowed, minute_limit, hour_limit, hour_ceiling, first_mark, long_limits, long_until,
    long_ceiling, long_period, long_start, long_end, long_allowed, plan_id, upgrade_url, server_only,
    levels, units, pers
  )
  values (
    p_subject_id, p_feature_id, p_amount, p_at, coalesce(p_meter.long_start, '-infinity'),
    coalesce(p_meter.long_end, 'infinity'), coalesce(p_meter.minute_until, '-infinity'),
    coalesce(p_meter.hour_until, '-infinity'), p_at, p_meter.fresh_until, p_meter.catalogue_version,
    p_amount - 4611686018427387904, p_meter.ceiling, p_meter.ceiling, p_meter.period,
    p_meter.period_start, p_meter.period_end, p_meter.allowed, p_meter.minute_limit,
    p_meter.hour_limit, p_meter.hour_ceiling, coalesce(p_meter.first_mark, 80),
    (p_meter.long_period is not null)::integer, coalesce(p_meter.long_end, 'infinity'),
    case
      when p_meter.long_period is null then p_amount + 4611686018427387904
      else p_meter.long_ceiling
    end,
    p_meter.long_period, p_meter.long_start, p_meter.long_end, p_meter.long_allowed, p_meter.plan_id,
    p_meter.upgrade_url, p_meter.server_only, array[p_subject_id], array[1], array[1]
  )
  on conflict do nothing;
  if not found then
    return false;
  end if;
  -- It may have waited for one that was rolled back: into another period, or over other limits.
  if quota.clock() >= p_meter.fresh_until
    or p_meter.catalogue_version is distinct from (select k.version from quota.catalogue as k)
  then
    delete from quota.meters as m
      where m.subject_id = p_subject_id
        and m.feature_id = p_feature_id;
    return false;
  end if;
  if p_meter.long_period is not null then
    insert into quota.counters (
      subject_id, feature_id, period, period_start, period_end, used_before, reserved_before,
      drawn_before, last_limit, own, mode
    )
    values (
      p_subject_id, p_feature_id, p_meter.long_period, p_meter.long_start, p_meter.long_end, 0, 0,
      0, p_meter.long_allowed, p_meter.long_allowed, 'hard'
    );
  end if;
  return true;
end
$$;

comment on function quota.insert_meter is
  'Makes a meter, with its counter, that was first used by an amount and remembers what first_meter() found. False: another call has made it meanwhile, or what was found is over already; nothing is left.';
