-- What concerns a whole subject (its plan, its exceptions, being forgotten) locks the
-- subject's row before any of its meters.
create function quota.lock_subject(
  p_subject_id text,
  p_is_forgotten boolean default false
)
returns quota.subjects
language plpgsql volatile strict security invoker set search_path = pg_catalog, pg_temp
as $$
declare
  v_subject quota.subjects;
begin
  loop
    insert into quota.subjects (subject_id)
      values (p_subject_id)
      on conflict do nothing
      returning subject_id, plan_id, plan_ends_at, anchor_at, time_zone, has_extras, terms_changed_at,
        parent_id, fold_from
      into v_subject;
    exit when found;
    select s.subject_id, s.plan_id, s.plan_ends_at, s.anchor_at, s.time_zone, s.has_extras,
        s.terms_changed_at, s.parent_id, s.fold_from
      into v_subject
      from quota.subjects as s
      where s.subject_id = p_subject_id
      for no key update;
    -- Not found: forget_subject() was faster.
    exit when found;
  end loop;
  -- In a statement after the lock. Who names an old name was led to its account before.
  if not p_is_forgotten and quota.account_of(p_subject_id) <> p_subject_id then
    raise exception 'the subject was merged into another meanwhile'
      using errcode = '55P03', hint = 'call again';
  end if;
  return v_subject;
end
$$;

comment on function quota.lock_subject is
  'Makes the subject if it was never seen, and locks its row. Errors: 55P03, it was just merged into another.';

-- For those who change or forget all meters of a subject whose row they hold: at read committed nobody
-- can have made one meanwhile that a new statement does not see. The snapshot of a whole transaction
-- may be older than a meter; asking for all features meets it, and Postgres raises 40001.
create function quota.meters_of(p_subject_id text)
returns text[]
language plpgsql volatile strict security invoker set search_path = pg_catalog, pg_temp
as $$
begin
  if current_setting('transaction_isolation') <> 'read committed' then
    perform quota.create_meters(
      p_subject_id,
      array(select f.feature_id from quota.features as f where f.kind in ('metered', 'gauge'))
    );
  end if;
  return array(
    select m.feature_id
    from quota.meters as m
    where m.subject_id = p_subject_id
    order by m.feature_id
  );
end
$$;

comment on function quota.meters_of is
  'The features of which a locked subject has meters, in lock order.';

-- What all changes of a subject's own terms begin with: exceptions and grants.
create function quota.lock_terms(
  p_subject_id text,
  p_feature_id text
)
returns timestamptz
language plpgsql volatile security invoker set search_path = pg_catalog, pg_temp
as $$
declare
  v_now timestamptz;
begin
  perform quota.check_feature(p_feature_id);
  perform quota.lock_subject(p_subject_id);
  v_now := quota.lock_meter(p_subject_id, p_feature_id);
  update quota.subjects as s
    set has_extras = true
    where s.subject_id = p_subject_id
      and not s.has_extras;
  perform quota.forget_limits(array[p_subject_id], p_feature_id);
  return v_now;
end
$$;

comment on function quota.lock_terms is
  'Locks subject and meter, makes the meter forget what it remembers of the limits, and returns the time. Errors: QFEAT.';

-- The caps of members follow the terms of the subject that they are in, and are touched under its meters alone.
create function quota.forget_limits(
  p_subject_ids text[],
  p_feature_id text default null
)
returns void
language plpgsql volatile security invoker set search_path = pg_catalog, pg_temp
as $$
declare
  v_caps text[] := array(
    select quota.cap_id(c.subject_id, c.member)
    from quota.caps as c
    where c.subject_id = any (p_subject_ids)
  );
begin
  update quota.meters as m
    set fresh_from = 'infinity'
    where m.subject_id = any (p_subject_ids || v_caps)
      and (p_feature_id is null or m.feature_id = p_feature_id);
end
$$;

comment on function quota.forget_limits is
  'Makes the meters of subjects, of one feature or of all (null), and those of their members'' caps, forget what they remember of the limits. Expects the subjects'' meters to be locked.';

-- Whose rows name it. All locked in byte order before anything goes: an organisation and its member
-- that are forgotten at once meet here, and not crosswise in each other's rows.
create function quota.lock_namers(p_subject_id text)
returns void
language plpgsql volatile security invoker set search_path = pg_catalog, pg_temp
as $$
declare
  v_subject_id text;
  v_organisations text[];
  v_below text[] := quota.below(array[p_subject_id]);
begin
  v_organisations := array(
    select m.subject_id
    from quota.members as m
    where m.user_id = p_subject_id
    union
    select e.subject_id
    from quota.events as e
    where e.actor = p_subject_id
  ) || v_below;
  -- One after the other: they may be on several nodes.
  foreach v_subject_id in array array(
    select n.subject_id collate "C"
    from unnest(v_organisations || p_subject_id) as n (subject_id)
    group by 1
    order by 1
  ) loop
    perform from quota.subjects as s where s.subject_id = v_subject_id for no key update;
  end loop;
end
$$;

comment on function quota.lock_namers is
  'Locks a subject and the organisations whose members or lines name it.';
