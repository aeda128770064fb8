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
  v_amount bigint;
  v_levels text[];
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
  if v_hold.state = 'committed' then
    return quota.replayed(v_hold.answer);
  end if;
  if v_hold.state = 'released' then
    raise exception 'the reservation was released'
      using errcode = 'QRSRV', hint = 'its amount was given back; count the work with consume_usage';
  end if;

  v_amount := coalesce(p_amount, v_hold.amount);
  v_levels := quota.gauge_levels(v_hold.subject_id, v_hold.feature_id);
  v_decision := quota.commit_hold(
    v_hold, v_amount, 'commit', coalesce(p_metadata, '{}'), v_locked.at,
    p_is_priced => v_locked.shares is not null or v_levels is not null
  );
  if v_locked.shares is not null then
    v_decision := quota.commit_shares(
      v_hold, v_amount, coalesce(p_metadata, '{}'), v_locked.at, v_locked.shares, v_decision
    );
  elsif v_levels is not null then
    v_decision := quota.commit_levels(v_hold, v_amount, v_locked.at, v_levels, v_decision);
  end if;
  return v_decision;
end
$$;

comment on function quota.commit_usage is 'See public.commit_usage.';

create function quota.commit_hold(
  p_hold quota.reservations,
  p_amount bigint,
  p_kind text,
  p_metadata jsonb,
  p_at timestamptz,
  p_is_priced boolean default false
)
returns public.usage_decision
language plpgsql volatile security invoker set search_path = pg_catalog, pg_temp
as $$
declare
  v_excess bigint;
  v_event quota.events;
  v_allowance quota.allowance;
  v_before quota.limit_state[];
  v_over quota.overage[];
  v_drawn_back bigint;
  v_is_over boolean := false;
  v_decision public.usage_decision;
begin
  v_event := quota.hold_line(p_hold, p_kind, p_at);
  v_event.used_change := p_amount;
  v_event.metadata := p_metadata;
  -- What the hold did not cover: all of it, once it has expired.
  v_excess := greatest(p_amount + v_event.reserved_change, 0);
  v_drawn_back := case when p_hold.state = 'open' then p_hold.amount - p_amount else 0 end;
  if v_excess = 0 and p_hold.is_plain then
    -- The usual end: what was held is used, or less of it.
    perform quota.end_hold(p_hold, v_event, v_drawn_back);
    v_allowance := quota.limits_of_hold(p_hold, p_at);
    -- Nothing that grew can cross a mark.
    v_before := v_allowance.limits;
  else
    v_before := (quota.limits_of_hold(p_hold, p_at)).limits;
    perform quota.end_hold(p_hold, v_event, v_drawn_back);
    v_allowance := quota.limits_of_hold(p_hold, p_at);
  end if;

  -- Before anything is drawn: what this hold has drawn will not come back.
  perform quota.close_hold(p_hold, 'committed', null);
  if v_excess > 0 or not v_allowance.is_plain then
    v_allowance := quota.draw_excess(p_hold, p_at, v_excess, v_allowance);
  end if;
  if v_excess > 0 or not p_hold.is_plain then
    v_over := quota.overage_of_commit(p_hold, p_amount, v_excess, v_allowance.limits);
    perform quota.write_overages(v_event, v_over, v_allowance.plan_id);
    -- Not in the plan any more: there is no room for what was not promised.
    v_is_over := v_excess > 0 and (v_allowance.limits is null and not p_is_priced or v_over <> '{}');
  end if;
  v_decision := quota.decision(
    p_hold.subject_id, p_hold.feature_id, p_amount, v_allowance,
    (quota.decide(v_allowance.limits, 0)).shown,
    case when v_is_over then 'over_limit' else 'ok' end,
    v_event.event_id, p_hold.reservation_id
  );
  perform quota.close_hold(p_hold, 'committed', v_decision);
  perform quota.write_alerts(
    p_hold.subject_id, p_hold.feature_id, p_at, v_before, v_allowance.limits
  );
  return v_decision;
end
$$;

comment on function quota.commit_hold is
  'Turns the hold of one meter into use, with a line of this kind. p_is_priced: it need not be limited by itself.';

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
