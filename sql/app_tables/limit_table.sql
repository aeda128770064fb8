-- A table that limits itself, on every path: REST, SQL editor, copy, upsert, update of
-- the owner, delete, cascade, truncate. The path that an app forgets is the one that is used.
--
-- Statement triggers with transition tables: one counter update per statement and subject, never per
-- row. All gauges of a table share its triggers, so that several subjects and gauges in one statement
-- are locked in lock order. Dynamic SQL is needed for the columns, which are quoted by %I; nothing else
-- is put in. Transition tables cannot be asked for together with `update of column`.

create function quota.limit_table(
  p_table regclass,
  p_feature text,
  p_subject_column name,
  p_amount_column name default null
)
returns void
language plpgsql volatile security invoker
set search_path = pg_catalog, pg_temp set lock_timeout = '2s' set row_security = off
as $$
declare
  v_columns text[] := array_remove(array[p_subject_column, p_amount_column], null);
  v_partitions regclass[];
  v_locked regclass[];
  v_types regtype[];
  v_features text[];
  v_amount_is_wrong boolean;
  v_subject_is_wrong boolean;
begin
  perform quota.require_trusted();
  perform quota.check_limited_table(p_table, p_feature, p_subject_column, p_amount_column);

  -- Writers wait, so that no row is missed or counted twice.
  -- A partition that was being attached is one when the lock is there, and holds its writers only when
  -- it is locked itself.
  loop
    execute format('lock table %s in share row exclusive mode', p_table);
    v_partitions := array(
      select p.relid from pg_catalog.pg_partition_tree(p_table) as p where p.relid <> p_table
    );
    exit when v_partitions <@ v_locked;
    v_locked := v_partitions;
  end loop;
  execute quota.types_query(p_table::text, v_columns) into v_types;
  perform quota.check_ids(p_table, v_columns[:1], v_types[:1]);
  perform quota.check_amounts(p_table, v_columns[2:], v_types[2:]);
  execute format(
    'select bool_or(r.is_wrong), bool_or(length(r.subject_id) not between 1 and 255)
     from (%s) as r where r.change <> 0',
    quota.rows_query(p_table::text, '', p_feature, p_subject_column, p_amount_column)
  ) into v_amount_is_wrong, v_subject_is_wrong;
  if v_amount_is_wrong then
    raise exception 'column % of % holds amounts that are negative or fractions',
      quote_ident(p_amount_column), p_table
      using errcode = 'QAMNT', hint = 'count fractional amounts in micro-units';
  end if;
  if v_subject_is_wrong then
    raise exception 'column % of % holds ids that are empty or over 255 characters',
      quote_ident(p_subject_column), p_table
      using errcode = 'QSUBJ', hint = 'null is a row that counts for nobody';
  end if;

  insert into quota.limited_tables (table_id, feature_id, subject_column, amount_column)
    values (p_table, p_feature, p_subject_column, p_amount_column)
    on conflict (table_id, feature_id) do update
      set subject_column = excluded.subject_column,
          amount_column = excluded.amount_column;
  -- What was a limited table and has become a partition of this one is counted here from now on.
  with members as (
    delete from quota.limited_tables as t
      where t.table_id = any (v_partitions)
      returning t.feature_id
  )
  select array(select m.feature_id from members as m union select p_feature order by 1)
    into v_features;
  perform quota.make_triggers(p_table);
  perform quota.drop_stale_triggers();
  perform quota.recount(v_features);
end
$$;

comment on function quota.limit_table is
  'Puts a gauge on a table: every row that has a subject counts one, or its amount column (null is 0), on the table and on the partitions it has now. Rows that are there are counted, also over the limit. A statement that does not fit raises PT402 with the decision in DETAIL, and nothing of it is written. Call it again after a partition was created, attached or detached, after a column was renamed, or after a load with session_replication_role = replica: it recounts. Call unlimit_table() before the table is dropped. For the owner of the table, not over REST. Errors: QFEAT unknown or metered feature; QAMNT, QSUBJ rows that cannot be counted; 42703 no such column; 42809 no table, or a partition; 22023 an argument is missing, an amount column that is no number, an id column of another type than text, varchar, uuid, smallint, integer and bigint or with a nondeterministic collation, or a virtual generated column; 25001 not at read committed; 42501 not a trusted role, or a table that the owner of schema quota cannot read; 55P03 retry.';

create function quota.unlimit_table(p_table regclass)
returns void
language plpgsql volatile security invoker
set search_path = pg_catalog, pg_temp set lock_timeout = '2s'
as $$
declare
  v_features text[];
