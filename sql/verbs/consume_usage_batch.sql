-- One action that uses several things (a generation and its tokens): all or none, in
-- one step and one round trip. Plain ones move their meters, in lock order (take_all_plainly()); of any other
-- all meters are locked first, and only when all items have room is anything written (take_batch()).

-- One action that uses several things, all or none, in one round trip.
create function public.consume_usage_batch(
  items jsonb,
  subject text default null,
  idempotency_key text default null,
  metadata jsonb default '{}'
)
returns setof public.usage_decision
language plpgsql volatile security invoker set search_path = pg_catalog, pg_temp
as $$
#variable_conflict error
declare
  v_decision public.usage_decision;
begin
  -- No query: its columns would stay those that the type had when the session first called.
  foreach v_decision in array
    quota.consume_usage_batch(items, subject, idempotency_key, metadata)
  loop
    return next v_decision;
  end loop;
end
$$;

comment on function public.consume_usage_batch is
  'Consumes several items, all or none, in one atomic step: items is an array of 1 to 100 objects {"feature": …, "amount": …} (amount in units of the feature, default 1; a feature may appear twice); of a trusted caller an item may name its own subject and actor, and subject may be left out where every item does (the key is then of the first one). Returns one decision per item, in order. When one is refused nothing is counted: refused items say why, the others have allowed = false and reason not_taken. subject, idempotency_key and metadata are as in consume_usage; the key stands for the whole batch. Errors: 22023 items malformed, empty or more than 100, or a use of more than 400 meters; QAMNT; QFEAT; 42501 no identity, a subject that is not yours, a server_only feature, or an item of a user that names subject or actor; QSUBJ; QIDEM; QMETA; 55P03 retry.';

create function quota.consume_usage_batch(
  p_items jsonb,
  p_subject text,
  p_idempotency_key text,
  p_metadata jsonb
)
returns public.usage_decision[]
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp set lock_timeout = '2s' set plan_cache_mode = force_generic_plan
as $$
declare
  v_caller quota.caller;
  v_callers quota.caller[];
  v_metadata jsonb := coalesce(p_metadata, '{}');
  v_features text[];
  v_amounts bigint[];
  v_arguments jsonb;
  v_at timestamptz;
  v_decisions public.usage_decision[];
begin
  v_caller := quota.batch_caller(p_items, p_subject);
  perform quota.check_key(p_idempotency_key);
  perform quota.check_metadata(p_metadata);
  select i.feature_ids, i.amounts into v_features, v_amounts from quota.batch_items(p_items) as i;
  v_callers := quota.batch_callers(p_items, v_caller);
  if p_idempotency_key is not null then
    v_arguments := jsonb_build_object(
      'call', 'consume_usage_batch', 'features', v_features, 'amounts', v_amounts
    ) || quota.further_arguments(v_caller.actor, false) || quota.callers_argument(v_callers);
  end if;

  -- What is refused without a lock makes nobody wait: a member could else stop an organisation with
  -- batches that are refused. What was committed when it was looked at had no room: a right answer.
  if v_caller.is_trusted is not true then
    perform quota.check_feature(f.feature_id) from unnest(v_features) as f (feature_id);
    perform quota.check_server_only(v_caller, v_features);
    v_caller.subject_id := quota.account_of(v_caller.subject_id);
    v_at := quota.clock();
    if p_idempotency_key is null
      or quota.replay(v_caller, p_idempotency_key, v_arguments, v_at) is null
    then
      v_decisions := (quota.judge_batch(
        v_caller, v_features, v_amounts, v_at, p_is_settled => false
      )).decisions;
      if not quota.all_have_room(v_decisions) then
        return v_decisions;
      end if;
    end if;
  end if;

  v_decisions := case
    when v_callers is null and p_idempotency_key is null and v_metadata = '{}'
    then quota.take_all_plainly(v_caller, v_features, v_amounts)
  end;
  if v_decisions is null then
    v_decisions := quota.take_batch(
      v_caller, v_callers, v_features, v_amounts, p_idempotency_key, v_arguments, v_metadata
    );
  end if;
  return v_decisions;
end
$$;

comment on function quota.consume_usage_batch is 'See public.consume_usage_batch.';

create function quota.batch_items(
  p_items jsonb,
  out feature_ids text[],
  out amounts bigint[]
)
language plpgsql stable security invoker set search_path = pg_catalog, pg_temp
as $$
declare
  v_item jsonb;
