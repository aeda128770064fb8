-- Why this exists: apps that keep the plan in a table of their own (profiles.plan, the subscriptions of
-- Supabase's Stripe sync) need no second call to set_plan: the table is followed.
--
-- Row triggers, since Postgres gives them to every partition, also to one that comes later.

create function quota.follow_row(
  p_subject_id text,
  p_plan_id text
)
returns void
language plpgsql
volatile
security invoker
set search_path = pg_catalog, pg_temp
as $$
begin
  if length(p_subject_id) not between 1 and 255 then
    raise exception 'the subject has % characters, 1 to 255 are allowed', length(p_subject_id)
      using errcode = 'QSUBJ', hint = 'null is a row that names nobody''s plan';
  end if;
  -- Who was never seen, or was forgotten, has the default plan already.
  if p_plan_id is not null
    or exists (select from quota.subjects as s where s.subject_id = p_subject_id)
  then
    perform quota.put_on_plan(p_subject_id, p_plan_id);
  end if;
end
$$;

comment on function quota.follow_row(text, text) is
  'Puts the subject that a row names on its plan; a null plan is the default plan. Errors: QSUBJ, QPLAN.';

revoke all on function quota.follow_row(text, text) from public, anon, authenticated, service_role;

create function quota.plan_changed()
returns trigger
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
set lock_timeout = '2s'
as $$
declare
  -- Of the row as it is now: to_jsonb() of it would call what the table's owner made of other columns.
  v_types regtype[];
  v_former_id text;
  v_subject_id text;
  v_plan_id text;
begin
  -- Else it would read as null, and everybody would fall to the default plan.
  perform quota.check_columns(tg_relid, array[tg_argv[0], tg_argv[1]]::name[]);
  execute format('select array[pg_typeof(($1).%I), pg_typeof(($1).%I)]::regtype[]', tg_argv[0], tg_argv[1])
    into v_types
    using coalesce(new, old);
  perform quota.check_ids(tg_relid, array[tg_argv[0], tg_argv[1]], v_types);
  if tg_op <> 'INSERT' then
    execute format('select ($1).%I::text', tg_argv[0]) into v_former_id using old;
  end if;
  if tg_op <> 'DELETE' then
    execute format('select ($1).%I::text, ($1).%I::text', tg_argv[0], tg_argv[1])
      into v_subject_id, v_plan_id
      using new;
  end if;
  -- In lock order, though the new subject is put on its plan first.
  perform from quota.subjects as s
    where s.subject_id = v_former_id
      and s.subject_id < v_subject_id
    for no key update;
  if v_subject_id is not null then
    perform quota.follow_row(v_subject_id, v_plan_id);
  end if;
  if v_former_id is not null and v_former_id is distinct from v_subject_id then
    perform quota.follow_row(v_former_id, null);
  end if;
  return null;
end
$$;

comment on function quota.plan_changed() is
  'Trigger of follow_plan(). Arguments: subject column, plan column, and a third where users may write it.';

revoke all on function quota.plan_changed() from public, anon, authenticated, service_role;

-- Who of the API's users may write what the plan is read from: by a grant on the table or on a column, to
-- them, to public or to a role that they belong to, on the table or on a partition of it.
create function quota.plan_writers(
  p_table regclass,
  p_plan_column name
)
returns name[]
language plpgsql
stable
security invoker
set search_path = pg_catalog, pg_temp
as $$
begin
  return array(
    select r.rolname
    from pg_catalog.pg_roles as r
    where r.rolname in ('anon', 'authenticated')
      and exists (
        select from pg_catalog.pg_class as c
        join pg_catalog.pg_attribute as a on a.attrelid = c.oid
        where (
            c.oid = p_table
            or c.oid in (select t.relid from pg_catalog.pg_partition_tree(p_table) as t)
          )
          and a.attname = any (quota.plan_sources(p_table, p_plan_column))
          and not a.attisdropped
          and has_column_privilege(r.oid, c.oid, a.attnum, 'insert, update')
      )
    order by r.rolname
  );
end
$$;

comment on function quota.plan_writers(regclass, name) is
  'Which of anon and authenticated may insert or update the plan column of a table, or a column that it is generated from.';

revoke all on function quota.plan_writers(regclass, name)
  from public, anon, authenticated, service_role;

-- A generated column is written by whoever writes those that it is generated from.
create function quota.plan_sources(
  p_table regclass,
  p_plan_column name
)
returns name[]
language plpgsql
stable
security invoker
set search_path = pg_catalog, pg_temp
as $$
begin
  return array(
    select p_plan_column
    union
    select s.attname
    from pg_catalog.pg_attribute as a
    left join pg_catalog.pg_attrdef as g on g.adrelid = a.attrelid and g.adnum = a.attnum
    join pg_catalog.pg_depend as d on d.refclassid = 'pg_class'::regclass
      and d.refobjid = a.attrelid
      and (
        (d.classid = 'pg_attrdef'::regclass and d.objid = g.oid)
        or (d.classid = 'pg_class'::regclass and d.objid = a.attrelid and d.objsubid = a.attnum)
      )
    join pg_catalog.pg_attribute as s on s.attrelid = a.attrelid and s.attnum = d.refobjsubid
    where a.attrelid = p_table
      and a.attname = p_plan_column
      and a.attgenerated <> ''
  );
end
$$;

comment on function quota.plan_sources(regclass, name) is
  'The plan column and, if it is generated, the columns that it is generated from.';

revoke all on function quota.plan_sources(regclass, name)
  from public, anon, authenticated, service_role;

create function quota.refuse_plan_writers(
  p_table regclass,
  p_subject_column name,
  p_plan_column name
)
returns void
language plpgsql
stable
security invoker
set search_path = pg_catalog, pg_temp
as $$
declare
  v_writers name[] := quota.plan_writers(p_table, p_plan_column);
  v_sources name[];
  v_grantees text;
  v_tables text;
  v_inserts text;
  v_updates text;
begin
  if cardinality(v_writers) = 0 then
    return;
  end if;
  v_sources := quota.plan_sources(p_table, p_plan_column);
  -- The two statements that end it, for this table: whose grants they are, and what may stay.
  select string_agg(distinct c.oid::regclass::text, ', '),
      string_agg(
        distinct case when p.grantee = 0 then 'public' else p.grantee::regrole::text end, ', '
      )
    into v_tables, v_grantees
    from pg_catalog.pg_class as c
    cross join lateral (
      select x.grantee, x.privilege_type from aclexplode(c.relacl) as x
      union all
      select x.grantee, x.privilege_type
      from pg_catalog.pg_attribute as a
      cross join lateral aclexplode(a.attacl) as x
      where a.attrelid = c.oid
        and a.attname = any (v_sources)
    ) as p
    where (
        c.oid = p_table
        or c.oid in (select t.relid from pg_catalog.pg_partition_tree(p_table) as t)
      )
      and p.privilege_type in ('INSERT', 'UPDATE')
      and p.grantee <> c.relowner
      and (
        p.grantee = 0
        or exists (select from unnest(v_writers) as w (name) where pg_has_role(w.name, p.grantee, 'usage'))
      );
  select
      string_agg(quote_ident(a.attname), ', ' order by a.attnum)
        filter (where has_column_privilege('authenticated', p_table, a.attnum, 'insert')),
      string_agg(quote_ident(a.attname), ', ' order by a.attnum)
        filter (where has_column_privilege('authenticated', p_table, a.attnum, 'update')
          and a.attname <> p_subject_column)
    into v_inserts, v_updates
    from pg_catalog.pg_attribute as a
    where a.attrelid = p_table
      and a.attnum > 0
      and not a.attisdropped
      and a.attgenerated = ''
      and a.attname <> all (v_sources);
  raise exception 'follow_plan: % may write column % of %, and would choose their own plan',
    array_to_string(v_writers, ' and '), quote_ident(p_plan_column), p_table
    using errcode = '42501',
      hint = case when v_grantees is null
        then 'they belong to the owner of the table: take them out of that role'
        else concat_ws(' ',
          format('revoke insert, update on %s from %s;', v_tables, v_grantees),
          'grant ' || nullif(concat_ws(', ',
            'insert (' || v_inserts || ')', 'update (' || v_updates || ')'
          ), '') || format(' on %s to authenticated;', p_table),
          'or follow_plan(…, p_users_may_write => true), where they may choose'
        ) end;
end
$$;

comment on function quota.refuse_plan_writers(regclass, name, name) is
  'Errors: 42501 anon or authenticated may write the plan column; the hint has the statements that end it.';

revoke all on function quota.refuse_plan_writers(regclass, name, name)
  from public, anon, authenticated, service_role;

create function quota.follow_plan(
  p_table regclass,
  p_subject_column name,
  p_plan_column name,
  p_users_may_write boolean default false
)
returns bigint
language plpgsql
volatile
security invoker
set search_path = pg_catalog, pg_temp
set lock_timeout = '2s'
-- Hidden rows would not be followed: an error instead, and no policy of the table's is evaluated.
set row_security = off
as $$
declare
  v_columns text[] := array[p_subject_column, p_plan_column];
  v_types regtype[];
  -- The third says that it was meant, to who looks for what was not.
  v_arguments text := format('%L, %L', p_subject_column, p_plan_column)
    || case when p_users_may_write is true then ', ''users may write''' else '' end;
  v_subject_id text;
  v_plan_id text;
  v_last_id text;
  v_last_plan text;
  v_rows bigint := 0;
begin
  perform quota.require_trusted();
  if p_table is null or p_subject_column is null or p_plan_column is null then
    raise exception 'the table, its subject column or its plan column is missing'
      using errcode = '22023', hint = 'for example follow_plan(''public.profiles'', ''id'', ''plan'')';
  end if;
  perform quota.check_columns(p_table, array[p_subject_column, p_plan_column]);
  -- A snapshot older than the lock would not see all rows.
  if current_setting('transaction_isolation') <> 'read committed' then
    raise exception 'a table is followed from read committed'
      using errcode = '25001', hint = 'begin the transaction without an isolation level';
  end if;
  execute format('lock table %s in share row exclusive mode', p_table);
  execute quota.types_query(p_table::text, v_columns) into v_types;
  perform quota.check_ids(p_table, v_columns, v_types);
  perform quota.check_flag('follow_plan', 'p_users_may_write', p_users_may_write);
  if p_users_may_write is not true then
    perform quota.refuse_plan_writers(p_table, p_subject_column, p_plan_column);
  end if;
  insert into quota.followed_tables (table_id, subject_column, plan_column, users_may_write)
    values (p_table, p_subject_column, p_plan_column, p_users_may_write is true)
    on conflict (table_id) do update
      set subject_column = excluded.subject_column,
          plan_column = excluded.plan_column,
          users_may_write = excluded.users_may_write;
  execute format(
    'create or replace trigger pgquota_follow_plan after insert or delete on %s
     for each row execute function quota.plan_changed(%s)',
    p_table, v_arguments
  );
  -- Most updates of such a table change neither, and cost nothing.
  execute format(
    'create or replace trigger pgquota_follow_plan_update after update on %1$s
     for each row when ((old.%2$I, old.%3$I) is distinct from (new.%2$I, new.%3$I))
     execute function quota.plan_changed(%4$s)',
    p_table, p_subject_column, p_plan_column, v_arguments
  );
  for v_subject_id, v_plan_id in execute format(
    'select %1$I::text collate "C", %2$I::text from %3$s
     where %1$I is not null order by 1, 2',
    p_subject_column, p_plan_column, p_table
  ) loop
    v_rows := v_rows + 1;
    if v_subject_id = v_last_id and v_plan_id is distinct from v_last_plan then
      raise exception 'several rows name a plan for the subject %', quote_literal(left(v_subject_id, 100))
        using errcode = '21000', hint = 'follow a table that has one row for each subject';
    end if;
    v_last_id := v_subject_id;
    v_last_plan := v_plan_id;
    continue when exists (
      select from quota.subjects as s
      where s.subject_id = v_subject_id
        and s.plan_id is not distinct from v_plan_id
        and s.plan_ends_at is null
    );
    perform quota.follow_row(v_subject_id, v_plan_id);
  end loop;
  return v_rows;
end
$$;

comment on function quota.follow_plan(regclass, name, name, boolean) is
  'Keeps set_plan in step with an app''s own table of one row per subject: now for its rows, and from now on at every insert, update and delete (null or deleted: the default plan), though not at truncate. Anchor and zone are kept, an end is cleared. Returns how many rows were followed. Whoever may write the plan column chooses the plan: refused while anon or authenticated may (the hint has the statements), unless p_users_may_write is true. Call it again after a column was renamed. unfollow_plan() ends it. For the owner of the table, not over REST. Errors: QPLAN a plan that is not in the catalogue, which also refuses the app''s write; QSUBJ an empty subject or one over 255 characters; 21000 several plans for one subject; 22023 an argument is missing, a column of another type than text, varchar, uuid, smallint, integer and bigint or with a nondeterministic collation, or a virtual generated column; 42703 no such column; 25001 not at read committed; 42501 not a trusted role, a plan column that users may write, or a table with policies for the caller; 55P03 retry.';

revoke all on function quota.follow_plan(regclass, name, name, boolean)
  from public, anon, authenticated, service_role;

create function quota.unfollow_plan(p_table regclass)
returns void
language plpgsql
volatile
security invoker
set search_path = pg_catalog, pg_temp
set lock_timeout = '2s'
as $$
begin
  perform quota.require_trusted();
  if exists (select from pg_catalog.pg_class as c where c.oid = p_table) then
    execute format('drop trigger if exists pgquota_follow_plan on %s', p_table);
    execute format('drop trigger if exists pgquota_follow_plan_update on %s', p_table);
  end if;
  delete from quota.followed_tables as f where f.table_id = p_table;
end
$$;

comment on function quota.unfollow_plan(regclass) is
  'Ends follow_plan() for a table; its subjects keep their plans. Also for a table that was dropped, named by its oid in quota.followed_tables. For the owner of the table, not over REST. Errors: 42501 not a trusted role; 55P03 retry.';

revoke all on function quota.unfollow_plan(regclass) from public, anon, authenticated, service_role;

-- For verify_installation(): a right on the table is a right on each column, so it is taken from the table
-- and its partitions, and given for the other columns.
create function quota.plan_statement(
  p_table regclass,
  p_plan_column name
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
      concat_ws(
        E'\n',
        format('revoke insert, update on %s from public, anon, authenticated;', c.oid::regclass),
        (
          select string_agg(
            format('grant %s (%s) on %s to %s;', g.privilege, g.columns, c.oid::regclass, g.role), E'\n'
            order by g.role, g.privilege
          )
          from (
            select r.role, x.privilege,
              string_agg(quote_ident(a.attname), ', ' order by a.attnum) as columns
            from (
              select o.rolname as role
              from pg_catalog.pg_roles as o
              where o.rolname in ('anon', 'authenticated')
                and not o.rolsuper
            ) as r
            cross join unnest(array['insert', 'update']) as x (privilege)
            join pg_catalog.pg_attribute as a on a.attrelid = c.oid and a.attnum > 0
            where not a.attisdropped
              and a.attgenerated = ''
              and a.attname <> all (quota.plan_sources(p_table, p_plan_column))
              and has_column_privilege(r.role, c.oid, a.attnum, x.privilege)
            group by r.role, x.privilege
          ) as g
        )
      ), E'\n' order by c.oid::regclass::text collate "C"
    )
    from pg_catalog.pg_class as c
    where c.oid = p_table
      or c.oid in (select t.relid from pg_catalog.pg_partition_tree(p_table) as t)
  );
end
$$;

comment on function quota.plan_statement(regclass, name) is
  'SQL text after which users of the API may write every column that they could, but for the plan column.';

revoke all on function quota.plan_statement(regclass, name)
  from public, anon, authenticated, service_role;
