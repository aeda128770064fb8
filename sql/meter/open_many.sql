-- open_counters() for many meters at once: what an import and a followed table need for thousands of
-- subjects. Says again, for subjects without exceptions and grants alone, which limits a plan has.

-- A period that lines count in, by the plan of their instant. is_counted: it has a counter; is_moved: one
-- that a moved anchor or zone left behind overlaps it.
create type quota.plan_period as (
  subject_id text,
  feature_id text,
  counts_at timestamptz,
  period text,
  period_start timestamptz,
  period_end timestamptz,
  amount bigint,
  is_counted boolean,
  is_moved boolean
);

comment on type quota.plan_period is
  'A period of a day or longer that a line counts in, and the limit there.';

-- Each line names a meter and an instant; it need not be written.
create function quota.open_many(
  p_lines quota.events[],
  p_at timestamptz
)
returns void
language plpgsql volatile security invoker set search_path = pg_catalog, pg_temp
as $$
declare
  v_periods quota.plan_period[];
begin
  perform quota.open_odd_periods(p_lines, p_at);
  v_periods := array(select p from quota.plan_periods(p_lines) as p);
  perform quota.note_limits(v_periods);
  perform quota.make_counters(v_periods);
  update quota.meters as m
    set open_from = greatest(m.open_from, o.open_from),
        open_until = o.open_until
    from quota.open_spans(p_lines) as o
    where m.subject_id = o.subject_id
      and m.feature_id = o.feature_id;
end
$$;

comment on function quota.open_many is
  'Makes the counters of the periods that hold the instants of lines, and notes the limits in them. Expects the meters to be locked.';

-- rows: as many as an array is thought to have, so that tables beside it are read by their keys.
create function quota.plan_periods(p_lines quota.events[])
returns setof quota.plan_period
language plpgsql stable security invoker rows 10 set search_path = pg_catalog, pg_temp
as $$
begin
  return query
    with places as materialized (
      select distinct l.subject_id, l.feature_id, l.counts_at, n.period, n.amount, s.anchor_at,
        coalesce(s.time_zone, 'UTC') as time_zone
      from unnest(p_lines) as l
      left join quota.subjects as s on s.subject_id = l.subject_id
      join quota.plan_limits as n
        on n.feature_id = l.feature_id
        and n.plan_id = coalesce(
          case when s.plan_ends_at <= l.counts_at then null else s.plan_id end,
          (select d.plan_id from quota.plans as d where d.is_default)
        )
      where n.period not in ('minute', 'hour')
        and n.period not like '% %'
        and s.has_extras is not true
        and not exists (
          select from quota.plans as p where p.plan_id = s.plan_id and p.moves_from is not null
        )
        and n.mode = 'hard'
        and n.rollover is null
    ),
    -- Most subjects have the same calendar.
    bounds as materialized (
      select t.period, t.counts_at, t.anchor_at, t.time_zone, p.period_start, p.resets_at
      from (
        select distinct o.period, o.counts_at, o.anchor_at, o.time_zone from places as o
      ) as t
      cross join lateral quota.period_of(t.period, t.counts_at, t.anchor_at, t.time_zone) as p
    )
    select o.subject_id, o.feature_id, o.counts_at, o.period, b.period_start, b.resets_at, o.amount,
      coalesce(c.is_counted, false), c.is_counted is false
    from places as o
    join bounds as b
      on b.period = o.period
      and b.counts_at = o.counts_at
      and b.time_zone = o.time_zone
      and coalesce(b.anchor_at, '-infinity') = coalesce(o.anchor_at, '-infinity')
    left join lateral (
      select bool_or(c.period_start <= o.counts_at and c.period_end > o.counts_at) as is_counted
      from quota.counters as c
      where c.subject_id = o.subject_id
        and c.feature_id = o.feature_id
        and c.period = o.period
        and c.period_end > b.period_start
        and c.period_start < b.resets_at
    ) as c on true;
end
$$;

comment on function quota.plan_periods is
  'The periods that lines count in, of subjects without exceptions and grants, on plans that do not move.';

-- Of a subject with exceptions or grants, or on a plan that moves or carries over, limits_of() knows the
-- limits; and open_counters() what becomes of counters that a moved anchor or zone left behind.
create function quota.open_odd_periods(
  p_lines quota.events[],
  p_at timestamptz
)
returns void
language plpgsql volatile security invoker set search_path = pg_catalog, pg_temp
as $$
declare
  v_subject_id text;
  v_feature_id text;
  v_counts_at timestamptz;
begin
  for v_subject_id, v_feature_id, v_counts_at in
    select p.subject_id, p.feature_id, p.counts_at
    from quota.plan_periods(p_lines) as p
    where p.is_moved
    union
    select l.subject_id, l.feature_id, l.counts_at
    from unnest(p_lines) as l
    join quota.subjects as s on s.subject_id = l.subject_id
    where s.has_extras
      or s.plan_id in (select p.plan_id from quota.plans as p where p.moves_from is not null)
      or exists (
        select from quota.plan_limits as n
        where n.plan_id = coalesce(
            case when s.plan_ends_at <= l.counts_at then null else s.plan_id end,
            (select d.plan_id from quota.plans as d where d.is_default)
          )
          and n.feature_id = l.feature_id
          and (n.mode <> 'hard' or n.rollover is not null)
      )
    order by 1, 2, 3
  loop
    perform quota.open_counters(
      v_subject_id, v_feature_id, p_at,
      (quota.limits_of(v_subject_id, v_feature_id, v_counts_at)).limits
    );
  end loop;
end
$$;

comment on function quota.open_odd_periods is
  'Opens one by one what the sets of open_many() would not open rightly.';

-- As note_open_span(), of many meters.
create function quota.open_spans(p_lines quota.events[])
returns table (subject_id text, feature_id text, open_from timestamptz, open_until timestamptz)
language plpgsql stable security invoker rows 10 set search_path = pg_catalog, pg_temp
as $$
begin
  return query
    select l.subject_id, l.feature_id,
      max(case when c.used is null then c.period_start else c.period_end end),
      coalesce(min(c.period_end) filter (where c.used is null), 'infinity')
    from (
      select e.subject_id, e.feature_id, min(e.counts_at) as first_at
      from unnest(p_lines) as e
      group by e.subject_id, e.feature_id
    ) as l
    join quota.meters as m on m.subject_id = l.subject_id and m.feature_id = l.feature_id
    left join quota.counters as c
      on c.subject_id = l.subject_id
      and c.feature_id = l.feature_id
      and c.period_end >= least(m.open_until, l.first_at)
    group by l.subject_id, l.feature_id;
end
$$;

comment on function quota.open_spans is
  'Where the open counters of the meters of these lines begin and end; null: there are none.';
