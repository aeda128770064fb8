-- The work is done, and this is what it really used. It happened, so it is recorded
-- whatever the limits say: a commit is the one call that may pass a limit, and then says over_limit.

-- The work is done, and this is what it really used.
create function public.commit_usage(
  reservation_id uuid,
  amount bigint default null,
  subject text default null,
  metadata jsonb default '{}'
)
returns public.usage_decision
language plpgsql volatile security invoker set search_path = pg_catalog, pg_temp
as $$
#variable_conflict error
begin
  return quota.commit_usage(reservation_id, amount, subject, metadata);
end
$$;

comment on function public.commit_usage is
  'Turns a hold into use, in the period in which it was made. amount is what was really used, in units of the feature: 0 is allowed, null is what was held; less gives the rest back. More than was held, or a hold that has expired, is counted all the same, and reason is over_limit when that passed a limit. Repeated, it gives the first answer again (replayed = true), whatever amount it names. event_id of the answer can be refunded. subject is not needed; it routes the call where the data is sharded. Errors: QRSRV no such reservation, released already, or of another subject than the named one; QAMNT amount below 0 or too large; QMETA; 42501 not a trusted role; 55P03 retry.';

create function quota.commit_usage(
  p_reservation_id uuid,
  p_amount bigint,
  p_subject text,
  p_metadata jsonb
)
returns public.usage_decision
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp set lock_timeout = '2s' set plan_cache_mode = force_generic_plan
as $$
declare
  v_locked record;
  v_hold quota.reservations;
  v_now timestamptz;
  v_amount bigint;
  v_excess bigint;
  v_event quota.events;
  v_allowance quota.allowance;
  v_before quota.limit_state[];
  v_over quota.overage[];
  v_drawn_back bigint;
  v_is_over boolean := false;
  v_decision public.usage_decision;
begin
  if p_metadata <> '{}' then
    perform quota.check_metadata(p_metadata);
  end if;
  v_decision := quota.end_plainly(p_reservation_id, p_subject, 'committed', p_amount, p_metadata);
  if v_decision.allowed then
    return v_decision;
  end if;
  if p_amount is not null then
    perform quota.check_amount(p_amount, 0);
  end if;
  v_locked := quota.lock_reservation(p_reservation_id, p_subject);
  v_hold := v_locked.hold;
  v_now := v_locked.at;
  if v_hold.state = 'committed' then
    return quota.replayed(v_hold.answer);
  end if;
  if v_hold.state = 'released' then
    raise exception 'the reservation was released'
      using errcode = 'QRSRV', hint = 'its amount was given back; count the work with consume_usage';
  end if;

  v_amount := coalesce(p_amount, v_hold.amount);
  v_event := quota.hold_line(v_hold, 'commit', v_now);
  v_event.used_change := v_amount;
  v_event.metadata := coalesce(p_metadata, '{}');
  -- What the hold did not cover: all of it, once it has expired.
  v_excess := greatest(v_amount + v_event.reserved_change, 0);
  v_drawn_back := case when v_hold.state = 'open' then v_hold.amount - v_amount else 0 end;
  if v_excess = 0 and not v_hold.is_over then
    -- The usual end: what was held is used, or less of it.
    perform quota.end_hold(v_hold, v_event, v_drawn_back);
    v_allowance := quota.limits_of_hold(v_hold, v_now);
    -- Nothing that grew can cross a mark.
    v_before := v_allowance.limits;
  else
    v_before := (quota.limits_of_hold(v_hold, v_now)).limits;
    perform quota.end_hold(v_hold, v_event, v_drawn_back);
    v_allowance := quota.limits_of_hold(v_hold, v_now);
  end if;

  -- Before anything is drawn: what this hold has drawn will not come back.
  perform quota.close_hold(v_hold, 'committed', null);
  if v_excess > 0 or not v_allowance.is_plain then
    v_allowance := quota.draw_excess(v_hold, v_now, v_excess, v_allowance);
  end if;
  if v_excess > 0 or v_hold.is_over then
    v_over := quota.overage_of_commit(v_hold, v_amount, v_excess, v_allowance.limits);
    perform quota.write_overages(v_event, v_over, v_allowance.plan_id);
    -- Not in the plan any more: there is no room for what was not promised.
    v_is_over := v_excess > 0 and (v_allowance.limits is null or v_over <> '{}');
  end if;
  v_decision := quota.decision(
    v_hold.subject_id, v_hold.feature_id, v_amount, v_allowance,
    (quota.decide(v_allowance.limits, 0)).shown,
    case when v_is_over then 'over_limit' else 'ok' end,
    v_event.event_id, v_hold.reservation_id
  );
  perform quota.close_hold(v_hold, 'committed', v_decision);
  perform quota.write_alerts(
    v_hold.subject_id, v_hold.feature_id, v_now, v_before, v_allowance.limits
  );
  return v_decision;
