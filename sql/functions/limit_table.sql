-- Why this exists: a table that limits itself, on every path: REST, SQL editor, copy, upsert, update of
-- the owner, delete, cascade, truncate. The path that an app forgets is the one that is used.
--
-- Statement triggers with transition tables: one counter update per statement and subject, never per
-- row. All gauges of a table share its triggers, so that several subjects and gauges in one statement
-- are locked in lock order. Dynamic SQL is needed for the columns, which are quoted by %I; nothing else
-- is put in. Transition tables cannot be asked for together with `update of column`.

-- What an app's table holds is read and turned into text with the rights of the owner of schema quota,
-- and its own owner may change a column's type at any time. A cast from a type of theirs is a function
-- of theirs: so the types are asked for first, at each reading. By the parser, which knows the table as
-- it is now; a snapshot of the catalogue may be older than that. Nothing of the columns is evaluated.
create function quota.types_query(
  p_from text,
  p_columns text[]
)
returns text
language plpgsql
immutable
security invoker
set search_path = pg_catalog, pg_temp
as $$
begin
  return format(
    'select array[%s]::regtype[] from (values (1)) as one (n) left join %s as t on false',
    (
      select string_agg(format('pg_typeof(t.%I)', c.name), ', ' order by c.ordinality)
      from unnest(p_columns) with ordinality as c (name, ordinality)
    ),
    p_from
  );
end
$$;

comment on function quota.types_query(text, text[]) is
  'SQL text: the types of these columns, one array.';

revoke all on function quota.types_query(text, text[])
  from public, anon, authenticated, service_role;

-- Equal values have to have one spelling, too: 7 and 7.0, 'a' and 'A' of citext would each have a limit
-- of its own.
create function quota.has_plain_types(
  p_table regclass,
  p_columns text[],
  p_types regtype[]
)
returns boolean
language plpgsql
stable
security invoker
set search_path = pg_catalog, pg_temp
as $$
begin
  return p_types <@ array[
      'text', 'character varying', 'uuid', 'smallint', 'integer', 'bigint'
    ]::regtype[]
    and not exists (
      select from pg_catalog.pg_attribute as a
      join pg_catalog.pg_collation as c on c.oid = a.attcollation
      where a.attrelid = p_table
        and a.attname = any (p_columns)
        and not c.collisdeterministic
    );
end
$$;

comment on function quota.has_plain_types(regclass, text[], regtype[]) is
  'True for columns of built-in types whose equal values have one spelling.';

revoke all on function quota.has_plain_types(regclass, text[], regtype[])
  from public, anon, authenticated, service_role;

create function quota.check_ids(
  p_table regclass,
  p_columns text[],
  p_types regtype[]
)
returns void
language plpgsql
stable
security invoker
set search_path = pg_catalog, pg_temp
as $$
begin
  if quota.has_plain_types(p_table, p_columns, p_types) is not true then
    raise exception 'a column of % cannot hold ids: % of type %',
      p_table, array_to_string(p_columns, ', '), array_to_string(p_types, ', ')
      using errcode = '22023',
        hint = 'text, varchar, uuid, smallint, integer or bigint can, with a deterministic collation; another type becomes text in a stored generated column';
  end if;
end
$$;

comment on function quota.check_ids(regclass, text[], regtype[]) is
  'Errors: 22023 a type of somebody''s own, or one whose equal values have several spellings.';

revoke all on function quota.check_ids(regclass, text[], regtype[])
  from public, anon, authenticated, service_role;

create function quota.has_number_types(p_types regtype[])
returns boolean
language plpgsql
immutable
security invoker
set search_path = pg_catalog, pg_temp
as $$
begin
  return p_types <@ array['smallint', 'integer', 'bigint', 'numeric']::regtype[];
end
$$;

comment on function quota.has_number_types(regtype[]) is 'True for built-in types of whole amounts.';

revoke all on function quota.has_number_types(regtype[])
  from public, anon, authenticated, service_role;

create function quota.check_amounts(
  p_table regclass,
  p_columns text[],
  p_types regtype[]
)
returns void
language plpgsql
stable
security invoker
set search_path = pg_catalog, pg_temp
as $$
begin
  if quota.has_number_types(p_types) is not true then
    raise exception 'an amount column of % is not a whole number: % of type %',
      p_table, array_to_string(p_columns, ', '), array_to_string(p_types, ', ')
      using errcode = '22023', hint = 'an amount is smallint, integer, bigint or numeric';
  end if;
