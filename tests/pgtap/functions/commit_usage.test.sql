-- commit_usage(): turns a hold into use, and records what really happened.
begin;
select set_config('search_path', 'public, ' || pronamespace::regnamespace, true) from pg_proc where proname = 'pgtap_version';
set local timezone = 'UTC';
select plan(58);

create or replace function quota.clock()
returns timestamptz language plpgsql set search_path = pg_catalog, pg_temp
as $$ begin return current_setting('test.clock', true); end $$;
set local test.clock = '2026-09-15 12:00:00+00';

do $$ begin perform apply_plans('{
  "features": {
    "ai_generation": {}, "burst": {}, "token": {}, "pack": {}, "seat": {"kind": "gauge"}
  },
  "plans": {
    "free": {"default": true, "upgrade_url": "/up", "limits": {
      "ai_generation": {"month": 10}, "burst": {"minute": 2, "month": 3}, "token": {"month": null},
      "pack": {"month": 5}, "seat": {"lifetime": 3}
    }},
    "none": {"limits": {"burst": {"month": 1}}}
  }
}'); end $$;

create temporary table holds (name text primary key, id uuid, event uuid);
grant all on holds to service_role, authenticated;
create function pg_temp.hold(p_name text, p_subject text, p_amount bigint, p_feature text default 'ai_generation')
returns void language sql as $$
  insert into holds
    select p_name, reservation_id from public.reserve_usage(p_feature, p_amount, p_subject)
$$;
create function pg_temp.id(p_name text) returns uuid
language sql as $$ select id from holds where name = p_name $$;
create function pg_temp.state(p_subject text, p_feature text default 'ai_generation') returns text
language sql as $$
  select row(used, reserved, "limit", remaining)::text from public.check_usage(p_feature, 1, p_subject)
$$;
create function pg_temp.lines(p_name text) returns text[] language sql as $$
  select array_agg(row(kind, used_change, reserved_change)::text order by at, kind)
  from public.usage_events where about_id = pg_temp.id(p_name) and kind <> 'draw'
$$;

-- Who may.
select pg_temp.hold('user', 'ada', 1);
set local role authenticated;
set local request.jwt.claims = '{"sub": "ada", "role": "authenticated"}';
select throws_ok(
  $$select commit_usage(pg_temp.id('user'), 0)$$, '42501', null,
  'a user cannot commit its own hold: it would say 0'
);
select throws_ok(
  $$select quota.commit_usage(pg_temp.id('user'), 0, null, '{}')$$, '42501', null,
  'nor by the private function'
);
set local role anon;
select throws_ok($$select commit_usage(null)$$, '42501', null, 'anon may not call it');
set local role service_role;

-- As held.
select pg_temp.hold('all', 'bob', 4);
create temporary table answer as
  select to_jsonb(d) as told from commit_usage(pg_temp.id('all'), metadata => '{"model": "small"}') as d;
select is(
  (select told - 'event_id' from answer),
  jsonb_build_object('reservation_id', pg_temp.id('all')) ||
  '{"allowed": true, "reason": "ok", "feature": "ai_generation", "subject": "bob", "plan": "free",
    "amount": 4, "used": 4, "reserved": 0, "limit": 10, "remaining": 6, "unlimited": false,
    "period": "month", "period_start": "2026-09-01T00:00:00+00:00",
    "resets_at": "2026-10-01T00:00:00+00:00", "retry_after": null, "replayed": false,
    "upgrade_url": "/up", "granted": 0,
    "carried": 0, "limiting_feature": "ai_generation", "limiting_subject": "bob", "limiting_member": null}',
  'without an amount what was held becomes use'
);
select is(
  pg_temp.lines('all'), array['(commit,4,-4)', '(reserve,0,4)'], 'the ledger has one line that does both'
);
select is(
  (select row(event_id = (select (told ->> 'event_id')::uuid from answer), metadata)::text
   from usage_events where about_id = pg_temp.id('all') and kind = 'commit'),
  '(t,"{""model"": ""small""}")', 'which the answer names, with the metadata of the commit'
);

