-- What a counter should say is read off running totals, as from a meter: that at the end of its period
-- less that at its start. So a subject's lines and the bounds of all its periods are put in order of
-- time once, and each line is looked at once, whatever the number of counters. (100,000 lines of five
-- subjects and 40,000 closed minutes: 1.5 s, where a sum per counter had not ended after a minute.)
create function quota.unproved_counters(p_subject text)
returns setof public.usage_mismatch
language plpgsql stable security invoker set search_path = pg_catalog, pg_temp
as $$
begin
  return query
    with totals as (
      select s.subject_id, s.feature_id, s.side, s.period, s.period_start, s.period_end,
        s.used, s.reserved, s.drawn,
        sum(s.used_change) over earlier as used_before,
        sum(s.reserved_change) over earlier as reserved_before,
        sum(s.drawn_change) over earlier as drawn_before,
        sum(s.held) over earlier as held_before
      from quota.ledger_steps(p_subject) as s
      -- Bounds before the lines of their instant: a period has its start, and not its end.
      window earlier as (
        partition by s.subject_id, s.feature_id
        order by s.at, s.side = 0
        rows unbounded preceding
      )
    ),
    sums as (
      select t.subject_id, t.feature_id, t.period, t.period_start, t.period_end,
        t.used, t.reserved, t.drawn,
        sum(t.side * t.used_before) as ledger_used,
        sum(t.side * t.reserved_before) as ledger_reserved,
        sum(t.side * t.drawn_before) as ledger_drawn,
        sum(t.side * t.held_before) as open_holds
      from totals as t
      where t.side <> 0
      group by t.subject_id, t.feature_id, t.period, t.period_start, t.period_end,
        t.used, t.reserved, t.drawn
    ),
    resets as (
      select s.subject_id, s.feature_id, s.period, s.period_start,
        sum(r.used_change) as used, sum(r.drawn_change) as drawn
      from quota.reset_steps(p_subject) as r
      join sums as s using (subject_id, feature_id, period)
      where s.period_start <= r.counts_at
        and s.period_end > r.counts_at
      group by s.subject_id, s.feature_id, s.period, s.period_start
    ),
    counters as (
      select s.subject_id, s.feature_id, s.period, s.period_start, s.used, s.reserved, s.drawn,
        least(s.ledger_used + coalesce(r.used, 0), 4611686018427387904)::bigint as ledger_used,
        least(s.ledger_reserved, 4611686018427387904)::bigint as ledger_reserved,
        least(s.ledger_drawn + coalesce(r.drawn, 0), 4611686018427387904)::bigint as ledger_drawn,
        s.open_holds::bigint as open_holds
      from sums as s
      left join resets as r using (subject_id, feature_id, period, period_start)
    )
    -- The last holds of a feature are those of its meter as well: told once.
    select c.subject_id, c.feature_id, c.period, nullif(c.period_start, '-infinity'),
      c.used, c.ledger_used
    from counters as c
    -- Null: a counter without its meter.
    where c.used is distinct from c.ledger_used
    union
    select c.subject_id, c.feature_id, 'reserved', nullif(c.period_start, '-infinity'),
      c.reserved, c.ledger_reserved
    from counters as c
    where c.reserved <> c.ledger_reserved
    union
    select c.subject_id, c.feature_id, 'reserved', nullif(c.period_start, '-infinity'),
      c.reserved, c.open_holds
    from counters as c
    where c.reserved <> c.open_holds
    union
    select c.subject_id, c.feature_id, 'granted', nullif(c.period_start, '-infinity'),
      c.drawn, c.ledger_drawn
    from counters as c
    where c.drawn <> c.ledger_drawn;
end
$$;

comment on function quota.unproved_counters is
  'Counters, and readings of meters, that are not the sum of their lines.';

