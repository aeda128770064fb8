-- What ends a hold, or gives a call back, begins with the locks of all meters that it took from.

create type quota.locked_hold as (
  hold quota.reservations,
  at timestamptz,
  shares quota.shares[]
);

comment on type quota.locked_hold is 'A reservation whose meter is locked, the time read under that lock, and what its call holds in other meters, which are locked, too.';

-- The reservation of that id, its meter locked, and what has expired settled.
create function quota.lock_reservation(
  p_reservation_id uuid,
  p_subject text
)
returns quota.locked_hold
language plpgsql volatile security invoker set search_path = pg_catalog, pg_temp
as $$
declare
  v_account_id text;
  v_hold quota.reservations;
  v_shares quota.shares[];
  v_at timestamptz;
begin
  perform quota.require_trusted();
  loop
    -- Null: the caller did not say.
    v_account_id := quota.account_of(p_subject);
    select r.subject_id, r.feature_id, r.is_plain
      into v_hold.subject_id, v_hold.feature_id, v_hold.is_plain
      from quota.reservations as r
      where r.reservation_id = p_reservation_id
        and (v_account_id is null or r.subject_id = v_account_id);
    exit when not found;
    -- A share ends with its call alone.
    perform from quota.shares as s
      where s.share_subject_id = v_hold.subject_id
        and s.share_id = p_reservation_id
        and not v_hold.is_plain;
    exit when found;
    v_shares := quota.shares_of(v_hold.subject_id, p_reservation_id);
    v_at := quota.lock_shared(v_hold.subject_id, v_hold.feature_id, v_shares);
    -- Again, now that nobody else can end it.
    select r.subject_id, r.reservation_id, r.feature_id, r.amount, r.reserved_at, r.expires_at,
        r.state, r.answer, r.is_plain, r.actor
      into v_hold
      from quota.reservations as r
      where r.subject_id = v_hold.subject_id
        and r.reservation_id = p_reservation_id;
    -- Else a subject that it holds for was merged into another meanwhile, which has it, or was forgotten.
    exit when found
      and v_at is not null
      and v_shares is not distinct from quota.shares_of(v_hold.subject_id, p_reservation_id);
  end loop;
  if v_hold.reservation_id is null then
    raise exception 'no such reservation: %', coalesce(p_reservation_id::text, 'null')
      using errcode = 'QRSRV', hint = 'pass the reservation_id of an allowed reserve_usage';
  end if;
  return (v_hold, v_at, v_shares);
end
$$;

comment on function quota.lock_reservation is
  'Errors: 42501 not a trusted role; QRSRV no such reservation, or of another subject than the named one.';

create function quota.shares_of(
  p_subject_id text,
  p_call_id uuid
)
returns quota.shares[]
language plpgsql stable security invoker set search_path = pg_catalog, pg_temp
as $$
begin
  return (
    select array_agg(s order by s.share_subject_id, s.share_feature_id)
    from quota.shares as s
    where s.subject_id = p_subject_id
      and s.call_id = p_call_id
  );
end
$$;

comment on function quota.shares_of is 'What a call took from other meters; null: nothing.';

-- The call's own part first.
create function quota.parts_of_shares(
  p_subject_id text,
  p_feature_id text,
  p_shares quota.shares[]
)
returns quota.part[]
language plpgsql immutable security invoker set search_path = pg_catalog, pg_temp
as $$
begin
  return row(p_subject_id, p_feature_id, 1, 1, false)::quota.part || array(
    select row(
      s.share_subject_id, s.share_feature_id, s.units, s.per, s.share_feature_id <> p_feature_id
    )::quota.part
    from unnest(p_shares) as s
  );
end
$$;

comment on function quota.parts_of_shares is 'The meters that a call took from.';

create function quota.lock_shared(
  p_subject_id text,
  p_feature_id text,
  p_shares quota.shares[]
)
returns timestamptz
language plpgsql volatile security invoker set search_path = pg_catalog, pg_temp
as $$
declare
  -- A gauge has no shares: what stands below is in the limits above.
  v_levels text[] := quota.gauge_levels(p_subject_id, p_feature_id);
begin
  if v_levels is not null then
    return quota.lock_parts(
      array(select row(l, p_feature_id, 1, 1, false)::quota.part from unnest(v_levels) as l)
    );
  end if;
  if p_shares is null then
    return quota.lock_meter(p_subject_id, p_feature_id);
  end if;
  return quota.lock_parts(quota.parts_of_shares(p_subject_id, p_feature_id, p_shares));
end
$$;

comment on function quota.lock_shared is
  'Locks the meters that a call took from, settles what has expired, and returns the time; null: a subject was merged into another, ask again whose they are.';

create function quota.hold_of(p_share quota.shares)
returns quota.reservations
language plpgsql stable security invoker set search_path = pg_catalog, pg_temp
as $$
declare
  v_hold quota.reservations;
begin
  select r.subject_id, r.reservation_id, r.feature_id, r.amount, r.reserved_at, r.expires_at, r.state,
      r.answer, r.is_plain, r.actor
    into v_hold
    from quota.reservations as r
    where r.subject_id = p_share.share_subject_id
      and r.reservation_id = p_share.share_id;
  return v_hold;
end
$$;

comment on function quota.hold_of is 'The hold of a share; null when its subject was forgotten.';