-- Less, more, nothing.
select pg_temp.hold('less', 'bob', 4);
select is(
  (select row(allowed, reason, amount, used, reserved, remaining)::text from commit_usage(pg_temp.id('less'), 1)),
  '(t,ok,1,5,0,5)', 'a commit of less gives the rest back'
);
select pg_temp.hold('nothing', 'bob', 5);
select is(
  (select row(allowed, reason, amount, used, reserved, remaining)::text from commit_usage(pg_temp.id('nothing'), 0)),
  '(t,ok,0,5,0,5)', 'a commit of 0 gives all of it back'
);
select is(
  pg_temp.lines('nothing'), array['(commit,0,-5)', '(reserve,0,5)'], 'and is in the ledger'
);
select pg_temp.hold('more', 'bob', 1);
select is(
  (select row(allowed, reason, amount, used, remaining)::text from commit_usage(pg_temp.id('more'), 5)),
  '(t,ok,5,10,0)', 'a commit of more than was held takes what room there is'
);
select is(
  (select array_agg(row(threshold, used)::text order by threshold) from usage_alerts where subject = 'bob'),
  array['(80,8)', '(80,10)', '(80,10)', '(100,10)', '(100,10)'],
  'a threshold gives its alert when a hold or a commit crosses it, and is armed when a commit gives back'
);
select pg_temp.hold('over', 'eve', 6);
do $$ begin perform consume_usage('ai_generation', 4, 'eve'); end $$;
select is(
  (select row(allowed, reason, amount, used, reserved, "limit", remaining)::text
   from commit_usage(pg_temp.id('over'), 9)),
  '(t,over_limit,9,13,0,10,0)', 'and where there is none it passes the limit, and says so'
);
select is(
  (select row(allowed, used, remaining)::text from consume_usage('ai_generation', 1, 'eve')), '(f,13,0)',
  'nothing else passes it after that'
);
select is(
  (select status from current_usage where subject = 'eve' and feature = 'ai_generation'), 'over_limit',
  'the usage bar says so too'
);

-- Again.
select is(
  (select to_jsonb(d) from commit_usage(pg_temp.id('all')) as d),
  (select told || '{"replayed": true}' from answer), 'the same commit again gives the first answer'
);
select is(
  (select to_jsonb(d) from commit_usage(pg_temp.id('all'), 1, 'bob', '{"model": "other"}') as d),
  (select told || '{"replayed": true}' from answer), 'whatever amount and metadata it names'
);
select is(
  (select to_jsonb(d) -> 'reason' from commit_usage(pg_temp.id('over')) as d), '"over_limit"',
  'an over_limit is repeated as such'
);
select throws_ok(
  $$select release_usage(pg_temp.id('all'))$$, 'QRSRV', null, 'a release after the commit is QRSRV'
);
select is(pg_temp.state('bob'), '(10,0,10,0)', 'none of these has counted anything');

-- Which hold.
select throws_ok($$select commit_usage(null)$$, 'QRSRV', null, 'no reservation is QRSRV');
select throws_ok(
  $$select commit_usage('00000000-0000-0000-0000-000000000000')$$, 'QRSRV', null,
  'an unknown reservation is QRSRV'
);
select throws_ok(
  $$select commit_usage(pg_temp.id('user'), 1, 'bob')$$, 'QRSRV', null,
  'a subject that is given and wrong is QRSRV'
);
select throws_ok(
  $$select commit_usage(pg_temp.id('user'), 1, '')$$, 'QRSRV', null, 'an empty subject is a wrong one'
);
select throws_ok(
  $$select commit_usage((select (told ->> 'event_id')::uuid from answer))$$, 'QRSRV', null,
  'an event is no reservation'
);

-- Wrong arguments.
select throws_ok($$select commit_usage(pg_temp.id('user'), -1)$$, 'QAMNT', null, 'amount -1 is QAMNT');
select throws_ok(
  $$select commit_usage(pg_temp.id('user'), 9007199254740992)$$, 'QAMNT', null,
  'more than 2^53 - 1 is QAMNT'
);
select throws_ok(
  $$select commit_usage(pg_temp.id('user'), 1, metadata => '1')$$, 'QMETA', null,
  'metadata that is no object is QMETA'
);
do $$ begin perform consume_usage('token', 9007199254740990, 'ada'); end $$;
select pg_temp.hold('overflow', 'ada', 1, 'token');
select throws_ok(
  $$select commit_usage(pg_temp.id('overflow'), 2)$$, 'QAMNT', null,
  'a commit that a counter cannot hold is QAMNT'
);
select is(
  (select row(used, reserved)::text from current_usage where subject = 'ada' and feature = 'token'),
  '(9007199254740990,1)', 'and leaves the hold open'
);
select is(
  (commit_usage(pg_temp.id('overflow'))).used, 9007199254740991::bigint, 'so that it can be ended otherwise'
);
select is(pg_temp.state('ada'), '(0,1,10,9)', 'none of these has ended the hold');

