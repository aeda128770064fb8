-- Why this exists: a table that limits itself, on every path: REST, SQL editor, copy, upsert, update of
-- the owner, delete, cascade, truncate. The path that an app forgets is the one that is used.
--
-- Statement triggers with transition tables: one counter update per statement and subject, never per
-- row. Several subjects in one statement are locked in order of their ids. Dynamic SQL is needed for
-- column names, which are quoted by %I; nothing else is put in.

-- The query that sums rows per subject: from a transition table (sign -1 for the old rows), or a table.
create function quota.rows_query(
  p_from text,
  p_sign integer,
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
    'select %1$I::text as subject_id, %2$s * (%3$s) as change, (%3$s) as amount from %4$s where %1$I is not null',
    p_subject_column,
    p_sign,
    case when p_amount_column is null then '1' else format('coalesce(%I, 0)::numeric', p_amount_column) end,
    p_from
  );
end
$$;

comment on function quota.rows_query(text, integer, text, text) is
  'SQL text: subject_id, signed change and amount of each row that has a subject.';

revoke all on function quota.rows_query(text, integer, text, text)
  from public, anon, authenticated, service_role;

create function quota.count_rows()
returns trigger
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
set lock_timeout = '2s'
as $$
declare
  v_feature_id text := tg_argv[0];
  v_query text;
  v_row record;
  v_caller quota.caller;
  v_now timestamptz;
begin
  v_query := concat_ws(
    ' union all ',
    case when tg_op in ('UPDATE', 'DELETE') then
      quota.rows_query('old_rows', -1, tg_argv[1], tg_argv[2])
    end,
    case when tg_op in ('INSERT', 'UPDATE') then
      quota.rows_query('new_rows', 1, tg_argv[1], tg_argv[2])
    end,
    -- Before the rows are gone. On leaves alone: truncating a parent fires on parent and leaves.
    case when tg_op = 'TRUNCATE' then
      quota.rows_query(
        format('only %I.%I', tg_table_schema, tg_table_name), -1, tg_argv[1], tg_argv[2]
      )
    end
  );
  for v_row in execute format(
    'select subject_id, sum(change) as change, min(amount) as least, bool_or(amount %% 1 <> 0) as is_broken
     from (%s) as r group by subject_id order by subject_id collate "C"',
    v_query
  ) loop
    if tg_op in ('INSERT', 'UPDATE') and (v_row.least < 0 or v_row.is_broken)
      or abs(v_row.change) > 9007199254740991
    then
      raise exception 'the amount column of % holds what is not a whole number from 0 to 9007199254740991',
        tg_relid::regclass
        using errcode = 'QAMNT', hint = 'count fractional amounts in micro-units';
    end if;
    continue when v_row.change = 0;
    if length(v_row.subject_id) not between 1 and 255 then
      raise exception 'the subject column of % holds an id of % characters, 1 to 255 are allowed',
        tg_relid::regclass, length(v_row.subject_id)
        using errcode = 'QSUBJ', hint = 'null is a row that counts for nobody';
    end if;
    v_caller := row(v_row.subject_id, true, nullif(quota.user_id(), v_row.subject_id))::quota.caller;
    v_now := quota.lock_meter(v_row.subject_id, v_feature_id);
    if v_row.change > 0 then
      perform quota.enforce(
        quota.take(
          v_caller, v_feature_id, v_row.change::bigint, v_now, 'table', null, null, null,
          jsonb_build_object('table', tg_relid::regclass::text)
        )
      );
    else
      perform quota.put_back(
        v_caller, v_feature_id, -v_row.change::bigint, v_now, 'table', null, null,
        jsonb_build_object('table', tg_relid::regclass::text)
      );
    end if;
  end loop;
  return null;
end
$$;

comment on function quota.count_rows() is
  'Trigger of limit_table(): counts the rows of a statement, and raises PT402 when they do not fit. Arguments: feature, subject column, amount column.';

revoke all on function quota.count_rows() from public, anon, authenticated, service_role;

-- What the limited tables hold, per subject.
create function quota.rows_in_tables(
  p_feature_id text,
  p_subject_id text default null
)
returns table (subject_id text, amount bigint)
language plpgsql
stable
security invoker
set search_path = pg_catalog, pg_temp
as $$
declare
  v_query text;
