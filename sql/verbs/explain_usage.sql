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
  ceiling bigint,
  member text
);

comment on type public.usage_explanation is
  'One limit that applies, or one open grant, and what would allow the amount.';

comment on column public.usage_explanation.feature is
  'Whose limit it is, and in whose units: the feature asked for, or one that it costs.';

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

comment on column public.usage_explanation.member is
  'The member whose cap it is; null where it is none.';

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
  'Every limit that applies to an amount, and every open grant, one row each: where it comes from (plan, exception, grant), its room, whether it refuses, and what would allow the amount: how long a wait, how large a top-up, which other plans. Of what the feature costs, the limits and grants follow, in their own units. A feature that is not in the plan gives one row that says so. amount is in units of the feature (default 1); subject defaults to the signed-in user and must be named by trusted callers. Writes nothing. Errors: QFEAT unknown feature; QAMNT; QSUBJ; 42501 no identity or a subject that is not yours.';

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
  v_caller quota.caller := quota.caller_by_account(p_subject);
  v_now timestamptz := quota.clock();
  v_allowance quota.allowance;
  v_parts quota.part[];
  v_part integer;
  v_judgement quota.judgement;
  v_plans text[];
begin
  perform quota.check_known(p_feature);
  perform quota.check_amount(p_amount);
  v_allowance := quota.limits_of(v_caller.subject_id, p_feature, v_now);
  if v_allowance.kind in ('switch', 'value') then
    return next quota.explain_value(v_caller.subject_id, p_feature, v_now, v_allowance);
    return;
  end if;
  v_parts := coalesce(
    quota.parts_of_call(v_caller, p_feature, v_now),
    array[row(v_caller.subject_id, p_feature, 1, 1, false)::quota.part]
  );
  v_judgement := quota.judge_parts(
    v_caller.subject_id, p_feature, v_parts, p_amount, v_now, p_is_settled => false
  );
  if not (v_judgement.decision).allowed then
    v_plans := quota.plans_with_room(
      v_caller.subject_id, v_parts, p_amount, v_now, v_allowance.plan_id
    );
  end if;
  -- The feature's own limits first, then those of what it costs; of each, caps last.
  for v_part in
    select p.n
    from unnest(v_parts) with ordinality as p (subject_id, feature_id, units, per, is_price, n)
    order by p.is_price, p.n
  loop
    return query
      select e.feature, e.subject, e.plan, e.period, e.source, e."limit", e.used, e.reserved,
        e.remaining, e.unlimited, e.granted, e.resets_at, e.refuses,
        (v_judgement.decision).retry_after, e.top_up, v_plans, e.upgrade_url, e.projected,
        e.exhausted_at, e.carried, e.mode, e.ceiling, e.member
      from quota.explain_part(
        v_caller, v_parts[v_part], p_amount, v_now, v_judgement.allowances[v_part]
      ) as e;
  end loop;
end
$$;

comment on function quota.explain_usage is 'See public.explain_usage.';

-- What may be bought: neither what is retired nor what is hidden.
create function quota.plans_with_room(
  p_subject_id text,
  p_parts quota.part[],
  p_amount bigint,
  p_at timestamptz,
  p_but_plan_id text
)
returns text[]
language plpgsql stable security invoker set search_path = pg_catalog, pg_temp
as $$
declare
  v_needed text[] := quota.needed_features(p_parts);
begin
  return array(
    select p.plan_id
    from quota.plans as p
    cross join lateral (
      select
        bool_and(a.limits is null or (quota.decide(a.limits, c.amount)).is_allowed) as fits,
        coalesce(array_agg(c.feature_id) filter (where a.limits is not null and c.member is null), '{}')
          as named,
        array_agg(
          (select min(coalesce(l.amount, 9007199254740991)) from unnest(a.limits) as l)
          order by c.is_price, c.feature_id
        ) filter (where c.subject_id = p_subject_id) as amounts
      from (
        select o.subject_id, o.feature_id, o.is_price, quota.cap_member(o.subject_id) as member,
          quota.price(p_amount, o.units, o.per) as amount
        from unnest(p_parts) as o
      ) as c
      -- The plans of the levels above stay what they are.
      cross join lateral quota.limits_of(
        c.subject_id, c.feature_id, p_at,
        case when quota.cap_holder(c.subject_id) = p_subject_id then p.plan_id end
      ) as a
    ) as r
    where p.plan_id <> coalesce(p_but_plan_id, '')
      and not p.is_retired
      and not p.hidden
      and r.fits
      and v_needed <@ r.named
    order by
      r.amounts,
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
