-- What every call locks before it asks what applies.
create function quota.lock_call(
  p_subject_id text,
  p_feature_id text
)
returns timestamptz
language plpgsql volatile security invoker set search_path = pg_catalog, pg_temp
as $$
declare
  v_parts quota.part[] := quota.parts_of(p_subject_id, p_feature_id);
begin
  if v_parts is null then
    return quota.lock_meter(p_subject_id, p_feature_id);
  end if;
  return quota.lock_parts(v_parts);
end
$$;

comment on function quota.lock_call is
  'Locks the meters that a call takes from, settles what has expired, and returns the time of the decision. Errors: QFEAT.';

create function quota.lock_parts(p_parts quota.part[])
returns timestamptz
language plpgsql volatile security invoker set search_path = pg_catalog, pg_temp
as $$
declare
  v_subjects text[] := array(
    select p.subject_id
    from unnest(p_parts) with ordinality as p (subject_id, feature_id, units, per, is_price, n)
    group by p.subject_id
    order by min(p.n)
  );
  v_subject_id text;
  v_part quota.part;
  v_now timestamptz;
begin
  -- None is made while another is held: it would wait for the subject's row in the wrong order.
  foreach v_subject_id in array v_subjects loop
    exit when cardinality(v_subjects) = 1;
    perform quota.create_meters(v_subject_id, quota.features_at(p_parts, v_subject_id));
  end loop;
  foreach v_subject_id in array v_subjects loop
    v_now := quota.lock_meters(v_subject_id, quota.features_at(p_parts, v_subject_id));
  end loop;
  -- What has expired while others were waited for.
  if cardinality(v_subjects) > 1 then
    foreach v_part in array p_parts loop
      perform quota.settle_expired(v_part.subject_id, v_part.feature_id, v_now);
    end loop;
  end if;
  return v_now;
end
$$;

comment on function quota.lock_parts is
  'Locks the meters of parts, which come from the top down, and returns the time.';

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
  v_locked bigint;
begin
  perform from quota.meters as m
    join unnest(p_parts) as p on p.subject_id = m.subject_id and p.feature_id = m.feature_id
    for no key update of m nowait;
  get diagnostics v_locked = row_count;
  if v_locked < cardinality(p_parts) then
    raise exception 'what a use of this feature counts in has changed while the call waited'
      using errcode = '55P03', hint = 'call again';
  end if;
end
$$;

comment on function quota.lock_late is
  'Locks what lock_call() has not locked yet, without waiting. Errors: 55P03.';
