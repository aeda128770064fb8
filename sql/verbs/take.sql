-- The proper way, under the lock.

-- Lock the meter → probe the key → read the limits in a new statement after the lock → decide → write the
-- line → update the counters. In this order nothing ever has to be undone, and it is exact at every
-- isolation level: what is decided on is read under the lock, and at repeatable read and serializable
-- lock_meter() fails with 40001 when the snapshot is older than the last call.
create function quota.take_properly(
  p_caller quota.caller,
  p_feature_id text,
  p_amount bigint,
  p_ttl interval,
  p_idempotency_key text,
  p_arguments jsonb,
  p_metadata jsonb,
  p_partial boolean,
  p_is_first boolean
)
returns public.usage_decision
language plpgsql volatile security invoker set search_path = pg_catalog, pg_temp
as $$
declare
  v_answers quota.kept_answer[];
  v_own quota.own_lock;
  v_call quota.joint_call;
  v_decision public.usage_decision;
begin
  if (
    length(p_caller.subject_id) between 1 and 255 and strpos(p_caller.subject_id, chr(31)) = 0
    and p_amount <= 9007199254740991
  ) is not true then
    perform quota.caller_for(p_caller.subject_id);
    perform quota.check_amount(p_amount);
  end if;
  if p_is_first then
    v_decision := quota.take_first(p_caller, p_feature_id, p_amount, p_metadata);
    if v_decision.allowed then
      return v_decision;
    end if;
  end if;
  if p_caller.is_trusted is not true then
    perform quota.check_server_only(p_caller, array[p_feature_id]);
  end if;
  if p_idempotency_key is not null and p_ttl is null then
    -- Most repetitions come when the first call has long committed: they are told without a lock.
    v_answers := quota.replay(p_caller, p_idempotency_key, p_arguments, quota.clock());
    if v_answers is not null then
      return quota.replayed(v_answers[1]);
    end if;
  end if;
  v_call := quota.joint_call_of(p_caller.subject_id, p_feature_id);
  if v_call.parts is not null then
    v_decision := quota.go_together(
      p_caller, p_feature_id, p_amount, p_ttl, p_idempotency_key, p_arguments, p_metadata, p_partial, v_call
    );
    if v_decision.allowed is not null then
      return v_decision;
    end if;
  end if;
  v_own := quota.lock_call(p_caller, array[p_feature_id]);
  if p_idempotency_key is not null then
    v_answers := quota.replay(v_own.caller, p_idempotency_key, p_arguments, v_own.at);
  end if;
  if v_answers is null then
    v_decision := quota.take_call(
      v_own.caller, p_feature_id, p_amount, v_own.at,
      case when p_ttl is null then 'consume' else 'reserve' end,
      p_idempotency_key, p_arguments, p_metadata, p_partial, p_ttl
    );
    if v_decision.allowed is not null then
      return v_decision;
    end if;
    v_answers := quota.replay_taken(v_own.caller, p_idempotency_key, p_arguments, v_own.at);
  end if;
  return quota.replayed(v_answers[1]);
end
$$;

comment on function quota.take_properly is
  'Decides under the locks of the meters that the call takes from, and counts or (given a ttl) holds if there is room. p_is_first: it has no meter yet, as far as is known. Errors: as consume_usage.';

-- The one way in which an amount is taken. consume, reserve, batch and limited tables
-- all come here, holding the meter.

create function quota.take(
  p_caller quota.caller,
  p_feature_id text,
  p_amount bigint,
  p_at timestamptz,
  p_kind text,
  p_reservation_id uuid,
  p_idempotency_key text,
  p_arguments jsonb,
  p_metadata jsonb,
  p_about_id uuid default null,
  p_allowance quota.allowance default null,
  p_partial boolean default false
)
returns public.usage_decision
language plpgsql volatile security invoker set search_path = pg_catalog, pg_temp
as $$
declare
  v_allowance quota.allowance := p_allowance;
  v_verdict quota.verdict;
  v_amount bigint := p_amount;
  v_event quota.events;
  v_before quota.limit_state[];
  v_after quota.limit_state[];
  v_shown quota.limit_state;
  v_decision public.usage_decision;
