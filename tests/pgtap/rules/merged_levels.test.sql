-- Merging where there are levels: a visitor of one team becomes an account in another.
begin;
select set_config('search_path', 'public, ' || pronamespace::regnamespace, true) from pg_proc where proname = 'pgtap_version';
set local timezone = 'UTC';
select plan(26);

create or replace function quota.clock()
returns timestamptz language plpgsql set search_path = pg_catalog, pg_temp
as $$ begin return current_setting('test.clock', true); end $$;
set local test.clock = '2026-09-15 12:00:00+00';
do $$ begin perform apply_plans('{
  "features": {"image": {"costs": {"credit": 10}}, "credit": {}, "file": {"kind": "gauge"}},
  "plans": {
    "org": {"limits": {"credit": {"month": 1000}, "file": {"lifetime": 10}}, "per_member": {"credit": {"month": 300}}},
    "user": {"limits": {"credit": {"month": 200}, "file": {"lifetime": 8}}}
  }
}'); end $$;
create function pg_temp.told(p public.usage_decision)
returns text language sql as $$
  select row(p.allowed, p.reason, p.subject, p.limiting_subject, p.limiting_member, p.used, p.reserved, p."limit")::text
$$;
create function pg_temp.meters(p_feature text)
returns text language sql as $$
  select string_agg(
    replace(m.subject_id, chr(31), '/') || ' ' || m.used || case when m.reserved > 0 then '+' || m.reserved else '' end, ', '
    order by m.subject_id
  )
  from quota.meters as m where m.feature_id = p_feature and (m.used > 0 or m.reserved > 0)
$$;
create function pg_temp.files()
returns text language sql as $$
  select string_agg(subject || ' ' || used, ', ' order by subject) from current_usage where feature = 'file' and used > 0
$$;
grant usage on schema quota to service_role;
create temporary table ids (name text, id uuid);
grant all on ids to service_role;
set local role service_role;
do $$ begin
  perform set_plan('acme', 'org'), set_plan('beta', 'org'), set_plan('account', 'user');
  perform set_parent('visitor', 'acme'), set_parent('account', 'beta'), set_parent('key', 'visitor');
  insert into ids select 'use', event_id from consume_usage('image', 2, 'visitor', 'k1', actor => 'ada');
  insert into ids select 'hold', reservation_id from reserve_usage('image', 3, 'visitor', actor => 'ada');
  insert into ids select 'key', event_id from consume_usage('image', 1, 'key');
  perform consume_usage('image', 4, 'account'), consume_usage('file', 2, 'visitor'), consume_usage('file', 1, 'key'), consume_usage('file', 3, 'account');
end $$;
select is(pg_temp.meters('credit'), 'account 40, acme 30+30, acme/ada 20+30, beta 40, key 10, visitor 30+30', 'before');
select is(pg_temp.files(), 'account 3, acme 3, beta 3', 'of files, too');

do $$ begin perform merge_subjects('visitor', 'account'); end $$;
select is_empty('select * from verify_usage()', 'every number is proved');
select is(pg_temp.meters('credit'), 'account 70+30, acme 30+30, acme/ada 20+30, beta 40, key 10', 'what was used is the account''s, and stays where it counted above');
select is(pg_temp.files(), 'account 6, beta 6', 'what gauges show moves along, of those below, too');
select is((select array_agg(s.subject_id || ' ' || s.parent_id order by s.subject_id) from quota.subjects as s where s.parent_id is not null),
  array['account beta', 'key account'], 'those below are the account''s');
select is((select count(*) from usage_events where subject = 'account' and kind = 'merge'), 1::bigint, 'a line says so');
select is(pg_temp.told(consume_usage('image', 1, 'key')), '(t,ok,key,account,,80,30,200)', 'a key counts for the account now');
select is(pg_temp.told(consume_usage('image', 1, 'visitor')), '(t,ok,account,account,,90,30,200)', 'as does the old name');
select is(pg_temp.meters('credit'), 'account 90+30, acme 30+30, acme/ada 20+30, beta 60, key 20', 'and for those above the account');
select is((select replayed from consume_usage('image', 2, 'visitor', 'k1', actor => 'ada')), true, 'a key stays bound');

-- What was begun before ends where it counted.
select is(pg_temp.told(commit_usage((select id from ids where name = 'hold'), 2)), '(t,ok,account,account,,110,0,200)', 'a hold is committed');
select is(pg_temp.meters('credit'), 'account 110, acme 50, acme/ada 40, beta 60, key 20', 'where it held');
select is((refund_usage((select id from ids where name = 'use'), 1)).subject, 'account', 'a use is refunded');
select is((refund_usage((select id from ids where name = 'key'))).subject, 'key', 'and one of below');
select is(pg_temp.meters('credit'), 'account 90, acme 30, acme/ada 30, beta 60, key 10', 'where they counted');
select is_empty('select * from verify_usage()', 'every number is proved');
do $$ begin perform return_usage('file', 1, 'visitor'), consume_usage('file', 3, 'key'); end $$;
select is(pg_temp.told(consume_usage('file', 3, 'beta')), '(f,limit_reached,beta,beta,,8,0,10)', 'the level above has exactly what is left');

-- What would not do.
do $$ begin perform set_parent('low', 'key2'), set_parent('key2', 'old'), set_parent('new', 'beta'); end $$;
select throws_ok($$select merge_subjects('old', 'new')$$, 'QSUBJ', null, 'more than three levels');
select throws_ok($$select merge_subjects('old', 'low')$$, 'QSUBJ', null, 'into one that is below it');
select is((select parent_id from quota.subjects where subject_id = 'key2'), 'old', 'these change nothing');
do $$ begin perform set_parent('new', null), merge_subjects('old', 'new'); end $$;
select is((select parent_id from quota.subjects where subject_id = 'key2'), 'new', 'as a whole they fit');
do $$ begin perform merge_subjects('low', 'new'); end $$;
select is((select parent_id from quota.subjects where subject_id = 'low'), null, 'what is below joins the one above, where nothing counted for both');
select throws_ok($$select set_parent('new', 'low')$$, 'QSUBJ', null, 'and is that one since');
do $$ begin perform merge_subjects('acme', 'beta'); end $$;
select is(pg_temp.meters('credit'), 'account 90, beta 90, key 10', 'organisations become one with all that was counted there');
select is_empty('select * from verify_usage()', 'proved at the end');
reset role;
select * from finish();
rollback;
