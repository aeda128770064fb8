-- The first half of work that may fail. See commit_usage and release_usage.
create function public.reserve_usage(
  feature text,
  amount bigint default 1,
  subject text default null,
  ttl interval default '15 minutes',
  idempotency_key text default null,
  metadata jsonb default '{}',
  actor text default null,
  partial boolean default false
)
returns public.usage_decision
language plpgsql volatile security invoker set search_path = pg_catalog, pg_temp
as $$
#variable_conflict error
begin
  return quota.reserve_usage(
    feature, amount, subject, ttl, idempotency_key, metadata, actor, partial
  );
end
$$;

comment on function public.reserve_usage is
  'Holds an amount while work runs: it counts against every limit of the feature from now on, until it is committed, released or expires after ttl (more than 0, at most 7 days), with no job running; extend_usage moves that on. Returns a usage_decision with reservation_id; a refusal is an answer, as in consume_usage. amount is in units of the feature (default 1); subject must be named. actor is the user that it is for, where subject is an organisation; the ledger keeps it, with the end of the hold, too. partial holds what fits of the amount: amount of the answer says how much, and only nothing is a refusal. The same idempotency_key with the same arguments gives the first answer again, while the hold is open or was committed: once it was released, has expired uncommitted, or its use was refunded in full, the key is free and the call decides afresh. Errors: 22023 ttl, or partial is null; QFEAT unknown feature; QAMNT; QSUBJ subject, or actor empty or over 255 characters; QIDEM; QMETA; 42501 not a trusted role; 55P03 retry.';

-- Work that may fail or whose cost is known only afterwards. A hold counts against every
-- limit of the feature from now on, and stops counting the moment it expires.
create function quota.reserve_usage(
  p_feature text,
  p_amount bigint,
  p_subject text,
  p_ttl interval,
  p_idempotency_key text,
  p_metadata jsonb,
  p_actor text,
  p_partial boolean
)
returns public.usage_decision
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp set lock_timeout = '2s' set plan_cache_mode = force_generic_plan
as $$
declare
  v_caller quota.caller;
  v_seconds numeric := extract(epoch from p_ttl);
  v_arguments jsonb;
  v_answer jsonb;
  v_now timestamptz;
  v_decision public.usage_decision;
begin
  perform quota.require_trusted();
  v_caller := quota.with_actor('reserve_usage', quota.caller_for(p_subject), p_actor);
  perform quota.check_arguments(p_amount, p_idempotency_key, p_metadata);
  if (v_seconds > 0 and v_seconds <= 604800) is not true then
    perform quota.reject_ttl('reserve_usage', p_ttl);
  end if;
  if p_partial is null then
    perform quota.check_flag('reserve_usage', 'partial', p_partial);
  end if;

  if p_idempotency_key is not null then
    v_arguments := jsonb_build_object(
      'call', 'reserve_usage', 'feature', p_feature, 'amount', p_amount, 'ttl', v_seconds
    );
    if p_partial or v_caller.actor is not null then
      v_arguments := v_arguments || quota.further_arguments(v_caller.actor, p_partial);
    end if;
  end if;
  v_decision := quota.take_plainly(
    v_caller, p_feature, p_amount, 'reserve', p_idempotency_key, v_arguments,
    coalesce(p_metadata, '{}'), p_ttl
  );
  if v_decision.allowed is not null then
    return v_decision;
  end if;

  if p_idempotency_key is null then
    v_decision := quota.look_plainly(
      v_caller, p_feature, case when p_partial then 1 else p_amount end, null
    );
    if v_decision.allowed is false then
      v_decision.amount := p_amount;
      return v_decision;
    end if;
  end if;
  v_now := quota.lock_meter(v_caller.subject_id, p_feature);
  if p_idempotency_key is not null then
    v_answer := quota.replay(v_caller, p_idempotency_key, v_arguments, v_now);
  end if;
  if v_answer is null then
    v_decision := quota.take(
      v_caller, p_feature, p_amount, v_now, 'reserve', quota.new_id(v_now),
      p_idempotency_key, v_arguments, coalesce(p_metadata, '{}'), p_partial => p_partial
    );
    if v_decision.allowed then
      perform quota.write_hold(
        v_caller.subject_id, v_decision.reservation_id, p_feature, v_decision.amount, v_now, p_ttl,
        v_caller.actor, v_decision.reason = 'over_limit'
      );
    end if;
    if v_decision.allowed is not null then
      return v_decision;
    end if;
    v_answer := quota.replay_taken(v_caller, p_idempotency_key, v_arguments, v_now);
  end if;
  return quota.replayed(v_answer);
end
$$;

comment on function quota.reserve_usage is 'See public.reserve_usage.';
