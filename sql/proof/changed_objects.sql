-- Objects of the release against objects of the database.
create type quota.installed_object as (
  kind text,
  object text,
  definition jsonb
);

comment on type quota.installed_object is
  'An object as installed_objects() and release_manifest() describe it.';

create function quota.changed_objects()
returns setof quota.finding
language plpgsql stable security invoker set search_path = pg_catalog, pg_temp
as $$
declare
  v_released constant quota.installed_object[] := array(
    select row(m.kind, m.object, m.definition)::quota.installed_object
    from quota.release_manifest() as m
  );
  v_installed constant quota.installed_object[] := array(
    select row(o.kind, o.object, o.definition)::quota.installed_object
    from quota.installed_objects() as o
  );
begin
  return query
    select d.rank, d.object, d.problem, d.statement, d.is_right
    from unnest(v_released) as r
    join unnest(v_installed) as i on i.kind = r.kind and i.object = r.object
    cross join lateral quota.differences(r.kind, r.object, r.definition, i.definition) as d
    where r.definition is distinct from i.definition
    union all
    select m.rank, m.object, m.problem, m.statement, m.is_right
    from quota.missing_objects(v_released, v_installed) as m
    union all
    select f.rank, f.object, f.problem, f.statement, f.is_right
    from quota.foreign_objects(v_released, v_installed) as f
    union all
    select f.rank, f.object, f.problem, f.statement, f.is_right
    from quota.open_objects(v_released, v_installed) as f;
end
$$;

comment on function quota.changed_objects is
  'Objects that are missing, are not what the release says, or stand in the way of those that are.';

create function quota.missing_objects(
  p_released quota.installed_object[],
  p_installed quota.installed_object[]
)
returns setof quota.finding
language plpgsql stable security invoker set search_path = pg_catalog, pg_temp
as $$
begin
  return query
    with missing as materialized (
      select r.kind, r.object, r.definition
      from unnest(p_released) as r
      where not exists (
        select from unnest(p_installed) as i where i.kind = r.kind and i.object = r.object
      )
    )
    select
      case m.kind
        when 'type' then 10 when 'table' then 10 when 'column' then 11 when 'constraint' then
          case when m.definition ->> 'text' like 'FOREIGN%' then 13 else 12 end
        when 'index' then 14 when 'function' then 20 when 'view' then 25 else 26
      end,
      m.kind || ' ' || m.object,
      'it is missing',
      case m.kind
        when 'constraint' then format(
          'alter table %s add constraint %s %s;',
          m.definition ->> 'on', m.definition ->> 'name', m.definition ->> 'text'
        )
        when 'index' then (m.definition ->> 'text') || ';'
        when 'policy' then format(
          'create policy %s on %s %s;',
          m.definition ->> 'name', m.definition ->> 'on', m.definition ->> 'text'
        )
        when 'column' then format(
          'alter %s %s add %s %s %s%s%s;',
          m.definition ->> 'of', m.definition ->> 'on',
          case m.definition ->> 'of' when 'type' then 'attribute' else 'column' end,
          m.definition ->> 'name', m.definition ->> 'type',
          ' default ' || (m.definition ->> 'default'),
          case when (m.definition ->> 'is_required')::boolean then ' not null' end
        )
      end,
      false
    from missing as m
    -- A table that is gone is one problem, not thirty.
    where not exists (
      select from missing as t
      where t.kind in ('table', 'type')
        and t.object = m.definition ->> 'on'
    );
end
$$;

comment on function quota.missing_objects is 'What the release has and the database has not.';

