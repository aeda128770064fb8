-- Overage: what was past a limit when it was taken. Expects the meter to be locked and the counters open.

-- Beside the line that took it (of a hold: the reservation).
create function quota.write_overages(
  p_event quota.events,
  p_over quota.overage[],
  p_plan_id text
)
returns void
language plpgsql volatile security invoker set search_path = pg_catalog, pg_temp
as $$
declare
  v_is_held boolean := p_event.kind = 'reserve';
  v_over quota.overage;
begin
  foreach v_over in array p_over loop
    insert into quota.overages (
      subject_id, event_id, period, feature_id, plan_id, counts_at, mode, units, is_held
    )
    values (
      p_event.subject_id, case when v_is_held then p_event.about_id else p_event.event_id end,
      v_over.period, p_event.feature_id, p_plan_id, p_event.counts_at, v_over.mode, v_over.units,
      v_is_held
    );
    continue when v_over.mode = 'shadow';
    update quota.counters as c
      set over = c.over + case when v_is_held then 0 else v_over.units end,
          crossed_at = coalesce(c.crossed_at, p_event.counts_at)
      where c.subject_id = p_event.subject_id
        and c.feature_id = p_event.feature_id
        and c.period = v_over.period
        and c.period_end > p_event.counts_at
        and c.period_start <= p_event.counts_at;
  end loop;
end
$$;

comment on function quota.write_overages is
  'Notes how far a line went past limits, with the line and in their counters.';

-- The first units of a hold were within the limit, so a commit of less takes its overage off first. What
-- it did not cover is past the limit as far as there was no room for it.
create function quota.overage_of_commit(
  p_hold quota.reservations,
  p_amount bigint,
  p_excess bigint,
  p_limits quota.limit_state[]
)
returns quota.overage[]
language plpgsql stable security invoker set search_path = pg_catalog, pg_temp
as $$
begin
  return array(
    select row(u.period, sum(u.units), min(u.mode))::quota.overage
    from (
      select o.period, o.mode, p_amount - p_excess - p_hold.amount + o.units as units
      from quota.overages as o
      where not p_hold.is_plain
        and p_hold.state = 'open'
        and o.subject_id = p_hold.subject_id
        and o.event_id = p_hold.reservation_id
        and o.mode <> 'shadow'
      union all
      select l.period, l.mode, least(p_excess, -quota.room(l))
      from unnest(p_limits) as l
      where p_excess > 0
        and quota.room(l) < 0
    ) as u
    where u.units > 0
    group by u.period
  );
end
$$;

comment on function quota.overage_of_commit is
  'What a commit uses past limits, of which p_excess was not held; the limits as they are after it.';

-- What was used past the limit is given back first.
create function quota.refund_overages(p_refund quota.events)
returns void
language plpgsql volatile security invoker set search_path = pg_catalog, pg_temp
as $$
declare
  v_period text;
  v_mode text;
  v_plan_id text;
  v_units bigint;
begin
  for v_period, v_mode, v_plan_id, v_units in
    select o.period, o.mode, o.plan_id,
      -- A fresh start may have taken it off already.
      least(
        -p_refund.used_change,
        o.units + coalesce((
          select sum(r.units)
          from quota.events as e
          join quota.overages as r on r.subject_id = e.subject_id and r.event_id = e.event_id
          where e.subject_id = o.subject_id
            and e.about_id = o.event_id
            and e.kind = 'refund'
            and r.period = o.period
        ), 0),
        c.over
      )
    from quota.overages as o
    left join quota.counters as c
      on c.subject_id = o.subject_id
      and c.feature_id = o.feature_id
      and c.period = o.period
      and c.period_end > o.counts_at
      and c.period_start <= o.counts_at
    where o.subject_id = p_refund.subject_id
      and o.event_id = p_refund.about_id
      and o.mode <> 'shadow'
  loop
    continue when v_units <= 0;
    perform quota.write_overages(
      p_refund, array[row(v_period, -v_units, v_mode)::quota.overage], v_plan_id
    );
  end loop;
end
$$;

comment on function quota.refund_overages is 'Takes off the overage of a use what a refund gives back of it.';

-- A fresh start: nothing is past the limit any more, and a grace begins when it is next.
create function quota.reset_overages(p_reset quota.events)
returns void
language plpgsql volatile security invoker set search_path = pg_catalog, pg_temp
as $$
declare
  v_period text := p_reset.metadata ->> 'period';
  v_over bigint;
begin
  select c.over
    into v_over
    from quota.counters as c
    where c.subject_id = p_reset.subject_id
      and c.feature_id = p_reset.feature_id
      and c.period = v_period
      and c.period_end > p_reset.counts_at
      and c.period_start <= p_reset.counts_at
      and c.crossed_at is not null;
  if not found then
    return;
  end if;
  if v_over <> 0 then
    perform quota.write_overages(p_reset, array[row(v_period, -v_over, 'soft')::quota.overage], null);
  end if;
  update quota.counters as c
    set crossed_at = null
    where c.subject_id = p_reset.subject_id
      and c.feature_id = p_reset.feature_id
      and c.period = v_period
      and c.period_end > p_reset.counts_at
      and c.period_start <= p_reset.counts_at;
end
$$;

comment on function quota.reset_overages is 'Takes off the overage of a period that begins afresh.';

create function quota.overage_in(
  p_subject_id text,
  p_feature_id text,
  p_period text,
  p_from timestamptz,
  p_until timestamptz
)
returns bigint
language plpgsql stable strict security invoker set search_path = pg_catalog, pg_temp
as $$
begin
  return coalesce(
    (
      select sum(o.units)
      from quota.overages as o
      where o.subject_id = p_subject_id
        and o.feature_id = p_feature_id
        and o.period = p_period
        and o.counts_at >= p_from
        and o.counts_at < p_until
        and o.mode <> 'shadow'
        and not o.is_held
    ),
    0
  );
end
$$;

comment on function quota.overage_in is 'What was used past a limit in [p_from, p_until), less what was taken off again.';
