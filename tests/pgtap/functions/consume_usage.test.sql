-- consume_usage(): checks every limit and counts, in one step.
begin;
select set_config('search_path', 'public, ' || pronamespace::regnamespace, true) from pg_proc where proname = 'pgtap_version';
set local timezone = 'UTC';
select plan(58);

create or replace function quota.clock()
returns timestamptz language plpgsql set search_path = pg_catalog, pg_temp
as $$ begin return current_setting('test.clock', true); end $$;
set local test.clock = '2026-09-15 12:00:30.5+00';

do $$ begin perform apply_plans('{
  "features": {
    "ai_generation": {"unit": "generation"}, "burst": {}, "token": {}, "trial": {}, "closed": {},
    "scan": {"server_only": true}, "export": {}
  },
  "plans": {
    "free": {"default": true, "upgrade_url": "/up", "limits": {
      "ai_generation": {"month": 2}, "burst": {"minute": 2, "hour": 5, "day": 5, "month": 5},
      "token": {"month": null}, "trial": {"lifetime": 1}, "closed": {"day": 0, "month": 10},
      "scan": {"month": 1}
    }},
    "pro": {"limits": {"ai_generation": {"month": null, "day": 10}}}
  }
}'); end $$;

-- The answer.
set local role authenticated;
set local request.jwt.claims = '{"sub": "ada", "role": "authenticated"}';

select is(
  (select to_jsonb(d) - 'event_id' from consume_usage('ai_generation') as d),
  '{"allowed": true, "reason": "ok", "feature": "ai_generation", "subject": "ada", "plan": "free",
    "amount": 1, "used": 1, "reserved": 0, "limit": 2, "remaining": 1, "unlimited": false,
    "period": "month", "period_start": "2026-09-01T00:00:00+00:00",
    "resets_at": "2026-10-01T00:00:00+00:00", "retry_after": null, "reservation_id": null,
    "replayed": false, "upgrade_url": "/up", "granted": 0,
    "carried": 0, "limiting_feature": "ai_generation", "limiting_subject": "ada", "limiting_member": null}',
  'the first use is allowed and shows the state after it'
);
select is(
  (select row(allowed, used, remaining)::text from consume_usage('ai_generation')), '(t,2,0)',
  'the last unit is allowed'
);
select is(
  (select to_jsonb(d) from consume_usage('ai_generation') as d),
  '{"allowed": false, "reason": "limit_reached", "feature": "ai_generation", "subject": "ada",
    "plan": "free", "amount": 1, "used": 2, "reserved": 0, "limit": 2, "remaining": 0,
    "unlimited": false, "period": "month", "period_start": "2026-09-01T00:00:00+00:00",
    "resets_at": "2026-10-01T00:00:00+00:00", "retry_after": 1339170, "event_id": null,
    "reservation_id": null, "replayed": false, "upgrade_url": "/up", "granted": 0,
    "carried": 0, "limiting_feature": "ai_generation", "limiting_subject": "ada", "limiting_member": null}',
  'one more is refused, which is an answer: it shows the limit and how long to wait'
);
select is(
  (select array_agg(row(kind, used_change, counts_at, actor)::text) from usage_events),
  array['(consume,1,"2026-09-15 12:00:30.5+00",)', '(consume,1,"2026-09-15 12:00:30.5+00",)'],
  'the ledger has a line for each counted use and none for refusals'
);
select is(
  (select to_jsonb(d) from consume_usage('export') as d),
  '{"allowed": false, "reason": "feature_not_in_plan", "feature": "export", "subject": "ada",
    "plan": "free", "amount": 1, "used": 0, "reserved": 0, "limit": 0, "remaining": 0,
    "unlimited": false, "period": null, "period_start": null, "resets_at": null,
    "retry_after": null, "event_id": null, "reservation_id": null, "replayed": false,
    "upgrade_url": "/up", "granted": 0,
    "carried": 0, "limiting_feature": "export", "limiting_subject": "ada", "limiting_member": null}',
  'a feature that the plan lacks is refused, with the way to a larger plan'
);
select is(
  (select row(allowed, used, "limit", remaining, unlimited)::text from consume_usage('token', 900)),
  '(t,900,,,t)',
  'unlimited is counted, and limit and remaining are null'
);
select is(
  (select row(allowed, period, period_start, resets_at)::text from consume_usage('trial')),
  '(t,lifetime,,)',
  'a lifetime limit has no start and no reset'
);
select is(
  (select row(allowed, used, retry_after)::text from consume_usage('trial')), '(f,1,)',
  'a lifetime limit that is reached never frees by waiting'
);
select is(
  (select row(allowed, period, used, "limit", remaining, retry_after)::text from consume_usage('closed')),
  '(f,day,0,0,0,)',
  'a limit of 0 refuses, and waiting does not help'
);
select is(
  (select row(allowed, used, remaining, retry_after)::text
   from consume_usage('ai_generation', 3, 'ada')), '(f,2,0,)',
  'an amount above the limit is refused for good'
);
select lives_ok(
  $$select consume_usage('token', metadata => '{"model": "x"}'), consume_usage('token', metadata => null)$$,
  'metadata can be given or null'
);
select is(
  (select array_agg(metadata order by metadata) from usage_events where feature = 'token'),
  array['{}', '{}', '{"model": "x"}']::jsonb[],
  'metadata is kept in the ledger, and null is {}'
);

