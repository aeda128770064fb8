-- Why this exists: speed. What a call costs is the number of functions, statements and expressions it
-- goes through, since Postgres sets each up anew in every transaction (9 µs for a look-up, 3 for a
-- function, 1 for an assignment). Asking properly (limits_of(), decide(), record()) costs 5 times a plain
-- call; so a plain call is one update of the meter, under the ceiling that the last proper look left
-- there, and its line. It knows nothing of plans, and it never decides: it recognises calls for which
-- the long way could only say yes (see sql/tables/meters.sql and sql/README.md for why that is exact).

create function quota.take_plainly(
  p_caller quota.caller,
  p_feature_id text,
  p_amount bigint,
  p_kind text,
  p_idempotency_key text,
  p_arguments jsonb,
  p_metadata jsonb,
  p_ttl interval default null,
  p_about_id uuid default null,
  p_judged_at timestamptz default null
)
returns public.usage_decision
language plpgsql
volatile
security invoker
set search_path = pg_catalog, pg_temp
as $$
declare
  v_now timestamptz := p_judged_at;
  v_used_change bigint := case when p_ttl is null then p_amount else 0 end;
  v_fresh_from timestamptz;
  v_until timestamptz;
  v_long_until timestamptz;
  v_version bigint;
  v_plan_id text;
  v_upgrade_url text;
  v_period text;
  v_period_start timestamptz;
  v_period_end timestamptz;
  v_limit bigint;
  v_granted bigint;
  v_used bigint;
  v_reserved bigint;
  v_event_id uuid;
  v_reservation_id uuid;
  v_decision public.usage_decision;
begin
  -- A snapshot of a whole transaction may be older than the catalogue.
  if current_setting('transaction_isolation') <> 'read committed' then
    return null;
  end if;
  -- Where it waits for the row, Postgres looks at the conditions again, in what was committed meanwhile.
  update quota.meters as m
    set used = m.used + v_used_change,
        reserved = m.reserved + p_amount - v_used_change,
        rows_used = m.rows_used + case when p_kind = 'table' then p_amount else 0 end
    where m.subject_id = p_caller.subject_id
      and m.feature_id = p_feature_id
      and m.fresh_from < 'infinity'
      and m.used + m.reserved >= m.floor
      and m.used + m.reserved + p_amount <= m.ceiling
      and (p_caller.is_trusted or not m.server_only)
    returning
      m.fresh_from, least(m.fresh_until, m.holds_expire_at),
      least(m.long_until, m.holds_expire_at), m.catalogue_version, m.plan_id, m.upgrade_url,
      m.period, m.period_start, m.period_end, m.allowed, m.granted,
      m.used - m.used_before, m.reserved - m.reserved_before
    into
      v_fresh_from, v_until, v_long_until, v_version, v_plan_id, v_upgrade_url,
      v_period, v_period_start, v_period_end, v_limit, v_granted, v_used, v_reserved;
  if not found then
    return null;
  end if;
  -- The time is read under the lock: what began while the call waited holds for it.
  if v_now is null then
    v_now := quota.clock();
  end if;
  if v_now < v_fresh_from or v_now >= v_until then
    if v_now >= v_fresh_from and v_now < v_long_until then
      -- Only a minute or an hour has ended.
      select w.period, w.period_start, w.period_end, w.allowed, w.granted, w.used, w.reserved
        into v_period, v_period_start, v_period_end, v_limit, v_granted, v_used, v_reserved
        from quota.begin_windows(
          p_caller.subject_id, p_feature_id, v_now, p_amount, v_used_change
        ) as w;
    else
      v_period := null;
    end if;
    if v_period is null then
      perform quota.take_back(p_caller.subject_id, p_feature_id, p_kind, p_amount, v_used_change);
      return null;
    end if;
  end if;

  v_event_id := quota.new_id(v_now);
  if p_ttl is not null then
    v_reservation_id := quota.new_id(v_now);
  end if;
  v_decision := row(
    true, 'ok', p_feature_id, p_caller.subject_id, v_plan_id, p_amount, v_used, v_reserved, v_limit,
    v_limit - v_used - v_reserved, v_limit is null, v_period, nullif(v_period_start, '-infinity'),
    nullif(v_period_end, 'infinity'), null, case when p_ttl is null then v_event_id end,
    v_reservation_id, false, v_upgrade_url, v_granted
  )::public.usage_decision;
  -- The key goes before the line: when it is taken, nothing was counted.
  if p_idempotency_key is not null then
    insert into quota.keys (
      subject_id, is_server, idempotency_key, bound_at, arguments, answer
    )
    values (
      p_caller.subject_id, p_caller.is_trusted, p_idempotency_key, v_now, p_arguments,
      to_jsonb(v_decision)
    )
    on conflict do nothing;
    if not found then
      perform quota.take_back(p_caller.subject_id, p_feature_id, p_kind, p_amount, v_used_change);
      return null;
    end if;
  end if;
  -- A statement after the lock: is the catalogue still the edition that is remembered?
  insert into quota.events (
    subject_id, event_id, at, kind, feature_id, counts_at, used_change, reserved_change, about_id,
    actor, idempotency_key, metadata
  )
    select
      p_caller.subject_id, v_event_id, v_now, p_kind, p_feature_id, v_now, v_used_change,
      p_amount - v_used_change, coalesce(v_reservation_id, p_about_id), p_caller.actor,
      p_idempotency_key, p_metadata
    from quota.catalogue as k
    where k.version = v_version
      or p_judged_at is not null;
  if not found then
    perform quota.take_back(p_caller.subject_id, p_feature_id, p_kind, p_amount, v_used_change);
    delete from quota.keys as k
      where k.subject_id = p_caller.subject_id
        and k.is_server = p_caller.is_trusted
        and k.idempotency_key = p_idempotency_key;
    return null;
  end if;
  if p_ttl is not null then
    perform quota.write_hold(
      p_caller.subject_id, v_reservation_id, p_feature_id, p_amount, v_now, p_ttl
    );
  end if;
  return v_decision;
