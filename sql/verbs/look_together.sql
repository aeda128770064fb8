-- look_plainly() for each part of a call over several meters, and one answer of all.
create function quota.look_together(
  p_caller quota.caller,
  p_feature_id text,
  p_amount bigint,
  p_at timestamptz,
  p_call quota.joint_call
)
returns public.usage_decision
language plpgsql stable security invoker set search_path = pg_catalog, pg_temp
as $$
declare
  v_call quota.joint_call := p_call;
  v_part quota.part;
  v_place integer := 0;
  v_has_caps boolean;
  v_decision public.usage_decision;
begin
  while v_place < cardinality(v_call.parts) loop
    v_place := v_place + 1;
    v_part := v_call.parts[v_place];
    v_decision := quota.look_plainly(
      row(v_part.subject_id, p_caller.is_trusted or v_part.is_price, null)::quota.caller,
      v_part.feature_id, quota.price(p_amount, v_part.units, v_part.per), p_at, p_is_part => true
    );
    if v_decision.allowed is null then
      if quota.is_no_cap(v_part) then
        v_call.parts := v_call.parts[:v_place - 1] || v_call.parts[v_place + 1:];
        v_place := v_place - 1;
        continue;
      end if;
      return null;
    end if;
    v_call.decisions[v_place] := v_decision;
    if p_caller.actor is not null then
      select m.has_caps
        into v_has_caps
        from quota.meters as m
        where m.subject_id = v_part.subject_id
          and m.feature_id = v_part.feature_id;
      if v_has_caps then
        v_call.parts := quota.with_cap(v_call.parts, v_part, p_caller.actor);
      end if;
    end if;
  end loop;
  if not quota.are_named(v_call) then
    return null;
  end if;
  return quota.joint_decision(
    p_caller.subject_id, p_feature_id, p_amount, v_call.parts, v_call.decisions
  );
end
$$;

comment on function quota.look_together is
  'What the meters of a call over several remember says to an amount at an instant, without a lock. Null: ask properly. Errors: QAMNT.';
