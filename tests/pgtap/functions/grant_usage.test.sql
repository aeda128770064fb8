-- grant_usage(): extra allowance outside the plan: used after it, soonest to expire first.
begin;
select set_config('search_path', 'public, ' || pronamespace::regnamespace, true) from pg_proc where proname = 'pgtap_version';
set local timezone = 'UTC';
select plan(72);

create or replace function quota.clock()
returns timestamptz language plpgsql set search_path = pg_catalog, pg_temp
as $$ begin return current_setting('test.clock', true); end $$;
set local test.clock = '2026-01-15 12:00:00+00';

do $$ begin perform apply_plans('{
  "features": {
    "ai_generation": {}, "burst": {}, "token": {}, "export": {}, "daily": {}, "pack": {},
    "file": {"kind": "gauge"}
  },
  "plans": {
    "free": {"default": true, "limits": {
      "ai_generation": {"month": 5}, "burst": {"minute": 3, "month": 4}, "token": {"month": null},
      "daily": {"day": 2, "month": 10}, "pack": {"month": 0}, "file": {"lifetime": 2}
    }},
    "pro": {"limits": {"ai_generation": {"month": 8}}}
  }
}'); end $$;

create temporary table ids (name text primary key, id uuid);
grant all on ids to service_role, authenticated;
create function pg_temp.id(p_name text) returns uuid
language sql as $$ select id from ids where name = p_name $$;
create function pg_temp.give(
  p_name text, p_subject text, p_feature text, p_amount bigint, p_expires_at timestamptz default null
) returns void language sql as $$
  insert into ids select p_name, public.grant_usage(p_feature, p_amount, p_subject, p_expires_at)
$$;
create function pg_temp.use(p_subject text, p_feature text, p_amount bigint) returns text
language sql as $$
  select row(allowed, used, "limit", remaining, granted)::text
  from public.consume_usage(p_feature, p_amount, p_subject)
$$;
create function pg_temp.state(p_subject text, p_feature text) returns text
language sql as $$
  select row(used, "limit", remaining, granted)::text from public.check_usage(p_feature, 1, p_subject)
$$;
create function pg_temp.drawn(variadic p_names text[]) returns text language plpgsql as $$ begin
  return (select string_agg(i.name || ' ' || g.drawn, ', ' order by i.name)
  from ids as i join quota.grants as g on g.grant_id = i.id where i.name = any (p_names));
end $$;

-- Who may.
set local role authenticated;
set local request.jwt.claims = '{"sub": "ada", "role": "authenticated"}';
select throws_ok(
  $$select grant_usage('ai_generation', 100, 'ada')$$, '42501', null, 'a user cannot grant itself credits'
);
select throws_ok(
  $$select quota.grant_usage('ai_generation', 100, 'ada', null, null, '{}')$$, '42501', null,
  'nor by the private function'
);
set local role anon;
select throws_ok($$select grant_usage('ai_generation', 100, 'ada')$$, '42501', null, 'anon may not call it');
set local role service_role;

-- After the plan's allowance.
select pg_temp.give('top-up', 'ada', 'ai_generation', 10);
select isnt(pg_temp.id('top-up'), null, 'a grant has an id');
select is(pg_temp.state('ada', 'ai_generation'), '(0,15,15,10)', 'it raises the limit by what is open');
select is(pg_temp.use('ada', 'ai_generation', 4), '(t,4,15,11,10)', 'the plan''s allowance is used first');
select is(
  pg_temp.use('ada', 'ai_generation', 3), '(t,7,15,8,8)', 'a use that the plan covers in part draws the rest'
);
select is(
  (select array_agg(row(kind, feature, used_change, drawn_change, grant_id = pg_temp.id('top-up'),
    about_id = (select event_id from usage_events where used_change = 3))::text)
   from usage_events where subject = 'ada' and kind = 'draw'),
  array['(draw,ai_generation,0,2,t,t)'], 'with a line that says from which grant and for which use'
);
select is(
  (select array_agg(row(kind, metadata)::text) from usage_events where grant_id = pg_temp.id('top-up') and kind = 'grant'),
  array['(grant,"{""amount"": 10, ""expires_at"": null}")'], 'and one that says what was granted'
);
select is(pg_temp.use('ada', 'ai_generation', 9), '(f,7,15,8,8)', 'no use passes the limit with its grants');
select is(pg_temp.use('ada', 'ai_generation', 8), '(t,15,15,0,0)', 'the last unit of a grant can be used');
select is(
  (select row(used, "limit", remaining, percent_used, status, granted)::text
   from current_usage where subject = 'ada' and feature = 'ai_generation'),
  '(15,15,0,100,at_limit,0)', 'the usage bar agrees'
);

