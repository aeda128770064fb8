-- Why this exists: speed. What a call costs is the number of functions, statements and expressions it
-- goes through, since Postgres sets each up anew in every transaction (9 µs for a look-up, 3 for a
-- function, 1 for an assignment). The long way through limits_of(), decide() and record() reached 0.3
-- of a bare update's speed; this one, for the most common calls, 0.5.
--
-- It knows nothing of plans: it trusts what the long way found last and left with the meter (see
-- sql/tables/meters.sql for why that is exact), and leaves everything that is not plain to it.

create function quota.take_fresh(
  p_caller quota.caller,
  p_feature_id text,
  p_amount bigint,
  p_kind text,
  p_idempotency_key text,
  p_arguments jsonb,
  p_metadata jsonb,
  p_ttl interval default null
)
returns public.usage_decision
language plpgsql
volatile
security invoker
set search_path = pg_catalog, pg_temp
as $$
declare
  v_fresh_from timestamptz;
  v_fresh_until timestamptz;
  v_long_until timestamptz;
  v_minute_limit bigint;
  v_hour_limit bigint;
  v_catalogue_version bigint;
  v_plan_id text;
  v_upgrade_url text;
  v_now timestamptz;
  v_used_change bigint := case when p_ttl is null then p_amount else 0 end;
  v_period text;
  v_period_start timestamptz;
  v_period_end timestamptz;
  v_limit bigint;
  v_used bigint;
  v_reserved bigint;
  v_is_plain boolean;
  v_event_id uuid;
  v_reservation_id uuid;
  v_decision public.usage_decision;
begin
  -- A known key is for the long way; here it locks nothing.
  if p_idempotency_key is not null then
    perform from quota.keys as k
      where k.subject_id = p_caller.subject_id
        and k.is_server = p_caller.is_trusted
        and k.idempotency_key = p_idempotency_key;
    if found then
      return null;
    end if;
  end if;
  -- Where a limit is used up, no row and so no lock.
  select
      m.fresh_from, m.fresh_until, least(m.long_until, m.holds_expire_at), m.minute_limit,
      m.hour_limit, m.catalogue_version, m.plan_id, m.upgrade_url
    into v_fresh_from, v_fresh_until, v_long_until, v_minute_limit, v_hour_limit,
      v_catalogue_version, v_plan_id, v_upgrade_url
    from quota.meters as m
    where m.subject_id = p_caller.subject_id
      and m.feature_id = p_feature_id
      and (p_caller.is_trusted or not m.server_only)
      and not m.is_full
    for no key update;
  if not found then
    if p_idempotency_key is null and p_ttl is null then
      return quota.refuse_fresh(p_caller, p_feature_id, p_amount);
    end if;
    return null;
  end if;
  v_now := quota.clock();
  if v_now < v_fresh_from
    or v_now >= v_long_until
    or current_setting('transaction_isolation') <> 'read committed'
  then
    return null;
  end if;
  if v_now >= v_fresh_until then
    perform quota.open_windows(
      p_caller.subject_id, p_feature_id, v_now, v_minute_limit, v_hour_limit
    );
  end if;

  -- The one with least room, the longest period among equals; but first one that is not plain: full
  -- with this call or before it, or crossing 80 %, since alerts are for the long way. No row: the
  -- catalogue has changed.
  select
      c.period, c.period_start, c.period_end, c.last_limit, c.used, c.reserved,
      c.used + c.reserved + p_amount < coalesce(c.last_limit, 9007199254740992)
        and (
          (c.used + c.reserved + p_amount) * 100 < c.last_limit * 80
          or (c.used + c.reserved) * 100 >= c.last_limit * 80
        ) is not false
    into v_period, v_period_start, v_period_end, v_limit, v_used, v_reserved, v_is_plain
    from quota.catalogue as k
    join quota.counters as c
      on c.subject_id = p_caller.subject_id
      and c.feature_id = p_feature_id
      and c.period_end > v_now
      and c.period_start <= v_now
    where k.version = v_catalogue_version
    order by 7, c.last_limit - c.used - c.reserved,
      -- As period_rank() has it, without the call.
      array_position(
        array['minute', 'hour', 'day', 'week', 'month', 'year', 'lifetime'], c.period
      ) desc
    limit 1;
  if v_is_plain is not true then
    return null;
  end if;

  v_event_id := quota.new_id(v_now);
  if p_ttl is not null then
    v_reservation_id := quota.new_id(v_now);
  end if;
  v_decision := row(
    true, 'ok', p_feature_id, p_caller.subject_id, v_plan_id, p_amount,
    v_used + v_used_change, v_reserved + p_amount - v_used_change,
    v_limit, v_limit - v_used - v_reserved - p_amount, v_limit is null, v_period,
    nullif(v_period_start, '-infinity'), nullif(v_period_end, 'infinity'), null,
    case when p_ttl is null then v_event_id end, v_reservation_id,
    false, v_upgrade_url, 0
  )::public.usage_decision;
  -- The key goes first: when it is taken, nothing was counted.
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
      return null;
    end if;
  end if;
  insert into quota.events (
    subject_id, event_id, at, kind, feature_id, counts_at, used_change, reserved_change, about_id,
    actor, idempotency_key, metadata
  )
  values (
    p_caller.subject_id, v_event_id, v_now, p_kind, p_feature_id, v_now, v_used_change,
    p_amount - v_used_change, v_reservation_id, p_caller.actor, p_idempotency_key, p_metadata
  );
  update quota.counters as c
    set used = c.used + v_used_change,
        reserved = c.reserved + p_amount - v_used_change
    where c.subject_id = p_caller.subject_id
      and c.feature_id = p_feature_id
      and c.period_end > v_now
      and c.period_start <= v_now;
  if p_kind = 'table' then
    update quota.meters as m
      set rows_used = m.rows_used + p_amount
      where m.subject_id = p_caller.subject_id
        and m.feature_id = p_feature_id;
  elsif p_ttl is not null then
    perform quota.write_hold(
      p_caller.subject_id, v_reservation_id, p_feature_id, p_amount, v_now, p_ttl
    );
  end if;
  return v_decision;
