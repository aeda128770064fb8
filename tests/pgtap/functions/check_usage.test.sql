-- check_usage(): the answer without taking anything.
begin;
select set_config('search_path', 'public, ' || pronamespace::regnamespace, true) from pg_proc where proname = 'pgtap_version';
set local timezone = 'UTC';
select plan(28);

create or replace function quota.clock()
returns timestamptz language plpgsql set search_path = pg_catalog, pg_temp
as $$ begin return current_setting('test.clock', true); end $$;
set local test.clock = '2026-09-15 12:00:30+00';

do $$ begin perform apply_plans('{
  "features": {"ai_generation": {}, "burst": {}, "token": {}, "export": {}, "scan": {"server_only": true}},
  "plans": {"free": {"default": true, "upgrade_url": "/up", "limits": {
    "ai_generation": {"month": 3}, "burst": {"minute": 2, "month": 3}, "token": {"lifetime": null},
    "scan": {"month": 5}}}}
}'); end $$;

create function pg_temp.rows_written() returns bigint language sql as $$
  select (select count(*) from quota.subjects) + (select count(*) from quota.meters)
    + (select count(*) from quota.counters) + (select count(*) from quota.events)
$$;

set local role authenticated;
set local request.jwt.claims = '{"sub": "ada"}';
select is(
  (select to_jsonb(d) from check_usage('ai_generation') as d),
  '{"allowed": true, "reason": "ok", "feature": "ai_generation", "subject": "ada", "plan": "free",
    "amount": 1, "used": 0, "reserved": 0, "limit": 3, "remaining": 3, "unlimited": false,
    "period": "month", "period_start": "2026-09-01T00:00:00+00:00",
    "resets_at": "2026-10-01T00:00:00+00:00", "retry_after": null, "event_id": null,
    "reservation_id": null, "replayed": false, "upgrade_url": "/up", "granted": 0,
    "carried": 0, "limiting_feature": "ai_generation", "limiting_subject": "ada", "limiting_member": null}',
  'it answers for a user that was never seen, with the state before any use'
);
select is((select allowed from check_usage('ai_generation', 3)), true, 'an amount that fits is allowed');
select is(
  (select row(allowed, reason, used, remaining, retry_after)::text from check_usage('ai_generation', 4)),
  '(f,limit_reached,0,3,)', 'one that does not is not'
);
select is(
  (select row(allowed, unlimited, "limit")::text from check_usage('token', 1000000)), '(t,t,)',
  'unlimited allows'
);
select is(
  (select row(allowed, reason, "limit")::text from check_usage('export')), '(f,feature_not_in_plan,0)',
  'a feature that the plan lacks is not allowed'
);
reset role;
select is(pg_temp.rows_written(), 0::bigint, 'asking writes nothing at all');
set local role authenticated;

select is(
  (select to_jsonb(c) from check_usage('burst', 2) as c),
  (select to_jsonb(d) || '{"event_id": null, "used": 0, "remaining": 2}' from consume_usage('burst', 2) as d),
  'the answer is that of consume_usage, but before the use'
);
select is(
  (select to_jsonb(c) from check_usage('burst') as c), (select to_jsonb(d) from consume_usage('burst') as d),
  'a refusal is the same answer, with the same wait'
);
select is(
  (select to_jsonb(c) from check_usage('burst', 2) as c), (select to_jsonb(d) from consume_usage('burst', 2) as d),
  'also when several limits refuse'
);
select is(
  (select row(allowed, period, remaining)::text from (
    select set_config('test.clock', '2026-09-15 12:01:00+00', true)
  ) as moved cross join lateral check_usage('burst', 1 + 0 * length(moved.set_config)) as d),
  '(t,month,1)', 'after the reset it allows again'
);

-- Who may ask about whom.
select is((select subject from check_usage('burst', 1, 'ada')), 'ada', 'a user may name itself');
select throws_ok(
  $$select check_usage('burst', 1, 'bob')$$, '42501', null, 'a user cannot ask about somebody else'
);
select throws_ok(
  $$select check_usage('burst', 1, 'acme')$$, '42501', null, 'nor about an organisation it is not in'
);
reset role;
insert into quota.members (subject_id, user_id) values ('acme', 'ada');
set local role authenticated;
select is(
  (select subject from check_usage('burst', 1, 'acme')), 'acme', 'a member asks about its organisation'
);
set local request.jwt.claims = '';
select throws_ok($$select check_usage('burst')$$, '42501', null, 'without an identity it is 42501');
set local role anon;
select throws_ok($$select check_usage('burst')$$, '42501', null, 'anon may not call it');
set local role service_role;
select throws_ok($$select check_usage('burst')$$, 'QSUBJ', null, 'the server has to name the subject');
select is(
  (select row(subject, used)::text from check_usage('burst', 1, 'ada')), '(ada,2)',
  'the server asks about anybody'
);

-- Wrong arguments.
select throws_ok($$select check_usage('video', 1, 'ada')$$, 'QFEAT', null, 'an unknown feature is QFEAT');
select throws_ok($$select check_usage(null, 1, 'ada')$$, 'QFEAT', null, 'no feature is QFEAT');
select throws_ok($$select check_usage('burst', 0, 'ada')$$, 'QAMNT', null, 'amount 0 is QAMNT');
select throws_ok($$select check_usage('burst', -1, 'ada')$$, 'QAMNT', null, 'a negative amount is QAMNT');
select throws_ok($$select check_usage('burst', null, 'ada')$$, 'QAMNT', null, 'no amount is QAMNT');
select throws_ok(
  $$select check_usage('burst', 9007199254740992, 'ada')$$, 'QAMNT', null, 'more than 2^53 - 1 is QAMNT'
);
select throws_ok($$select check_usage('burst', 1, '')$$, 'QSUBJ', null, 'an empty subject is QSUBJ');

-- What only the server may use.
select is((select allowed from check_usage('scan', 1, 'ada')), true, 'the server asks about a server_only feature');
set local role authenticated;
set local request.jwt.claims = '{"sub": "ada"}';
select is((select allowed from check_usage('scan')), true, 'a user may ask about it, too');

-- What the meter remembers.
reset role;
do $$ begin perform consume_usage('token', 2, 'kim'); end $$;
select is(
  (select row(allowed, unlimited, "limit", remaining, used)::text from check_usage('token', 1, 'kim')), '(t,t,,,2)',
  'what is unlimited has no remaining number, also after a use'
);

select * from finish();
rollback;
