-- Rollover: what the plan's own allowance left in the period before stays for one more, and is used first.
-- By arithmetic, from the counter of that period, so a late refund frees it at once; what was carried into
-- that period is not carried again.

create function quota.carried_into(
  p_subject_id text,
  p_feature_id text,
  p_limit quota.limit_state,
  p_at timestamptz,
  p_anchor_at timestamptz,
  p_time_zone text,
  p_terms_changed_at timestamptz
)
returns bigint
language plpgsql stable security invoker set search_path = pg_catalog, pg_temp
as $$
declare
  v_from timestamptz;
  v_counter quota.counters;
  v_balance quota.balance;
begin
  if p_terms_changed_at >= p_limit.period_start then
    return null;
  end if;
  select p.period_start
    into v_from
    from quota.period_of(
      p_limit.period, p_limit.period_start - interval '1 microsecond', p_anchor_at, p_time_zone
    ) as p;
  select c.period_start, coalesce(c.used, m.used - c.used_before),
      coalesce(c.reserved, m.reserved - c.reserved_before),
      coalesce(c.drawn, m.drawn - c.drawn_before), c.carried,
      case when p_terms_changed_at > v_from then least(c.own, p_limit.amount) else c.own end
    into v_counter.period_start, v_counter.used, v_counter.reserved, v_counter.drawn,
      v_counter.carried, v_counter.own
    from quota.counters as c
    join quota.meters as m on m.subject_id = c.subject_id and m.feature_id = c.feature_id
    where c.subject_id = p_subject_id
      and c.feature_id = p_feature_id
      and c.period_end = p_limit.period_start
      and c.period = p_limit.period;
  if not found then
    -- Not used at all, by a subject that was there: on a plan that it was put on, or seen earlier.
    if p_terms_changed_at is null and not exists (
      select from quota.counters as c
      where c.subject_id = p_subject_id
        and c.feature_id = p_feature_id
        and c.period_end < p_limit.period_start
        and c.period = p_limit.period
    ) then
      return null;
    end if;
    v_balance := quota.ledger_balance(
      p_subject_id, p_feature_id, p_limit.period, v_from, p_limit.period_start
    );
    v_counter := row(
      p_subject_id, p_feature_id, p_limit.period, v_from, p_limit.period_start, 0, 0, 0, v_balance.used,
      v_balance.reserved, v_balance.drawn, null, 0, 0, p_limit.amount, 0, 0, null, p_limit.mode, null
    )::quota.counters;
  elsif v_counter.period_start <> v_from then
    -- A moved anchor or zone has cut it short.
    return null;
  end if;
  if v_counter.reserved > 0 then
    v_balance := quota.expired_holds(
      p_subject_id, p_feature_id, p_at, v_from, p_limit.period_start, v_counter.drawn > 0
    );
    v_counter.reserved := v_counter.reserved - v_balance.reserved;
    v_counter.drawn := v_counter.drawn - v_balance.drawn;
  end if;
  return quota.left_to_carry(p_limit.rollover, v_counter);
end
$$;

comment on function quota.carried_into is
  'How much of a period''s limit (its amount without it) was left of the period before; null where nothing can be: new terms, or a subject that was not there.';

create function quota.left_to_carry(
  p_rollover bigint,
  p_former quota.counters
)
returns bigint
language plpgsql immutable security invoker set search_path = pg_catalog, pg_temp
as $$
begin
  return least(
    p_rollover,
    greatest(
      coalesce(p_former.own, 0)
        - greatest(p_former.used + p_former.reserved - p_former.drawn - p_former.carried, 0),
      0
    )
  );
end
$$;

comment on function quota.left_to_carry is
  'What a period left of its own allowance: what it had carried was used first, grants last.';

-- A line of the past (a late refund, a commit): what was carried on from its period follows, as far as
-- that is written down. Rare, and it walks no further than the periods that began since.
create function quota.move_carried(p_event quota.events)
returns void
language plpgsql volatile security invoker set search_path = pg_catalog, pg_temp
as $$
declare
  v_period text;
  v_period_end timestamptz;
  v_rollover bigint;
  v_former quota.counters;
  v_carried bigint;
begin
  for v_period, v_period_end in
    select c.period, c.period_end
    from quota.counters as c
    where c.subject_id = p_event.subject_id
      and c.feature_id = p_event.feature_id
      and c.period_end > p_event.counts_at
      and c.period_start > p_event.counts_at
      and c.rollover is not null
      and c.used is not null
    order by c.period_end
  loop
    select c.rollover, f.own, f.used, f.reserved, f.drawn, f.carried
      into v_rollover, v_former.own, v_former.used, v_former.reserved, v_former.drawn, v_former.carried
      from quota.counters as c
      join quota.counters as f
        on f.subject_id = c.subject_id
        and f.feature_id = c.feature_id
        and f.period_end = c.period_start
        and f.period = c.period
      where c.subject_id = p_event.subject_id
        and c.feature_id = p_event.feature_id
        and c.period_end = v_period_end
        and c.period = v_period;
    continue when not found;
    v_carried := quota.left_to_carry(v_rollover, v_former);
    update quota.counters as c
      set carried = v_carried,
          last_limit = c.last_limit + v_carried - c.carried
      where c.subject_id = p_event.subject_id
        and c.feature_id = p_event.feature_id
        and c.period_end = v_period_end
        and c.period = v_period
        and c.carried <> v_carried;
  end loop;
end
$$;

comment on function quota.move_carried is
  'Works a line that counts in a closed period into what the closed ones after it have carried.';
