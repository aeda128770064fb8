-- The work failed or was abandoned, and costs nothing.
create function public.release_usage(
  reservation_id uuid,
  subject text default null,
  reason text default null
)
returns public.usage_decision
language plpgsql volatile security invoker set search_path = pg_catalog, pg_temp
as $$
#variable_conflict error
begin
  return quota.release_usage(reservation_id, subject, reason);
end
$$;

comment on function public.release_usage is
  'Gives a hold back. Repeated, it gives the first answer again (replayed = true); a hold that has expired is given back already, and releasing it only rules out a late commit. subject is not needed; it routes the call where the data is sharded. reason is kept in the ledger; null is none. Errors: QRSRV no such reservation, committed already, or of another subject than the named one; QMETA reason over 8 kB; 42501 not a trusted role; 55P03 retry.';

-- The work failed or was abandoned, and costs nothing.
create function quota.release_usage(
  p_reservation_id uuid,
  p_subject text,
  p_reason text default null
)
returns public.usage_decision
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp set lock_timeout = '2s' set plan_cache_mode = force_generic_plan
as $$
declare
  v_locked record;
  v_reason jsonb := '{}'::jsonb;
  v_hold quota.reservations;
  v_now timestamptz;
  v_event quota.events;
  v_allowance quota.allowance;
  v_decision public.usage_decision;
begin
  if p_reason is not null then
    v_reason := quota.reason(p_reason);
  end if;
  v_decision := quota.end_plainly(p_reservation_id, p_subject, 'released', 0, v_reason);
  if v_decision.allowed then
    return v_decision;
  end if;
  v_locked := quota.lock_reservation(p_reservation_id, p_subject);
  v_hold := v_locked.hold;
  v_now := v_locked.at;
  if v_hold.state = 'released' then
    return quota.replayed(v_hold.answer);
  end if;
  if v_hold.state = 'committed' then
    raise exception 'the reservation was committed'
      using errcode = 'QRSRV', hint = 'give it back with refund_usage and the event_id of the commit';
  end if;

  v_event := quota.hold_line(v_hold, 'release', v_now);
  v_event.metadata := v_reason;
  perform quota.end_hold(
    v_hold, v_event, case when v_hold.state = 'open' then v_hold.amount else 0 end
  );
  v_allowance := quota.limits_of(
    v_hold.subject_id, v_hold.feature_id, v_now, p_is_settled => true
  );
  v_decision := quota.decision(
    v_hold.subject_id, v_hold.feature_id, v_hold.amount, v_allowance,
    (quota.decide(v_allowance.limits, 0)).shown, 'ok', v_event.event_id, v_hold.reservation_id
  );
  if v_locked.shares is not null then
    return quota.release_shares(v_hold, v_now, v_locked.shares, v_decision);
  end if;
  perform quota.close_hold(v_hold, 'released', v_decision);
  return v_decision;
end
$$;

comment on function quota.release_usage is 'See public.release_usage.';
