-- set_limit() and clear_limit(): one subject's exception to its plan.
begin;
select set_config('search_path', 'public, ' || pronamespace::regnamespace, true) from pg_proc where proname = 'pgtap_version';
set local timezone = 'UTC';
select plan(75);

create or replace function quota.clock()
returns timestamptz language plpgsql set search_path = pg_catalog, pg_temp
as $$ begin return current_setting('test.clock', true); end $$;
set local test.clock = '2026-01-15 12:00:00+00';

do $$ begin perform apply_plans('{
  "features": {"ai_generation": {}, "export": {}, "file": {"kind": "gauge"}, "scan": {"server_only": true}},
  "plans": {
    "free": {"default": true, "upgrade_url": "/up", "limits": {
      "ai_generation": {"month": 5, "minute": 3}, "file": {"lifetime": 2}
    }},
    "pro": {"limits": {"ai_generation": {"month": 100}, "export": {"month": 7}}}
  }
}'); end $$;

create function pg_temp.use(p_subject text, p_amount bigint default 1, p_feature text default 'ai_generation')
returns text language sql as $$
  select row(allowed, reason, plan, period, used, "limit", remaining)::text
  from public.consume_usage(p_feature, p_amount, p_subject)
$$;
create function pg_temp.limits(p_subject text, p_feature text default 'ai_generation') returns text[]
language sql as $$
  select array_agg(row(period, source, "limit", used)::text order by period)
  from public.explain_usage(p_feature, 1, p_subject)
$$;

-- Who may.
set local role authenticated;
set local request.jwt.claims = '{"sub": "ada", "role": "authenticated"}';
select throws_ok(
  $$select set_limit('ada', 'ai_generation', 'month', 100)$$, '42501', null, 'a user cannot raise its limit'
);
select throws_ok(
  $$select clear_limit('ada', 'ai_generation', 'month')$$, '42501', null, 'nor clear it'
);
select throws_ok(
  $$select quota.change_limit('ada', 'ai_generation', 'month', 100, null, false, null)$$, '42501', null,
  'nor by the private function'
);
set local role anon;
select throws_ok($$select set_limit('ada', 'ai_generation', 'month', 100)$$, '42501', null, 'anon may not call it');
set local role service_role;

-- In place of the plan's.
do $$ begin perform consume_usage('ai_generation', 3, 'ada'); end $$;
set local test.clock = '2026-01-15 12:01:00+00';
select is(pg_temp.use('ada', 3), '(f,limit_reached,free,month,3,5,2)', 'a plan of 5');
select lives_ok($$select set_limit('ada', 'ai_generation', 'month', 8)$$, 'an exception of 8');
select is(pg_temp.use('ada', 3), '(t,ok,free,minute,3,3,0)', 'holds at once, with the use so far');
select is(
  pg_temp.limits('ada'), array['(minute,plan,3,3)', '(month,exception,8,6)'],
  'in place of the limit of that period, and of no other'
);
select is(
  (select row(used, "limit", remaining, plan)::text from current_usage
   where subject = 'ada' and feature = 'ai_generation' and period = 'month'),
  '(6,8,2,free)', 'the usage bar shows it'
);
select is(
  (select "limit" from usage_history where subject = 'ada' and period = 'month'), 8::bigint, 'so does the history'
);
set local test.clock = '2026-01-15 12:02:00+00';
do $$ begin perform set_limit('ada', 'ai_generation', 'month', 4); end $$;
select is(
  pg_temp.use('ada'), '(f,limit_reached,free,month,6,4,0)', 'set lower, it refuses at once'
);
do $$ begin perform set_limit('ada', 'ai_generation', 'month', 0); end $$;
select is(pg_temp.use('ada'), '(f,limit_reached,free,month,6,0,0)', 'it can be 0');
select is(
  (select row(status, percent_used)::text from current_usage
   where subject = 'ada' and feature = 'ai_generation' and period = 'month'),
  '(over_limit,100)', 'which is over it, at 100 %'
);
do $$ begin perform set_limit('ada', 'ai_generation', 'month', null); end $$;
select is(pg_temp.use('ada', 3), '(t,ok,free,minute,3,3,0)', 'null is unlimited');
select is(
  (select row(used, "limit", unlimited)::text from current_usage
   where subject = 'ada' and feature = 'ai_generation' and period = 'month'),
  '(9,,t)', 'and still counted'
);
select lives_ok($$select clear_limit('ada', 'ai_generation', 'month')$$, 'cleared,');
set local test.clock = '2026-01-15 12:03:00+00';
select is(pg_temp.use('ada'), '(f,limit_reached,free,month,9,5,0)', 'the limit of the plan holds again');
select is(
  pg_temp.limits('ada'), array['(minute,plan,3,0)', '(month,plan,5,9)'], 'and is the plan''s'
);
select is(
  (select array_agg(metadata order by metadata::text collate "C") from usage_events where subject = 'ada' and kind = 'limit'),
  array[
    '{"limit": 0, "period": "month"}', '{"limit": 4, "period": "month"}', '{"limit": 8, "period": "month"}',
    '{"limit": null, "period": "month"}', '{"period": "month", "cleared": true}'
  ]::jsonb[], 'the ledger has a line for each'
);
select lives_ok($$select clear_limit('ada', 'ai_generation', 'month')$$, 'what is not set can be cleared');