-- Several limits: which is shown, and all or none.
set local request.jwt.claims = '{"sub": "bob"}';
select is(
  (select row(allowed, period, used, remaining)::text from consume_usage('burst')),
  '(t,minute,1,1)',
  'of several limits the one with least room is shown'
);
select is(
  (select row(allowed, period, remaining)::text from consume_usage('burst')), '(t,minute,0)',
  'the tightest limit can be used up'
);
select is(
  (select row(allowed, period, retry_after)::text from consume_usage('burst')), '(f,minute,30)',
  'a refusal by the minute waits for the next whole minute, in seconds rounded up'
);
select is(
  (select array_agg(row(period, used)::text order by used, period) from current_usage
   where feature = 'burst'),
  array['(day,2)', '(hour,2)', '(minute,2)', '(month,2)'],
  'a refused call takes from none of the periods'
);
set local test.clock = '2026-09-15 12:01:00+00';
select is(
  (select row(allowed, period, used, period_start, resets_at)::text from consume_usage('burst')),
  '(t,minute,1,"2026-09-15 12:01:00+00","2026-09-15 12:02:00+00")',
  'at the very instant of a reset the new period begins, with no job having run'
);
set local test.clock = '2026-09-15 12:02:00+00';
select is(
  (select row(allowed, period, remaining)::text from consume_usage('burst')), '(t,month,1)',
  'among limits with the same least room the longest period is shown'
);
select is(
  (select row(allowed, period, remaining, retry_after)::text from consume_usage('burst', 2)),
  '(f,month,1,1339080)',
  'when several limits refuse, the one with the longest wait is shown, and the wait is its wait'
);
select is(
  (select row(allowed, period, retry_after)::text from consume_usage('burst', 3)), '(f,minute,)',
  'a limit that the amount can never meet is the one with the longest wait'
);
select is(
  (select row(allowed, period, "limit", retry_after)::text from consume_usage('burst', 6)),
  '(f,month,5,)',
  'of several that can never meet it, the longest period is shown'
);
set local test.clock = '2026-09-15 23:59:59.999+00';
select is(
  (select row(allowed, period, remaining)::text from consume_usage('burst')), '(t,month,0)',
  'the hour has begun anew, day and month have not'
);
select is(
  (select retry_after from consume_usage('closed', 1)), null,
  'a day of 0 stays closed although the month has room'
);
set local test.clock = '2026-09-30 23:59:59.999+00';
select is(
  (select row(allowed, period, retry_after)::text from consume_usage('burst')), '(f,month,1)',
  'a wait is at least one second'
);
set local test.clock = '2026-10-01 00:00:00+00';
select is(
  (select row(allowed, used, remaining)::text from consume_usage('burst')), '(t,1,1)',
  'on the first of the month use begins at 0 again'
);
select is(
  (select array_agg(row(period_start, used)::text order by period_start)
   from usage_history where feature = 'burst' and period = 'month'),
  array['("2026-09-01 00:00:00+00",5)', '("2026-10-01 00:00:00+00",1)'],
  'the former month keeps its use'
);
reset role;
do $$ begin perform set_plan('bob', 'pro'); end $$;
set local role authenticated;
select is(
  (select row(allowed, unlimited, period, used, "limit")::text from consume_usage('ai_generation')),
  '(t,f,day,1,10)',
  'beside an unlimited period the limited one is shown'
);
set local request.jwt.claims = '{"sub": "ada"}';

