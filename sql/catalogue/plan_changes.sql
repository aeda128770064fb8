-- What stands in the catalogue against what stands in the document.
create function quota.plan_changes(p_plans jsonb)
returns setof public.plan_change
language plpgsql stable security invoker set search_path = pg_catalog, pg_temp
as $$
begin
  return query
    with catalogue as (
      select 1 as rank, 'feature' as kind, array[f.feature_id] as path,
        jsonb_build_object(
          'name', f.name, 'unit', f.unit, 'kind', f.kind, 'server_only', f.server_only
        ) || quota.hidden_content(f.hidden) || quota.alerts_content(f.alerts)
          || quota.costs_content(quota.costs_of(f.feature_id)) as content
      from quota.features as f
      union all
      select 2, 'plan', array[p.plan_id],
        jsonb_build_object('name', p.name, 'default', p.is_default, 'upgrade_url', p.upgrade_url)
          || quota.hidden_content(p.hidden)
          || quota.age_content(p.is_retired, p.successor_id, p.moves, p.moves_from)
      from quota.plans as p
      union all
      select 3, 'limit', array[l.plan_id, l.feature_id, l.period],
        quota.limit_content(row(l.amount, l.rollover, l.mode, l.ceiling, l.grace)::quota.limit_terms)
      from quota.plan_limits as l
      union all
      select 4, 'value', array[v.plan_id, v.feature_id], jsonb_build_object('value', v.value)
      from quota.plan_values as v
      union all
      select 5, 'cap', array[c.plan_id, c.feature_id, c.period], jsonb_build_object('amount', c.amount)
      from quota.member_limits as c
    )
    select
      case when c.path is null then 'add' when d.path is null then 'remove' else 'change' end,
      kind,
      array_to_string(path, '/'),
      quota.change_detail(c.content, d.content) || case
        when kind = 'limit' then quota.over_limit_note(path, d.content -> 'amount')
        when kind = 'plan' and d.content ->> 'successor' is not null
          and (c.content -> 'moves', c.content -> 'successor')
            is distinct from (d.content -> 'moves', d.content -> 'successor')
        then quota.moves_note(p_plans, path[1])
        else ''
      end
    from quota.planned_rows(p_plans) as d
    full join catalogue as c using (rank, kind, path)
    where c.content is distinct from d.content
    order by rank, path;
end
$$;

comment on function quota.plan_changes is
  'What would have to change for the catalogue to equal the document.';

create function quota.planned_rows(p_plans jsonb)
returns table (rank integer, kind text, path text[], content jsonb)
language plpgsql stable security invoker set search_path = pg_catalog, pg_temp
as $$
begin
  return query
    select 1, 'feature', array[f.key],
      jsonb_build_object(
        'name', coalesce(f.value ->> 'name', f.key),
        'unit', coalesce(f.value ->> 'unit', 'unit'),
        'kind', coalesce(f.value ->> 'kind', 'metered'),
        'server_only', coalesce((f.value ->> 'server_only')::boolean, false)
      ) || quota.hidden_content((f.value ->> 'hidden')::boolean)
        || quota.alerts_content(quota.alerts_of(f.value))
        || quota.costs_content(f.value -> 'costs')
    from jsonb_each(p_plans -> 'features') as f
    union all
    select 2, 'plan', array[p.key],
      jsonb_build_object(
        'name', coalesce(p.value ->> 'name', p.key),
        'default', coalesce((p.value ->> 'default')::boolean, false),
        'upgrade_url', p.value ->> 'upgrade_url'
      ) || quota.hidden_content((p.value ->> 'hidden')::boolean)
        || quota.age_content(a.is_retired, a.successor_id, a.moves, a.moves_from)
    from jsonb_each(p_plans -> 'plans') as p
    join quota.plan_ages(p_plans, quota.clock()) as a on a.plan_id = p.key
    union all
    select 3, 'limit', array[p.key, l.key, a.key], quota.limit_content(quota.limit_terms(a.value))
    from jsonb_each(p_plans -> 'plans') as p
    cross join lateral jsonb_each(p.value -> 'limits') as l
    cross join lateral jsonb_each(l.value) as a
    union all
    select 4, 'value', array[p.key, v.key], jsonb_build_object('value', v.value)
    from jsonb_each(p_plans -> 'plans') as p
    cross join lateral jsonb_each(p.value -> 'values') as v
    union all
    select 5, 'cap', array[p.key, c.key, a.key], jsonb_build_object('amount', a.value)
    from jsonb_each(p_plans -> 'plans') as p
    cross join lateral jsonb_each(p.value -> 'per_member') as c
    cross join lateral jsonb_each(c.value) as a;