-- Beside the plan's.
do $$ begin perform consume_usage('ai_generation', 2, 'bob'); perform set_limit('bob', 'ai_generation', 'day', 3); end $$;
select is(
  pg_temp.limits('bob'), array['(day,exception,3,2)', '(minute,plan,3,2)', '(month,plan,5,2)'],
  'a period that the plan lacks begins with the use that falls into it'
);
set local test.clock = '2026-01-15 12:04:00+00';
select is(pg_temp.use('bob', 2), '(f,limit_reached,free,day,2,3,1)', 'and refuses like any other');
select is(pg_temp.use('bob'), '(t,ok,free,day,3,3,0)', 'up to its last unit');
do $$ begin perform clear_limit('bob', 'ai_generation', 'day'); end $$;
select is(pg_temp.use('bob'), '(t,ok,free,month,4,5,1)', 'cleared, it is gone');
do $$ begin perform set_limit('bob', 'ai_generation', 'day', 10); end $$;
select is(
  pg_temp.limits('bob'), array['(day,exception,10,4)', '(minute,plan,3,2)', '(month,plan,5,4)'],
  'set again, it has counted meanwhile'
);
set local test.clock = '2026-01-16 12:00:00+00';
select is(
  (select array_agg(row(period, used, "limit")::text order by period) from current_usage
   where subject = 'bob' and feature = 'ai_generation'),
  array['(day,0,10)', '(minute,0,3)', '(month,4,5)'], 'it resets like any other'
);

-- A feature that the plan lacks.
select is(pg_temp.use('cyd', 1, 'export'), '(f,feature_not_in_plan,free,,0,0,0)', 'a feature that is not in the plan');
do $$ begin perform set_limit('cyd', 'export', 'month', 2); end $$;
select is(pg_temp.use('cyd', 1, 'export'), '(t,ok,free,month,1,2,1)', 'is opened by an exception');
do $$ begin perform grant_usage('export', 3, 'cyd'); end $$;
select is(pg_temp.use('cyd', 3, 'export'), '(t,ok,free,month,4,5,1)', 'which a grant then adds to');
do $$ begin perform clear_limit('cyd', 'export', 'month'); end $$;
select is(
  pg_temp.use('cyd', 1, 'export'), '(f,feature_not_in_plan,free,,0,0,0)', 'cleared, it is closed, with its grant'
);
do $$ begin perform set_plan('cyd', 'pro'); end $$;
select is(pg_temp.use('cyd', 1, 'export'), '(t,ok,pro,month,5,10,5)', 'until a plan has it');

-- Plans and exceptions.
do $$ begin perform set_limit('dan', 'ai_generation', 'month', 20); perform set_plan('dan', 'pro'); end $$;
select is(
  pg_temp.limits('dan'), array['(month,exception,20,0)'], 'an exception outlives a change of plan, also where the plan allows more'
);
do $$ begin perform clear_limit('dan', 'ai_generation', 'month'); end $$;
select is(pg_temp.limits('dan'), array['(month,plan,100,0)'], 'and then the limit of the new plan holds');

