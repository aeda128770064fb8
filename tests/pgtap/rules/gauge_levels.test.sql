-- Gauges at levels: what those below have is in the limit of the one above, and moves with a child.
begin;
select set_config('search_path', 'public, ' || pronamespace::regnamespace, true) from pg_proc where proname = 'pgtap_version';
set local timezone = 'UTC';
select plan(42);

create or replace function quota.clock()
returns timestamptz language plpgsql set search_path = pg_catalog, pg_temp
as $$ begin return current_setting('test.clock', true); end $$;
set local test.clock = '2026-09-15 12:00:00+00';

do $$ begin perform apply_plans('{
  "features": {"file": {"kind": "gauge"}, "call": {}},
  "plans": {
    "org": {"upgrade_url": "/org", "limits": {"file": {"lifetime": 10}}},
    "team": {"limits": {"file": {"lifetime": 6}}}
  }
}'); end $$;
create table public.uploads (id integer primary key, team text);
do $$ begin perform quota.limit_table('public.uploads', 'file', 'team'); end $$;
create function pg_temp.told(p public.usage_decision)
returns text language sql as $$
  select row(p.allowed, p.reason, p.amount, p.limiting_subject, p.used, p.reserved, p."limit", p.remaining)::text
$$;
create function pg_temp.shown()
returns text language sql as $$
  select string_agg(concat_ws(' ', subject, used) || case when reserved > 0 then '+' || reserved else '' end, ', ' order by subject)
  from current_usage where feature = 'file'
$$;
grant usage on schema quota to service_role;
grant select, insert, delete, update on public.uploads to service_role;

do $$ begin
  perform set_plan('acme', 'org'), set_plan('dev', 'team'), set_plan('ops', 'team'), set_plan('rival', 'org');
  perform consume_usage('file', 2, 'acme'), consume_usage('file', 1, 'dev');
  perform set_parent('dev', 'acme'), set_parent('ops', 'acme'), set_parent('ops/night', 'ops');
end $$;
set local role service_role;
select is(pg_temp.shown(), 'acme 3, dev 1, ops 0, rival 0', 'what a child had before is the parent''s as well');
select is(pg_temp.told(consume_usage('file', 1, 'dev')), '(t,ok,1,dev,2,0,6,4)', 'the level with least room is shown');
select is(pg_temp.told(consume_usage('file', 2, 'ops/night')), '(t,ok,2,acme,6,0,10,4)', 'of equals the one that comes first');
select is(pg_temp.shown(), 'acme 6, dev 2, ops 2, rival 0', 'over three levels');
select is(pg_temp.told(consume_usage('file', 5, 'acme')), '(f,limit_reached,5,acme,6,0,10,4)', 'the organisation itself has no more than is left');
select is(pg_temp.told(check_usage('file', 5, 'ops/night')), '(f,limit_reached,5,acme,6,0,10,4)', 'a check asks all levels');
select is(pg_temp.told(consume_usage('file', 5, 'ops/night', partial => true)), '(t,ok,4,acme,10,0,10,0)', 'partial takes what all have room for');
select is(pg_temp.told(consume_usage('file', 1, 'dev')), '(f,limit_reached,1,acme,10,0,10,0)', 'then nobody has more');
select is((consume_usage('file', 1, 'dev')).upgrade_url, '/org', 'and the answer says where to get it');
select is((return_usage('file', 2, 'ops/night')).allowed, true, 'what goes below');
select is(pg_temp.shown(), 'acme 8, dev 2, ops 4, rival 0', 'makes room above');
create temporary table slot as select reserve_usage('file', 2, 'dev', '1 minute') as d;
select is(pg_temp.told((select d from slot)), '(t,ok,2,acme,8,2,10,0)', 'a hold counts at every level');
select is(pg_temp.shown(), 'acme 8+2, dev 2+2, ops 4, rival 0', 'and is shown there');
select is(pg_temp.told(consume_usage('file', 1, 'acme')), '(f,limit_reached,1,acme,8,2,10,0)', 'it holds for the organisation, too');
set local test.clock = '2026-09-15 12:01:00+00';
select is(pg_temp.told(consume_usage('file', 1, 'acme')), '(t,ok,1,acme,9,0,10,1)', 'until it expires below');
create temporary table late as select commit_usage((select (d).reservation_id from slot), 1) as d;
select is(pg_temp.shown(), 'acme 10, dev 3, ops 4, rival 0', 'a late commit counts all the same');

-- Tables.
select throws_ok($$ insert into uploads values (1, 'dev') $$, 'PT402', null, 'a row has room at every level, or is refused');
do $$ begin perform return_usage('file', 2, 'ops/night'); end $$;
select lives_ok($$ insert into uploads values (1, 'dev'), (2, 'ops') $$, 'rows of two teams of one organisation');
select is(pg_temp.shown(), 'acme 10, dev 4, ops 3, rival 0', 'count at every level');
select throws_ok($$ insert into uploads values (3, 'ops/night') $$, 'PT402', null, 'and fill it');
delete from uploads where id = 2;
select is(pg_temp.shown(), 'acme 9, dev 4, ops 2, rival 0', 'a row that goes makes room');

