-- reserve_usage(): holds an amount while work runs; it stops counting the moment it expires.
begin;
select set_config('search_path', 'public, ' || pronamespace::regnamespace, true) from pg_proc where proname = 'pgtap_version';
set local timezone = 'UTC';
select plan(55);

create or replace function quota.clock()
returns timestamptz language plpgsql set search_path = pg_catalog, pg_temp
as $$ begin return current_setting('test.clock', true); end $$;
set local test.clock = '2026-09-15 12:00:30.5+00';

do $$ begin perform apply_plans('{
  "features": {
    "ai_generation": {}, "burst": {}, "token": {}, "export": {}, "scan": {"server_only": true},
    "seat": {"kind": "gauge"}
  },
  "plans": {
    "free": {"default": true, "upgrade_url": "/up", "limits": {
      "ai_generation": {"month": 10}, "burst": {"minute": 2, "month": 3}, "token": {"month": null},
      "scan": {"day": 1}, "seat": {"lifetime": 3}
    }}
  }
}'); end $$;

create function pg_temp.state(p_subject text, p_feature text default 'ai_generation') returns text
language sql as $$
  select row(used, reserved, "limit", remaining)::text
  from public.check_usage(p_feature, 1, p_subject)
$$;
create function pg_temp.lines(p_subject text) returns text[] language sql as $$
  select array_agg(row(kind, used_change, reserved_change)::text order by at, kind, reserved_change)
  from public.usage_events where subject = p_subject
$$;

-- Who may.
set local role authenticated;
set local request.jwt.claims = '{"sub": "ada", "role": "authenticated"}';
select throws_ok($$select reserve_usage('ai_generation')$$, '42501', null, 'a user cannot hold for itself');
select throws_ok(
  $$select reserve_usage('ai_generation', 1, 'ada')$$, '42501', null, 'also not by name: it could hold for days'
);
select throws_ok(
  $$select quota.reserve_usage('ai_generation', 1, 'ada', '1 minute', null, '{}', null, false)$$, '42501', null,
  'nor by the private function'
);
set local role anon;
select throws_ok(
  $$select reserve_usage('ai_generation', 1, 'ada')$$, '42501', null, 'anon may not call it'
);
set local role service_role;

-- The hold.
select is(
  (select to_jsonb(d) - 'reservation_id' from reserve_usage('ai_generation', 4, 'ada') as d),
  '{"allowed": true, "reason": "ok", "feature": "ai_generation", "subject": "ada", "plan": "free",
    "amount": 4, "used": 0, "reserved": 4, "limit": 10, "remaining": 6, "unlimited": false,
    "period": "month", "period_start": "2026-09-01T00:00:00+00:00",
    "resets_at": "2026-10-01T00:00:00+00:00", "retry_after": null, "event_id": null,
    "replayed": false, "upgrade_url": "/up", "granted": 0,
    "carried": 0, "limiting_feature": "ai_generation", "limiting_subject": "ada", "limiting_member": null}',
  'a hold is shown as reserved; nothing is counted that could be refunded'
);
select isnt(
  (reserve_usage('ai_generation', 1, 'ada')).reservation_id, null, 'the answer carries the reservation_id'
);
select is(pg_temp.state('ada'), '(0,5,10,5)', 'holds add up, and take room');
select is(
  pg_temp.lines('ada'), array['(reserve,0,1)', '(reserve,0,4)'], 'each has a line in the ledger'
);
select is(
  (select row(used, reserved, remaining, percent_used, status)::text from current_usage
   where subject = 'ada' and feature = 'ai_generation'),
  '(0,5,5,50,ok)', 'the usage bar counts what is held'
);
select is(
  (select row(allowed, reason, used, reserved, remaining, reservation_id, retry_after)::text
   from reserve_usage('ai_generation', 6, 'ada')),
  '(f,limit_reached,0,5,5,,900)',
  'one that does not fit is refused, which is an answer, and told when a hold in its way ends'
);
select is(
  (select row(allowed, reserved, remaining)::text from consume_usage('ai_generation', 6, 'ada')),
  '(f,5,5)', 'a use finds no room that is held'
);
select is(
  (select row(allowed, used, reserved, remaining)::text from consume_usage('ai_generation', 5, 'ada')),
  '(t,5,5,0)', 'and takes what is left'
);
select is(
  (select array_agg(row(threshold, used)::text order by threshold) from usage_alerts where subject = 'ada'),
  array['(80,10)', '(100,10)'], 'what is held counts towards alerts'
);

