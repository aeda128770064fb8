-- What a merge locks: first rows, then meters, each in byte order over all that it concerns.

-- Both, those above them and below the old name, and the organisations that it belongs to, whose members change.
create function quota.lock_to_merge(
  p_from text,
  p_into text
)
returns text
language plpgsql volatile security invoker set search_path = pg_catalog, pg_temp
as $$
declare
  v_into text := quota.account_of(p_into);
  v_rows text[];
  v_locked integer;
begin
  loop
    insert into quota.subjects (subject_id)
      values (least(p_from collate "C", v_into collate "C"))
      on conflict do nothing;
    insert into quota.subjects (subject_id)
      values (greatest(p_from collate "C", v_into collate "C"))
      on conflict do nothing;
    v_rows := quota.rows_to_merge(p_from, v_into);
    perform from quota.subjects as s
      where s.subject_id = any (v_rows)
      order by s.subject_id
      for no key update;
    select count(*) into v_locked from quota.subjects as s where s.subject_id in (p_from, v_into);
    -- Else forget_subject() was faster.
    exit when v_locked = 2;
  end loop;
  if quota.account_to_join(p_from, v_into) <> v_into
    or not v_rows @> quota.rows_to_merge(p_from, v_into)
  then
    raise exception 'merge_subjects: the account was merged, or levels have changed, meanwhile'
      using errcode = '55P03', hint = 'call again';
  end if;
  perform quota.check_levels(p_from, v_into);
  return quota.account_to_join(p_from, v_into);
end
$$;

comment on function quota.lock_to_merge is
  'Locks the rows of both subjects, and returns the account; null: merged meanwhile. Errors: QSUBJ; 55P03.';

create function quota.rows_to_merge(
  p_from text,
  p_into text
)
returns text[]
language plpgsql stable security invoker set search_path = pg_catalog, pg_temp
as $$
declare
  v_rows text[] := array[p_from, p_into];
  v_below text[] := quota.below(array[p_from]);
begin
  v_rows := v_rows || quota.levels_of(p_from) || quota.levels_of(p_into) || v_below
    || quota.below(v_below);
  return v_rows || array(
    select m.subject_id
    from quota.members as m
    where m.user_id = p_from
  );
end
$$;

comment on function quota.rows_to_merge is
  'Both, those above them, those below the old name, and the organisations that it belongs to.';

-- A use that counted for both would count for the account twice.
create function quota.check_levels(
  p_from text,
  p_into text
)
returns void
language plpgsql stable security invoker set search_path = pg_catalog, pg_temp
as $$
declare
  v_below text[] := quota.below(array[p_from]);
  v_levels integer := cardinality(quota.levels_of(p_into));
begin
  if p_from = any (quota.levels_of(p_into)) then
    raise exception 'merge_subjects: the account is below %', quote_literal(left(p_from, 100))
      using errcode = 'QSUBJ', hint = 'take it off first: set_parent(…, null)';
  end if;
  if v_below <> '{}' then
    v_levels := v_levels + case when quota.below(v_below) <> '{}' then 2 else 1 end;
  end if;
  if v_levels > 3 then
    raise exception 'merge_subjects: with those below % that would be % levels, at most 3 are allowed',
      quote_literal(left(p_from, 100)), v_levels
      using errcode = 'QSUBJ', hint = 'take them, or the account, off first: set_parent(…, null)';
  end if;
  if exists (
    select from quota.shares as s
    where s.share_subject_id = p_into
      and s.subject_id <> p_into
      and (
        s.subject_id = p_from
        or exists (
          select from quota.shares as o
          where o.subject_id = s.subject_id
            and o.call_id = s.call_id
            and o.share_subject_id = p_from
        )
      )
  ) or exists (
    select from quota.shares as s
    where s.share_subject_id = p_from
      and s.subject_id = p_into
  ) then
    raise exception 'merge_subjects: the same uses counted for % and for the account',
      quote_literal(left(p_from, 100))
      using errcode = 'QSUBJ', hint = 'they were levels of one another; forget_subject ends the one that is not needed';
  end if;
end
$$;

comment on function quota.check_levels is
  'Expects the rows of both to be locked. Errors: QSUBJ, the account is below it, too many levels, or uses of both.';

-- The meters of the one, and those of the same features of the other; and those behind which stand the caps of
-- both as members, which end.
create function quota.lock_all_to_merge(
  p_from text,
  p_into text,
  p_feature_ids text[]
)
returns timestamptz
language plpgsql volatile security invoker set search_path = pg_catalog, pg_temp
as $$
declare
  v_holders text[];
  v_subject_id text;
  v_at timestamptz;
  v_now timestamptz;
begin
  -- Both exist before the first is locked.
  perform quota.create_meters(p_into, p_feature_ids);
  v_holders := quota.holders_of(p_from, p_into);
  for v_subject_id in
    select u from unnest(array[p_from, p_into] || v_holders) as u group by u order by u collate "C"
  loop
    v_at := quota.lock_meters(
      v_subject_id,
      case v_subject_id
        when p_from then p_feature_ids
        when p_into then quota.meters_of(p_into)
        else quota.capped_features(v_subject_id, p_from, p_into)
      end
    );
    v_now := greatest(v_now, v_at);
  end loop;
  if not v_holders @> quota.holders_of(p_from, p_into) then
    raise exception 'merge_subjects: a member has met a cap meanwhile'
      using errcode = '55P03', hint = 'call again';
  end if;
  return v_now;
end
$$;

comment on function quota.lock_all_to_merge is
  'Locks all meters of two subjects whose rows are locked, and those of the organisations that cap either, and returns the time read under the locks. Errors: 55P03.';

create function quota.holders_of(
  p_from text,
  p_into text
)
returns text[]
language plpgsql stable security invoker set search_path = pg_catalog, pg_temp
as $$
begin
  return array(
    select c.subject_id
    from quota.caps as c
    where c.member in (p_from, p_into)
    group by c.subject_id
  );
end
$$;

comment on function quota.holders_of is 'Where one of two subjects is a member under a cap that a call has met, or that was set.';

create function quota.capped_features(
  p_subject_id text,
  p_from text,
  p_into text
)
returns text[]
language plpgsql stable security invoker set search_path = pg_catalog, pg_temp
as $$
begin
  return array(
    select c.feature_id
    from quota.caps as c
    join quota.meters as m on m.subject_id = c.subject_id and m.feature_id = c.feature_id
    where c.subject_id = p_subject_id
      and c.member in (p_from, p_into)
    group by c.feature_id
  );
end
$$;

comment on function quota.capped_features is
  'Of which features one of two members has a cap at a subject that has used them.';
