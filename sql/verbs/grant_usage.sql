-- A top-up that was bought, a promotion.
create function public.grant_usage(
  feature text,
  amount bigint,
  subject text,
  expires_at timestamptz default null,
  idempotency_key text default null,
  metadata jsonb default '{}'
)
returns uuid
language plpgsql volatile security invoker set search_path = pg_catalog, pg_temp
as $$
#variable_conflict error
begin
  return quota.grant_usage(feature, amount, subject, expires_at, idempotency_key, metadata);
end
$$;

comment on function public.grant_usage is
  'Gives a subject extra allowance outside its plan and returns the grant''s id. It is used after the plan''s allowance, the grant that expires soonest first, and survives resets and plan changes; it lifts no limit of minutes or hours, and does not open a feature that the plan lacks. On a gauge it raises the limit. amount is in units of the feature; expires_at null is never. The same idempotency_key with the same arguments gives the first id again. Errors: QFEAT unknown feature; QAMNT; QSUBJ; QIDEM; QMETA; 22023 expires_at in the past, infinite or after the year 9999; 42501 not a trusted role; 55P03 retry.';

-- Extra allowance outside the plan: a top-up that was bought, a promotion.
create function quota.grant_usage(
  p_feature text,
  p_amount bigint,
  p_subject text,
  p_expires_at timestamptz,
  p_idempotency_key text,
  p_metadata jsonb
)
returns uuid
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp set lock_timeout = '2s'
as $$
declare
  v_caller quota.caller;
  v_arguments jsonb;
  v_answers quota.kept_answer[];
  v_now timestamptz;
  v_told public.usage_decision;
  v_grant_id uuid;
begin
  perform quota.require_trusted();
  v_caller := quota.caller_by_account(p_subject);
  perform quota.check_arguments(p_amount, p_idempotency_key, p_metadata);
  perform quota.check_instant('grant_usage', 'expires_at', p_expires_at);

  v_now := quota.lock_terms(v_caller.subject_id, p_feature);
  if p_idempotency_key is not null then
    v_arguments := jsonb_build_object(
      'call', 'grant_usage', 'feature', p_feature, 'amount', p_amount,
      'expires_at', extract(epoch from p_expires_at)
    );
    v_answers := quota.replay(v_caller, p_idempotency_key, v_arguments, v_now);
    if v_answers is not null then
      return (v_answers[1]).event_id;
    end if;
  end if;
  if p_expires_at <= v_now then
    raise exception 'the grant would have expired at %', p_expires_at
      using errcode = '22023', hint = 'expires_at lies in the future, or is null for never';
  end if;
  if quota.most_allowed(
    v_caller.subject_id, p_feature, v_now,
    (quota.limits_of(v_caller.subject_id, p_feature, v_now)).limits
  ) + p_amount > 9007199254740991 then
    raise exception 'grant_usage: with % more, limit and open grants would pass 9007199254740991 (2^53 - 1)',
      p_amount
      using errcode = 'QAMNT', hint = 'give the subject an unlimited exception with set_limit instead';
  end if;

  v_grant_id := quota.new_id(v_now);
  v_told.event_id := v_grant_id;
  if p_idempotency_key is not null and not quota.bind_key(
    v_caller, p_idempotency_key, v_arguments, array[v_told], v_now
  ) then
    -- Taken under another meter, so with other arguments: this raises.
    perform quota.replay_taken(v_caller, p_idempotency_key, v_arguments, v_now);
  end if;
  insert into quota.grants (
    subject_id, grant_id, feature_id, amount, granted_at, expires_at, metadata
  )
  values (
    v_caller.subject_id, v_grant_id, p_feature, p_amount, v_now,
    coalesce(p_expires_at, 'infinity'), coalesce(p_metadata, '{}')
  );
  perform quota.record(
    row(
      v_caller.subject_id, quota.new_id(v_now), v_now, 'grant', p_feature, v_now, 0, 0, 0,
      v_grant_id, v_grant_id, null, p_idempotency_key,
      coalesce(p_metadata, '{}')
        || jsonb_build_object('amount', p_amount, 'expires_at', p_expires_at)
    )::quota.events
  );
  return v_grant_id;
end
$$;

comment on function quota.grant_usage is 'See public.grant_usage.';
