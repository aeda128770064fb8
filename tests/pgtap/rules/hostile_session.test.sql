-- A hostile session: names that shadow ours, types, operators and settings change nothing and never
-- run with the owner's rights.
begin;
select set_config('search_path', 'public, ' || pronamespace::regnamespace, true) from pg_proc where proname = 'pgtap_version';
set local timezone = 'UTC';
select plan(22);

create or replace function quota.clock()
returns timestamptz language plpgsql set search_path = pg_catalog, pg_temp
as $$ begin return '2026-09-15 12:00:00+00'; end $$;

-- Nothing is called before the traps are laid: a function that has been compiled has found its types.
do $$ begin
  perform apply_plans('{
    "features": {"ai_generation": {}, "burst": {}},
    "plans": {"free": {"default": true, "limits": {"ai_generation": {"month": 3}, "burst": {"minute": 1, "day": 2, "month": 5}}}}
  }');
end $$;

-- The results of the attacks; what ran for them, and as whom.
create schema attack;
create table attack.results (n pg_catalog.int4 generated always as identity, result pg_catalog.text);
create table attack.ran (what pg_catalog.text, run_by pg_catalog.text);
create function attack.note(what pg_catalog.text) returns pg_catalog.bool language plpgsql volatile
set search_path = pg_catalog as $$
begin
  insert into attack.ran values (what, current_user);
  return true;
end $$;
grant usage, create on schema attack to authenticated;
grant all on attack.results, attack.ran to authenticated;

set local role authenticated;
set local request.jwt.claims = '{"sub": "ada"}';

-- Temporary tables with the names of ours.
create temporary table plans (plan_id text, name text, is_default boolean, upgrade_url text);
insert into pg_temp.plans values ('free', 'Free', true, null);
create temporary table plan_limits (plan_id text, feature_id text, period text, amount bigint);
insert into pg_temp.plan_limits values ('free', 'ai_generation', 'month', null);
create temporary table counters (subject_id text, feature_id text, period text, used bigint);
create temporary table events (subject_id text, event_id uuid);
create temporary table subjects (subject_id text, plan_id text);
create temporary table members (subject_id text, user_id text);
insert into pg_temp.members values ('bob', 'ada');
create temporary table meters (subject_id text, feature_id text);
create temporary table features (feature_id text, server_only boolean);
create temporary table pg_roles (rolname name);
create temporary table pg_namespace (nspname name, nspowner oid);
create temporary table pg_timezone_names (name text);
-- Functions and operators that would make everything allowed.
create function attack.clock_timestamp() returns timestamptz language plpgsql as $$
begin
  perform attack.note('clock_timestamp');
  return '2030-01-01 00:00:00+00';
end $$;
create function attack.is_trusted() returns boolean language sql as $$ select attack.note('is_trusted') $$;
create function attack.current_setting(text, boolean) returns text language plpgsql as $$
begin
  perform attack.note('current_setting');
  return 'service_role';
end $$;
create function attack.length(text) returns integer language plpgsql as $$
begin
  perform attack.note('length');
  return 1;
end $$;
create function attack.less(bigint, bigint) returns boolean language sql as $$ select attack.note('<') $$;
create operator attack.< (leftarg = bigint, rightarg = bigint, function = attack.less);
create function attack.same(text, text) returns boolean language sql as $$ select attack.note('=') $$;
create operator attack.= (leftarg = text, rightarg = text, function = attack.same);
-- Types: a domain whose check would run as whoever casts to it.
create domain pg_temp.bigint as pg_catalog.int8 check (attack.note('bigint'));
create domain pg_temp.jsonb as pg_catalog.jsonb check (attack.note('jsonb'));
create domain pg_temp.uuid as pg_catalog.uuid check (attack.note('uuid'));
create domain pg_temp.timestamptz as pg_catalog.timestamptz check (attack.note('timestamptz'));
create domain pg_temp.int8 as pg_catalog.int8 check (attack.note('int8'));
create domain pg_temp.interval as pg_catalog.interval check (attack.note('interval'));
create domain pg_temp.boolean as pg_catalog.bool check (attack.note('boolean'));
create domain pg_temp.name as pg_catalog.name check (attack.note('name'));
create domain pg_temp.usage_decision as pg_catalog.text check (attack.note('usage_decision'));
create domain pg_temp.text as pg_catalog.text check (attack.note('text'));
delete from attack.ran;

-- Unnamed, pg_temp comes first of all for types and tables; attack comes first for the rest.
set local search_path = attack, pg_catalog, public;
set local timezone = 'Pacific/Kiritimati';
set local datestyle = 'German, DMY';
set local intervalstyle = 'sql_standard';
set local extra_float_digits = -15;
set local bytea_output = 'escape';
set local array_nulls = off;
set local transform_null_equals = on;
set local quote_all_identifiers = on;
set local standard_conforming_strings = off;
set local row_security = off;
set local enable_indexscan = off;
set local plan_cache_mode = force_custom_plan;
set local lock_timeout = '1ms';
set local request.jwt.claim.sub = 'bob';
set local request.jwt.claim.role = 'service_role';

insert into attack.results (result)
  select pg_catalog.concat_ws(' ', allowed, used, "limit", remaining, pg_catalog.to_char(period_start at time zone 'UTC', 'YYYY-MM-DD HH24:MI'), retry_after)
  from public.consume_usage('ai_generation', 3, null, 'key', '{"a": 1}');
insert into attack.results (result)
  select pg_catalog.concat_ws(' ', allowed, used, "limit", remaining, pg_catalog.to_char(resets_at at time zone 'UTC', 'YYYY-MM-DD HH24:MI'), retry_after)
  from public.consume_usage('ai_generation');