begin
  select string_agg(
    quota.rows_query(t.table_id::text, 1, t.subject_column::text, t.amount_column::text), ' union all '
  )
  into v_query
  from quota.limited_tables as t
  where t.feature_id = p_feature_id;
  if v_query is not null then
    return query execute format(
      'select r.subject_id, sum(r.amount)::bigint from (%s) as r
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

-- Makes a gauge's table lines equal to the rows that are there: for limit_table and unlimit_table. In a
-- few statements for all subjects, since there may be many; the caller has stopped the table's writers.
create function quota.recount(p_feature_id text)
returns bigint
language plpgsql
volatile
security invoker
set search_path = pg_catalog, pg_temp
as $$
declare
  v_now timestamptz;
  v_lines bigint;
begin
  insert into quota.subjects (subject_id)
    select r.subject_id from quota.rows_in_tables(p_feature_id) as r
    order by r.subject_id collate "C"
    on conflict do nothing;
  insert into quota.meters (subject_id, feature_id)
    select r.subject_id, p_feature_id from quota.rows_in_tables(p_feature_id) as r
    order by r.subject_id collate "C"
    on conflict do nothing;
  -- Also of the subjects whose rows have gone.
  perform from quota.meters as m
    where m.feature_id = p_feature_id
    order by m.subject_id
    for no key update;
  v_now := quota.clock();

  with lines as (
    select e.subject_id, sum(e.used_change) as used
    from quota.events as e
    where e.feature_id = p_feature_id
      and e.kind = 'table'
    group by e.subject_id
  ),
  changes as (
    select
      m.subject_id,
      quota.new_id(v_now) as event_id,
      coalesce(r.amount, 0) - coalesce(l.used, 0) as change
    from quota.meters as m
    left join quota.rows_in_tables(p_feature_id) as r on r.subject_id = m.subject_id
    left join lines as l on l.subject_id = m.subject_id
    where m.feature_id = p_feature_id
      and coalesce(r.amount, 0) <> coalesce(l.used, 0)
  ),
  written as (
    insert into quota.events (
      subject_id, event_id, at, kind, feature_id, counts_at, used_change, metadata
    )
    select c.subject_id, c.event_id, v_now, 'table', p_feature_id, v_now, c.change, '{"recount": true}'
    from changes as c
    returning subject_id, used_change
  )
  -- A counter that is not there yet starts from the ledger, at the first call.
  update quota.counters as n
    set used = n.used + w.used_change
    from written as w
    where n.subject_id = w.subject_id
      and n.feature_id = p_feature_id
      and n.period_end > v_now
      and n.period_start <= v_now;
  get diagnostics v_lines = row_count;
  return v_lines;
end
$$;

comment on function quota.recount(text) is
  'Sets a gauge to what its tables hold, also over the limit, with a ledger line for each difference.';

revoke all on function quota.recount(text) from public, anon, authenticated, service_role;

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
as $$
declare
  v_owner oid := (select n.nspowner from pg_catalog.pg_namespace as n where n.nspname = 'quota');
  v_leaf record;
  v_event text;
  v_column name;
  v_trigger text;
begin
  perform quota.require_trusted();
  perform quota.check_feature(p_feature);
  if not exists (
    select from quota.features as f where f.feature_id = p_feature and f.kind = 'gauge'
  ) then
    raise exception 'feature % is metered, a table needs a gauge', quote_literal(p_feature)
      using errcode = 'QFEAT', hint = 'give it "kind": "gauge" in the plan document';
  end if;
  foreach v_column in array array_remove(array[p_subject_column, p_amount_column], null) loop
    if not exists (
      select from pg_catalog.pg_attribute as a
      where a.attrelid = p_table and a.attname = v_column and a.attnum > 0 and not a.attisdropped
    ) then
      raise exception 'table % has no column %', p_table, quote_ident(v_column)
        using errcode = '42703', hint = 'name the column that holds the subject, and the amount';
    end if;
  end loop;
  if p_subject_column is null or p_amount_column is not null and not exists (
    select from pg_catalog.pg_attribute as a
    where a.attrelid = p_table and a.attname = p_amount_column
      and a.atttypid in ('smallint'::regtype, 'integer'::regtype, 'bigint'::regtype, 'numeric'::regtype)
  ) then
    raise exception 'the subject column is missing, or the amount column is not a whole number'
      using errcode = '22023', hint = 'an amount is smallint, integer, bigint or numeric';
  end if;
  -- Truncate and verify_usage() read the table as the owner of schema quota, and past its policies.
  if not exists (
    select from pg_catalog.pg_class as c
    join pg_catalog.pg_roles as r on r.oid = v_owner
    where c.oid = p_table
      and (r.rolsuper or pg_has_role(v_owner, c.relowner, 'usage') and not c.relforcerowsecurity)
      and c.relkind in ('r', 'p')
  ) then
    raise exception 'table % is not one that the owner of schema quota owns', p_table
      using errcode = '42501',
        hint = format('a table (no view, no forced row security) of %s or of a role that it is a member of', v_owner::regrole);
  end if;

  -- Writers wait, so that no row is missed or counted twice.
  execute format('lock table %s in share row exclusive mode', p_table);
  for v_leaf in
    select p_table as table_id, (select c.relkind = 'r' from pg_catalog.pg_class as c where c.oid = p_table) as is_leaf
    union
    select t.relid, t.isleaf from pg_catalog.pg_partition_tree(p_table) as t
  loop
    v_trigger := 'pgquota_' || left(p_feature, 24) || '_' || left(md5(p_feature), 8);
    for v_event in
      select unnest(array['insert', 'update', 'delete'] || case when v_leaf.is_leaf then array['truncate'] else '{}' end)
    loop
      execute format(
        'create or replace trigger %I %s %s on %s %s for each statement execute function quota.count_rows(%L, %L%s)',
        v_trigger || '_' || v_event,
        case v_event when 'truncate' then 'before' else 'after' end,
        v_event,
        v_leaf.table_id::regclass,
        case v_event
          when 'insert' then 'referencing new table as new_rows'
          when 'update' then 'referencing old table as old_rows new table as new_rows'
          when 'delete' then 'referencing old table as old_rows'
          else ''
        end,
        p_feature,
        p_subject_column,
        case when p_amount_column is null then '' else format(', %L', p_amount_column) end
      );
    end loop;
  end loop;
  insert into quota.limited_tables (table_id, feature_id, subject_column, amount_column)
    values (p_table, p_feature, p_subject_column, p_amount_column)
    on conflict (table_id, feature_id) do update
      set subject_column = excluded.subject_column,
          amount_column = excluded.amount_column;
  perform quota.recount(p_feature);
end
$$;

comment on function quota.limit_table(regclass, text, name, name) is
  'Puts a gauge on a table: every row that has a subject counts one, or its amount column (null is 0), on the table and on the leaves it has now. Rows that are there are counted, also over the limit. A statement that does not fit raises PT402 with the decision in DETAIL, and nothing of it is written. Call it again after a partition was created, attached or detached, or after a load with session_replication_role = replica: it recounts. For the owner of the table, not over REST. Errors: QFEAT unknown or metered feature; 42703 no such column; 22023 an amount column that is no number; 42501 not a trusted role, or a table that the owner of schema quota cannot read.';

revoke all on function quota.limit_table(regclass, text, name, name)
  from public, anon, authenticated, service_role;

create function quota.unlimit_table(p_table regclass)
returns void
language plpgsql
volatile
security invoker
set search_path = pg_catalog, pg_temp
as $$
declare
  v_features text[];
  v_feature_id text;
  v_trigger record;
begin
  perform quota.require_trusted();
  execute format('lock table %s in share row exclusive mode', p_table);
  for v_trigger in
    select t.tgname, t.tgrelid
    from pg_catalog.pg_trigger as t
    where t.tgfoid = 'quota.count_rows()'::regprocedure
      and (
        t.tgrelid = p_table
        or t.tgrelid in (select p.relid from pg_catalog.pg_partition_tree(p_table) as p)
      )
  loop
    execute format('drop trigger %I on %s', v_trigger.tgname, v_trigger.tgrelid::regclass);
  end loop;
  v_features := array(
    select t.feature_id from quota.limited_tables as t where t.table_id = p_table order by t.feature_id
  );
  delete from quota.limited_tables as t where t.table_id = p_table;
  foreach v_feature_id in array v_features loop
    perform quota.recount(v_feature_id);
  end loop;
end
$$;

comment on function quota.unlimit_table(regclass) is
  'Takes the gauges off a table and gives back what its rows counted. For the owner of the table, not over REST. Errors: 42501 not a trusted role.';

revoke all on function quota.unlimit_table(regclass)
  from public, anon, authenticated, service_role;
