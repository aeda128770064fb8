-- The writers of ledger, meters and counters. Every verb goes through them, so how use is
-- stored is decided here. All of them expect the meter to be locked.

-- The writer: a line, and the meter moves by it. That is all for a line that counts now; one that counts
-- in the past also changes what is written down of that past: closed counters that hold its instant, and
-- the readings at the start of all that began later, whose use stays what it was.
create function quota.record(p_event quota.events)
returns void
language plpgsql volatile security invoker set search_path = pg_catalog, pg_temp
as $$
declare
  v_change bigint := p_event.used_change + p_event.reserved_change;
  v_used bigint;
  v_reserved bigint;
  v_drawn bigint;
  v_open_from timestamptz;
  v_open_until timestamptz;
  v_is_current boolean;
begin
  insert into quota.events (
    subject_id, event_id, at, kind, feature_id, counts_at,
    used_change, reserved_change, drawn_change, about_id, grant_id, actor, idempotency_key, metadata
  )
  values (
    p_event.subject_id, p_event.event_id,
    -- No line lies before the instant it counts in, also when the clock was set back since: what sums
    -- up a period begins to read at its start.
    greatest(p_event.at, p_event.counts_at),
    p_event.kind, p_event.feature_id, p_event.counts_at,
    p_event.used_change, p_event.reserved_change, p_event.drawn_change,
    p_event.about_id, p_event.grant_id, p_event.actor, p_event.idempotency_key, p_event.metadata
  );
  if p_event.feature_id is null then
    return;
  end if;

  -- Also by nothing: a call whose snapshot lacks this line must fail with 40001.
  update quota.meters as m
    set used = m.used + p_event.used_change,
        reserved = m.reserved + p_event.reserved_change,
        drawn = m.drawn + p_event.drawn_change,
        rows_used = m.rows_used
          + case when p_event.kind = 'table' then p_event.used_change else 0 end,
        counted_until = greatest(m.counted_until, p_event.counts_at),
        -- What is drawn from grants changes what is remembered.
        fresh_from = case when p_event.drawn_change = 0 then m.fresh_from else 'infinity' end
    where m.subject_id = p_event.subject_id
      and m.feature_id = p_event.feature_id
    returning
      m.used, m.reserved, m.drawn, m.open_from, m.open_until,
      p_event.counts_at >= m.open_from
        and p_event.counts_at < m.open_until
        and (m.period_start is null or p_event.counts_at >= m.period_start)
        and (m.minute_until = '-infinity' or p_event.counts_at < m.minute_until
          and m.minute_until - p_event.counts_at <= interval '1 minute')
        and (m.hour_until = '-infinity' or p_event.counts_at < m.hour_until
          and m.hour_until - p_event.counts_at <= interval '1 hour')
    into v_used, v_reserved, v_drawn, v_open_from, v_open_until, v_is_current;
  if not found then
    raise exception 'a line of % is written without its meter', p_event.feature_id
      using errcode = 'XX000', hint = 'lock_meter() makes and locks it';
  end if;
  if v_is_current is not true then
    perform quota.move_starts(p_event);
  end if;
  if p_event.counts_at < v_open_from or p_event.counts_at >= v_open_until then
    perform quota.rewrite_counters(p_event, v_used, v_reserved, v_drawn, v_open_until);
  end if;
  if v_change > 0 and v_used + v_reserved > 9007199254740991 then
    perform quota.check_reading(p_event, v_used + v_reserved);
  end if;
end
$$;

comment on function quota.record is
  'Writes a line and moves the meter by it. Expects the meter to be locked. Errors: QAMNT.';

-- A line of the past: the readings at the start of what began after it move by it, so that its use
-- stays what it was. A line of the running periods changes nothing of what is remembered, nor does one
-- of an earlier minute by which the reading stays the same (what was held is used).
create function quota.move_starts(p_event quota.events)
returns void
language plpgsql volatile security invoker set search_path = pg_catalog, pg_temp
as $$
declare
  v_next_minute timestamptz := p_event.counts_at + interval '1 minute';
  v_next_hour timestamptz := p_event.counts_at + interval '1 hour';