-- Over the reset.
select pg_temp.give('january', 'bob', 'ai_generation', 10);
select is(pg_temp.use('bob', 'ai_generation', 8), '(t,8,15,7,7)', 'three of a top-up of January are used');
set local test.clock = '2026-02-01 00:00:00+00';
select is(
  pg_temp.state('bob', 'ai_generation'), '(0,12,12,7)',
  'in February the plan starts again, and what is left of the top-up is still there'
);
select is(pg_temp.use('bob', 'ai_generation', 12), '(t,12,12,0,0)', 'and can be used');
select is(pg_temp.use('bob', 'ai_generation', 1), '(f,12,12,0,0)', 'once');
set local test.clock = '2026-03-01 00:00:00+00';
select is(pg_temp.state('bob', 'ai_generation'), '(0,5,5,0)', 'in March only the plan is left');
select is(
  (select array_agg(row(period_start, used, "limit")::text order by period_start)
   from usage_history where subject = 'bob'),
  array['("2026-01-01 00:00:00+00",8,15)', '("2026-02-01 00:00:00+00",12,12)'],
  'the history shows the limit with the grants of each month'
);

-- Soonest to expire first: three lots of 30, 70 used.
select pg_temp.give('late', 'cyd', 'pack', 30, '2026-03-30 00:00+00');
select pg_temp.give('soon', 'cyd', 'pack', 30, '2026-03-10 00:00+00');
select pg_temp.give('next', 'cyd', 'pack', 30, '2026-03-20 00:00+00');
select is(pg_temp.use('cyd', 'pack', 70), '(t,70,90,20,20)', '70 of three lots of 30');
select is(
  pg_temp.drawn('late', 'soon', 'next'), 'late 10, next 30, soon 30', 'are taken from the two that expire first'
);
set local test.clock = '2026-03-20 00:00:00+00';
select is(
  pg_temp.state('cyd', 'pack'), '(70,90,20,20)', 'so 20 are left after the two spent ones have expired'
);
set local test.clock = '2026-03-29 23:59:59.999999+00';
select is(
  (check_usage('pack', 20, 'cyd')).allowed, true, 'until the last microsecond of the third'
);
set local test.clock = '2026-03-30 00:00:00+00';
select is(pg_temp.state('cyd', 'pack'), '(70,70,0,0)', 'and none after it; what was drawn stays drawn');
select is(
  (select row(used, "limit", status, granted)::text from current_usage where subject = 'cyd' and feature = 'pack'),
  '(70,70,at_limit,0)', 'the usage bar agrees, with nothing written'
);

-- Refunds.
set local test.clock = '2026-04-01 12:00:00+00';
select pg_temp.give('first', 'dan', 'pack', 5, '2026-04-10 00:00+00');
select pg_temp.give('second', 'dan', 'pack', 5, '2026-04-20 00:00+00');
insert into ids select 'use', event_id from consume_usage('pack', 8, 'dan');
select is(pg_temp.drawn('first', 'second'), 'first 5, second 3', 'a use of 8 draws 5 and 3');
do $$ begin perform refund_usage(pg_temp.id('use'), 4); end $$;
select is(
  pg_temp.drawn('first', 'second'), 'first 4, second 0', 'a refund gives back to the same grants, the last drawn first'
);
select is(pg_temp.state('dan', 'pack'), '(4,10,6,6)', 'where it can be used again');
set local test.clock = '2026-04-10 00:00:00+00';
do $$ begin perform refund_usage(pg_temp.id('use'), 4); end $$;
select is(
  pg_temp.drawn('first', 'second'), 'first 0, second 0', 'also to a grant that has expired meanwhile'
);
select is(pg_temp.state('dan', 'pack'), '(0,5,5,5)', 'where it stays expired');
insert into ids select 'mixed', event_id from consume_usage('ai_generation', 3, 'dan');
select pg_temp.give('beside', 'dan', 'ai_generation', 5);
insert into ids select 'mixed 2', event_id from consume_usage('ai_generation', 4, 'dan');
select is(pg_temp.drawn('beside'), 'beside 2', 'a use of 4 with 2 left of the plan');
do $$ begin perform refund_usage(pg_temp.id('mixed'), 3); end $$;
select is(
  pg_temp.drawn('beside'), 'beside 2', 'a refund of a use that drew nothing gives nothing to a grant'
);
do $$ begin perform refund_usage(pg_temp.id('mixed 2'), 1); end $$;
select is(pg_temp.drawn('beside'), 'beside 1', 'one of a use that did gives back there first');
select is(pg_temp.state('dan', 'ai_generation'), '(3,10,7,4)', 'and the sums agree');

