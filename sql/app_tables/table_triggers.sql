-- The triggers of a table and of the leaves it has now, for all its gauges.
create function quota.make_triggers(p_table regclass)
returns void
language plpgsql volatile security invoker set search_path = pg_catalog, pg_temp
as $$
declare
  v_arguments text;
  v_table record;
begin
  select string_agg(
      format('%L, %L, %L', t.feature_id, t.subject_column, coalesce(t.amount_column, '')), ', '
      order by t.feature_id
    )
    into v_arguments
    from quota.limited_tables as t
    where t.table_id = p_table;
  for v_table in
    select c.oid::regclass as id, c.relkind = 'r' as is_leaf
    from pg_catalog.pg_class as c
    where c.oid = p_table
      or c.oid in (select t.relid from pg_catalog.pg_partition_tree(p_table) as t)
  loop
    execute format(
      'create or replace trigger pgquota_insert after insert on %s
       referencing new table as new_rows
       for each statement execute function quota.count_rows(%s)',
      v_table.id, v_arguments
    );
    execute format(
      'create or replace trigger pgquota_update after update on %s
       referencing old table as old_rows new table as new_rows
       for each statement execute function quota.count_rows(%s)',
      v_table.id, v_arguments
    );
    execute format(
      'create or replace trigger pgquota_delete after delete on %s
       referencing old table as old_rows
       for each statement execute function quota.count_rows(%s)',
      v_table.id, v_arguments
    );
    -- On leaves alone: truncating a parent fires on the parent and each leaf.
    if v_table.is_leaf then
      execute format(
        'create or replace trigger pgquota_truncate before truncate on %s
         for each statement execute function quota.count_rows(%s)',
        v_table.id, v_arguments
      );
    end if;
  end loop;
end
$$;

comment on function quota.make_triggers is
  'Makes a limited table and its partitions count their rows.';

-- Tables that are limited no more: after unlimit_table(), and partitions that were detached.
create function quota.drop_stale_triggers()
returns void
language plpgsql volatile security invoker set search_path = pg_catalog, pg_temp
as $$
declare
  v_trigger record;
begin
  for v_trigger in
    select t.tgname, t.tgrelid
    from pg_catalog.pg_trigger as t
    join pg_catalog.pg_class as c on c.oid = t.tgrelid
    where t.tgfoid = 'quota.count_rows()'::regprocedure
      and pg_has_role(c.relowner, 'usage')
      and not exists (
        select from quota.limited_tables as l
        where l.table_id = t.tgrelid
          or l.table_id in (select a.relid from pg_catalog.pg_partition_ancestors(t.tgrelid) as a)
      )
    order by t.tgrelid, t.tgname
  loop
    execute format('drop trigger %I on %s', v_trigger.tgname, v_trigger.tgrelid::regclass);
  end loop;
end
$$;

comment on function quota.drop_stale_triggers is
  'Takes the triggers off tables that are neither limited nor partitions of one that is.';
