-- What differs in an object that the release has and the database has too.
create function quota.differences(
  p_kind text,
  p_object text,
  p_wanted jsonb,
  p_found jsonb
)
returns setof quota.finding
language plpgsql stable security invoker set search_path = pg_catalog, pg_temp
as $$
declare
  -- Of the app, when it has a membership table of its own; its search path and rights are looked at.
  v_is_own constant boolean := p_wanted ->> 'name' in ('quota.acts_for', 'quota.subjects_of');
  v_owner constant regrole := (
    select n.nspowner from pg_catalog.pg_namespace as n where n.nspname = 'quota'
  );
  v_release constant text := quota.version();
  v_table text := coalesce(p_wanted ->> 'on', p_object);
  v_key text;
  v_finding quota.finding;
begin
  for v_key in
    select k from jsonb_object_keys(p_wanted) as k
    where p_wanted -> k is distinct from p_found -> k
    order by k = 'rights', k
  loop
    v_finding := row(20, concat_ws(' ', p_kind, p_object), null, null, false)::quota.finding;
    case
      when v_key = 'rights' then
        v_finding.rank := 60;
        v_finding.is_right := true;
        v_finding.problem := 'its rights are not those of the release: ' || concat_ws(
          '; ',
          (
            select string_agg(r, ', ') || ' should not be'
            from jsonb_array_elements_text(p_found -> 'rights') as r
            where not p_wanted -> 'rights' ? r
          ),
          (
            select string_agg(r, ', ') || ' is lacking'
            from jsonb_array_elements_text(p_wanted -> 'rights') as r
            where not p_found -> 'rights' ? r
          )
        );
        v_finding.statement := quota.rights_statement(p_kind, p_object, p_wanted -> 'rights');
      when v_is_own and v_key = 'settings' then
        continue when p_found ->> 'settings' like '%"search\_path=%';
        v_finding.problem := 'it has no search_path: objects of a caller may stand in for those it means';
        v_finding.statement := format(
          'alter function %s set search_path = pg_catalog, pg_temp;', p_object
        );
      when v_is_own and v_key <> 'signature' then
        continue;
      when v_key = 'is_owned' then
        v_finding.rank := 50;
        v_finding.problem := format('it belongs to another role than %s, the owner of schema quota', v_owner);
        v_finding.statement := format('alter %s %s owner to %s;', p_kind, p_object, v_owner);
      when v_key = 'body' then
        v_finding.problem := format('its body is not that of release %s', v_release);
      when v_key in ('signature', 'language') then
        v_finding.problem := format(
          'it is %s, in release %s it is %s', p_found ->> v_key, v_release, p_wanted ->> v_key
        );
      when v_key = 'options' then
        v_finding.rank := 30;
        v_finding.problem := format('it is %s, and should be %s', p_found ->> v_key, p_wanted ->> v_key);
        v_finding.statement := format('alter function %s %s;', p_object, p_wanted ->> v_key);
      when v_key = 'settings' and p_kind = 'function' then
        v_finding.rank := 30;
        v_finding.problem := format('its settings are %s, and should be %s', p_found -> v_key, p_wanted -> v_key);
        v_finding.statement := (
          select format('alter function %s reset all;', p_object) || string_agg(
            format(
              E'\nalter function %s set %s = %s;', p_object, split_part(s, '=', 1),
              case when s like 'search\_path=%'
                then split_part(s, '=', 2) else quote_literal(split_part(s, '=', 2)) end
            ), ''
          )
          from jsonb_array_elements_text(p_wanted -> v_key) as s
        );
      when v_key = 'settings' then
        v_finding.rank := 40;
        v_finding.problem := 'it lost security_invoker, or has another option: it shows everybody''s rows to every reader';
        v_finding.statement := format(
          E'alter view %1$s reset (security_barrier, security_invoker, check_option);\nalter view %1$s set (%2$s);',
          p_object,
          (select string_agg(s, ', ') from jsonb_array_elements_text(p_wanted -> v_key) as s)
        );
      when v_key = 'query' then
        v_finding.rank := 25;
        v_finding.problem := format('its query is not that of release %s', v_release);
      when v_key = 'is_secured' then
        v_finding.problem := 'row level security is off: every reader sees everybody''s rows';
        v_finding.statement := format('alter table %s enable row level security;', p_object);
      when v_key = 'is_logged' then
        v_finding.problem := 'it is unlogged: a crash empties it';
        v_finding.statement := format('alter table %s set logged;', p_object);
      when v_key = 'is_checked' then
        v_finding.problem := 'the triggers of its foreign keys are disabled';
        v_finding.statement := format('alter table %s enable trigger all;', p_object);
      when v_key = 'is_required' then
        v_finding.problem := case when (p_wanted ->> v_key)::boolean
          then 'it may be null, and should not' else 'it may not be null, and should' end;
        v_finding.statement := format(
          'alter table %s alter column %s %s not null;', v_table, p_wanted ->> 'name',
          case when (p_wanted ->> v_key)::boolean then 'set' else 'drop' end
        );
      when v_key = 'default' then
        v_finding.problem := format(
          'its default is %s, and should be %s',
          coalesce(p_found ->> v_key, 'none'), coalesce(p_wanted ->> v_key, 'none')
        );
        v_finding.statement := format(
          'alter table %s alter column %s %s;', v_table, p_wanted ->> 'name',
          coalesce('set default ' || (p_wanted ->> v_key), 'drop default')
        );
      when v_key = 'text' and p_kind = 'constraint' then
        v_finding.rank := 13;
        v_finding.problem := format('it is %s, and should be %s', p_found ->> v_key, p_wanted ->> v_key);
        v_finding.statement := format(
          E'alter table %1$s drop constraint %2$s;\nalter table %1$s add constraint %2$s %3$s;',
          v_table, p_wanted ->> 'name', p_wanted ->> v_key
        );
      when p_kind = 'index' and v_key in ('text', 'is_valid') then
        v_finding.rank := 14;
        v_finding.problem := case v_key
          when 'text' then 'it is ' || (p_found ->> v_key) || ', and should be ' || (p_wanted ->> v_key)
          else 'it is not valid: a build of it failed' end;
        v_finding.statement := format(E'drop index %s;\n%s;', p_object, p_wanted ->> 'text');
      when v_key = 'text' then
        v_finding.problem := format('it is %s, and should be %s', p_found ->> v_key, p_wanted ->> v_key);
        v_finding.statement := format(
          E'drop policy %1$s on %2$s;\ncreate policy %1$s on %2$s %3$s;',
          p_wanted ->> 'name', v_table, p_wanted ->> v_key
        );
      when v_key = 'type' then
        v_finding.problem := format(
          'its type is %s, and should be %s', p_found ->> v_key, p_wanted ->> v_key
        );
      else
        continue;
    end case;
    return next v_finding;
  end loop;
