-- Windows: "5 hours", "30 days". No calendar begins them: the first use does, and n units later they are
-- closed, until they are used again. A use inside one does not move it.
--
-- One that was opened is a counter as that of any period, and ends by arithmetic; there is nothing to
-- close. What the ledger says of it is a line of kind open, beside the one that used it: from when to
-- when, whatever plan, anchor or zone come later. So verify_usage() proves both, which lines count in it,
-- and that it began where something was used.

-- Before the line of the use is written. Windows that are open are as they were.
create function quota.open_windows(
  p_subject_id text,
  p_feature_id text,
  p_at timestamptz,
  p_allowance quota.allowance
)
returns quota.limit_state[]
language plpgsql volatile security invoker set search_path = pg_catalog, pg_temp
as $$
declare
  v_limits quota.limit_state[];
  v_limit quota.limit_state;
  v_earlier quota.balance;
begin
  foreach v_limit in array p_allowance.limits loop
    if v_limit.period like '% %' and v_limit.period_start <= p_at is not true then
      if v_limit.is_counted then
        v_earlier := quota.widen_window(p_subject_id, p_feature_id, p_at, v_limit);
        v_limit.period_start := p_at;
      else
        v_limit.period_start := p_at;
        v_limit.resets_at := (
          quota.period_of(v_limit.period, p_at, null, p_allowance.time_zone)
        ).resets_at;
        v_limit.is_counted := true;
        v_earlier := quota.open_window(p_subject_id, p_feature_id, v_limit);
      end if;
      -- What is held stays held: its commit will count in the instant of the hold.
      v_limit.reserved := v_limit.reserved + v_earlier.reserved;
      if v_earlier.used <> 0 or v_earlier.drawn <> 0 then
        perform quota.forgive_earlier(p_subject_id, p_feature_id, v_limit, v_earlier);
      end if;
      perform quota.write_lines(
        array[
          row(
            p_subject_id, quota.new_id(p_at), p_at, 'open', p_feature_id, p_at, 0, 0, 0, null, null,
            null, null,
            jsonb_build_object(
              'period', v_limit.period, 'period_start', p_at, 'period_end', v_limit.resets_at
            )
          )::quota.events
        ]
      );
    end if;
    v_limits := v_limits || v_limit;
  end loop;
  return v_limits;
end
$$;

comment on function quota.open_windows is
  'Opens the windows that a use at this instant finds closed, and returns the limits with them. Expects the meter to be locked, and the line of the use to follow.';

create function quota.open_window(
  p_subject_id text,
  p_feature_id text,
  p_limit quota.limit_state
)
returns quota.balance
language plpgsql volatile security invoker set search_path = pg_catalog, pg_temp
as $$
declare
  v_allowed bigint := p_limit.amount + p_limit.drawn + p_limit.granted;
  v_earlier quota.balance := quota.ledger_balance(
    p_subject_id, p_feature_id, p_limit.period, p_limit.period_start, p_limit.resets_at
  );
  -- A clock that was set back far has lines ahead of it that count after the end.
  v_is_over boolean := exists (
    select from quota.events as e
    where e.subject_id = p_subject_id
      and e.feature_id = p_feature_id
      and e.counts_at >= p_limit.resets_at
  );
  v_meter quota.meters;
begin
  select m.used, m.reserved, m.drawn, m.open_until
    into v_meter.used, v_meter.reserved, v_meter.drawn, v_meter.open_until
    from quota.meters as m
    where m.subject_id = p_subject_id
      and m.feature_id = p_feature_id;
  insert into quota.counters (
    subject_id, feature_id, period, period_start, period_end,
    used_before, reserved_before, drawn_before, used, reserved, drawn, last_limit, passed, own, mode
  )
  values (
    p_subject_id, p_feature_id, p_limit.period, p_limit.period_start, p_limit.resets_at,
    v_meter.used - v_earlier.used, v_meter.reserved - v_earlier.reserved,
    v_meter.drawn - v_earlier.drawn,
    case when v_is_over then v_earlier.used end,
    case when v_is_over then v_earlier.reserved end,
    case when v_is_over then v_earlier.drawn end,
    v_allowed, quota.mark_of(0, 0, v_allowed, p_limit.marks), p_limit.amount, p_limit.mode
  );
  if v_is_over then
    perform quota.note_open_span(
      p_subject_id, p_feature_id, least(p_limit.resets_at, v_meter.open_until)
    );
  else
    update quota.meters as m
      set open_from = greatest(m.open_from, p_limit.period_start),
          open_until = least(m.open_until, p_limit.resets_at)
      where m.subject_id = p_subject_id
        and m.feature_id = p_feature_id;
  end if;
  return v_earlier;
end
$$;