-- Late.
select pg_temp.hold('late', 'carl', 4);
select pg_temp.hold('later', 'carl', 4);
set local test.clock = '2026-09-15 12:15:00+00';
select is(
  (select row(allowed, reason, used, reserved, remaining)::text from commit_usage(pg_temp.id('late'))),
  '(t,ok,4,0,6)', 'a commit after the hold has expired counts, while there is room'
);
select is(
  pg_temp.lines('late'), array['(reserve,0,4)', '(commit,4,0)', '(expire,0,-4)'],
  'the ledger says that the hold expired, and what was used'
);
do $$ begin perform consume_usage('ai_generation', 6, 'carl'); end $$;
select is(
  (select row(allowed, reason, used, "limit", remaining)::text from commit_usage(pg_temp.id('later'), 1)),
  '(t,over_limit,11,10,0)', 'and when its room was taken meanwhile, it passes the limit and says so'
);
select is(
  (select row(reason, replayed)::text from commit_usage(pg_temp.id('later'), 1)), '(over_limit,t)',
  'a late commit can be repeated'
);
select throws_ok(
  $$select release_usage(pg_temp.id('late'))$$, 'QRSRV', null, 'and not be released'
);

-- In which period.
select pg_temp.hold('burst', 'dan', 2, 'burst');
set local test.clock = '2026-09-15 12:16:00+00';
do $$ begin perform consume_usage('burst', 1, 'dan'); end $$;
select is(
  (select row(reason, amount, period, used, "limit")::text from commit_usage(pg_temp.id('burst'), 1)),
  '(ok,1,month,2,3)', 'a commit in a later minute'
);
select is(
  (select array_agg(row(period, used, reserved)::text order by period) from current_usage
   where subject = 'dan' and feature = 'burst'),
  array['(minute,1,0)', '(month,2,0)'], 'counts in the month, and leaves the new minute alone'
);
set local test.clock = '2026-09-30 23:59:00+00';
select pg_temp.hold('september', 'dan', 8);
set local test.clock = '2026-10-01 00:01:00+00';
select is(
  (select row(used, period_start, resets_at, remaining)::text from commit_usage(pg_temp.id('september'))),
  '(8,"2026-09-01 00:00:00+00","2026-10-01 00:00:00+00",2)',
  'a commit in the next month counts in the month of the hold, and shows it'
);
select is(pg_temp.state('dan'), '(0,0,10,10)', 'the new month is as it was');
select is(
  (select array_agg(row(period_start, threshold)::text) from usage_alerts
   where subject = 'dan' and feature = 'ai_generation'),
  array['("2026-09-01 00:00:00+00",80)'], 'and an alert belongs to the month of the hold'
);

-- Plans.
select pg_temp.hold('lost', 'fay', 5);
select pg_temp.hold('lost and late', 'fay', 1);
do $$ begin perform set_plan('fay', 'none'); end $$;
select is(
  (select row(allowed, reason, plan, period, "limit")::text from commit_usage(pg_temp.id('lost'))),
  '(t,ok,none,,0)', 'a hold of a feature that the plan has lost is counted: it was promised'
);
select is(
  (commit_usage(pg_temp.id('lost and late'), 2)).reason, 'over_limit', 'what goes past it was not'
);
do $$ begin perform set_plan('fay', 'free'); end $$;
select is(pg_temp.state('fay'), '(7,0,10,3)', 'and all of it is there when the plan has it again');

-- Gauges.
select pg_temp.hold('seat', 'gus', 2, 'seat');
select is(
  (select row(reason, used, reserved, remaining, resets_at)::text from commit_usage(pg_temp.id('seat'), 1)),
  '(ok,1,0,2,)', 'an invitation that is accepted becomes a seat'
);

