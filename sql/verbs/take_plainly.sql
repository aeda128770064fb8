-- Speed. What a call costs is the number of functions, statements and expressions it
-- goes through, since Postgres sets each up anew in every transaction (9 µs for a look-up, 3 for a
-- function, 1 for an assignment). Asking properly (limits_of(), decide(), record()) costs 5 times a plain
-- call; so a plain call is one update of the meter, under the ceiling that the last proper look left
-- there, and its line. It knows nothing of plans, and it never decides: it recognises calls for which
-- the long way could only say yes (see sql/meter/meters.sql and sql/README.md for why that is exact).

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
language plpgsql volatile security invoker set search_path = pg_catalog, pg_temp
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
      subject_id, owner_id, idempotency_key, bound_at, arguments, answer
    )
    values (
      p_caller.subject_id,
      case when p_caller.is_trusted then '' else coalesce(p_caller.actor, p_caller.subject_id) end,
      p_idempotency_key, v_now, p_arguments, to_jsonb(v_decision)
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
        and k.owner_id
          = case when p_caller.is_trusted then '' else coalesce(p_caller.actor, p_caller.subject_id) end
        and k.idempotency_key = p_idempotency_key;
    return null;
  end if;
  if p_ttl is not null then
    perform quota.write_hold(
      p_caller.subject_id, v_reservation_id, p_feature_id, p_amount, v_now, p_ttl, p_caller.actor
    );
  end if;
  return v_decision;
end
$$;

comment on function quota.take_plainly is
  'Counts (or, given a ttl, holds) in one step, if what the meter remembers says that there is room. Null: nothing was counted, ask properly. p_judged_at: the call was judged at that instant, under the lock.';

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
language plpgsql volatile security invoker set search_path = pg_catalog, pg_temp
as $$
declare
  v_meter quota.meters;
  v_total bigint;
begin
  select m.used, m.reserved, m.long_ceiling, m.long_until, m.long_period, m.long_start, m.long_end,
      m.long_allowed, m.long_granted, m.long_used_before, m.long_reserved_before,
      m.hour_limit, m.hour_until, m.hour_used_before, m.hour_reserved_before, m.hour_alerted,
      m.hour_ceiling, m.minute_limit, m.minute_until, m.minute_used_before, m.minute_reserved_before,
      m.minute_alerted, m.first_mark
    into v_meter.used, v_meter.reserved, v_meter.long_ceiling, v_meter.long_until,
      v_meter.long_period, v_meter.long_start, v_meter.long_end, v_meter.long_allowed,
      v_meter.long_granted, v_meter.long_used_before, v_meter.long_reserved_before,
      v_meter.hour_limit, v_meter.hour_until, v_meter.hour_used_before, v_meter.hour_reserved_before,
      v_meter.hour_alerted, v_meter.hour_ceiling, v_meter.minute_limit, v_meter.minute_until,
      v_meter.minute_used_before, v_meter.minute_reserved_before, v_meter.minute_alerted,
      v_meter.first_mark
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
        + case
          when v_meter.hour_limit < 0 then 9007199254740991
          else (v_meter.hour_limit * v_meter.first_mark + 99) / 100 - 1
        end;
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
        + case
          when v_meter.minute_limit < 0 then 9007199254740991
          else (v_meter.minute_limit * v_meter.first_mark + 99) / 100 - 1
        end
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

comment on function quota.begin_windows is
  'Begins the minute and the hour that hold an instant with a call that the meter has counted already, and returns the limit to show; no period: it does not plainly fit.';

create function quota.take_back(
  p_subject_id text,
  p_feature_id text,
  p_kind text,
  p_amount bigint,
  p_used_change bigint
)
returns void
language plpgsql volatile security invoker set search_path = pg_catalog, pg_temp
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

comment on function quota.take_back is
  'Sets a meter back that a call has moved before it found that it must ask properly. No line was written.';
