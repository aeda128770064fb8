-- What is left with the meter after a proper look, holding it: all that consume_usage() and look_plainly()
-- go by. The limits are those after the call.
create function quota.remember(
  p_subject_id text,
  p_feature_id text,
  p_at timestamptz,
  p_allowance quota.allowance
)
returns void
language plpgsql volatile security invoker set search_path = pg_catalog, pg_temp
as $$
declare
  v_limit quota.limit_state;
  v_tightest quota.limit_state;
  v_used bigint;
  v_allowed bigint;
  v_index integer;
  v_room bigint;
  v_granted bigint := 0;
  v_fall bigint := 4611686018427387904;
  v_least bigint;
  v_fresh_until timestamptz;
  v_long_limits bigint := 0;
  v_long_until timestamptz := coalesce(p_allowance.changes_at, 'infinity');
  v_long quota.limit_state;
  v_long_room bigint := 4611686018427387904;
  v_minute quota.limit_state;
  v_minute_room bigint;
  v_hour quota.limit_state;
  v_hour_room bigint;
  v_plain_room bigint;
  v_company record;
  v_refuses boolean := true;
  v_first_mark bigint := (p_allowance.limits[1]).marks[1];
begin
  foreach v_limit in array p_allowance.limits loop
    v_used := v_limit.used + v_limit.reserved;
    v_allowed := v_limit.amount + v_limit.drawn + v_limit.granted;
    -- How many marks use has come to.
    v_index := case
      when v_used < v_allowed then width_bucket(v_used * 100 / nullif(v_allowed, 0), v_limit.marks)
      else cardinality(v_limit.marks)
    end;
    -- When it starts again, what grants gave to it is gone: it may be less than it shows.
    v_refuses := v_refuses and v_limit.slack = 0 and v_limit.rollover is null
      and (v_limit.drawn = 0 or v_limit.resets_at = 'infinity');
    -- Until just before the next mark of an alert; and what is drawn from grants is for the long way, too,
    -- as is what a limit in shadow would refuse.
    v_room := least(
      v_limit.trial,
      coalesce(v_allowed - case when p_allowance.kind = 'metered' then v_limit.granted else 0 end,
        9007199254740991),
      (v_allowed * v_limit.marks[v_index + 1] + 99) / 100 - 1
    ) - v_used;
    -- How far the reading may fall until it has left a mark behind that could be crossed again.
    if v_index > 0 then
      v_fall := least(v_fall, v_used - (v_allowed * v_limit.marks[v_index] + 99) / 100);
    end if;
    if v_limit.trial is not null and v_limit.period in ('minute', 'hour') then
      -- The next one, too, has to be looked at.
      v_long_until := least(v_long_until, v_limit.resets_at);
      v_long_room := least(v_long_room, v_room);
    end if;
    if v_limit.period = 'minute' then
      v_minute := v_limit;
      v_minute_room := v_room;
    elsif v_limit.period = 'hour' then
      v_hour := v_limit;
      v_hour_room := v_room;
    else
      v_long_limits := v_long_limits + 1;
      v_long_until := least(v_long_until, v_limit.resets_at);
      v_long_room := least(v_long_room, v_room);
      v_room := v_allowed - v_used;
      v_granted := greatest(v_granted, v_limit.granted);
      if v_long.period is null or v_room < v_least or v_least is null and v_room is not null
        or v_room is not distinct from v_least
          and quota.period_rank(v_limit.period) > quota.period_rank(v_long.period)
      then
        v_long := v_limit;
        v_least := v_room;
      end if;
    end if;
  end loop;
  if not p_allowance.is_plain then
    v_long_until := least(v_long_until, quota.grants_change_at(p_subject_id, p_feature_id, p_at));
  end if;

  v_company := quota.company_of(p_subject_id, p_feature_id, p_allowance);
  v_plain_room := least(v_long_room, v_hour_room, v_minute_room);
  v_tightest := v_long;
  v_fresh_until := v_long_until;
  foreach v_limit in array array[v_hour, v_minute] loop
    continue when v_limit.period is null;
    v_fresh_until := least(v_fresh_until, v_limit.resets_at);
    v_room := v_limit.amount - v_limit.used - v_limit.reserved;
    if v_tightest.period is null or coalesce(v_room < v_least, v_room is not null)
      or v_room is not distinct from v_least
        and quota.period_rank(v_limit.period) > quota.period_rank(v_tightest.period)
    then
      v_tightest := v_limit;
      v_least := v_room;
    end if;
  end loop;
  update quota.meters as m
    set fresh_from = p_at,
        fresh_until = v_fresh_until,
        catalogue_version = p_allowance.catalogue_version,
        floor = m.used + m.reserved - v_fall,
        ceiling = case when v_company.is_alone then m.used + m.reserved + v_plain_room end,
        joint_ceiling = least(m.used + m.reserved + v_plain_room, 9007199254740991),
        has_caps = v_company.has_caps,
        levels = v_company.levels, lock_order = v_company.lock_order,
        ways = v_company.ways, units = v_company.units, pers = v_company.pers,
        period = v_tightest.period, period_start = v_tightest.period_start, period_end = v_tightest.resets_at,
        allowed = v_tightest.amount + v_tightest.drawn + v_tightest.granted,
        granted = coalesce(v_tightest.granted, 0),
        used_before = coalesce(m.used - v_tightest.used, 0),
        reserved_before = coalesce(m.reserved - v_tightest.reserved, 0),
        minute_limit = case when v_minute.period is not null then coalesce(v_minute.amount, -1) end,
        minute_until = coalesce(v_minute.resets_at, '-infinity'),
        minute_used_before = coalesce(m.used - v_minute.used, 0),
        minute_reserved_before = coalesce(m.reserved - v_minute.reserved, 0),
        minute_alerted = case when m.minute_until = v_minute.resets_at then m.minute_alerted else 0 end,
        hour_limit = case when v_hour.period is not null then coalesce(v_hour.amount, -1) end,
        hour_until = coalesce(v_hour.resets_at, '-infinity'),
        hour_used_before = coalesce(m.used - v_hour.used, 0),
        hour_reserved_before = coalesce(m.reserved - v_hour.reserved, 0),
        hour_alerted = case when m.hour_until = v_hour.resets_at then m.hour_alerted else 0 end,
        hour_ceiling = m.used + m.reserved + v_hour_room,
        first_mark = coalesce(v_first_mark, 80),
        refuses = v_refuses,
        long_limits = v_long_limits,
        long_until = v_long_until,
        long_ceiling = m.used + m.reserved + v_long_room,
        long_period = v_long.period, long_start = v_long.period_start, long_end = v_long.resets_at,
        long_allowed = v_long.amount + v_long.drawn + v_long.granted,
        long_granted = v_granted,
        long_carried = coalesce(v_long.carried, 0),
        long_used_before = coalesce(m.used - v_long.used, 0),
        long_reserved_before = coalesce(m.reserved - v_long.reserved, 0),
        plan_ends_at = coalesce(p_allowance.changes_at, 'infinity'),
        plan_id = p_allowance.plan_id, upgrade_url = p_allowance.upgrade_url,
        server_only = p_allowance.server_only
    where m.subject_id = p_subject_id
      and m.feature_id = p_feature_id
      -- A clock that was set back has lines ahead of it, which no minute that begins may find.
      and not exists (
        select from quota.events as e
        where e.subject_id = p_subject_id
          and e.feature_id = p_feature_id
          and e.counts_at > p_at
      )
      -- What goes up and down with those below it is never plain.
      and (p_allowance.kind <> 'gauge' or v_company.is_alone)
      -- An open counter that a former plan left behind is no limit.
      and v_long_limits = (
        select count(*)
        from quota.counters as c
        where c.subject_id = p_subject_id
          and c.feature_id = p_feature_id
          and c.period_end > p_at
      );
end
$$;

comment on function quota.remember is
  'Leaves the limits of a feature, as they are after the call, with its meter.';

create function quota.grants_change_at(
  p_subject_id text,
  p_feature_id text,
  p_at timestamptz
)
returns timestamptz
language plpgsql stable strict security invoker set search_path = pg_catalog, pg_temp
as $$
declare
  v_at timestamptz;
begin
  select min(case when g.granted_at > p_at then g.granted_at else g.expires_at end)
    into v_at
    from quota.grants as g
    where g.subject_id = p_subject_id
      and g.feature_id = p_feature_id
      and g.expires_at > p_at
      and g.voided_at is null
      and not g.is_spent;
  return v_at;
end
$$;

comment on function quota.grants_change_at is 'When the next grant that is not spent begins or ends; null: none does.';
