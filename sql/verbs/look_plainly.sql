-- What the meter says without a lock: what was committed when it was looked at is a right answer at that
-- moment. So a check costs little, and a refusal waits for nobody and writes nothing. It needs no search
-- for the wait either: without open holds, grants and an end of the plan only resets make room.
create function quota.look_plainly(
  p_caller quota.caller,
  p_feature_id text,
  p_amount bigint,
  p_at timestamptz,
  p_is_part boolean default false
)
returns public.usage_decision
language plpgsql stable security invoker set search_path = pg_catalog, pg_temp
as $$
declare
  v_at timestamptz := p_at;
  v_fresh_from timestamptz;
  v_until timestamptz;
  v_is_only boolean;
  v_plan_id text;
  v_upgrade_url text;
  v_period text;
  v_period_start timestamptz;
  v_period_end timestamptz;
  v_limit bigint;
  v_granted bigint;
  v_carried bigint;
  v_used bigint;
  v_reserved bigint;
  v_is_allowed boolean;
  v_is_told boolean;
begin
  -- The limit with least room stays that: what fits under it fits under all.
  select
      m.fresh_from, least(m.fresh_until, m.holds_expire_at),
      m.refuses and m.plan_ends_at = 'infinity' and m.reserved = 0 and m.long_granted = 0
        and m.long_limits + num_nonnulls(m.minute_limit, m.hour_limit) = 1,
      m.plan_id, m.upgrade_url, m.period, m.period_start, m.period_end, m.allowed, m.granted,
      m.used - m.used_before, m.reserved - m.reserved_before,
      case when m.period = m.long_period then m.long_carried else 0 end,
      (
        m.catalogue_version = (select k.version from quota.catalogue as k)
        and m.fresh_from < 'infinity' and (p_is_part or m.ceiling is not null)
        and (p_caller.is_trusted or not m.server_only) and (p_at is not null
          or m.refuses and m.reserved = 0 and m.used - m.used_before - m.reserved_before >= m.allowed)
      ) is true
    into
      v_fresh_from, v_until, v_is_only, v_plan_id, v_upgrade_url, v_period, v_period_start,
      v_period_end, v_limit, v_granted, v_used, v_reserved, v_carried, v_is_told
    from quota.meters as m
    where m.subject_id = p_caller.subject_id
      and m.feature_id = p_feature_id;
  if v_is_told is not true then
    return case when v_is_told is null then quota.first_use() end;
  end if;
  -- Read here, no moment of it is before what was read.
  if v_at is null then
    v_at := quota.clock();
  end if;
  v_is_allowed := v_used + v_reserved + p_amount > v_limit is not true;
  if v_at < v_fresh_from or v_at >= v_until or not (v_is_allowed or v_is_only) then
    select c.period, c.period_start, c.period_end, c.allowed, c.granted, c.used, c.reserved, c.carried,
        c.fits
      into
        v_period, v_period_start, v_period_end, v_limit, v_granted, v_used, v_reserved,
        v_carried, v_is_allowed
      from quota.look_closely(p_caller, p_feature_id, p_amount, v_at) as c;
    if v_period is null or p_at is null and (v_is_allowed or v_limit > v_used + v_reserved) then
      return null;
    end if;
  end if;
  return row(
    v_is_allowed, case when v_is_allowed then 'ok' else 'limit_reached' end, p_feature_id,
    p_caller.subject_id, v_plan_id, p_amount, v_used, v_reserved, v_limit,
    case when v_limit is not null then greatest(v_limit - v_used - v_reserved, 0) end,
    v_limit is null, v_period, nullif(v_period_start, '-infinity'), nullif(v_period_end, 'infinity'),
    case
      when not v_is_allowed and p_amount <= v_limit and v_period_end < 'infinity'
      then least(greatest(ceil(extract(epoch from v_period_end - v_at)), 1), 2147483647)
    end,
    null, null, false, v_upgrade_url, v_granted, v_carried, p_feature_id, p_caller.subject_id, null
  )::public.usage_decision;
end
$$;

comment on function quota.look_plainly is
  'What the meter remembers says to an amount at an instant, without a lock: allowed, or a refusal if that is plain. No instant: now, and only where a limit is used up, since a call for more than is left waits for what others may be giving back. p_is_part: of a call that takes from other meters, too. allowed is null: ask properly; reason is then first_use where there is no meter.';

