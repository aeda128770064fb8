-- Why somebody changed something stands in the ledger, beside what was changed.
begin;
select set_config('search_path', 'public, ' || pronamespace::regnamespace, true) from pg_proc where proname = 'pgtap_version';
set local timezone = 'UTC';
select plan(11);

do $$ begin perform apply_plans('{
  "features": {"export": {}},
  "plans": {"free": {"default": true, "limits": {"export": {"month": 10}}}, "pro": {"limits": {"export": {"month": 20}}}}
}'); end $$;

create function pg_temp.line(p_kind text) returns jsonb
language sql as $$
  select e.metadata from usage_events as e where e.subject = 'ada' and e.kind = p_kind
  order by e.at desc, e.event_id desc limit 1
$$;

set local role service_role;

select set_plan('ada', 'pro', reason => 'ticket 1');
select is(pg_temp.line('plan') ->> 'reason', 'ticket 1', 'a change of plan says why');
select is(pg_temp.line('plan') #>> '{to,plan_id}', 'pro', 'and what it was');
select set_plan('ada', 'pro');
select ok(not pg_temp.line('plan') ? 'reason', 'without a reason there is none');

select set_limit('ada', 'export', 'month', 30, reason => 'ticket 2');
select is(pg_temp.line('limit'), '{"period": "month", "limit": 30, "reason": "ticket 2"}', 'an exception says why');
select clear_limit('ada', 'export', 'month', reason => 'ticket 3');
select is(
  pg_temp.line('limit'), '{"period": "month", "cleared": true, "reason": "ticket 3"}', 'and its end'
);

select void_grant(grant_usage('export', 5, 'ada'), 'ada', reason => 'ticket 4');
select is(
  pg_temp.line('void'), '{"amount": 5, "ended": true, "reason": "ticket 4"}',
  'a grant that is taken back says why'
);

select release_usage((reserve_usage('export', 2, 'ada')).reservation_id, reason => 'ticket 5');
select is(pg_temp.line('release'), '{"reason": "ticket 5"}', 'a hold that is released says why');

-- As the server, the plain way; as the owner, the other.
reset role;
select release_usage((reserve_usage('export', 2, 'ada')).reservation_id, reason => 'ticket 6');
select is(pg_temp.line('release'), '{"reason": "ticket 6"}', 'also where it is ended properly');

select throws_ok(
  format($$select set_plan('ada', 'free', reason => %L)$$, repeat('x', 9000)), 'QMETA', null,
  'a reason over 8 kB is refused'
);
select throws_ok(
  format($$select set_limit('ada', 'export', 'month', 1, reason => %L)$$, repeat('x', 9000)), 'QMETA', null,
  'of an exception, too'
);
select is_empty('select * from verify_usage()', 'every number is proved');

select * from finish();
rollback;