begin
  perform quota.require_trusted();
  if p_table is null then
    raise exception 'unlimit_table: p_table is null, a table is expected'
      using errcode = '22023', hint = 'quota.limited_tables has those that are limited';
  end if;
  if exists (select from pg_catalog.pg_class as c where c.oid = p_table) then
    -- Dropping triggers needs the strongest lock; taken at once, it is not waited for twice.
    execute format('lock table %s in access exclusive mode', p_table);
  end if;
  with members as (
    delete from quota.limited_tables as t
      where t.table_id = p_table
      returning t.feature_id
  )
  select array(select m.feature_id from members as m order by 1)
    into v_features;
  perform quota.drop_stale_triggers();
  perform quota.recount(v_features);
end
$$;

comment on function quota.unlimit_table is
  'Takes the gauges off a table and gives back what its rows counted; also of a table that was dropped, named by its oid in quota.limited_tables. For the owner of the table, not over REST. Errors: 25001 not at read committed; 42501 not a trusted role; 55P03 retry.';

-- What a trigger of a table reads has to be there.
create function quota.check_columns(
  p_table regclass,
  p_columns name[]
)
returns void
language plpgsql stable security invoker set search_path = pg_catalog, pg_temp
as $$
declare
  v_column name;
  v_generated "char";
begin
  foreach v_column in array p_columns loop
    select a.attgenerated
      into v_generated
      from pg_catalog.pg_attribute as a
      where a.attrelid = p_table
        and a.attname = v_column
        and a.attnum > 0;
    if not found then
      raise exception 'table % has no column %', p_table, quote_ident(v_column)
        using errcode = '42703', hint = 'name a column of the table; after it was renamed, call the function again with the new name';
    end if;
    -- Of Postgres 18, and null in triggers: every row would count 0, and name no plan.
    if v_generated = 'v' then
      raise exception 'column % of % is generated when it is read', quote_ident(v_column), p_table
        using errcode = '22023', hint = 'generate it as stored';
    end if;
  end loop;
end
$$;

comment on function quota.check_columns is 'Errors: 42703 no such column; 22023 a virtual one.';

-- May this table get this gauge?
create function quota.check_limited_table(
  p_table regclass,
  p_feature_id text,
  p_subject_column name,
  p_amount_column name
)
returns void
language plpgsql volatile security invoker set search_path = pg_catalog, pg_temp
as $$
declare
  v_owner oid := (select n.nspowner from pg_catalog.pg_namespace as n where n.nspname = 'quota');
  v_table pg_catalog.pg_class;
begin
  perform quota.check_feature(p_feature_id);
  -- for share: apply_plans() waits, and then sees the table.
  perform from quota.features as f
    where f.feature_id = p_feature_id
      and f.kind = 'gauge'
    for share;
  if not found then
    raise exception 'feature % is metered, a table needs a gauge', quote_literal(p_feature_id)
      using errcode = 'QFEAT', hint = 'give it "kind": "gauge" in the plan document';
  end if;
  if p_table is null or p_subject_column is null then
    raise exception 'the table or its subject column is missing'
      using errcode = '22023', hint = 'for example limit_table(''public.kb_files'', ''kb_file'', ''user_id'')';
  end if;
  select c.relkind, c.relowner, c.relforcerowsecurity
    into v_table.relkind, v_table.relowner, v_table.relforcerowsecurity
    from pg_catalog.pg_class as c
    where c.oid = p_table
      and c.relkind in ('r', 'p')
      and c.relpersistence <> 't'
      and not c.relispartition
      and (c.relkind = 'p' or not exists (
        select from pg_catalog.pg_inherits as i where c.oid in (i.inhrelid, i.inhparent)
      ));
  if not found then
    raise exception '% cannot be limited', p_table
      using errcode = '42809',
        hint = 'a table can, also a partitioned one as a whole; a view, a partition, a temporary table and inheritance cannot';
  end if;
  perform quota.check_columns(p_table, array_remove(array[p_subject_column, p_amount_column], null));
  -- Truncate and verify_usage() read the table as the owner of schema quota, and past its policies.
  if not exists (
    select from pg_catalog.pg_roles as r
    where r.oid = v_owner
      and (r.rolsuper or (
        pg_has_role(v_owner, v_table.relowner, 'usage')
        and (r.rolbypassrls or not v_table.relforcerowsecurity)
      ))
  ) then
    raise exception 'the owner of schema quota cannot read all of %', p_table
      using errcode = '42501',
        hint = format(
          '%s has to own the table or be a member of its owner, and the table has no forced row security',
          v_owner::regrole
        );
  end if;
end
$$;

comment on function quota.check_limited_table is 'Errors: QFEAT, 22023, 42501, 42703, 42809.';
