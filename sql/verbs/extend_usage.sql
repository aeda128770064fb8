-- The heartbeat of work that takes longer than anybody dares to hold for: a short ttl, extended while the
-- worker lives. Who dies extends no more, and the hold ends by itself.
create function public.extend_usage(
  reservation_id uuid,
  ttl interval default '15 minutes',
  subject text default null
)
returns public.usage_decision
language plpgsql volatile security invoker set search_path = pg_catalog, pg_temp
as $$
#variable_conflict error
begin
  return quota.extend_usage(reservation_id, ttl, subject);
end
$$;

comment on function public.extend_usage is
  'An open hold now expires ttl from now (more than 0, at most 7 days), also where that is sooner: the heartbeat of a long job. It goes on counting in the periods in which it was made, and asks no limit again. Returns a usage_decision: amount is what is held, the other fields the state now. subject is not needed; it routes the call where the data is sharded. Errors: QRSRV no such reservation, expired, committed or released already, or of another subject than the named one; 22023 ttl; 42501 not a trusted role; 55P03 retry.';

-- No line: nothing is counted or given back. What has expired has stopped counting, and somebody else may
-- have its room: it cannot be brought back.
create function quota.extend_usage(
  p_reservation_id uuid,
  p_ttl interval,
  p_subject text
)
returns public.usage_decision
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp set lock_timeout = '2s' set plan_cache_mode = force_generic_plan
as $$
declare
  v_locked record;
  v_decision public.usage_decision;
  v_hold quota.reservations;
  v_seconds numeric := extract(epoch from p_ttl);
  v_allowance quota.allowance;
begin
  perform quota.require_trusted();
  if (v_seconds > 0 and v_seconds <= 604800) is not true then
    perform quota.reject_ttl('extend_usage', p_ttl);
  end if;
  v_locked := quota.lock_reservation(p_reservation_id, p_subject);
  v_hold := v_locked.hold;
  if v_hold.state <> 'open' then
    raise exception 'extend_usage: the reservation is %, an open one is expected', v_hold.state
      using errcode = 'QRSRV',
        hint = 'reserve anew; an expired one can still be committed, which counts what was used';
  end if;

  -- In seconds: a day of an interval would follow the session's time zone.
  update quota.reservations as r
    set expires_at = v_locked.at + make_interval(secs => v_seconds::double precision)
    where r.subject_id = v_hold.subject_id
      and r.reservation_id = v_hold.reservation_id;
  perform quota.note_first_expiry(v_hold.subject_id, v_hold.feature_id);
  if v_locked.shares is not null then
    perform quota.extend_shares(
      v_locked.at + make_interval(secs => v_seconds::double precision), v_locked.shares
    );
  end if;
  v_allowance := quota.limits_of(
    v_hold.subject_id, v_hold.feature_id, v_locked.at, p_is_settled => true
  );
  v_decision := quota.decision(
    v_hold.subject_id, v_hold.feature_id, v_hold.amount, v_allowance,
    (quota.decide(v_allowance.limits, 0)).shown, 'ok', null, v_hold.reservation_id
  );
  if v_locked.shares is not null then
    v_decision := quota.joint_state(
      v_hold.subject_id, v_hold.feature_id, v_hold.amount, v_locked.at, v_locked.shares, v_decision
    );
  end if;
  return v_decision;
end
$$;

comment on function quota.extend_usage is 'See public.extend_usage.';
