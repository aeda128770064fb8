-- To show what is left, or to grey out a button. It is no limit: others come in between.
create function public.check_usage(
  feature text,
  amount bigint default 1,
  subject text default null
)
returns public.usage_decision
language plpgsql stable security invoker set search_path = pg_catalog, pg_temp
as $$
#variable_conflict error
begin
  return quota.check_usage(feature, amount, subject);
end
$$;

comment on function public.check_usage is
  'Answers whether an amount would be allowed now, and writes nothing. amount is in units of the feature (default 1); subject defaults to the signed-in user and must be named by trusted callers. A signed-in user may ask about a server_only feature too. A switch or value is allowed in any amount, or refused with feature_not_in_plan. Returns a usage_decision with the state before any use. Errors: 42501 no identity or a subject that is not yours; QFEAT unknown feature; QAMNT amount below 1 or too large; QSUBJ subject missing (trusted callers), empty or over 255 characters.';

-- The same answer without taking anything. Never build a limit on it: between the
-- answer and the use others come.
create function quota.check_usage(
  p_feature text,
  p_amount bigint,
  p_subject text
)
returns public.usage_decision
language plpgsql stable security definer
set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan
as $$
declare
  v_caller quota.caller := quota.caller_for(p_subject);
  v_now timestamptz := quota.clock();
  v_call quota.joint_call;
  v_parts quota.part[];
  v_allowance quota.allowance;
  v_verdict quota.verdict;
  v_decision public.usage_decision;
begin
  if (p_amount between 1 and 9007199254740991) is not true then
    perform quota.check_known(p_feature);
    perform quota.check_amount(p_amount);
  end if;
  v_decision := quota.look_plainly(v_caller, p_feature, p_amount, v_now);
  if v_decision.allowed is null then
    v_call := quota.joint_call_of(v_caller.subject_id, p_feature);
    if v_call.parts is not null then
      v_decision := quota.look_together(v_caller, p_feature, p_amount, v_now, v_call);
    end if;
  end if;
  if v_decision.allowed is not null then
    return v_decision;
  end if;
  perform quota.check_known(p_feature);
  v_caller.subject_id := quota.account_of(v_caller.subject_id);
  v_parts := quota.parts_of_call(v_caller, p_feature, v_now);
  if v_parts is not null then
    return (quota.judge_parts(
      v_caller.subject_id, p_feature, v_parts, p_amount, v_now, p_is_settled => false
    )).decision;
  end if;
  v_allowance := quota.limits_of(v_caller.subject_id, p_feature, v_now);
  if v_allowance.kind in ('switch', 'value') then
    return quota.check_value(v_caller.subject_id, p_feature, p_amount, v_now, v_allowance);
  end if;
  v_verdict := quota.decide(v_allowance.limits, p_amount);
  if not v_verdict.is_allowed then
    return quota.refusal(
      v_caller.subject_id, p_feature, p_amount, v_now, v_allowance, v_verdict
    );
  end if;
  return quota.decision(
    v_caller.subject_id, p_feature, p_amount, v_allowance, v_verdict.shown,
    quota.allowing_reason(v_verdict)
  );
end
$$;

comment on function quota.check_usage is 'See public.check_usage.';