insert into attack.results (result)
  select pg_catalog.concat_ws(' ', replayed, used) from public.consume_usage('ai_generation', 3, null, 'key', '{"a": 1}');
insert into attack.results (result)
  select pg_catalog.concat_ws(' ', allowed, period, used) from public.consume_usage('burst');
insert into attack.results (result)
  select pg_catalog.concat_ws(' ', allowed, period, retry_after) from public.check_usage('burst');
create function pg_temp.code(sql pg_catalog.text) returns pg_catalog.text language plpgsql as $$
begin
  execute sql;
  return 'no error';
exception when others then
  return sqlstate;
end $$;
insert into attack.results (result)
  select pg_temp.code(sql::pg_catalog.text)
  from (values
    ($$select public.consume_usage('ai_generation', 1, 'bob')$$),
    ($$select public.enforce_usage('ai_generation')$$),
    ($$select public.set_plan('ada', 'free')$$),
    ($$select public.consume_usage('nothing')$$),
    ($$select public.consume_usage('burst', 0)$$),
    ($$select public.consume_usage('burst', 1, null, repeat('k', 256))$$)
  ) as c (sql);
-- With row_security off a reader is refused, not shown everything.
insert into attack.results (result)
  select pg_temp.code($$select * from public.usage_events$$);
set local row_security = on;
insert into attack.results (result)
  select pg_catalog.concat_ws(' ', pg_catalog.count(*), pg_catalog.string_agg(distinct subject, ','))
  from public.current_usage;

-- Whoever names things without their schema does fall into the traps.
insert into attack.results (result) select 'x'::text;
insert into attack.results (result) select 'yes' where 1::pg_catalog.int8 < 2::pg_catalog.int8;

-- Out of it.
reset role;
set local search_path = pg_catalog;
drop domain pg_temp.text, pg_temp.usage_decision, pg_temp.bigint, pg_temp.jsonb, pg_temp.uuid,
  pg_temp.timestamptz, pg_temp.int8, pg_temp.interval, pg_temp.boolean, pg_temp.name;
select set_config('search_path', 'public, ' || pronamespace::regnamespace, true) from pg_proc where proname = 'pgtap_version';
set local standard_conforming_strings = on;
set local timezone = 'UTC';
set local datestyle = 'ISO';
set local transform_null_equals = off;

create function pg_temp.result(p_n integer) returns text language sql as $$ select result from attack.results where n = p_n $$;
select is(pg_temp.result(1), 't 3 3 0 2026-09-01 00:00', 'what is allowed is counted as ever');
select is(pg_temp.result(2), 'f 3 3 0 2026-10-01 00:00 1339200', 'what is over the limit is refused as ever');
select is(pg_temp.result(3), 't 3', 'a repeated key is told its first answer as ever');
select is(pg_temp.result(4), 't minute 1', 'of several limits the same one is shown');
select is(pg_temp.result(5), 'f minute 60', 'and refuses');
select is(pg_temp.result(6), '42501', 'a temporary table of members opens no other subject');
select is(pg_temp.result(7), 'PT402', 'a refusal raises as ever');
select is(pg_temp.result(8), '42501', 'claims of a former kind and a function of that name make nobody trusted');
select is(pg_temp.result(9), 'QFEAT', 'an unknown feature is found out');
select is(pg_temp.result(10), 'QAMNT', 'a wrong amount is found out');
select is(pg_temp.result(11), 'QIDEM', 'a wrong key is found out');
select is(pg_temp.result(12), '42501', 'a reader that turns row security off is refused');
select is(pg_temp.result(13), '4 ada', 'and sees itself alone with it on');
select set_eq(
  'select distinct what from attack.ran', array['text', '<'], 'the traps are live, and only those sprang that were tried'
);
select is_empty(
  $$select * from attack.ran where run_by <> 'authenticated'$$, 'nothing of the attacker''s ran as somebody else'
);
select is(
  (select array_agg(coalesce(c.used, m.used - c.used_before) order by feature_id, c.period)
   from quota.counters as c join quota.meters as m using (subject_id, feature_id) where subject_id = 'ada'),
  array[3, 1, 1]::bigint[],
  'the counters are right'
);
select is_empty('select * from verify_usage()', 'and proved by the ledger');
select is((select count(*) from quota.subjects), 1::bigint, 'there is no row of anybody else');

-- A definer function of the app's own is no ladder: the caller is still the user.
create function attack.of_the_app(p_subject text) returns text language plpgsql security definer
set search_path = pg_catalog, pg_temp as $$
begin
  perform public.consume_usage('burst', 1, p_subject);
  return 'ok';
exception when sqlstate '42501' then
  return '42501';
end $$;
grant execute on function attack.of_the_app(text) to authenticated;
set local role authenticated;
select is(attack.of_the_app('bob'), '42501', 'inside a security definer function a user is still that user');
select is(attack.of_the_app('ada'), 'ok', 'and may use its own allowance');
reset role;
create function attack.server_call() returns text language plpgsql security definer
set search_path = pg_catalog, pg_temp as $$
begin
  perform public.set_plan('ada', 'free');
  return 'ok';
exception when sqlstate '42501' then
  return '42501';
end $$;
grant execute on function attack.server_call() to authenticated;
set local role authenticated;
select is(attack.server_call(), '42501', 'what is for the server is not for a user there either');
select is(
  (select array_agg(kind order by kind) from usage_events), array['consume', 'consume'],
  'so its plan was not touched'
);

select * from finish();
rollback;
