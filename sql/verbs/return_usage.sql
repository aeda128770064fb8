-- A gauge goes down: something was deleted. Holding the meter.

-- A gauge goes down, where the app counts by hand; tables under limit_table() do it themselves.
create function public.return_usage(
  feature text,
  amount bigint,
  subject text,
  idempotency_key text default null,
  metadata jsonb default '{}'
)
returns public.usage_decision
language plpgsql volatile security invoker set search_path = pg_catalog, pg_temp
as $$
#variable_conflict error
begin
  return quota.return_usage(feature, amount, subject, idempotency_key, metadata);
end
$$;

comment on function public.return_usage is
  'Lowers a gauge: something was deleted. Never below zero: it gives back what there is, and amount in the answer says how much. amount is in units of the feature. The same idempotency_key with the same arguments gives the first answer again. Errors: QFEAT unknown feature, or a metered one (see refund_usage); QAMNT; QSUBJ; QIDEM; QMETA; 42501 not a trusted role; 55P03 retry.';

create function quota.return_usage(
  p_feature text,
  p_amount bigint,
  p_subject text,
  p_idempotency_key text,
  p_metadata jsonb
)
returns public.usage_decision
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp set lock_timeout = '2s' set plan_cache_mode = force_generic_plan
as $$
declare
  v_caller quota.caller;
  v_arguments jsonb;
  v_answers quota.kept_answer[];
  v_own quota.own_lock;
  v_now timestamptz;
  v_decision public.usage_decision;
begin
  perform quota.require_trusted();
  v_caller := quota.caller_for(p_subject);
  perform quota.check_arguments(p_amount, p_idempotency_key, p_metadata);
  perform quota.check_feature(p_feature);
  if exists (
    select from quota.features as f where f.feature_id = p_feature and f.kind <> 'gauge'
  ) then
    raise exception 'feature % is metered, and what was used is used', quote_literal(p_feature)
      using errcode = 'QFEAT', hint = 'give a counted event back with refund_usage';
  end if;

  v_own := quota.lock_own(v_caller, p_feature);
  v_caller := v_own.caller;
  v_now := v_own.at;
  if p_idempotency_key is not null then
    v_arguments := jsonb_build_object('call', 'return_usage', 'feature', p_feature, 'amount', p_amount);
    v_answers := quota.replay(v_caller, p_idempotency_key, v_arguments, v_now);
  end if;
  if v_answers is null then
    v_decision := quota.put_back(
      v_caller, p_feature, p_amount, v_now, 'return',
      p_idempotency_key, v_arguments, coalesce(p_metadata, '{}')
    );
    if v_decision.allowed is not null then
      return v_decision;
    end if;
    v_answers := quota.replay_taken(v_caller, p_idempotency_key, v_arguments, v_now);
  end if;
  return quota.replayed(v_answers[1]);
end
$$;

comment on function quota.return_usage is 'See public.return_usage.';

create function quota.put_back(
  p_caller quota.caller,
  p_feature_id text,
  p_amount bigint,
  p_at timestamptz,
  p_kind text,
  p_idempotency_key text,
  p_arguments jsonb,
  p_metadata jsonb
)
returns public.usage_decision
language plpgsql volatile security invoker set search_path = pg_catalog, pg_temp
as $$
declare
  v_used bigint := quota.level_of(p_caller.subject_id, p_feature_id);
  v_event quota.events;
  v_decision public.usage_decision;
begin
  if p_kind = 'table' and v_used = 0 then
    return null;
  end if;
  if p_kind <> 'table' then
    v_used := v_used - quota.rows_used(p_caller.subject_id, p_feature_id);
  end if;
  v_event := row(
    p_caller.subject_id, quota.new_id(p_at), p_at, p_kind, p_feature_id, p_at,
    -- Never below zero: what is not there cannot be given back.
    -least(p_amount, greatest(v_used, 0)), 0, 0, null, null, p_caller.actor, p_idempotency_key,
    p_metadata
  )::quota.events;
  v_decision := quota.told_after(v_event);
  if p_idempotency_key is not null and not quota.bind_key(
    p_caller, p_idempotency_key, p_arguments, array[v_decision], p_at
  ) then
    return null;
  end if;
  perform quota.record(v_event);
  return v_decision;
end
$$;

comment on function quota.put_back is
  'Lowers a gauge by at most what it shows. Null: the idempotency key was taken meanwhile.';

-- Asked before the line is written, so that the answer can be bound to its key.
create function quota.told_after(p_event quota.events)
returns public.usage_decision
language plpgsql stable security invoker set search_path = pg_catalog, pg_temp
as $$
declare
  v_allowance quota.allowance := quota.limits_of(
    p_event.subject_id, p_event.feature_id, p_event.at, p_is_settled => true
  );
begin
  v_allowance.limits := quota.after_event(v_allowance.limits, p_event);
  return quota.decision(
    p_event.subject_id, p_event.feature_id, -p_event.used_change, v_allowance,
    (quota.decide(v_allowance.limits, 0)).shown, 'ok', p_event.event_id
  );
end
$$;

comment on function quota.told_after is
  'The answer to a call that gives back: how the limits stand after its line.';

create function quota.level_of(
  p_subject_id text,
  p_feature_id text
)
returns bigint
language plpgsql stable strict security invoker set search_path = pg_catalog, pg_temp
as $$
begin
  -- Of the meter, whatever the plan says now.
  return coalesce(
    (
      select m.used
      from quota.meters as m
      where m.subject_id = p_subject_id
        and m.feature_id = p_feature_id
    ),
    0
  );
end
$$;

comment on function quota.level_of is 'What a gauge shows.';

create function quota.rows_used(
  p_subject_id text,
  p_feature_id text
)
returns bigint
language plpgsql stable strict security invoker set search_path = pg_catalog, pg_temp
as $$
begin
  return coalesce(
    (
      select m.rows_used
      from quota.meters as m
      where m.subject_id = p_subject_id
        and m.feature_id = p_feature_id
    ),
    0
  );
end
$$;

comment on function quota.rows_used is
  'How much of a gauge rows of limited tables are. It goes with the rows, and not by hand.';