end
$$;

comment on function quota.differences is
  'What is wrong with an object, given what the release says of it and what the database does.';

-- Objects of the release against objects of the database.
create function quota.changed_objects()
returns setof quota.finding
language plpgsql stable security invoker set search_path = pg_catalog, pg_temp
as $$
begin
  return query
    with released as materialized (
      select m.kind, m.object, m.definition from quota.release_manifest() as m
    ),
    installed as materialized (
      select o.kind, o.object, o.definition from quota.installed_objects() as o
    ),
    missing as materialized (
      select r.kind, r.object, r.definition
      from released as r
      where not exists (
        select from installed as i where i.kind = r.kind and i.object = r.object
      )
    )
    select d.rank, d.object, d.problem, d.statement, d.is_right
    from released as r
    join installed as i on i.kind = r.kind and i.object = r.object
    cross join lateral quota.differences(r.kind, r.object, r.definition, i.definition) as d
    where r.definition is distinct from i.definition
    union all
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
    )
    union all
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
    from installed as i
    where i.kind = 'function'
      and i.definition ->> 'name' in (
        select r.definition ->> 'name' from released as r where r.kind = 'function'
      )
      and not exists (
        select from released as r where r.kind = i.kind and r.object = i.object
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
    from installed as i
    where (
        i.kind in ('policy', 'constraint', 'column', 'trigger', 'rule')
        or i.kind = 'index' and (i.definition ->> 'is_unique')::boolean
      )
      -- An app may be told of alerts by a trigger of its own.
      and not (i.kind = 'trigger' and i.definition ->> 'on' = 'quota.alerts')
      and i.definition ->> 'on' in (
        select r.object from released as r where r.kind in ('table', 'type', 'view')
      )
      and not exists (
        select from released as r where r.kind = i.kind and r.object = i.object
      )
    union all
    -- What an app keeps in schema quota is its own affair, unless visitors reach it.
    select
      60,
      i.kind || ' ' || i.object,
      'it is not of pgquota, and users reach it: ' || (
        select string_agg(x, ', ') from jsonb_array_elements_text(i.definition -> 'rights') as x
      ),
      quota.rights_statement(i.kind, i.object, '[]'),
      true
    from installed as i
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
        select from released as r
        where r.kind = i.kind
          and (r.object = i.object or r.definition ->> 'name' = i.definition ->> 'name')
      );
end
$$;

comment on function quota.changed_objects is
  'Objects that are missing, are not what the release says, or stand in the way of those that are.';

-- Do the triggers of a table do what they were made for? Also those of its partitions.
create function quota.lost_triggers(
  p_table regclass,
  p_function regprocedure,
  p_wanted jsonb,
  p_arguments text[]
)
returns text
language plpgsql stable security invoker set search_path = pg_catalog, pg_temp
as $$
begin
  return (
    select string_agg(
      format(
        'trigger %s on %s is %s', w.name, c.oid::regclass,
        case
          when t.oid is null then 'missing'
          when t.tgenabled not in ('O', 'A') then 'disabled'
          else 'not as it was made'
        end
      ), ', '
      order by c.oid::regclass::text collate "C", w.name collate "C"
    )
    from pg_catalog.pg_class as c
    cross join jsonb_to_recordset(p_wanted) as w (name text, type smallint, is_leaf boolean)
    left join pg_catalog.pg_trigger as t on t.tgrelid = c.oid and t.tgname = w.name
    where (
        c.oid = p_table
        or c.oid in (select r.relid from pg_catalog.pg_partition_tree(p_table) as r)
      )
      and (w.is_leaf is not true or c.relkind = 'r')
      and (
        t.tgenabled in ('O', 'A')
        and t.tgfoid = p_function
        and t.tgtype = w.type
        and encode(t.tgargs, 'hex') = (
          select string_agg(
            encode(convert_to(a.value, getdatabaseencoding()), 'hex') || '00', '' order by a.place
          )
          from unnest(p_arguments) with ordinality as a (value, place)
        )
      ) is not true
  );
end
$$;

comment on function quota.lost_triggers is
  'Which of the triggers of a table are missing, disabled or changed; null when none.';

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