end
$$;

comment on function quota.take_fresh(
  quota.caller, text, bigint, text, text, jsonb, jsonb, interval
) is
  'Locks the meter, and counts (or, given a ttl, holds) if what it remembers holds and there is room; refuses without a lock where it plainly has none. Null: nothing was counted, ask the long way.';

revoke all on function quota.take_fresh(
  quota.caller, text, bigint, text, text, jsonb, jsonb, interval
) from public, anon, authenticated, service_role;

create function quota.remember(
  p_subject_id text,
  p_feature_id text,
  p_at timestamptz,
  p_allowance quota.allowance,
  p_is_full boolean
)
returns void
language plpgsql
volatile
security invoker
set search_path = pg_catalog, pg_temp
as $$
begin
  update quota.meters as m
    set fresh_from = p_at,
        fresh_until = least(p_allowance.changes_at, l.ends_at),
        long_until = least(p_allowance.changes_at, l.long_ends_at),
        plan_ends_at = coalesce(p_allowance.changes_at, 'infinity'),
        minute_limit = l.minute_limit,
        hour_limit = l.hour_limit,
        catalogue_version = p_allowance.catalogue_version,
        plan_id = p_allowance.plan_id,
        upgrade_url = p_allowance.upgrade_url,
        server_only = p_allowance.server_only,
        is_full = p_is_full
    from (
      select
        min(u.resets_at) as ends_at,
        coalesce(min(u.resets_at) filter (where u.period not in ('minute', 'hour')), 'infinity')
          as long_ends_at,
        max(coalesce(u.amount, -1)) filter (where u.period = 'minute') as minute_limit,
        max(coalesce(u.amount, -1)) filter (where u.period = 'hour') as hour_limit
      from unnest(p_allowance.limits) as u
    ) as l
    where m.subject_id = p_subject_id
      and m.feature_id = p_feature_id
      and (
        m.fresh_from > p_at
        or m.fresh_until <= p_at
        or m.catalogue_version <> p_allowance.catalogue_version
        or m.is_full <> p_is_full
      )
      -- An open counter that a former plan left behind would be taken for a limit. So would one that lies
      -- ahead, when the clock was set back; and a window that is opened then must find no line.
      and cardinality(p_allowance.limits) = (
        select count(*)
        from quota.counters as c
        where c.subject_id = p_subject_id
          and c.feature_id = p_feature_id
          and c.period_end > p_at
      )
      and not exists (
        select from quota.events as e
        where e.subject_id = p_subject_id
          and e.feature_id = p_feature_id
          and e.counts_at > p_at
      );
end
$$;

comment on function quota.remember(text, text, timestamptz, quota.allowance, boolean) is
  'Leaves a plain allowance, whose counters are open, with its meter.';

