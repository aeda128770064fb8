-- The plain way of consume_usage(), for several meters that are locked.
create function quota.take_all_plainly(
  p_caller quota.caller,
  p_features text[],
  p_amounts bigint[],
  p_at timestamptz,
  p_batch_id uuid
)
returns public.usage_decision[]
language plpgsql volatile security invoker set search_path = pg_catalog, pg_temp
as $$
declare
  v_meter record;
  v_missing integer := (select count(distinct f) from unnest(p_features) as f);
  v_used bigint;
  v_event_id uuid;
  v_event quota.events;
  v_events quota.events[];
  v_decisions public.usage_decision[];
begin
  -- A snapshot of a whole transaction may be older than the catalogue.
  if current_setting('transaction_isolation') <> 'read committed' then
    return null;
  end if;
  for v_meter in
    update quota.meters as m
      set used = m.used + i.amount
      from (
        select f.feature_id, sum(f.amount)::bigint as amount
        from unnest(p_features, p_amounts) as f (feature_id, amount)
        group by f.feature_id
      ) as i
      where m.subject_id = p_caller.subject_id
        and m.feature_id = i.feature_id
        and m.fresh_from <= p_at
        and m.fresh_until > p_at
        and m.holds_expire_at > p_at
        and m.used + m.reserved >= m.floor
        and m.used + m.reserved + i.amount <= m.ceiling
        and (p_caller.is_trusted or not m.server_only)
        and exists (select from quota.catalogue as k where k.version = m.catalogue_version)
      returning
        m.feature_id, i.amount, m.plan_id, m.upgrade_url, m.period, m.period_start, m.period_end,
        m.allowed, m.granted, m.used - m.used_before as used, m.reserved - m.reserved_before as reserved,
        m.long_period, m.long_carried
  loop
    v_missing := v_missing - 1;
    v_used := v_meter.used - v_meter.amount;
    for i in 1 .. cardinality(p_features) loop
      continue when p_features[i] <> v_meter.feature_id;
      v_used := v_used + p_amounts[i];
      v_event_id := quota.new_id(p_at);
      v_events[i] := row(
        p_caller.subject_id, v_event_id, p_at, 'consume', v_meter.feature_id, p_at, p_amounts[i], 0, 0,
        p_batch_id, null, p_caller.actor, null, '{}'
      )::quota.events;
      v_decisions[i] := row(
        true, 'ok', v_meter.feature_id, p_caller.subject_id, v_meter.plan_id, p_amounts[i], v_used,
        v_meter.reserved, v_meter.allowed, v_meter.allowed - v_used - v_meter.reserved,
        v_meter.allowed is null, v_meter.period, nullif(v_meter.period_start, '-infinity'),
        nullif(v_meter.period_end, 'infinity'), null, v_event_id, null, false, v_meter.upgrade_url,
        v_meter.granted, case when v_meter.period = v_meter.long_period then v_meter.long_carried else 0 end,
        v_meter.feature_id, p_caller.subject_id, null
      )::public.usage_decision;
    end loop;
  end loop;
  if v_missing > 0 then
    -- What stands for a meter that did not move is null.
    foreach v_event in array coalesce(v_events, '{}') loop
      perform quota.take_back(v_event.subject_id, v_event.feature_id, v_event.used_change, 0);
    end loop;
    return null;
  end if;
  perform quota.write_lines(v_events);
  return v_decisions;
end
$$;

comment on function quota.take_all_plainly is
  'Counts all of these at an instant, if what the meters remember says that there is room. Null: nothing was counted, ask properly. Expects the meters to be locked.';
