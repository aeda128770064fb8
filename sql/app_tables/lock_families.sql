-- A statement on a limited table may concern subjects below several others. One after the other, each with those
-- above it, they would be locked in no order; so all are, before the first is counted.
create function quota.lock_families(
  p_changes quota.row_change[],
  p_feature_ids text[]
)
returns void
language plpgsql volatile security invoker set search_path = pg_catalog, pg_temp
as $$
declare
  v_ids text[] := array(
    select c.subject_id
    from unnest(p_changes) as c
    left join quota.meters as m on m.subject_id = c.subject_id and m.feature_id = c.feature_id
    -- One that was forgotten, whose rows go, is not made anew.
    where (c.change > 0 or m.subject_id is not null)
      and length(c.subject_id) between 1 and 255
    group by c.subject_id
  );
  v_parents text[] := quota.parents_of(v_ids);
  v_id text;
begin
  -- Most have nobody above them, and are locked one by one, in byte order as well.
  if v_parents = '{}' then
    return;
  end if;
  v_ids := v_ids || v_parents || quota.parents_of(v_parents);
  perform quota.make_meters(
    array(
      select row(i, f, 1, 1, false)::quota.part
      from unnest(v_ids) as i
      cross join unnest(p_feature_ids) as f
      group by i, f
    ),
    true
  );
  for v_id in select i from unnest(v_ids) as i group by i order by i collate "C" loop
    perform quota.lock_meters(v_id, p_feature_ids, true);
  end loop;
end
$$;

comment on function quota.lock_families is
  'Locks the meters of all subjects of a statement, and of those above them, in byte order, where some have others above them.';

create function quota.parents_of(p_subject_ids text[])
returns text[]
language plpgsql stable security invoker set search_path = pg_catalog, pg_temp
as $$
begin
  return array(
    select s.parent_id
    from quota.subjects as s
    where s.subject_id = any (p_subject_ids)
      and s.parent_id is not null
    group by s.parent_id
  );
end
$$;

comment on function quota.parents_of is 'The subjects that one of these has directly above it.';
