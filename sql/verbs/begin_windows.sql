-- A minute or hour begins, and nothing else changes: its start is the reading before this call. No line
-- counts in an instant after the one at which the meter was last remembered (remember() has looked).
create function quota.begin_windows(
  p_subject_id text,
  p_feature_id text,
  p_at timestamptz,
  p_amount bigint,
  p_used_change bigint,
  out period text,
  out period_start timestamptz,
  out period_end timestamptz,
  out allowed bigint,
  out granted bigint,
  out used bigint,
  out reserved bigint
)
language plpgsql volatile security invoker set search_path = pg_catalog, pg_temp
as $$
declare
  v_meter quota.meters;
  v_total bigint;
begin
  select m.fresh_from, least(m.fresh_until, m.holds_expire_at), m.holds_expire_at,
      m.used, m.reserved, m.long_ceiling, m.long_until, m.long_period, m.long_start, m.long_end,
      m.long_allowed, m.long_granted, m.long_used_before, m.long_reserved_before,
      m.hour_limit, m.hour_until, m.hour_used_before, m.hour_reserved_before, m.hour_alerted,
      m.hour_ceiling, m.minute_limit, m.minute_until, m.minute_used_before, m.minute_reserved_before,
      m.minute_alerted, m.first_mark
    into v_meter.fresh_from, v_meter.fresh_until, v_meter.holds_expire_at,
      v_meter.used, v_meter.reserved, v_meter.long_ceiling, v_meter.long_until,
      v_meter.long_period, v_meter.long_start, v_meter.long_end, v_meter.long_allowed,
      v_meter.long_granted, v_meter.long_used_before, v_meter.long_reserved_before,
      v_meter.hour_limit, v_meter.hour_until, v_meter.hour_used_before, v_meter.hour_reserved_before,
      v_meter.hour_alerted, v_meter.hour_ceiling, v_meter.minute_limit, v_meter.minute_until,
      v_meter.minute_used_before, v_meter.minute_reserved_before, v_meter.minute_alerted,
      v_meter.first_mark
    from quota.meters as m
    where m.subject_id = p_subject_id
      and m.feature_id = p_feature_id;
  -- Nothing has ended, or more than that.
  if p_at < v_meter.fresh_from or p_at < v_meter.fresh_until
    or p_at >= least(v_meter.long_until, v_meter.holds_expire_at)
  then
    return;
  end if;
  v_total := v_meter.used + v_meter.reserved - p_amount;
  v_meter.ceiling := v_meter.long_ceiling;
  v_meter.fresh_until := v_meter.long_until;
  period := v_meter.long_period;
  period_start := v_meter.long_start;
  period_end := v_meter.long_end;
  allowed := v_meter.long_allowed;
  granted := case when v_meter.long_period ~ 'minute|hour' then 0 else v_meter.long_granted end;
  used := v_meter.used - v_meter.long_used_before;
  reserved := v_meter.reserved - v_meter.long_reserved_before;

  if v_meter.hour_limit is not null then
    if p_at >= v_meter.hour_until then
      v_meter.hour_until := date_trunc('hour', p_at, 'UTC') + interval '1 hour';
      v_meter.hour_used_before := v_meter.used - p_used_change;
      v_meter.hour_reserved_before := v_meter.reserved - p_amount + p_used_change;
      v_meter.hour_alerted := 0;
      v_meter.hour_ceiling := v_total
        + case
          when v_meter.hour_limit < 0 then 9007199254740991
          else (v_meter.hour_limit * v_meter.first_mark + 99) / 100 - 1
        end;
    end if;
    v_meter.ceiling := least(v_meter.ceiling, v_meter.hour_ceiling);
    v_meter.fresh_until := least(v_meter.fresh_until, v_meter.hour_until);
    if period is null or coalesce(
      v_meter.hour_limit - v_meter.used - v_meter.reserved
        + v_meter.hour_used_before + v_meter.hour_reserved_before < allowed - used - reserved,
      true
    ) and v_meter.hour_limit >= 0 then
      period := 'hour';
      period_start := v_meter.hour_until - interval '1 hour';
      period_end := v_meter.hour_until;
      allowed := nullif(v_meter.hour_limit, -1);
      granted := 0;
      used := v_meter.used - v_meter.hour_used_before;
      reserved := v_meter.reserved - v_meter.hour_reserved_before;
    end if;
  end if;
  if v_meter.minute_limit is not null then
    v_meter.minute_until := date_trunc('minute', p_at, 'UTC') + interval '1 minute';
    v_meter.minute_used_before := v_meter.used - p_used_change;
    v_meter.minute_reserved_before := v_meter.reserved - p_amount + p_used_change;
    v_meter.minute_alerted := 0;
    v_meter.ceiling := least(
      v_meter.ceiling,
      v_total
        + case
          when v_meter.minute_limit < 0 then 9007199254740991
          else (v_meter.minute_limit * v_meter.first_mark + 99) / 100 - 1
        end
    );
    v_meter.fresh_until := least(v_meter.fresh_until, v_meter.minute_until);
    if period is null or coalesce(
      v_meter.minute_limit - p_amount < allowed - used - reserved, true
    ) and v_meter.minute_limit >= 0 then
      period := 'minute';
      period_start := v_meter.minute_until - interval '1 minute';
      period_end := v_meter.minute_until;
      allowed := nullif(v_meter.minute_limit, -1);
      granted := 0;
      used := p_used_change;
      reserved := p_amount - p_used_change;
    end if;
  end if;
  if v_total + p_amount > v_meter.ceiling then
    period := null;
    return;
  end if;

  update quota.meters as m
    set fresh_from = p_at,
        fresh_until = v_meter.fresh_until,
        ceiling = case when m.ceiling is not null then v_meter.ceiling end, joint_ceiling = v_meter.ceiling,
        minute_until = v_meter.minute_until,
        minute_used_before = v_meter.minute_used_before,
        minute_reserved_before = v_meter.minute_reserved_before,
        minute_alerted = v_meter.minute_alerted,
        hour_until = v_meter.hour_until,
        hour_used_before = v_meter.hour_used_before,
        hour_reserved_before = v_meter.hour_reserved_before,
        hour_alerted = v_meter.hour_alerted,
        hour_ceiling = v_meter.hour_ceiling,
        period = begin_windows.period,
        period_start = begin_windows.period_start,
        period_end = begin_windows.period_end,
        allowed = begin_windows.allowed,
        granted = begin_windows.granted,
        used_before = m.used - begin_windows.used,
        reserved_before = m.reserved - begin_windows.reserved
    where m.subject_id = p_subject_id
      and m.feature_id = p_feature_id;
end
$$;

comment on function quota.begin_windows is
  'Begins the minute and the hour that hold an instant with a call that the meter has counted already, and returns the limit to show; no period: it does not plainly fit.';
