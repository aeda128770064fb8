-- Many calls of one subject in one round trip and one transaction: what a server has to ask at the same
-- moment for an organisation that is busy. Each is decided as if it had come alone, in order: the limits
-- bind the third by what the first two took, and a refusal of one is none of the others. The row of a
-- hot subject is locked, and the log flushed, once for all of them.
create function public.consume_usage_many(
  calls jsonb,
  subject text
)
returns setof public.usage_decision
language plpgsql volatile security invoker set search_path = pg_catalog, pg_temp
as $$
#variable_conflict error
declare
  v_decision public.usage_decision;
begin
  -- No query, as in consume_usage_batch().
  foreach v_decision in array quota.consume_usage_many(calls, subject) loop
    return next v_decision;
  end loop;
end
$$;

comment on function public.consume_usage_many is
  'Makes 1 to 1,000 calls of one subject in order and in one round trip, each as consume_usage would: with a decision, a line of the ledger and a key of its own. calls is an array of objects {"feature": …, "amount": …, "idempotency_key": …, "metadata": …, "actor": …, "partial": …}, of which only feature must be there. Returns one decision per call, in order: a refusal of one is none of the others. A call that consume_usage would answer with an error counts nothing and has allowed = false, with the code of the error for a reason: made alone it says what is wrong. All are counted in one transaction. Errors: 22023 calls is not an array of 1 to 1,000 elements; 42501 a user calls; QSUBJ subject missing, empty or over 255 characters; 55P03 another call held a row for 2 s, nothing was counted (retry).';

create function quota.consume_usage_many(
  p_calls jsonb,
  p_subject text
)
returns public.usage_decision[]
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp set lock_timeout = '2s' set plan_cache_mode = force_generic_plan
as $$
declare
  v_caller quota.caller;
  v_calls quota.many_calls;
  v_decisions public.usage_decision[];
begin
  perform quota.require_trusted();
  v_caller := quota.caller_for(p_subject);
  if p_calls is null or jsonb_typeof(p_calls) <> 'array'
    or jsonb_array_length(p_calls) not between 1 and 1000
  then
    raise exception 'consume_usage_many: calls is %, an array of 1 to 1,000 objects is expected',
      case jsonb_typeof(p_calls)
        when 'array' then 'an array of ' || jsonb_array_length(p_calls)
        else coalesce('a JSON ' || jsonb_typeof(p_calls), 'null')
      end
      using errcode = '22023', hint = 'for example [{"feature": "ai_generation"}, {"feature": "export"}]';
  end if;
  v_calls := quota.calls_at_a_look(p_calls);
  if v_calls.features[1] = all (v_calls.features) then
    v_decisions := quota.take_many_plainly(
      v_caller.subject_id, v_calls, 1, cardinality(v_calls.features)
    );
  end if;
  if v_decisions is null and v_calls.features is not null then
    v_decisions := quota.refuse_many_plainly(v_caller, v_calls);
  end if;
  if v_decisions is null then
    v_decisions := quota.make_calls_locked(v_caller, p_calls, v_calls);
  end if;
  return v_decisions;
end
$$;

comment on function quota.consume_usage_many is 'See public.consume_usage_many.';

-- The general way: call by call, as they would come alone, but under locks that are taken once, in the
-- one order. What is wrong with one call is found while the others are made: then all are undone, and made
-- anew with a savepoint each, which would cost every caller of the server if it were so always.
create function quota.make_calls_locked(
  p_caller quota.caller,
  p_calls jsonb,
  p_seen quota.many_calls
)
returns public.usage_decision[]
language plpgsql volatile security invoker set search_path = pg_catalog, pg_temp
as $$
declare
  v_subject_id text := p_caller.subject_id;
  v_features text[] := array(
    select f.feature_id
    from quota.features as f
    where f.kind in ('metered', 'gauge')
      and f.feature_id in (
        select c.value ->> 'feature'
        from jsonb_array_elements(p_calls) as c
        where jsonb_typeof(c.value) = 'object'
      )
    order by f.feature_id
  );
  v_decisions public.usage_decision[];
begin
  if cardinality(v_features) > 0 then
    v_subject_id := ((quota.lock_call(p_caller, v_features)).caller).subject_id;
  end if;
  begin
    v_decisions := quota.make_calls(v_subject_id, p_calls, p_seen);
  exception
    when sqlstate 'QAMNT' or sqlstate 'QFEAT' or sqlstate 'QIDEM' or sqlstate 'QMETA'
      or sqlstate 'QSUBJ' or sqlstate '22023' or sqlstate '55P03'
    then
      v_decisions := quota.try_calls(v_subject_id, p_calls);
  end;
  return v_decisions;
end
$$;

comment on function quota.make_calls_locked is
  'Makes calls one by one, holding all their meters. Errors: 55P03.';