end
$$;

comment on function quota.take_plainly(
  quota.caller, text, bigint, text, text, jsonb, jsonb, interval, uuid, timestamptz
) is
  'Counts (or, given a ttl, holds) in one step, if what the meter remembers says that there is room. Null: nothing was counted, ask properly. p_judged_at: the call was judged at that instant, under the lock.';

revoke all on function quota.take_plainly(
  quota.caller, text, bigint, text, text, jsonb, jsonb, interval, uuid, timestamptz
) from public, anon, authenticated, service_role;

-- A minute or hour begins, and nothing else changes: its start is the reading before this call. No line
-- counts in an instant after the one at which the meter was last remembered (remember() has looked).
create function quota.begin_windows(
  p_subject_id text,
  p_feature_id text,
  p_at timestamptz,
  p_amount bigint,
  p_used_change bigint,
  out period text,
  out period_start timestamptz,
  out period_end timestamptz,
  out allowed bigint,
  out granted bigint,
  out used bigint,
  out reserved bigint
)
language plpgsql
volatile
security invoker
set search_path = pg_catalog, pg_temp
as $$
declare
  v_meter quota.meters;
  v_total bigint;
begin
  select m.used, m.reserved, m.long_ceiling, m.long_until, m.long_period, m.long_start, m.long_end,
      m.long_allowed, m.long_granted, m.long_used_before, m.long_reserved_before,
      m.hour_limit, m.hour_until, m.hour_used_before, m.hour_reserved_before, m.hour_alerted,
      m.hour_ceiling, m.minute_limit, m.minute_until, m.minute_used_before, m.minute_reserved_before,
      m.minute_alerted
    into v_meter.used, v_meter.reserved, v_meter.long_ceiling, v_meter.long_until,
      v_meter.long_period, v_meter.long_start, v_meter.long_end, v_meter.long_allowed,
      v_meter.long_granted, v_meter.long_used_before, v_meter.long_reserved_before,
      v_meter.hour_limit, v_meter.hour_until, v_meter.hour_used_before, v_meter.hour_reserved_before,
      v_meter.hour_alerted, v_meter.hour_ceiling, v_meter.minute_limit, v_meter.minute_until,
      v_meter.minute_used_before, v_meter.minute_reserved_before, v_meter.minute_alerted
    from quota.meters as m
    where m.subject_id = p_subject_id
      and m.feature_id = p_feature_id;
  v_total := v_meter.used + v_meter.reserved - p_amount;
  v_meter.ceiling := v_meter.long_ceiling;
  v_meter.fresh_until := v_meter.long_until;
  period := v_meter.long_period;
  period_start := v_meter.long_start;
  period_end := v_meter.long_end;
  allowed := v_meter.long_allowed;
  granted := v_meter.long_granted;
  used := v_meter.used - v_meter.long_used_before;
  reserved := v_meter.reserved - v_meter.long_reserved_before;

  if v_meter.hour_limit is not null then
    if p_at >= v_meter.hour_until then
      v_meter.hour_until := date_trunc('hour', p_at, 'UTC') + interval '1 hour';
      v_meter.hour_used_before := v_meter.used - p_used_change;
      v_meter.hour_reserved_before := v_meter.reserved - p_amount + p_used_change;
      v_meter.hour_alerted := 0;
      v_meter.hour_ceiling := v_total
        + case when v_meter.hour_limit < 0 then 9007199254740991 else (v_meter.hour_limit * 80 + 99) / 100 - 1 end;
    end if;
    v_meter.ceiling := least(v_meter.ceiling, v_meter.hour_ceiling);
    v_meter.fresh_until := least(v_meter.fresh_until, v_meter.hour_until);
    if period is null or coalesce(
      v_meter.hour_limit - v_meter.used - v_meter.reserved
        + v_meter.hour_used_before + v_meter.hour_reserved_before < allowed - used - reserved,
      true
    ) and v_meter.hour_limit >= 0 then
      period := 'hour';
      period_start := v_meter.hour_until - interval '1 hour';
      period_end := v_meter.hour_until;
      allowed := nullif(v_meter.hour_limit, -1);
      granted := 0;
      used := v_meter.used - v_meter.hour_used_before;
      reserved := v_meter.reserved - v_meter.hour_reserved_before;
    end if;
  end if;
  if v_meter.minute_limit is not null then
    v_meter.minute_until := date_trunc('minute', p_at, 'UTC') + interval '1 minute';
    v_meter.minute_used_before := v_meter.used - p_used_change;
    v_meter.minute_reserved_before := v_meter.reserved - p_amount + p_used_change;
    v_meter.minute_alerted := 0;
    v_meter.ceiling := least(
      v_meter.ceiling,
      v_total
        + case when v_meter.minute_limit < 0 then 9007199254740991 else (v_meter.minute_limit * 80 + 99) / 100 - 1 end
    );
    v_meter.fresh_until := least(v_meter.fresh_until, v_meter.minute_until);
    if period is null or coalesce(
      v_meter.minute_limit - p_amount < allowed - used - reserved, true
    ) and v_meter.minute_limit >= 0 then
      period := 'minute';
      period_start := v_meter.minute_until - interval '1 minute';
      period_end := v_meter.minute_until;
      allowed := nullif(v_meter.minute_limit, -1);
      granted := 0;
      used := p_used_change;
      reserved := p_amount - p_used_change;
    end if;
  end if;
  if v_total + p_amount > v_meter.ceiling then
    period := null;
    return;
  end if;

  update quota.meters as m
    set fresh_from = p_at,
        fresh_until = v_meter.fresh_until,
        ceiling = v_meter.ceiling,
        minute_until = v_meter.minute_until,
        minute_used_before = v_meter.minute_used_before,
        minute_reserved_before = v_meter.minute_reserved_before,
        minute_alerted = v_meter.minute_alerted,
        hour_until = v_meter.hour_until,
        hour_used_before = v_meter.hour_used_before,
        hour_reserved_before = v_meter.hour_reserved_before,
        hour_alerted = v_meter.hour_alerted,
        hour_ceiling = v_meter.hour_ceiling,
        period = begin_windows.period,
        period_start = begin_windows.period_start,
        period_end = begin_windows.period_end,
        allowed = begin_windows.allowed,
        granted = begin_windows.granted,
        used_before = m.used - begin_windows.used,
        reserved_before = m.reserved - begin_windows.reserved
    where m.subject_id = p_subject_id
      and m.feature_id = p_feature_id;
