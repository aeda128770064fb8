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
        and (m.minute_until = '-infinity' or p_event.counts_at >= m.minute_until - interval '1 minute'
          and p_event.counts_at < m.minute_until)
        and (m.hour_until = '-infinity' or p_event.counts_at >= m.hour_until - interval '1 hour'
          and p_event.counts_at < m.hour_until)
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
  -- No number that is shown passes it, also that of a counter that is no limit of the present plan.
  if v_change > 0 and v_used + v_reserved > 9007199254740991 and (
    v_used + v_reserved > 4611686018427387904
    or exists (
      select from quota.counters as c
      where c.subject_id = p_event.subject_id
        and c.feature_id = p_event.feature_id
        and c.period_end > p_event.counts_at
        and c.period_start <= p_event.counts_at
        and coalesce(c.used + c.reserved, v_used + v_reserved - c.used_before - c.reserved_before)
          > 9007199254740991
    )
  ) then
    raise exception 'a counter would pass 9007199254740991 (2^53 - 1)'
      using errcode = 'QAMNT', hint = 'count in a larger unit';
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
begin
  update quota.meters as m
    set fresh_from = case
          when p_event.counts_at >= m.open_from
            and p_event.counts_at < m.open_until
            and (
              p_event.used_change + p_event.reserved_change = 0
              or p_event.counts_at >= greatest(
                m.minute_until - interval '1 minute', m.hour_until - interval '1 hour'
              )
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
          when p_event.counts_at < m.minute_until - interval '1 minute' then p_event.used_change else 0
        end,
        minute_reserved_before = m.minute_reserved_before + case
          when p_event.counts_at < m.minute_until - interval '1 minute' then p_event.reserved_change
          else 0
        end,
        hour_until = case
          when p_event.counts_at >= m.hour_until then '-infinity' else m.hour_until
        end,
        hour_used_before = m.hour_used_before + case
          when p_event.counts_at < m.hour_until - interval '1 hour' then p_event.used_change else 0
        end,
        hour_reserved_before = m.hour_reserved_before + case
          when p_event.counts_at < m.hour_until - interval '1 hour' then p_event.reserved_change
          else 0
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

-- Which instants count in open counters alone: from the latest start of one, or the end of a closed one,
-- to the first end.
create function quota.note_open_span(
  p_subject_id text,
  p_feature_id text,
  p_since timestamptz
)
returns void
language plpgsql volatile security invoker set search_path = pg_catalog, pg_temp
as $$
begin
  update quota.meters as m
    set open_from = greatest(m.open_from, o.open_from),
        open_until = o.open_until
    from (
      select max(case when c.used is null then c.period_start else c.period_end end) as open_from,
        coalesce(min(c.period_end) filter (where c.used is null), 'infinity') as open_until
      from quota.counters as c
      where c.subject_id = p_subject_id
        and c.feature_id = p_feature_id
        and c.period_end >= p_since
    ) as o
    where m.subject_id = p_subject_id
      and m.feature_id = p_feature_id;
end
$$;

comment on function quota.note_open_span is
  'Notes with the meter where its open counters begin and end; no open one ends before p_since.';

-- The counters of the periods that begin now: a row each, with the reading less what the ledger already
-- has for it. Those that exist learn the limit that holds now, when it has changed.
create function quota.open_counters(
  p_subject_id text,
  p_feature_id text,
  p_at timestamptz,
  p_limits quota.limit_state[]
)
returns void
language plpgsql volatile security invoker set search_path = pg_catalog, pg_temp
as $$
declare
  v_limit quota.limit_state;
  v_allowed bigint;
  v_balance quota.balance;
  v_former record;
  v_moved bigint;
  v_from timestamptz;
  v_until timestamptz;
  v_is_simple boolean := true;
begin
  foreach v_limit in array coalesce(p_limits, '{}') loop
    continue when v_limit.period in ('minute', 'hour');
    v_allowed := v_limit.amount + v_limit.drawn + v_limit.granted;
    if v_limit.is_counted then
      if v_limit.last_limit is distinct from v_allowed then
        update quota.counters as c
          set last_limit = v_allowed,
              passed = quota.mark_of(v_limit.used, v_limit.reserved, v_allowed, v_limit.marks)
          where c.subject_id = p_subject_id
            and c.feature_id = p_feature_id
            and c.period = v_limit.period
            and c.period_end = v_limit.resets_at;
      end if;
      continue;
    end if;

    -- Only a moved anchor or zone leaves a counter that overlaps the new period. It ends where the
    -- new one starts, so that no use shows twice; the lines from there on count in the new one.
    for v_former in
      select c.period, c.period_start, c.period_end, c.last_limit,
        coalesce(c.used, m.used - c.used_before) as used
      from quota.counters as c
      join quota.meters as m
        on m.subject_id = p_subject_id
        and m.feature_id = p_feature_id
      where c.subject_id = p_subject_id
        and c.feature_id = p_feature_id
        and c.period = v_limit.period
        and c.period_end > v_limit.period_start
        and c.period_start < v_limit.resets_at
    loop
      delete from quota.counters as c
        where c.subject_id = p_subject_id
          and c.feature_id = p_feature_id
          and c.period = v_limit.period
          and c.period_end = v_former.period_end;
      v_is_simple := false;
      v_moved := v_former.used;
      if v_former.period_start < v_limit.period_start then
        v_balance := quota.earlier_part(
          p_subject_id, p_feature_id, p_at, v_limit, v_former.period_start, v_former.period_end
        );
        v_moved := v_moved - v_balance.used;
        insert into quota.counters (
          subject_id, feature_id, period, period_start, period_end,
          used_before, reserved_before, drawn_before, used, reserved, drawn, last_limit
        )
        values (
          p_subject_id, p_feature_id, v_limit.period, v_former.period_start, v_limit.period_start,
          0, 0, 0, v_balance.used, v_balance.reserved, v_balance.drawn, v_former.last_limit
        );
      end if;
      if v_moved <> 0 then
        perform quota.write_carry(
          p_subject_id, p_feature_id, p_at, v_former.period, v_former.period_start, v_limit, v_moved
        );
      end if;
    end loop;

    v_from := greatest(v_from, v_limit.period_start);
    v_until := least(v_until, v_limit.resets_at);
    -- Most periods begin after the last line: open, and its use is the reading from now on.
    insert into quota.counters (
      subject_id, feature_id, period, period_start, period_end,
      used_before, reserved_before, drawn_before, last_limit, passed
    )
      select p_subject_id, p_feature_id, v_limit.period, v_limit.period_start, v_limit.resets_at,
        m.used, m.reserved, m.drawn, v_allowed,
        -- With nothing used, below any mark of a limit above 0.
        case when v_allowed > 0 then 0 else quota.mark_of(0, 0, v_allowed, v_limit.marks) end
      from quota.meters as m
      where m.subject_id = p_subject_id
        and m.feature_id = p_feature_id
        and greatest(m.counted_until + interval '1 microsecond', m.fresh_until) <= v_limit.period_start;
    continue when found;

    -- Else with what the lines of the period say; but closed, when the clock was set back and lines
    -- count after its end.
    v_is_simple := false;
    insert into quota.counters (
      subject_id, feature_id, period, period_start, period_end,
      used_before, reserved_before, drawn_before, used, reserved, drawn, last_limit, passed
    )
      select p_subject_id, p_feature_id, v_limit.period, v_limit.period_start, v_limit.resets_at,
        m.used - b.used, m.reserved - b.reserved, m.drawn - b.drawn,
        case when b.is_over then b.used end,
        case when b.is_over then b.reserved end,
        case when b.is_over then b.drawn end,
        v_allowed,
        quota.mark_of(b.used, b.reserved, v_allowed, v_limit.marks)
      from quota.meters as m
      cross join lateral (
        select l.used, l.reserved, l.drawn, exists (
          select from quota.events as e
          where e.subject_id = p_subject_id
            and e.feature_id = p_feature_id
            and e.counts_at >= v_limit.resets_at
        ) as is_over
        from quota.ledger_balance(
          p_subject_id, p_feature_id, v_limit.period, v_limit.period_start, v_limit.resets_at
        ) as l
      ) as b
      where m.subject_id = p_subject_id
        and m.feature_id = p_feature_id;
  end loop;
  if v_until is null then
    return;
  end if;
  if v_is_simple then
    -- Open counters came beside the others, and none went: they alone can have narrowed the span.
    update quota.meters as m
      set open_from = greatest(m.open_from, v_from),
          open_until = least(m.open_until, v_until)
      where m.subject_id = p_subject_id
        and m.feature_id = p_feature_id;
  else
    perform quota.note_open_span(
      p_subject_id, p_feature_id,
      (
        select least(v_until, m.open_until)
        from quota.meters as m
        where m.subject_id = p_subject_id
          and m.feature_id = p_feature_id
      )
    );
  end if;
end
$$;

comment on function quota.open_counters is
  'Makes the counters that limits_of() found missing, from the ledger, and notes the limit in the others.';

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
      if v_limit.period not in ('minute', 'hour') then
        v_limit.drawn := v_limit.drawn + p_drawn;
      end if;
    end if;
    if v_limit.period not in ('minute', 'hour') then
      v_limit.granted := v_limit.granted - p_drawn;
    end if;
    v_limits := v_limits || v_limit;
  end loop;
  return v_limits;
end
$$;

comment on function quota.after_event is
  'The limits as they stand after the line is recorded and an amount drawn from grants.';
