-- A use that counts in several places: in the feature called, in what it costs, and at each level above. One call has a part in
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

create type quota.joint_call as (
  catalogue_version bigint,
  levels text[],
  parts quota.part[],
  lock_order bigint[],
  amounts bigint[],
  decisions public.usage_decision[],
  ends timestamptz[],
  fresh_from timestamptz,
  fresh_until timestamptz,
  has_moved boolean
);

comment on type quota.joint_call is
  'A call over several meters. levels: the subject and those above it, from the top down, and so are parts, after which caps come. lock_order: which of the parts comes first; null, as they stand. Of each part that moved its meter: how much, what it would be told alone, and until when that holds. has_moved: all have.';

-- From the top down. They are locked in byte order (lock_parts()).
create function quota.parts_of(
  p_subject_id text,
  p_feature_id text
)
returns quota.part[]
language plpgsql stable security invoker set search_path = pg_catalog, pg_temp
as $$
declare
  v_levels text[] := quota.levels_of(p_subject_id);
begin
  if cardinality(v_levels) = 1
    and not exists (select from quota.feature_costs as c where c.feature_id = p_feature_id)
  then
    return null;
  end if;
  return array(
    select row(l.subject_id, o.feature_id, o.units, o.per, o.is_price)::quota.part
    from unnest(v_levels) with ordinality as l (subject_id, n)
    cross join (
      select p_feature_id collate "C" as feature_id, 1::bigint as units, 1::bigint as per,
        false as is_price
      union all
      select c.cost_id, c.units, c.per, true
      from quota.feature_costs as c
      where c.feature_id = p_feature_id
    ) as o
    order by l.n, o.feature_id
  );
end
$$;

comment on function quota.parts_of is
  'The meters that a call takes from, from the top down; null: its own alone.';

create function quota.levels_of(p_subject_id text)
returns text[]
language plpgsql stable strict security invoker set search_path = pg_catalog, pg_temp
as $$
declare
  v_levels text[] := array[p_subject_id];
  v_parent_id text;
begin
  loop
    select s.parent_id into v_parent_id from quota.subjects as s where s.subject_id = v_levels[1];
    exit when v_parent_id is null;
    v_levels := v_parent_id || v_levels;
  end loop;
  return v_levels;
end
$$;

comment on function quota.levels_of is
  'A subject and those above it, from the top down.';

-- What has a price need not be limited beside: its price is what limits it. One level at least must say so.
create function quota.needed_features(p_parts quota.part[])
returns text[]
language plpgsql immutable security invoker set search_path = pg_catalog, pg_temp
as $$
declare
  v_part quota.part;
  v_called text[] := '{}'::text[];
  v_prices text[] := '{}'::text[];
begin
  foreach v_part in array p_parts loop
    if v_part.is_price then
      v_prices := v_prices || v_part.feature_id;
    else
      v_called := v_called || v_part.feature_id;
    end if;
  end loop;
  return case when v_prices = '{}' then v_called else v_prices end;
end
$$;

comment on function quota.needed_features is
  'What the plan of a level at least must name, for a call of these parts to be allowed; one may stand there twice.';

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
  v_named text[] := '{}'::text[];
  v_needed text[] := quota.needed_features(p_parts);
  v_judgement quota.judgement;
begin
  for i in 1 .. cardinality(p_parts) loop
    v_judgement.allowances[i] := quota.limits_of(
      p_parts[i].subject_id, p_parts[i].feature_id, p_at, p_is_settled => p_is_settled
    );
    -- A cap names nothing: it limits what the plan allows.
    if (v_judgement.allowances[i]).limits is not null and strpos(p_parts[i].subject_id, chr(31)) = 0 then
      v_named := v_named || p_parts[i].feature_id;
    end if;
  end loop;
  for i in 1 .. cardinality(p_parts) loop
    v_part := p_parts[i];
    v_allowance := v_judgement.allowances[i];
    v_amount := quota.price(p_amount, v_part.units, v_part.per) + coalesce(p_taken[i], 0);
    v_verdict := quota.decide(v_allowance.limits, v_amount);
    if v_allowance.limits is null
      and (v_part.feature_id = any (v_named) or v_part.feature_id <> all (v_needed))
    then
      -- A level that does not name it counts, and does not limit.
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
