-- Why this exists: a restore, a careless create or replace, a trigger that somebody dropped and a right
-- that somebody lent open an installation without a sound. Here it is compared with release_manifest(),
-- with what limit_table() and follow_plan() made, and with the roles that rights mean nothing to.

create type quota.finding as (
  rank integer,
  object text,
  problem text,
  statement text,
  is_right boolean
);

comment on type quota.finding is
  'A problem of the installation. rank: the order of repair; is_right: repair_privileges() runs it.';

create function quota.rights_statement(
  p_kind text,
  p_object text,
  p_rights jsonb
)
returns text
language plpgsql
stable
security invoker
set search_path = pg_catalog, pg_temp
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

comment on function quota.rights_statement(text, text, jsonb) is
  'SQL text that gives an object exactly these rights.';

revoke all on function quota.rights_statement(text, text, jsonb)
  from public, anon, authenticated, service_role;

-- What differs in an object that the release has and the database has too.
create function quota.differences(
  p_kind text,
  p_object text,
  p_wanted jsonb,
  p_found jsonb
)
returns setof quota.finding
language plpgsql
stable
security invoker
set search_path = pg_catalog, pg_temp
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

comment on function quota.differences(text, text, jsonb, jsonb) is
  'What is wrong with an object, given what the release says of it and what the database does.';

revoke all on function quota.differences(text, text, jsonb, jsonb)
  from public, anon, authenticated, service_role;

-- Objects of the release against objects of the database.
create function quota.changed_objects()
returns setof quota.finding
language plpgsql
stable
security invoker
set search_path = pg_catalog, pg_temp
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

comment on function quota.changed_objects() is
  'Objects that are missing, are not what the release says, or stand in the way of those that are.';

revoke all on function quota.changed_objects() from public, anon, authenticated, service_role;

-- Do the triggers of a table do what they were made for? Also those of its partitions.
create function quota.lost_triggers(
  p_table regclass,
  p_function regprocedure,
  p_wanted jsonb,
  p_arguments text[]
)
returns text
language plpgsql
stable
security invoker
set search_path = pg_catalog, pg_temp
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

comment on function quota.lost_triggers(regclass, regprocedure, jsonb, text[]) is
  'Which of the triggers of a table are missing, disabled or changed; null when none.';

revoke all on function quota.lost_triggers(regclass, regprocedure, jsonb, text[])
  from public, anon, authenticated, service_role;

create function quota.table_problems()
returns setof quota.finding
language plpgsql
stable
security invoker
set search_path = pg_catalog, pg_temp
as $$
declare
  v_row record;
  v_lost text;
