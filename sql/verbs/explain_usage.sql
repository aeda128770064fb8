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
  upgrade_url text,
  projected bigint,
  exhausted_at timestamptz,
  carried bigint,
  mode text,
  ceiling bigint
);

comment on type public.usage_explanation is
  'One limit that applies, or one open grant, and what would allow the amount.';

comment on column public.usage_explanation.feature is 'The feature asked for.';

comment on column public.usage_explanation.subject is 'Who is limited.';

comment on column public.usage_explanation.plan is
  'The plan that holds now; null when the subject has none and there is no default plan.';

comment on column public.usage_explanation.period is
  '`minute`, `hour`, `day`, `week`, `month`, `year`, `lifetime`, or a window as in 5 hours; null for a grant, a switch or value, and when the feature is not in the plan.';

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
  'When the period ends, or the grant expires; null for never, and for a window that no use has opened.';

comment on column public.usage_explanation.refuses is 'True when this limit has no room for the amount.';

comment on column public.usage_explanation.retry_after is
  'Whole seconds until time alone allows the amount under all limits; null when it is allowed now, or never.';

comment on column public.usage_explanation.top_up is
  'The smallest grant that would make room under this limit; null when none is needed, or grants do not lift it.';

comment on column public.usage_explanation.plans is
  'The other plans that would allow the amount now, smallest first, retired ones left out; null when it is allowed already.';

comment on column public.usage_explanation.upgrade_url is
  'Where the plan sends who wants more; null when it says nothing.';

comment on column public.usage_explanation.projected is
  'Units used at the end of the period, at the pace so far; null before a tenth of the period has passed and 5 units are used, and for lifetime and grants.';

comment on column public.usage_explanation.exhausted_at is
  'When nothing is left at that pace; null where the limit lasts until the reset, and where projected is null.';

comment on column public.usage_explanation.carried is
  'How much of the limit was left of the period before.';

comment on column public.usage_explanation.mode is
  '`hard` refuses; `soft` allows what passes the limit, up to ceiling; `shadow` (for servers) would refuse.';

comment on column public.usage_explanation.ceiling is
  'How far use may go where that is past the limit: of a soft limit, and of a hard one in its grace. Null: no further than the limit, or without end where mode is soft.';

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
  v_forecast record;
  v_is_refusing boolean;
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
    v_plans := quota.plans_with_room(
      v_caller.subject_id, p_feature, p_amount, v_now, v_allowance.plan_id
    );
  end if;

  if v_allowance.limits is null then
    return next row(
      p_feature, v_caller.subject_id, v_allowance.plan_id, null, 'plan', 0, 0, 0, 0, false, 0, null,
      true, v_retry_after, null, v_plans, v_allowance.upgrade_url, null, null, 0, 'hard', null
    )::public.usage_explanation;
  end if;
  foreach v_limit in array coalesce(v_allowance.limits, '{}') loop
    if v_limit.trial is not null then
      -- A limit in shadow is for nobody; where there is no other, the feature is unlimited.
      continue when v_caller.is_trusted is not true
        and exists (select from unnest(v_allowance.limits) as l where l.trial is null);
      v_limit.amount := case when v_caller.is_trusted then v_limit.trial end;
      v_limit.mode := case when v_caller.is_trusted then 'shadow' else 'hard' end;
    end if;
    select w.projected, w.exhausted_at into v_forecast from quota.forecast(v_limit, v_now) as w;
    v_is_refusing := v_limit.period = any (coalesce(v_verdict.refusing, '{}'));
    return next row(
      p_feature, v_caller.subject_id, v_allowance.plan_id, v_limit.period, v_limit.source,
      v_limit.amount + v_limit.drawn + v_limit.granted, v_limit.used, v_limit.reserved,
      case when v_limit.amount is not null then greatest(quota.room(v_limit), 0) end,
      v_limit.amount is null, v_limit.granted, nullif(v_limit.resets_at, 'infinity'),
      v_is_refusing,
      v_retry_after,
      case
        when v_is_refusing and v_limit.period !~ 'minute|hour'
        then p_amount - quota.room(v_limit) - v_limit.slack
      end,
      v_plans, v_allowance.upgrade_url, v_forecast.projected, v_forecast.exhausted_at,
      coalesce(v_limit.carried, 0), v_limit.mode,
      case
        when v_limit.slack > 0 and v_limit.slack < 9007199254740991
        then v_limit.amount + v_limit.drawn + v_limit.granted + v_limit.slack
      end
    )::public.usage_explanation;
  end loop;
  return query
    select g.feature, g.subject, g.plan, g.period, g.source, g."limit", g.used, g.reserved, g.remaining,
      g.unlimited, g.granted, g.resets_at, g.refuses, v_retry_after, g.top_up, v_plans, g.upgrade_url,
      g.projected, g.exhausted_at, g.carried, g.mode, g.ceiling
    from quota.explain_grants(v_caller.subject_id, p_feature, v_now, v_allowance) as g;
end
$$;

comment on function quota.explain_usage is 'See public.explain_usage.';

create function quota.explain_grants(
  p_subject_id text,
  p_feature_id text,
  p_at timestamptz,
  p_allowance quota.allowance
)
returns setof public.usage_explanation
language plpgsql stable security invoker set search_path = pg_catalog, pg_temp
as $$
begin
  return query
    select p_feature_id, p_subject_id, p_allowance.plan_id, null::text, 'grant', g.amount, g.drawn, 0::bigint,
      g.amount - g.drawn, false, g.amount - g.drawn, nullif(g.expires_at, 'infinity'), false,
      null::integer, null::bigint, null::text[], p_allowance.upgrade_url, null::bigint,
      null::timestamptz, 0::bigint, 'hard', null::bigint
    from quota.standing_grants(p_subject_id, p_feature_id, p_at) as g
    order by g.expires_at, g.grant_id;
end
$$;

comment on function quota.explain_grants is 'A row for each grant that has not ended, soonest to expire first.';

-- What may be bought: neither what is retired nor what is hidden.
create function quota.plans_with_room(
  p_subject_id text,
  p_feature_id text,
  p_amount bigint,
  p_at timestamptz,
  p_but_plan_id text
)
returns text[]
language plpgsql stable security invoker set search_path = pg_catalog, pg_temp
as $$
begin
  return array(
    select p.plan_id
    from quota.plans as p
    cross join lateral quota.limits_of(p_subject_id, p_feature_id, p_at, p.plan_id) as a
    where p.plan_id <> coalesce(p_but_plan_id, '')
      and not p.is_retired
      and not p.hidden
      and (quota.decide(a.limits, p_amount)).is_allowed
    order by
      (select min(coalesce(l.amount, 9007199254740991)) from unnest(a.limits) as l),
      -- Alike for this feature: the plan that allows less of the others.
      (
        select sum(coalesce(l.amount, 9007199254740991))
        from quota.plan_limits as l
        where l.plan_id = p.plan_id
      ),
      p.plan_id
  );
end
$$;

comment on function quota.plans_with_room is
  'The other plans that would allow an amount, the one that allows least first.';
