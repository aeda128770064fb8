-- The answer of one meter, as every verb gives it (ground/decision.sql).
create function quota.decision(
  p_subject_id text,
  p_feature_id text,
  p_amount bigint,
  p_allowance quota.allowance,
  p_limit quota.limit_state,
  p_reason text,
  p_event_id uuid default null,
  p_reservation_id uuid default null
)
returns public.usage_decision
language plpgsql immutable security invoker set search_path = pg_catalog, pg_temp
as $$
declare
  v_limit bigint := p_limit.amount + coalesce(p_limit.drawn, 0) + coalesce(p_limit.granted, 0);
begin
  if p_limit.period is null then
    v_limit := 0;
  end if;
  return row(
    p_reason in ('ok', 'over_limit'),
    p_reason,
    p_feature_id,
    p_subject_id,
    p_allowance.plan_id,
    p_amount,
    coalesce(p_limit.used, 0),
    coalesce(p_limit.reserved, 0),
    v_limit,
    case when v_limit is not null then greatest(v_limit - p_limit.used - p_limit.reserved, 0) end,
    v_limit is null,
    p_limit.period,
    nullif(p_limit.period_start, '-infinity'),
    nullif(p_limit.resets_at, 'infinity'),
    null,
    p_event_id,
    p_reservation_id,
    false,
    p_allowance.upgrade_url,
    coalesce(p_limit.granted, 0),
    coalesce(p_limit.carried, 0),
    p_feature_id,
    p_subject_id,
    null
  )::public.usage_decision;
end
$$;

comment on function quota.decision is
  'The answer that shows this limit (null: the feature is not in the plan).';
