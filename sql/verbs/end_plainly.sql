-- The plain way of consume_usage(), for the end of a hold: the hold is open, it was made in the periods that
-- run and under what is remembered (an exception or plan that has ended since held for it), and no more
-- than it is used. So nothing can cross a mark, and nothing was drawn that comes back.
create function quota.end_plainly(
  p_reservation_id uuid,
  p_subject_id text,
  p_state text,
  p_used bigint,
  p_metadata jsonb
)
returns public.usage_decision
language plpgsql volatile security invoker set search_path = pg_catalog, pg_temp
as $$
declare
  v_hold record;
  v_meter record;
  v_now timestamptz;
  v_event_id uuid;
  v_decision public.usage_decision;
  v_answer quota.kept_answer;
begin
  select r.subject_id, r.feature_id, r.amount, coalesce(p_used, r.amount) as used, r.reserved_at, r.actor
    into v_hold
    from quota.reservations as r
    where r.reservation_id = p_reservation_id
      and (p_subject_id is null or r.subject_id = p_subject_id)
      and r.state = 'open'
      and r.is_plain
      and coalesce(p_used, r.amount) between 0 and r.amount
      and current_setting('role', true) = 'service_role'
      and current_setting('transaction_isolation') = 'read committed';
  if not found then
    return null;
  end if;
  update quota.meters as m
    set used = m.used + v_hold.used,
        reserved = m.reserved - v_hold.amount
    where m.subject_id = v_hold.subject_id
      and m.feature_id = v_hold.feature_id
      and m.fresh_from < 'infinity'
      and m.drawn = 0
      and m.open_until > v_hold.reserved_at
      and v_hold.reserved_at >= greatest(m.open_from, m.long_start, m.fresh_from)
      and (m.minute_limit is null or v_hold.reserved_at + interval '1 minute' >= m.minute_until)
      and (m.hour_limit is null or v_hold.reserved_at + interval '1 hour' >= m.hour_until)
    returning
      m.fresh_from, least(m.fresh_until, m.holds_expire_at) as fresh_until, m.catalogue_version,
      m.plan_id, m.upgrade_url, m.period, m.period_start, m.period_end, m.allowed, m.granted,
      m.used - m.used_before as used, m.reserved - m.reserved_before as reserved, m.long_period,
      m.long_carried
    into v_meter;
  if not found then
    return null;
  end if;
  v_now := quota.clock();
  if v_now >= v_meter.fresh_from and v_now < v_meter.fresh_until
    and v_meter.used + v_meter.reserved > v_meter.allowed is not true
  then
    -- As new_id(), without a call.
    v_event_id := (
      lpad(to_hex((date_part('epoch', v_now) * 1000)::bigint), 12, '0')
      || '7' || right(gen_random_uuid()::text, 21)
    )::uuid;
    v_decision := row(
      true, 'ok', v_hold.feature_id, v_hold.subject_id, v_meter.plan_id,
      case p_state when 'committed' then v_hold.used else v_hold.amount end, v_meter.used, v_meter.reserved,
      v_meter.allowed, v_meter.allowed - v_meter.used - v_meter.reserved, v_meter.allowed is null,
      v_meter.period, nullif(v_meter.period_start, '-infinity'), nullif(v_meter.period_end, 'infinity'),
      null, v_event_id, p_reservation_id, false, v_meter.upgrade_url, v_meter.granted,
      case when v_meter.period = v_meter.long_period then v_meter.long_carried else 0 end,
      v_hold.feature_id, v_hold.subject_id, null
    )::public.usage_decision;
    v_answer := v_decision;
    -- Under the lock nobody else ends it: it is looked at again whether somebody has.
    update quota.reservations as r
      set state = p_state,
          answer = v_answer
      where r.subject_id = v_hold.subject_id
        and r.reservation_id = p_reservation_id
        and r.state = 'open'
        and r.expires_at > v_now;
    if found then
      -- A statement after the lock: is the catalogue still the edition that is remembered?
      insert into quota.events (
        subject_id, event_id, at, kind, feature_id, counts_at, used_change, reserved_change, about_id,
        actor, metadata
      )
        select
          v_hold.subject_id, v_event_id, greatest(v_now, v_hold.reserved_at),
          case p_state when 'committed' then 'commit' else 'release' end,
          v_hold.feature_id, v_hold.reserved_at, v_hold.used, -v_hold.amount, p_reservation_id, v_hold.actor,
          coalesce(p_metadata, '{}')
        from quota.catalogue as k
        where k.version = v_meter.catalogue_version;
      if found then
        return v_decision;
      end if;
      update quota.reservations as r
        set state = 'open', answer = null
        where r.subject_id = v_hold.subject_id
          and r.reservation_id = p_reservation_id;
    end if;
  end if;
  perform quota.take_back(v_hold.subject_id, v_hold.feature_id, v_hold.used, -v_hold.amount);
  return null;
end
$$;

comment on function quota.end_plainly is
  'Ends a hold in one step, where what the meter remembers shows the answer. Null: nothing was ended, ask properly.';
