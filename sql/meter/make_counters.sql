-- The counters of many meters in two statements: those that are there, and those that begin.

-- Where the counter is there.
create function quota.note_limits(p_periods quota.plan_period[])
returns void
language plpgsql volatile security invoker set search_path = pg_catalog, pg_temp
as $$
begin
  update quota.counters as c
    set last_limit = p.amount,
        own = p.amount,
        carried = 0,
        rollover = null,
        mode = 'hard',
        passed = quota.mark_of(
          p.used, p.reserved, p.amount,
          (select f.marks from quota.features as f where f.feature_id = p.feature_id)
        )
    from (
      select distinct on (u.subject_id, u.feature_id, u.period, k.period_end)
        u.subject_id, u.feature_id, u.period, k.period_end, u.amount,
        coalesce(k.used, m.used - k.used_before) as used,
        coalesce(k.reserved, m.reserved - k.reserved_before) as reserved
      from unnest(p_periods) as u
      join quota.meters as m on m.subject_id = u.subject_id and m.feature_id = u.feature_id
      join quota.counters as k
        on k.subject_id = u.subject_id
        and k.feature_id = u.feature_id
        and k.period = u.period
        and k.period_end > u.counts_at
        and k.period_start <= u.counts_at
      where u.is_counted
      order by u.subject_id, u.feature_id, u.period, k.period_end, u.counts_at desc
    ) as p
    where c.subject_id = p.subject_id
      and c.feature_id = p.feature_id
      and c.period = p.period
      and c.period_end = p.period_end
      and (c.last_limit, c.mode, c.rollover) is distinct from (p.amount, 'hard', null);
end
$$;

comment on function quota.note_limits is 'Notes the limits of periods in their counters.';

-- The others begin with what the ledger says of their period.
create function quota.make_counters(p_periods quota.plan_period[])
returns void
language plpgsql volatile security invoker set search_path = pg_catalog, pg_temp
as $$
begin
  insert into quota.counters (
    subject_id, feature_id, period, period_start, period_end,
    used_before, reserved_before, drawn_before, used, reserved, drawn, last_limit, passed, own, over
  )
    select p.subject_id, p.feature_id, p.period, p.period_start, p.period_end,
      m.used - b.used, m.reserved - b.reserved, m.drawn - b.drawn,
      case when b.is_over then b.used end,
      case when b.is_over then b.reserved end,
      case when b.is_over then b.drawn end,
      p.amount, quota.mark_of(
        b.used, b.reserved, p.amount,
        (select f.marks from quota.features as f where f.feature_id = p.feature_id)
      ),
      p.amount, b.over
    from (
      select distinct on (u.subject_id, u.feature_id, u.period, u.period_end)
        u.subject_id, u.feature_id, u.period, u.period_start, u.period_end, u.amount
      from unnest(p_periods) as u
      where not u.is_counted
      order by u.subject_id, u.feature_id, u.period, u.period_end, u.counts_at desc
    ) as p
    join quota.meters as m on m.subject_id = p.subject_id and m.feature_id = p.feature_id
    cross join lateral (
      select coalesce(sum(e.used_change), 0)::bigint as used,
        coalesce(sum(e.reserved_change), 0)::bigint as reserved,
        coalesce(sum(e.drawn_change), 0)::bigint as drawn,
        exists (
          select from quota.events as o
          where o.subject_id = p.subject_id
            and o.feature_id = p.feature_id
            and o.counts_at >= p.period_end
        ) as is_over,
        -- As overage_in().
        coalesce(
          (
            select sum(v.units)
            from quota.overages as v
            where v.subject_id = p.subject_id
              and v.feature_id = p.feature_id
              and v.period = p.period
              and v.counts_at >= p.period_start
              and v.counts_at < p.period_end
              and v.mode <> 'shadow'
              and not v.is_held
          ),
          0
        ) as over
      from quota.events as e
      where e.subject_id = p.subject_id
        and e.feature_id = p.feature_id
        and e.counts_at >= p.period_start
        and e.counts_at < p.period_end
        -- As ledger_balance().
        and (e.kind <> 'reset' or e.metadata ->> 'period' = p.period)
    ) as b;
end
$$;

comment on function quota.make_counters is 'Makes the counters of periods that are missing.';
