-- What every call locks before it asks what applies: the meters of who is called for, or of the account
-- that it was merged into. That is looked at under the lock, since merge_subjects() holds it, too.
create function quota.lock_call(
  p_caller quota.caller,
  p_feature_ids text[]
)
returns quota.own_lock
language plpgsql volatile security invoker set search_path = pg_catalog, pg_temp
as $$
declare
  v_own quota.own_lock := row(p_caller, null)::quota.own_lock;
  v_subject_id text := p_caller.subject_id;
  v_parts quota.part[];
begin
  loop
    v_parts := case cardinality(p_feature_ids)
      when 1 then quota.parts_of(v_subject_id, p_feature_ids[1])
      else quota.parts_of_calls(v_subject_id, p_feature_ids)
    end;
    if v_parts is not null then
      perform quota.check_meters(v_parts);
    end if;
    v_own.at := case
      when v_parts is not null then quota.lock_parts(v_parts)
      when cardinality(p_feature_ids) = 1 then quota.lock_meter(v_subject_id, p_feature_ids[1])
      else quota.lock_meters(v_subject_id, p_feature_ids)
    end;
    v_own.caller.subject_id := quota.account_of(v_subject_id);
    exit when v_own.at is not null and (v_own.caller).subject_id = v_subject_id;
    v_subject_id := (v_own.caller).subject_id;
  end loop;
  return v_own;
end
$$;

comment on function quota.lock_call is
  'Locks the meters that calls of distinct features take from, settles what has expired, and returns for whom, and the time of the decision. Errors: QFEAT.';

create function quota.lock_parts(p_parts quota.part[])
returns timestamptz
language plpgsql volatile security invoker set search_path = pg_catalog, pg_temp
as $$
begin
  if pg_current_xact_id_if_assigned() is not null and quota.has_locked_late(p_parts) then
    return quota.lock_briefly(p_parts);
  end if;
  return quota.lock_in_order(p_parts);
end
$$;

comment on function quota.lock_parts is
  'Locks the meters of parts, subjects in byte order, and returns the time; null: a subject was merged into another, ask again whose they are.';

-- Waits less than it takes Postgres to look for a deadlock (deadlock_timeout): 55P03 instead of 40P01.
create function quota.lock_briefly(p_parts quota.part[])
returns timestamptz
language plpgsql volatile security invoker
set search_path = pg_catalog, pg_temp set lock_timeout = '250ms'
as $$
begin
  return quota.lock_in_order(p_parts);
end
$$;

comment on function quota.lock_briefly is
  'lock_parts() for who holds one of the meters already. Errors: 55P03.';

create function quota.lock_in_order(p_parts quota.part[])
returns timestamptz
language plpgsql volatile security invoker set search_path = pg_catalog, pg_temp
as $$
declare
  -- In byte order, whatever level they stand on: levels change while calls wait, names do not.
  v_subjects text[] := array(
    select p.subject_id
    from unnest(p_parts) as p
    where strpos(p.subject_id, chr(31)) = 0
    group by p.subject_id
    order by p.subject_id collate "C"
  );
  v_subject_id text;
  v_part quota.part;
  v_now timestamptz;
begin
  if cardinality(v_subjects) > 1 and not quota.make_meters(p_parts, false) then
    return null;
  end if;
  foreach v_subject_id in array v_subjects loop
    v_now := quota.lock_meters(v_subject_id, quota.features_at(p_parts, v_subject_id));
    if v_now is null then
      return null;
    end if;
  end loop;
  -- What has expired while others were waited for.
  if cardinality(v_subjects) > 1 then
    foreach v_part in array p_parts loop
      continue when strpos(v_part.subject_id, chr(31)) > 0;
      perform quota.settle_expired(v_part.subject_id, v_part.feature_id, v_now);
    end loop;
  end if;
  perform quota.lock_caps(p_parts, v_now, true);
  return v_now;
end
$$;