begin
  for v_row in
    select l.table_id, exists (select from pg_catalog.pg_class as c where c.oid = l.table_id) as is_there,
      array_agg(a.value order by l.feature_id, a.place) as arguments,
      (
        select string_agg(quote_ident(u.name), ', ')
        from unnest(array_agg(l.subject_column) || array_agg(l.amount_column)) as u (name)
        where u.name is not null
          and not exists (
            select from pg_catalog.pg_attribute as t
            where t.attrelid = l.table_id
              and t.attname = u.name
          )
      ) as lost_columns,
      string_agg(
        format(
          'select quota.limit_table(%L, %L, %L%s);', l.table_id, l.feature_id, l.subject_column,
          ', ' || quote_literal(l.amount_column)
        ), E'\n' order by l.feature_id
      ) filter (where a.place = 1) as statement
    from quota.limited_tables as l
    cross join unnest(array[l.feature_id, l.subject_column::text, coalesce(l.amount_column, '')])
      with ordinality as a (value, place)
    group by l.table_id
    order by l.table_id::text collate "C"
  loop
    if not v_row.is_there then
      return next row(
        70, 'limited table ' || v_row.table_id, 'it was dropped, and what its rows counted still counts',
        format('select quota.unlimit_table(%s::oid::regclass);', v_row.table_id::oid), false
      )::quota.finding;
      continue;
    end if;
    if v_row.lost_columns is not null then
      return next row(
        70, 'limited table ' || v_row.table_id,
        format(
          'it has no column %s any more: call quota.limit_table() with the new name, or quota.unlimit_table()',
          v_row.lost_columns
        ), null, false
      )::quota.finding;
      continue;
    end if;
    v_lost := quota.lost_triggers(
      v_row.table_id, 'quota.count_rows()',
      '[{"name": "pgquota_insert", "type": 4}, {"name": "pgquota_update", "type": 16},
        {"name": "pgquota_delete", "type": 8}, {"name": "pgquota_truncate", "type": 34, "is_leaf": true}]',
      v_row.arguments
    );
    if v_lost is not null then
      return next row(
        70, 'limited table ' || v_row.table_id, v_lost || ': rows are written uncounted',
        v_row.statement, false
      )::quota.finding;
    end if;
  end loop;

  return query
    select 70, format('trigger %I on %s', t.tgname, t.tgrelid::regclass),
      'it counts rows of a table that is not limited',
      format('drop trigger %I on %s;', t.tgname, t.tgrelid::regclass), false
    from pg_catalog.pg_trigger as t
    where t.tgfoid = 'quota.count_rows()'::regprocedure
      and not exists (
        select from quota.limited_tables as l
        where l.table_id = t.tgrelid
          or l.table_id in (select a.relid from pg_catalog.pg_partition_ancestors(t.tgrelid) as a)
      );

  for v_row in
    select f.table_id, f.subject_column, f.plan_column, f.users_may_write,
      exists (select from pg_catalog.pg_class as c where c.oid = f.table_id) as is_there,
      (
        select string_agg(quote_ident(u.name), ', ')
        from unnest(array[f.subject_column, f.plan_column]) as u (name)
        where not exists (
          select from pg_catalog.pg_attribute as t where t.attrelid = f.table_id and t.attname = u.name
        )
      ) as lost_columns
    from quota.followed_tables as f
    order by f.table_id::text collate "C"
  loop
    if not v_row.is_there then
      return next row(
        70, 'followed table ' || v_row.table_id, 'it was dropped, and its subjects keep their plans',
        format('select quota.unfollow_plan(%s::oid::regclass);', v_row.table_id::oid), false
      )::quota.finding;
      continue;
    end if;
    if v_row.lost_columns is not null then
      return next row(
        70, 'followed table ' || v_row.table_id,
        format('it has no column %s any more: call quota.follow_plan() with the new name', v_row.lost_columns),
        null, false
      )::quota.finding;
      continue;
    end if;
    v_lost := quota.lost_triggers(
      v_row.table_id, 'quota.plan_changed()',
      '[{"name": "pgquota_follow_plan", "type": 13}, {"name": "pgquota_follow_plan_update", "type": 17}]',
      array[v_row.subject_column, v_row.plan_column]::text[]
        || case when v_row.users_may_write then array['users may write'] end
    );
    if v_lost is not null then
      return next row(
        71, 'followed table ' || v_row.table_id,
        v_lost || ': plans no longer follow it. If that is meant: select quota.unfollow_plan('
          || quote_literal(v_row.table_id) || ')',
        format(
          'select quota.follow_plan(%L, %L, %L%s);',
          v_row.table_id, v_row.subject_column, v_row.plan_column,
          case when v_row.users_may_write then ', p_users_may_write => true' end
        ), false
      )::quota.finding;
    end if;
    if not v_row.users_may_write then
      return query
        select 69, 'followed table ' || v_row.table_id,
          format(
            '%s may write its column %s, and so choose a plan', array_to_string(w.names, ', '),
            quote_ident(v_row.plan_column)
          ), quota.plan_statement(v_row.table_id, v_row.plan_column), false
        from (
          -- A superuser may write everything, and is told of as a role.
          select array_agg(r.rolname order by r.rolname) as names
          from unnest(quota.plan_writers(v_row.table_id, v_row.plan_column)) as u (name)
          join pg_catalog.pg_roles as r on r.rolname = u.name and not r.rolsuper
        ) as w
        where cardinality(w.names) > 0;
    end if;
  end loop;
end
$$;

comment on function quota.table_problems() is
  'What is wrong with limited and followed tables of the app.';

revoke all on function quota.table_problems() from public, anon, authenticated, service_role;

-- Rights mean nothing to a superuser, to a role that passes by row level security, or to the owner.
create function quota.role_problems()
returns setof quota.finding
language plpgsql
stable
security invoker
set search_path = pg_catalog, pg_temp
as $$
declare
  v_owner constant oid := (
    select n.nspowner from pg_catalog.pg_namespace as n where n.nspname = 'quota'
  );
