-- What is wrong with limited and followed tables of the app: they were dropped, lost a column or a
-- trigger, or users may write the column that chooses their plan.
create function quota.table_problems()
returns setof quota.finding
language plpgsql stable security invoker set search_path = pg_catalog, pg_temp
as $$
begin
  return query
    select l.rank, l.object, l.problem, l.statement, l.is_right
    from quota.limited_table_problems() as l
    union all
    select f.rank, f.object, f.problem, f.statement, f.is_right
    from quota.followed_table_problems() as f
    union all
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
end
$$;

comment on function quota.table_problems is
  'What is wrong with limited and followed tables of the app.';

create function quota.limited_table_problems()
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
end
$$;

comment on function quota.limited_table_problems is 'What is wrong with limited tables of the app.';

create function quota.followed_table_problems()
returns setof quota.finding
language plpgsql stable security invoker set search_path = pg_catalog, pg_temp
as $$
declare
  v_row record;
  v_lost text;
begin
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
        select w.rank, w.object, w.problem, w.statement, w.is_right
        from quota.plan_writer_problems(v_row.table_id, v_row.plan_column) as w;
    end if;
  end loop;
end
$$;

comment on function quota.followed_table_problems is
  'What is wrong with followed tables of the app.';

create function quota.plan_writer_problems(
  p_table regclass,
  p_plan_column name
)
returns setof quota.finding
language plpgsql stable security invoker set search_path = pg_catalog, pg_temp
as $$
begin
  return query
    select 69, 'followed table ' || p_table,
      format(
        '%s may write its column %s, and so choose a plan', array_to_string(w.names, ', '),
        quote_ident(p_plan_column)
      ), quota.plan_statement(p_table, p_plan_column), false
    from (
      -- A superuser may write everything, and is told of as a role.
      select array_agg(r.rolname order by r.rolname) as names
      from unnest(quota.plan_writers(p_table, p_plan_column)) as u (name)
      join pg_catalog.pg_roles as r on r.rolname = u.name and not r.rolsuper
    ) as w
    where cardinality(w.names) > 0;
end
$$;

comment on function quota.plan_writer_problems is
  'Users that may write a plan column where that is not meant.';

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
