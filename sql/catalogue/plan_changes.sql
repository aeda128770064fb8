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
          'name', f.name, 'unit', f.unit, 'kind', f.kind, 'server_only', f.server_only,
          'hidden', f.hidden
        ) as content
      from quota.features as f
      union all
      select 2, 'plan', array[p.plan_id],
        jsonb_build_object(
          'name', p.name, 'default', p.is_default, 'upgrade_url', p.upgrade_url, 'hidden', p.hidden
        )
      from quota.plans as p
      union all
      select 3, 'limit', array[l.plan_id, l.feature_id, l.period],
        jsonb_build_object('amount', l.amount)
      from quota.plan_limits as l
      union all
      select 4, 'value', array[v.plan_id, v.feature_id], jsonb_build_object('value', v.value)
      from quota.plan_values as v
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
          -- What is not hidden need not say so.
          and (
            f.key <> 'hidden'
            or coalesce(c.content -> f.key, 'false') <> coalesce(d.content -> f.key, 'false')
          )
      ) || case when kind = 'limit' then quota.over_limit_note(path, d.content -> 'amount') else '' end
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
language plpgsql immutable security invoker set search_path = pg_catalog, pg_temp
as $$
begin
  return query
    select 1, 'feature', array[f.key],
      jsonb_build_object(
        'name', coalesce(f.value ->> 'name', f.key),
        'unit', coalesce(f.value ->> 'unit', 'unit'),
        'kind', coalesce(f.value ->> 'kind', 'metered'),
        'server_only', coalesce((f.value ->> 'server_only')::boolean, false),
        'hidden', coalesce((f.value ->> 'hidden')::boolean, false)
      )
    from jsonb_each(p_plans -> 'features') as f
    union all
    select 2, 'plan', array[p.key],
      jsonb_build_object(
        'name', coalesce(p.value ->> 'name', p.key),
        'default', coalesce((p.value ->> 'default')::boolean, false),
        'upgrade_url', p.value ->> 'upgrade_url',
        'hidden', coalesce((p.value ->> 'hidden')::boolean, false)
      )
    from jsonb_each(p_plans -> 'plans') as p
    union all
    select 3, 'limit', array[p.key, l.key, a.key], jsonb_build_object('amount', a.value)
    from jsonb_each(p_plans -> 'plans') as p
    cross join lateral jsonb_each(p.value -> 'limits') as l
    cross join lateral jsonb_each(l.value) as a
    union all
    select 4, 'value', array[p.key, v.key], jsonb_build_object('value', v.value)
    from jsonb_each(p_plans -> 'plans') as p
    cross join lateral jsonb_each(p.value -> 'values') as v;
end
$$;

comment on function quota.planned_rows is 'What stands in the document, each thing with its place.';

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
          and x.ends_at > v_now
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
