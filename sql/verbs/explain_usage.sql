-- One limit, and what would allow the amount. Fields are only ever added at the end.
create type public.usage_explanation as (
  feature text,
  subject text,
  plan text,
  period text,
  source text,
  "limit" bigint,
  used bigint,
  reserved bigint,
  remaining bigint,
  unlimited boolean,
  granted bigint,
  resets_at timestamptz,
  refuses boolean,
  retry_after integer,
  top_up bigint,
  plans text[],
  upgrade_url text
);

comment on type public.usage_explanation is
  'One limit that applies, or one open grant, and what would allow the amount.';

comment on column public.usage_explanation.feature is 'The feature asked for.';

comment on column public.usage_explanation.subject is 'Who is limited.';

comment on column public.usage_explanation.plan is
  'The plan that holds now; null when the subject has none and there is no default plan.';

comment on column public.usage_explanation.period is
  '`minute`, `hour`, `day`, `week`, `month`, `year` or `lifetime`; null for a grant, a switch or value, and when the feature is not in the plan.';

comment on column public.usage_explanation.source is
  '`plan`, `exception` or `grant`: where it comes from.';

comment on column public.usage_explanation."limit" is
  'Units allowed in the period, open grants included, or units granted; null when unlimited, 0 when the feature is not in the plan.';

comment on column public.usage_explanation.used is 'Units used in the period, or drawn from the grant.';

comment on column public.usage_explanation.reserved is 'Units held by open reservations.';

comment on column public.usage_explanation.remaining is
  'Units left, never negative; null when unlimited.';

comment on column public.usage_explanation.unlimited is 'True when this limit is none.';

comment on column public.usage_explanation.granted is 'How much of the limit is open grants.';

comment on column public.usage_explanation.resets_at is
  'When the period ends, or the grant expires; null for never.';

comment on column public.usage_explanation.refuses is 'True when this limit has no room for the amount.';

comment on column public.usage_explanation.retry_after is
  'Whole seconds until time alone allows the amount under all limits; null when it is allowed now, or never.';

comment on column public.usage_explanation.top_up is
  'The smallest grant that would make room under this limit; null when none is needed, or grants do not lift it.';

comment on column public.usage_explanation.plans is
  'The other plans that would allow the amount now, smallest first; null when it is allowed already.';

comment on column public.usage_explanation.upgrade_url is
  'Where the plan sends who wants more; null when it says nothing.';

-- One call feeds a paywall, or answers a support desk.
create function public.explain_usage(
  feature text,
  amount bigint default 1,
  subject text default null
)
returns setof public.usage_explanation
language plpgsql stable security invoker set search_path = pg_catalog, pg_temp
as $$
#variable_conflict error
begin
  return query
    select * from quota.explain_usage(feature, amount, subject);
end
$$;

comment on function public.explain_usage is
  'Every limit that applies to an amount, and every open grant, one row each: where it comes from (plan, exception, grant), its room, whether it refuses, and what would allow the amount: how long a wait, how large a top-up, which other plans. A feature that is not in the plan gives one row that says so. amount is in units of the feature (default 1); subject defaults to the signed-in user and must be named by trusted callers. Writes nothing. Errors: QFEAT unknown feature; QAMNT; QSUBJ; 42501 no identity or a subject that is not yours.';

-- "why?" and "what now?", for a paywall or a support desk. Asks limits_of() and decide()
-- as a call would, and again under every other plan. Reads only.
create function quota.explain_usage(
  p_feature text,
  p_amount bigint,
  p_subject text
)
returns setof public.usage_explanation
language plpgsql stable security definer set search_path = pg_catalog, pg_temp
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
  perform quota.check_known(p_feature);
  perform quota.check_amount(p_amount);
  v_allowance := quota.limits_of(v_caller.subject_id, p_feature, v_now);
  if v_allowance.kind in ('switch', 'value') then
    return next quota.explain_value(v_caller.subject_id, p_feature, v_now, v_allowance);
    return;
  end if;
  v_verdict := quota.decide(v_allowance.limits, p_amount);
  if not v_verdict.is_allowed then
    v_retry_after := (quota.refusal(
      v_caller.subject_id, p_feature, p_amount, v_now, v_allowance, v_verdict
    )).retry_after;
    v_plans := array(
      select p.plan_id
      from quota.plans as p
      cross join lateral quota.limits_of(v_caller.subject_id, p_feature, v_now, p.plan_id) as a
      where p.plan_id <> coalesce(v_allowance.plan_id, '') and not p.hidden
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

comment on function quota.explain_usage is 'See public.explain_usage.';

-- explain_usage() of what is not counted: one row.
create function quota.explain_value(
  p_subject_id text,
  p_feature_id text,
  p_at timestamptz,
  p_allowance quota.allowance
)
returns public.usage_explanation
language plpgsql stable security invoker set search_path = pg_catalog, pg_temp
as $$
declare
  v_entitlement quota.entitlement;
  v_wait integer;
  v_plans text[];
begin
  v_entitlement := quota.entitlements_of(p_subject_id, p_allowance.plan_id, p_at, p_feature_id);
  if not v_entitlement.enabled then
    v_wait := quota.value_wait(p_subject_id, p_at, p_allowance, v_entitlement);
    -- An override that holds it off does so on every plan.
    v_plans := array(
      select p.plan_id
      from quota.plans as p
      cross join lateral quota.entitlements_of(p_subject_id, p.plan_id, p_at, p_feature_id) as e
      where e.enabled
        and not p.hidden
      order by
        coalesce(
          (
            select sum(coalesce(l.amount, 9007199254740991))
            from quota.plan_limits as l
            where l.plan_id = p.plan_id
          ),
          0
        ),
        p.plan_id
    );
  end if;
  return row(
    p_feature_id, p_subject_id, p_allowance.plan_id, null,
    case when v_entitlement.override_ends_at is null then 'plan' else 'exception' end,
    case when not v_entitlement.enabled then 0 end, 0, 0,
    case when not v_entitlement.enabled then 0 end, v_entitlement.enabled, 0,
    nullif(v_entitlement.override_ends_at, 'infinity'), not v_entitlement.enabled, v_wait, null,
    v_plans, p_allowance.upgrade_url
  )::public.usage_explanation;
end
$$;

comment on function quota.explain_value is
  'Where a switch or value comes from, and which other plans have it.';
