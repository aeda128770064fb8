-- What take_together() does to the meters, and the lines that it writes.

-- In lock order: subjects in byte order, of each its features; then caps, which are touched holding their holder's meter.
create function quota.move_together(
  p_caller quota.caller,
  p_amount bigint,
  p_call quota.joint_call
)
returns quota.joint_call
language plpgsql volatile security invoker set search_path = pg_catalog, pg_temp
as $$
declare
  v_call quota.joint_call := p_call;
  v_moved integer := 0;
  v_place integer;
  v_part quota.part;
  v_amount bigint;
  v_meter record;
  v_names_all boolean := true;
begin
  v_call.has_moved := false;
  -- The meter of the highest level is everybody's.
  perform quota.wait_in_line(p_call.levels[1], (p_call.parts[cardinality(p_call.parts)]).feature_id);
  while v_moved < cardinality(v_call.parts) loop
    v_moved := v_moved + 1;
    v_place := coalesce(p_call.lock_order[v_moved], v_moved);
    v_part := v_call.parts[v_place];
    v_amount := case
      when v_part.is_price then quota.price(p_amount, v_part.units, v_part.per) else p_amount
    end;
    update quota.meters as m
      set used = m.used + v_amount
      where m.subject_id = v_part.subject_id
        and m.feature_id = v_part.feature_id
        and m.fresh_from < 'infinity'
        and m.catalogue_version = p_call.catalogue_version
        and m.used + m.reserved >= m.floor
        and m.used + m.reserved + v_amount <= m.joint_ceiling
      returning
        m.fresh_from, least(m.fresh_until, m.holds_expire_at) as fresh_until, m.plan_id, m.upgrade_url,
        m.period, m.period_start, m.period_end, m.allowed, m.granted, m.used - m.used_before as used,
        m.reserved - m.reserved_before as reserved, m.long_period, m.long_carried, m.has_caps
      into v_meter;
    if not found then
      -- Others may have caps of it, and this one none.
      if quota.is_no_cap(v_part) then
        v_call.parts := v_call.parts[:v_moved - 1] || v_call.parts[v_moved + 1:];
        v_moved := v_moved - 1;
        continue;
      end if;
      return v_call;
    end if;
    v_names_all := v_names_all and v_meter.period is not null;
    v_call.amounts[v_place] := v_amount;
    v_call.ends[v_place] := v_meter.fresh_until;
    v_call.fresh_from := greatest(v_call.fresh_from, v_meter.fresh_from);
    v_call.fresh_until := least(v_call.fresh_until, v_meter.fresh_until);
    v_call.decisions[v_place] := row(
      true, 'ok', v_part.feature_id, v_part.subject_id, v_meter.plan_id, v_amount, v_meter.used,
      v_meter.reserved, v_meter.allowed, v_meter.allowed - v_meter.used - v_meter.reserved,
      v_meter.allowed is null, v_meter.period, nullif(v_meter.period_start, '-infinity'),
      nullif(v_meter.period_end, 'infinity'), null, null, null, false, v_meter.upgrade_url,
      v_meter.granted, case when v_meter.period = v_meter.long_period then v_meter.long_carried else 0 end,
      v_part.feature_id, v_part.subject_id, null
    )::public.usage_decision;
    if v_meter.has_caps and p_caller.actor is not null then
      v_call.parts := quota.with_cap(v_call.parts, v_part, p_caller.actor);
    end if;
  end loop;
  v_call.has_moved := v_names_all or quota.are_named(v_call);
  return v_call;
end
$$;

comment on function quota.move_together is
  'Moves the meters of a call, as far as each allows its part plainly. Errors: QAMNT.';

create function quota.with_cap(
  p_parts quota.part[],
  p_part quota.part,
  p_actor text
)
returns quota.part[]
language plpgsql stable security invoker set search_path = pg_catalog, pg_temp
as $$
declare
  v_cap quota.part := p_part;
  v_member text := quota.account_of(p_actor);
begin
  if v_member = p_part.subject_id then
    return p_parts;
  end if;
  v_cap.subject_id := quota.cap_id(p_part.subject_id, v_member);
  return p_parts || v_cap;
end
$$;

comment on function quota.with_cap is
  'The parts of a call, and after them the cap of who acts beside one of them; who acts for itself has none.';

create function quota.is_no_cap(p_part quota.part)
returns boolean
language plpgsql stable security invoker set search_path = pg_catalog, pg_temp
as $$
declare
  v_holder_id text := quota.cap_holder(p_part.subject_id);
  v_member text := quota.cap_member(p_part.subject_id);
begin
  return v_member is not null
    and not quota.is_begun(v_holder_id, p_part.feature_id, v_member)
    and not quota.is_capped(v_holder_id, p_part.feature_id, v_member, quota.clock());
end
$$;

comment on function quota.is_no_cap is
  'Whether a part is of a member without a cap. Expects the meter of its organisation to be locked, or makes no promise.';

-- As in judge_parts(): a level that does not name a feature counts, and does not limit; one level must.
create function quota.are_named(p_call quota.joint_call)
returns boolean
language plpgsql immutable security invoker set search_path = pg_catalog, pg_temp
as $$
declare
  v_part quota.part;
  v_named text[] := '{}'::text[];