-- Holds.
select pg_temp.give('held', 'eve', 'pack', 10);
do $$ begin perform reserve_usage('pack', 6, 'eve', '1 minute'); end $$;
select is(pg_temp.drawn('held'), 'held 6', 'a hold draws');
select is(pg_temp.state('eve', 'pack'), '(0,10,4,4)', 'and what it drew is not open');
set local test.clock = '2026-04-10 00:01:00+00';
select is(
  pg_temp.state('eve', 'pack'), '(0,10,10,10)', 'the moment it expires all is open again, with nothing written'
);
select is(
  (select row(used, reserved, "limit", granted)::text from current_usage where subject = 'eve' and feature = 'pack'),
  '(0,0,10,10)', 'for the usage bar, too'
);
select is(
  (select array_agg(row(source, "limit", used, remaining)::text) from explain_usage('pack', 1, 'eve') where source = 'grant'),
  array['(grant,10,0,10)'], 'and for explain_usage'
);
select is(pg_temp.use('eve', 'pack', 10), '(t,10,10,0,0)', 'and it can be used');
select is(
  (select array_agg(drawn_change order by at, drawn_change) from usage_events where subject = 'eve' and kind = 'draw'),
  array[6, -6, 10]::bigint[], 'the ledger has each draw and what came back'
);

-- Plan changes.
select pg_temp.give('kept', 'fay', 'ai_generation', 10);
select is(pg_temp.use('fay', 'ai_generation', 7), '(t,7,15,8,8)', 'two are drawn on the free plan');
do $$ begin perform set_plan('fay', 'pro'); end $$;
select is(
  pg_temp.state('fay', 'ai_generation'), '(7,18,11,8)',
  'a larger plan neither gives back what was drawn nor draws: its limit and the open grants hold'
);
do $$ begin perform set_plan('fay', 'free'); end $$;
select is(pg_temp.state('fay', 'ai_generation'), '(7,15,8,8)', 'a smaller one, too');
do $$ begin perform set_plan('gil', 'pro'); perform consume_usage('ai_generation', 8, 'gil'); perform set_plan('gil', 'free'); end $$;
select pg_temp.give('after', 'gil', 'ai_generation', 10);
select is(
  pg_temp.state('gil', 'ai_generation'), '(8,15,7,10)', 'what a downgrade left over the limit is made up for first'
);
select is(
  pg_temp.use('gil', 'ai_generation', 2), '(t,10,15,5,8)', 'but a use draws no more than its own amount'
);

-- Several limits.
select pg_temp.give('day', 'hal', 'daily', 5);
select is(
  pg_temp.use('hal', 'daily', 4), '(t,4,7,3,3)', 'a use draws the largest shortfall of its limits: 2 of the day'
);
select is(
  (select array_agg(row(period, used, "limit", granted)::text order by period)
   from current_usage where subject = 'hal' and feature = 'daily'),
  array['(day,4,7,3)', '(month,4,15,3)'], 'which counts as drawn in each of them'
);
select pg_temp.give('burst', 'hal', 'burst', 10);
select is(
  (select row(allowed, period, "limit", granted)::text from consume_usage('burst', 4, 'hal')), '(f,minute,3,0)',
  'a grant does not lift a minute limit'
);
select is(
  (select row(allowed, period, "limit", remaining)::text from consume_usage('burst', 3, 'hal')), '(t,minute,3,0)',
  'up to it the plan is used'
);
set local test.clock = '2026-04-10 00:02:00+00';
select is(
  (select row(allowed, period, used, "limit", remaining)::text from consume_usage('burst', 3, 'hal')),
  '(t,minute,3,3,0)', 'in the next minute the grant covers what the month does not'
);
select is(pg_temp.drawn('burst'), 'burst 2', 'and no more');

-- What grants do not do.
select pg_temp.give('closed', 'ina', 'export', 10);
select is(
  (select row(allowed, reason)::text from consume_usage('export', 1, 'ina')), '(f,feature_not_in_plan)',
  'a grant does not open a feature that the plan lacks'
);
select pg_temp.give('unlimited', 'ina', 'token', 10);
do $$ begin perform consume_usage('token', 100, 'ina'); end $$;
select is(pg_temp.drawn('unlimited'), 'unlimited 0', 'and is not drawn where there is no limit');

