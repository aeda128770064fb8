-- set_parent: what a subject uses counts for those above it, too; every level has room, or nothing is counted.
begin;
select set_config('search_path', 'public, ' || pronamespace::regnamespace, true) from pg_proc where proname = 'pgtap_version';
set local timezone = 'UTC';
select plan(44);

create or replace function quota.clock()
returns timestamptz language plpgsql set search_path = pg_catalog, pg_temp
as $$ begin return current_setting('test.clock', true); end $$;
set local test.clock = '2026-09-15 12:00:00+00';

do $$ begin perform apply_plans('{
  "features": {"call": {}, "image": {"costs": {"credit": 10}}, "credit": {}, "file": {"kind": "gauge"}, "other": {}},
  "plans": {
    "free": {"default": true, "limits": {"call": {"month": 3}, "other": {"month": 1}, "file": {"lifetime": 2}}},
    "org": {"upgrade_url": "/org", "limits": {"call": {"month": 10}, "credit": {"month": 100}}},
    "team": {"upgrade_url": "/team", "limits": {"call": {"month": 6}}},
    "key": {"limits": {"call": {"day": 2}, "credit": {"month": 15}}}
  }
}'); end $$;
create function pg_temp.told(p public.usage_decision)
returns text language sql as $$
  select row(p.allowed, p.reason, p.subject, p.plan, p.limiting_subject, p.limiting_feature, p.used, p."limit", p.upgrade_url)::text
$$;
create function pg_temp.used(p_feature text default 'call')
returns text language plpgsql as $$ begin
  return (select string_agg(subject_id || ' ' || used || case when reserved > 0 then '+' || reserved else '' end, ', ' order by subject_id)
  from quota.meters where feature_id = p_feature);
end $$;

do $$ begin
  perform set_plan('acme', 'org'), set_plan('team1', 'team'), set_plan('key1', 'key');
  perform consume_usage('call', 1, 'team1'), consume_usage('call', 1, 'team1');
  perform set_parent('team1', 'acme'), set_parent('key1', 'team1'), set_parent('key2', 'team1'), set_parent('user', 'acme');
end $$;
grant usage on schema quota to service_role;
set local role service_role;
select is(pg_temp.used(), 'team1 2', 'what was used before stays where it counted');
select is(
  pg_temp.told(consume_usage('call', 1, 'key1')), '(t,ok,key1,key,key1,call,1,2,)',
  'the answer shows the limit with least room'
);
select is(pg_temp.used(), 'acme 1, key1 1, team1 3', 'and it counts at every level');
select is(
  pg_temp.told(consume_usage('call', 3, 'key2')), '(t,ok,key2,,team1,call,6,6,)',
  'one without a plan passes through'
);
select is(
  pg_temp.told(consume_usage('call', 1, 'key1')), '(f,limit_reached,key1,team,team1,call,6,6,/team)',
  'a level above refuses, with its plan and its upgrade_url'
);
select is(pg_temp.used(), 'acme 4, key1 1, key2 3, team1 6', 'and nothing is counted anywhere');
select is((check_usage('call', 1, 'key1')).limiting_subject, 'team1', 'a check says the same');
select is(pg_temp.told(consume_usage('call', 6, 'user')), '(t,ok,user,,acme,call,10,10,)', 'another branch shares the top');
select is((consume_usage('call', 1, 'acme')).allowed, false, 'which is full for itself, too');
select is((consume_usage('other', 1, 'user')).reason, 'feature_not_in_plan', 'one level must name the feature');
select is((consume_usage('other', 1, 'user')).limiting_subject, 'user', 'and where none does it is the subject''s own');
select is((consume_usage('other', 1, 'ada')).allowed, true, 'the default plan is for who has no parent');
select is(
  (select string_agg(concat_ws(' ', subject, feature, period, used, refuses), ', ') from explain_usage('call', 1, 'key1')),
  'acme call month 10 t, team1 call month 6 t, key1 call day 1 f', 'explain has the limits of all levels'
);

