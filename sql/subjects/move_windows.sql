-- Windows of a subject that becomes an account are the account's: who has used one up has no fresh one. But
-- windows of a kind never overlap. One that does ends, and what was used in it counts in the account's own.
create function quota.move_windows(
  p_from text,
  p_into text
)
returns void
language plpgsql volatile security invoker set search_path = pg_catalog, pg_temp
as $$
declare
  v_window record;
begin
  for v_window in
    select c.feature_id, c.period, c.period_start, c.period_end
    from quota.counters as c
    where c.subject_id = p_from
      and c.period like '% %'
  loop
    if exists (
      select from quota.counters as o
      where o.subject_id = p_into
        and o.feature_id = v_window.feature_id
        and o.period = v_window.period
        and o.period_start < v_window.period_end
        and o.period_end > v_window.period_start
    ) then
      -- What opened it stays to be read.
      update quota.events as e
        set metadata = e.metadata - 'period'
          || jsonb_build_object('former_period', v_window.period)
        where e.subject_id = p_from
          and e.feature_id = v_window.feature_id
          and e.counts_at >= v_window.period_start
          and e.counts_at < v_window.period_end
          and e.kind = 'open'
          and e.metadata ->> 'period' = v_window.period;
    else
      update quota.counters as c
        set subject_id = p_into
        where c.subject_id = p_from
          and c.feature_id = v_window.feature_id
          and c.period_end = v_window.period_end
          and c.period = v_window.period;
    end if;
  end loop;
end
$$;

comment on function quota.move_windows is
  'Moves the windows of a subject whose lines are to be moved; what they count is to be summed up after.';
