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

comment on column public.plan_change.kind is '`feature`, `plan` or `limit`.';

comment on column public.plan_change.id is
  'The id of the feature or plan; of a limit plan/feature/period.';

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
  'Makes features, plans and limits equal to the document, and returns a row (action, kind, id, detail) for each change; none when there is nothing to do. dry_run only says what would change. A limit of null is unlimited. Removing a plan that subjects are on, or a feature that has use, is an error. On an error nothing is changed. Errors: QPLAN with the place in the document, what was found and what was expected; 22023 dry_run is null; 42501 not a trusted role; 55P03 retry.';

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
  v_in_use text;
  v_now timestamptz := quota.clock();
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
    -- What is about to go may be in use by a call in flight: set_plan() and first uses share these
    -- rows, later uses hold the meter; wait for them before looking. Rows, not tables: two locked
    -- tables deadlocked with readers that came to them in the other order.
    perform from quota.plans as p
      where exists (
        select from unnest(v_changes) as c
        where c.kind = 'plan' and c.action = 'remove' and c.id = p.plan_id
      )
      order by p.plan_id
      for update;
    perform from quota.features as f
      where exists (
        select from unnest(v_changes) as c
        where c.kind = 'feature' and c.action in ('remove', 'change') and c.id = f.feature_id
      )
      order by f.feature_id
      for update;
    if exists (select from unnest(v_changes) as c where c.kind = 'feature' and c.action = 'remove') then
      delete from quota.meters as m
        where not p_plans -> 'features' ? m.feature_id
          and m.counted_until = '-infinity';
    end if;
  end if;

  select string_agg(c.kind || ' ' || c.id, ', ')
    into v_in_use
    from unnest(v_changes) as c
    where (
        c.kind = 'plan'
        and c.action = 'remove'
        and exists (select from quota.subjects as s where s.plan_id = c.id)
      )
      or (
        c.kind = 'feature'
        and (
          c.action = 'remove'
          or (
            c.action = 'change'
            and (select f.kind from quota.features as f where f.feature_id = c.id)
              <> coalesce(p_plans -> 'features' -> c.id ->> 'kind', 'metered')
          )
        )
        and (
          exists (
            select from quota.meters as n
            where n.feature_id = c.id
              and n.counted_until > '-infinity'
          )
          or exists (select from quota.exceptions as x where x.feature_id = c.id)
          or exists (select from quota.grants as g where g.feature_id = c.id)
          or exists (select from quota.limited_tables as t where t.feature_id = c.id)
        )
      );
  if v_in_use is not null then
    raise exception 'in use, and cannot be removed or change its kind: %', v_in_use
      using errcode = 'QPLAN',
        hint = 'put the subjects on another plan first; leave a feature in features and out of every plan''s limits; a table is freed by unlimit_table()';
  end if;

  -- Who has open grants shows limit and grants as one number.
  select string_agg(distinct t.path, ', ')
    into v_in_use
    from (
      select concat_ws('/', p.key, g.feature_id, l.key) as path,
        (l.value #>> '{}')::numeric + g.amount as most
      from (
        select o.subject_id, o.feature_id, sum(o.amount) as amount
        from quota.grants as o
        where o.expires_at > v_now
          and o.voided_at is null
        group by o.subject_id, o.feature_id
      ) as g
      join quota.subjects as s on s.subject_id = g.subject_id
      cross join lateral jsonb_each(p_plans -> 'plans') as p
      cross join lateral jsonb_each(p.value -> 'limits' -> g.feature_id) as l
      where l.value <> 'null'
        and l.key not in ('minute', 'hour')
        and p.key = coalesce(
          case when s.plan_ends_at <= v_now then null else s.plan_id end,
          (
            select d.key
            from jsonb_each(p_plans -> 'plans') as d
            where (d.value ->> 'default')::boolean
          )
        )
        and not exists (
          select from quota.exceptions as x
          where x.subject_id = g.subject_id
            and x.feature_id = g.feature_id
            and x.period = l.key
        )
    ) as t
    where t.most > 9007199254740991;
  if v_in_use is not null then
    raise exception 'apply_plans: with the open grants of a subject these limits pass 9007199254740991 (2^53 - 1): %',
      v_in_use
      using errcode = 'QPLAN', hint = 'null is unlimited';
  end if;

  if p_dry_run is false and cardinality(v_changes) > 0 then
    -- What meters remember is of the last edition. A copy of the schema alone has none.
    insert into quota.catalogue (version)
      select coalesce(max(m.catalogue_version), 0) from quota.meters as m
      having not exists (select from quota.catalogue)
      on conflict do nothing;
    update quota.catalogue as k set version = k.version + 1;
    delete from quota.plan_limits as l
      where p_plans #> array['plans', l.plan_id, 'limits', l.feature_id, l.period] is null;
    delete from quota.plans as p
      where not p_plans -> 'plans' ? p.plan_id;
    delete from quota.features as f
      where not p_plans -> 'features' ? f.feature_id;

    insert into quota.features (feature_id, name, unit, kind, server_only)
      select
        f.key,
        coalesce(f.value ->> 'name', f.key),
        coalesce(f.value ->> 'unit', 'unit'),
        coalesce(f.value ->> 'kind', 'metered'),
        coalesce((f.value ->> 'server_only')::boolean, false)
      from jsonb_each(p_plans -> 'features') as f
      on conflict (feature_id) do update
        set name = excluded.name,
            unit = excluded.unit,
            kind = excluded.kind,
            server_only = excluded.server_only;

    -- The former default first: the index allows one at a time.
    update quota.plans as p
      set is_default = false
      where p.is_default
        and not coalesce((p_plans -> 'plans' -> p.plan_id ->> 'default')::boolean, false);
    insert into quota.plans (plan_id, name, is_default, upgrade_url)
      select
        p.key,
        coalesce(p.value ->> 'name', p.key),
        coalesce((p.value ->> 'default')::boolean, false),
        p.value ->> 'upgrade_url'
      from jsonb_each(p_plans -> 'plans') as p
      on conflict (plan_id) do update
        set name = excluded.name,
            is_default = excluded.is_default,
            upgrade_url = excluded.upgrade_url;

    insert into quota.plan_limits (plan_id, feature_id, period, amount)
      select p.key, l.key, a.key, (a.value #>> '{}')::numeric
      from jsonb_each(p_plans -> 'plans') as p
      cross join lateral jsonb_each(p.value -> 'limits') as l
      cross join lateral jsonb_each(l.value) as a
      on conflict (plan_id, feature_id, period) do update
        set amount = excluded.amount;
  end if;

  return query select c.action, c.kind, c.id, c.detail from unnest(v_changes) as c;
end
$$;

comment on function quota.apply_plans is 'See public.apply_plans.';

-- What stands in the catalogue against what stands in the document.
create function quota.plan_changes(p_plans jsonb)
returns setof public.plan_change
language plpgsql stable security invoker set search_path = pg_catalog, pg_temp
as $$
begin
  return query
    with document as (
      select 1 as rank, 'feature' as kind, array[f.key] as path,
        jsonb_build_object(
          'name', coalesce(f.value ->> 'name', f.key),
          'unit', coalesce(f.value ->> 'unit', 'unit'),
          'kind', coalesce(f.value ->> 'kind', 'metered'),
          'server_only', coalesce((f.value ->> 'server_only')::boolean, false)
        ) as content
      from jsonb_each(p_plans -> 'features') as f
      union all
      select 2, 'plan', array[p.key],
        jsonb_build_object(
          'name', coalesce(p.value ->> 'name', p.key),
          'default', coalesce((p.value ->> 'default')::boolean, false),
          'upgrade_url', p.value ->> 'upgrade_url'
        )
      from jsonb_each(p_plans -> 'plans') as p
      union all
      select 3, 'limit', array[p.key, l.key, a.key], jsonb_build_object('amount', a.value)
      from jsonb_each(p_plans -> 'plans') as p
      cross join lateral jsonb_each(p.value -> 'limits') as l
      cross join lateral jsonb_each(l.value) as a
    ),
    catalogue as (
      select 1 as rank, 'feature' as kind, array[f.feature_id] as path,
        jsonb_build_object(
          'name', f.name, 'unit', f.unit, 'kind', f.kind, 'server_only', f.server_only
        ) as content
      from quota.features as f
      union all
      select 2, 'plan', array[p.plan_id],
        jsonb_build_object('name', p.name, 'default', p.is_default, 'upgrade_url', p.upgrade_url)
      from quota.plans as p
      union all
      select 3, 'limit', array[l.plan_id, l.feature_id, l.period],
        jsonb_build_object('amount', l.amount)
      from quota.plan_limits as l
    )
    select
      case when c.path is null then 'add' when d.path is null then 'remove' else 'change' end,
      kind,
      array_to_string(path, '/'),
      (
        select string_agg(
          f.key || ': ' || concat_ws(
            ' → ',
            case c.content -> f.key when 'null' then f.none else (c.content -> f.key)::text end,
            case d.content -> f.key when 'null' then f.none else (d.content -> f.key)::text end
          ),
          ', ' order by f.key
        )
        from (
          select key, case key when 'amount' then 'unlimited' else 'none' end as none
          from jsonb_object_keys(coalesce(d.content, c.content)) as key
        ) as f
        where c.content -> f.key is distinct from d.content -> f.key
      ) || case when kind = 'limit' then quota.over_limit_note(path, d.content -> 'amount') else '' end
    from document as d
    full join catalogue as c using (rank, kind, path)
    where c.content is distinct from d.content
    order by rank, path;
end
$$;

comment on function quota.plan_changes is
  'What would have to change for the catalogue to equal the document.';

-- Whom a limit will meet: the subjects on its plan that have used more already.
create function quota.over_limit_note(
  p_path text[],
  p_amount jsonb
)
returns text
language plpgsql stable security invoker set search_path = pg_catalog, pg_temp
as $$
declare
  v_now timestamptz := quota.clock();
  v_subjects bigint;
begin
  if p_amount is null or p_amount = 'null' then
    return '';
  end if;
  select count(*)
    into v_subjects
    from quota.counters as c
    join quota.meters as m on m.subject_id = c.subject_id and m.feature_id = c.feature_id
    join quota.subjects as s on s.subject_id = c.subject_id
    where c.feature_id = p_path[2]
      and c.period = p_path[3]
      and c.period_end > v_now
      and c.period_start <= v_now
      and coalesce(
        c.used + c.reserved - c.drawn,
        m.used - c.used_before + m.reserved - c.reserved_before - m.drawn + c.drawn_before
      ) > (p_amount #>> '{}')::numeric
      and not exists (
        select from quota.exceptions as x
        where x.subject_id = c.subject_id
          and x.feature_id = c.feature_id
          and x.period = c.period
      )
      and coalesce(
        case when s.plan_ends_at <= v_now then null else s.plan_id end,
        (select p.plan_id from quota.plans as p where p.is_default)
      ) = p_path[1];
  return case when v_subjects > 0 then ' (subjects over it: ' || v_subjects || ')' else '' end;
end
$$;

comment on function quota.over_limit_note is
  'How many subjects on the plan have used more than the new limit of plan, feature, period.';
