-- The limits and grants of one meter that a call takes from. What is told of the call as a whole (the wait,
-- other plans) explain_usage() adds.
create function quota.explain_part(
  p_caller quota.caller,
  p_part quota.part,
  p_amount bigint,
  p_at timestamptz,
  p_allowance quota.allowance
)
returns setof public.usage_explanation
language plpgsql stable security invoker set search_path = pg_catalog, pg_temp
as $$
declare
  v_holder_id text := quota.cap_holder(p_part.subject_id);
  v_member text := quota.cap_member(p_part.subject_id);
  v_amount bigint := quota.price(p_amount, p_part.units, p_part.per);
  v_refusing text[];
  v_limit quota.limit_state;
  v_forecast record;
  v_is_refusing boolean;
begin
  v_refusing := coalesce((quota.decide(p_allowance.limits, v_amount)).refusing, '{}');
  if p_allowance.limits is null and v_member is null then
    return next row(
      p_part.feature_id, p_part.subject_id, p_allowance.plan_id, null, 'plan', 0, 0, 0, 0, false, 0, null,
      true, null, null, null, p_allowance.upgrade_url, null, null, 0, 'hard', null, null
    )::public.usage_explanation;
  end if;
  foreach v_limit in array coalesce(p_allowance.limits, '{}') loop
    if v_limit.trial is not null then
      -- A limit in shadow is for nobody; where there is no other, the feature is unlimited.
      continue when p_caller.is_trusted is not true
        and exists (select from unnest(p_allowance.limits) as l where l.trial is null);
      v_limit.amount := case when p_caller.is_trusted then v_limit.trial end;
      v_limit.mode := case when p_caller.is_trusted then 'shadow' else 'hard' end;
    end if;
    select w.projected, w.exhausted_at
      into v_forecast
      from quota.forecast(
        v_limit.used, quota.room(v_limit), v_limit.period_start, v_limit.resets_at, p_at
      ) as w;
    v_is_refusing := v_limit.period = any (v_refusing);
    return next row(
      p_part.feature_id, v_holder_id, p_allowance.plan_id, v_limit.period, v_limit.source,
      v_limit.amount + v_limit.drawn + v_limit.granted, v_limit.used, v_limit.reserved,
      case when v_limit.amount is not null then greatest(quota.room(v_limit), 0) end,
      v_limit.amount is null, v_limit.granted, nullif(v_limit.resets_at, 'infinity'),
      v_is_refusing,
      null,
      case
        when v_is_refusing and v_limit.period !~ 'minute|hour' and v_member is null
        then v_amount - quota.room(v_limit) - v_limit.slack
      end,
      null, p_allowance.upgrade_url, v_forecast.projected, v_forecast.exhausted_at,
      coalesce(v_limit.carried, 0), v_limit.mode,
      case
        when v_limit.slack > 0 and v_limit.slack < 9007199254740991
        then v_limit.amount + v_limit.drawn + v_limit.granted + v_limit.slack
      end,
      v_member
    )::public.usage_explanation;
  end loop;
  return query
    select g.feature, g.subject, g.plan, g.period, g.source, g."limit", g.used, g.reserved, g.remaining,
      g.unlimited, g.granted, g.resets_at, g.refuses, g.retry_after, g.top_up, g.plans, g.upgrade_url,
      g.projected, g.exhausted_at, g.carried, g.mode, g.ceiling, null::text
    from quota.explain_grants(p_part.subject_id, p_part.feature_id, p_at, p_allowance) as g;
end
$$;

comment on function quota.explain_part is
  'What explain_usage() says of one meter that an amount of the feature takes from, in that meter''s units.';

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
      null::timestamptz, 0::bigint, 'hard', null::bigint, null::text
    from quota.standing_grants(p_subject_id, p_feature_id, p_at) as g
    order by g.expires_at, g.grant_id;
end
$$;

comment on function quota.explain_grants is 'A row for each grant that has not ended, soonest to expire first.';