end
$$;

comment on function quota.commit_usage is 'See public.commit_usage.';

create type quota.locked_hold as (
  hold quota.reservations,
  at timestamptz
);

comment on type quota.locked_hold is 'A reservation whose meter is locked, and the time read under that lock.';

-- The reservation of that id, its meter locked, and what has expired settled.
create function quota.lock_reservation(
  p_reservation_id uuid,
  p_subject text
)
returns quota.locked_hold
language plpgsql volatile security invoker set search_path = pg_catalog, pg_temp
as $$
declare
  v_hold quota.reservations;
  v_at timestamptz;
begin
  perform quota.require_trusted();
  select r.subject_id, r.feature_id
    into v_hold.subject_id, v_hold.feature_id
    from quota.reservations as r
    where r.reservation_id = p_reservation_id;
  if found and v_hold.subject_id <> p_subject is not true then
    v_at := quota.lock_meter(v_hold.subject_id, v_hold.feature_id);
    -- Again, now that nobody else can end it.
    select r.subject_id, r.reservation_id, r.feature_id, r.amount, r.reserved_at, r.expires_at,
        r.state, r.answer, r.is_over, r.actor
      into v_hold
      from quota.reservations as r
      where r.subject_id = v_hold.subject_id
        and r.reservation_id = p_reservation_id;
  end if;
  if v_hold.reservation_id is null then
    raise exception 'no such reservation: %', coalesce(p_reservation_id::text, 'null')
      using errcode = 'QRSRV', hint = 'pass the reservation_id of an allowed reserve_usage';
  end if;
  return (v_hold, v_at);
end
$$;

comment on function quota.lock_reservation is
  'Errors: 42501 not a trusted role; QRSRV no such reservation, or of another subject than the named one.';

-- The limits of the periods in which a hold was made, with the grants that are open at the commit: a
-- grant that has expired in between covers nothing more, one that was bought in between does.
create function quota.limits_of_hold(
  p_hold quota.reservations,
  p_at timestamptz
)
returns quota.allowance
language plpgsql stable security invoker set search_path = pg_catalog, pg_temp
as $$
declare
  v_allowance quota.allowance := quota.limits_of(
    p_hold.subject_id, p_hold.feature_id, p_hold.reserved_at, p_is_settled => true
  );
  v_granted bigint;
begin
  if v_allowance.limits is not null and not v_allowance.is_plain then
    v_granted := quota.granted_to(p_hold.subject_id, p_hold.feature_id, p_at);
    for i in 1 .. cardinality(v_allowance.limits) loop
      if (v_allowance.limits[i]).period !~ 'minute|hour' then
        v_allowance.limits[i].granted := v_granted;
      end if;
    end loop;
  end if;
  if v_allowance.opens then
    v_allowance.limits := quota.without_later_windows(v_allowance.limits, p_hold.reserved_at);
  end if;
  return v_allowance;
end
$$;

comment on function quota.limits_of_hold is 'What applies to the commit of a hold at an instant.';
