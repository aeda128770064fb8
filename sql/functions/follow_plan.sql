-- Why this exists: apps that keep the plan in a table of their own (profiles.plan, the subscriptions of
-- Supabase's Stripe sync) need no second call to set_plan: the table is followed.
create function quota.plan_changed()
returns trigger
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
set lock_timeout = '2s'
as $$
declare
  v_subject_id text := to_jsonb(case when tg_op = 'DELETE' then old else new end) ->> tg_argv[0];
  v_plan_id text;
begin
  if tg_op = 'UPDATE' then
    if to_jsonb(old) ->> tg_argv[0] <> v_subject_id then
      perform quota.put_on_plan(to_jsonb(old) ->> tg_argv[0], null);
    elsif to_jsonb(old) ->> tg_argv[1] is not distinct from to_jsonb(new) ->> tg_argv[1] then
      return null;
    end if;
  end if;
  if tg_op <> 'DELETE' then
    v_plan_id := to_jsonb(new) ->> tg_argv[1];
  end if;
  if v_subject_id is not null then
    perform quota.put_on_plan(v_subject_id, v_plan_id);
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
as $$
declare
  v_row record;
  v_rows bigint := 0;
begin
  perform quota.require_trusted();
  execute format('lock table %s in share row exclusive mode', p_table);
  execute format(
    'create or replace trigger pgquota_follow_plan after insert or update or delete on %s for each row execute function quota.plan_changed(%L, %L)',
    p_table, p_subject_column, p_plan_column
  );
  for v_row in execute format(
    'select %1$I::text as subject_id, %2$I::text as plan_id from %3$s where %1$I is not null order by %1$I::text collate "C"',
    p_subject_column, p_plan_column, p_table
  ) loop
    perform quota.put_on_plan(v_row.subject_id, v_row.plan_id);
    v_rows := v_rows + 1;
  end loop;
  return v_rows;
end
$$;

comment on function quota.follow_plan(regclass, name, name) is
  'Keeps set_plan in step with an app''s own table: now for its rows, and from now on at every insert, update and delete (null or deleted: the default plan). Anchor, zone and end are kept. Returns how many rows were followed. Whoever may write the plan column chooses the plan. To end it: drop trigger pgquota_follow_plan on the table. For the owner of the table, not over REST. Errors: QPLAN a plan that is not in the catalogue, which also refuses the app''s write; 42501 not a trusted role.';

revoke all on function quota.follow_plan(regclass, name, name)
  from public, anon, authenticated, service_role;
