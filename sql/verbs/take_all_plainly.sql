-- The plain way of consume_usage(), for the items of a batch: each meter moves under its own ceiling, in lock
-- order, and then the time is read. When one does not, all are set back, and the batch is asked properly.
create function quota.take_all_plainly(
  p_caller quota.caller,
  p_features text[],
  p_amounts bigint[],
  p_at timestamptz default null,
  p_batch_id uuid default null
)
returns public.usage_decision[]
language plpgsql volatile security invoker set search_path = pg_catalog, pg_temp
as $$
declare
  v_at timestamptz;
  v_feature_ids text[];
  v_amounts bigint[];
  v_version bigint;
  v_place integer;
  v_moved integer := 0;
  v_meter record;
  v_fresh_from timestamptz;
  v_fresh_until timestamptz;
  v_used bigint;
  v_decisions public.usage_decision[];
begin
  -- Only of meters that each stand alone: what counts elsewhere, too, may have to lock others before these.
  select array_agg(m.feature_id), (select k.version from quota.catalogue as k)
    into v_feature_ids, v_version
    from (
      select n.feature_id
      from quota.meters as n
      where n.subject_id = p_caller.subject_id
        and n.feature_id = any (p_features)
        and n.ceiling is not null
        and n.fresh_from < 'infinity'
        -- A snapshot of a whole transaction may be older than the catalogue.
        and current_setting('transaction_isolation') = 'read committed'
      order by n.feature_id
    ) as m;
  for i in 1 .. cardinality(p_features) loop
    v_place := array_position(v_feature_ids, p_features[i]);
    if v_place is null then
      return null;
    end if;
    v_amounts[v_place] := coalesce(v_amounts[v_place], 0) + p_amounts[i];
  end loop;
  while v_moved < cardinality(v_feature_ids) loop
    update quota.meters as m
      set used = m.used + v_amounts[v_moved + 1]
      where m.subject_id = p_caller.subject_id
        and m.feature_id = v_feature_ids[v_moved + 1]
        and m.fresh_from < 'infinity'
        and m.catalogue_version = v_version
        and m.used + m.reserved >= m.floor
        and m.used + m.reserved + v_amounts[v_moved + 1] <= m.ceiling
        and (p_caller.is_trusted or not m.server_only)
      returning
        m.fresh_from, least(m.fresh_until, m.holds_expire_at) as fresh_until, m.plan_id, m.upgrade_url,
        m.period, m.period_start, m.period_end, m.allowed, m.granted, m.used - m.used_before as used,
        m.reserved - m.reserved_before as reserved, m.long_period, m.long_carried
      into v_meter;
    exit when not found;
    v_moved := v_moved + 1;
    v_fresh_from := greatest(v_fresh_from, v_meter.fresh_from);
    v_fresh_until := least(v_fresh_until, v_meter.fresh_until);
    v_used := v_meter.used - v_amounts[v_moved];
    for i in 1 .. cardinality(p_features) loop
      continue when p_features[i] <> v_feature_ids[v_moved];
      v_used := v_used + p_amounts[i];
      v_decisions[i] := row(
        true, 'ok', p_features[i], p_caller.subject_id, v_meter.plan_id, p_amounts[i], v_used,
        v_meter.reserved, v_meter.allowed, v_meter.allowed - v_used - v_meter.reserved,
        v_meter.allowed is null, v_meter.period, nullif(v_meter.period_start, '-infinity'),
        nullif(v_meter.period_end, 'infinity'), null, null, null, false, v_meter.upgrade_url,
        v_meter.granted, case when v_meter.period = v_meter.long_period then v_meter.long_carried else 0 end,
        p_features[i], p_caller.subject_id, null
      )::public.usage_decision;
    end loop;
  end loop;
  -- The time is read under the last lock: what began while the call waited holds for it.
  v_at := coalesce(p_at, quota.clock());
  if v_moved = cardinality(v_feature_ids) and v_at >= v_fresh_from and v_at < v_fresh_until then
    v_decisions := quota.write_items(
      p_caller, v_decisions, p_features, p_amounts, v_at, p_batch_id, v_version
    );
    if v_decisions is not null then
      return v_decisions;
    end if;
  end if;
  for i in 1 .. v_moved loop
    perform quota.take_back(p_caller.subject_id, v_feature_ids[i], v_amounts[i], 0);
  end loop;
  return null;
end
$$;

comment on function quota.take_all_plainly is
  'Counts the items of a batch, if what their meters remember says that there is room for all. p_at: where the meters are locked already, the time of the decision. Null: nothing was counted, ask properly.';

create function quota.write_items(
  p_caller quota.caller,
  p_decisions public.usage_decision[],
  p_features text[],
  p_amounts bigint[],
  p_at timestamptz,
  p_batch_id uuid,
  p_catalogue_version bigint
)
returns public.usage_decision[]
language plpgsql volatile security invoker set search_path = pg_catalog, pg_temp
as $$
declare
  -- As new_id(), without calls.
  v_time text := lpad(to_hex((date_part('epoch', p_at) * 1000)::bigint), 12, '0') || '7';
  v_ids uuid[];
  v_decisions public.usage_decision[] := p_decisions;
begin
  for i in 1 .. cardinality(v_decisions) loop
    v_ids[i] := (v_time || right(gen_random_uuid()::text, 21))::uuid;
    v_decisions[i].event_id := v_ids[i];
  end loop;
  -- A statement after the locks: is the catalogue still the edition that is remembered?
  insert into quota.events (
    subject_id, event_id, at, kind, feature_id, counts_at, used_change, about_id, actor
  )
    select p_caller.subject_id, i.event_id, p_at, 'consume', i.feature_id, p_at, i.amount, p_batch_id,
      p_caller.actor
    from quota.catalogue as k
    cross join unnest(v_ids, p_features, p_amounts) as i (event_id, feature_id, amount)
    where k.version = p_catalogue_version;
  if found then
    return v_decisions;
  end if;
  return null;
end
$$;

comment on function quota.write_items is
  'Writes the lines of what was counted plainly, and returns the answers with their ids. Null: the catalogue is another edition, nothing was written.';
