-- explain_usage(): every limit that applies, which one refuses, and what would allow the amount.
begin;
select set_config('search_path', 'public, ' || pronamespace::regnamespace, true) from pg_proc where proname = 'pgtap_version';
set local timezone = 'UTC';
select plan(40);

create or replace function quota.clock()
returns timestamptz language plpgsql set search_path = pg_catalog, pg_temp
as $$ begin return current_setting('test.clock', true); end $$;
set local test.clock = '2026-01-15 12:00:00+00';

do $$ begin perform apply_plans('{
  "features": {
    "ai_generation": {}, "token": {}, "export": {}, "pack": {}, "scan": {"server_only": true},
    "file": {"kind": "gauge"}
  },
  "plans": {
    "free": {"default": true, "upgrade_url": "/up", "limits": {
      "ai_generation": {"minute": 3, "month": 5}, "token": {"month": null}, "pack": {"month": 0},
      "scan": {"day": 1}, "file": {"lifetime": 2}
    }},
    "large": {"limits": {"ai_generation": {"minute": 30, "month": 50}, "export": {"month": 5}}},
    "huge": {"limits": {"ai_generation": {"month": null}, "export": {"month": null}, "file": {"lifetime": 9}}},
    "slow": {"limits": {"ai_generation": {"minute": 1, "month": 500}}},
    "small": {"limits": {"ai_generation": {"month": 6}}}
  }
}'); end $$;

create function pg_temp.why(p_feature text, p_amount bigint, p_subject text default null) returns text[]
language sql as $$
  select array_agg(
    row(period, source, "limit", used, reserved, remaining, refuses, retry_after, top_up)::text order by period, resets_at
  )
  from public.explain_usage(p_feature, p_amount, p_subject)
$$;
create function pg_temp.plans(p_feature text, p_amount bigint, p_subject text) returns text[]
language sql as $$
  select plans from public.explain_usage(p_feature, p_amount, p_subject) limit 1
$$;

-- As a user.
set local role authenticated;
set local request.jwt.claims = '{"sub": "ada", "role": "authenticated"}';
select is(
  (select to_jsonb(e) from explain_usage('ai_generation') as e where period = 'month'),
  '{"feature": "ai_generation", "subject": "ada", "plan": "free", "period": "month", "source": "plan",
    "limit": 5, "used": 0, "reserved": 0, "remaining": 5, "unlimited": false, "granted": 0,
    "resets_at": "2026-02-01T00:00:00+00:00", "refuses": false, "retry_after": null, "top_up": null,
    "plans": null, "upgrade_url": "/up", "projected": null, "exhausted_at": null, "member": null,
    "carried": 0, "mode": "hard", "ceiling": null}',
  'a row says all of one limit; there is nothing to advise while it is allowed'
);
select is(
  pg_temp.why('ai_generation', 1),
  array['(minute,plan,3,0,0,3,f,,)', '(month,plan,5,0,0,5,f,,)'], 'there is one for each limit'
);
do $$ begin perform consume_usage('ai_generation', 3); end $$;
select is(
  pg_temp.why('ai_generation', 2),
  array['(minute,plan,3,3,0,0,t,60,)', '(month,plan,5,3,0,2,f,60,)'],
  'it says which refuses, and the wait; no top-up lifts a minute'
);
select is(
  (select array_agg(distinct plans::text) from explain_usage('ai_generation', 2)),
  array['{small,large,huge}'], 'and on which other plans it would be allowed now, smallest first'
);
select is(
  pg_temp.why('ai_generation', 3),
  array['(minute,plan,3,3,0,0,t,1425600,)', '(month,plan,5,3,0,2,t,1425600,1)'],
  'when two refuse the wait is that until both have room; the top-up is what the month lacks'
);
select is(
  (select array_agg(distinct plans::text) from explain_usage('ai_generation', 4)), array['{large,huge}'],
  'a plan counts with the use so far: 6 a month are not enough'
);
select is(
  (select array_agg(row(period, refuses, retry_after, top_up)::text order by period) from explain_usage('ai_generation', 4)),
  array['(minute,t,,)', '(month,t,,2)'], 'an amount above a limit is never allowed by waiting'
);
select is(
  (select row(allowed, retry_after)::text from check_usage('ai_generation', 3)), '(f,1425600)', 'check_usage agrees'
);

