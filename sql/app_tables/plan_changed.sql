-- What a row of a followed table says, becomes so: the trigger, and what follow_plan() does with the rows
-- that are there.

create function quota.plan_changed()
returns trigger
language plpgsql volatile security definer
-- Each row is a call of its own: planned anew it took ten times as long.
set search_path = pg_catalog, pg_temp set lock_timeout = '2s' set plan_cache_mode = force_generic_plan
as $$
declare
  -- Of the row as it is now: to_jsonb() of it would call what the table's owner made of other columns.
  v_types regtype[];
  v_former_id text;
  v_subject_id text;
  v_plan_id text;
begin
  -- Else it would read as null, and everybody would fall to the default plan.
  perform quota.check_columns(tg_relid, array[tg_argv[0], tg_argv[1]]::name[]);
  execute format('select array[pg_typeof(($1).%I), pg_typeof(($1).%I)]::regtype[]', tg_argv[0], tg_argv[1])
    into v_types
    using coalesce(new, old);
  perform quota.check_ids(tg_relid, array[tg_argv[0], tg_argv[1]], v_types);
  if tg_op <> 'INSERT' then
    execute format('select ($1).%I::text', tg_argv[0]) into v_former_id using old;
  end if;
  if tg_op <> 'DELETE' then
    execute format('select ($1).%I::text, ($1).%I::text', tg_argv[0], tg_argv[1])
      into v_subject_id, v_plan_id
      using new;
  end if;
  -- In lock order, though the new subject is put on its plan first.
  perform from quota.subjects as s
    where s.subject_id = v_former_id
      and s.subject_id < v_subject_id
    for no key update;
  if v_subject_id is not null then
    perform quota.follow_rows(array[v_subject_id], array[v_plan_id]);
  end if;
  if v_former_id is not null and v_former_id is distinct from v_subject_id then
    perform quota.follow_rows(array[v_former_id], array[null]::text[]);
  end if;
  return null;
end
$$;

comment on function quota.plan_changed is
  'Trigger of follow_plan(). Arguments: subject column, plan column, and a third where users may write it.';

-- One row of a trigger, or all of a table. Each subject is locked with its meters before the next, as
-- everybody locks them; what is written then is written in one go.
create function quota.follow_rows(
  p_subject_ids text[],
  p_plan_ids text[]
)
returns void
language plpgsql volatile security invoker set search_path = pg_catalog, pg_temp
as $$
declare
  v_subject_ids text[];
  v_subject_id text;
  v_counted text[];
  v_now timestamptz;
begin
  select min(u.id)
    into v_subject_id
    from unnest(p_subject_ids) as u (id)
    where length(u.id) not between 1 and 255;
  if v_subject_id is not null then
    raise exception 'the subject has % characters, 1 to 255 are allowed', length(v_subject_id)
      using errcode = 'QSUBJ', hint = 'null is a row that names nobody''s plan';
  end if;
  perform quota.hold_plans(array(select distinct u.id from unnest(p_plan_ids) as u (id)));
  -- Who was never seen, or was forgotten, has the default plan already.
  v_subject_ids := array(
    select r.subject_id
    from unnest(p_subject_ids, p_plan_ids) as r (subject_id, plan_id)
    where (r.plan_id is not null or exists (
        select from quota.subjects as s where s.subject_id = r.subject_id
      ))
      and not exists (select from quota.merges as g where g.subject_id = r.subject_id)
    order by r.subject_id collate "C"
  );
  if v_subject_ids = '{}' then
    return;
  end if;
  v_counted := quota.lock_terms_of(v_subject_ids);

  v_now := quota.clock();
  perform quota.write_terms(
    array(
      select row(
        s.subject_id,
        case when p.is_retired then quota.kept_plan(s, r.plan_id, null) else r.plan_id end,
        null, s.anchor_at, s.time_zone, s.has_extras, s.terms_changed_at, s.parent_id, s.fold_from
      )::quota.subjects
      from unnest(p_subject_ids, p_plan_ids) as r (subject_id, plan_id)
      join quota.subjects as s on s.subject_id = r.subject_id
      left join quota.plans as p on p.plan_id = r.plan_id
      where s.subject_id = any (v_subject_ids)
      order by s.subject_id
    ),
    v_now
  );
  if v_counted <> '{}' then
    perform quota.begin_followed_periods(v_counted, v_now);
  end if;
end
$$;

comment on function quota.follow_rows is
  'Puts the subjects that rows name on their plans; a null plan is the default plan. Errors: QSUBJ, QPLAN.';

-- The new plan's periods begin here and now, with the use that falls into them. Anchors stay, so
-- what begins elsewhere than they say was left behind by a clock that was set back, or is a window
-- that was used: one by one.
create function quota.begin_followed_periods(
  p_subject_ids text[],
  p_at timestamptz
)
returns void
language plpgsql volatile security invoker set search_path = pg_catalog, pg_temp
as $$
declare
  v_subject_id text;
begin
  for v_subject_id in
    select distinct c.subject_id
    from quota.counters as c
    join quota.subjects as s on s.subject_id = c.subject_id
    cross join lateral quota.period_of(c.period, p_at, s.anchor_at, s.time_zone) as p
    where c.subject_id = any (p_subject_ids)
      and c.period_end > p_at
      and c.period_start <= p_at
      and (c.period_start, c.period_end) <> (p.period_start, p.resets_at)
    order by c.subject_id
  loop
    perform quota.begin_periods(v_subject_id, quota.meters_of(v_subject_id), p_at);
  end loop;
  perform quota.open_many(
    array(
      select row(
        m.subject_id, null, p_at, null, m.feature_id, p_at, 0, 0, 0, null, null, null, null, null
      )::quota.events
      from quota.meters as m
      where m.subject_id = any (p_subject_ids)
    ),
    p_at
  );
end
$$;

comment on function quota.begin_followed_periods is
  'begin_periods() of subjects whose plans a table named. Expects their meters to be locked.';

create function quota.lock_terms_of(p_subject_ids text[])
returns text[]
language plpgsql volatile security invoker
-- Planning what lock_meters() asks, anew for each subject, took ten times as long as asking it.
set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan
as $$
declare
  v_subject_id text;
  v_features text[];
  v_counted text[] := '{}'::text[];
begin
  foreach v_subject_id in array p_subject_ids loop
    perform quota.lock_subject(v_subject_id);
    v_features := quota.meters_of(v_subject_id);
    if v_features <> '{}' then
      perform quota.lock_meters(v_subject_id, v_features);
      v_counted := v_counted || v_subject_id;
    end if;
  end loop;
  return v_counted;
end
$$;

comment on function quota.lock_terms_of is
  'Locks subjects, which come in byte order, each with its meters; and says which have any.';
