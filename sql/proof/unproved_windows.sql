-- That a window was opened, when, and by what: its line says from when to when it goes, and a use or hold
-- counts at its first instant. What it counts, unproved_counters() proves, as of any period.
create function quota.unproved_windows(p_subject text)
returns setof public.usage_mismatch
language plpgsql stable security invoker set search_path = pg_catalog, pg_temp
as $$
begin
  return query
    with openings as materialized (
      select e.subject_id, e.feature_id, e.counts_at as period_start, e.metadata ->> 'period' as period,
        (e.metadata ->> 'period_end')::timestamptz as period_end
      from quota.events as e
      where (p_subject is null or e.subject_id = p_subject)
        and e.kind = 'open'
        -- Of a subject that was merged into this one: its windows are over.
        and e.metadata ? 'period'
    ),
    windows as materialized (
      select c.subject_id, c.feature_id, c.period_start, c.period, c.period_end,
        exists (
          select from quota.events as e
          where e.subject_id = c.subject_id
            and e.feature_id = c.feature_id
            and e.counts_at = c.period_start
            -- What is left of a window that was folded may be nothing.
            and (greatest(e.used_change, e.reserved_change) > 0 or e.kind = 'fold')
            and e.kind <> 'reset'
        ) as is_used
      from quota.counters as c
      where (p_subject is null or c.subject_id = p_subject)
        and c.period like '% %'
    )
    select w.subject_id, w.feature_id, 'window', w.period_start, 1::bigint, 0::bigint
    from windows as w
    left join openings as o using (subject_id, feature_id, period, period_start, period_end)
    where o.subject_id is null
      or not w.is_used
    union all
    -- One that was widened has a line for each of its starts.
    select o.subject_id, o.feature_id, 'window', o.period_start, 0, 1
    from openings as o
    left join windows as w using (subject_id, feature_id, period, period_end)
    where w.period_start <= o.period_start is not true;
end
$$;

comment on function quota.unproved_windows is
  'Windows that no line and no use has opened, and lines whose window is not there.';
