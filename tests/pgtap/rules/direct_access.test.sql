-- Nobody gets at the tables past the API: every role of the API tries every way on every table and view.
begin;
-- pgTAP in schema public would be taken for ours: it moves aside until the rollback.
do $$ begin
  if (select extnamespace from pg_extension where extname = 'pgtap') = 'public'::regnamespace then
    create schema pgtap_aside;
    grant usage on schema pgtap_aside to public;
    alter extension pgtap set schema pgtap_aside;
  end if;
end $$;
select set_config('search_path', 'public, ' || pronamespace::regnamespace, true) from pg_proc where proname = 'pgtap_version';
set local timezone = 'UTC';
select plan(31);

do $$ begin
  perform apply_plans('{
    "features": {"ai_generation": {}},
    "plans": {"free": {"default": true, "limits": {"ai_generation": {"month": 50}}}, "pro": {"limits": {"ai_generation": {"month": null}}}}
  }');
  perform consume_usage('ai_generation', 1, 'ada', 'key', '{"secret": "of ada"}');
  perform consume_usage('ai_generation', 2, 'bob', 'key', '{"secret": "of bob"}');
  insert into quota.members values ('acme', 'ada'), ('acme', 'bob'), ('other', 'bob');
  perform consume_usage('ai_generation', 3, 'acme');
  perform consume_usage('ai_generation', 4, 'other');
  insert into quota.exceptions values ('ada', 'ai_generation', 'day', 5), ('bob', 'ai_generation', 'day', 5);
  insert into quota.grants (subject_id, grant_id, feature_id, amount, granted_at)
    values ('ada', gen_random_uuid(), 'ai_generation', 5, now()), ('bob', gen_random_uuid(), 'ai_generation', 5, now());
  insert into quota.reservations (subject_id, reservation_id, feature_id, amount, reserved_at, expires_at)
    values ('ada', gen_random_uuid(), 'ai_generation', 5, now(), now()), ('bob', gen_random_uuid(), 'ai_generation', 5, now(), now());
end $$;

create temporary view relations as
  select oid::regclass::text as name, relname::text as short,
    (select quote_ident(attname) from pg_attribute where attrelid = c.oid and attnum = 1) as first_column
  from pg_class as c
  where relnamespace in ('quota'::regnamespace, 'public'::regnamespace) and relkind in ('r', 'v');
grant select on relations to public;

create function pg_temp.code(p_role text, p_sql text) returns text language plpgsql as $$
declare
  v_rows bigint;
begin
  perform set_config('role', p_role, true);
  execute p_sql;
  get diagnostics v_rows = row_count;
  reset role;
  return 'ok ' || v_rows;
exception when others then
  return sqlstate;
end $$;

set local request.jwt.claims = '{"sub": "ada"}';

-- Writing. A view that joins cannot be written by anybody (55000).
create function pg_temp.written(p_sql text) returns setof text language sql as $$
  select role_name || ': ' || format(p_sql, r.name, r.first_column) || ': ' || code
  from pg_temp.relations as r
  cross join unnest(array['anon', 'authenticated', 'service_role']) as role_name
  cross join lateral pg_temp.code(role_name, format(p_sql, r.name, r.first_column)) as code
  where code not in ('42501', '55000', '42809', '0A000')
