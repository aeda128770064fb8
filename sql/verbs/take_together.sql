-- The plain way of a call that counts in several meters: in those of the levels above, of what it costs, and of
-- the caps of who acts. Each meter remembers how far its own limits let a part go plainly (joint_ceiling). When
-- all have moved, and the call still counts in just these, it is allowed, for the reasons that hold for one meter
-- (see sql/README.md); else all are set back, and it is asked properly.

create function quota.go_together(
  p_caller quota.caller,
  p_feature_id text,
  p_amount bigint,
  p_ttl interval,
  p_idempotency_key text,
  p_arguments jsonb,
  p_metadata jsonb,
  p_partial boolean,
  p_call quota.joint_call
)
returns public.usage_decision
language plpgsql volatile security invoker set search_path = pg_catalog, pg_temp
as $$
declare
  v_decision public.usage_decision;
begin
  -- A hold is made properly: each of its meters has one.
  if p_ttl is null then
    v_decision := quota.take_together(
      p_caller, p_feature_id, p_amount, p_idempotency_key, p_arguments, p_metadata, p_call
    );
  end if;
  if v_decision.allowed is null and p_idempotency_key is null then
    v_decision := quota.look_together(
      p_caller, p_feature_id, case when p_partial then 1 else p_amount end, quota.clock(), p_call
    );
    -- As in look_plainly(): where something is left, a call waits for what others may be giving back.
    if v_decision.allowed or v_decision.remaining + v_decision.reserved > 0 then
      return null;
    end if;
    v_decision.amount := p_amount;
  end if;
  return v_decision;
end
$$;

comment on function quota.go_together is
  'A call over several meters that is plainly allowed, or plainly refused. Null: ask properly. Errors: QAMNT.';

create function quota.take_together(
  p_caller quota.caller,
  p_feature_id text,
  p_amount bigint,
  p_idempotency_key text,
  p_arguments jsonb,
  p_metadata jsonb,
  p_call quota.joint_call
)
returns public.usage_decision
language plpgsql volatile security invoker set search_path = pg_catalog, pg_temp
as $$
declare
  v_call quota.joint_call := quota.move_together(p_caller, p_amount, p_call);
  v_now timestamptz;
  v_decision public.usage_decision;
  v_part quota.part;
begin
  <<counted>>
  begin
    exit counted when not v_call.has_moved;
    -- The time is read under the last lock: what began while the call waited holds for it.
    v_now := quota.clock();
    exit counted when v_now < v_call.fresh_from;
    if v_now >= v_call.fresh_until then
      v_call := quota.begin_joint_windows(v_call, v_now);
      exit counted when not v_call.has_moved;
    end if;
    v_decision := quota.joint_decision(
      p_caller.subject_id, p_feature_id, p_amount, v_call.parts, v_call.decisions
    );
    v_decision.event_id := quota.new_id(v_now);
    if quota.write_together(
      p_caller, v_call, v_decision, v_now, p_idempotency_key, p_arguments, p_metadata
    ) then
      return v_decision;
    end if;
  end;
  for i in 1 .. cardinality(v_call.parts) loop
    continue when v_call.amounts[i] is null;
    v_part := v_call.parts[i];
    perform quota.take_back(v_part.subject_id, v_part.feature_id, v_call.amounts[i], 0);
  end loop;
  return null;
end
$$;

comment on function quota.take_together is
  'Counts a call over several meters, if what they remember says that there is room in all. Null: nothing was counted, ask properly. Errors: QAMNT.';

-- Read before the locks, and looked at again under them (write_together()).
create function quota.joint_call_of(
  p_subject_id text,
  p_feature_id text
)
returns quota.joint_call
language plpgsql stable security invoker set search_path = pg_catalog, pg_temp
as $$
declare
  v_call quota.joint_call;
  v_ways text[];
  v_units bigint[];
  v_pers bigint[];
  v_subject_id text;
begin
  select m.catalogue_version, m.levels, m.lock_order, m.ways, m.units, m.pers
    into v_call.catalogue_version, v_call.levels, v_call.lock_order, v_ways, v_units, v_pers
    from quota.meters as m
    where m.subject_id = p_subject_id
      and m.feature_id = p_feature_id
      and m.catalogue_version = (select k.version from quota.catalogue as k)
      and m.fresh_from < 'infinity'
      and m.ways is not null
      -- A snapshot of a whole transaction may be older than the catalogue.
      and current_setting('transaction_isolation') = 'read committed';
  -- Where it counts in others by now, what was moved first would be held out of lock order.
  if not found or quota.levels_of(p_subject_id) <> v_call.levels then
    return null;
  end if;
  foreach v_subject_id in array v_call.levels loop
    for i in 1 .. cardinality(v_ways) loop
      v_call.parts := v_call.parts || row(
        v_subject_id, v_ways[i], v_units[i], v_pers[i], v_ways[i] <> p_feature_id
      )::quota.part;
    end loop;
  end loop;
  return v_call;
end
$$;

comment on function quota.joint_call_of is
  'What a call counts in, where it is not its own meter alone and that remembers it; else no parts.';
