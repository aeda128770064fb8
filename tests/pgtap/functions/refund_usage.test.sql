-- refund_usage(): gives back what an event counted, in the period it was counted in.
begin;
select set_config('search_path', 'public, ' || pronamespace::regnamespace, true) from pg_proc where proname = 'pgtap_version';
set local timezone = 'UTC';
select plan(45);

create or replace function quota.clock()
returns timestamptz language plpgsql set search_path = pg_catalog, pg_temp
as $$ begin return current_setting('test.clock', true); end $$;
set local test.clock = '2026-09-30 23:00:00+00';

do $$ begin perform apply_plans('{
  "features": {"ai_generation": {}, "export": {}, "scan": {"server_only": true}, "token": {}, "file": {"kind": "gauge"}},
  "plans": {
    "free": {"default": true, "upgrade_url": "/up", "limits": {
      "ai_generation": {"day": 5, "month": 10}, "export": {"month": 1}, "scan": {"month": 1},
      "token": {"month": null}, "file": {"lifetime": 9}}},
    "other": {"limits": {"export": {"month": 1}}}
  }
}'); end $$;

create temporary table uses (name text primary key, id uuid);
grant all on uses to authenticated, service_role;
create function pg_temp.id(p_name text) returns uuid language sql
  as $$ select id from pg_temp.uses where name = p_name $$;
create function pg_temp.used(p_feature text, p_subject text, out day bigint, out month bigint)
  language sql as $$
    select max(used) filter (where period = 'day'), max(used) filter (where period = 'month')
    from public.current_usage where subject = p_subject and feature = p_feature
  $$;

set local role authenticated;
set local request.jwt.claims = '{"sub": "ada"}';
insert into uses select 'four', event_id from consume_usage('ai_generation', 4, idempotency_key => 'k1');
insert into uses select 'one', event_id from consume_usage('ai_generation');
insert into uses select 'export', event_id from consume_usage('export');

-- Who may.
select throws_ok(
  $$select refund_usage(pg_temp.id('one'))$$, '42501', null, 'a user cannot give itself a refund'
);
select throws_ok(
  $$select quota.refund_usage(pg_temp.id('one'), 1, null, null, null)$$, '42501', null,
  'nor by the private function'
);
set local role anon;
select throws_ok(
  $$select refund_usage('00000000-0000-0000-0000-000000000000')$$, '42501', null,
  'anon may not call it'
);
set local role service_role;
set local request.jwt.claims = '{"role": "service_role"}';

-- Part, rest, never more.
select is(
  (select to_jsonb(d) - 'event_id' from refund_usage(pg_temp.id('four'), 1, 'model failed') as d),
  '{"allowed": true, "reason": "ok", "feature": "ai_generation", "subject": "ada", "plan": "free",
    "amount": 1, "used": 4, "reserved": 0, "limit": 5, "remaining": 1, "unlimited": false,
    "period": "day", "period_start": "2026-09-30T00:00:00+00:00",
    "resets_at": "2026-10-01T00:00:00+00:00", "retry_after": null, "reservation_id": null,
    "replayed": false, "upgrade_url": "/up", "granted": 0,
    "carried": 0, "limiting_feature": "ai_generation", "limiting_subject": "ada", "limiting_member": null}',
  'a part is given back, and the answer shows the state after it'
);
select is(
  (select row(kind, used_change, about_id = pg_temp.id('four'), metadata)::text
   from usage_events where kind = 'refund'),
  '(refund,-1,t,"{""reason"": ""model failed""}")',
  'the ledger has a line about the use, with the reason'
);
select is(pg_temp.used('ai_generation', 'ada')::text, '(4,4)', 'every period has it back');
select throws_ok(
  $$select refund_usage(pg_temp.id('four'), 4)$$, 'QAMNT', null,
  'more than is left of the event is QAMNT'
);
select throws_ok(
  $$select refund_usage(pg_temp.id('one'), 2)$$, 'QAMNT', null,
  'an event is never refunded out of the use of another'
);
select is(
  (select row(amount, used)::text from refund_usage(pg_temp.id('four'), 2)), '(2,2)',
  'a second part is given back'
);
select is(
  (select row(amount, used)::text from refund_usage(pg_temp.id('four'))), '(1,1)',
  'without an amount the rest is given back'
);
select throws_ok(
  $$select refund_usage(pg_temp.id('four'))$$, 'QAMNT', null,
  'an event that was given back has nothing left'
);
select throws_ok(
  $$select refund_usage(pg_temp.id('four'), 1)$$, 'QAMNT', null, 'nor a part of it'
);
select is(
  (select row(allowed, used)::text from consume_usage('ai_generation', 4, 'ada')), '(t,5)',
  'what was given back can be used again'
);
select is(
  (select row(allowed, replayed, used)::text from consume_usage('ai_generation', 4, 'ada', 'k1')),
  '(f,f,5)', 'the key of a use that was given back is free'
);
select is(
  (select row(allowed, used, remaining)::text from refund_usage(pg_temp.id('export'))), '(t,0,1)',
  'a refund opens a limit that was reached'
);

-- Which events.
select throws_ok(
  $$select refund_usage('00000000-0000-0000-0000-000000000000')$$, 'QRSRV', null,
  'an unknown event is QRSRV'
);
select throws_ok($$select refund_usage(null)$$, 'QRSRV', null, 'no event is QRSRV');
select throws_ok(
  $$select refund_usage((select event_id from usage_events where kind = 'refund' limit 1))$$,
  'QRSRV', null, 'a refund cannot be refunded'
);
do $$ begin perform set_plan('ada', 'free'); end $$;
select throws_ok(
  $$select refund_usage((select event_id from usage_events where kind = 'plan'))$$,
  'QRSRV', null, 'nor a change of plan'
);
select throws_ok(
  $$select refund_usage(pg_temp.id('one'), 1, subject => 'bob')$$, 'QRSRV', null,
  'a subject that is given and wrong is QRSRV'
);
select throws_ok(
  $$select refund_usage(pg_temp.id('one'), 1, subject => '')$$, 'QRSRV', null,
  'an empty subject is a wrong one'
);

