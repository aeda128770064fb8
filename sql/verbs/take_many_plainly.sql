-- The plain way of consume_usage(), for many calls of one subject at once: one update of the meter, one
-- insert of their lines. Exact for the reasons that hold for one (see sql/README.md): when the sum of all
-- fits under the ceiling, each of them would have fitted in its turn.

create function quota.take_many_plainly(
  p_subject_id text,
  p_calls quota.many_calls,
  p_from integer,
  p_until integer
)
returns public.usage_decision[]
language plpgsql volatile security invoker set search_path = pg_catalog, pg_temp
as $$
declare
  v_feature_id text := p_calls.features[p_from];
  v_amounts bigint[] := p_calls.amounts[p_from:p_until];
  v_amount bigint := (select sum(a) from unnest(v_amounts) as a);
  v_meter record;
  v_now timestamptz;
  v_ids uuid[];
  v_decision public.usage_decision;
  v_decisions public.usage_decision[];
begin
  -- A snapshot of a whole transaction may be older than the catalogue.
  if current_setting('transaction_isolation') <> 'read committed' then
    return null;
  end if;
  perform quota.wait_in_line(p_subject_id, v_feature_id);
  update quota.meters as m
    set used = m.used + v_amount
    where m.subject_id = p_subject_id
      and m.feature_id = v_feature_id
      and m.fresh_from < 'infinity'
      and m.used + m.reserved >= m.floor
      and m.used + m.reserved + v_amount <= m.ceiling
    returning
      m.fresh_from, least(m.fresh_until, m.holds_expire_at) as fresh_until, m.catalogue_version, m.plan_id,
      m.upgrade_url, m.period, nullif(m.period_start, '-infinity') as period_start,
      nullif(m.period_end, 'infinity') as period_end, m.allowed, m.granted, m.used - m.used_before as used,
      m.reserved - m.reserved_before as reserved,
      case when m.period = m.long_period then m.long_carried else 0 end as carried
    into v_meter;
  if not found then
    return null;
  end if;
  -- The time is read under the lock: what began while the call waited holds for it.
  v_now := quota.clock();
  if v_now >= v_meter.fresh_from and v_now < v_meter.fresh_until then
    -- As new_id(), and in their order: what is random of one is of all, and a number is their own.
    select array_agg(
        (i.instant || '7' || lpad(to_hex(n), 3, '0') || i.random)::uuid order by n
      )
      into v_ids
      from (
        select lpad(to_hex((date_part('epoch', v_now) * 1000)::bigint), 12, '0') as instant,
          right(gen_random_uuid()::text, 18) as random
      ) as i
      cross join generate_series(1, cardinality(v_amounts)) as n;
    v_decision := row(
      true, 'ok', v_feature_id, p_subject_id, v_meter.plan_id, 0, v_meter.used - v_amount,
      v_meter.reserved, v_meter.allowed, v_meter.allowed - v_meter.used + v_amount - v_meter.reserved,
      v_meter.allowed is null, v_meter.period, v_meter.period_start, v_meter.period_end, null, null, null,
      false, v_meter.upgrade_url, v_meter.granted, v_meter.carried, v_feature_id, p_subject_id, null
    )::public.usage_decision;
    for i in 1 .. cardinality(v_amounts) loop
      v_decision.amount := v_amounts[i];
      v_decision.used := v_decision.used + v_amounts[i];
      v_decision.remaining := v_decision.remaining - v_amounts[i];
      v_decision.event_id := v_ids[i];
      v_decisions[i] := v_decision;
    end loop;
    if quota.write_many(
      p_subject_id, p_calls, p_from, p_until, v_decisions, v_ids, v_now, v_meter.catalogue_version
    ) then
      return v_decisions;
    end if;
  end if;
  perform quota.take_back(p_subject_id, v_feature_id, v_amount, 0);
  return null;
end
$$;

comment on function quota.take_many_plainly is
  'Counts those of the calls from one to another, which are of one feature, if what its meter remembers says that there is room for all. Null: nothing was counted, ask properly.';