revoke all on function quota.remember(text, text, timestamptz, quota.allowance, boolean)
  from public, anon, authenticated, service_role;

-- A minute or hour begins, and nothing else changes. Its counter starts at nothing: no line counts in an
-- instant after the one at which the meter was last remembered (remember() has looked).
create function quota.open_windows(
  p_subject_id text,
  p_feature_id text,
  p_at timestamptz,
  p_minute_limit bigint,
  p_hour_limit bigint
)
returns void
language plpgsql
volatile
security invoker
set search_path = pg_catalog, pg_temp
as $$
declare
  v_minute timestamptz := date_trunc('minute', p_at, 'UTC');
  v_hour timestamptz := date_trunc('hour', p_at, 'UTC');
begin
  if p_minute_limit is not null then
    insert into quota.counters (
      subject_id, feature_id, period, period_start, period_end, used, reserved, drawn, last_limit
    )
    values (
      p_subject_id, p_feature_id, 'minute', v_minute, v_minute + interval '1 minute', 0, 0, 0,
      nullif(p_minute_limit, -1)
    )
    on conflict do nothing;
  end if;
  if p_hour_limit is not null then
    insert into quota.counters (
      subject_id, feature_id, period, period_start, period_end, used, reserved, drawn, last_limit
    )
    values (
      p_subject_id, p_feature_id, 'hour', v_hour, v_hour + interval '1 hour', 0, 0, 0,
      nullif(p_hour_limit, -1)
    )
    on conflict do nothing;
  end if;
  update quota.meters as m
    set fresh_from = p_at,
        fresh_until = least(
          m.long_until,
          case when p_minute_limit is not null then v_minute + interval '1 minute' end,
          case when p_hour_limit is not null then v_hour + interval '1 hour' end
        )
    where m.subject_id = p_subject_id
      and m.feature_id = p_feature_id;
end
$$;

comment on function quota.open_windows(text, text, timestamptz, bigint, bigint) is
  'Makes the counters of the minute and the hour that hold this instant, where the meter remembers a limit of them.';

revoke all on function quota.open_windows(text, text, timestamptz, bigint, bigint)
  from public, anon, authenticated, service_role;

-- The cheapest answer: what was committed when it was looked at had no room. No lock, no write, and no
-- search for the wait: without open holds, grants and an end of the plan only resets make room.
create function quota.refuse_fresh(
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
  v_now timestamptz := quota.clock();
  v_found record;
begin
  select
      m.plan_id, m.upgrade_url, c.period, c.period_start, c.period_end, c.last_limit, c.used,
      c.reserved
    into v_found
    from quota.meters as m
    join quota.catalogue as k on k.version = m.catalogue_version
    join quota.counters as c
      on c.subject_id = p_caller.subject_id
      and c.feature_id = p_feature_id
      and c.period_end > v_now
      and c.period_start <= v_now
    where m.subject_id = p_caller.subject_id
      and m.feature_id = p_feature_id
      and (p_caller.is_trusted or not m.server_only)
      and m.fresh_from <= v_now
      and m.fresh_until > v_now
      and m.plan_ends_at = 'infinity'
      and m.holds_expire_at = 'infinity'
      and c.used + c.reserved + p_amount > c.last_limit
    -- The one that refuses longest: for ever, where the amount is above the limit.
    order by
      case when p_amount > c.last_limit then quota.period_rank(c.period) else 0 end desc,
      c.period_end desc, quota.period_rank(c.period) desc
    limit 1;
  if not found then
    return null;
  end if;
  return row(
    false, 'limit_reached', p_feature_id, p_caller.subject_id, v_found.plan_id, p_amount,
    v_found.used, v_found.reserved, v_found.last_limit,
    greatest(v_found.last_limit - v_found.used - v_found.reserved, 0), false, v_found.period,
    nullif(v_found.period_start, '-infinity'), nullif(v_found.period_end, 'infinity'),
    case
      when p_amount <= v_found.last_limit and v_found.period_end < 'infinity'
      then least(greatest(ceil(extract(epoch from v_found.period_end - v_now)), 1), 2147483647)
    end,
    null, null, false, v_found.upgrade_url, 0
  )::public.usage_decision;
end
$$;

comment on function quota.refuse_fresh(quota.caller, text, bigint) is
  'The refusal of an amount for which a limit that the meter remembers has no room, if it is plain; else null.';

revoke all on function quota.refuse_fresh(quota.caller, text, bigint)
  from public, anon, authenticated, service_role;
