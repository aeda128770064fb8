-- What is taken from grants and given back to them, holding the meter. Each step has
-- a ledger line that names the grant and what it was drawn for (the event or the reservation).

create function quota.draw(
  p_subject_id text,
  p_feature_id text,
  p_amount bigint,
  p_at timestamptz,
  p_counts_at timestamptz,
  p_about_id uuid
)
returns void
language plpgsql volatile security invoker set search_path = pg_catalog, pg_temp
as $$
declare
  v_left bigint := p_amount;
  v_grant_id uuid;
  v_rest bigint;
  v_full uuid[] := '{}'::uuid[];
begin
  -- Soonest to expire first.
  for v_grant_id, v_rest in
    select g.grant_id, g.amount - g.drawn
    from quota.grants as g
    where g.subject_id = p_subject_id
      and g.feature_id = p_feature_id
      and g.granted_at <= p_at
      and g.expires_at > p_at
      and g.voided_at is null
      and not g.is_spent
    order by g.expires_at, g.grant_id
  loop
    exit when v_left = 0 and v_rest > 0;
    if v_rest > 0 then
      perform quota.write_draw(
        p_subject_id, p_feature_id, least(v_rest, v_left), p_at, p_counts_at, p_about_id, v_grant_id
      );
    end if;
    if v_rest <= v_left then
      v_full := v_full || v_grant_id;
    end if;
    v_left := v_left - least(v_rest, v_left);
  end loop;
  if v_full <> '{}' then
    perform quota.mark_spent(p_subject_id, p_feature_id, v_full, p_about_id);
  end if;
end
$$;

comment on function quota.draw is
  'Takes an amount from the open grants of a subject and feature, soonest to expire first.';

-- What a hold has drawn comes back when it expires, at an instant at which nobody writes: a grant
-- that one has drawn from stays open, and is looked at again by the next draw.
create function quota.mark_spent(
  p_subject_id text,
  p_feature_id text,
  p_grant_ids uuid[],
  p_about_id uuid
)
returns void
language plpgsql volatile security invoker set search_path = pg_catalog, pg_temp
as $$
declare
  v_held uuid[] := array(
    select e.grant_id
    from quota.reservations as r
    join quota.events as e on e.subject_id = r.subject_id and e.about_id = r.reservation_id
    where r.subject_id = p_subject_id
      and r.feature_id = p_feature_id
      and r.state = 'open'
      and e.kind = 'draw'
    union
    -- A hold that is being made: its line is written, its row is not yet.
    select d.grant_id
    from quota.events as h
    join quota.events as d on d.subject_id = h.subject_id and d.about_id = h.about_id
    where h.subject_id = p_subject_id
      and h.about_id = p_about_id
      and h.kind = 'reserve'
      and d.kind = 'draw'
      and not exists (
        select from quota.reservations as r
        where r.subject_id = h.subject_id
          and r.reservation_id = h.about_id
      )
  );
begin
  update quota.grants as g
    set is_spent = true
    where g.subject_id = p_subject_id
      and g.grant_id = any (p_grant_ids)
      and g.drawn = g.amount
      and g.grant_id <> all (v_held);
end
$$;

comment on function quota.mark_spent is
  'Notes which of these grants have nothing left that a hold could give back; what is drawn just now was drawn for p_about_id.';

create function quota.give_back(
  p_subject_id text,
  p_feature_id text,
  p_amount bigint,
  p_at timestamptz,
  p_counts_at timestamptz,
  p_about_id uuid
)
returns bigint
language plpgsql volatile security invoker set search_path = pg_catalog, pg_temp
as $$
declare
  v_left bigint := p_amount;
  v_grant_id uuid;
  v_part bigint;
begin
  -- In the opposite order: the last unit drawn is the first to come back. To a grant that has expired
  -- meanwhile too, where it stays expired.
  for v_grant_id, v_part in
    select g.grant_id, sum(e.drawn_change)
    from quota.events as e
    join quota.grants as g on g.subject_id = e.subject_id and g.grant_id = e.grant_id
    where e.subject_id = p_subject_id
      and e.about_id = p_about_id
      and e.kind = 'draw'
    group by g.grant_id, g.expires_at
    having sum(e.drawn_change) > 0
    order by g.expires_at desc, g.grant_id desc
  loop
    exit when v_left = 0;
    v_part := least(v_part, v_left);
    v_left := v_left - v_part;
    perform quota.write_draw(
      p_subject_id, p_feature_id, -v_part, p_at, p_counts_at, p_about_id, v_grant_id
    );
  end loop;
  return p_amount - v_left;
end
$$;

comment on function quota.give_back is
  'Gives at most this amount back to the grants it was drawn from, and returns how much that was.';

create function quota.write_draw(
  p_subject_id text,
  p_feature_id text,
  p_amount bigint,
  p_at timestamptz,
  p_counts_at timestamptz,
  p_about_id uuid,
  p_grant_id uuid
)
returns void
language plpgsql volatile security invoker set search_path = pg_catalog, pg_temp
as $$
begin
  update quota.grants as g
    set drawn = g.drawn + p_amount,
        is_spent = g.is_spent and p_amount > 0
    where g.subject_id = p_subject_id
      and g.grant_id = p_grant_id;
  perform quota.record(
    row(
      p_subject_id, quota.new_id(p_at), p_at, 'draw', p_feature_id, p_counts_at,
      0, 0, p_amount, p_about_id, p_grant_id, null, null, '{}'
    )::quota.events
  );
end
$$;

comment on function quota.write_draw is
  'Draws an amount from one grant, or gives it back (negative).';

-- What a commit used and its hold did not cover comes from grants, as far as limits fall short of it.
create function quota.draw_excess(
  p_hold quota.reservations,
  p_at timestamptz,
  p_excess bigint,
  p_allowance quota.allowance
)
returns quota.allowance
language plpgsql volatile security invoker set search_path = pg_catalog, pg_temp
as $$
declare
  v_limit quota.limit_state;
  v_shortfall bigint := 0;
  v_drawn bigint;
begin
  foreach v_limit in array coalesce(p_allowance.limits, '{}') loop
    if v_limit.period !~ 'minute|hour' then
      v_shortfall := greatest(
        v_shortfall, v_limit.used + v_limit.reserved - v_limit.amount - v_limit.drawn
      );
    end if;
  end loop;
  v_drawn := least(
    p_excess, v_shortfall, quota.granted_to(p_hold.subject_id, p_hold.feature_id, p_at)
  );
  if v_drawn > 0 and p_allowance.kind = 'metered' then
    perform quota.draw(
      p_hold.subject_id, p_hold.feature_id, v_drawn, p_at, p_hold.reserved_at, p_hold.reservation_id
    );
    return quota.limits_of_hold(p_hold, p_at);
  end if;
  return p_allowance;
end
$$;

comment on function quota.draw_excess is
  'Draws from grants what a commit used beyond its hold, and returns the limits after that.';