create function quota.first_use()
returns public.usage_decision
language plpgsql immutable security invoker set search_path = pg_catalog, pg_temp
as $$
declare
  v_decision public.usage_decision;
begin
  v_decision.reason := 'first_use';
  return v_decision;
end
$$;

comment on function quota.first_use is 'No answer yet: there is no meter.';

-- Of several limits: the one that refuses longest need not be the one with least room.
create function quota.look_closely(
  p_caller quota.caller,
  p_feature_id text,
  p_amount bigint,
  p_at timestamptz,
  out period text,
  out period_start timestamptz,
  out period_end timestamptz,
  out allowed bigint,
  out granted bigint,
  out used bigint,
  out reserved bigint,
  out carried bigint,
  out fits boolean
)
language plpgsql stable security invoker set search_path = pg_catalog, pg_temp
as $$
declare
  v_may_change boolean;
begin
  -- The limit that refuses longest (for ever, where the amount is above it or it never starts again), else
  -- the one with least room.
  select
      m.plan_ends_at < 'infinity' or m.reserved > 0 or m.long_granted > 0 or not m.refuses,
      l.period, l.period_start, l.period_end, l.allowed, l.granted, l.used, l.reserved, l.carried,
      l.used + l.reserved + p_amount > l.allowed is not true
    into
      v_may_change, period, period_start, period_end, allowed, granted, used, reserved, carried,
      fits
    from quota.meters as m
    cross join lateral (
      select case when m.long_period like '% %' then quota.period_rank(m.long_period) else 3 end as rank,
        m.long_period as period, m.long_start as period_start,
        m.long_end as period_end, m.long_allowed as allowed,
        case when m.long_period ~ 'minute|hour' then 0 else m.long_granted end as granted,
        m.used - m.long_used_before as used, m.reserved - m.long_reserved_before as reserved,
        m.long_carried as carried
      where m.long_period is not null
      union all
      select 2, 'hour', date_trunc('hour', p_at, 'UTC'),
        date_trunc('hour', p_at, 'UTC') + interval '1 hour', nullif(m.hour_limit, -1), 0,
        case when p_at < m.hour_until then m.used - m.hour_used_before else 0 end,
        case when p_at < m.hour_until then m.reserved - m.hour_reserved_before else 0 end, 0
      where m.hour_limit is not null
      union all
      select 1, 'minute', date_trunc('minute', p_at, 'UTC'),
        date_trunc('minute', p_at, 'UTC') + interval '1 minute', nullif(m.minute_limit, -1), 0,
        case when p_at < m.minute_until then m.used - m.minute_used_before else 0 end,
        case when p_at < m.minute_until then m.reserved - m.minute_reserved_before else 0 end, 0
      where m.minute_limit is not null
      union all
      -- Of several the tightest is remembered; it need not be the one that refuses longest.
      select quota.period_rank(c.period), c.period, c.period_start, c.period_end, c.last_limit,
        case when c.period ~ 'minute|hour' then 0 else m.long_granted end, m.used - c.used_before,
        m.reserved - c.reserved_before, c.carried
      from quota.counters as c
      where c.subject_id = p_caller.subject_id
        and c.feature_id = p_feature_id
        and c.period_end > p_at
        and c.used is null
        and m.long_limits > 1
        and m.used + m.reserved + p_amount > m.long_ceiling
    ) as l
    where m.subject_id = p_caller.subject_id
      and m.feature_id = p_feature_id
      and m.catalogue_version = (select k.version from quota.catalogue as k)
      and m.fresh_from <= p_at
      and m.long_until > p_at
      and m.holds_expire_at > p_at
      and (p_caller.is_trusted or not m.server_only)
    order by
      l.used + l.reserved + p_amount > l.allowed desc nulls last,
      case
        when l.used + l.reserved + p_amount > l.allowed and (p_amount > l.allowed or l.period_end = 'infinity')
        then l.rank
      end desc nulls last,
      case when l.used + l.reserved + p_amount > l.allowed then l.period_end end desc nulls last,
      l.allowed - l.used - l.reserved,
      l.rank desc
    limit 1;
  if not fits and v_may_change then
    period := null;
  end if;
end
$$;

comment on function quota.look_closely is
  'The limit that look_plainly() shows where a minute or an hour began meanwhile, or several may refuse, and whether the amount fits; no period: ask properly.';
