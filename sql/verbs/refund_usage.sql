-- Work that was counted and then failed, or was paid back.
create function public.refund_usage(
  event_id uuid,
  amount bigint default null,
  reason text default null,
  idempotency_key text default null,
  subject text default null
)
returns public.usage_decision
language plpgsql volatile security invoker set search_path = pg_catalog, pg_temp
as $$
#variable_conflict error
begin
  return quota.refund_usage(event_id, amount, reason, idempotency_key, subject);
end
$$;

comment on function public.refund_usage is
  'Gives back part or all (amount null) of a counted event, in the period it was counted in, never more than is left of it, and with it what it cost: the price of what stays used is kept, rounded up. event_id comes from the decision that counted. reason is kept in the ledger. Returns a usage_decision: amount is what was given back, event_id the refund''s own line, the other fields the state now. subject is not needed; it routes the call where the data is sharded. Errors: QRSRV no such use, or not this subject''s; QAMNT more than is left of the event; QIDEM key reused with other arguments; 42501 not a trusted role; 55P03 retry.';

-- Gives back what was counted, in the period it was counted in. Clamping at zero
-- instead would eat what others used since; so it is tied to one event and never exceeds it.
create function quota.refund_usage(
  p_event_id uuid,
  p_amount bigint,
  p_reason text,
  p_idempotency_key text,
  p_subject text
)
returns public.usage_decision
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp set lock_timeout = '2s' set plan_cache_mode = force_generic_plan
as $$
declare
  v_use quota.events;
  v_refund quota.events;
  v_shares quota.shares[];
  v_caller quota.caller;
  v_arguments jsonb;
  v_answers quota.kept_answer[];
  v_decision public.usage_decision;
begin
  perform quota.require_trusted();
  if p_amount is not null then
    perform quota.check_amount(p_amount);
  end if;
  perform quota.check_key(p_idempotency_key);
  v_refund.metadata := jsonb_strip_nulls(jsonb_build_object('reason', p_reason));
  perform quota.check_metadata(v_refund.metadata);

  loop
    v_use := quota.use_to_refund(p_event_id, p_subject);
    v_shares := quota.shares_of(v_use.subject_id, v_use.about_id);
    v_refund.at := quota.lock_shared(v_use.subject_id, v_use.feature_id, v_shares);
    -- Else a subject that it counted for was merged into another meanwhile.
    exit when v_refund.at is not null
      and quota.account_of(v_use.subject_id) = v_use.subject_id
      and v_shares is not distinct from quota.shares_of(v_use.subject_id, v_use.about_id);
  end loop;
  if p_idempotency_key is not null then
    v_caller := row(v_use.subject_id, true, null)::quota.caller;
    v_arguments := jsonb_build_object(
      'call', 'refund_usage', 'event_id', p_event_id, 'amount', p_amount
    );
    v_answers := quota.replay(v_caller, p_idempotency_key, v_arguments, v_refund.at);
  end if;

  if v_answers is null then
    perform quota.hold_use(p_event_id, v_use.subject_id);
    v_refund := row(
      v_use.subject_id, quota.new_id(v_refund.at), v_refund.at, 'refund', v_use.feature_id,
      v_use.counts_at,
      -quota.amount_to_refund(p_event_id, v_use.subject_id, v_use.feature_id, p_amount),
      0, 0, p_event_id, null, v_use.actor, p_idempotency_key, v_refund.metadata
    )::quota.events;
    -- Grants are used last, so they come back first.
    perform quota.keep_forgiven(
      v_refund,
      quota.give_back(
        v_use.subject_id, v_use.feature_id, -v_refund.used_change, v_refund.at, v_use.counts_at,
        v_use.about_id
      )
    );
    v_decision := quota.refund_shares(v_refund, v_shares, quota.told_after(v_refund));
    if p_idempotency_key is null or quota.bind_key(
      v_caller, p_idempotency_key, v_arguments, array[v_decision], v_refund.at
    ) then
      perform quota.record(v_refund);
      perform quota.refund_overages(v_refund);
      return v_decision;
    end if;
    -- Taken under another meter, so by another call: this raises, and undoes what was given back.
    v_answers := quota.replay_taken(v_caller, p_idempotency_key, v_arguments, v_refund.at);
  end if;

  return quota.replayed(v_answers[1]);
end
$$;

comment on function quota.refund_usage is 'See public.refund_usage.';

-- A line never changes, but for a merge, so it can be read before the lock that its subject is needed for.
create function quota.use_to_refund(
  p_event_id uuid,
  p_subject text
)
returns quota.events
language plpgsql volatile security invoker set search_path = pg_catalog, pg_temp
as $$
declare
  v_account_id text := quota.account_of(p_subject);
  v_use quota.events;
begin
  select e.subject_id, e.feature_id, e.counts_at,
      case e.kind when 'commit' then e.about_id else e.event_id end, e.actor
    into v_use.subject_id, v_use.feature_id, v_use.counts_at, v_use.about_id, v_use.actor
    from quota.events as e
    where e.event_id = p_event_id
      and (v_account_id is null or e.subject_id = v_account_id)
      and e.kind in ('consume', 'commit', 'import');
  if not found then
    raise exception 'no such use to refund: %', coalesce(p_event_id::text, 'null')
      using errcode = 'QRSRV', hint = 'pass the event_id of a decision that counted something; what quota.tidy(keep) has folded cannot be refunded';
  end if;
  return v_use;
end
$$;

comment on function quota.use_to_refund is
  'The use, with what its draws are about. Errors: QRSRV none, or not this subject''s.';

-- Under the meter, which does not keep tidy() from folding old lines: the line itself does.
create function quota.hold_use(
  p_event_id uuid,
  p_subject_id text
)
returns void
language plpgsql volatile security invoker set search_path = pg_catalog, pg_temp
as $$
begin
  perform from quota.events as e
    where e.subject_id = p_subject_id
      and e.event_id = p_event_id
    for key share;
  if not found then
    raise exception 'no such use to refund any more: its subject was forgotten, or it was folded'
      using errcode = 'QRSRV', hint = 'what quota.tidy(keep) has folded cannot be refunded';
  end if;
end
$$;

comment on function quota.hold_use is
  'Keeps the line of a use, and what it took elsewhere, until the transaction ends. Errors: QRSRV it is gone.';

-- Under the meter. A gauge may have been lowered since, by return_usage(); and what rows are, only they
-- give back.
create function quota.amount_to_refund(
  p_event_id uuid,
  p_subject_id text,
  p_feature_id text,
  p_amount bigint
)
returns bigint
language plpgsql stable security invoker set search_path = pg_catalog, pg_temp
as $$
declare
  v_left bigint;
begin
  select sum(e.used_change)
    into v_left
    from quota.events as e
    where e.subject_id = p_subject_id
      and (e.event_id = p_event_id or (e.about_id = p_event_id and e.kind = 'refund'));
  if exists (
    select from quota.features as f where f.feature_id = p_feature_id and f.kind = 'gauge'
  ) then
    v_left := least(
      v_left,
      greatest(
        quota.level_of(p_subject_id, p_feature_id) - quota.rows_used(p_subject_id, p_feature_id), 0
      )
    );
  end if;
  if coalesce(p_amount, 1) > v_left then
    raise exception 'the event has % left to refund, % asked', v_left, coalesce(p_amount, 1)
      using errcode = 'QAMNT', hint = 'refunds give back at most what the event counted';
  end if;
  return coalesce(p_amount, v_left);
end
$$;

comment on function quota.amount_to_refund is
  'The amount, or (null) all of the event that was not given back yet. Errors: QAMNT more than that.';
