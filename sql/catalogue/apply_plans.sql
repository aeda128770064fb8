-- Makes the catalogue equal to one document, so that plans can live in a repository
-- and be applied by every deployment. Judged as a whole before anything is written.

-- One line of what apply_plans changes, or would change.
create type public.plan_change as (
  action text,
  kind text,
  id text,
  detail text
);

comment on type public.plan_change is
  'One change that apply_plans makes, or would make.';

comment on column public.plan_change.action is '`add`, `change` or `remove`.';

comment on column public.plan_change.kind is '`feature`, `plan`, `limit`, `value` or `cap`.';

comment on column public.plan_change.id is
  'The id of the feature or plan; of a limit or a member''s cap plan/feature/period, of a value plan/feature.';

comment on column public.plan_change.detail is 'What changes, in words: "amount: 50 → 100".';

-- Plans live in your repository as one document; each deployment applies it.
create function public.apply_plans(
  plans jsonb,
  dry_run boolean default false
)
returns setof public.plan_change
language plpgsql volatile security invoker set search_path = pg_catalog, pg_temp
as $$
#variable_conflict error
begin
  return query
    select r.action, r.kind, r.id, r.detail from quota.apply_plans(plans, dry_run) as r;
end
$$;

comment on function public.apply_plans is
  'Makes features, plans, limits, values and members'' caps equal to the document, and returns a row (action, kind, id, detail) for each change; none when there is nothing to do. dry_run only says what would change. A limit of null is unlimited. A period is minute, hour, day, week, month, year, lifetime, or a window from the first use: 1 minute to 9999 months, as in "5 hours", "1 day". Removing a plan that subjects are on, or a feature that has use, is an error. On an error nothing is changed. Errors: QPLAN with the place in the document, what was found and what was expected; 22023 dry_run is null; 42501 not a trusted role; 55P03 retry.';

create function quota.apply_plans(
  p_plans jsonb,
  p_dry_run boolean
)
returns setof public.plan_change
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp set lock_timeout = '2s' set jit = off
as $$
declare
  v_changes public.plan_change[];
begin
  perform quota.require_trusted();
  perform quota.check_plans(p_plans);
  perform quota.check_flag('apply_plans', 'dry_run', p_dry_run);

  if p_dry_run is false then
    -- One deployment at a time; callers go on reading.
    lock table quota.plans in share row exclusive mode;
  end if;
  v_changes := array(select c from quota.plan_changes(p_plans) as c);
  if p_dry_run is false then
    perform quota.hold_removed(v_changes, p_plans);
  end if;
  perform quota.check_in_use(v_changes, p_plans);
  -- A document that changes nothing, as at most deployments, asks nothing of anybody's rows.
  if v_changes <> '{}' then
    perform quota.check_granted(p_plans, quota.clock());
    if p_dry_run is false then
      perform quota.write_catalogue(p_plans);
    end if;
  end if;
  return query select c.action, c.kind, c.id, c.detail from unnest(v_changes) as c;
end
$$;

comment on function quota.apply_plans is 'See public.apply_plans.';

-- What is about to go may be in use by a call in flight: set_plan() and first uses share these rows,
-- later uses hold the meter; wait for them before looking. Rows, not tables: two locked tables
-- deadlocked with readers that came to them in the other order.
create function quota.hold_removed(
  p_changes public.plan_change[],
  p_plans jsonb
)
returns void
language plpgsql volatile security invoker set search_path = pg_catalog, pg_temp
as $$
begin
  perform from quota.plans as p
    where exists (
      select from unnest(p_changes) as c
      where c.kind = 'plan' and c.action = 'remove' and c.id = p.plan_id
    )
    order by p.plan_id
    for update;
  perform from quota.features as f
    where exists (
      select from unnest(p_changes) as c
      where c.kind = 'feature' and c.action in ('remove', 'change') and c.id = f.feature_id
    )
    order by f.feature_id
    for update;
  if exists (select from unnest(p_changes) as c where c.kind = 'feature' and c.action <> 'add') then
    delete from quota.meters as m
      where m.counted_until = '-infinity'
        and (
          not p_plans -> 'features' ? m.feature_id
          or p_plans -> 'features' -> m.feature_id ->> 'kind' in ('switch', 'value')
        );
  end if;
end
$$;

comment on function quota.hold_removed is
  'Locks plans that go, and features that go or change; with a feature, and with its being counted, go its meters that never counted.';

create function quota.check_in_use(
  p_changes public.plan_change[],
  p_plans jsonb
)
returns void
language plpgsql stable security invoker set search_path = pg_catalog, pg_temp
as $$
declare
  v_now timestamptz := quota.clock();
  v_change record;
  v_is_used boolean;
  v_in_use text;