-- Its end, to the microsecond.
set local test.clock = '2026-09-15 12:15:30.499999+00';
select is(pg_temp.state('ada'), '(5,5,10,0)', 'until its last microsecond a hold counts');
set local test.clock = '2026-09-15 12:15:30.5+00';
select is(pg_temp.state('ada'), '(5,0,10,5)', 'after 15 minutes, the default, it does not');
select is(
  (select row(used, reserved, remaining, status)::text from current_usage
   where subject = 'ada' and feature = 'ai_generation'),
  '(5,0,5,ok)', 'nor in the usage bar'
);
select is(
  (select reserved from quota.meters where subject_id = 'ada'), 5::bigint,
  'though nobody has written anything since'
);
select is_empty($$select * from verify_usage('ada')$$, 'and the books agree with the open holds');
select is(
  (select row(allowed, used, reserved)::text from consume_usage('ai_generation', 1, 'ada')), '(t,6,0)',
  'the next call writes'
);
select is(
  pg_temp.lines('ada'),
  array['(consume,5,0)', '(reserve,0,1)', '(reserve,0,4)', '(consume,1,0)', '(expire,0,-4)', '(expire,0,-1)'],
  'a line for each hold that expired'
);
select is(
  (select array_agg(distinct state) from quota.reservations where subject_id = 'ada'), array['expired'],
  'and they are expired'
);

-- ttl.
select throws_ok(
  $$select reserve_usage('ai_generation', 1, 'ttl', '0')$$, '22023', null, 'a ttl of nothing is 22023'
);
select throws_ok(
  $$select reserve_usage('ai_generation', 1, 'ttl', '-1 second')$$, '22023', null, 'a negative ttl is 22023'
);
select throws_ok(
  $$select reserve_usage('ai_generation', 1, 'ttl', null)$$, '22023', null, 'no ttl is 22023'
);
select throws_ok(
  $$select reserve_usage('ai_generation', 1, 'ttl', '7 days 1 microsecond')$$, '22023', null,
  'a ttl over 7 days is 22023'
);
select throws_ok(
  $$select reserve_usage('ai_generation', 1, 'ttl', '1 month')$$, '22023', null, 'so is a month'
);
select throws_ok(
  $$select reserve_usage('ai_generation', 1, 'ttl', '1 month -30 days')$$, '22023', null,
  'and a month less 30 days, which is nothing'
);
select lives_ok(
  $$select reserve_usage('ai_generation', 1, 'ttl', '7 days')$$, 'a ttl of 7 days is allowed'
);
select lives_ok(
  $$select reserve_usage('ai_generation', 1, 'ttl', '1 microsecond')$$, 'and one of a microsecond'
);
set local timezone = 'Europe/Berlin';
set local test.clock = '2026-10-24 12:00+00';
do $$ begin perform reserve_usage('ai_generation', 1, 'dst', '1 day'); end $$;
set local timezone = 'UTC';
select is(
  (select expires_at - reserved_at from quota.reservations where subject_id = 'dst'), '24:00:00'::interval,
  'a ttl of a day is 24 hours, also in the session of a zone whose clocks change that night'
);
set local test.clock = '2026-09-15 12:30:00+00';

-- Every limit or none.
do $$ begin perform reserve_usage('burst', 2, 'bob'); end $$;
select is(
  (select row(allowed, period, reserved)::text from reserve_usage('burst', 1, 'bob')), '(f,minute,2)',
  'a hold counts against the minute'
);
set local test.clock = '2026-09-15 12:31:00+00';
select is(
  (select row(allowed, period, reserved)::text from reserve_usage('burst', 2, 'bob')), '(f,month,2)',
  'and against the month, where it still does in the next minute'
);
select is(
  (select row(allowed, period, reserved, remaining)::text from reserve_usage('burst', 1, 'bob')),
  '(t,month,3,0)', 'the next minute has room of its own'
);
select is(
  (select array_agg(row(period, reserved)::text order by period) from current_usage
   where subject = 'bob' and feature = 'burst'),
  array['(minute,1)', '(month,3)'], 'each period shows what was held in it'
);

