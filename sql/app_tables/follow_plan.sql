-- Apps that keep the plan in a table of their own (profiles.plan, the subscriptions of
-- Supabase's Stripe sync) need no second call to set_plan: the table is followed.
--
-- Row triggers, since Postgres gives them to every partition, also to one that comes later.

-- Which application tables say who is on which plan. Written by follow_plan() and
-- unfollow_plan() alone; a trigger that somebody dropped is missed, since the row here expects it.
create table quota.followed_tables (
  table_id regclass not null,
  subject_column name not null,
  plan_column name not null,
  users_may_write boolean not null default false,
  constraint followed_tables_pkey primary key (table_id)
);

comment on table quota.followed_tables is
  'Tables whose plan column is followed: one row per table.';

comment on column quota.followed_tables.users_may_write is
  'Whether it is meant that users of the API may write the plan column.';

alter table quota.followed_tables enable row level security;

create policy select_service on quota.followed_tables
  for select to service_role using (true);

-- Withheld: every write; follow_plan() is for DBAs, since it makes triggers.

create function quota.follow_plan(
  p_table regclass,
  p_subject_column name,
  p_plan_column name,
  p_users_may_write boolean default false
)
returns bigint
language plpgsql volatile security invoker -- Hidden rows would not be followed: an error instead, and no policy of the table's is evaluated.
set search_path = pg_catalog, pg_temp set lock_timeout = '2s' set row_security = off
as $$
declare
  v_columns text[] := array[p_subject_column, p_plan_column];
  v_types regtype[];
  v_subject_ids text[];
  v_plan_ids text[];
  v_rows bigint;
  v_several text;
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
  perform quota.make_plan_triggers(p_table);

  execute format(
    'select array_agg(r.subject_id order by r.subject_id), array_agg(r.plan_id order by r.subject_id),
       sum(r.rows), min(r.subject_id) filter (where r.is_told_twice)
     from (
       select t.%1$I::text collate "C" as subject_id, min(t.%2$I::text) as plan_id, count(*) as rows,
         min(t.%2$I::text) <> max(t.%2$I::text) or count(t.%2$I) not in (0, count(*)) as is_told_twice
       from %3$s as t
       where t.%1$I is not null
       group by 1
     ) as r',
    p_subject_column, p_plan_column, p_table
  ) into v_subject_ids, v_plan_ids, v_rows, v_several;
  if v_several is not null then
    raise exception 'several rows name a plan for the subject %', quote_literal(left(v_several, 100))
      using errcode = '21000', hint = 'follow a table that has one row for each subject';
  end if;
  -- Who is on its plan already stays as it is.
  select array_agg(r.subject_id order by r.subject_id), array_agg(r.plan_id order by r.subject_id)
    into v_subject_ids, v_plan_ids
    from unnest(v_subject_ids, v_plan_ids) as r (subject_id, plan_id)
    where not exists (
      select from quota.subjects as s
      where s.subject_id = r.subject_id
        and s.plan_id is not distinct from r.plan_id
        and s.plan_ends_at is null
    );
  perform quota.follow_rows(v_subject_ids, v_plan_ids);
  return coalesce(v_rows, 0);
end
$$;

comment on function quota.follow_plan is
  'Keeps set_plan in step with an app''s own table of one row per subject: now for its rows, and from now on at every insert, update and delete (null or deleted: the default plan), though not at truncate. Anchor and zone are kept, an end is cleared. Returns how many rows were followed. Whoever may write the plan column chooses the plan: refused while anon or authenticated may (the hint has the statements), unless p_users_may_write is true. Call it again after a column was renamed. unfollow_plan() ends it. For the owner of the table, not over REST. Errors: QPLAN a plan that is not in the catalogue, or a retired one that the subject is not on, which also refuses the app''s write; QSUBJ an empty subject or one over 255 characters; 21000 several plans for one subject; 22023 an argument is missing, a column of another type than text, varchar, uuid, smallint, integer and bigint or with a nondeterministic collation, or a virtual generated column; 42703 no such column; 25001 not at read committed; 42501 not a trusted role, a plan column that users may write, or a table with policies for the caller; 55P03 retry.';

create function quota.make_plan_triggers(p_table regclass)
returns void
language plpgsql volatile security invoker set search_path = pg_catalog, pg_temp
as $$
declare
  v_subject_column name;
  v_plan_column name;
  v_arguments text;
begin
  select f.subject_column, f.plan_column,
      format('%L, %L', f.subject_column, f.plan_column)
        -- The third says that it was meant, to who looks for what was not.
        || case when f.users_may_write then ', ''users may write''' else '' end
    into v_subject_column, v_plan_column, v_arguments
    from quota.followed_tables as f
    where f.table_id = p_table;
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
    p_table, v_subject_column, v_plan_column, v_arguments
  );
end
$$;

comment on function quota.make_plan_triggers is 'Makes a followed table tell of its changes.';

create function quota.unfollow_plan(p_table regclass)
returns void
language plpgsql volatile security invoker
set search_path = pg_catalog, pg_temp set lock_timeout = '2s'
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

comment on function quota.unfollow_plan is
  'Ends follow_plan() for a table; its subjects keep their plans. Also for a table that was dropped, named by its oid in quota.followed_tables. For the owner of the table, not over REST. Errors: 42501 not a trusted role; 55P03 retry.';
