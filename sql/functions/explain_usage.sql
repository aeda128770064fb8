-- Why this exists: "why?" and "what now?", for a paywall or a support desk. Asks limits_of() and decide()
-- as a call would, and again under every other plan. Reads only.
create function quota.explain_usage(
  p_feature text,
  p_amount bigint,
  p_subject text
)
returns setof public.usage_explanation
language plpgsql
stable
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_caller quota.caller := quota.caller_for(p_subject);
  v_now timestamptz := quota.clock();
  v_allowance quota.allowance;
  v_verdict quota.verdict;
  v_limit quota.limit_state;
  v_retry_after integer;
  v_plans text[];
  v_grant record;
begin
  perform quota.check_feature(p_feature);
  perform quota.check_amount(p_amount);
  v_allowance := quota.limits_of(v_caller.subject_id, p_feature, v_now);
  v_verdict := quota.decide(v_allowance.limits, p_amount);
  if not v_verdict.is_allowed then
    v_retry_after := (quota.refusal(
      v_caller.subject_id, p_feature, p_amount, v_now, v_allowance, v_verdict
    )).retry_after;
    v_plans := array(
      select p.plan_id
      from quota.plans as p
      cross join lateral quota.limits_of(v_caller.subject_id, p_feature, v_now, p.plan_id) as a
      where p.plan_id <> coalesce(v_allowance.plan_id, '')
        and (quota.decide(a.limits, p_amount)).is_allowed
      order by
        (select min(coalesce(l.amount, 9007199254740991)) from unnest(a.limits) as l),
        -- Alike for this feature: the plan that allows less of the others.
        (select sum(coalesce(l.amount, 9007199254740991)) from quota.plan_limits as l where l.plan_id = p.plan_id),
        p.plan_id
    );
  end if;

  if v_allowance.limits is null then
    return next row(
      p_feature, v_caller.subject_id, v_allowance.plan_id, null, 'plan', 0, 0, 0, 0, false, 0, null,
      true, v_retry_after, null, v_plans, v_allowance.upgrade_url
    )::public.usage_explanation;
  end if;
  foreach v_limit in array coalesce(v_allowance.limits, '{}') loop
    return next row(
      p_feature, v_caller.subject_id, v_allowance.plan_id, v_limit.period, v_limit.source,
      v_limit.amount + v_limit.drawn + v_limit.granted, v_limit.used, v_limit.reserved,
      case when v_limit.amount is not null then greatest(quota.room(v_limit), 0) end,
      v_limit.amount is null, v_limit.granted, nullif(v_limit.resets_at, 'infinity'),
      coalesce(quota.room(v_limit) < p_amount, false),
      v_retry_after,
      case
        when quota.room(v_limit) < p_amount and v_limit.period not in ('minute', 'hour')
        then p_amount - quota.room(v_limit)
      end,
      v_plans, v_allowance.upgrade_url
    )::public.usage_explanation;
  end loop;
  for v_grant in
    select g.amount, g.drawn, g.expires_at
    from quota.standing_grants(v_caller.subject_id, p_feature, v_now) as g
    order by g.expires_at, g.grant_id
  loop
    return next row(
      p_feature, v_caller.subject_id, v_allowance.plan_id, null, 'grant', v_grant.amount,
      v_grant.drawn, 0, v_grant.amount - v_grant.drawn, false, v_grant.amount - v_grant.drawn,
      nullif(v_grant.expires_at, 'infinity'), false, v_retry_after, null, v_plans,
      v_allowance.upgrade_url
    )::public.usage_explanation;
  end loop;
end
$$;

comment on function quota.explain_usage(text, bigint, text) is 'See public.explain_usage.';

revoke all on function quota.explain_usage(text, bigint, text)
  from public, anon, authenticated, service_role;
grant execute on function quota.explain_usage(text, bigint, text) to authenticated, service_role;