-- Waiting for a plan to end.
reset role;
do $$ begin
  perform apply_plans('{
    "features": {"ai_generation": {}, "burst": {}, "token": {}, "trial": {}, "closed": {},
      "scan": {"server_only": true}, "export": {}},
    "plans": {
      "free": {"default": true, "limits": {"ai_generation": {"month": 5}, "export": {"month": 1}, "scan": {"month": 1}}},
      "pro": {"limits": {"ai_generation": {"month": null, "day": 10}}},
      "tiny": {"limits": {"ai_generation": {"month": 1}, "burst": {"month": 1}}}
    }
  }');
  perform set_plan('ends', 'tiny', ends_at => '2026-10-02 00:00+00');
  perform consume_usage('ai_generation', 1, 'ends');
  perform consume_usage('burst', 1, 'ends');
end $$;
select is(
  (select row(allowed, plan, retry_after)::text from consume_usage('ai_generation', 1, 'ends')),
  '(f,tiny,86400)',
  'the wait ends with the plan when the default plan has room for it'
);
select is(
  (select retry_after from consume_usage('ai_generation', 5, 'ends')), 31 * 86400,
  'the use so far counts under the next plan too, so a larger amount waits for the reset'
);
select is(
  (select retry_after from consume_usage('ai_generation', 6, 'ends')), null,
  'an amount above the limits of both plans is never allowed'
);
select is(
  (select row(reason, retry_after)::text from consume_usage('export', 1, 'ends')),
  '(feature_not_in_plan,86400)',
  'a feature that only the next plan has is worth the wait'
);
select is(
  (select retry_after from consume_usage('burst', 1, 'ends')), null,
  'a reset after the plan has ended is none when the next plan lacks the feature'
);

-- Who may.
set local role authenticated;
select is(
  (select row(allowed, subject)::text from consume_usage('ai_generation', 1, 'ada')), '(t,ada)',
  'a user may name itself'
);
select throws_ok(
  $$select consume_usage('ai_generation', 1, 'bob')$$, '42501', null,
  'a user cannot use the allowance of somebody else'
);
select throws_ok(
  $$select consume_usage('scan')$$, '42501', null,
  'a user cannot use a server_only feature'
);
reset role;
insert into quota.members (subject_id, user_id) values ('acme', 'ada');
set local role authenticated;
select is(
  (select row(allowed, subject)::text from consume_usage('ai_generation', 1, 'acme')), '(t,acme)',
  'a member uses the allowance of its organisation'
);
select is(
  (select array_agg(row(subject, actor)::text) from usage_events where subject = 'acme'),
  array['(acme,ada)'],
  'the ledger says which member acted'
);
set local request.jwt.claims = '{"sub": "acme"}';
select throws_ok(
  $$select consume_usage('ai_generation', 1, 'ada')$$, '42501', null,
  'membership does not go the other way'
);
set local request.jwt.claims = '{"role": "authenticated"}';
select throws_ok(
  $$select consume_usage('ai_generation')$$, '42501', null,
  'claims without sub are no identity'
);
select throws_ok(
  $$select consume_usage('ai_generation', 1, 'ada')$$, '42501', null,
  'without an identity no subject can be named'
);
set local role anon;
select throws_ok(
  $$select consume_usage('ai_generation')$$, '42501', null, 'anon may not call it'
);
set local role service_role;
set local request.jwt.claims = '{"sub": "ada", "role": "service_role"}';
select throws_ok(
  $$select consume_usage('ai_generation')$$, 'QSUBJ', null,
  'the server has to name the subject, whatever its claims say'
);
select is(
  (select row(allowed, subject)::text from consume_usage('scan', 1, 'ada')), '(t,ada)',
  'the server may use a server_only feature'
);

-- The second call, which takes the short way, is told what the first one would be.
reset role;
do $$ begin perform apply_plans('{
  "features": {"ai_generation": {}, "burst": {}, "token": {}, "trial": {}, "closed": {},
    "scan": {"server_only": true}, "export": {}},
  "plans": {
    "free": {"default": true, "upgrade_url": "/up", "limits": {
      "ai_generation": {"month": 5}, "burst": {"minute": 9, "day": 4, "month": 4}, "scan": {"month": 9},
      "token": {"day": null, "month": null}}},
    "pro": {"limits": {"ai_generation": {"month": null, "day": 10}}},
    "tiny": {"limits": {"ai_generation": {"month": 1}}}
  }
}'); end $$;
set local role service_role;
do $$ begin
  perform consume_usage('burst', 1, 'again');
  perform consume_usage('token', 1, 'again');
  perform consume_usage('scan', 1, 'again');