begin
  for v_change in
    select c.kind, c.id
    from unnest(p_changes) as c
    left join quota.features as f on f.feature_id = c.id
    where c.kind = 'plan' and c.action = 'remove'
      or c.kind = 'feature' and (
        c.action = 'remove'
        or c.action = 'change' and f.kind <> coalesce(p_plans -> 'features' -> c.id ->> 'kind', 'metered')
      )
  loop
    -- A statement for each table: rows of several may be on as many nodes.
    if v_change.kind = 'plan' then
      perform from quota.subjects as s where s.plan_id = v_change.id limit 1;
      v_is_used := found;
    else
      perform from quota.meters as n
        where n.feature_id = v_change.id
          and n.counted_until > '-infinity'
        limit 1;
      v_is_used := found;
      perform from quota.exceptions as x where x.feature_id = v_change.id limit 1;
      v_is_used := v_is_used or found;
      perform from quota.grants as g where g.feature_id = v_change.id limit 1;
      v_is_used := v_is_used or found;
      perform from quota.limited_tables as t where t.feature_id = v_change.id limit 1;
      v_is_used := v_is_used or found;
      perform from quota.overrides as o where o.feature_id = v_change.id and o.ends_at > v_now limit 1;
      v_is_used := v_is_used or found;
    end if;
    if v_is_used then
      v_in_use := concat_ws(', ', v_in_use, v_change.kind || ' ' || v_change.id);
    end if;
  end loop;
  if v_in_use is not null then
    raise exception 'in use, and cannot be removed or change its kind: %', v_in_use
      using errcode = 'QPLAN',
        hint = 'put the subjects on another plan first; leave a feature in features and out of every plan''s limits; a table is freed by unlimit_table(), an override taken off by set_value(…, null)';
  end if;
end
$$;

comment on function quota.check_in_use is
  'A plan that subjects are on stays, and so does a feature that has use. Errors: QPLAN.';

-- Who has open grants shows limit and grants as one number.
create function quota.check_granted(
  p_plans jsonb,
  p_at timestamptz
)
returns void
language plpgsql stable security invoker set search_path = pg_catalog, pg_temp
as $$
declare
  v_most numeric := (
    select max(t.amount::numeric + coalesce(t.rollover, 0))
    from jsonb_each(p_plans -> 'plans') as p
    cross join lateral jsonb_each(p.value -> 'limits') as f
    cross join lateral jsonb_each(f.value) as l
    cross join lateral quota.limit_terms(l.value) as t
    where l.key !~ 'minute|hour'
  );
  v_granted record;
  v_too_large text;
begin
  -- Whose grants could pass it with the largest limit of all; mostly nobody's.
  for v_granted in
    select o.subject_id, o.feature_id, sum(o.amount) as amount
    from quota.grants as o
    where o.expires_at > p_at
      and o.voided_at is null
    group by o.subject_id, o.feature_id
    having sum(o.amount) > 9007199254740991 - v_most
  loop
    select string_agg(concat_ws('/', p.key, v_granted.feature_id, l.key), ', ')
      into v_too_large
      from quota.subjects as s
      cross join lateral jsonb_each(p_plans -> 'plans') as p
      cross join lateral jsonb_each(p.value -> 'limits' -> v_granted.feature_id) as l
      cross join lateral quota.limit_terms(l.value) as t
      where s.subject_id = v_granted.subject_id
        and l.key !~ 'minute|hour'
        and t.amount::numeric + coalesce(t.rollover, 0) + v_granted.amount > 9007199254740991
        and p.key = coalesce(
          case when s.plan_ends_at <= p_at then null else s.plan_id end,
          (
            select d.key
            from jsonb_each(p_plans -> 'plans') as d
            where (d.value ->> 'default')::boolean
          )
        )
        and not exists (
          select from quota.exceptions as x
          where x.subject_id = v_granted.subject_id
            and x.feature_id = v_granted.feature_id
            and x.period = l.key
            and x.ends_at > p_at
        );
    exit when v_too_large is not null;
  end loop;
  if v_too_large is not null then
    raise exception 'apply_plans: with the open grants of a subject these limits pass 9007199254740991 (2^53 - 1): %',
      v_too_large
      using errcode = 'QPLAN', hint = 'null is unlimited';
  end if;
end
$$;

comment on function quota.check_granted is
  'No limit of the document passes 2^53 - 1 together with the open grants of a subject. Errors: QPLAN.';
