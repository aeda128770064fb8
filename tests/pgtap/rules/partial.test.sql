-- partial: consume, enforce and reserve take what fits under every limit, and say how much.
begin;
select set_config('search_path', 'public, ' || pronamespace::regnamespace, true) from pg_proc where proname = 'pgtap_version';
set local timezone = 'UTC';
select plan(38);

create or replace function quota.clock()
returns timestamptz language plpgsql set search_path = pg_catalog, pg_temp
as $$ begin return current_setting('test.clock', true); end $$;
set local test.clock = '2026-09-15 12:00:00+00';

do $$ begin perform apply_plans('{
  "features": {"token": {}, "file": {"kind": "gauge"}, "other": {}, "secret": {"server_only": true}},
  "plans": {"free": {"default": true, "upgrade_url": "/up", "limits": {
    "token": {"minute": 6, "month": 10}, "file": {"lifetime": 3}, "secret": {"month": 3}
  }}}
}'); end $$;
create function pg_temp.take(p_amount bigint, p_subject text, p_key text default null, p_feature text default 'token')
returns text language sql as $$
  select row(allowed, reason, amount, period, used, remaining, retry_after, replayed)::text
  from public.consume_usage(p_feature, p_amount, p_subject, p_key, partial => true)
$$;

set local role service_role;
select is(pg_temp.take(4, 'ada'), '(t,ok,4,minute,4,2,,f)', 'what fits is taken whole');
select is(pg_temp.take(5, 'ada'), '(t,ok,2,minute,6,0,,f)', 'of what does not, what fits');
select is(
  pg_temp.take(5, 'ada'), '(f,limit_reached,5,minute,6,0,60,f)',
  'nothing left is a refusal, which waits for one unit, not for all that was asked'
);
select is(
  (select row(allowed, amount, retry_after)::text from consume_usage('token', 50, 'ada')), '(f,50,)',
  'without it an amount above the limit waits for ever'
);
select is(
  (select row(allowed, amount, retry_after)::text from consume_usage('token', 50, 'ada', partial => true)),
  '(f,50,60)', 'with it for the first unit'
);
set local test.clock = '2026-09-15 12:01:00+00';
select is(pg_temp.take(6, 'ada'), '(t,ok,4,month,10,0,,f)', 'the limit with least room says how much');
select is(
  (select array_agg(used_change order by at, used_change desc) from usage_events where subject = 'ada'),
  array[4, 2, 4]::bigint[], 'the ledger has what was taken'
);
select is(
  pg_temp.take(1, 'ada'), '(f,limit_reached,1,month,10,0,1339140,f)', 'and nothing more until the month is over'
);
select is(pg_temp.take(3, 'ada', null, 'other'), '(f,feature_not_in_plan,3,,0,0,,f)', 'what is in no plan is refused');
select is((consume_usage('token', 1, 'ada')).event_id, null, 'a refusal has no line');

-- A key is told again what was taken.
select is(pg_temp.take(9, 'bob', 'k1'), '(t,ok,6,minute,6,0,,f)', 'a key is bound to what fitted');
set local test.clock = '2026-09-15 12:02:00+00';
select is(pg_temp.take(9, 'bob', 'k1'), '(t,ok,6,minute,6,0,,t)', 'and told it again, also when more would fit now');
select throws_ok(
  $$select consume_usage('token', 9, 'bob', 'k1')$$, 'QIDEM', null, 'without partial it is another call'
);
do $$ begin perform consume_usage('token', 1, 'bob', 'k2'); end $$;
select throws_ok(
  $$select consume_usage('token', 1, 'bob', 'k2', partial => true)$$, 'QIDEM', null, 'and with it, too'
);
select is(pg_temp.take(9, 'bob', 'k3'), '(t,ok,3,month,10,0,,f)', 'what is left of the month');
select is(pg_temp.take(9, 'bob', 'k4'), '(f,limit_reached,9,month,10,0,1339080,f)', 'a refusal');
set local test.clock = '2026-10-01 00:00:00+00';
select is(pg_temp.take(9, 'bob', 'k4'), '(t,ok,6,minute,6,0,,f)', 'binds nothing');
do $$ begin perform refund_usage((select event_id from usage_events where idempotency_key = 'k3')); end $$;
select is(
  (select row(used, "limit")::text from usage_history where subject = 'bob' and period_start = '2026-09-01Z'),
  '(7,10)', 'a refund gives back what was taken'
);