comment on function quota.open_window is
  'Makes the counter of a window, and returns what the ledger counts in it already.';

-- The clock was set back behind the opening: the window that is open is open, and begins that much
-- earlier, so that it holds the instant.
create function quota.widen_window(
  p_subject_id text,
  p_feature_id text,
  p_at timestamptz,
  p_limit quota.limit_state
)
returns quota.balance
language plpgsql volatile security invoker set search_path = pg_catalog, pg_temp
as $$
declare
  v_earlier quota.balance := quota.ledger_balance(
    p_subject_id, p_feature_id, p_limit.period, p_at, p_limit.period_start
  );
begin
  update quota.counters as c
    set period_start = p_at,
        used = c.used + v_earlier.used,
        reserved = c.reserved + v_earlier.reserved,
        drawn = c.drawn + v_earlier.drawn,
        used_before = c.used_before - v_earlier.used,
        reserved_before = c.reserved_before - v_earlier.reserved,
        drawn_before = c.drawn_before - v_earlier.drawn
    where c.subject_id = p_subject_id
      and c.feature_id = p_feature_id
      and c.period = p_limit.period
      and c.period_end = p_limit.resets_at;
  return v_earlier;
end
$$;

comment on function quota.widen_window is
  'Lets a window begin earlier than it did, and returns what the ledger counts in the part that it gained.';

-- What was used before a window was opened is none of it, also where time does not tell the two apart: at
-- the very instant of the opening, or later by a clock that was set back. A line says so, as of a reset.
create function quota.forgive_earlier(
  p_subject_id text,
  p_feature_id text,
  p_limit quota.limit_state,
  p_earlier quota.balance
)
returns void
language plpgsql volatile security invoker set search_path = pg_catalog, pg_temp
as $$
begin
  perform quota.record_reset(
    row(
      p_subject_id, quota.new_id(p_limit.period_start), p_limit.period_start, 'reset', p_feature_id,
      p_limit.period_start, -p_earlier.used, 0, -p_earlier.drawn, quota.reset_id(p_feature_id), null,
      null, null,
      quota.used_at_once(p_subject_id, p_feature_id, p_limit.period_start)
        || jsonb_build_object('period', p_limit.period, 'period_start', p_limit.period_start)
    )::quota.events
  );
end
$$;

comment on function quota.forgive_earlier is
  'Takes off a window that begins what the ledger counts in it already.';

-- limits_of() finds the window that holds an instant. A later one is open as well, where the clock was set
-- back since.
create function quota.window_ahead(
  p_subject_id text,
  p_feature_id text,
  p_at timestamptz,
  p_limit quota.limit_state
)
returns quota.limit_state
language plpgsql stable security invoker set search_path = pg_catalog, pg_temp
as $$
declare
  v_limit quota.limit_state := p_limit;
begin
  select c.period_start, c.period_end, least(coalesce(c.used, m.used - c.used_before), 9007199254740991),
      coalesce(c.reserved, m.reserved - c.reserved_before), coalesce(c.drawn, m.drawn - c.drawn_before),
      c.last_limit, c.alerted, c.passed, c.mode, true
    into v_limit.period_start, v_limit.resets_at, v_limit.used, v_limit.reserved, v_limit.drawn,
      v_limit.last_limit, v_limit.alerted, v_limit.passed, v_limit.last_mode, v_limit.is_counted
    from quota.counters as c
    join quota.meters as m on m.subject_id = c.subject_id and m.feature_id = c.feature_id
    where c.subject_id = p_subject_id
      and c.feature_id = p_feature_id
      and c.period = p_limit.period
      and c.period_end > p_at
    order by c.period_end
    limit 1;
  if not found then
    return p_limit;
  end if;
  return v_limit;
end
$$;

comment on function quota.window_ahead is
  'The limit of a window that is closed at an instant, with the one that was opened after it, if any.';

-- A hold that was made while there was no window counts in none that was opened since.
create function quota.without_later_windows(
  p_limits quota.limit_state[],
  p_at timestamptz
)
returns quota.limit_state[]
language plpgsql immutable security invoker set search_path = pg_catalog, pg_temp
as $$
declare
  v_limits quota.limit_state[];
  v_limit quota.limit_state;
begin
  foreach v_limit in array p_limits loop
    if v_limit.period like '% %' and v_limit.period_start > p_at then
      v_limit.period_start := null;
      v_limit.resets_at := null;
      v_limit.used := 0;
      v_limit.reserved := 0;
      v_limit.drawn := 0;
      v_limit.is_counted := false;
      v_limit.alerted := 0;
      v_limit.passed := 0;
    end if;
    v_limits := v_limits || v_limit;
  end loop;
  return v_limits;
end
$$;

comment on function quota.without_later_windows is
  'The limits with windows closed that were opened after an instant.';
