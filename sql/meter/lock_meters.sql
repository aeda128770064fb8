-- Every call that writes begins here. Holding the meters, it is alone with the
-- counters, holds and grants of these features of this subject until its transaction ends.
--
-- Lock order: rows of plans and features (shared), subject, its meters by feature id, then nothing
-- that another call waits for while it holds a meter. A meter that does not exist is made under the
-- subject's row, which set_plan() and forget_subject() lock too; so the existence of all meters is
-- looked at before the first of them is locked.
--
-- At read committed the statements to come see what the last holder committed. At repeatable read and
-- serializable they would not; there the lock itself fails with 40001 (could not serialize), which
-- Postgres raises, not we: whoever writes a line, a hold or new terms updates the meter.

create function quota.lock_meters(
  p_subject_id text,
  p_feature_ids text[],
  p_is_table boolean default false
)
returns timestamptz
language plpgsql volatile security invoker set search_path = pg_catalog, pg_temp
as $$
declare
  v_locked integer;
  v_feature_id text;
  v_holds_expire_at timestamptz;
  v_now timestamptz;
begin
  loop
    -- All of one snapshot or none: holding some of them while making the others would wait for the
    -- subject's row in the wrong order. (Of those it finds, forget_subject() takes all or none.)
    select count(*), min(l.holds_expire_at)
      into v_locked, v_holds_expire_at
      from (
        select m.holds_expire_at
        from quota.meters as m
        where m.subject_id = p_subject_id
          and m.feature_id = any (p_feature_ids)
          and cardinality(p_feature_ids) = (
            select count(*)
            from quota.meters as n
            where n.subject_id = p_subject_id
              and n.feature_id = any (p_feature_ids)
          )
        order by m.feature_id
        for no key update
      ) as l;
    exit when v_locked = cardinality(p_feature_ids);
    if not quota.create_meters(p_subject_id, p_feature_ids, p_is_table) then
      return null;
    end if;
  end loop;
  v_now := quota.clock();
  if v_holds_expire_at <= v_now then
    for v_feature_id in
      select m.feature_id
      from quota.meters as m
      where m.subject_id = p_subject_id
        and m.feature_id = any (p_feature_ids)
        and m.holds_expire_at <= v_now
      order by m.feature_id
    loop
      perform quota.settle_expired(p_subject_id, v_feature_id, v_now);
    end loop;
  end if;
  return v_now;
end
$$;

comment on function quota.lock_meters is
  'As lock_meter, for distinct features of a subject (also none), in lock order.';

create function quota.lock_meter(
  p_subject_id text,
  p_feature_id text,
  p_is_table boolean default false
)
returns timestamptz
language plpgsql volatile security invoker set search_path = pg_catalog, pg_temp
as $$
declare
  v_holds_expire_at timestamptz;
  v_now timestamptz;
begin
  loop
    select m.holds_expire_at
      into v_holds_expire_at
      from quota.meters as m
      where m.subject_id = p_subject_id
        and m.feature_id = p_feature_id
      for no key update;
    exit when found;
    if not quota.create_meters(p_subject_id, array[p_feature_id], p_is_table) then
      return null;
    end if;
  end loop;
  -- The time is read under the lock: a call that waited over midnight counts into the new day, and a
  -- hold or grant that expired during the wait is over.
  v_now := quota.clock();
  if v_holds_expire_at <= v_now then
    perform quota.settle_expired(p_subject_id, p_feature_id, v_now);
  end if;
  return v_now;
end
$$;

comment on function quota.lock_meter is
  'Locks the meter of a subject and feature, settles what has expired, and returns the time of the decision; null: there is none, since the subject was merged into another (but where p_is_table). Errors: QFEAT unknown feature, before any lock.';

create function quota.create_meters(
  p_subject_id text,
  p_feature_ids text[],
  p_is_table boolean default false
)
returns boolean
language plpgsql volatile security invoker set search_path = pg_catalog, pg_temp
as $$
begin
  if not quota.hold_subject(p_subject_id, p_feature_ids, p_is_table) then
    return false;
  end if;
  insert into quota.meters (subject_id, feature_id)
    select p_subject_id, f.feature_id
    from unnest(p_feature_ids) as f (feature_id)
    order by f.feature_id collate "C"
    on conflict do nothing;
  return true;
end
$$;

comment on function quota.create_meters is
  'First use: makes the subject and its meters, if they do not exist. False: it was merged into another, see lock_call(). Errors: QFEAT.';

create function quota.hold_subject(
  p_subject_id text,
  p_feature_ids text[],
  p_is_table boolean
)
returns boolean
language plpgsql volatile security invoker set search_path = pg_catalog, pg_temp
as $$
begin
  if strpos(p_subject_id, chr(31)) > 0 then
    perform quota.check_separator(p_subject_id);
  end if;
  perform quota.hold_features(p_feature_ids);
  loop
    insert into quota.subjects (subject_id)
      values (p_subject_id)
      on conflict do nothing;
    exit when found;
    -- for share: set_plan() waits until this transaction has ended, and then sees the meter; many
    -- first uses of one subject do not wait for each other.
    perform from quota.subjects as s where s.subject_id = p_subject_id for share;
    -- Not found: forget_subject() was faster. A meter must not be made without the lock.
    exit when found;
  end loop;
  -- In a statement after the lock: was it merged? Rows of tables count for the name that they have.
  return p_is_table or not exists (select from quota.merges as n where n.subject_id = p_subject_id);
end
$$;

comment on function quota.hold_subject is
  'Makes the subject, or holds it and its terms, before its meters of these features are made. False: it was merged into another. Errors: QFEAT.';

create function quota.hold_features(p_feature_ids text[])
returns void
language plpgsql volatile security invoker set search_path = pg_catalog, pg_temp
as $$
declare
  v_known bigint;
begin
  -- for key share: apply_plans() does not remove a feature before its first uses have ended.
  perform from quota.features as f
    where f.feature_id = any (p_feature_ids)
      and f.kind in ('metered', 'gauge')
    order by f.feature_id
    for key share;
  get diagnostics v_known = row_count;
  if v_known < cardinality(p_feature_ids) then
    perform quota.check_feature(f.feature_id) from unnest(p_feature_ids) as f (feature_id);
  end if;
end
$$;

comment on function quota.hold_features is
  'Features that are about to be counted stay until the transaction ends. Errors: QFEAT unknown feature.';

-- Where many want one meter at once, each that waits at the row looks at it all over again whenever one of
-- those before it is done; in a queue before it only the first does. A place in it is kept until the
-- transaction ends. So nobody takes one in a transaction that has written already, which may hold what
-- others need, or in one that may go on after this call: it ends with a call that came with its begin (in
-- one message, so within microseconds) and with a request of PostgREST. Whoever is taken for another counts
-- as right, only slower.
create function quota.wait_in_line(
  p_subject_id text,
  p_feature_id text
)
returns boolean
language plpgsql volatile security invoker set search_path = pg_catalog, pg_temp
as $$
begin
  return pg_current_xact_id_if_assigned() is null
    and (statement_timestamp() - now() < interval '250 us' or current_setting('request.method', true) = 'POST') is true
    and pg_advisory_xact_lock(hashtextextended(p_subject_id || p_feature_id, 0)) is not null;
end
$$;

comment on function quota.wait_in_line is
  'Queues for a meter that many plain calls want, before its row is touched. Whether it took a place. Errors: 55P03.';