create function quota.foreign_objects(
  p_released quota.installed_object[],
  p_installed quota.installed_object[]
)
returns setof quota.finding
language plpgsql stable security invoker set search_path = pg_catalog, pg_temp
as $$
begin
  return query
    select
      5,
      i.kind || ' ' || i.object,
      'it is not of pgquota, and has the name of a function that is: calls may reach the wrong one',
      concat_ws(
        E'\n',
        case when i.object like 'quota.%' then quota.rights_statement(i.kind, i.object, '[]') end,
        format(
          'alter function %s rename to %I;',
          i.object, 'former_' || split_part(i.definition ->> 'name', '.', 2)
        )
      ),
      false
    from unnest(p_installed) as i
    where i.kind = 'function'
      and i.definition ->> 'name' in (
        select r.definition ->> 'name' from unnest(p_released) as r where r.kind = 'function'
      )
      and not exists (
        select from unnest(p_released) as r where r.kind = i.kind and r.object = i.object
      )
    union all
    select
      6,
      i.kind || ' ' || i.object,
      case i.kind
        when 'policy' then 'it is not of pgquota: it may show rows that are not the reader''s'
        else 'it is not of pgquota: what calls count may be changed or refused' end,
      case i.kind
        when 'policy' then format('drop policy %s on %s;', i.definition ->> 'name', i.definition ->> 'on')
        when 'constraint' then format(
          'alter table %s drop constraint %s;', i.definition ->> 'on', i.definition ->> 'name'
        )
        when 'index' then format('drop index %s;', i.object)
        when 'column' then format(
          'alter %s %s drop %s %s;',
          i.definition ->> 'of', i.definition ->> 'on',
          case i.definition ->> 'of' when 'type' then 'attribute' else 'column' end,
          i.definition ->> 'name'
        )
        else format('drop %s %s;', i.kind, i.object)
      end,
      false
    from unnest(p_installed) as i
    where (
        i.kind in ('policy', 'constraint', 'column', 'trigger', 'rule')
        or i.kind = 'index' and (i.definition ->> 'is_unique')::boolean
      )
      -- An app may be told of alerts by a trigger of its own.
      and not (i.kind = 'trigger' and i.definition ->> 'on' = 'quota.alerts')
      and i.definition ->> 'on' in (
        select r.object from unnest(p_released) as r where r.kind in ('table', 'type', 'view')
      )
      and not exists (
        select from unnest(p_released) as r where r.kind = i.kind and r.object = i.object
      );
end
$$;

comment on function quota.foreign_objects is
  'What is not of pgquota, and may change what calls reach, count or show.';

create function quota.open_objects(
  p_released quota.installed_object[],
  p_installed quota.installed_object[]
)
returns setof quota.finding
language plpgsql stable security invoker set search_path = pg_catalog, pg_temp
as $$
begin
  return query
    -- What an app keeps in schema quota is its own affair, unless visitors reach it.
    select
      60,
      i.kind || ' ' || i.object,
      'it is not of pgquota, and users reach it: ' || (
        select string_agg(x, ', ') from jsonb_array_elements_text(i.definition -> 'rights') as x
      ),
      quota.rights_statement(i.kind, i.object, '[]'),
      true
    from unnest(p_installed) as i
    where i.object like 'quota.%'
      and (
        i.kind = 'function' and i.definition ->> 'rights' ~ '"(public|anon) '
        or i.kind in ('table', 'view')
          and i.definition ->> 'rights' ~ '"(public|anon|authenticated) '
          and (
            i.kind = 'view' and not i.definition ->> 'settings' ~ 'security_invoker=(true|on|1)'
            or i.kind = 'table' and (i.definition ->> 'is_secured')::boolean is not true
          )
      )
      and not exists (
        select from unnest(p_released) as r
        where r.kind = i.kind
          and (r.object = i.object or r.definition ->> 'name' = i.definition ->> 'name')
      );
end
$$;

comment on function quota.open_objects is
  'What an app keeps in schema quota, where visitors or users reach it.';

create function quota.rights_statement(
  p_kind text,
  p_object text,
  p_rights jsonb
)
returns text
language plpgsql stable security invoker set search_path = pg_catalog, pg_temp
as $$
declare
  v_target text := case p_kind when 'function' then 'function ' when 'schema' then 'schema ' else '' end
    || p_object;
begin
  return concat_ws(
    E'\n',
    format('revoke all on %s from public, anon, authenticated, service_role cascade;', v_target),
    (
      select string_agg(format('grant %s on %s to %s;', r.privilege, v_target, r.roles), E'\n')
      from (
        select lower(split_part(u.entry, ' ', 2)) as privilege,
          string_agg(split_part(u.entry, ' ', 1), ', ' order by u.entry collate "C") as roles
        from jsonb_array_elements_text(p_rights) as u (entry)
        group by 1
        order by 1
      ) as r
    )
  );
end
$$;

comment on function quota.rights_statement is 'SQL text that gives an object exactly these rights.';