-- Other kinds.
select is(
  (select row(allowed, unlimited, reserved, "limit")::text from reserve_usage('token', 900, 'ada')),
  '(t,t,900,)', 'unlimited is held all the same'
);
select is(
  (select row(allowed, period, reserved, remaining)::text from reserve_usage('seat', 2, 'ada')),
  '(t,lifetime,2,1)', 'a gauge can be held: an invitation holds a seat'
);
select is(
  (reserve_usage('export', 1, 'ada')).reason, 'feature_not_in_plan', 'a feature that the plan lacks is refused'
);
select is((reserve_usage('scan', 1, 'ada')).allowed, true, 'a server_only feature is held by the server');

-- Many at once.
do $$ begin
  perform set_limit('crowd', 'ai_generation', 'month', 300);
  perform reserve_usage('ai_generation', 1, 'crowd', make_interval(secs => 100 + i))
  from generate_series(1, 300) as i;
end $$;
reset role;
set local track_functions = 'pl';
select is(
  (select row(allowed, retry_after)::text from check_usage('ai_generation', 200, 'crowd')), '(f,300)',
  'the wait is the time until as many of 300 holds have expired as it takes'
);
select cmp_ok(
  (select calls from pg_stat_xact_user_functions where funcname = 'limits_of'), '<=', 12::bigint,
  'which is found by halving, not by a walk through all of them'
);
set local role service_role;

-- Keys.
create temporary table holds (name text, id uuid);
insert into holds select 'first', reservation_id from reserve_usage('ai_generation', 3, 'key', idempotency_key => 'k1');
select is(
  (select row(replayed, reserved, reservation_id = (select id from holds))::text
   from reserve_usage('ai_generation', 3, 'key', '900 seconds', 'k1', '{"retry": 1}')),
  '(t,3,t)', 'repeated with its key it is told the same hold; metadata is no part of it'
);
select is(pg_temp.state('key'), '(0,3,10,7)', 'and holds nothing twice');
select throws_ok(
  $$select reserve_usage('ai_generation', 4, 'key', idempotency_key => 'k1')$$, 'QIDEM', null,
  'the key with another amount is QIDEM'
);
select throws_ok(
  $$select reserve_usage('ai_generation', 3, 'key', '1 minute', 'k1')$$, 'QIDEM', null,
  'with another ttl, too'
);
select throws_ok(
  $$select consume_usage('ai_generation', 3, 'key', 'k1')$$, 'QIDEM', null,
  'the key of a reserve is no key of a use'
);
do $$ begin perform commit_usage((select id from holds), 1); end $$;
select is(
  (select row(replayed, reserved, reservation_id = (select id from holds))::text
   from reserve_usage('ai_generation', 3, 'key', idempotency_key => 'k1')),
  '(t,3,t)', 'also when the hold has ended: the first answer is the answer'
);
select is(
  (reserve_usage('ai_generation', 10, 'key', idempotency_key => 'k2')).allowed, false, 'a refusal'
);
select is(
  (reserve_usage('ai_generation', 9, 'key', idempotency_key => 'k2')).allowed, true, 'binds nothing to its key'
);

-- Wrong arguments, and that none of them leaves a trace.
create temporary table former as
  select (select count(*) from quota.subjects) as subjects, (select count(*) from quota.events) as events;
select throws_ok($$select reserve_usage('ai_generation', 1, null)$$, 'QSUBJ', null, 'no subject is QSUBJ');
select throws_ok($$select reserve_usage('ai_generation', 0, 'new')$$, 'QAMNT', null, 'amount 0 is QAMNT');
select throws_ok($$select reserve_usage('ai_generation', null, 'new')$$, 'QAMNT', null, 'no amount is QAMNT');
select throws_ok($$select reserve_usage('nothing', 1, 'new')$$, 'QFEAT', null, 'an unknown feature is QFEAT');
select throws_ok(
  $$select reserve_usage('ai_generation', 1, 'new', metadata => '[]')$$, 'QMETA', null,
  'metadata that is no object is QMETA'
);
select is(
  (select row((select count(*) from quota.subjects), (select count(*) from quota.events))::text),
  (select row(subjects, events)::text from former), 'none of these writes anything'
);

reset role;
select is_empty($$select * from verify_usage()$$, 'every number is proved by the ledger');

select * from finish();
rollback;