end
$$;

comment on function quota.begin_windows(text, text, timestamptz, bigint, bigint) is
  'Begins the minute and the hour that hold an instant with a call that the meter has counted already, and returns the limit to show; no period: it does not plainly fit.';

revoke all on function quota.begin_windows(text, text, timestamptz, bigint, bigint)
  from public, anon, authenticated, service_role;

create function quota.take_back(
  p_subject_id text,
  p_feature_id text,
  p_kind text,
  p_amount bigint,
  p_used_change bigint
)
returns void
language plpgsql
volatile
security invoker
set search_path = pg_catalog, pg_temp
as $$
begin
  update quota.meters as m
    set used = m.used - p_used_change,
        reserved = m.reserved - p_amount + p_used_change,
        rows_used = m.rows_used - case when p_kind = 'table' then p_amount else 0 end
    where m.subject_id = p_subject_id
      and m.feature_id = p_feature_id;
end
$$;

comment on function quota.take_back(text, text, text, bigint, bigint) is
  'Sets a meter back that a call has moved before it found that it must ask properly. No line was written.';

revoke all on function quota.take_back(text, text, text, bigint, bigint)
  from public, anon, authenticated, service_role;

-- What the meter says without a lock: what was committed when it was looked at is a right answer at that
-- moment. So a check costs little, and a refusal waits for nobody and writes nothing. It needs no search
-- for the wait either: without open holds, grants and an end of the plan only resets make room.
create function quota.look_plainly(
  p_caller quota.caller,
  p_feature_id text,
  p_amount bigint,
  p_at timestamptz
)
returns public.usage_decision
language plpgsql
stable
security invoker
set search_path = pg_catalog, pg_temp
as $$
declare
  v_plan_id text;
  v_upgrade_url text;
  v_may_change boolean;
  v_period text;
  v_period_start timestamptz;
  v_period_end timestamptz;
  v_limit bigint;
  v_granted bigint;
  v_used bigint;
  v_reserved bigint;
  v_is_allowed boolean;