-- Wrong arguments.
select throws_ok($$select refund_usage(pg_temp.id('one'), 0)$$, 'QAMNT', null, 'amount 0 is QAMNT');
select throws_ok(
  $$select refund_usage(pg_temp.id('one'), -1)$$, 'QAMNT', null,
  'a negative amount is QAMNT: it would be a use'
);
select throws_ok(
  $$select refund_usage(pg_temp.id('one'), 9223372036854775807)$$, 'QAMNT', null,
  'amount 2^63 - 1 is QAMNT'
);
select throws_ok(
  $$select refund_usage(pg_temp.id('one'), 1, repeat('x', 9000))$$, 'QMETA', null,
  'a reason of 9 kB is QMETA'
);
select throws_ok(
  $$select refund_usage(pg_temp.id('one'), 1, null, '')$$, 'QIDEM', null, 'an empty key is QIDEM'
);
select throws_ok(
  $$select refund_usage(pg_temp.id('one'), 1, null, repeat('k', 256))$$, 'QIDEM', null,
  'a key of 256 characters is QIDEM'
);
select is(
  pg_temp.used('ai_generation', 'ada')::text, '(5,5)', 'none of these has given anything back'
);

-- Keys.
insert into uses
  select 'tokens', event_id from consume_usage('token', 100, 'ada', 'use');
select is(
  (select row(replayed, used)::text from refund_usage(pg_temp.id('tokens'), 10, 'a', 'r1')), '(f,90)',
  'a refund can carry a key'
);
select is(
  (select row(replayed, used)::text from refund_usage(pg_temp.id('tokens'), 10, 'b', 'r1', 'ada')),
  '(t,90)', 'repeated with its key it gives nothing back again; reason and subject are no part of it'
);
select throws_ok(
  $$select refund_usage(pg_temp.id('tokens'), 11, 'a', 'r1')$$, 'QIDEM', null,
  'the key with another amount is QIDEM'
);
select throws_ok(
  $$select refund_usage(pg_temp.id('one'), 1, 'a', 'r1')$$, 'QIDEM', null,
  'the key with another event is QIDEM'
);
select throws_ok(
  $$select refund_usage(pg_temp.id('tokens'), 100, 'a', 'use')$$, 'QIDEM', null,
  'the key of the use is not a key for its refund'
);
select throws_ok(
  $$select refund_usage(pg_temp.id('tokens'), 91, 'a', 'r2')$$, 'QAMNT', null,
  'a refund that fails'
);
select is(
  (select row(replayed, used)::text from refund_usage(pg_temp.id('tokens'), 90, 'a', 'r2')), '(f,0)',
  'binds nothing to its key'
);

-- In which period.
set local test.clock = '2026-10-01 01:00:00+00';
do $$ begin perform consume_usage('ai_generation', 3, 'ada'); end $$;
select is(
  (select row(amount, used, remaining, period_start)::text from refund_usage(pg_temp.id('one'))),
  '(1,3,2,"2026-10-01 00:00:00+00")',
  'a refund of former use shows the state of now, which it does not change'
);
select is(
  (select array_agg(row(period, period_start, used)::text order by period, period_start)
   from usage_history where feature = 'ai_generation'),
  array['(day,"2026-09-30 00:00:00+00",4)', '(day,"2026-10-01 00:00:00+00",3)',
    '(month,"2026-09-01 00:00:00+00",4)', '(month,"2026-10-01 00:00:00+00",3)'],
  'it gives back in the day and month in which the use was counted'
);

-- Whatever the plan is now.
insert into uses select 'before', event_id from consume_usage('ai_generation', 2, 'ada');
do $$ begin perform set_plan('ada', 'other'); end $$;
select is(
  (select row(allowed, reason, amount, plan, period, "limit")::text
   from refund_usage(pg_temp.id('before'))),
  '(t,ok,2,other,,0)', 'use of a feature that is no longer in the plan can be given back'
);
do $$ begin perform set_plan('ada', 'free'); end $$;
select is(pg_temp.used('ai_generation', 'ada')::text, '(3,3)', 'and is gone when the plan has it again');
insert into uses select 'scan', event_id from consume_usage('scan', 1, 'ada');
select is(
  (select row(allowed, used)::text from refund_usage(pg_temp.id('scan'))), '(t,0)',
  'use of a server_only feature can be given back'
);

-- A gauge that was lowered in between.
insert into uses select 'file', event_id from consume_usage('file', 4, 'ada');
do $$ begin perform return_usage('file', 3, 'ada'); end $$;
select throws_ok(
  $$select refund_usage(pg_temp.id('file'), 2)$$, 'QAMNT', null,
  'a use of a gauge of which three were returned has one left to refund'
);
select is(
  (select row(amount, used)::text from refund_usage(pg_temp.id('file'))), '(1,0)', 'which is the rest'
);
select throws_ok(
  $$select refund_usage(pg_temp.id('file'))$$, 'QAMNT', null, 'and then nothing: it is never below zero'
);
do $$ begin perform consume_usage('file', 2, 'ada'); end $$;
select is(
  (select row(amount, used)::text from refund_usage(pg_temp.id('file'), 2)), '(2,0)',
  'a refund is bounded by what the event counted and by what the gauge shows'
);

reset role;
select is_empty($$select * from verify_usage()$$, 'every number is proved by the ledger');

select * from finish();
rollback;
