-- A fresh start by hand: an apology, a test account, a customer who paid for another round. The period
-- goes on and ends when it would have, so the billing day stays; only what was used of it is nothing again.
create function public.reset_usage(
  feature text,
  subject text,
  period text default null,
  reason text default null,
  idempotency_key text default null
)
returns public.usage_decision
language plpgsql volatile security invoker set search_path = pg_catalog, pg_temp
as $$
#variable_conflict error
begin
  return quota.reset_usage(feature, subject, period, reason, idempotency_key);
end
$$;

comment on function public.reset_usage is
  'A fresh start by hand: what the subject used of a metered feature in the running period (null: in all of its running periods) is 0 again. The period ends when it would have (a window that is closed stays closed); open holds and grants stay, and so does the use of other periods and features. What was used before can still be refunded, which gives nothing back twice. reason is kept in the ledger. Returns a usage_decision: amount is the most that was taken off a period, event_id the line of the longest one, the other fields the state now. The same idempotency_key with the same arguments gives the first answer again. Errors: QFEAT unknown feature, or a gauge (see return_usage); QPLAN no limit of that period; QSUBJ; QIDEM; QMETA reason over 8 kB; 42501 not a trusted role; 55P03 retry.';

create function quota.reset_usage(
  p_feature text,
  p_subject text,
  p_period text,
  p_reason text,
  p_idempotency_key text
)
returns public.usage_decision
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp set lock_timeout = '2s'
as $$
declare
  v_caller quota.caller;
  v_arguments jsonb := jsonb_build_object(
    'call', 'reset_usage', 'feature', p_feature, 'period', p_period
  );
  v_answers quota.kept_answer[];
  v_own quota.own_lock;
  v_event quota.events;
  v_allowance quota.allowance;
  v_before quota.limit_state[];
  v_line quota.events;
  v_most bigint;
  v_decision public.usage_decision;
begin
  perform quota.require_trusted();
  v_caller := quota.caller_for(p_subject);
  perform quota.check_key(p_idempotency_key);
  v_event.metadata := jsonb_strip_nulls(jsonb_build_object('reason', p_reason));
  perform quota.check_metadata(v_event.metadata);
  perform quota.check_reset(p_feature, p_period);

  v_own := quota.lock_own(v_caller, p_feature);
  v_caller := v_own.caller;
  v_event.subject_id := v_caller.subject_id;
  v_event.feature_id := p_feature;
  v_event.idempotency_key := p_idempotency_key;
  v_event.at := v_own.at;
  if p_idempotency_key is not null then
    v_answers := quota.replay(v_caller, p_idempotency_key, v_arguments, v_event.at);
    if v_answers is not null then
      return quota.replayed(v_answers[1]);
    end if;
  end if;

  v_before := (
    quota.limits_of(v_caller.subject_id, p_feature, v_event.at, p_is_settled => true)
  ).limits;
  perform quota.open_counters(v_caller.subject_id, p_feature, v_event.at, v_before);
  -- The longest last: its line is the one that is told.
  for v_line in
    select r.subject_id, r.event_id, r.at, r.kind, r.feature_id, r.counts_at, r.used_change,
      r.reserved_change, r.drawn_change, r.about_id, r.grant_id, r.actor, r.idempotency_key, r.metadata
    from quota.reset_lines(v_event, p_period, v_before) as r
  loop
    perform quota.record_reset(v_line);
    perform quota.reset_overages(v_line);
    v_most := greatest(v_most, -v_line.used_change);
  end loop;
  -- A window that is closed has a limit, and nothing to start afresh.
  if v_most is null and p_period <> all (array(select l.period from unnest(v_before) as l)) then
    perform quota.reject_reset(p_feature, p_period);
  end if;

  v_allowance := quota.limits_of(v_caller.subject_id, p_feature, v_event.at, p_is_settled => true);
  v_decision := quota.decision(
    v_caller.subject_id, p_feature, coalesce(v_most, 0), v_allowance,
    (quota.decide(v_allowance.limits, 0)).shown, 'ok', v_line.event_id
  );
  if p_idempotency_key is not null and not quota.bind_key(
    v_caller, p_idempotency_key, v_arguments, array[v_decision], v_event.at
  ) then
    -- Taken under another meter, so with other arguments: this raises.
    perform quota.replay_taken(v_caller, p_idempotency_key, v_arguments, v_event.at);
  end if;
  -- Below its marks they can be crossed again.
  perform quota.write_alerts(
    v_caller.subject_id, p_feature, v_event.at, v_before, v_allowance.limits
  );
  return v_decision;
end
$$;

comment on function quota.reset_usage is 'See public.reset_usage.';

-- Before any lock.
create function quota.check_reset(
  p_feature_id text,
  p_period text
)
returns void
language plpgsql stable security invoker set search_path = pg_catalog, pg_temp
as $$
begin
  perform quota.check_feature(p_feature_id);
  if exists (
    select from quota.features as f where f.feature_id = p_feature_id and f.kind <> 'metered'
  ) then
    raise exception 'reset_usage: feature % is not metered: nothing of it starts again',
      quote_literal(p_feature_id)
      using errcode = 'QFEAT', hint = 'lower a gauge with return_usage, or by deleting the rows that it counts';
  end if;
  if p_period is not null and quota.period_rank(p_period) is null then
    perform quota.reject_reset(p_feature_id, p_period);
  end if;
end
$$;

comment on function quota.check_reset is 'Errors: QFEAT, QPLAN.';

create function quota.reject_reset(
  p_feature_id text,
  p_period text
)
returns void
language plpgsql volatile security invoker set search_path = pg_catalog, pg_temp
as $$
begin
  raise exception 'reset_usage: % has no limit by the %, nothing to start afresh',
    quote_literal(p_feature_id), quote_literal(left(p_period, 100))
    using errcode = 'QPLAN', hint = 'name a period of current_usage; null is all of them';
end
$$;

comment on function quota.reject_reset is 'Errors: QPLAN.';