create function quota.make_calls(
  p_subject_id text,
  p_calls jsonb,
  p_seen quota.many_calls
)
returns public.usage_decision[]
language plpgsql volatile security invoker set search_path = pg_catalog, pg_temp
as $$
declare
  v_last integer := jsonb_array_length(p_calls);
  v_at integer := 1;
  v_until integer := 0;
  v_tries integer;
  v_run public.usage_decision[];
  v_decisions public.usage_decision[] := '{}'::public.usage_decision[];
begin
  while v_at <= v_last loop
    if v_at > v_until then
      -- Those of one feature that follow one another.
      v_tries := 2;
      v_until := v_at;
      while p_seen.features[v_until + 1] = p_seen.features[v_at] loop
        v_until := v_until + 1;
      end loop;
    end if;
    v_run := null;
    -- Often the first alone is not plain: it begins a minute, or finds what was changed.
    if v_until > v_at and v_tries > 0 then
      v_tries := v_tries - 1;
      v_run := quota.take_many_plainly(p_subject_id, p_seen, v_at, v_until);
    end if;
    if v_run is null then
      v_run := array[quota.make_call(p_subject_id, p_calls -> (v_at - 1))];
    end if;
    v_decisions := v_decisions || v_run;
    v_at := v_at + cardinality(v_run);
  end loop;
  return v_decisions;
end
$$;

comment on function quota.make_calls is 'Makes calls one by one. Errors: those of the first that has one.';

create function quota.try_calls(
  p_subject_id text,
  p_calls jsonb
)
returns public.usage_decision[]
language plpgsql volatile security invoker set search_path = pg_catalog, pg_temp
as $$
declare
  v_call jsonb;
  v_decision public.usage_decision;
  v_decisions public.usage_decision[];
begin
  for i in 0 .. jsonb_array_length(p_calls) - 1 loop
    v_call := p_calls -> i;
    begin
      v_decision := quota.make_call(p_subject_id, v_call);
    exception
      when sqlstate 'QAMNT' or sqlstate 'QFEAT' or sqlstate 'QIDEM' or sqlstate 'QMETA'
        or sqlstate 'QSUBJ' or sqlstate '22023' or sqlstate '55P03'
      then
        v_decision := null;
        v_decision.allowed := false;
        v_decision.reason := sqlstate;
        v_decision.subject := p_subject_id;
        v_decision.feature := case jsonb_typeof(v_call) when 'object' then v_call ->> 'feature' end;
        v_decision.replayed := false;
    end;
    v_decisions := v_decisions || v_decision;
  end loop;
  return v_decisions;
end
$$;

comment on function quota.try_calls is
  'Makes calls one by one; one that fails has counted nothing, and the code for a reason.';

create function quota.make_call(
  p_subject_id text,
  p_call jsonb
)
returns public.usage_decision
language plpgsql volatile security invoker set search_path = pg_catalog, pg_temp
as $$
begin
  if (
    jsonb_typeof(p_call) = 'object'
    and jsonb_typeof(p_call -> 'feature') = 'string'
    and coalesce(jsonb_typeof(p_call -> 'idempotency_key') in ('string', 'null'), true)
    and coalesce(jsonb_typeof(p_call -> 'actor') in ('string', 'null'), true)
    and coalesce(jsonb_typeof(p_call -> 'partial') = 'boolean', true)
    and case jsonb_typeof(p_call)
      when 'object'
      then p_call - '{feature,amount,idempotency_key,metadata,actor,partial}'::text[] = '{}'
    end
  ) is not true then
    raise exception 'consume_usage_many: a call is %, an object with feature, amount, idempotency_key, metadata, actor and partial is expected',
      left(p_call::text, 100)
      using errcode = '22023', hint = 'for example {"feature": "ai_generation", "amount": 1}';
  end if;
  if p_call ? 'amount' and not quota.is_whole(p_call -> 'amount', 1) then
    raise exception 'amount % is not a whole number from 1 to 9007199254740991 (2^53 - 1)',
      coalesce(left(p_call ->> 'amount', 100), 'null')
      using errcode = 'QAMNT', hint = 'count fractional costs in micro-units';
  end if;
  return quota.consume_usage(
    p_feature => p_call ->> 'feature',
    p_amount => coalesce((p_call ->> 'amount')::numeric::bigint, 1),
    p_subject => p_subject_id,
    p_idempotency_key => p_call ->> 'idempotency_key',
    p_metadata => nullif(p_call -> 'metadata', 'null'::jsonb),
    p_actor => p_call ->> 'actor',
    p_partial => coalesce((p_call ->> 'partial')::boolean, false)
  );
end
$$;

comment on function quota.make_call is
  'One of many calls, as if it had come alone. Errors: as consume_usage; 22023 malformed.';