comment on function quota.lock_in_order is 'See lock_parts().';

-- A plain try that waited for its meter has locked it, also where the conditions failed in what was committed
-- meanwhile. When that is a parent or a price, what the call has to lock now may come before it.
create function quota.has_locked_late(p_parts quota.part[])
returns boolean
language plpgsql stable security invoker set search_path = pg_catalog, pg_temp
as $$
declare
  v_xid xid := pg_current_xact_id_if_assigned()::xid;
  v_subject_id text;
  v_feature_id text;
  v_is_mine boolean;
  v_any_mine boolean := false;
  v_any_not boolean := false;
  v_is_late boolean := false;
begin
  for v_subject_id, v_feature_id in
    select p.subject_id, p.feature_id
    from unnest(p_parts) as p
    where strpos(p.subject_id, chr(31)) = 0
    order by p.subject_id collate "C", p.feature_id collate "C"
  loop
    select v_xid in (m.xmin, m.xmax)
      into v_is_mine
      from quota.meters as m
      where m.subject_id = v_subject_id
        and m.feature_id = v_feature_id;
    -- One that does not exist is made under its subject's row, which comes before all meters.
    v_is_late := v_is_late or v_is_mine is null or v_is_mine and v_any_not;
    v_any_mine := v_any_mine or v_is_mine is true;
    v_any_not := v_any_not or v_is_mine is not true;
  end loop;
  return v_any_mine and v_is_late;
end
$$;

comment on function quota.has_locked_late is
  'Whether this transaction has locked a meter of these parts before others that come first in lock order.';

-- None is made while another is held: it would wait for the subject's row in the wrong order. Rows are locked
-- in byte order, as set_parent() and merge_subjects() lock them, and only where a meter is missing.
create function quota.make_meters(
  p_parts quota.part[],
  p_are_tables boolean
)
returns boolean
language plpgsql volatile security invoker set search_path = pg_catalog, pg_temp
as $$
declare
  v_subject_id text;
begin
  for v_subject_id in
    select p.subject_id
    from unnest(p_parts) as p
    left join quota.meters as m on m.subject_id = p.subject_id and m.feature_id = p.feature_id
    where strpos(p.subject_id, chr(31)) = 0
    group by p.subject_id
    having count(*) > count(m.subject_id)
    order by p.subject_id collate "C"
  loop
    if not quota.create_meters(v_subject_id, quota.features_at(p_parts, v_subject_id), p_are_tables) then
      return false;
    end if;
  end loop;
  return true;
end
$$;

comment on function quota.make_meters is
  'Makes the meters of parts that do not exist, subjects in byte order. False: one was merged into another.';

create function quota.features_at(
  p_parts quota.part[],
  p_subject_id text
)
returns text[]
language plpgsql immutable security invoker set search_path = pg_catalog, pg_temp
as $$
begin
  return array(select distinct p.feature_id from unnest(p_parts) as p where p.subject_id = p_subject_id);
end
$$;

comment on function quota.features_at is 'The features of the parts at one level.';

-- The catalogue may have got another price, or the subject a parent, while the call waited. To wait for its meter now, holding
-- others, would be in the wrong order.
create function quota.lock_late(p_parts quota.part[])
returns void
language plpgsql volatile security invoker set search_path = pg_catalog, pg_temp
as $$
declare
  v_part quota.part;
begin
  foreach v_part in array p_parts loop
    continue when strpos(v_part.subject_id, chr(31)) > 0;
    perform from quota.meters as m
      where m.subject_id = v_part.subject_id
        and m.feature_id = v_part.feature_id
      for no key update nowait;
    if not found then
      raise exception 'what a use of this feature counts in has changed while the call waited'
        using errcode = '55P03', hint = 'call again';
    end if;
  end loop;
end
$$;

comment on function quota.lock_late is
  'Locks what lock_call() has not locked yet, without waiting. Errors: 55P03.';