begin
  return query
    select 80, 'role ' || r.rolname,
      case when r.rolsuper then 'it is a superuser: every request may do everything'
        else 'it passes by row level security: every reader sees everybody''s rows' end,
      concat_ws(
        E'\n',
        case when r.rolsuper then format('alter role %I nosuperuser;', r.rolname) end,
        case when r.rolbypassrls and r.rolname <> 'service_role'
          then format('alter role %I nobypassrls;', r.rolname) end
      ), false
    from pg_catalog.pg_roles as r
    where r.rolname in ('anon', 'authenticated', 'service_role')
      and (r.rolsuper or r.rolbypassrls and r.rolname <> 'service_role')
      and r.oid <> v_owner
    union all
    select 80, 'role ' || r.rolname,
      format(
        'it is a member of %s%s, which may do what users must not',
        g.rolname,
        (
          select ' and so of ' || string_agg(x.rolname, ', ' order by x.rolname)
          from unnest(p.powers) as u (id)
          join pg_catalog.pg_roles as x on x.oid = u.id
          where u.id <> g.oid
        )
      ),
      format('revoke %I from %I;', g.rolname, r.rolname), false
    from pg_catalog.pg_auth_members as m
    join pg_catalog.pg_roles as r on r.oid = m.member
    join pg_catalog.pg_roles as g on g.oid = m.roleid
    cross join lateral (
      select array_agg(x.oid) as powers
      from pg_catalog.pg_roles as x
      where pg_has_role(g.oid, x.oid, 'member')
        and (
          x.rolsuper or x.rolbypassrls or x.oid = v_owner
          or x.rolname in (
            'service_role', 'pg_read_all_data', 'pg_write_all_data', 'pg_read_server_files',
            'pg_write_server_files', 'pg_execute_server_program'
          )
          or x.rolname = 'authenticated' and r.rolname = 'anon'
        )
    ) as p
    where r.rolname in ('anon', 'authenticated')
      and p.powers is not null
    union all
    select 80, 'role service_role',
      format('it is a member of %s, the owner of schema quota: it may write past the functions', g.rolname),
      format('revoke %I from service_role;', g.rolname), false
    from pg_catalog.pg_auth_members as m
    join pg_catalog.pg_roles as r on r.oid = m.member
    join pg_catalog.pg_roles as g on g.oid = m.roleid
    where r.rolname = 'service_role'
      and pg_has_role(g.oid, v_owner, 'member');
end
$$;

comment on function quota.role_problems() is
  'Roles of the API that rights and policies do not bind.';

revoke all on function quota.role_problems() from public, anon, authenticated, service_role;

create function quota.installation_findings()
returns setof quota.finding
language plpgsql
stable
security invoker
set search_path = pg_catalog, pg_temp
as $$
begin
  return query
    select f.rank, f.object, f.problem, f.statement, f.is_right
    from (
      select c.rank, c.object, c.problem, c.statement, c.is_right
      from quota.changed_objects() as c
      union all
      select t.rank, t.object, t.problem, t.statement, t.is_right
      from quota.table_problems() as t
      union all
      select r.rank, r.object, r.problem, r.statement, r.is_right
      from quota.role_problems() as r
      union all
      -- A copy of the schema alone (pg_dump -s) lacks it; the next apply_plans() makes one too.
      select
        65, 'table quota.catalogue', 'it has not exactly one row, so no call takes the short way',
        E'delete from quota.catalogue;\ninsert into quota.catalogue (version) select coalesce(max(catalogue_version), 0) + 1 from quota.meters;',
        false
      where (select count(*) from quota.catalogue) <> 1
    ) as f
    order by f.rank, f.object collate "C", f.problem collate "C";
end
$$;

comment on function quota.installation_findings() is
  'Everything that is wrong, in the order in which the statements can be run.';

revoke all on function quota.installation_findings() from public, anon, authenticated, service_role;

create function quota.verify_installation()
returns setof public.installation_problem
language plpgsql
stable
security definer
set search_path = pg_catalog, pg_temp
as $$
begin
  perform quota.require_trusted();
  return query
    select f.object, f.problem, f.statement from quota.installation_findings() as f;
end
$$;

comment on function quota.verify_installation() is 'See public.verify_installation.';

revoke all on function quota.verify_installation() from public, anon, authenticated, service_role;
grant execute on function quota.verify_installation() to service_role;

-- A restore with --no-privileges, or somebody's default privileges: the rights as the release has them.
create function quota.repair_privileges()
returns setof text
language plpgsql
volatile
security invoker
set search_path = pg_catalog, pg_temp
set lock_timeout = '2s'
as $$
declare
  v_statement text;
begin
  perform quota.require_trusted();
  foreach v_statement in array array(
    select f.statement from quota.installation_findings() as f where f.is_right
  ) loop
    execute v_statement;
    return next v_statement;
  end loop;
end
$$;

comment on function quota.repair_privileges() is
  'Gives schema, tables, views and functions of pgquota the rights of this release again, and returns the statements that did it: those of rights that verify_installation() shows. For the owner of schema quota, not over REST. Errors: 42501 not a trusted role, or not the owner.';

revoke all on function quota.repair_privileges() from public, anon, authenticated, service_role;
