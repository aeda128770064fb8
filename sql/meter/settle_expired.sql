-- A hold begins once and ends once: committed, released or expired. All come here,
-- holding the meter.

create function quota.settle_expired(
  p_subject_id text,
  p_feature_id text,
  p_at timestamptz
)
returns void
language plpgsql volatile security invoker set search_path = pg_catalog, pg_temp
as $$
declare
  v_hold quota.reservations;
begin
  for v_hold in
    select r.subject_id, r.reservation_id, r.feature_id, r.amount, r.reserved_at, r.expires_at,
      r.state, r.answer, r.is_plain, r.actor
    from quota.reservations as r
    where r.subject_id = p_subject_id
      and r.feature_id = p_feature_id
      and r.state = 'open'
      and r.expires_at <= p_at
    order by r.expires_at
  loop
    perform quota.end_hold(v_hold, quota.hold_line(v_hold, 'expire', p_at), v_hold.amount);
    perform quota.close_hold(v_hold, 'expired', null);
  end loop;
  perform quota.note_first_expiry(p_subject_id, p_feature_id);
end
$$;

comment on function quota.settle_expired is
  'Writes the expire lines of holds that are over. They stopped counting the moment they expired; this only keeps the books.';

-- Writes the meter also where nothing changes: a call whose snapshot has another end of a hold must fail
-- with 40001.
create function quota.note_first_expiry(
  p_subject_id text,
  p_feature_id text
)
returns void
language plpgsql volatile security invoker set search_path = pg_catalog, pg_temp
as $$
begin
  update quota.meters as m
    set holds_expire_at = coalesce(
      (
        select min(r.expires_at)
        from quota.reservations as r
        where r.subject_id = p_subject_id
          and r.feature_id = p_feature_id
          and r.state = 'open'
      ),
      'infinity'
    )
    where m.subject_id = p_subject_id
      and m.feature_id = p_feature_id;
end
$$;

comment on function quota.note_first_expiry is
  'Notes with the meter when the first of its open holds expires.';

create function quota.write_hold(
  p_subject_id text,
  p_reservation_id uuid,
  p_feature_id text,
  p_amount bigint,
  p_at timestamptz,
  p_ttl interval,
  p_actor text,
  p_is_plain boolean
)
returns void
language plpgsql volatile security invoker set search_path = pg_catalog, pg_temp
as $$
declare
  -- In seconds: a day of an interval would follow the session's time zone.
  v_expires_at timestamptz := p_at + make_interval(secs => extract(epoch from p_ttl)::double precision);
begin
  insert into quota.reservations (
    subject_id, reservation_id, feature_id, amount, reserved_at, expires_at, is_plain, actor
  )
  values (
    p_subject_id, p_reservation_id, p_feature_id, p_amount, p_at, v_expires_at, p_is_plain, p_actor
  );
  update quota.meters as m
    set holds_expire_at = v_expires_at
    where m.subject_id = p_subject_id
      and m.feature_id = p_feature_id
      and m.holds_expire_at > v_expires_at;
end
$$;

comment on function quota.write_hold is 'Makes a hold, beside the ledger line that reserves it.';

create function quota.end_hold(
  p_hold quota.reservations,
  p_event quota.events,
  p_drawn_back bigint
)
returns void
language plpgsql volatile security invoker set search_path = pg_catalog, pg_temp
as $$
begin
  if p_drawn_back > 0 then
    perform quota.give_back(
      p_hold.subject_id, p_hold.feature_id, p_drawn_back, p_event.at, p_hold.reserved_at,
      p_hold.reservation_id
    );
  end if;
  perform quota.record(p_event);
end
$$;

comment on function quota.end_hold is
  'Counts the end of a hold with this line, and gives back to grants what of its draws was not used. close_hold() follows.';

create function quota.close_hold(
  p_hold quota.reservations,
  p_state text,
  p_decision public.usage_decision
)
returns void
language plpgsql volatile security invoker set search_path = pg_catalog, pg_temp
as $$
declare
  v_answer quota.kept_answer := p_decision;
begin
  update quota.reservations as r
    set state = p_state,
        answer = v_answer
    where r.subject_id = p_hold.subject_id
      and r.reservation_id = p_hold.reservation_id;
end
$$;

comment on function quota.close_hold is
  'Ends a hold in this state, with what the same ending, repeated, is told again.';

-- The line that gives a hold back in the periods in which it was made.
create function quota.hold_line(
  p_hold quota.reservations,
  p_kind text,
  p_at timestamptz
)
returns quota.events
language plpgsql volatile security invoker set search_path = pg_catalog, pg_temp
as $$
begin
  return row(
    p_hold.subject_id, quota.new_id(p_at), p_at, p_kind, p_hold.feature_id, p_hold.reserved_at,
    0, case when p_hold.state = 'open' then -p_hold.amount else 0 end, 0,
    p_hold.reservation_id, null, p_hold.actor, null, '{}'
  )::quota.events;
end
$$;

comment on function quota.hold_line is
  'The ledger line of an ending; one that has expired is given back already.';