begin
  if v_allowance.kind is null then
    v_allowance := quota.limits_of(p_caller.subject_id, p_feature_id, p_at, p_is_settled => true);
  end if;
  if v_allowance.server_only and p_caller.is_trusted is not true then
    perform quota.reject_user();
  end if;
  v_verdict := quota.decide(v_allowance.limits, v_amount);
  if p_partial and not v_verdict.is_allowed then
    v_amount := quota.what_fits(v_allowance.limits); -- If that is nothing: when will one?
    v_verdict := quota.decide(v_allowance.limits, v_amount);
  end if;
  if not v_verdict.is_allowed then
    v_decision := quota.refusal(
      p_caller.subject_id, p_feature_id, v_amount, p_at, v_allowance, v_verdict
    );
    v_decision.amount := p_amount;
    return v_decision;
  end if;
  if v_allowance.kind = 'gauge' then
    -- What goes up and down draws nothing: an open grant raises its limit.
    v_verdict.drawn := 0;
  end if;
  perform quota.open_counters(p_caller.subject_id, p_feature_id, p_at, v_allowance.limits);
  v_before := case when v_allowance.opens is not true then v_allowance.limits
    else quota.open_windows(p_caller.subject_id, p_feature_id, p_at, v_allowance) end;
  v_event := row(
    p_caller.subject_id, quota.new_id(p_at), p_at, p_kind, p_feature_id, p_at,
    case when p_reservation_id is null then v_amount else 0 end,
    case when p_reservation_id is null then 0 else v_amount end,
    0, coalesce(p_reservation_id, p_about_id), null, p_caller.actor, p_idempotency_key, p_metadata
  )::quota.events;
  v_after := quota.after_event(v_before, v_event, v_verdict.drawn);
  v_allowance.limits := v_after;
  -- All limits shrink by the same, so the one with least room is still that one.
  foreach v_shown in array v_after loop
    exit when v_shown.period = (v_verdict.shown).period;
  end loop;
  v_decision := quota.decision(
    p_caller.subject_id, p_feature_id, v_amount, v_allowance, v_shown,
    case when v_verdict.over is null then 'ok' else quota.allowing_reason(v_verdict) end,
    case when p_reservation_id is null then v_event.event_id end, p_reservation_id
  );
  if p_arguments is not null and not quota.bind_key(
    p_caller, p_idempotency_key, p_arguments, array[v_decision], p_at
  ) then
    return null;
  end if;
  perform quota.record(v_event);
  perform quota.write_overages(v_event, v_verdict.over, v_allowance.plan_id)
    where v_verdict.over is not null;
  if v_verdict.drawn > 0 then
    perform quota.draw(
      p_caller.subject_id, p_feature_id, v_verdict.drawn, p_at, p_at,
      coalesce(p_reservation_id, v_event.event_id)
    );
  end if;
  perform quota.remember(p_caller.subject_id, p_feature_id, p_at, v_allowance);
  perform quota.write_alerts(p_caller.subject_id, p_feature_id, p_at, v_before, v_after);
  return v_decision;
end
$$;

comment on function quota.take is
  'Decides and, if there is room, counts, or holds when it is given a reservation id; partial: what there is room for. A key without arguments its caller binds. Null: the idempotency key was taken meanwhile. Errors: QAMNT, 42501 server_only.';

create function quota.take_back(
  p_subject_id text,
  p_feature_id text,
  p_used_change bigint,
  p_reserved_change bigint,
  p_rows_change bigint default 0
)
returns void
language plpgsql volatile security invoker set search_path = pg_catalog, pg_temp
as $$
begin
  update quota.meters as m
    set used = m.used - p_used_change,
        reserved = m.reserved - p_reserved_change,
        rows_used = m.rows_used - p_rows_change
    where m.subject_id = p_subject_id
      and m.feature_id = p_feature_id;
end
$$;

comment on function quota.take_back is
  'Sets a meter back that a call has moved before it found that it must ask properly. No line was written.';
