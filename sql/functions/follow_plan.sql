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
  v_old jsonb := case when tg_op <> 'INSERT' then to_jsonb(old) end;
  v_new jsonb := case when tg_op <> 'DELETE' then to_jsonb(new) end;
  v_former_id text := v_old ->> tg_argv[0];
  v_subject_id text := v_new ->> tg_argv[0];
begin
  -- Else it would read as null, and everybody would fall to the default plan.
  if not coalesce(v_new, v_old) ?& tg_argv then
    raise exception 'a column that follow_plan() follows was renamed: %', array_to_string(tg_argv, ', ')
      using errcode = '42703', hint = 'call quota.follow_plan() with the new name';
  end if;
  -- In lock order, though the new subject is put on its plan first.
  perform from quota.subjects as s
    where s.subject_id = v_former_id
      and s.subject_id < v_subject_id
    for no key update;
  if v_subject_id is not null then
    perform quota.follow_row(v_subject_id, v_new ->> tg_argv[1]);
  end if;
  if v_former_id is not null and v_former_id is distinct from v_subject_id then
    perform quota.follow_row(v_former_id, null);
  end if;
  return null;
end
$$;

comment on function quota.plan_changed() is
  'Trigger of follow_plan(). Arguments: subject column, plan column.';

revoke all on function quota.plan_changed() from public, anon, authenticated, service_role;

create function quota.follow_plan(
  p_table regclass,
  p_subject_column name,
  p_plan_column name
)
returns bigint
language plpgsql
volatile
security invoker
set search_path = pg_catalog, pg_temp
set lock_timeout = '2s'
as $$
declare
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
  execute format(
    'create or replace trigger pgquota_follow_plan after insert or delete on %s
     for each row execute function quota.plan_changed(%L, %L)',
    p_table, p_subject_column, p_plan_column
  );
  -- Most updates of such a table change neither, and cost nothing.
  execute format(
    'create or replace trigger pgquota_follow_plan_update after update on %1$s
     for each row when ((old.%2$I, old.%3$I) is distinct from (new.%2$I, new.%3$I))
     execute function quota.plan_changed(%2$L, %3$L)',
    p_table, p_subject_column, p_plan_column
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

comment on function quota.follow_plan(regclass, name, name) is
  'Keeps set_plan in step with an app''s own table of one row per subject: now for its rows, and from now on at every insert, update and delete (null or deleted: the default plan), though not at truncate. Anchor and zone are kept, an end is cleared. Returns how many rows were followed. Whoever may write the plan column chooses the plan. Call it again after a column was renamed. To end it: drop the triggers pgquota_follow_plan and pgquota_follow_plan_update of the table. For the owner of the table, not over REST. Errors: QPLAN a plan that is not in the catalogue, which also refuses the app''s write; QSUBJ an empty subject or one over 255 characters; 21000 several plans for one subject; 22023 an argument is missing, or a virtual generated column; 42703 no such column; 25001 not at read committed; 42501 not a trusted role; 55P03 retry.';

revoke all on function quota.follow_plan(regclass, name, name)
  from public, anon, authenticated, service_role;
