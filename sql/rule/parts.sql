-- A use that counts in several places: in the feature called, and in what it costs. One call has a part in
-- each of these meters, and is allowed if all have room. Most calls have one part, which is the call itself:
-- those never come here.

create type quota.part as (
  subject_id text,
  feature_id text,
  units bigint,
  per bigint,
  is_price boolean
);

comment on type quota.part is
  'A meter that a call takes from: units for per units of the feature called, rounded up. is_price: it is of another feature, which the one called costs.';

create type quota.judgement as (
  decision public.usage_decision,
  allowances quota.allowance[],
  fits bigint
);

comment on type quota.judgement is
  'What a call of several parts is told; the limits of each part; and the largest amount that all have room for (null: any).';

-- In lock order.
create function quota.parts_of(
  p_subject_id text,
  p_feature_id text
)
returns quota.part[]
language plpgsql stable security invoker set search_path = pg_catalog, pg_temp
as $$
begin
  if not exists (select from quota.feature_costs as c where c.feature_id = p_feature_id) then
    return null;
  end if;
  return array(
    select row(p_subject_id, o.feature_id, o.units, o.per, o.is_price)::quota.part
    from (
      select p_feature_id collate "C" as feature_id, 1::bigint as units, 1::bigint as per,
        false as is_price
      union all
      select c.cost_id, c.units, c.per, true
      from quota.feature_costs as c
      where c.feature_id = p_feature_id
    ) as o
    order by o.feature_id
  );
end
$$;

comment on function quota.parts_of is
  'The meters that a call takes from, in lock order; null: its own alone.';

create function quota.price(
  p_amount bigint,
  p_units bigint,
  p_per bigint
)
returns bigint
language plpgsql immutable security invoker set search_path = pg_catalog, pg_temp
as $$
declare
  v_price numeric := div(p_amount::numeric * p_units + p_per - 1, p_per);
begin
  if v_price > 9007199254740991 then
    raise exception 'amount % costs more than 9007199254740991 (2^53 - 1)', p_amount
      using errcode = 'QAMNT', hint = 'call for less at once';
  end if;
  return v_price;
end
$$;

comment on function quota.price is
  'What an amount costs, rounded up. Errors: QAMNT, over 2^53 - 1.';

-- Each part is asked as a call of its own would be, and the answers become one. p_taken: what a batch
-- takes from these meters before.
create function quota.judge_parts(
  p_subject_id text,
  p_feature_id text,
  p_parts quota.part[],
  p_amount bigint,
  p_at timestamptz,
  p_is_settled boolean,
  p_taken bigint[] default null
)
returns quota.judgement
language plpgsql stable security invoker set search_path = pg_catalog, pg_temp
as $$
declare
  v_part quota.part;
  v_allowance quota.allowance;
  v_verdict quota.verdict;
  v_amount bigint;
  v_room bigint;
  v_decision public.usage_decision;
  v_decisions public.usage_decision[];
  v_judgement quota.judgement;
begin
  for i in 1 .. cardinality(p_parts) loop
    v_part := p_parts[i];
    v_allowance := quota.limits_of(
      v_part.subject_id, v_part.feature_id, p_at, p_is_settled => p_is_settled
    );
    v_amount := quota.price(p_amount, v_part.units, v_part.per) + coalesce(p_taken[i], 0);
    v_verdict := quota.decide(v_allowance.limits, v_amount);
    if v_allowance.limits is null and not v_part.is_price and cardinality(p_parts) > 1 then
      -- What is priced need not be limited beside: its price is what limits it.
      v_decision := quota.decision(
        v_part.subject_id, v_part.feature_id, p_amount, v_allowance, null, 'ok'
      );
      v_allowance.limits := '{}';
    elsif v_verdict.is_allowed then
      v_decision := quota.decision(
        v_part.subject_id, v_part.feature_id, v_amount, v_allowance, v_verdict.shown,
        quota.allowing_reason(v_verdict)
      );
    else
      v_decision := quota.refusal(
        v_part.subject_id, v_part.feature_id, v_amount, p_at, v_allowance, v_verdict
      );
    end if;
    select min(quota.room(l) + l.slack) - coalesce(p_taken[i], 0)
      into v_room
      from unnest(v_allowance.limits) as l;
    v_judgement.fits := least(v_judgement.fits, quota.uses(v_room, v_part));
    v_decisions[i] := v_decision;
    v_judgement.allowances[i] := v_allowance;
  end loop;
  v_judgement.decision := quota.joint_decision(
    p_subject_id, p_feature_id, p_amount, p_parts, v_decisions
  );
  return v_judgement;
end
$$;

comment on function quota.judge_parts is
  'Whether all parts of a call have room for an amount of the feature, with p_taken of each meter taken before. Errors: QAMNT.';

create function quota.uses(
  p_room bigint,
  p_part quota.part
)
returns bigint
language plpgsql immutable security invoker set search_path = pg_catalog, pg_temp
as $$
begin
  return least(div(greatest(p_room, 0)::numeric * p_part.per, p_part.units), 9007199254740991);
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
      case when not d.allowed then coalesce(d.retry_after, 2147483647) end desc,
      quota.uses(d.remaining, row(p.subject_id, p.feature_id, p.units, p.per, p.is_price)::quota.part),
      quota.period_rank(d.period) desc,
      p.is_price,
      p.n
    limit 1;
  v_decision := coalesce(p_decisions[v_limiting], v_own);
  v_decision.feature := p_feature_id;
  v_decision.subject := p_subject_id;
  v_decision.amount := p_amount;
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
