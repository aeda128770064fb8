-- What a subject has beyond its plan, as it stands at an instant.

create function quota.granted_to(
  p_subject_id text,
  p_feature_id text,
  p_at timestamptz
)
returns bigint
language plpgsql stable strict security invoker set search_path = pg_catalog, pg_temp
as $$
begin
  return coalesce(
    (select sum(g.amount - g.drawn) from quota.open_grants(p_subject_id, p_feature_id, p_at) as g),
    0
  );
end
$$;

comment on function quota.granted_to is 'What is left of the open grants of a subject and feature.';

create function quota.open_grants(
  p_subject_id text,
  p_feature_id text,
  p_at timestamptz
)
returns setof quota.grants
language plpgsql stable strict rows 3 security invoker set search_path = pg_catalog, pg_temp
as $$
begin
  return query
    select
      g.subject_id, g.grant_id, g.feature_id, g.amount,
      g.drawn - coalesce((
        -- An expired hold has given its draws back, settled or not.
        select sum(e.drawn_change)
        from quota.reservations as r
        join quota.events as e on e.subject_id = r.subject_id and e.about_id = r.reservation_id
        where r.subject_id = g.subject_id
          and r.feature_id = g.feature_id
          and r.state = 'open'
          and r.expires_at <= p_at
          and e.grant_id = g.grant_id
      ), 0)::bigint,
      g.granted_at, g.expires_at, g.voided_at, g.metadata, g.is_spent
    from quota.grants as g
    where g.subject_id = p_subject_id
      and g.feature_id = p_feature_id
      and g.granted_at <= p_at
      and g.expires_at > p_at
      and g.voided_at is null
      -- Which no open hold has drawn from, so none that has expired meanwhile.
      and not g.is_spent;
end
$$;

comment on function quota.open_grants is
  'The open grants of a subject and feature, with what is drawn from them at that instant.';

-- With those that are spent: what a customer is shown, and what refunds may give back to. No call that
-- counts walks over them.
create function quota.standing_grants(
  p_subject_id text,
  p_feature_id text,
  p_at timestamptz
)
returns setof quota.grants
language plpgsql stable strict rows 3 security invoker set search_path = pg_catalog, pg_temp
as $$
begin
  return query
    select
      o.subject_id, o.grant_id, o.feature_id, o.amount, o.drawn, o.granted_at, o.expires_at,
      o.voided_at, o.metadata, o.is_spent
    from quota.open_grants(p_subject_id, p_feature_id, p_at) as o;
  return query
    select
      g.subject_id, g.grant_id, g.feature_id, g.amount, g.drawn, g.granted_at, g.expires_at,
      g.voided_at, g.metadata, g.is_spent
    from quota.grants as g
    where g.subject_id = p_subject_id
      and g.feature_id = p_feature_id
      and g.granted_at <= p_at
      and g.expires_at > p_at
      and g.voided_at is null
      and g.is_spent;
end
$$;

comment on function quota.standing_grants is
  'The grants of a subject and feature that have not ended, spent or not.';

-- The most that any limit may come to show. Refunds give back to grants what was drawn in other
-- periods, so those count whole, the spent ones too. For writers of grants and limits, which are rare.
create function quota.most_allowed(
  p_subject_id text,
  p_feature_id text,
  p_at timestamptz,
  p_limits quota.limit_state[]
)
returns bigint
language plpgsql stable strict security invoker set search_path = pg_catalog, pg_temp
as $$
declare
  v_amount numeric;
  v_drawn numeric;
begin
  select coalesce(sum(g.amount), 0), coalesce(sum(g.drawn), 0)
    into v_amount, v_drawn
    from quota.standing_grants(p_subject_id, p_feature_id, p_at) as g;
  return v_amount + coalesce(
    (
      select max(l.amount + greatest(l.drawn - v_drawn, 0))
      from unnest(p_limits) as l
      where l.period !~ 'minute|hour'
    ),
    0
  );
end
$$;

comment on function quota.most_allowed is
  'The largest limit with its draws and all grants that have not ended: what writers keep within 2^53 - 1.';