end
$$;

comment on function quota.check_amounts(regclass, text[], regtype[]) is
  'Errors: 22023 a type of somebody''s own, or no number.';

revoke all on function quota.check_amounts(regclass, text[], regtype[])
  from public, anon, authenticated, service_role;

-- The query for subject, gauge, signed change and whether the amount is none, of each row.
create function quota.rows_query(
  p_from text,
  p_sign text,
  p_feature_id text,
  p_subject_column text,
  p_amount_column text
)
returns text
language plpgsql
immutable
security invoker
set search_path = pg_catalog, pg_temp
as $$
begin
  return format(
    case when p_amount_column is null
      then 'select %1$I::text collate "C" as subject_id, %2$L as feature_id, %3$s1 as change, false as is_wrong'
      else 'select %1$I::text collate "C" as subject_id, %2$L as feature_id, %3$scoalesce(%4$I, 0) as change, %4$I < 0 or %4$I %% 1 <> 0 as is_wrong'
    end || ' from %5$s where %1$I is not null',
    p_subject_column, p_feature_id, p_sign, p_amount_column, p_from
  );
end
$$;

comment on function quota.rows_query(text, text, text, text, text) is
  'SQL text: subject_id, feature_id, signed change and is_wrong (negative or a fraction) of each row that has a subject.';

revoke all on function quota.rows_query(text, text, text, text, text)
  from public, anon, authenticated, service_role;

create function quota.count_rows()
returns trigger
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
set lock_timeout = '2s'
set plan_cache_mode = force_generic_plan
as $$
declare
  v_queries text[] := '{}';
  v_features text[] := '{}';
  v_subject_columns text[] := '{}';
  v_amount_columns text[] := '{}';
  v_from text := case tg_op
    when 'INSERT' then 'new_rows' when 'TRUNCATE' then tg_relid::regclass::text else 'old_rows'
  end;
  v_types regtype[];
  v_amount_column text;
  v_subject_id text;
  v_feature_id text;
  v_change numeric;
  v_is_wrong boolean;
  v_caller quota.caller;
  v_now timestamptz;
  v_decision public.usage_decision;
  v_metadata jsonb;
