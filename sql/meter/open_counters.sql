-- How counters begin: when a call first looks at a period, when a plan brings one, when an anchor moves. All
-- of it expects the meter to be locked.

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
  v_own bigint;
  v_allowed bigint;
  v_cut record;
  v_over bigint;
  v_from timestamptz;
  v_until timestamptz;
  v_is_simple boolean := true;
  v_is_over boolean;
  v_passed bigint;
  v_balance quota.balance;
begin
  foreach v_limit in array coalesce(p_limits, '{}') loop
    continue when v_limit.period in ('minute', 'hour') or v_limit.resets_at is null;
    v_own := v_limit.amount - coalesce(v_limit.carried, 0);
    v_allowed := v_limit.amount + v_limit.drawn + v_limit.granted;
    if v_limit.is_counted then
      if v_limit.last_limit is distinct from v_allowed
        or v_limit.rollover is not null
        or v_limit.last_mode <> v_limit.mode
      then
        update quota.counters as c
          set last_limit = v_allowed,
              own = v_own,
              carried = coalesce(v_limit.carried, 0),
              rollover = case when v_limit.carried is not null then v_limit.rollover end,
              mode = v_limit.mode,
              passed = quota.mark_of(v_limit.used, v_limit.reserved, v_allowed, v_limit.marks)
          where c.subject_id = p_subject_id
            and c.feature_id = p_feature_id
            and c.period = v_limit.period
            and c.period_end = v_limit.resets_at;
      end if;
      continue;
    end if;

    v_cut := quota.cut_short(p_subject_id, p_feature_id, p_at, v_limit);
    v_is_simple := v_is_simple and v_cut.is_simple;
    v_from := greatest(v_from, v_limit.period_start);
    v_until := least(v_until, v_limit.resets_at);
    -- Most periods begin after the last line: open, and its use is the reading from now on.
    insert into quota.counters (
      subject_id, feature_id, period, period_start, period_end,
      used_before, reserved_before, drawn_before, last_limit, passed, own, carried, mode, rollover
    )
      select p_subject_id, p_feature_id, v_limit.period, v_limit.period_start, v_limit.resets_at,
        m.used, m.reserved, m.drawn, v_allowed,
        -- With nothing used, below any mark of a limit above 0.
        case when v_allowed > 0 then 0 else quota.mark_of(0, 0, v_allowed, v_limit.marks) end,
        v_own, coalesce(v_limit.carried, 0), v_limit.mode,
        case when v_limit.carried is not null then v_limit.rollover end
      from quota.meters as m
      where m.subject_id = p_subject_id
        and m.feature_id = p_feature_id
        and greatest(m.counted_until + interval '1 microsecond', m.fresh_until) <= v_limit.period_start;
    continue when found;

    -- Else with what the lines of the period say; but closed, when the clock was set back and lines
    -- count after its end.
    v_is_simple := false;
    v_balance := quota.ledger_balance(
      p_subject_id, p_feature_id, v_limit.period, v_limit.period_start, v_limit.resets_at
    );
    v_over := quota.overage_in(
      p_subject_id, p_feature_id, v_limit.period, v_limit.period_start, v_limit.resets_at
    );
    perform from quota.events as e
      where e.subject_id = p_subject_id
        and e.feature_id = p_feature_id
        and e.counts_at >= v_limit.resets_at;
    v_is_over := found;
    v_passed := quota.mark_of(v_balance.used, v_balance.reserved, v_allowed, v_limit.marks);
    insert into quota.counters (
      subject_id, feature_id, period, period_start, period_end,
      used_before, reserved_before, drawn_before, used, reserved, drawn, last_limit, passed, own, carried,
      over, crossed_at, mode, rollover
    )
      select p_subject_id, p_feature_id, v_limit.period, v_limit.period_start, v_limit.resets_at,
        m.used - v_balance.used, m.reserved - v_balance.reserved, m.drawn - v_balance.drawn,
        case when v_is_over then v_balance.used end,
        case when v_is_over then v_balance.reserved end,
        case when v_is_over then v_balance.drawn end,
        v_allowed, v_passed, v_own, coalesce(v_limit.carried, 0), v_over,
        case when v_cut.crossed_at >= v_limit.period_start then v_cut.crossed_at end, v_limit.mode,
        case when v_limit.carried is not null then v_limit.rollover end
      from quota.meters as m
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
    select least(v_until, m.open_until)
      into v_until
      from quota.meters as m
      where m.subject_id = p_subject_id
        and m.feature_id = p_feature_id;
    perform quota.note_open_span(p_subject_id, p_feature_id, v_until);
  end if;
end
$$;

comment on function quota.open_counters is
  'Makes the counters that limits_of() found missing, from the ledger, and notes the limit in the others.';

-- Only a moved anchor or zone leaves a counter that overlaps a new period. It ends where the new one
-- starts, so that no use shows twice; the lines from there on count in the new one.
create function quota.cut_short(
  p_subject_id text,
  p_feature_id text,
  p_at timestamptz,
  p_limit quota.limit_state,
  out is_simple boolean,
  out crossed_at timestamptz
)
language plpgsql volatile security invoker set search_path = pg_catalog, pg_temp
as $$
declare
  v_former record;
  v_balance quota.balance;
  v_moved bigint;
begin
  is_simple := true;
  for v_former in
    select c.period, c.period_start, c.period_end, c.last_limit, c.crossed_at, c.mode, c.used_before, c.used
    from quota.counters as c
    where c.subject_id = p_subject_id
      and c.feature_id = p_feature_id
      and c.period = p_limit.period
      and c.period_end > p_limit.period_start
      and c.period_start < p_limit.resets_at
  loop
    delete from quota.counters as c
      where c.subject_id = p_subject_id
        and c.feature_id = p_feature_id
        and c.period = p_limit.period
        and c.period_end = v_former.period_end;
    is_simple := false;
    crossed_at := v_former.crossed_at;
    v_moved := coalesce(
      v_former.used,
      (
        select m.used
        from quota.meters as m
        where m.subject_id = p_subject_id
          and m.feature_id = p_feature_id
      ) - v_former.used_before
    );
    if v_former.period_start < p_limit.period_start then
      v_balance := quota.earlier_part(
        p_subject_id, p_feature_id, p_at, p_limit, v_former.period_start, v_former.period_end
      );
      v_moved := v_moved - v_balance.used;
      insert into quota.counters (
        subject_id, feature_id, period, period_start, period_end,
        used_before, reserved_before, drawn_before, used, reserved, drawn, last_limit, over, mode
      )
      values (
        p_subject_id, p_feature_id, p_limit.period, v_former.period_start, p_limit.period_start,
        0, 0, 0, v_balance.used, v_balance.reserved, v_balance.drawn, v_former.last_limit,
        quota.overage_in(
          p_subject_id, p_feature_id, p_limit.period, v_former.period_start, p_limit.period_start
        ),
        v_former.mode
      );
    end if;
    if v_moved <> 0 then
      perform quota.write_carry(
        p_subject_id, p_feature_id, p_at, v_former.period, v_former.period_start, p_limit, v_moved
      );
    end if;
  end loop;
end
$$;

comment on function quota.cut_short is
  'Ends the counters of a period''s kind that overlap it, and returns whether there were none, and when one of them was first past its limit.';