-- Refunds.
select is(
  (select row(allowed, amount, used)::text
   from refund_usage((select (told ->> 'event_id')::uuid from answer), 3)),
  '(t,3,0)', 'a commit can be refunded by its event_id'
);
select throws_ok(
  $$select refund_usage((select (told ->> 'event_id')::uuid from answer), 2)$$, 'QAMNT', null,
  'at most what it counted'
);
select throws_ok(
  $$select refund_usage((select event_id from usage_events where about_id = pg_temp.id('all') and kind = 'reserve'))$$,
  'QRSRV', null, 'a hold cannot be refunded'
);

-- Grants: open now, whatever was open when the hold was made.
do $$ begin perform grant_usage('pack', 10, 'ina', '2026-10-01 00:05+00'); end $$;
select pg_temp.hold('beside a grant', 'ina', 5, 'pack');
select pg_temp.hold('drawn', 'ina', 4, 'pack');
select is(pg_temp.state('ina', 'pack'), '(0,9,15,6)', 'a hold draws what the plan does not cover');
set local test.clock = '2026-10-01 00:05:00+00';
select is(
  (select row(reason, used, "limit", remaining, granted)::text from commit_usage(pg_temp.id('drawn'))),
  '(ok,4,9,0,0)', 'a commit keeps what its hold drew, though the grant has expired meanwhile'
);
select is(
  (select row(reason, used, reserved, "limit", remaining, granted)::text
   from commit_usage(pg_temp.id('beside a grant'), 6)),
  '(over_limit,10,0,9,0,0)', 'what goes past the hold is not covered by a grant that has expired meanwhile'
);
select pg_temp.hold('before a grant', 'joe', 5, 'pack');
set local test.clock = '2026-10-01 00:06:00+00';
do $$ begin perform grant_usage('pack', 10, 'joe'); end $$;
select is(
  (select row(reason, used, "limit", remaining, granted)::text
   from commit_usage(pg_temp.id('before a grant'), 8)),
  '(ok,8,15,7,7)', 'and is covered by one that was bought meanwhile'
);
select is(pg_temp.state('joe', 'pack'), '(8,0,15,7)', 'as a check shows it after that');
select is(
  (select array_agg(row(kind, used_change, drawn_change)::text order by kind, drawn_change)
   from usage_events where about_id = pg_temp.id('before a grant')),
  array['(commit,8,0)', '(draw,0,3)', '(reserve,0,0)'], 'with a line for what it drew'
);

-- What held when it was made, also where it has ended since, and the meter remembers what holds now.
set local test.clock = '2026-12-15 12:21:00+00';
do $$ begin
  perform set_limit('max', 'ai_generation', 'month', 40, '2026-12-15 12:22:00+00');
  perform pg_temp.hold('max', 'max', 1);
end $$;
set local test.clock = '2026-12-15 12:23:00+00';
do $$ begin perform consume_usage('ai_generation', 1, 'max'); end $$;
select is(
  (select row(fresh_from, ceiling > used)::text from quota.meters where subject_id = 'max'),
  '("2026-12-15 12:23:00+00",t)', 'a meter that remembers what holds since an exception has ended'
);
select is(
  (select row(reason, "limit", used)::text from commit_usage(pg_temp.id('max'))), '(ok,40,2)',
  'is not asked what a hold of before was under'
);

-- The clock is set back while it is held, by less than since the meter was last asked properly.
set local test.clock = '2026-12-15 12:25:00+00';
do $$ begin
  perform consume_usage('ai_generation', 1, 'lea');
  perform set_config('test.clock', '2026-12-15 12:25:40+00', true);
  perform pg_temp.hold('lea', 'lea', 2), pg_temp.hold('lea again', 'lea', 1);
  perform set_config('test.clock', '2026-12-15 12:25:10+00', true);
  perform commit_usage(pg_temp.id('lea')), release_usage(pg_temp.id('lea again'));
end $$;
select is_empty(
  $$select kind from usage_events where subject = 'lea' and at < counts_at$$,
  'no line lies before the instant that it counts in, also when the clock was set back'
);

reset role;
select is_empty($$select * from verify_usage()$$, 'every number is proved by the ledger');

select * from finish();
rollback;