begin
  for i in 0 .. tg_nargs - 1 by 3 loop
    v_features := v_features || tg_argv[i];
    v_amount_column := nullif(tg_argv[i + 2], '');
    v_subject_columns := v_subject_columns || tg_argv[i + 1];
    v_amount_columns := array_remove(v_amount_columns || v_amount_column, null);
    if tg_op in ('UPDATE', 'DELETE') then
      v_queries := v_queries || quota.rows_query(
        'old_rows', '-', tg_argv[i], tg_argv[i + 1], v_amount_column
      );
    end if;
    if tg_op in ('INSERT', 'UPDATE') then
      v_queries := v_queries || quota.rows_query(
        'new_rows', '', tg_argv[i], tg_argv[i + 1], v_amount_column
      );
    end if;
    if tg_op = 'TRUNCATE' then
      -- Before the rows are gone.
      v_queries := v_queries || quota.rows_query(
        tg_relid::regclass::text, '-', tg_argv[i], tg_argv[i + 1], v_amount_column
      );
    end if;
  end loop;

  -- Its policies are code of the table's owner as well.
  if tg_op = 'TRUNCATE' and row_security_active(tg_relid) then
    raise exception 'the owner of schema quota cannot read all of %', tg_relid::regclass
      using errcode = '42501', hint = 'do not force row security on it, or call quota.unlimit_table()';
  end if;
  execute quota.types_query(v_from, v_subject_columns || v_amount_columns) into v_types;
  perform quota.check_ids(
    tg_relid, v_subject_columns, v_types[:cardinality(v_subject_columns)]
  );
  perform quota.check_amounts(
    tg_relid, v_amount_columns, v_types[cardinality(v_subject_columns) + 1:]
  );

  -- Subjects in byte order, as everybody locks them.
  for v_subject_id, v_feature_id, v_change, v_is_wrong in execute format(
    'select r.subject_id, r.feature_id, sum(r.change), bool_or(r.is_wrong)
     from (%s) as r
     group by r.subject_id, r.feature_id
     having sum(r.change) <> 0 or bool_or(r.is_wrong)
     order by r.subject_id collate "C", r.feature_id collate "C"',
    array_to_string(v_queries, ' union all ')
  ) loop
    if v_is_wrong and tg_op in ('INSERT', 'UPDATE')
      or abs(v_change) > 9007199254740991
    then
      raise exception 'the amount column of % holds what is not a whole number from 0 to 9007199254740991',
        tg_relid::regclass
        using errcode = 'QAMNT', hint = 'count fractional amounts in micro-units';
    end if;
    if length(v_subject_id) not between 1 and 255 then
      raise exception 'the subject column of % holds an id of % characters, 1 to 255 are allowed',
        tg_relid::regclass, length(v_subject_id)
        using errcode = 'QSUBJ', hint = 'null is a row that counts for nobody';
    end if;
    -- A subject that was forgotten stays forgotten when its rows go, too.
    continue when v_change < 0 and not exists (
      select from quota.meters as m
      where m.subject_id = v_subject_id
        and m.feature_id = v_feature_id
    );

    v_metadata := coalesce(v_metadata, jsonb_build_object('table', tg_relid::regclass::text));
    if v_subject_id is distinct from v_caller.subject_id then
      v_caller := row(v_subject_id, true, nullif(quota.user_id(), v_subject_id))::quota.caller;
      v_now := null;
      -- All at once: a meter that is made while another is held could meet set_plan() crosswise.
      if cardinality(v_features) > 1 then
        v_now := quota.lock_meters(v_subject_id, v_features);
      end if;
    end if;
    if v_change > 0 then
      v_decision := quota.take_plainly(
        v_caller, v_feature_id, v_change::bigint, 'table', null, null, v_metadata
      );
      if v_decision.allowed is not null then
        perform quota.enforce(v_decision);
        continue;
      end if;
    end if;
    v_now := coalesce(v_now, quota.lock_meter(v_subject_id, v_feature_id));
    if v_change > 0 then
      perform quota.enforce(
        quota.take(
          v_caller, v_feature_id, v_change::bigint, v_now, 'table', null, null, null,
          v_metadata
        )
      );
    else
      perform quota.put_back(
        v_caller, v_feature_id, -v_change::bigint, v_now, 'table', null, null, v_metadata
      );
    end if;
  end loop;
  return null;
end
$$;

comment on function quota.count_rows() is
  'Trigger of limit_table(): counts the rows of a statement, and raises PT402 when they do not fit. Arguments, for each gauge: feature, subject column, amount column or nothing.';

revoke all on function quota.count_rows() from public, anon, authenticated, service_role;

-- What the limited tables hold, per subject. Those that were dropped, or whose column was renamed or has
-- another type, hold nothing: verify_usage() shows the difference, and does not fail. So does one whose
-- owner made it a view (Postgres 15 lets an empty table become one) or forces policies on the reader:
-- both are code of theirs. One that was attached to another is part of that one.
create function quota.rows_in_tables(
  p_feature_id text,
  p_subject_id text default null
)
returns table (subject_id text, amount bigint)
language plpgsql
stable
security invoker
set search_path = pg_catalog, pg_temp
set row_security = off
as $$
declare
  v_table record;
  v_types regtype[];
  v_query text;
begin
  for v_table in
    select t.table_id, t.subject_column, t.amount_column,
      array_remove(array[t.subject_column, t.amount_column], null)::text[] as columns
    from quota.limited_tables as t
    join pg_catalog.pg_class as c on c.oid = t.table_id
    where t.feature_id = p_feature_id
      and (c.relkind = 'p' or pg_relation_filenode(t.table_id) is not null)
      and not row_security_active(t.table_id)
      and not exists (
        select from unnest(array_remove(array[t.subject_column, t.amount_column], null)) as u (name)
        where not exists (
          select from pg_catalog.pg_attribute as a
          where a.attrelid = t.table_id
            and a.attname = u.name
        )
      )
      and not exists (
        select from pg_catalog.pg_partition_ancestors(t.table_id) as a
        join quota.limited_tables as l on l.table_id = a.relid
        where l.table_id <> t.table_id
          and l.feature_id = t.feature_id
      )
    order by t.table_id
  loop
    -- From here on the table is locked against a change.
    execute quota.types_query(v_table.table_id::text, v_table.columns) into v_types;
    continue when quota.has_plain_types(
        v_table.table_id, v_table.columns[:1], v_types[:1]
      ) is not true
      or quota.has_number_types(v_types[2:]) is not true;
    v_query := concat_ws(
      ' union all ', v_query,
      quota.rows_query(
        v_table.table_id::text, '', p_feature_id, v_table.subject_column, v_table.amount_column
      )
    );
  end loop;
  if v_query is not null then
    return query execute format(
      'select r.subject_id, sum(r.change)::bigint from (%s) as r
       where $1 is null or r.subject_id = $1 group by r.subject_id',
      v_query
    ) using p_subject_id;
  end if;
