-- A cap may come in the middle of a month: the first call that meets it finds what its member has used so far,
-- in the organisation's ledger.
create function quota.begin_cap(
  p_cap_id text,
  p_feature_id text,
  p_at timestamptz
)
returns void
language plpgsql volatile security invoker set search_path = pg_catalog, pg_temp
as $$
declare
  v_from timestamptz := (
    select min(l.period_start)
    from unnest((quota.limits_of(p_cap_id, p_feature_id, p_at)).limits) as l
  );
  v_use record;
  v_share_id uuid;
begin
  insert into quota.caps (subject_id, feature_id, member)
    values (quota.cap_holder(p_cap_id), p_feature_id, quota.cap_member(p_cap_id))
    on conflict do nothing;
  insert into quota.meters (subject_id, feature_id)
    values (p_cap_id, p_feature_id)
    on conflict do nothing;
  for v_use in
    select u.call_subject_id, u.call_id, u.feature_id, u.units, u.per, u.is_price, u.counts_at, u.used,
      u.held, u.expires_at, u.state
    from quota.member_uses(p_cap_id, p_feature_id, v_from) as u
    order by u.counts_at, u.call_id
  loop
    v_share_id := quota.new_id(p_at);
    perform quota.record(
      row(
        p_cap_id, v_share_id, p_at, quota.share_kind(v_use.is_price, v_use.held > 0), p_feature_id,
        v_use.counts_at, v_use.used, case when v_use.state = 'open' then v_use.held else 0 end, 0,
        case when v_use.state is null then v_use.call_id else v_share_id end, null,
        quota.cap_member(p_cap_id), null, '{}'
      )::quota.events
    );
    if v_use.state is not null then
      insert into quota.reservations (
        subject_id, reservation_id, feature_id, amount, reserved_at, expires_at, state, is_plain, actor
      )
      values (
        p_cap_id, v_share_id, p_feature_id, v_use.held, v_use.counts_at, v_use.expires_at, v_use.state,
        false, quota.cap_member(p_cap_id)
      );
      -- Its end must look at its shares from now on.
      update quota.reservations as r
        set is_plain = false
        where r.subject_id = v_use.call_subject_id
          and r.reservation_id = v_use.call_id;
    end if;
    insert into quota.shares (
      subject_id, call_id, share_subject_id, share_feature_id, share_id, feature_id, units, per
    )
    values (
      v_use.call_subject_id, v_use.call_id, p_cap_id, p_feature_id, v_share_id, v_use.feature_id,
      v_use.units, v_use.per
    )
    on conflict do nothing;
  end loop;
  perform quota.note_first_expiry(p_cap_id, p_feature_id);
end
$$;

comment on function quota.begin_cap is
  'Makes the meter of a cap, with what its member has used of the running periods. Expects the organisation''s meter to be locked.';

-- A line of the organisation leads to its call: its own, or one that it is a share of. A refund is with what it
-- gives back.
create function quota.member_uses(
  p_cap_id text,
  p_feature_id text,
  p_from timestamptz
)
returns table (
  call_subject_id text, call_id uuid, feature_id text, units bigint, per bigint, is_price boolean,
  counts_at timestamptz, used bigint, held bigint, expires_at timestamptz, state text
)
language plpgsql stable security invoker set search_path = pg_catalog, pg_temp
as $$
declare
  v_holder_id text := quota.cap_holder(p_cap_id);
  v_names text[] := quota.names_of(quota.cap_member(p_cap_id));
begin
  return query
    select c.subject_id, c.call_id, c.feature_id, c.units, c.per, c.feature_id <> p_feature_id,
      min(e.counts_at), sum(e.used_change)::bigint, coalesce(h.amount, 0), h.expires_at, h.state
    from quota.events as e
    left join lateral (
      select o.event_id, o.about_id, o.kind
      from quota.events as o
      where e.kind = 'refund'
        and o.subject_id = v_holder_id
        and o.event_id = e.about_id
    ) as r on true
    cross join lateral (
      select coalesce(r.event_id, e.event_id) as event_id, coalesce(r.about_id, e.about_id) as about_id,
        coalesce(r.kind, e.kind) as kind
    ) as u
    left join quota.shares as s
      on s.share_subject_id = v_holder_id
      and s.share_feature_id = p_feature_id
      and s.share_id in (u.event_id, u.about_id)
    cross join lateral (
      select coalesce(s.subject_id, v_holder_id) as subject_id,
        coalesce(
          s.call_id, case when u.kind in ('consume', 'import') then u.event_id else u.about_id end
        ) as call_id,
        coalesce(s.feature_id, p_feature_id) as feature_id, coalesce(s.units, 1) as units,
        coalesce(s.per, 1) as per
    ) as c
    left join quota.reservations as h
      on h.subject_id = v_holder_id
      and h.reservation_id = coalesce(s.share_id, c.call_id)
      and h.state in ('open', 'expired')
    where e.subject_id = v_holder_id
      and e.feature_id = p_feature_id
      and e.counts_at >= p_from
      and e.actor = any (v_names)
      and (e.used_change <> 0 or e.kind = 'reserve')
      and e.kind not in ('reset', 'carry')
    group by c.subject_id, c.call_id, c.feature_id, c.units, c.per, h.amount, h.expires_at, h.state
    having sum(e.used_change) <> 0 or h.state is not null;
end
$$;

comment on function quota.member_uses is
  'The calls that counted for a member at its organisation since an instant, each with what is left of it or held.';