end
$$;

comment on function quota.planned_rows is 'What stands in the document, each thing with its place.';

-- What is not hidden need not say so.
create function quota.hidden_content(p_hidden boolean)
returns jsonb
language plpgsql immutable security invoker set search_path = pg_catalog, pg_temp
as $$
begin
  return case when p_hidden then '{"hidden": true}'::jsonb else '{}'::jsonb end;
end
$$;

comment on function quota.hidden_content is 'hidden, as it stands in what is compared.';

-- "amount: 50 → 100", of what differs.
create function quota.change_detail(
  p_former jsonb,
  p_content jsonb
)
returns text
language plpgsql immutable security invoker set search_path = pg_catalog, pg_temp
as $$
begin
  return (
    select string_agg(
      f.key || ': ' || concat_ws(
        ' → ',
        case
          when p_former is null then null
          when coalesce(p_former -> f.key, 'null') = 'null' then f.none
          else (p_former -> f.key)::text
        end,
        case
          when p_content is null then null
          when coalesce(p_content -> f.key, 'null') = 'null' then f.none
          else (p_content -> f.key)::text
        end
      ),
      ', ' order by f.key
    )
    from (
      select key,
        case key when 'amount' then 'unlimited' when 'alerts' then '[80, 100]'
          when 'hidden' then 'false' when 'mode' then 'hard' else 'none' end as none
      from jsonb_object_keys(coalesce(p_former, '{}') || coalesce(p_content, '{}')) as key
    ) as f
    where p_former is null
      or p_content is null
      or coalesce(p_former -> f.key, 'null') <> coalesce(p_content -> f.key, 'null')
  );
end
$$;

comment on function quota.change_detail is
  'What differs between two contents, in words; null is one that is not there.';

-- Whom a limit will meet: the subjects on its plan, and which of them have used more already.
create function quota.over_limit_note(
  p_path text[],
  p_amount jsonb
)
returns text
language plpgsql stable security invoker set search_path = pg_catalog, pg_temp
as $$
declare
  v_now timestamptz := quota.clock();
  v_default_id text := (select p.plan_id from quota.plans as p where p.is_default);
  v_subjects bigint;
  v_over bigint;
begin
  with held as materialized (
    select s.subject_id
    from quota.subjects as s
    left join quota.plans as p
      on p.plan_id = case when s.plan_ends_at <= v_now then null else s.plan_id end
    where coalesce(
      case
        when p.moves_from is null then p.plan_id
        else (quota.plan_at(p.plan_id, v_now, s.anchor_at, s.time_zone)).plan_id
      end,
      v_default_id
    ) = p_path[1]
  )
  select
      (select count(*) from held),
      (
        select count(*)
        from held as h
        join quota.counters as c on c.subject_id = h.subject_id
        join quota.meters as m on m.subject_id = c.subject_id and m.feature_id = c.feature_id
        where p_amount <> 'null'
          and c.feature_id = p_path[2]
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
              and x.ends_at > v_now
          )
      )
    into v_subjects, v_over;
  return case
    when v_subjects = 0 then ''
    when p_amount is null or p_amount = 'null' then format(' (subjects: %s)', v_subjects)
    else format(' (subjects: %s, over it: %s)', v_subjects, v_over)
  end;
end
$$;

comment on function quota.over_limit_note is
  'How many subjects are on the plan, and how many of them have used more than the new limit of plan, feature, period.';
