-- The general way: a call takes from a set of meters, in lock order, all or none. take() is its case of
-- one meter, and counts each part here, too.

create function quota.take_call(
  p_caller quota.caller,
  p_feature_id text,
  p_amount bigint,
  p_at timestamptz,
  p_kind text,
  p_idempotency_key text,
  p_arguments jsonb,
  p_metadata jsonb,
  p_partial boolean,
  p_ttl interval default null
)
returns public.usage_decision
language plpgsql volatile security invoker set search_path = pg_catalog, pg_temp
as $$
declare
  v_parts quota.part[] := quota.parts_of_call(p_caller, p_feature_id, p_at);
  v_reservation_id uuid;
  v_decision public.usage_decision;
begin
  if p_ttl is not null then
    v_reservation_id := quota.new_id(p_at);
  end if;
  if v_parts is null then
    v_decision := quota.take(
      p_caller, p_feature_id, p_amount, p_at, p_kind, v_reservation_id, p_idempotency_key,
      p_arguments, p_metadata, p_partial => p_partial
    );
    if v_decision.allowed and p_ttl is not null then
      perform quota.write_hold(
        p_caller.subject_id, v_reservation_id, p_feature_id, v_decision.amount, p_at, p_ttl,
        p_caller.actor, v_decision.reason = 'ok'
      );
    end if;
    return v_decision;
  end if;
  v_decision := quota.take_parts(
    p_caller, p_feature_id, p_amount, p_at, p_kind, v_reservation_id, p_idempotency_key, p_metadata,
    v_parts, p_partial => p_partial, p_ttl => p_ttl
  );
  if v_decision.allowed and p_idempotency_key is not null and not quota.bind_key(
    p_caller, p_idempotency_key, p_arguments, array[v_decision], p_at
  ) then
    -- Taken under other meters, so by another call: this raises, and undoes the parts.
    perform quota.replay_taken(p_caller, p_idempotency_key, p_arguments, p_at);
  end if;
  return v_decision;
end
$$;

comment on function quota.take_call is
  'take() for a call of one part or of several, and the hold that it makes where it is given a ttl. Expects lock_call(). Errors: QAMNT, 42501 server_only, QIDEM, 55P03.';

create function quota.take_parts(
  p_caller quota.caller,
  p_feature_id text,
  p_amount bigint,
  p_at timestamptz,
  p_kind text,
  p_reservation_id uuid,
  p_idempotency_key text,
  p_metadata jsonb,
  p_parts quota.part[],
  p_about_id uuid default null,
  p_partial boolean default false,
  p_ttl interval default null
)
returns public.usage_decision
language plpgsql volatile security invoker set search_path = pg_catalog, pg_temp
as $$
declare
  v_judgement quota.judgement;
  v_amount bigint := p_amount;
  v_own integer;
  v_call_id uuid;
  v_decisions public.usage_decision[];
begin
  perform quota.lock_late(p_parts);
  perform quota.lock_caps(p_parts, p_at);
  v_judgement := quota.judge_parts(
    p_caller.subject_id, p_feature_id, p_parts, v_amount, p_at, p_is_settled => true
  );
  if p_partial and not (v_judgement.decision).allowed then
    v_amount := greatest(v_judgement.fits, 1);
    v_judgement := quota.judge_parts(
      p_caller.subject_id, p_feature_id, p_parts, v_amount, p_at, p_is_settled => true
    );
  end if;
  if not (v_judgement.decision).allowed then
    v_judgement.decision.amount := p_amount;
    return v_judgement.decision;
  end if;

  -- The call's own part first: the others are about its line.
  v_own := quota.own_part(p_caller.subject_id, p_parts);
  v_decisions[v_own] := quota.take(
    p_caller, p_feature_id, v_amount, p_at, p_kind, p_reservation_id, p_idempotency_key, null,
    p_metadata, p_about_id, v_judgement.allowances[v_own]
  );
  v_call_id := coalesce(p_reservation_id, (v_decisions[v_own]).event_id);
  if p_ttl is not null then
    perform quota.write_hold(
      p_caller.subject_id, p_reservation_id, p_feature_id, v_amount, p_at, p_ttl, p_caller.actor, false
    );
  end if;
  for i in 1 .. cardinality(p_parts) loop
    if i <> v_own and (v_judgement.allowances[i]).kind = 'gauge' then
      v_decisions[i] := quota.note_level(
        p_parts[i], v_amount, p_at, v_judgement.allowances[i], p_reservation_id is not null
      );
    elsif i <> v_own then
      v_decisions[i] := quota.take_share(
        p_caller, p_feature_id, quota.price(v_amount, p_parts[i].units, p_parts[i].per), p_at,
        p_metadata, p_parts[i], v_judgement.allowances[i], v_call_id, p_ttl
      );
    end if;
  end loop;
  return quota.joint_decision(p_caller.subject_id, p_feature_id, v_amount, p_parts, v_decisions);
end
$$;

comment on function quota.take_parts is
  'Takes from all meters of a call, or from none, and answers for all of them; binds no key. Errors: QAMNT, 42501 server_only, 55P03.';

create function quota.own_part(
  p_subject_id text,
  p_parts quota.part[]
)
returns integer
language plpgsql immutable security invoker set search_path = pg_catalog, pg_temp
as $$
begin
  for i in 1 .. cardinality(p_parts) loop
    if p_parts[i].subject_id = p_subject_id and not p_parts[i].is_price then
      return i;
    end if;
  end loop;
  return null;
end
$$;

comment on function quota.own_part is 'Which of its parts is the call''s own.';

create function quota.take_share(
  p_caller quota.caller,
  p_feature_id text,
  p_amount bigint,
  p_at timestamptz,
  p_metadata jsonb,
  p_part quota.part,
  p_allowance quota.allowance,
  p_call_id uuid,
  p_ttl interval
)
returns public.usage_decision
language plpgsql volatile security invoker set search_path = pg_catalog, pg_temp
as $$
declare
  v_share_id uuid;
  v_decision public.usage_decision;
begin
  if p_ttl is not null then
    v_share_id := quota.new_id(p_at);
  end if;
  -- Who may call the feature pays its price, also in one that servers alone may call.
  v_decision := quota.take(
    row(p_part.subject_id, true, p_caller.actor)::quota.caller, p_part.feature_id, p_amount, p_at,
    quota.share_kind(p_part.is_price, p_ttl is not null), v_share_id, null, null, p_metadata,
    p_call_id, p_allowance
  );
  if p_ttl is not null then
    perform quota.write_hold(
      p_part.subject_id, v_share_id, p_part.feature_id, p_amount, p_at, p_ttl, p_caller.actor, false
    );
  end if;
  v_share_id := coalesce(v_share_id, v_decision.event_id);
  insert into quota.shares (
    subject_id, call_id, share_subject_id, share_feature_id, share_id, feature_id, units, per
  )
  values (
    p_caller.subject_id, p_call_id, p_part.subject_id, p_part.feature_id, v_share_id, p_feature_id,
    p_part.units, p_part.per
  );
  return v_decision;
end
$$;

comment on function quota.take_share is
  'Counts one other part of a call that has room, or holds it where it is given a ttl, and ties it to the call.';