-- First use, gauges, features for servers.
do $$ begin perform set_limit('eve', 'ai_generation', 'month', 1); end $$;
select is(pg_temp.use('eve', 2), '(f,limit_reached,free,month,0,1,1)', 'an exception can come before the first use');
do $$ begin perform consume_usage('file', 2, 'eve'); perform set_limit('eve', 'file', 'lifetime', 3); end $$;
select is(pg_temp.use('eve', 1, 'file'), '(t,ok,free,lifetime,3,3,0)', 'a gauge can have one');
do $$ begin perform set_limit('eve', 'scan', 'week', 1); end $$;
select is(pg_temp.use('eve', 1, 'scan'), '(t,ok,free,week,1,1,0)', 'so can a feature for servers alone');
select is(
  (select row(allowed, retry_after)::text from consume_usage('scan', 1, 'eve')), '(f,216000)',
  'which starts again on Monday'
);

-- In the periods of the subject.
do $$ begin perform set_plan('fay', 'free', '2026-01-10 08:00+00'); perform set_limit('fay', 'ai_generation', 'week', 4); end $$;
select is(
  (select row(period_start, resets_at)::text from current_usage
   where subject = 'fay' and feature = 'ai_generation' and period = 'week'),
  '("2026-01-10 08:00:00+00","2026-01-17 08:00:00+00")', 'an exception''s period follows the billing day'
);

-- Keys of calls that were allowed before, and decisions told again.
do $$ begin perform consume_usage('ai_generation', 1, 'gil', 'k1'); perform set_limit('gil', 'ai_generation', 'month', 0); end $$;
select is(
  (select row(allowed, replayed, "limit")::text from consume_usage('ai_generation', 1, 'gil', 'k1')), '(t,t,3)',
  'a key is told its first answer, whatever the limit is now'
);

-- One that ends by itself: at that instant, with no job, also where the meter remembers what it allowed.
set local test.clock = '2026-03-10 12:00:00+00';
do $$ begin
  perform set_limit('hal', 'ai_generation', 'month', null, '2026-03-10 12:05:30+00');
  perform set_limit('hal', 'ai_generation', 'minute', 1000, '2026-03-10 12:07:15+00');
  for n in 1 .. 3 loop perform consume_usage('ai_generation', 2, 'hal'); end loop;
end $$;
select is(
  pg_temp.limits('hal'), array['(minute,exception,1000,6)', '(month,exception,,6)'], 'two that end by themselves'
);
select is(
  (select fresh_until from quota.meters where subject_id = 'hal' and feature_id = 'ai_generation'),
  '2026-03-10 12:01:00+00', 'the meter remembers, to the end of the minute'
);
set local test.clock = '2026-03-10 12:05:29.999999+00';
select is(pg_temp.use('hal'), '(t,ok,free,minute,1,1000,999)', 'to its last microsecond it holds');
select is(
  (select fresh_until from quota.meters where subject_id = 'hal' and feature_id = 'ai_generation'),
  '2026-03-10 12:05:30+00', 'and what the meter remembers ends with it, not with the minute'
);
set local test.clock = '2026-03-10 12:05:30+00';
select is(pg_temp.use('hal'), '(f,limit_reached,free,month,7,5,0)', 'at its end the plan''s limit holds again');
select is(
  pg_temp.limits('hal'), array['(minute,exception,1000,1)', '(month,plan,5,7)'], 'and says where it comes from'
);
do $$ begin perform set_limit('hal', 'ai_generation', 'month', 50); end $$;
select is(pg_temp.use('hal', 4), '(t,ok,free,month,11,50,39)', 'another one takes its place, without an end');
set local test.clock = '2026-03-10 12:07:14+00';
select is(pg_temp.use('hal', 10), '(t,ok,free,month,21,50,29)', 'an exception for any minute');
select is(pg_temp.use('hal', 3), '(t,ok,free,month,24,50,26)', 'which the short way knows');
set local test.clock = '2026-03-10 12:07:15+00';
select is(
  (select row(allowed, period, used, "limit", retry_after)::text from consume_usage('ai_generation', 1, 'hal')),
  '(f,minute,13,3,45)', 'ends within a minute'
);
select is(
  (select metadata from usage_events where subject = 'hal' and kind = 'limit' and metadata ? 'ends_at' and metadata ->> 'period' = 'month'),
  '{"limit": null, "period": "month", "ends_at": "2026-03-10T12:05:30+00:00"}', 'the ledger says when'
);

-- What waiting for it is worth.
do $$ begin
  perform set_limit('ivy', 'ai_generation', 'month', 0, '2026-03-10 12:10:00+00');
  perform consume_usage('ai_generation', 1, 'ivy');