-- What the advice is worth.
set local role service_role;
do $$ begin perform set_plan('ada', 'small'); end $$;
select is((check_usage('ai_generation', 3, 'ada')).allowed, true, 'on the plan that is named the amount is allowed');
do $$ begin perform set_plan('ada', 'free'); perform grant_usage('ai_generation', 1, 'ada'); end $$;
set local test.clock = '2026-01-15 12:01:00+00';
select is((check_usage('ai_generation', 3, 'ada')).allowed, true, 'so it is with the top-up that is named');
select is(
  pg_temp.why('ai_generation', 3, 'ada'),
  array['(minute,plan,3,0,0,3,f,,)', '(month,plan,6,3,0,3,f,,)', '(,grant,1,0,0,1,f,,)'],
  'which then has a row of its own'
);
do $$ begin perform consume_usage('ai_generation', 3, 'ada'); end $$;
set local test.clock = '2026-01-15 12:02:00+00';
select is(
  pg_temp.why('ai_generation', 1, 'ada'),
  array['(minute,plan,3,0,0,3,f,1425480,)', '(month,plan,6,6,0,0,t,1425480,1)', '(,grant,1,1,0,0,f,1425480,)'],
  'also when it is used up'
);

-- Grants that end before the reset.
do $$ begin
  perform grant_usage('pack', 5, 'bob', '2026-01-20 00:00+00');
  perform grant_usage('pack', 5, 'bob', '2026-01-25 00:00+00');
end $$;
select is(
  (select array_agg(row(period, source, "limit", granted, resets_at)::text order by source desc, resets_at)
   from explain_usage('pack', 1, 'bob')),
  array[
    '(month,plan,10,10,"2026-02-01 00:00:00+00")', '(,grant,5,5,"2026-01-20 00:00:00+00")',
    '(,grant,5,5,"2026-01-25 00:00:00+00")'
  ], 'a grant shows when it ends'
);
do $$ begin perform reserve_usage('pack', 8, 'bob', '6 days'); end $$;
select is(
  (select row(retry_after, top_up)::text from explain_usage('pack', 5, 'bob') where period = 'month'),
  '(518400,3)', 'a hold that ends in six days, when one of the two grants has ended, leaves five'
);
select is(
  (select row(retry_after, top_up)::text from explain_usage('pack', 6, 'bob') where period = 'month'),
  '(,4)', 'and never six: the advice looks at what there is by then'
);
set local test.clock = '2026-01-21 12:02:00+00';
select is((check_usage('pack', 5, 'bob')).allowed, true, 'after the wait it is so');

-- The end of a plan, and of an exception.
do $$ begin
  perform set_plan('cyd', 'slow', ends_at => '2026-01-22 00:00+00');
  perform consume_usage('ai_generation', 1, 'cyd');
  perform set_limit('cyd', 'ai_generation', 'minute', 0);
end $$;
select is(
  pg_temp.why('ai_generation', 1, 'cyd'),
  array['(minute,exception,0,1,0,0,t,,)', '(month,plan,500,1,0,499,f,,)'], 'an exception is named as the source'
);
select is(pg_temp.plans('ai_generation', 1, 'cyd'), '{}', 'and no plan would change it');
do $$ begin perform clear_limit('cyd', 'ai_generation', 'minute'); end $$;
select is(
  (select array_agg(distinct retry_after) from explain_usage('ai_generation', 3, 'cyd')), array[43080],
  'the wait can be the one until the plan ends, when the default plan allows more a minute'
);

