create function quota.recount(p_feature_ids text[])
returns void
language plpgsql volatile security invoker set search_path = pg_catalog, pg_temp
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

comment on function quota.recount is
  'Sets gauges to what their tables hold, for limit_table and unlimit_table. Errors: 25001 not at read committed.';

-- Makes a gauge's table lines equal to the rows that are there, under the locks of lock_gauges(). In a
-- few statements for all subjects, since there may be many; the caller has stopped the table's writers.
create function quota.recount_gauge(p_feature_id text)
returns void
language plpgsql volatile security invoker set search_path = pg_catalog, pg_temp
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
  perform quota.note_sizes(cardinality(v_lines));
end
$$;

comment on function quota.recount_gauge is
  'Sets a gauge to what its tables hold, also over the limit, with a ledger line for each difference.';

-- Before gauges are counted anew: the meters of all whose rows are there, or were. Subject by subject in
-- byte order, each with all it needs, as the triggers of other tables lock them: subjects first and
-- meters then met crosswise a statement that held a meter and made the next subject.
create function quota.lock_gauges(p_feature_ids text[])
returns void
language plpgsql volatile security invoker set search_path = pg_catalog, pg_temp
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
      perform quota.lock_meter(v_subject_id, v_feature_ids[1], true);
    else
      perform quota.lock_meters(v_subject_id, v_feature_ids, true);
    end if;
  end loop;
end
$$;

comment on function quota.lock_gauges is
  'Makes and locks the meters of all subjects of these gauges, in lock order.';

create type quota.row_sum as (
  subject_id text,
  amount bigint
);

comment on type quota.row_sum is 'What the rows of limited tables count of one subject.';

-- What the limited tables hold, per subject. Those that were dropped, or whose column was renamed or has
-- another type, hold nothing: verify_usage() shows the difference, and does not fail. So does one whose
-- owner made it a view (Postgres 15 lets an empty table become one) or forces policies on the reader:
-- both are code of theirs. One that was attached to another is part of that one.
create function quota.rows_in_tables(
  p_feature_id text,
  p_subject_id text default null
)
returns setof quota.row_sum
language plpgsql stable security invoker
set search_path = pg_catalog, pg_temp set row_security = off
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

comment on function quota.rows_in_tables is
  'The amounts that the limited tables of a gauge hold, for one subject or all.';