-- Enforce raises when nothing fits, and only then.
select is((enforce_usage('token', 9, 'cyd', partial => true)).amount, 6::bigint, 'enforce takes what fits');
select throws_ok(
  $$select enforce_usage('token', 9, 'cyd', partial => true)$$, 'PT429', null, 'and raises when nothing does'
);
set local test.clock = '2026-10-01 00:01:00+00';
select is((enforce_usage('token', 9, 'cyd', partial => true)).amount, 4::bigint, 'again in the next minute');
set local test.clock = '2026-10-01 00:02:00+00';
select throws_ok(
  $$select enforce_usage('token', 9, 'cyd', partial => true)$$, 'PT402', null, 'PT402 where the month is full'
);

-- A hold of what fits.
create temporary table holds as
  select * from reserve_usage('token', 8, 'dan', '1 hour', 'hold', partial => true);
select is(
  (select row(allowed, amount, reserved, remaining)::text from holds), '(t,6,6,0)', 'reserve holds what fits'
);
select is(
  (select amount from quota.reservations where reservation_id = (select reservation_id from holds)), 6::bigint,
  'and no more'
);
select is(
  (select row(amount, replayed)::text from reserve_usage('token', 8, 'dan', '1 hour', 'hold', partial => true)),
  '(6,t)', 'its key is told that'
);
select throws_ok(
  $$select reserve_usage('token', 8, 'dan', '1 hour', 'hold')$$, 'QIDEM', null, 'and is bound to it'
);
select is(
  (select row(allowed, amount)::text from reserve_usage('token', 8, 'dan', '1 hour', partial => true)), '(f,8)',
  'nothing left is a refusal'
);
select is(
  (select row(amount, used, reserved)::text from commit_usage((select reservation_id from holds))), '(6,6,0)',
  'a commit without an amount uses what was held'
);

-- Grants, gauges, unlimited.
do $$ begin perform grant_usage('token', 3, 'eve'); perform set_limit('eve', 'token', 'minute', null); end $$;
select is(
  (select row(amount, used, "limit", granted)::text from consume_usage('token', 20, 'eve', partial => true)),
  '(13,13,13,0)', 'grants are taken, too'
);
select is(pg_temp.take(5, 'eve', null, 'file'), '(t,ok,3,lifetime,3,0,,f)', 'a gauge is filled up');
select is(pg_temp.take(5, 'eve', null, 'file'), '(f,limit_reached,5,lifetime,3,0,,f)', 'and is full');
do $$ begin perform set_limit('eve', 'file', 'lifetime', 1); end $$;
select is(pg_temp.take(5, 'eve', null, 'file'), '(f,limit_reached,5,lifetime,3,0,,f)', 'over its limit there is less than nothing');
do $$ begin perform set_limit('eve', 'file', 'lifetime', null); end $$;
select is(pg_temp.take(5, 'eve', null, 'file'), '(t,ok,5,lifetime,8,,,f)', 'without a limit all of it fits');

-- A user may, where it may at all.
set local role authenticated;
set local request.jwt.claims = '{"sub": "fay"}';
select is((consume_usage('token', 9, partial => true)).amount, 6::bigint, 'a user takes what fits, too');
select throws_ok(
  $$select consume_usage('secret', 9, partial => true)$$, '42501', null, 'of a server_only feature nothing'
);
select throws_ok($$select consume_usage('token', 0, partial => true)$$, 'QAMNT', null, 'an amount of 0 is none');
select throws_ok($$select consume_usage('token', 1, partial => null)$$, '22023', null, 'null is no answer');
reset role;
select is_empty('select * from verify_usage()', 'every number is proved');

select * from finish();
rollback;
