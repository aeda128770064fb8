-- Which caps a call meets: those of who acts, at each level that has some (see sql/subjects/caps.sql).

create function quota.parts_of_call(
  p_caller quota.caller,
  p_feature_id text,
  p_at timestamptz
)
returns quota.part[]
language plpgsql stable security invoker set search_path = pg_catalog, pg_temp
as $$
declare
  v_parts quota.part[] := quota.parts_of(p_caller.subject_id, p_feature_id);
  v_all quota.part[];
  v_caps quota.part[];
begin
  if p_caller.actor is null then
    return v_parts;
  end if;
  v_all := coalesce(v_parts, array[row(p_caller.subject_id, p_feature_id, 1, 1, false)::quota.part]);
  v_caps := quota.caps_of(v_all, p_caller.actor, p_at);
  return case when v_caps = '{}' then v_parts else v_all || v_caps end;
end
$$;

comment on function quota.parts_of_call is
  'parts_of(), and after them the caps of who acts; null: the call''s own meter alone.';

-- Of the actor, or of the account that it was merged into, at each level where it has one. In byte order, as they
-- are locked. One that was begun counts on where nothing is capped any more: else it would lack what is used until
-- a limit comes back. tidy() ends it.
create function quota.caps_of(
  p_parts quota.part[],
  p_actor text,
  p_at timestamptz
)
returns quota.part[]
language plpgsql stable security invoker set search_path = pg_catalog, pg_temp
as $$
declare
  v_member text := quota.account_of(p_actor);
  v_part quota.part;
  v_caps quota.part[] := '{}'::quota.part[];
begin
  foreach v_part in array p_parts loop
    continue when v_part.subject_id = v_member
      or not quota.is_capped(v_part.subject_id, v_part.feature_id, v_member, p_at)
      and not quota.is_begun(v_part.subject_id, v_part.feature_id, v_member);
    v_part.subject_id := quota.cap_id(v_part.subject_id, v_member);
    v_caps := v_caps || v_part;
  end loop;
  return array(
    select c
    from unnest(v_caps) as c
    order by c.subject_id collate "C", c.feature_id collate "C"
  );
end
$$;

comment on function quota.caps_of is
  'The caps of a user that acts for the subjects of these parts; none: an empty array.';

create function quota.is_capped(
  p_subject_id text,
  p_feature_id text,
  p_member text,
  p_at timestamptz
)
returns boolean
language plpgsql stable security invoker set search_path = pg_catalog, pg_temp
as $$
declare
  v_cap_id text := quota.cap_id(p_subject_id, p_member);
  v_plan_id text := (quota.terms_of(p_subject_id, p_at, null)).plan_id;
begin
  return exists (
    select from quota.exceptions as x
    where x.subject_id = v_cap_id
      and x.feature_id = p_feature_id
      and x.ends_at > p_at
  )
    or exists (
      select from quota.member_limits as c
      where c.feature_id = p_feature_id
        and c.plan_id = v_plan_id
    );
end
$$;

comment on function quota.is_capped is 'Whether a member of a subject has a cap of a feature, at an instant.';

create function quota.is_begun(
  p_subject_id text,
  p_feature_id text,
  p_member text
)
returns boolean
language plpgsql stable security invoker set search_path = pg_catalog, pg_temp
as $$
declare
  v_cap_id text := quota.cap_id(p_subject_id, p_member);
begin
  return exists (
    select from quota.meters as m where m.subject_id = v_cap_id and m.feature_id = p_feature_id
  );
end
$$;

comment on function quota.is_begun is 'Whether a call has met the cap of a member, which counts since.';

-- Holding the organisation's meters.
create function quota.lock_caps(
  p_parts quota.part[],
  p_at timestamptz,
  p_is_begun boolean default false
)
returns void
language plpgsql volatile security invoker set search_path = pg_catalog, pg_temp
as $$
declare
  v_cap record;
  v_holds_expire_at timestamptz;
begin
  for v_cap in
    select p.subject_id, p.feature_id
    from unnest(p_parts) as p
    where strpos(p.subject_id, chr(31)) > 0
    group by p.subject_id, p.feature_id
    order by p.subject_id collate "C", p.feature_id collate "C"
  loop
    select m.holds_expire_at
      into v_holds_expire_at
      from quota.meters as m
      where m.subject_id = v_cap.subject_id
        and m.feature_id = v_cap.feature_id
      for no key update;
    if not found and not p_is_begun then
      perform quota.begin_cap(v_cap.subject_id, v_cap.feature_id, p_at);
    elsif v_holds_expire_at <= p_at then
      perform quota.settle_expired(v_cap.subject_id, v_cap.feature_id, p_at);
    end if;
  end loop;
end
$$;

comment on function quota.lock_caps is
  'Locks the caps among parts and settles what has expired; makes those that are new, unless the call is begun.';
