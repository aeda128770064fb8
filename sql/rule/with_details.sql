-- What most calls need not look at: periods that have not been counted in yet, holds, grants.
create function quota.with_details(
  p_limits quota.limit_state[],
  p_subject_id text,
  p_feature_id text,
  p_at timestamptz,
  p_counted_before timestamptz,
  p_anchor_at timestamptz,
  p_time_zone text,
  p_is_plain boolean,
  p_is_settled boolean,
  p_terms_changed_at timestamptz
)
returns quota.limit_state[]
language plpgsql stable security invoker set search_path = pg_catalog, pg_temp
as $$
declare
  v_granted bigint := case
    when p_is_plain then 0
    else quota.granted_to(p_subject_id, p_feature_id, p_at)
  end;
  v_limits quota.limit_state[];
  v_limit quota.limit_state;
  v_balance quota.balance;
begin
  foreach v_limit in array coalesce(p_limits, '{}') loop
    if v_limit.period in ('minute', 'hour') then
      v_limit := quota.with_short_window(v_limit, p_subject_id, p_feature_id, p_at);
    end if;
    if v_limit.period like '% %' and not v_limit.is_counted and p_at < p_counted_before then
      v_limit := quota.window_ahead(p_subject_id, p_feature_id, p_at, v_limit);
    elsif v_limit.period not like '% %' and not v_limit.is_counted then
      select p.period_start, p.resets_at
        into v_limit.period_start, v_limit.resets_at
        from quota.period_of(v_limit.period, p_at, p_anchor_at, p_time_zone) as p;
      -- Most periods begin after the last line, and with nothing.
      if v_limit.period_start < p_counted_before then
        v_balance := quota.ledger_balance(
          p_subject_id, p_feature_id, v_limit.period, v_limit.period_start, v_limit.resets_at
        );
        v_limit.used := least(v_balance.used, 9007199254740991);
        v_limit.reserved := v_balance.reserved;
        v_limit.drawn := v_balance.drawn;
      end if;
    end if;
    if v_limit.reserved > 0 and not (p_is_settled and v_limit.is_counted) then
      v_balance := quota.expired_holds(
        p_subject_id, p_feature_id, p_at, v_limit.period_start, v_limit.resets_at, v_limit.drawn > 0
      );
      v_limit.reserved := v_limit.reserved - v_balance.reserved;
      v_limit.drawn := v_limit.drawn - v_balance.drawn;
    end if;
    if v_limit.rollover is not null then
      v_limit.carried := quota.carried_into(
        p_subject_id, p_feature_id, v_limit, p_at, p_anchor_at, p_time_zone, p_terms_changed_at
      );
      v_limit.amount := v_limit.amount + coalesce(v_limit.carried, 0);
    end if;
    -- Grants do not lift limits of minutes and hours.
    if v_limit.period ~ 'minute|hour' then
      v_limit.drawn := 0;
    else
      -- A plan that ends brings a limit that no call could refuse; it shows at most 2^53 - 1.
      if v_limit.amount is not null then
        v_limit.amount := least(v_limit.amount, 9007199254740991 - v_limit.drawn);
      end if;
      v_limit.granted := least(v_granted, 9007199254740991 - coalesce(v_limit.amount, 0) - v_limit.drawn);
    end if;
    v_limits := v_limits || v_limit;
  end loop;
  return v_limits;
end
$$;

comment on function quota.with_details is
  'The limits with the periods that have not been counted in yet, expired holds, what is carried over and grants worked in.';

-- Of minutes and hours, which are in no history, the meter knows the running one.
create function quota.with_short_window(
  p_limit quota.limit_state,
  p_subject_id text,
  p_feature_id text,
  p_at timestamptz
)
returns quota.limit_state
language plpgsql stable security invoker set search_path = pg_catalog, pg_temp
as $$
declare
  v_limit quota.limit_state := p_limit;
begin
  select w.period_end - w.length, w.period_end, least(w.used, 9007199254740991), w.reserved, true,
      w.alerted, w.alerted
    into v_limit.period_start, v_limit.resets_at, v_limit.used, v_limit.reserved, v_limit.is_counted,
      v_limit.alerted, v_limit.passed
    from quota.meters as m
    cross join lateral (
      select m.minute_until as period_end, interval '1 minute' as length,
        m.used - m.minute_used_before as used, m.reserved - m.minute_reserved_before as reserved,
        m.minute_alerted as alerted
      where p_limit.period = 'minute'
      union all
      select m.hour_until, interval '1 hour', m.used - m.hour_used_before,
        m.reserved - m.hour_reserved_before, m.hour_alerted
      where p_limit.period = 'hour'
    ) as w
    where m.subject_id = p_subject_id
      and m.feature_id = p_feature_id
      and w.period_end > p_at
      and w.period_end - w.length <= p_at;
  if not found then
    return p_limit;
  end if;
  return v_limit;
end
$$;

comment on function quota.with_short_window is
  'The limit of a minute or an hour with what the meter says of the running one; if that has ended, as it was.';