end
$$;

comment on function quota.rows_in_tables(text, text) is
  'The amounts that the limited tables of a gauge hold, for one subject or all.';

revoke all on function quota.rows_in_tables(text, text)
  from public, anon, authenticated, service_role;

-- Before gauges are counted anew: the meters of all whose rows are there, or were. Subject by subject in
-- byte order, each with all it needs, as the triggers of other tables lock them: subjects first and
-- meters then met crosswise a statement that held a meter and made the next subject.
create function quota.lock_gauges(p_feature_ids text[])
returns void
language plpgsql
volatile
security invoker
set search_path = pg_catalog, pg_temp
as $$
declare
  v_subject_id text;
  v_feature_ids text[];
begin
  for v_subject_id, v_feature_ids in
    select t.subject_id, array_agg(t.feature_id order by t.feature_id)
    from (
      select r.subject_id, f.feature_id
      from unnest(p_feature_ids) as f (feature_id)
      cross join lateral quota.rows_in_tables(f.feature_id) as r
      union
      select m.subject_id, m.feature_id
      from quota.meters as m
      where m.feature_id = any (p_feature_ids)
    ) as t
    group by t.subject_id
    order by t.subject_id collate "C"
  loop
    if cardinality(v_feature_ids) = 1 then
      perform quota.lock_meter(v_subject_id, v_feature_ids[1]);
    else
      perform quota.lock_meters(v_subject_id, v_feature_ids);
    end if;
  end loop;
end
$$;

comment on function quota.lock_gauges(text[]) is
  'Makes and locks the meters of all subjects of these gauges, in lock order.';

revoke all on function quota.lock_gauges(text[]) from public, anon, authenticated, service_role;

-- Makes a gauge's table lines equal to the rows that are there, under the locks of lock_gauges(). In a
-- few statements for all subjects, since there may be many; the caller has stopped the table's writers.
create function quota.recount_gauge(p_feature_id text)
returns void
language plpgsql
volatile
security invoker
set search_path = pg_catalog, pg_temp
as $$
declare
  v_now timestamptz;
  v_lines quota.events[];
begin
  v_now := quota.clock();

  -- One statement, one snapshot: rows and meters of other tables of the gauge change together. A sum and
  -- no join: what was just written has no statistics, and 50,000 subjects took a nested loop of minutes.
  v_lines := array(
    select row(
      t.subject_id, quota.new_id(v_now), v_now, 'table', p_feature_id, v_now, sum(t.change),
      0, 0, null, null, null, null, '{"recount": true}'
    )::quota.events
    from (
      select r.subject_id, r.amount as change
      from quota.rows_in_tables(p_feature_id) as r
      union all
      select m.subject_id, -m.rows_used
      from quota.meters as m
      where m.feature_id = p_feature_id
    ) as t
    group by t.subject_id
    having sum(t.change) <> 0
  );
  perform quota.record_rows(v_lines);
  -- Statistics of before would have every call scan the ledger (verify_usage() took minutes, not 1 s).
  if cardinality(v_lines) > 1000 then
    analyze quota.subjects, quota.meters, quota.counters, quota.events;
  end if;
end
$$;

comment on function quota.recount_gauge(text) is
  'Sets a gauge to what its tables hold, also over the limit, with a ledger line for each difference.';

revoke all on function quota.recount_gauge(text) from public, anon, authenticated, service_role;

create function quota.recount(p_feature_ids text[])
returns void
language plpgsql
volatile
security invoker
set search_path = pg_catalog, pg_temp
as $$
declare
  v_feature_id text;