begin
  update quota.meters as m
    set fresh_from = case
          when p_event.counts_at >= m.open_from
            and p_event.counts_at < m.open_until
            -- The minute that begins next has this line already, and has to be looked at.
            and (m.minute_until = '-infinity' or p_event.counts_at < m.minute_until)
            and (m.hour_until = '-infinity' or p_event.counts_at < m.hour_until)
            and (
              p_event.used_change + p_event.reserved_change = 0
              or v_next_minute >= m.minute_until and v_next_hour >= m.hour_until
            )
          then m.fresh_from
          else 'infinity'
        end,
        used_before = m.used_before + case
          when p_event.counts_at < m.period_start then p_event.used_change else 0
        end,
        reserved_before = m.reserved_before + case
          when p_event.counts_at < m.period_start then p_event.reserved_change else 0
        end,
        -- A line after the minute: that one is over.
        minute_until = case
          when p_event.counts_at >= m.minute_until then '-infinity' else m.minute_until
        end,
        minute_used_before = m.minute_used_before + case
          when v_next_minute < m.minute_until then p_event.used_change else 0
        end,
        minute_reserved_before = m.minute_reserved_before + case
          when v_next_minute < m.minute_until then p_event.reserved_change else 0
        end,
        hour_until = case
          when p_event.counts_at >= m.hour_until then '-infinity' else m.hour_until
        end,
        hour_used_before = m.hour_used_before + case
          when v_next_hour < m.hour_until then p_event.used_change else 0
        end,
        hour_reserved_before = m.hour_reserved_before + case
          when v_next_hour < m.hour_until then p_event.reserved_change else 0
        end
    where m.subject_id = p_event.subject_id
      and m.feature_id = p_event.feature_id;
end
$$;

comment on function quota.move_starts is
  'Keeps what the meter remembers true after a line that does not count in the running periods.';

create function quota.new_id(p_at timestamptz)
returns uuid
language plpgsql volatile strict security invoker set search_path = pg_catalog, pg_temp
as $$
begin
  -- A version 7 uuid (RFC 9562): milliseconds, then randomness, so that index inserts stay together.
  return (
    lpad(to_hex((date_part('epoch', p_at) * 1000)::bigint), 12, '0')
    || '7' || right(gen_random_uuid()::text, 21)
  )::uuid;
end
$$;

comment on function quota.new_id is 'A fresh uuid that sorts by time (version 7).';

-- What the counters have written down, after a line that counts in another time than theirs.
create function quota.rewrite_counters(
  p_event quota.events,
  p_used bigint,
  p_reserved bigint,
  p_drawn bigint,
  p_open_until timestamptz
)
returns void
language plpgsql volatile security invoker set search_path = pg_catalog, pg_temp
as $$
begin
  update quota.counters as c
    set used_before = c.used_before + s.is_later * p_event.used_change,
        reserved_before = c.reserved_before + s.is_later * p_event.reserved_change,
        drawn_before = c.drawn_before + s.is_later * p_event.drawn_change,
        used = case
          when s.is_over then p_used - p_event.used_change - c.used_before
          else c.used + (1 - s.is_later) * p_event.used_change
        end,
        reserved = case
          when s.is_over then p_reserved - p_event.reserved_change - c.reserved_before
          else c.reserved + (1 - s.is_later) * p_event.reserved_change
        end,
        drawn = case
          when s.is_over then p_drawn - p_event.drawn_change - c.drawn_before
          else c.drawn + (1 - s.is_later) * p_event.drawn_change
        end
    from (
      select o.period, o.period_end, o.period_end <= p_event.counts_at as is_over,
        case when o.period_start > p_event.counts_at then 1 else 0 end as is_later
      from quota.counters as o
      where o.subject_id = p_event.subject_id
        and o.feature_id = p_event.feature_id
        and o.period_end >= least(p_open_until, p_event.counts_at)
        -- Closed: those that hold the instant. Open: those that have ended, and those that begin later.
        and (
          o.period_end > p_event.counts_at and o.period_start <= p_event.counts_at
          or o.used is null
        )
    ) as s
    where c.subject_id = p_event.subject_id
      and c.feature_id = p_event.feature_id
      and c.period_end = s.period_end
      and c.period = s.period;
  perform quota.move_carried(p_event);
  if p_event.counts_at >= p_open_until then
    perform quota.note_open_span(p_event.subject_id, p_event.feature_id, p_open_until);
  end if;
end
$$;

comment on function quota.rewrite_counters is
  'Closes the open counters that end before the line counts, adds it to the closed ones that hold its instant, and moves the starts of those that begin later. The readings are those after the line.';

-- What a line will do to limits, so that an answer can be written together with its line.
create function quota.after_event(
  p_limits quota.limit_state[],
  p_event quota.events,
  p_drawn bigint default 0
)
returns quota.limit_state[]
language plpgsql immutable security invoker set search_path = pg_catalog, pg_temp
as $$
declare
  v_limits quota.limit_state[] := '{}'::quota.limit_state[];
  v_limit quota.limit_state;
begin
  foreach v_limit in array coalesce(p_limits, '{}') loop
    if p_event.counts_at >= v_limit.period_start and p_event.counts_at < v_limit.resets_at then
      v_limit.used := v_limit.used + p_event.used_change;
      v_limit.reserved := v_limit.reserved + p_event.reserved_change;
      if v_limit.period !~ 'minute|hour' then
        v_limit.drawn := v_limit.drawn + p_drawn;
      end if;
    end if;
    if v_limit.period !~ 'minute|hour' then
      v_limit.granted := v_limit.granted - p_drawn;
    end if;
    v_limits := v_limits || v_limit;
  end loop;
  return v_limits;
end
$$;

comment on function quota.after_event is
  'The limits as they stand after the line is recorded and an amount drawn from grants.';
