-- Levels: a team of an organisation, a key of a user. What a subject uses counts for those above it, too.
create function public.set_parent(
  subject text,
  parent text
)
returns void
language plpgsql volatile security invoker set search_path = pg_catalog, pg_temp
as $$
#variable_conflict error
begin
  perform quota.set_parent(subject, parent);
end
$$;

comment on function public.set_parent is
  'Puts a subject under another one: from now on its use counts for that one, too, and for those above it, and every limit of every level has room, or nothing is counted. A subject with a parent has only a plan that it was put on, and without one passes through. What was used before of metered features stays where it counted; what its gauges show moves along. At most 3 levels. parent null takes it off. Errors: QSUBJ more levels, a circle, or subject or parent missing, empty or over 255 characters; 42501 not a trusted role; 55P03 retry.';

create function quota.set_parent(
  p_subject text,
  p_parent text
)
returns void
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp set lock_timeout = '2s'
as $$
declare
  v_subject_id text;
  v_parent_id text;
  v_former_id text;
  v_locked_id text;
  v_features text[];
  v_now timestamptz;
begin
  perform quota.require_trusted();
  v_subject_id := (quota.caller_by_account(p_subject)).subject_id;
  if p_parent is not null then
    v_parent_id := (quota.caller_by_account(p_parent)).subject_id;
  end if;
  perform quota.lock_family(v_subject_id, v_parent_id);
  perform quota.check_family(v_subject_id, v_parent_id);
  select s.parent_id into v_former_id from quota.subjects as s where s.subject_id = v_subject_id;
  if v_former_id is not distinct from v_parent_id then
    return;
  end if;

  -- Whoever uses it meets here: the calls before count where they did, the calls after at every level. What
  -- its gauges show is the parent's as well from now on: that one's plain calls end.
  for v_locked_id in
    select l from unnest(array[v_subject_id, v_parent_id]) as l where l is not null order by l collate "C"
  loop
    v_now := quota.lock_meters(v_locked_id, quota.meters_of(v_locked_id));
  end loop;
  v_features := quota.meters_of(v_subject_id);
  update quota.subjects as s
    set parent_id = v_parent_id,
        -- Its plan may be another one.
        terms_changed_at = v_now
    where s.subject_id = v_subject_id;
  perform quota.forget_limits(array_remove(array[v_subject_id, v_parent_id], null));
  -- Without the parent's name: to forget that one, nobody need change the lines of others.
  perform quota.record(
    row(
      v_subject_id, quota.new_id(v_now), v_now, 'parent', null, v_now, 0, 0, 0, null, null, null, null,
      jsonb_build_object('has_parent', v_parent_id is not null)
    )::quota.events
  );
  perform quota.begin_periods(v_subject_id, v_features, v_now);
end
$$;

comment on function quota.set_parent is 'See public.set_parent.';

-- All rows that a circle, or a fourth level, could come of, in byte order: two calls that together would
-- make one share a row.
create function quota.lock_family(
  p_subject_id text,
  p_parent_id text
)
returns void
language plpgsql volatile security invoker set search_path = pg_catalog, pg_temp
as $$
declare
  v_family text[] := quota.family_of(p_subject_id, p_parent_id);
begin
  perform quota.lock_subject(f) from unnest(v_family) as f;
  if quota.family_of(p_subject_id, p_parent_id) <> v_family then
    raise exception 'set_parent: levels above or below have changed meanwhile'
      using errcode = '55P03', hint = 'call again';
  end if;
end
$$;

comment on function quota.lock_family is
  'Locks a subject, those below it, its parent to be, and those above that one. Errors: 55P03.';

create function quota.family_of(
  p_subject_id text,
  p_parent_id text
)
returns text[]
language plpgsql stable security invoker set search_path = pg_catalog, pg_temp
as $$
declare
  v_family text[] := array[p_subject_id, p_parent_id] || quota.levels_of(p_parent_id);
  v_below text[] := quota.below(array[p_subject_id]);
begin
  v_family := v_family || v_below || quota.below(v_below);
  return array(
    select f from unnest(v_family) as u (f) where f is not null group by f order by f collate "C"
  );
end
$$;

comment on function quota.family_of is
  'A subject, those below it, its parent to be, and those above that one, in byte order.';

create function quota.check_family(
  p_subject_id text,
  p_parent_id text
)
returns void
language plpgsql stable security invoker set search_path = pg_catalog, pg_temp
as $$
declare
  v_above text[] := quota.levels_of(p_parent_id);
  v_levels integer := cardinality(v_above) + 1;
  v_below text[];
begin
  if p_parent_id is null then
    return;
  end if;
  if p_subject_id = any (v_above) then
    raise exception 'set_parent: the parent is the subject itself, or below it'
      using errcode = 'QSUBJ', hint = 'take the other one off first: set_parent(…, null)';
  end if;
  v_below := quota.below(array[p_subject_id]);
  if v_below <> '{}' then
    v_levels := v_levels + case when quota.below(v_below) <> '{}' then 2 else 1 end;
  end if;
  if v_levels > 3 then
    raise exception 'set_parent: that would be % levels, at most 3 are allowed', v_levels
      using errcode = 'QSUBJ', hint = 'put the subject under one that is higher up';
  end if;
end
$$;

comment on function quota.check_family is 'Errors: QSUBJ, a circle or more than 3 levels.';

create function quota.below(p_subject_ids text[])
returns text[]
language plpgsql stable security invoker set search_path = pg_catalog, pg_temp
as $$
begin
  return array(select s.subject_id from quota.subjects as s where s.parent_id = any (p_subject_ids));
end
$$;

comment on function quota.below is 'The subjects whose parent is one of these.';

create function quota.take_children_off(p_subject_id text)
returns void
language plpgsql volatile security invoker set search_path = pg_catalog, pg_temp
as $$
begin
  update quota.subjects as s
    set parent_id = null
    where s.parent_id = p_subject_id;
end
$$;

comment on function quota.take_children_off is 'Nobody is below a subject that is forgotten.';

create function quota.move_children(
  p_from text,
  p_into text
)
returns void
language plpgsql volatile security invoker set search_path = pg_catalog, pg_temp
as $$
begin
  update quota.subjects as s
    set parent_id = p_into
    where s.parent_id = p_from;
end
$$;

comment on function quota.move_children is 'Who was below a subject that is merged is below the account.';