begin
  -- A snapshot older than the lock would not see all rows.
  if current_setting('transaction_isolation') <> 'read committed' then
    raise exception 'tables are counted at read committed'
      using errcode = '25001', hint = 'begin the transaction without an isolation level';
  end if;
  delete from quota.limited_tables as t
    where t.feature_id = any (p_feature_ids)
      and not exists (select from pg_catalog.pg_class as c where c.oid = t.table_id);
  perform quota.lock_gauges(p_feature_ids);
  foreach v_feature_id in array p_feature_ids loop
    perform quota.recount_gauge(v_feature_id);
  end loop;
end
$$;

comment on function quota.recount(text[]) is
  'Sets gauges to what their tables hold, for limit_table and unlimit_table. Errors: 25001 not at read committed.';

revoke all on function quota.recount(text[]) from public, anon, authenticated, service_role;

-- What a trigger of a table reads has to be there.
create function quota.check_columns(
  p_table regclass,
  p_columns name[]
)
returns void
language plpgsql
stable
security invoker
set search_path = pg_catalog, pg_temp
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

comment on function quota.check_columns(regclass, name[]) is
  'Errors: 42703 no such column; 22023 a virtual one.';

revoke all on function quota.check_columns(regclass, name[])
  from public, anon, authenticated, service_role;

-- May this table get this gauge?
create function quota.check_limited_table(
  p_table regclass,
  p_feature_id text,
  p_subject_column name,
  p_amount_column name
)
returns void
language plpgsql
volatile
security invoker
set search_path = pg_catalog, pg_temp
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

comment on function quota.check_limited_table(regclass, text, name, name) is
  'Errors: QFEAT, 22023, 42501, 42703, 42809.';

revoke all on function quota.check_limited_table(regclass, text, name, name)
  from public, anon, authenticated, service_role;

-- The triggers of a table and of the leaves it has now, for all its gauges.
create function quota.make_triggers(p_table regclass)
returns void
language plpgsql
volatile
security invoker
set search_path = pg_catalog, pg_temp
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

comment on function quota.make_triggers(regclass) is
  'Makes a limited table and its partitions count their rows.';

revoke all on function quota.make_triggers(regclass)
  from public, anon, authenticated, service_role;

-- Tables that are limited no more: after unlimit_table(), and partitions that were detached.
create function quota.drop_stale_triggers()
returns void
language plpgsql
volatile
security invoker
set search_path = pg_catalog, pg_temp
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

comment on function quota.drop_stale_triggers() is
  'Takes the triggers off tables that are neither limited nor partitions of one that is.';

revoke all on function quota.drop_stale_triggers()
  from public, anon, authenticated, service_role;

create function quota.limit_table(
  p_table regclass,
  p_feature text,
  p_subject_column name,
  p_amount_column name default null
)
returns void
language plpgsql
volatile
security invoker
set search_path = pg_catalog, pg_temp
set lock_timeout = '2s'
set row_security = off
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

comment on function quota.limit_table(regclass, text, name, name) is
  'Puts a gauge on a table: every row that has a subject counts one, or its amount column (null is 0), on the table and on the partitions it has now. Rows that are there are counted, also over the limit. A statement that does not fit raises PT402 with the decision in DETAIL, and nothing of it is written. Call it again after a partition was created, attached or detached, after a column was renamed, or after a load with session_replication_role = replica: it recounts. Call unlimit_table() before the table is dropped. For the owner of the table, not over REST. Errors: QFEAT unknown or metered feature; QAMNT, QSUBJ rows that cannot be counted; 42703 no such column; 42809 no table, or a partition; 22023 an argument is missing, an amount column that is no number, an id column of another type than text, varchar, uuid, smallint, integer and bigint or with a nondeterministic collation, or a virtual generated column; 25001 not at read committed; 42501 not a trusted role, or a table that the owner of schema quota cannot read; 55P03 retry.';

revoke all on function quota.limit_table(regclass, text, name, name)
  from public, anon, authenticated, service_role;

create function quota.unlimit_table(p_table regclass)
returns void
language plpgsql
volatile
security invoker
set search_path = pg_catalog, pg_temp
set lock_timeout = '2s'
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

comment on function quota.unlimit_table(regclass) is
  'Takes the gauges off a table and gives back what its rows counted; also of a table that was dropped, named by its oid in quota.limited_tables. For the owner of the table, not over REST. Errors: 25001 not at read committed; 42501 not a trusted role; 55P03 retry.';

revoke all on function quota.unlimit_table(regclass)
  from public, anon, authenticated, service_role;