end $$;
select is(
  (select row(allowed, "limit", retry_after)::text from consume_usage('ai_generation', 1, 'ivy')), '(f,0,165)',
  'a block that ends is worth the wait'
);
select is(
  (select row(allowed, "limit", retry_after)::text from check_usage('ai_generation', 1, 'ivy')), '(f,0,165)',
  'which a check says, too'
);
do $$ begin perform set_limit('jan', 'export', 'month', 2, '2026-03-10 12:10:00+00'); end $$;
select is(
  (select row(allowed, retry_after)::text from consume_usage('export', 3, 'jan')), '(f,)',
  'and the end of one that allows more is not'
);
select is(pg_temp.use('jan', 2, 'export'), '(t,ok,free,month,2,2,0)', 'a feature that the plan lacks is open so long');
set local test.clock = '2026-03-10 12:10:00+00';
select is(pg_temp.use('ivy'), '(t,ok,free,minute,1,3,2)', 'after the wait it is allowed');
select is(pg_temp.use('jan', 1, 'export'), '(f,feature_not_in_plan,free,,0,0,0)', 'and no longer');
select is(
  (select string_agg(feature || ' ' || period || ' ' || "limit", ', ' order by feature, period) from current_usage where subject = 'jan'),
  'ai_generation minute 3, ai_generation month 5, file lifetime 2', 'a page shows the plan again'
);
set local test.clock = '2026-03-10 12:09:59+00';
select is(
  (select row(allowed, period, "limit")::text from consume_usage('ai_generation', 1, 'ivy')), '(f,month,0)',
  'a clock that is set back finds it'
);
set local test.clock = '2026-03-10 12:10:00+00';
select throws_ok(
  $$select set_limit('ivy', 'ai_generation', 'month', 1, '2026-03-10 12:10:00+00')$$, '22023', null,
  'one that would have ended is 22023'
);
do $$ begin perform clear_limit('ivy', 'ai_generation', 'month'); end $$;
select is(
  (select count(*) from quota.exceptions where subject_id = 'ivy'), 0::bigint, 'one that has ended can be cleared'
);

-- Wrong arguments.
select throws_ok($$select set_limit('bad', 'ai_generation', 'month', -1)$$, 'QAMNT', null, 'a negative limit is QAMNT');
select throws_ok(
  $$select set_limit('bad', 'ai_generation', 'month', 9007199254740992)$$, 'QAMNT', null, 'more than 2^53 - 1 is QAMNT'
);
select throws_ok($$select set_limit('bad', 'nothing', 'month', 1)$$, 'QFEAT', null, 'an unknown feature is QFEAT');
select throws_ok($$select set_limit('bad', null, 'month', 1)$$, 'QFEAT', null, 'no feature is QFEAT');
select throws_ok($$select set_limit('bad', 'ai_generation', 'decade', 1)$$, 'QPLAN', null, 'an unknown period is QPLAN');
select throws_ok($$select set_limit('bad', 'ai_generation', 'Month', 1)$$, 'QPLAN', null, 'in capitals, too');
select throws_ok($$select set_limit('bad', 'ai_generation', null, 1)$$, 'QPLAN', null, 'no period is QPLAN');
select throws_ok($$select set_limit('bad', 'file', 'month', 1)$$, 'QPLAN', null, 'a gauge has lifetime alone');
select throws_ok($$select set_limit(null, 'ai_generation', 'month', 1)$$, 'QSUBJ', null, 'no subject is QSUBJ');
select throws_ok($$select set_limit('', 'ai_generation', 'month', 1)$$, 'QSUBJ', null, 'an empty subject is QSUBJ');
select throws_ok($$select clear_limit('bad', 'nothing', 'month')$$, 'QFEAT', null, 'clearing an unknown feature is QFEAT');
select throws_ok($$select clear_limit('bad', 'ai_generation', 'decade')$$, 'QPLAN', null, 'an unknown period QPLAN');
select throws_ok($$select clear_limit(null, 'ai_generation', 'month')$$, 'QSUBJ', null, 'no subject QSUBJ');
select is(
  (select count(*) from quota.subjects where subject_id = 'bad'), 0::bigint, 'none of these makes a subject'
);

reset role;
select is_empty($$select * from verify_usage()$$, 'every number is proved by the ledger');

select * from finish();
rollback;