-- Batches.
select is(
  (select string_agg(concat_ws(' ', b.allowed, b.reason, b.limiting_subject), ', ')
   from consume_usage_batch('[{"feature": "file", "subject": "dev"}, {"feature": "file", "subject": "ops"}]') as b),
  'f not_taken acme, f limit_reached acme', 'items for several count beside one another'
);
select is_empty($$ select * from verify_usage() $$, 'all of it is proved');

-- A child that moves.
do $$ begin perform set_parent('dev', 'rival'); end $$;
select is(pg_temp.shown(), 'acme 5, dev 4, ops 2, rival 4', 'it takes along what it has');
select is(pg_temp.told(consume_usage('file', 2, 'ops')), '(t,ok,2,ops,4,0,6,2)', 'where it was there is room');
do $$ begin perform consume_usage('file', 6, 'rival'); end $$;
select is(pg_temp.told(consume_usage('file', 1, 'dev')), '(f,limit_reached,1,rival,10,0,10,0)', 'where it is there is none');
select is((select string_agg(concat_ws(' ', subject, threshold), ', ' order by threshold) from usage_alerts where subject = 'rival'), 'rival 80, rival 100', 'marks are told');
do $$ begin perform set_parent('dev', null); perform forget_subject('ops'); end $$;
select is(pg_temp.told(consume_usage('file', 4, 'rival')), '(t,ok,4,rival,10,0,10,0)', 'its room comes back');
select is(pg_temp.told(consume_usage('file', 1, 'rival')), '(f,limit_reached,1,rival,10,0,10,0)', 'once');
select is_empty($$ select * from verify_usage() $$, 'and all of it is proved');

-- The operator's list and the history have the whole, too.
do $$ begin
  perform set_plan('firm', 'org'), set_plan('shop', 'team'), set_parent('shop', 'firm'), set_parent('till', 'shop'), add_member('firm', 'boss');
  perform consume_usage('file', 3, 'firm'), consume_usage('file', 2, 'shop'), consume_usage('file', 3, 'till');
end $$;
select is(
  (select string_agg(concat_ws(' ', subject, used, remaining, status), ', ' order by subject) from usage_overview where subject in ('firm', 'shop', 'till')),
  'firm 8 2 warning, shop 5 1 warning', 'usage_overview shows what stands below as well'
);
select is(
  (select string_agg(concat_ws(' ', subject, used), ', ' order by subject) from usage_history where subject in ('firm', 'shop', 'till')),
  'firm 8, shop 5', 'and usage_history'
);
reset role;
set local role authenticated;
set local request.jwt.claims = '{"sub": "boss"}';
select is((select string_agg(concat_ws(' ', subject, used), ', ' order by subject) from usage_history), 'firm 8', 'also to a member, who sees nothing else of those below');
set local request.jwt.claims = '{"sub": "stranger"}';
select is((select count(*) from usage_history), 0::bigint, 'and a stranger sees nothing');
reset role;
set local request.jwt.claims = '';
set local role service_role;

-- A hold that is committed with more than it held.
do $$ begin
  perform set_plan('corp', 'org'), set_plan('sales', 'team'), set_parent('sales', 'corp'), set_parent('desk', 'sales');
  perform consume_usage('file', 7, 'corp');
end $$;
create temporary table held as select reserve_usage('file', 1, 'desk') as one, reserve_usage('file', 1, 'desk') as two, reserve_usage('file', 1, 'sales') as three;
select is(pg_temp.told((select one from held)), '(t,ok,1,corp,7,1,10,2)', 'holds of one below, which has no plan of its own');
select is(pg_temp.told(commit_usage((select (one).reservation_id from held))), '(t,ok,1,corp,8,2,10,0)', 'a commit says how full the levels are');
select is(pg_temp.told(commit_usage((select (two).reservation_id from held), 3)), '(t,over_limit,3,corp,11,1,10,0)', 'and where one has no room for what it used more');
select is((commit_usage((select (two).reservation_id from held), 3)).reason, 'over_limit', 'repeated, too');
select is(pg_temp.told(commit_usage((select (three).reservation_id from held), 0)), '(t,ok,0,corp,11,0,10,0)', 'but not where it used less');
select is(
  (select string_agg(concat_ws(' ', subject, threshold), ', ' order by subject, threshold) from usage_alerts where subject in ('corp', 'sales', 'desk')),
  'corp 80, corp 100, sales 80', 'marks of the levels are told'
);
do $$ begin perform return_usage('file', 8 - 1, 'corp'); end $$;
create temporary table room as select reserve_usage('file', 1, 'desk') as d;
select is(pg_temp.told(commit_usage((select (d).reservation_id from room), 2)), '(t,ok,2,sales,6,0,6,0)', 'more than was held is fine where all have room');
select is_empty($$ select * from verify_usage() $$, 'all of it is proved');
reset role;
select * from finish();
rollback;
