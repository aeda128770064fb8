-- The main call. Checks the limit and counts, in one atomic step.
create function public.consume_usage(
  feature text,
  amount bigint default 1,
  subject text default null,
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
  return quota.consume_usage(feature, amount, subject, idempotency_key, metadata, actor, partial);
end
$$;

comment on function public.consume_usage is
  'Checks every limit of the feature and counts the amount, in one step and in the caller''s transaction. A refusal is an answer (allowed = false with reason limit_reached or feature_not_in_plan), not an error, and counts nothing. amount is in units of the feature (default 1); subject defaults to the signed-in user and must be named by trusted callers. The same idempotency_key with the same arguments gives the first allowed answer again (replayed = true) and counts nothing, for at least 30 days (the rule of Stripe''s Idempotency-Key, except that a refusal binds nothing, and that the key of a use that was refunded in full is free again). Keys of users and of trusted callers are two spaces. metadata is kept in the ledger. actor is the user that it is for, where subject is an organisation: a server names it, a signed-in user is it; the ledger keeps it, and with another one the key is another call''s. partial takes what fits of the amount: amount of the answer says how much, and only nothing is a refusal. Errors: 42501 no identity, a subject that is not yours, a server_only feature, or an actor named by a user; QFEAT unknown feature; QAMNT amount below 1 or too large; QSUBJ subject missing (trusted callers), or it or actor empty or over 255 characters; QIDEM key reused with other arguments, empty or over 255 characters; QMETA metadata not an object or over 8 kB; 22023 partial is null; 55P03 another call held the row for 2 s (retry).';

-- The main job. Checks the limit and counts, in one atomic step.
--
-- Validate → lock the meter → probe the key → read the limits in a new statement after the lock →
-- decide → write the line → update the counters. In this order nothing ever has to be undone, and it
-- is exact at every isolation level: what is decided on is read under the lock, and at repeatable
-- read and serializable lock_meters() fails with 40001 when the snapshot is older than the last call.
create function quota.consume_usage(
  p_feature text,
  p_amount bigint,
  p_subject text,
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
  v_caller quota.caller := quota.caller_for(p_subject);
  v_arguments jsonb;
  v_answer jsonb;
  v_now timestamptz;
  v_decision public.usage_decision;
begin
  -- Most arguments are plainly good; to see it here spares them four calls of 3 µs.
  if (
    p_amount between 1 and 9007199254740991
    and coalesce(length(p_idempotency_key), 1) between 1 and 255
    and p_metadata = '{}'
    and not p_partial
    and p_actor is null
  ) is not true then
    perform quota.check_arguments(p_amount, p_idempotency_key, p_metadata);
    perform quota.check_flag('consume_usage', 'partial', p_partial);
    v_caller := quota.with_actor('consume_usage', v_caller, p_actor);
  end if;
  if p_idempotency_key is not null then
    v_arguments := jsonb_build_object('call', 'consume_usage', 'feature', p_feature, 'amount', p_amount);
    if p_partial or v_caller.actor is not null then
      v_arguments := v_arguments || quota.further_arguments(v_caller.actor, p_partial);
    end if;
  end if;
  v_decision := quota.take_plainly(
    v_caller, p_feature, p_amount, 'consume', p_idempotency_key, v_arguments,
    coalesce(p_metadata, '{}')
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
  if v_caller.is_trusted is not true then
    perform quota.check_server_only(v_caller, array[p_feature]);
  end if;
  if p_idempotency_key is not null then
    -- Most repetitions come when the first call has long committed: they are told without a lock.
    v_answer := quota.replay(v_caller, p_idempotency_key, v_arguments, quota.clock());
    if v_answer is not null then
      return quota.replayed(v_answer);
    end if;
  end if;
  v_now := quota.lock_meter(v_caller.subject_id, p_feature);
  if p_idempotency_key is not null then
    v_answer := quota.replay(v_caller, p_idempotency_key, v_arguments, v_now);
  end if;
  if v_answer is null then
    v_decision := quota.take(
      v_caller, p_feature, p_amount, v_now, 'consume', null,
      p_idempotency_key, v_arguments, coalesce(p_metadata, '{}'), p_partial => p_partial
    );
    if v_decision.allowed is not null then
      return v_decision;
    end if;
    v_answer := quota.replay_taken(v_caller, p_idempotency_key, v_arguments, v_now);
  end if;
  return quota.replayed(v_answer);
end
$$;

comment on function quota.consume_usage is 'See public.consume_usage.';
