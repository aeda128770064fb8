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
  v_part quota.part;
  v_own public.usage_decision;
  v_decision public.usage_decision;
  v_order double precision[];
  v_first double precision[];
  v_limiting public.usage_decision;
  v_is_over boolean := false;
begin
  for i in 1 .. cardinality(p_parts) loop
    v_part := p_parts[i];
    v_decision := p_decisions[i];
    if v_part.subject_id = p_subject_id and not v_part.is_price then
      v_own := v_decision;
    end if;
    v_is_over := v_is_over or v_decision.reason = 'over_limit';
    continue when v_decision.allowed and v_decision.period is null;
    -- Of two, the one that comes first in this order limits.
    v_order := array[
      v_decision.allowed::integer,
      case
        when v_decision.reason <> 'feature_not_in_plan' then 2
        when v_part.subject_id <> p_subject_id then 1
        else 0
      end,
      case when not v_decision.allowed then -coalesce(v_decision.retry_after, 2147483647) end,
      -- A unit of what is no price is a use.
      coalesce(
        case when v_part.is_price then quota.uses(v_decision.remaining, v_part) else v_decision.remaining end,
        'infinity'::double precision
      ),
      -coalesce(quota.period_rank(v_decision.period), 'infinity'::double precision),
      v_part.is_price::integer
    ];
    if v_first is null or v_order < v_first then
      v_first := v_order;
      v_limiting := v_decision;
    end if;
  end loop;
  v_decision := case when v_first is null then v_own else v_limiting end;
  v_decision.feature := p_feature_id;
  v_decision.subject := p_subject_id;
  if strpos(v_decision.limiting_subject, chr(31)) > 0 then
    v_decision.limiting_member := quota.cap_member(v_decision.limiting_subject);
    v_decision.limiting_subject := quota.cap_holder(v_decision.limiting_subject);
  end if;
  v_decision.amount := p_amount;
  if v_decision.allowed then
    v_decision.plan := v_own.plan;
    v_decision.upgrade_url := v_own.upgrade_url;
  end if;
  v_decision.event_id := v_own.event_id;
  v_decision.reservation_id := v_own.reservation_id;
  if v_decision.allowed and v_is_over then
    v_decision.reason := 'over_limit';
  end if;
  return v_decision;
end
$$;

comment on function quota.joint_decision is
  'What the parts of a call are told, as one answer: that of the part that limits, in its units.';