-- Refunds go where it counted.
create temporary table uses as select event_id as id from usage_events where subject = 'key2' and kind = 'consume';
do $$ begin perform set_parent('key2', 'acme'); end $$;
select is((select count(*) from usage_events where kind = 'level' and feature = 'call'), 5::bigint, 'each level has its line');
select is((select sum((refund_usage(id, 2)).amount) from uses), 2::numeric, 'a part is given back');
select is(pg_temp.used(), 'acme 8, key1 1, key2 1, team1 4, user 6', 'where it counted, whatever stands above now');
do $$ begin perform consume_usage('call', 1, 'key2'); end $$;
select is(pg_temp.used(), 'acme 9, key1 1, key2 2, team1 4, user 6', 'and what comes counts where it stands now');

-- Holds.
create temporary table held as select (reserve_usage('call', 1, 'key1', '1 minute')).reservation_id as id;
select is(pg_temp.used(), 'acme 9+1, key1 1+1, key2 2, team1 4+1, user 6', 'a hold holds at every level');
select is((check_usage('call', 1, 'key2')).allowed, false, 'so others have no room');
set local test.clock = '2026-09-15 12:02:00+00';
select is((check_usage('call', 1, 'key2')).allowed, true, 'until it expires');
select is((commit_usage(id)).reason, 'ok', 'a late commit counts') from held;
select is(pg_temp.used(), 'acme 10, key1 2, key2 2, team1 5, user 6', 'at every level');
select is((reserve_usage('call', 1, 'key1')).allowed, false, 'and a full level holds nothing more');
do $$ begin perform reset_usage('call', 'acme'); end $$;
select is((check_usage('call', 1, 'key2')).allowed, true, 'a fresh start by hand is for the subject it names');
select is((check_usage('call', 1, 'key1')).limiting_subject, 'key1', 'alone');

-- Prices are paid at each level that names them.
select is((consume_usage('image', 1, 'user')).limiting_feature, 'credit', 'the price is paid above');
select is(pg_temp.used('credit'), 'acme 10, user 10', 'and counted at each level');
select is((consume_usage('image', 1, 'key1')).limiting_subject, 'key1', 'who names it pays it, too');
select is((consume_usage('image', 1, 'key1')).limiting_subject, 'key1', 'and has no more');
select is(pg_temp.used('credit'), 'acme 20, key1 10, team1 10, user 10', 'all or none');

-- Batches.
select is((select count(*) from consume_usage_batch('[{"feature": "call"}, {"feature": "image"}]', 'user') as b where b.allowed), 2::bigint, 'a batch counts at every level');
select is(pg_temp.used('credit'), 'acme 30, key1 10, team1 10, user 20', 'what its items cost');
select is(
  (select string_agg(b.reason || ' ' || b.limiting_subject, ', ') from consume_usage_batch('[{"feature": "call", "amount": 5}, {"feature": "call", "amount": 5}]', 'user') as b),
  'not_taken acme, limit_reached acme', 'or nothing'
);

-- Gauges: rules/gauge_levels.
select is((consume_usage('file', 1, 'ada')).used, 1::bigint, 'of who has no parent a gauge counts for its subject alone');

-- Who may, and what not.
select throws_ok($$select set_parent('acme', 'acme')$$, 'QSUBJ', null, 'not under itself');
select throws_ok($$select set_parent('acme', 'key1')$$, 'QSUBJ', null, 'nor under what is below');
select throws_ok($$select set_parent('holding', 'key1')$$, 'QSUBJ', null, 'nor on a fourth level');
select throws_ok($$select set_parent('acme', 'holding')$$, 'QSUBJ', null, 'from above neither');
select throws_ok($$select set_parent('', 'acme')$$, 'QSUBJ', null, 'a subject has a name');
select throws_ok($$select set_parent('x', '')$$, 'QSUBJ', null, 'so has a parent');
do $$ begin perform set_parent('user', null), set_parent('user', null); end $$;
select is((consume_usage('call', 3, 'user')).limiting_subject, 'user', 'taken off, it is on its own again');
set local role authenticated;
set local request.jwt.claims = '{"sub": "user", "role": "authenticated"}';
select throws_ok($$select set_parent('user', null)$$, '42501', null, 'nobody signed in sets parents');
reset role;
do $$ begin perform forget_subject('team1'); end $$;
select is((select string_agg(subject_id || coalesce(' ' || parent_id, ''), ', ' order by subject_id) from quota.subjects where subject_id in ('key1', 'key2')), 'key1, key2 acme', 'below who is forgotten nobody is');
select is((select count(*) from verify_usage()), 0::bigint, 'every number is proved');
select * from finish();
rollback;