end $$;
select is(
  (select to_jsonb(d) - 'event_id' from consume_usage('burst', 2, 'again') as d),
  '{"allowed": true, "reason": "ok", "feature": "burst", "subject": "again", "plan": "free",
    "amount": 2, "used": 3, "reserved": 0, "limit": 4, "remaining": 1, "unlimited": false,
    "period": "month", "period_start": "2026-10-01T00:00:00+00:00",
    "resets_at": "2026-11-01T00:00:00+00:00", "retry_after": null, "reservation_id": null,
    "replayed": false, "upgrade_url": "/up", "granted": 0,
    "carried": 0, "limiting_feature": "burst", "limiting_subject": "again", "limiting_member": null}',
  'the limit with least room, the longest period among equals, with all its fields'
);
select is(
  (select row(allowed, period, used, "limit", remaining, unlimited, resets_at)::text
   from consume_usage('token', 2, 'again')),
  '(t,month,3,,,t,"2026-11-01 00:00:00+00")', 'of unlimited periods the longest one'
);
select is(
  (select row(allowed, used, retry_after)::text from consume_usage('burst', 2, 'again')),
  '(f,3,2678400)', 'a refusal with its wait'
);
set local role authenticated;
set local request.jwt.claims = '{"sub": "again"}';
select throws_ok(
  $$select consume_usage('scan')$$, '42501', null,
  'a user cannot use a server_only feature that the server has used for it'
);
set local test.clock = '2026-09-30 23:59:59+00';
select is(
  (select row(allowed, used, period_start)::text from consume_usage('token', 5)),
  '(t,5,"2026-09-01 00:00:00+00")', 'a caller whose clock is behind counts in the month of its clock'
);
select is(
  (select array_agg(used order by period_start) from usage_history where feature = 'token' and period = 'month'),
  array[5, 3]::bigint[], 'and leaves the new month as it was'
);
set local test.clock = '2026-10-01 00:00:00+00';
set local role service_role;

-- Edges of amounts.
select is(
  (select row(allowed, used, "limit", remaining)::text from consume_usage('ai_generation', 4, 'edge')),
  '(t,4,5,1)', 'an amount of several is taken at once'
);
select is(
  (select row(allowed, used, remaining)::text from consume_usage('ai_generation', 2, 'edge')),
  '(f,4,1)', 'an amount is never taken in part'
);
select is(
  (select row(allowed, used, remaining)::text from consume_usage('ai_generation', 1, 'edge')),
  '(t,5,0)', 'what was left is still there for a smaller amount'
);
do $$ begin
  perform set_plan('heavy', 'pro');
  perform apply_plans('{
    "features": {"ai_generation": {}, "burst": {}, "token": {}, "trial": {}, "closed": {}, "scan": {}, "export": {}},
    "plans": {"pro": {"limits": {"ai_generation": {"lifetime": null}}},
      "tiny": {"limits": {"ai_generation": {"month": 1}}}}
  }');
end $$;
select is(
  (select used from consume_usage('ai_generation', 9007199254740990, 'heavy')), 9007199254740990,
  'an unlimited counter goes up to 2^53 - 1'
);
select throws_ok(
  $$select consume_usage('ai_generation', 2, 'heavy')$$, 'QAMNT', null,
  'an amount by which an unlimited counter would pass 2^53 - 1 is an error'
);
select is(
  (select row(allowed, used)::text from consume_usage('ai_generation', 1, 'heavy')),
  '(t,9007199254740991)', 'and counts nothing: the last unit is still there'
);
select is(
  (select row(reason, plan, upgrade_url)::text from consume_usage('ai_generation', 1, 'nobody')),
  '(feature_not_in_plan,,)',
  'without a default plan a subject without a plan has no plan and is refused'
);
select throws_ok(
  $$select consume_usage('video', 1, 'ada')$$, 'QFEAT', null, 'an unknown feature is an error'
);

reset role;
select is_empty($$select * from verify_usage()$$, 'every number is proved by the ledger');

select * from finish();
rollback;