begin
  for i in 1 .. cardinality(p_call.parts) loop
    v_part := p_call.parts[i];
    -- A cap names nothing.
    if (p_call.decisions[i]).period is not null and strpos(v_part.subject_id, chr(31)) = 0 then
      v_named := v_named || v_part.feature_id;
    end if;
  end loop;
  return quota.needed_features(p_call.parts) <@ v_named;
end
$$;

comment on function quota.are_named is 'Whether the plan of a level names what a call needs to be named.';

-- Of some of them a minute or an hour has ended.
create function quota.begin_joint_windows(
  p_call quota.joint_call,
  p_at timestamptz
)
returns quota.joint_call
language plpgsql volatile security invoker set search_path = pg_catalog, pg_temp
as $$
declare
  v_call quota.joint_call := p_call;
  v_part quota.part;
  v_limit record;
  v_decision public.usage_decision;
begin
  for i in 1 .. cardinality(p_call.parts) loop
    continue when p_at < p_call.ends[i];
    v_part := p_call.parts[i];
    select w.period, w.period_start, w.period_end, w.allowed, w.granted, w.used, w.reserved
      into v_limit
      from quota.begin_windows(
        v_part.subject_id, v_part.feature_id, p_at, p_call.amounts[i], p_call.amounts[i]
      ) as w;
    v_call.has_moved := v_call.has_moved and v_limit.period is not null;
    v_decision := p_call.decisions[i];
    v_decision.period := v_limit.period;
    v_decision.period_start := nullif(v_limit.period_start, '-infinity');
    v_decision.resets_at := nullif(v_limit.period_end, 'infinity');
    v_decision."limit" := v_limit.allowed;
    v_decision.unlimited := v_limit.allowed is null;
    v_decision.granted := v_limit.granted;
    v_decision.used := v_limit.used;
    v_decision.reserved := v_limit.reserved;
    v_decision.remaining := v_limit.allowed - v_limit.used - v_limit.reserved;
    v_call.decisions[i] := v_decision;
  end loop;
  return v_call;
end
$$;

comment on function quota.begin_joint_windows is
  'begin_windows() for those meters of a call whose minute or hour is over; has_moved: the call fits plainly still.';

-- What the call has moved, as a line for each meter, the call's own first among them: the others are about it.
create function quota.write_together(
  p_caller quota.caller,
  p_call quota.joint_call,
  p_decision public.usage_decision,
  p_at timestamptz,
  p_idempotency_key text,
  p_arguments jsonb,
  p_metadata jsonb
)
returns boolean
language plpgsql volatile security invoker set search_path = pg_catalog, pg_temp
as $$
declare
  v_own integer := quota.own_part(p_caller.subject_id, p_call.parts);
  v_part quota.part;
  v_id uuid;
begin
  -- Looked at after the locks, as the catalogue below: whoever gives a subject another parent holds its meters.
  if quota.levels_of(p_caller.subject_id) <> p_call.levels then
    return false;
  end if;
  -- The key goes before the lines: when it is taken, nothing was counted.
  if p_idempotency_key is not null and not quota.bind_key(
    p_caller, p_idempotency_key, p_arguments, array[p_decision], p_at
  ) then
    return false;
  end if;
  -- Is the catalogue still the edition that is remembered?
  insert into quota.events (
    subject_id, event_id, at, kind, feature_id, counts_at, used_change, actor, idempotency_key, metadata
  )
    select p_caller.subject_id, p_decision.event_id, p_at, 'consume', p_decision.feature, p_at,
      p_call.amounts[v_own], p_caller.actor, p_idempotency_key, p_metadata
    from quota.catalogue as k
    where k.version = p_call.catalogue_version;
  if not found then
    perform quota.free_key(p_caller, p_idempotency_key);
    return false;
  end if;
  for i in 1 .. cardinality(p_call.parts) loop
    continue when i = v_own;
    v_part := p_call.parts[i];
    -- As new_id(), without a call: of the same instant.
    v_id := (left(p_decision.event_id::text, 15) || right(gen_random_uuid()::text, 21))::uuid;
    insert into quota.events (
      subject_id, event_id, at, kind, feature_id, counts_at, used_change, about_id, actor, metadata
    )
    values (
      v_part.subject_id, v_id, p_at, case when v_part.is_price then 'cost' else 'level' end,
      v_part.feature_id, p_at, p_call.amounts[i], p_decision.event_id, p_caller.actor, p_metadata
    );
    insert into quota.shares (
      subject_id, call_id, share_subject_id, share_feature_id, share_id, feature_id, units, per
    )
    values (
      p_caller.subject_id, p_decision.event_id, v_part.subject_id, v_part.feature_id, v_id,
      p_decision.feature, v_part.units, v_part.per
    );
  end loop;
  return true;
end
$$;

comment on function quota.write_together is
  'Binds the key of a call over several meters and writes its lines. False: the key was taken, or what the call counts in has changed; then nothing is written.';
