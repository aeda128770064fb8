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
        and not p.is_retired
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
    v_plans, p_allowance.upgrade_url, null, null, 0, 'hard', null, null
  )::public.usage_explanation;
end
$$;

comment on function quota.explain_value is
  'Where a switch or value comes from, and which other plans have it.';