begin
  -- The limit that refuses longest (for ever, where the amount is above it), else the one with least room.
  select
      m.plan_id, m.upgrade_url, m.plan_ends_at < 'infinity' or m.reserved > 0 or m.long_granted > 0,
      l.period, l.period_start, l.period_end, l.allowed, l.granted, l.used, l.reserved,
      l.used + l.reserved + p_amount > l.allowed is not true
    into
      v_plan_id, v_upgrade_url, v_may_change,
      v_period, v_period_start, v_period_end, v_limit, v_granted, v_used, v_reserved, v_is_allowed
    from quota.meters as m
    join quota.catalogue as k on k.version = m.catalogue_version
    cross join lateral (
      select 3 as rank, m.long_period as period, m.long_start as period_start,
        m.long_end as period_end, m.long_allowed as allowed, m.long_granted as granted,
        m.used - m.long_used_before as used, m.reserved - m.long_reserved_before as reserved
      where m.long_period is not null
      union all
      select 2, 'hour', date_trunc('hour', p_at, 'UTC'),
        date_trunc('hour', p_at, 'UTC') + interval '1 hour', nullif(m.hour_limit, -1), 0,
        case when p_at < m.hour_until then m.used - m.hour_used_before else 0 end,
        case when p_at < m.hour_until then m.reserved - m.hour_reserved_before else 0 end
      where m.hour_limit is not null
      union all
      select 1, 'minute', date_trunc('minute', p_at, 'UTC'),
        date_trunc('minute', p_at, 'UTC') + interval '1 minute', nullif(m.minute_limit, -1), 0,
        case when p_at < m.minute_until then m.used - m.minute_used_before else 0 end,
        case when p_at < m.minute_until then m.reserved - m.minute_reserved_before else 0 end
      where m.minute_limit is not null
      union all
      -- Of several the tightest is remembered; it need not be the one that refuses longest.
      select 3 + quota.period_rank(c.period), c.period, c.period_start, c.period_end, c.last_limit,
        m.long_granted, m.used - c.used_before, m.reserved - c.reserved_before
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
      and m.fresh_from <= p_at
      and m.long_until > p_at
      and m.holds_expire_at > p_at
      and (p_caller.is_trusted or not m.server_only)
    order by
      l.used + l.reserved + p_amount > l.allowed desc nulls last,
      case when p_amount > l.allowed then l.rank end desc nulls last,
      case when l.used + l.reserved + p_amount > l.allowed then l.period_end end desc nulls last,
      l.allowed - l.used - l.reserved,
      l.rank desc
    limit 1;
  if not found or not v_is_allowed and v_may_change then
    return null;
  end if;
  return row(
    v_is_allowed, case when v_is_allowed then 'ok' else 'limit_reached' end, p_feature_id,
    p_caller.subject_id, v_plan_id, p_amount, v_used, v_reserved, v_limit,
    case when v_limit is not null then greatest(v_limit - v_used - v_reserved, 0) end,
    v_limit is null, v_period,
    nullif(v_period_start, '-infinity'), nullif(v_period_end, 'infinity'),
    case
      when not v_is_allowed and p_amount <= v_limit and v_period_end < 'infinity'
      then least(greatest(ceil(extract(epoch from v_period_end - p_at)), 1), 2147483647)
    end,
    null, null, false, v_upgrade_url, v_granted
  )::public.usage_decision;
end
$$;

comment on function quota.look_plainly(quota.caller, text, bigint, timestamptz) is
  'What the meter remembers says to an amount at an instant, without a lock: allowed, or a refusal if that is plain. Null: ask properly.';

revoke all on function quota.look_plainly(quota.caller, text, bigint, timestamptz)
  from public, anon, authenticated, service_role;

-- Only where a limit is used up: a call for more than is left waits for what others may be giving back.
create function quota.refuse_plainly(
  p_caller quota.caller,
  p_feature_id text,
  p_amount bigint
)
returns public.usage_decision
language plpgsql
stable
security invoker
set search_path = pg_catalog, pg_temp
as $$
declare
  v_decision public.usage_decision;
begin
  perform from quota.meters as m
    where m.subject_id = p_caller.subject_id
      and m.feature_id = p_feature_id
      and m.reserved = 0
      and m.used - m.used_before - m.reserved_before >= m.allowed;
  if found then
    v_decision := quota.look_plainly(p_caller, p_feature_id, p_amount, quota.clock());
    if v_decision.allowed is false and v_decision.remaining = 0 then
      return v_decision;
    end if;
  end if;
  return null;
end
$$;

comment on function quota.refuse_plainly(quota.caller, text, bigint) is
  'The refusal of an amount where a limit is plainly used up, without a lock; else null.';

revoke all on function quota.refuse_plainly(quota.caller, text, bigint)
  from public, anon, authenticated, service_role;

-- What is left with the meter after a proper look, holding it: all that take_plainly() and look_plainly()
-- go by. The limits are those after the call.
create function quota.remember(
  p_subject_id text,
  p_feature_id text,
  p_at timestamptz,
  p_allowance quota.allowance
)
returns void
language plpgsql
volatile
security invoker
set search_path = pg_catalog, pg_temp
as $$
declare
  v_limit quota.limit_state;
  v_tightest quota.limit_state;
  v_used bigint;
  v_allowed bigint;
  v_mark bigint;
  v_room bigint;
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
begin
  foreach v_limit in array p_allowance.limits loop
    v_used := v_limit.used + v_limit.reserved;
    v_allowed := v_limit.amount + v_limit.drawn + v_limit.granted;
    v_mark := (v_allowed * 80 + 99) / 100;
    -- Until just before the next mark of an alert; and what is drawn from grants is for the long way, too.
    v_room := least(
      coalesce(v_allowed - case when p_allowance.kind = 'metered' then v_limit.granted else 0 end,
        9007199254740991),
      case when v_used < v_mark then v_mark when v_used < v_allowed then v_allowed end - 1
    ) - v_used;
    -- How far the reading may fall until it has left a mark behind that could be crossed again.
    if v_used >= v_mark then
      v_fall := least(v_fall, v_used - case when v_used >= v_allowed then v_allowed else v_mark end);
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
      if v_long.period is null
        or v_room < v_least
        or v_least is null and v_room is not null
        or v_room is not distinct from v_least
          and quota.period_rank(v_limit.period) > quota.period_rank(v_long.period)
      then
        v_long := v_limit;
        v_least := v_room;
      end if;
    end if;
  end loop;
  if not p_allowance.is_plain then
    v_long_until := least(
      v_long_until,
      (
        select min(case when g.granted_at > p_at then g.granted_at else g.expires_at end)
        from quota.grants as g
        where g.subject_id = p_subject_id
          and g.feature_id = p_feature_id
          and g.expires_at > p_at
          and g.voided_at is null
          and not g.is_spent
      )
    );
  end if;

  v_tightest := v_long;
  v_fresh_until := v_long_until;
  foreach v_limit in array array[v_hour, v_minute] loop
    continue when v_limit.period is null;
    v_fresh_until := least(v_fresh_until, v_limit.resets_at);
    v_room := v_limit.amount - v_limit.used - v_limit.reserved;
    if v_tightest.period is null or coalesce(v_room < v_least, v_room is not null) then
      v_tightest := v_limit;
      v_least := v_room;
    end if;
  end loop;
  update quota.meters as m
    set fresh_from = p_at,
        fresh_until = v_fresh_until,
        catalogue_version = p_allowance.catalogue_version,
        floor = m.used + m.reserved - v_fall,
        ceiling = m.used + m.reserved + least(v_long_room, v_hour_room, v_minute_room),
        period = v_tightest.period,
        period_start = v_tightest.period_start,
        period_end = v_tightest.resets_at,
        allowed = v_tightest.amount + v_tightest.drawn + v_tightest.granted,
        granted = v_tightest.granted,
        used_before = m.used - v_tightest.used,
        reserved_before = m.reserved - v_tightest.reserved,
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
        long_limits = v_long_limits,
        long_until = v_long_until,
        long_ceiling = m.used + m.reserved + v_long_room,
        long_period = v_long.period,
        long_start = v_long.period_start,
        long_end = v_long.resets_at,
        long_allowed = v_long.amount + v_long.drawn + v_long.granted,
        long_granted = coalesce(v_long.granted, 0),
        long_used_before = coalesce(m.used - v_long.used, 0),
        long_reserved_before = coalesce(m.reserved - v_long.reserved, 0),
        plan_ends_at = coalesce(p_allowance.changes_at, 'infinity'),
        plan_id = p_allowance.plan_id,
        upgrade_url = p_allowance.upgrade_url,
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

comment on function quota.remember(text, text, timestamptz, quota.allowance) is
  'Leaves the limits of a feature, as they are after the call, with its meter.';

revoke all on function quota.remember(text, text, timestamptz, quota.allowance)
  from public, anon, authenticated, service_role;
