-- Whoever owns a limited or followed table must not get code of theirs run by the owner of schema quota:
-- not by a type with a cast, not by a domain, a policy or a view. And one id has one spelling.
begin;
select set_config('search_path', 'public, ' || pronamespace::regnamespace, true) from pg_proc where proname = 'pgtap_version';
set local timezone = 'UTC';
select plan(57);

do $$ begin perform apply_plans('{
  "features": {"kb_file": {"kind": "gauge"}, "kb_byte": {"kind": "gauge"}},
  "plans": {"free": {"default": true, "limits": {"kb_file": {"lifetime": 5}, "kb_byte": {"lifetime": 50}}},
    "pro": {"limits": {"kb_file": {"lifetime": 50}, "kb_byte": {"lifetime": 50}}}}
}'); end $$;

-- The tenant's own code says who ran it.
select lives_ok('create role pgquota_test_tenant', 'a role that owns tables, and nothing else');
create schema tenant authorization pgquota_test_tenant;
create table public.runs (who text, what text);
grant insert on public.runs to public;
set local role pgquota_test_tenant;
create type tenant.id as (value text);
create type tenant.amount as (value bigint);
create type tenant.tier as enum ('free', 'pro');
create domain tenant.short as text check (length(value) < 10);
create function tenant.id_text(tenant.id) returns text language plpgsql as $$
begin insert into public.runs values (current_user, 'id'); return ($1).value; end $$;
create function tenant.amount_number(tenant.amount) returns bigint language plpgsql as $$
begin insert into public.runs values (current_user, 'amount'); return ($1).value; end $$;
create function tenant.id_json(tenant.id) returns json language plpgsql as $$
begin insert into public.runs values (current_user, 'json'); return to_json(($1).value); end $$;
create function tenant.to_id(text) returns tenant.id language sql as $$ select row($1)::tenant.id $$;
create cast (tenant.id as text) with function tenant.id_text(tenant.id) as implicit;
create cast (tenant.id as json) with function tenant.id_json(tenant.id) as implicit;
create cast (tenant.amount as bigint) with function tenant.amount_number(tenant.amount) as implicit;
create collation tenant.folded (provider = icu, locale = 'und-u-ks-level2', deterministic = false);
create table tenant.kinds (
  a_text text, a_varchar varchar(30), a_uuid uuid, a_small smallint, a_int integer, a_big bigint,
  a_c text collate "C",
  an_id tenant.id, a_tier tenant.tier, a_domain tenant.short, a_numeric numeric, a_char char(10), a_name name,
  a_folded text collate tenant.folded, an_array text[], a_json jsonb, an_oid oid, a_float float8, an_instant timestamptz,
  an_amount tenant.amount
);
reset role;
revoke all on tenant.kinds from anon, authenticated;

-- What a column may be.
create function pg_temp.code(p_sql text) returns text language plpgsql as $$
begin
  execute p_sql;
  return 'ok';
exception when others then
  return sqlstate;
end $$;
select is(
  pg_temp.code(format('select quota.limit_table(''tenant.kinds'', ''kb_file'', %L)', c)), 'ok', c || ' holds ids'
) from unnest(array['a_text', 'a_varchar', 'a_uuid', 'a_small', 'a_int', 'a_big', 'a_c']) as c;
select is(
  pg_temp.code(format('select quota.follow_plan(''tenant.kinds'', %L, ''a_text'')', c)), 'ok', c || ' holds subjects with a plan'
) from unnest(array['a_text', 'a_varchar', 'a_uuid', 'a_small', 'a_int', 'a_big', 'a_c']) as c;
select is(
  pg_temp.code(format('select quota.limit_table(''tenant.kinds'', ''kb_file'', %L)', c)), '22023', c || ' is refused'
) from unnest(array['an_id', 'a_tier', 'a_domain', 'a_numeric', 'a_char', 'a_name', 'a_folded', 'an_array', 'a_json', 'an_oid', 'a_float', 'an_instant']) as c;
select is(
  pg_temp.code(format('select quota.follow_plan(''tenant.kinds'', %L, ''a_text'')', c)), '22023', c || ' names no followed subject'
) from unnest(array['an_id', 'a_domain', 'a_numeric', 'a_char', 'a_folded']) as c;
select is(
  pg_temp.code(format('select quota.follow_plan(''tenant.kinds'', ''a_text'', %L)', c)), '22023', c || ' names no plan'
) from unnest(array['an_id', 'a_tier', 'a_domain', 'a_char', 'a_folded']) as c;
select is(
  pg_temp.code(format('select quota.limit_table(''tenant.kinds'', ''kb_byte'', ''a_text'', %L)', c)), o, c || ' as an amount'
) from (values ('a_small', 'ok'), ('a_int', 'ok'), ('a_big', 'ok'), ('a_numeric', 'ok'),
  ('an_amount', '22023'), ('a_float', '22023'), ('a_text', '22023')) as t (c, o);