-- Gauges.
select pg_temp.give('files', 'joe', 'file', 3, '2026-04-20 00:00+00');
select is(pg_temp.use('joe', 'file', 4), '(t,4,5,1,3)', 'on a gauge an open grant raises the limit, and is not drawn');
do $$ begin perform return_usage('file', 2, 'joe'); end $$;
select is(pg_temp.use('joe', 'file', 3), '(t,5,5,0,3)', 'so what goes down and up again is counted once');
set local test.clock = '2026-04-20 00:00:00+00';
select is(pg_temp.state('joe', 'file'), '(5,2,0,0)', 'when it expires the gauge is over its limit, and nothing is lost');

-- Keys.
insert into ids select 'key', grant_usage('pack', 5, 'kim', '2026-05-01 00:00+00', 'order-1', '{"order": 1}');
select is(
  grant_usage('pack', 5, 'kim', '2026-05-01 02:00+02', 'order-1'), pg_temp.id('key'),
  'repeated with its key a grant gives the first id; the same instant in another zone is the same'
);
select is(pg_temp.state('kim', 'pack'), '(0,5,5,5)', 'and grants nothing twice');
select throws_ok(
  $$select grant_usage('pack', 6, 'kim', '2026-05-01 00:00+00', 'order-1')$$, 'QIDEM', null,
  'the key with another amount is QIDEM'
);
select throws_ok(
  $$select grant_usage('ai_generation', 5, 'kim', '2026-05-01 00:00+00', 'order-1')$$, 'QIDEM', null,
  'with another feature, too'
);
set local test.clock = '2026-06-01 00:00:00+00';
select is(
  grant_usage('pack', 5, 'kim', '2026-05-01 00:00+00', 'order-1'), pg_temp.id('key'),
  'a repetition that comes after the end is told the id'
);

-- A limit that starts again without what was drawn: a plain refusal says so, as explain_usage() does.
create function pg_temp.waits(p_subject text, p_feature text, p_amount bigint) returns text
language plpgsql as $$ begin
  return (select row(u.allowed, u.retry_after, c.allowed, c.retry_after, e.retry_after)::text
  from consume_usage(p_feature, p_amount, p_subject) as u, check_usage(p_feature, p_amount, p_subject) as c,
    explain_usage(p_feature, p_amount, p_subject) as e
  where e.period = 'month');
end $$;
do $$ begin
  perform grant_usage('pack', 3, 'waiter'), grant_usage('ai_generation', 3, 'waiter');
  perform consume_usage('pack', 3, 'waiter'), consume_usage('ai_generation', 8, 'waiter');
end $$;
select is(pg_temp.waits('waiter', 'pack', 1), '(f,,f,,)', 'of nothing beside it no wait makes room');
select is(pg_temp.waits('waiter', 'ai_generation', 6), '(f,,f,,)', 'nor for more than the plan allows');
select is(
  pg_temp.waits('waiter', 'ai_generation', 5), '(f,2592000,f,2592000,2592000)', 'and for as much, the next month does'
);

-- Wrong arguments.
select throws_ok(
  $$select grant_usage('pack', 5, 'bad', '2026-06-01 00:00+00')$$, '22023', null, 'an end that is not in the future is 22023'
);
select throws_ok($$select grant_usage('pack', 0, 'bad')$$, 'QAMNT', null, 'amount 0 is QAMNT');
select throws_ok($$select grant_usage('pack', null, 'bad')$$, 'QAMNT', null, 'no amount is QAMNT');
select throws_ok($$select grant_usage('nothing', 5, 'bad')$$, 'QFEAT', null, 'an unknown feature is QFEAT');
select throws_ok($$select grant_usage('pack', 5, null)$$, 'QSUBJ', null, 'no subject is QSUBJ');
do $$ begin perform grant_usage('pack', 9007199254740000, 'max'); end $$;
select throws_ok(
  $$select grant_usage('pack', 992, 'max')$$, 'QAMNT', null, 'grants that sum up to more than 2^53 - 1 are QAMNT'
);
select is(
  (select count(*) from quota.subjects where subject_id = 'bad'), 0::bigint, 'none of these makes a subject'
);

reset role;
select is_empty($$select * from verify_usage()$$, 'every number is proved by the ledger');

select * from finish();
rollback;
