-- A batch that is asked properly: all meters are locked first, then every item is judged against what the items
-- before it take.
create function quota.take_batch(
  p_caller quota.caller,
  p_callers quota.caller[],
  p_features text[],
  p_amounts bigint[],
  p_idempotency_key text,
  p_arguments jsonb,
  p_metadata jsonb
)
returns public.usage_decision[]
language plpgsql volatile security invoker set search_path = pg_catalog, pg_temp
as $$
declare
  v_own quota.own_lock;
  v_caller quota.caller;
  v_callers quota.caller[];
  v_kept quota.kept_answer[];
  v_answers public.usage_decision[];
  v_batch_id uuid;
begin
  if p_callers is null then
    v_own := quota.lock_call(p_caller, array(select distinct f from unnest(p_features) as f));
    v_caller := v_own.caller;
  else
    select l.callers, l.at into v_callers, v_own.at from quota.lock_several(p_callers, p_features) as l;
    v_caller := p_caller;
    v_caller.subject_id := quota.account_of(v_caller.subject_id);
  end if;
  if p_idempotency_key is not null then
    v_kept := quota.replay(v_caller, p_idempotency_key, p_arguments, v_own.at);
    if v_kept is not null then
      for i in 1 .. cardinality(v_kept) loop
        v_answers[i] := quota.replayed(v_kept[i]);
      end loop;
      return v_answers;
    end if;
  end if;

  -- What belongs to the batch as a whole stands once, in a line that its items are about.
  if p_idempotency_key is not null or p_metadata <> '{}' then
    v_batch_id := quota.new_id(v_own.at);
    if p_callers is null then
      v_answers := quota.take_all_plainly(v_caller, p_features, p_amounts, v_own.at, v_batch_id);
    end if;
  end if;
  if v_answers is null then
    v_answers := quota.take_all_properly(
      v_caller, v_callers, p_features, p_amounts, v_own.at, v_batch_id, p_metadata
    );
  end if;
  if v_batch_id is not null and (v_answers[1]).allowed then
    perform quota.record(
      row(
        v_caller.subject_id, v_batch_id, v_own.at, 'batch', null, v_own.at, 0, 0, 0, null, null,
        v_caller.actor, p_idempotency_key, p_metadata
      )::quota.events
    );
    if p_idempotency_key is not null and not quota.bind_key(
      v_caller, p_idempotency_key, p_arguments, v_answers, v_own.at
    ) then
      -- Taken under other meters, so with other features: this raises, and undoes the items.
      perform quota.replay_taken(v_caller, p_idempotency_key, p_arguments, v_own.at);
    end if;
  end if;
  return v_answers;
end
$$;

comment on function quota.take_batch is
  'Locks the meters of a batch and counts all items, or none; a key that is bound is told its answers again.';

create function quota.take_all_properly(
  p_caller quota.caller,
  p_callers quota.caller[],
  p_features text[],
  p_amounts bigint[],
  p_at timestamptz,
  p_batch_id uuid,
  p_metadata jsonb
)
returns public.usage_decision[]
language plpgsql volatile security invoker set search_path = pg_catalog, pg_temp
as $$
declare
  v_callers quota.caller[] := coalesce(p_callers, array[p_caller]);
  v_decisions public.usage_decision[];
  v_allowances quota.allowance[];
begin
  perform quota.lock_caps(quota.caps_of_calls(v_callers, p_features, p_at), p_at);
  if p_callers is null then
    select j.decisions, j.allowances
      into v_decisions, v_allowances
      from quota.judge_batch(p_caller, p_features, p_amounts, p_at, p_is_settled => true) as j;
  else
    v_decisions := quota.judge_batch_parts(v_callers, p_features, p_amounts, p_at, true);
  end if;
  if quota.all_have_room(v_decisions) then
    for i in 1 .. cardinality(p_features) loop
      v_decisions[i] := quota.take_item(
        v_callers[least(i, cardinality(v_callers))], p_features[i], p_amounts[i], p_at, p_batch_id,
        p_metadata, v_allowances[i], p_callers is null
      );
    end loop;
  end if;
  return v_decisions;
end
$$;

comment on function quota.take_all_properly is
  'Counts all items of a batch, if they have room beside one another, or none; expects the meters to be locked.';