drop table tenant.kinds;
do $$ begin perform quota.unlimit_table(table_id) from quota.limited_tables; end $$;

-- Changed later.
set local role pgquota_test_tenant;
create table tenant.files (user_id text, bytes bigint, note tenant.id);
reset role;
revoke all on tenant.files from anon, authenticated;
do $$ begin
  perform quota.limit_table('tenant.files', 'kb_file', 'user_id');
  perform quota.limit_table('tenant.files', 'kb_byte', 'user_id', 'bytes');
  perform quota.follow_plan('tenant.files', 'user_id', 'user_id');
  insert into tenant.files values (null, null, row('x')::tenant.id);
  update tenant.files set user_id = 'pro', bytes = 1;
end $$;
select is_empty('select * from public.runs', 'other columns are nobody''s business');
do $$ begin delete from tenant.files; end $$;
set local role pgquota_test_tenant;
drop trigger pgquota_follow_plan_update on tenant.files;
alter table tenant.files alter column user_id type tenant.id using tenant.to_id(user_id);
select is(pg_temp.code($$insert into tenant.files values (tenant.to_id('ada'), 1)$$), '22023', 'a type that came later is noticed by an insert');
alter table tenant.files disable trigger pgquota_insert, disable trigger pgquota_follow_plan;
insert into tenant.files values (tenant.to_id('ada'), 1);
select is(pg_temp.code($$update tenant.files set user_id = tenant.to_id('bob')$$), '22023', 'by an update');
select is(pg_temp.code('truncate tenant.files'), '22023', 'by a truncate');
select is(pg_temp.code('delete from tenant.files'), '22023', 'by a delete');
alter table tenant.files enable trigger pgquota_follow_plan;
select is(pg_temp.code($$insert into tenant.files values (tenant.to_id('pro'), 1)$$), '22023', 'and by the trigger of follow_plan()');
reset role;
select is_empty(
  $$select * from verify_usage() where ledger <> 0$$, 'verify_usage() takes such a table for empty, and does not fail'
);
select is(
  pg_temp.code($$select quota.limit_table('tenant.files', 'kb_file', 'user_id')$$), '22023', 'limit_table() refuses it'
);
set local role pgquota_test_tenant;
alter table tenant.files alter column user_id type text using (user_id).value;
alter table tenant.files alter column bytes type tenant.amount using row(bytes)::tenant.amount;
select is(pg_temp.code($$delete from tenant.files$$), '22023', 'an amount of such a type is noticed, too');
reset role;
do $$ begin perform * from verify_usage(); end $$;
select is_empty('select * from public.runs', 'none of the tenant''s code has run');
set local role pgquota_test_tenant;
alter table tenant.files alter column bytes type bigint using (bytes).value;
alter table tenant.files enable trigger pgquota_insert;
reset role;
select is(pg_temp.code($$select quota.limit_table('tenant.files', 'kb_file', 'user_id')$$), 'ok', 'with its former types the table counts again');
do $$ begin perform quota.limit_table('tenant.files', 'kb_byte', 'user_id', 'bytes'); end $$;
select is_empty('select * from verify_usage()', 'and equals its gauge');

-- A collation that came later makes one id of two spellings.
set local role pgquota_test_tenant;
alter table tenant.files alter column user_id type text collate tenant.folded;
select is(pg_temp.code($$insert into tenant.files values ('ADA', 1)$$), '22023', 'a collation that came later is noticed');
reset role;

select * from finish();
rollback;