-- Lines, holds, and the bounds of all periods: side is -1 at a start, 1 at an end, 0 for a line.
create function quota.ledger_steps(p_subject text)
returns table (
  subject_id text, feature_id text, at timestamptz, side integer,
  period text, period_start timestamptz, period_end timestamptz,
  used bigint, reserved bigint, drawn bigint,
  used_change bigint, reserved_change bigint, drawn_change bigint, held bigint
)
language plpgsql stable security invoker set search_path = pg_catalog, pg_temp
as $$
begin
  return query
    select e.subject_id, e.feature_id, e.counts_at as at, 0 as side,
      null::text as period, null::timestamptz as period_start, null::timestamptz as period_end,
      0::bigint as used, 0::bigint as reserved, 0::bigint as drawn,
      e.used_change, e.reserved_change, e.drawn_change, 0::bigint as held
    from quota.events as e
    where (p_subject is null or e.subject_id = p_subject)
      and (e.used_change <> 0 or e.reserved_change <> 0 or e.drawn_change <> 0)
      and e.kind <> 'reset'
      -- One that lies before the instant it counts in is missed by whoever sums up a period from
      -- its start (ledger_balance); so it proves nothing.
      and e.at >= e.counts_at
    union all
    select r.subject_id, r.feature_id, r.reserved_at, 0, null, null, null, 0, 0, 0, 0, 0, 0, r.amount
    from quota.reservations as r
    where (p_subject is null or r.subject_id = p_subject)
      and r.state = 'open'
    union all
    select c.subject_id, c.feature_id, b.at, b.side, c.period, c.period_start, c.period_end,
      coalesce(c.used, m.used - c.used_before),
      coalesce(c.reserved, m.reserved - c.reserved_before),
      coalesce(c.drawn, m.drawn - c.drawn_before), 0, 0, 0, 0
    from quota.counters as c
    left join quota.meters as m on m.subject_id = c.subject_id and m.feature_id = c.feature_id
    cross join lateral (values (c.period_start, -1), (c.period_end, 1)) as b (at, side)
    where p_subject is null or c.subject_id = p_subject
    union all
    -- The reading itself, and those of the minute and the hour that the meter keeps.
    select w.subject_id, w.feature_id, b.at, b.side, w.period, w.period_start, w.period_end,
      w.used, w.reserved, w.drawn, 0, 0, 0, 0
    from (
      select m.subject_id, m.feature_id, v.period, v.period_end,
        coalesce(v.period_end - v.length, '-infinity') as period_start,
        m.used - v.used as used, m.reserved - v.reserved as reserved,
        case when v.period = 'meter' then m.drawn end as drawn
      from quota.meters as m
      cross join lateral (values
        ('meter', 'infinity'::timestamptz, null::interval, 0::bigint, 0::bigint),
        ('minute', m.minute_until, interval '1 minute', m.minute_used_before, m.minute_reserved_before),
        ('hour', m.hour_until, interval '1 hour', m.hour_used_before, m.hour_reserved_before)
      ) as v (period, period_end, length, used, reserved)
      where p_subject is null or m.subject_id = p_subject
    ) as w
    cross join lateral (values (w.period_start, -1), (w.period_end, 1)) as b (at, side)
    where w.period_end > '-infinity';
end
$$;

comment on function quota.ledger_steps is
  'What unproved_counters() puts in order of time.';

-- A reset counts in the period that it names, and in no other.
create function quota.reset_steps(p_subject text)
returns table (
  subject_id text, feature_id text, period text, counts_at timestamptz,
  used_change bigint, drawn_change bigint
)
language plpgsql stable security invoker set search_path = pg_catalog, pg_temp
as $$
begin
  return query
    select e.subject_id, e.feature_id, e.metadata ->> 'period', e.counts_at, e.used_change,
      e.drawn_change
    from quota.events as e
    where (p_subject is null or e.subject_id = p_subject)
      and e.kind = 'reset'
      and e.at >= e.counts_at;
end
$$;

comment on function quota.reset_steps is 'The lines of fresh starts, which ledger_steps() leaves out.';

create function quota.unproved_grants(p_subject text)
returns setof public.usage_mismatch
language plpgsql stable security invoker set search_path = pg_catalog, pg_temp
as $$
begin
  return query
    select g.subject_id, g.feature_id, 'granted', g.granted_at, g.drawn, coalesce(d.drawn, 0)::bigint
    from quota.grants as g
    left join (
      select e.subject_id, e.grant_id, sum(e.drawn_change) as drawn
      from quota.events as e
      where (p_subject is null or e.subject_id = p_subject)
        and e.grant_id is not null
      group by e.subject_id, e.grant_id
    ) as d on d.subject_id = g.subject_id and d.grant_id = g.grant_id
    where (p_subject is null or g.subject_id = p_subject)
      and g.drawn <> coalesce(d.drawn, 0);
end
$$;

comment on function quota.unproved_grants is 'Grants whose draws are not those of their lines.';

create function quota.unproved_rows(p_subject text)
returns setof public.usage_mismatch
language plpgsql stable security invoker set search_path = pg_catalog, pg_temp
as $$
begin
  return query
    -- Rows of limited tables, as their lines count them, and as they stand.
    select t.subject_id, t.feature_id, 'lifetime', null::timestamptz, sum(t.counted)::bigint, sum(t.rows)::bigint
    from (
      select e.subject_id, e.feature_id, e.used_change as counted, 0 as rows
      from quota.events as e
      where e.kind = 'table'
        and (p_subject is null or e.subject_id = p_subject)
      union all
      select r.subject_id, f.feature_id, 0, r.amount
      from (select distinct l.feature_id from quota.limited_tables as l) as f
      cross join lateral quota.rows_in_tables(f.feature_id, p_subject) as r
    ) as t
    group by t.subject_id, t.feature_id
    having sum(t.counted) <> sum(t.rows)
    union all
    -- And what the meter remembers of them, which cannot be given back by hand.
    select t.subject_id, t.feature_id, 'rows', null, sum(t.counted)::bigint, sum(t.ledger)::bigint
    from (
      select m.subject_id, m.feature_id, m.rows_used as counted, 0 as ledger
      from quota.meters as m
      where m.rows_used <> 0
        and (p_subject is null or m.subject_id = p_subject)
      union all
      select e.subject_id, e.feature_id, 0, e.used_change
      from quota.events as e
      where e.kind = 'table'
        and (p_subject is null or e.subject_id = p_subject)
    ) as t
    group by t.subject_id, t.feature_id
    having sum(t.counted) <> sum(t.ledger);
end
$$;

comment on function quota.unproved_rows is
  'Gauges whose lines are not the rows of limited tables, or whose meters remember others.';
