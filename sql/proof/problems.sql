create function quota.table_problems()
returns setof quota.finding
language plpgsql stable security invoker set search_path = pg_catalog, pg_temp
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

comment on function quota.table_problems is
  'What is wrong with limited and followed tables of the app.';

-- Rights mean nothing to a superuser, to a role that passes by row level security, or to the owner.
create function quota.role_problems()
returns setof quota.finding
language plpgsql stable security invoker set search_path = pg_catalog, pg_temp
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

comment on function quota.role_problems is 'Roles of the API that rights and policies do not bind.';