$$;
select is_empty(format('select pg_temp.written(%L)', sql), 'no role of the API can ' || verb || ' anything')
from (values
  ('insert into %1$s default values', 'insert'),
  ('update %1$s set %2$s = %2$s', 'update'),
  ('delete from %1$s', 'delete'),
  ('truncate %1$s', 'truncate'),
  ('merge into %1$s using (select 1) as s on false when not matched then insert default values', 'merge into'),
  ('copy %1$s from program ''true''', 'load'),
  ('select %2$s from %1$s for update', 'lock the rows of'),
  ('select %2$s from %1$s for share', 'lock the rows for reading of'),
  ('lock table %1$s in exclusive mode', 'lock the whole of'),
  ('alter table %1$s rename to stolen', 'rename'),
  ('alter table %1$s disable row level security', 'open'),
  ('drop table %1$s cascade', 'drop'),
  ('create trigger steal before insert on %1$s execute function suppress_redundant_updates_trigger()', 'put a trigger on'),
  ('create rule steal as on insert to %1$s do instead nothing', 'put a rule on'),
  ('create policy steal on %1$s', 'put a policy on'),
  ('comment on table %1$s is ''stolen''', 'comment on')
) as attempts (sql, verb);
select is(
  (select string_agg(distinct code, ', ')
   from unnest(array['anon', 'authenticated', 'service_role']) as role_name
   cross join unnest(array[
     'create table quota.mine ()', 'create function quota.mine() returns void language sql as $f$ $f$',
     'create or replace function quota.clock() returns timestamptz language sql as $f$ select timestamptz ''2030-01-01'' $f$',
     'alter function quota.clock() rename to mine', 'drop schema quota cascade',
     'create or replace view public.current_usage as select 1 as subject', 'drop view public.usage_events'
   ]) as sql
   cross join lateral pg_temp.code(role_name, sql) as code),
  '42501', 'no role of the API can make, replace or drop anything of ours'
);

-- Reading past the views.
create function pg_temp.subjects_seen(p_relation text) returns text language plpgsql as $$
declare
  v_seen text;
  v_column text := case when p_relation like 'quota.%' then 'subject_id' else 'subject' end;
begin
  set local role authenticated;
  execute format('select string_agg(distinct %1$I, '', '' order by %1$I) from %2$s', v_column, p_relation) into v_seen;
  reset role;
  return v_seen;
exception when insufficient_privilege then
  return '42501';
end $$;
select is(pg_temp.subjects_seen('quota.subjects'), 'acme, ada', 'a user sees the subjects it may act for');
select is(pg_temp.subjects_seen('quota.counters'), 'acme, ada', 'their counters');
select is(pg_temp.subjects_seen('quota.events'), 'acme, ada', 'their ledger lines');
select is(pg_temp.subjects_seen('quota.members'), 'acme', 'its own memberships, not those of others');
set local role authenticated;
select is(quota.organisations_of('bob'), '{}', 'nor does the reader learn to whom another user belongs');
reset role;
select is(pg_temp.subjects_seen('quota.exceptions'), 'ada', 'their exceptions');
select is(pg_temp.subjects_seen('quota.grants'), 'ada', 'their grants');
select is(pg_temp.subjects_seen('quota.reservations'), 'ada', 'their holds');
select is(pg_temp.subjects_seen('quota.meters'), 'acme, ada', 'their meters');
select is(
  pg_temp.code('authenticated', $$select from quota.meters where subject_id = 'ada' for key share$$), '42501',
  'and no locks'
);
select is(
  (select string_agg(name, ', ' order by short) from relations
   where pg_temp.code('anon', format('select 1 from %s limit 1', name)) <> '42501'),
  'quota.feature_costs, quota.features, plan_catalog, quota.plan_limits, quota.plan_values, quota.plans', 'anon sees the catalogue and nothing else'
);

-- Filters that would tell about the rows of others by failing.
create function pg_temp.leaks(p_relation text, p_condition text) returns text language sql as $$
  select pg_temp.code('authenticated', format('select 1 from %s where %s', p_relation, p_condition))
$$;
select is(
  pg_temp.leaks('usage_events', $$used_change = 2 and 1 / (used_change - 2) > 0$$), 'ok 0',
  'a filter that divides by what others used is not evaluated on their rows'
);
select is(
  pg_temp.leaks('usage_events', $$metadata ->> 'secret' = 'of bob' and (metadata ->> 'secret')::integer > 0$$), 'ok 0',
  'nor one that casts what others wrote'
);
select is(
  pg_temp.leaks('current_usage', $$used = 2 and 1 / (used - 2) > 0$$), 'ok 0', 'nor on current_usage'
);

select * from finish();
rollback;