create function quota.write_many(
  p_subject_id text,
  p_calls quota.many_calls,
  p_from integer,
  p_until integer,
  p_decisions public.usage_decision[],
  p_ids uuid[],
  p_at timestamptz,
  p_catalogue_version bigint
)
returns boolean
language plpgsql volatile security invoker set search_path = pg_catalog, pg_temp
as $$
declare
  v_feature_id text := p_calls.features[p_from];
  v_amounts bigint[] := p_calls.amounts[p_from:p_until];
  v_keys text[] := p_calls.keys[p_from:p_until];
  v_actors text[] := p_calls.actors[p_from:p_until];
  v_bound text[];
  v_missing bigint := 0;
begin
  -- The keys go before the lines: when one is taken, nothing was counted.
  if v_keys is not null then
    with bound as (
      insert into quota.keys (subject_id, owner_id, idempotency_key, bound_at, arguments, answers)
        select p_subject_id, '', c.idempotency_key, p_at,
          jsonb_build_object('call', 'consume_usage', 'feature', v_feature_id, 'amount', c.amount)
            || quota.further_arguments(nullif(c.actor, p_subject_id), false),
          array[quota.kept(p_decisions[c.n])]
        from unnest(v_keys, v_amounts, v_actors) with ordinality as c (idempotency_key, amount, actor, n)
        where c.idempotency_key is not null
        order by c.idempotency_key collate "C"
        on conflict do nothing
        returning idempotency_key
    )
    select array_agg(b.idempotency_key) into v_bound from bound as b;
    v_missing := cardinality(array_remove(v_keys, null)) - coalesce(cardinality(v_bound), 0);
  end if;
  if v_missing = 0 then
    -- A statement after the lock: is the catalogue still the edition that is remembered?
    insert into quota.events (
      subject_id, event_id, at, kind, feature_id, counts_at, used_change, actor, idempotency_key, metadata
    )
      select p_subject_id, c.event_id, p_at, 'consume', v_feature_id, p_at, c.amount,
        nullif(c.actor, p_subject_id), c.idempotency_key, coalesce(c.metadata, '{}')
      from quota.catalogue as k
      cross join unnest(p_ids, v_amounts, v_actors, v_keys, p_calls.metadata[p_from:p_until])
        as c (event_id, amount, actor, idempotency_key, metadata)
      where k.version = p_catalogue_version;
    if found then
      return true;
    end if;
  end if;
  delete from quota.keys as k
    where k.subject_id = p_subject_id
      and k.owner_id = ''
      and k.idempotency_key = any (v_bound);
  return false;
end
$$;

comment on function quota.write_many is
  'Binds the keys of calls of one feature and writes their lines. False: a key was taken, or the catalogue is another edition; then nothing is written.';

-- What is refused waits for nobody, and makes nobody wait: what was committed when it was looked at is a
-- right answer.
create function quota.refuse_many_plainly(
  p_caller quota.caller,
  p_calls quota.many_calls
)
returns public.usage_decision[]
language plpgsql stable security invoker set search_path = pg_catalog, pg_temp
as $$
declare
  v_call record;
  v_decision public.usage_decision;
  v_decisions public.usage_decision[];
begin
  -- A key may have been bound to what was allowed.
  if cardinality(array_remove(p_calls.keys, null)) > 0 then
    return null;
  end if;
  for v_call in
    select c.feature_id, c.amount, array_agg(c.n order by c.n) as places
    from unnest(p_calls.features, p_calls.amounts) with ordinality as c (feature_id, amount, n)
    group by c.feature_id, c.amount
  loop
    v_decision := quota.look_plainly(p_caller, v_call.feature_id, v_call.amount, null);
    if v_decision.allowed is distinct from false then
      return null;
    end if;
    for i in 1 .. cardinality(v_call.places) loop
      v_decisions[v_call.places[i]] := v_decision;
    end loop;
  end loop;
  return v_decisions;
end
$$;

comment on function quota.refuse_many_plainly is
  'What many calls are told where each is plainly refused, without a lock. Null: ask properly.';