-- Not in the plan.
select is(
  pg_temp.why('export', 1, 'dan'), array['(,plan,0,0,0,0,t,,)'],
  'a feature that the plan lacks is one row, which refuses; no top-up opens it'
);
select is(pg_temp.plans('export', 1, 'dan'), array['large', 'huge'], 'other plans do');
select is(pg_temp.plans('export', 6, 'dan'), array['huge'], 'those that have enough of it');
do $$ begin perform set_limit('dan', 'export', 'day', 2); end $$;
select is(pg_temp.why('export', 1, 'dan'), array['(day,exception,2,0,0,2,f,,)'], 'an exception does, too');

-- Other kinds.
select is(
  (select row(unlimited, "limit", remaining, refuses, top_up)::text from explain_usage('token', 900, 'dan')), '(t,,,f,)',
  'unlimited never refuses'
);
do $$ begin perform consume_usage('file', 2, 'dan'); end $$;
select is(
  (select row(period, refuses, retry_after, top_up, plans, resets_at)::text from explain_usage('file', 1, 'dan')),
  '(lifetime,t,,1,{huge},)', 'a gauge frees by no wait; a top-up or a plan helps'
);
do $$ begin perform reserve_usage('ai_generation', 3, 'eve', '30 seconds'); end $$;
select is(
  pg_temp.why('ai_generation', 1, 'eve'),
  array['(minute,plan,3,0,3,0,t,30,)', '(month,plan,5,0,3,2,f,30,)'], 'what is held is told, and when it ends'
);
set local test.clock = '2026-01-21 12:02:30+00';
select is(
  pg_temp.why('ai_generation', 1, 'eve'),
  array['(minute,plan,3,0,0,3,f,,)', '(month,plan,5,0,0,5,f,,)'], 'and nothing of it after its end'
);

-- It writes nothing.
create temporary table former as
  select (select count(*) from quota.subjects) as subjects, (select count(*) from quota.events) as events;
select is(
  (select row(subject, plan, used)::text from explain_usage('ai_generation', 1, 'new') where period = 'month'),
  '(new,free,0)', 'a subject that was never seen has the default plan'
);
select is(
  (select row((select count(*) from quota.subjects), (select count(*) from quota.events))::text),
  (select row(subjects, events)::text from former), 'and is not made by asking'
);

-- Who may.
do $$ begin perform add_member('acme', 'ada'); perform consume_usage('ai_generation', 1, 'acme'); end $$;
set local role authenticated;
set local request.jwt.claims = '{"sub": "ada", "role": "authenticated"}';
select is(
  (select row(subject, used)::text from explain_usage('ai_generation', 1, 'acme') where period = 'month'), '(acme,1)',
  'a member asks for its organisation'
);
select throws_ok(
  $$select explain_usage('ai_generation', 1, 'bob')$$, '42501', null, 'nobody asks for another subject'
);
select is(
  (select row(period, refuses)::text from explain_usage('scan')), '(day,f)', 'a user may ask about a server_only feature'
);
set local request.jwt.claims = '';
select throws_ok($$select explain_usage('ai_generation')$$, '42501', null, 'nor without an identity');
set local role anon;
select throws_ok($$select explain_usage('ai_generation', 1, 'ada')$$, '42501', null, 'anon may not call it');
set local role service_role;
select throws_ok($$select explain_usage('ai_generation')$$, 'QSUBJ', null, 'a trusted role must name the subject');
select throws_ok($$select explain_usage('nothing', 1, 'ada')$$, 'QFEAT', null, 'an unknown feature is QFEAT');
select throws_ok($$select explain_usage(null, 1, 'ada')$$, 'QFEAT', null, 'no feature is QFEAT');
select throws_ok($$select explain_usage('token', 0, 'ada')$$, 'QAMNT', null, 'amount 0 is QAMNT');
select throws_ok($$select explain_usage('token', null, 'ada')$$, 'QAMNT', null, 'no amount is QAMNT');

reset role;
select is_empty($$select * from verify_usage()$$, 'every number is proved by the ledger');

select * from finish();
rollback;
