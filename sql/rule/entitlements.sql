-- Switches and values: what a subject has without its being counted. They have no meter, so the calls
-- that count never look here.

create type quota.entitlement as (
  feature_id text,
  kind text,
  enabled boolean,
  value jsonb,
  override_ends_at timestamptz,
  hidden boolean
);

comment on type quota.entitlement is
  'A switch or value of a subject at an instant: the override''s while there is one, else the plan''s; null without either. override_ends_at: null where the plan says it, infinity where the override has no end.';

create function quota.entitlements_of(
  p_subject_id text,
  p_plan_id text,
  p_at timestamptz,
  p_feature_id text default null
)
returns setof quota.entitlement
language plpgsql stable rows 5 security invoker set search_path = pg_catalog, pg_temp
as $$
begin
  return query
    select f.feature_id, f.kind,
      -- A value that is there is had, also 0, false and "".
      case f.kind
        when 'switch' then coalesce(coalesce(o.value, v.value) = 'true', false)
        else coalesce(o.value, v.value) is not null
      end,
      coalesce(o.value, v.value), o.ends_at, f.hidden
    from quota.features as f
    left join quota.plan_values as v
      on v.plan_id = p_plan_id
      and v.feature_id = f.feature_id
    left join quota.overrides as o
      on o.subject_id = p_subject_id
      and o.feature_id = f.feature_id
      and o.ends_at > p_at
    where f.kind in ('switch', 'value')
      and (p_feature_id is null or f.feature_id = p_feature_id);
end
$$;

comment on function quota.entitlements_of is
  'The switches and values of a subject on this plan at an instant; of one feature, or (null) all of them.';

-- check_usage() of what is not counted: any amount fits, or none.
create function quota.check_value(
  p_subject_id text,
  p_feature_id text,
  p_amount bigint,
  p_at timestamptz,
  p_allowance quota.allowance
)
returns public.usage_decision
language plpgsql stable security invoker set search_path = pg_catalog, pg_temp
as $$
declare
  v_entitlement quota.entitlement;
  v_decision public.usage_decision;
begin
  v_entitlement := quota.entitlements_of(p_subject_id, p_allowance.plan_id, p_at, p_feature_id);
  v_decision := quota.decision(
    p_subject_id, p_feature_id, p_amount, p_allowance, null,
    case when v_entitlement.enabled then 'ok' else 'feature_not_in_plan' end
  );
  if v_entitlement.enabled then
    v_decision."limit" := null;
    v_decision.remaining := null;
    v_decision.unlimited := true;
  else
    v_decision.retry_after := quota.value_wait(p_subject_id, p_at, p_allowance, v_entitlement);
  end if;
  return v_decision;
end
$$;

comment on function quota.check_value is
  'The answer for a switch or value: ok, or feature_not_in_plan where it is off or missing.';

-- Time alone gives it when the plan ends, or an override that holds it off.
create function quota.value_wait(
  p_subject_id text,
  p_at timestamptz,
  p_allowance quota.allowance,
  p_entitlement quota.entitlement
)
returns integer
language plpgsql stable security invoker set search_path = pg_catalog, pg_temp
as $$
declare
  v_at timestamptz;
begin
  for v_at in
    select u.at
    from unnest(array[p_allowance.changes_at, p_entitlement.override_ends_at]) as u (at)
    where u.at < 'infinity'
    order by u.at
  loop
    if (
      quota.entitlements_of(
        p_subject_id,
        (quota.limits_of(p_subject_id, p_entitlement.feature_id, v_at)).plan_id,
        v_at,
        p_entitlement.feature_id
      )
    ).enabled then
      return least(greatest(ceil(extract(epoch from v_at - p_at)), 1), 2147483647);
    end if;
  end loop;
  return null;
end
$$;

comment on function quota.value_wait is
  'Whole seconds until a switch or value that is missing is there by itself; null for never.';

-- Of whoever may see the subject; a hidden one only a server sees.
create function quota.entitlements_shown(
  p_subject_id text,
  p_at timestamptz
)
returns setof quota.entitlement
language plpgsql stable strict rows 5 security definer
set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan
as $$
declare
  v_is_trusted boolean := quota.is_trusted() is true;
  v_feature_id text;
  v_plan_id text;
begin
  if not v_is_trusted and quota.may_see(quota.user_id(), p_subject_id) is not true then
    return;
  end if;
  select min(f.feature_id) into v_feature_id from quota.features as f where f.kind in ('switch', 'value');
  if v_feature_id is null then
    return;
  end if;
  -- One rule says which plan holds: the one that limits are read by.
  v_plan_id := (quota.limits_of(p_subject_id, v_feature_id, p_at)).plan_id;
  return query
    select e.feature_id, e.kind, e.enabled, e.value, e.override_ends_at, e.hidden
    from quota.entitlements_of(p_subject_id, v_plan_id, p_at) as e
    where v_is_trusted
      or not e.hidden;
end
$$;

comment on function quota.entitlements_shown is
  'entitlements_of() for whoever may see the subject: a trusted role, the subject itself, and who belongs to it; no rows for everybody else.';
