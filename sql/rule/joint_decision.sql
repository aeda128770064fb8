-- The answers of several meters, as one.

create function quota.uses(
  p_room bigint,
  p_part quota.part
)
returns bigint
language plpgsql immutable security invoker set search_path = pg_catalog, pg_temp
as $$
begin
  -- greatest() would take no limit for no room.
  return case
    when p_room is not null
    then least(div(greatest(p_room, 0)::numeric * p_part.per, p_part.units), 9007199254740991)
  end;
end
$$;

comment on function quota.uses is
  'How many units of the feature called a part has room for; null is any number.';

-- The part that limits is the one that refuses longest, else the one with room for the fewest uses; of
-- several the one with the longest period, and of those the feature's own.
create function quota.joint_decision(
  p_subject_id text,
  p_feature_id text,
  p_amount bigint,
  p_parts quota.part[],
  p_decisions public.usage_decision[]
)
returns public.usage_decision
language plpgsql immutable security invoker set search_path = pg_catalog, pg_temp
as $$
declare
  v_own public.usage_decision;
  v_limiting integer;
  v_decision public.usage_decision;
begin
  select max(case when p.subject_id = p_subject_id and not p.is_price then p.n end)
    into v_limiting
    from unnest(p_parts) with ordinality as p (subject_id, feature_id, units, per, is_price, n);
  v_own := p_decisions[v_limiting];
  select p.n
    into v_limiting
    from unnest(p_parts) with ordinality as p (subject_id, feature_id, units, per, is_price, n)
    join lateral (
      select d.allowed, d.reason, d.period, d.retry_after, d.remaining
      from unnest(p_decisions[p.n:p.n]) as d
    ) as d on true
    where not d.allowed
      or d.period is not null
    order by
      d.allowed,
      d.reason = 'feature_not_in_plan' desc,
      d.reason = 'feature_not_in_plan' and p.subject_id = p_subject_id desc,
      case when not d.allowed then coalesce(d.retry_after, 2147483647) end desc,
      quota.uses(d.remaining, row(p.subject_id, p.feature_id, p.units, p.per, p.is_price)::quota.part),
      quota.period_rank(d.period) desc,
      p.is_price,
      p.n
    limit 1;
  v_decision := coalesce(p_decisions[v_limiting], v_own);
  v_decision.feature := p_feature_id;
  v_decision.subject := p_subject_id;
  v_decision.limiting_member := quota.cap_member(v_decision.limiting_subject);
  v_decision.limiting_subject := quota.cap_holder(v_decision.limiting_subject);
  v_decision.amount := p_amount;
  if v_decision.allowed then
    v_decision.plan := v_own.plan;
    v_decision.upgrade_url := v_own.upgrade_url;
  end if;
  v_decision.event_id := v_own.event_id;
  v_decision.reservation_id := v_own.reservation_id;
  if v_decision.allowed and 'over_limit' = any (array(select d.reason from unnest(p_decisions) as d)) then
    v_decision.reason := 'over_limit';
  end if;
  return v_decision;
end
$$;

comment on function quota.joint_decision is
  'What the parts of a call are told, as one answer: that of the part that limits, in its units.';
