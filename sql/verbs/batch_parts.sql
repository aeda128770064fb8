-- What a batch asks of all its items: whether they have room, plainly or beside one another, where a use
-- counts in several places, too.

create function quota.parts_of_calls(
  p_subject_id text,
  p_feature_ids text[]
)
returns quota.part[]
language plpgsql stable security invoker set search_path = pg_catalog, pg_temp
as $$
declare
  v_levels text[] := quota.levels_of(p_subject_id);
begin
  if cardinality(v_levels) = 1
    and not exists (select from quota.feature_costs as c where c.feature_id = any (p_feature_ids))
  then
    return null;
  end if;
  return array(
    select row(p.subject_id, p.feature_id, 1, 1, false)::quota.part
    from (select distinct f from unnest(p_feature_ids) as f) as c (feature_id)
    cross join lateral unnest(
      coalesce(
        quota.parts_of(p_subject_id, c.feature_id),
        array[row(p_subject_id, c.feature_id, 1, 1, false)::quota.part]
      )
    ) as p
    group by p.subject_id, p.feature_id
    order by array_position(v_levels, p.subject_id), p.feature_id
  );
end
$$;

comment on function quota.parts_of_calls is
  'All meters that calls of these features take from, each once, in lock order; null: their own alone.';

-- One caller: of all items.
create function quota.judge_batch_parts(
  p_callers quota.caller[],
  p_features text[],
  p_amounts bigint[],
  p_at timestamptz,
  p_is_settled boolean
)
returns public.usage_decision[]
language plpgsql stable security invoker set search_path = pg_catalog, pg_temp
as $$
declare
  v_caller quota.caller;
  v_parts quota.part[];
  v_taken jsonb := '{}'::jsonb;
  v_before bigint[];
  v_decision public.usage_decision;
  v_decisions public.usage_decision[];
begin
  for i in 1 .. cardinality(p_features) loop
    v_caller := p_callers[least(i, cardinality(p_callers))];
    v_parts := coalesce(
      quota.parts_of_call(v_caller, p_features[i], p_at),
      array[row(v_caller.subject_id, p_features[i], 1, 1, false)::quota.part]
    );
    v_before := array(
      select coalesce((v_taken ->> jsonb_build_array(p.subject_id, p.feature_id)::text)::bigint, 0)
      from unnest(v_parts) with ordinality as p (subject_id, feature_id, units, per, is_price, n)
      order by p.n
    );
    v_decision := (quota.judge_parts(
      v_caller.subject_id, p_features[i], v_parts, p_amounts[i], p_at, p_is_settled, v_before
    )).decision;
    if v_decision.allowed then
      v_decision.allowed := false;
      v_decision.reason := 'not_taken';
    end if;
    v_decisions[i] := v_decision;
    for j in 1 .. cardinality(v_parts) loop
      v_taken := v_taken || jsonb_build_object(
        jsonb_build_array(v_parts[j].subject_id, v_parts[j].feature_id)::text,
        v_before[j] + quota.price(p_amounts[i], v_parts[j].units, v_parts[j].per)
      );
    end loop;
  end loop;
  return v_decisions;
end
$$;

comment on function quota.judge_batch_parts is
  'judge_batch() where an item counts in several places, or items are of several callers. Errors: QAMNT.';

create function quota.take_item(
  p_caller quota.caller,
  p_feature_id text,
  p_amount bigint,
  p_at timestamptz,
  p_batch_id uuid,
  p_metadata jsonb,
  p_allowance quota.allowance,
  p_is_of_batch boolean
)
returns public.usage_decision
language plpgsql volatile security invoker set search_path = pg_catalog, pg_temp
as $$
declare
  v_parts quota.part[] := quota.parts_of_call(p_caller, p_feature_id, p_at);
begin
  -- Other subjects and features do not read the line of the batch: their lines say themselves what they were for.
  if v_parts is null then
    return quota.take(
      p_caller, p_feature_id, p_amount, p_at, 'consume', null, null, null,
      case when p_is_of_batch then '{}'::jsonb else p_metadata end, p_batch_id, p_allowance
    );
  end if;
  return quota.take_parts(
    p_caller, p_feature_id, p_amount, p_at, 'consume', null, null, p_metadata, v_parts, p_batch_id
  );
end
$$;

comment on function quota.take_item is 'Counts an item of a batch that has room.';

create function quota.all_have_room(p_decisions public.usage_decision[])
returns boolean
language plpgsql immutable security invoker set search_path = pg_catalog, pg_temp
as $$
begin
  return not exists (
    select from unnest(p_decisions) as d where d.reason is distinct from 'not_taken'
  );
end
$$;

comment on function quota.all_have_room is 'Whether judge_batch() refuses no item.';