begin
  if p_items is null or jsonb_typeof(p_items) <> 'array'
    or jsonb_array_length(p_items) not between 1 and 100
  then
    raise exception 'items is not an array of 1 to 100 objects'
      using errcode = '22023', hint = 'for example [{"feature": "ai_generation", "amount": 1}]';
  end if;
  for v_item in select value from jsonb_array_elements(p_items) loop
    if jsonb_typeof(v_item) <> 'object'
      or jsonb_typeof(v_item -> 'feature') is distinct from 'string'
      or v_item - 'feature' - 'amount' - 'subject' - 'actor' <> '{}'
    then
      raise exception 'an item is %, an object with feature and amount (of a server, subject and actor, too) is expected',
        left(v_item::text, 100)
        using errcode = '22023', hint = 'for example {"feature": "ai_generation", "amount": 1}';
    end if;
    if v_item ? 'amount' and not quota.is_whole(v_item -> 'amount', 1) then
      raise exception 'amount % is not a whole number from 1 to 9007199254740991 (2^53 - 1)',
        coalesce(left(v_item ->> 'amount', 100), 'null')
        using errcode = 'QAMNT', hint = 'count fractional costs in micro-units';
    end if;
    feature_ids := feature_ids || (v_item ->> 'feature');
    amounts := amounts || coalesce((v_item ->> 'amount')::numeric::bigint, 1);
  end loop;
end
$$;

comment on function quota.batch_items is
  'The items as two arrays. Errors: 22023 malformed; QAMNT.';

-- An answer for each item: 'not_taken' where it has room beside the items before it, else the refusal.
-- One refusal per feature and amount, since a hundred of them took a second.
create function quota.judge_batch(
  p_caller quota.caller,
  p_features text[],
  p_amounts bigint[],
  p_at timestamptz,
  p_is_settled boolean,
  out decisions public.usage_decision[],
  out allowances quota.allowance[]
)
language plpgsql stable security invoker set search_path = pg_catalog, pg_temp
as $$
declare
  v_subject_id text := p_caller.subject_id;
  v_feature_id text;
  v_allowance quota.allowance;
  v_verdict quota.verdict;
  v_sum bigint;
  v_refused bigint[];
  v_refusals public.usage_decision[];
  v_items integer;
  v_decision public.usage_decision;
begin
  if cardinality(quota.parts_of_calls(v_subject_id, p_features))
    > (select count(distinct f) from unnest(p_features) as f)
    or exists (select from quota.feature_costs as c where c.feature_id = any (p_features))
    or cardinality(quota.caps_of_calls(array[p_caller], p_features, p_at)) > 0
  then
    decisions := quota.judge_batch_parts(array[p_caller], p_features, p_amounts, p_at, p_is_settled);
    return;
  end if;
  for v_feature_id in select distinct f from unnest(p_features) as f loop
    v_allowance := quota.limits_of(
      v_subject_id, v_feature_id, p_at, p_is_settled => p_is_settled
    );
    v_items := 0;
    v_sum := 0;
    v_refused := '{}';
    v_refusals := '{}';
    for i in 1 .. cardinality(p_features) loop
      continue when p_features[i] <> v_feature_id;
      v_sum := v_sum + p_amounts[i];
      v_verdict := quota.decide(v_allowance.limits, v_sum);
      if v_verdict.is_allowed then
        v_decision := quota.decision(
          v_subject_id, v_feature_id, p_amounts[i], v_allowance, v_verdict.shown, 'not_taken'
        );
      elsif p_amounts[i] = any (v_refused) then
        v_decision := v_refusals[array_position(v_refused, p_amounts[i])];
      else
        v_decision := quota.refusal(
          v_subject_id, v_feature_id, v_sum, p_at, v_allowance, v_verdict
        );
        v_decision.amount := p_amounts[i];
        v_refused := v_refused || p_amounts[i];
        v_refusals := v_refusals || v_decision;
      end if;
      decisions[i] := v_decision;
      -- What the first item of a feature takes is not in the limits of the next.
      v_items := v_items + 1;
      allowances[i] := case when v_items = 1 then v_allowance end;
    end loop;
  end loop;
end
$$;

comment on function quota.judge_batch is
  'What a batch would be told if it were refused: all not_taken where all have room; and the limits of the first item of each feature. Errors: QAMNT, a counter would pass 2^53 - 1.';
