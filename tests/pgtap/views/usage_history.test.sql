-- usage_history: the use of past and running periods.
begin;
select set_config('search_path', 'public, ' || pronamespace::regnamespace, true) from pg_proc where proname = 'pgtap_version';
set local timezone = 'UTC';
select plan(17);

create or replace function quota.clock()
returns timestamptz language plpgsql set search_path = pg_catalog, pg_temp
as $$ begin return current_setting('test.clock', true); end $$;

do $$ begin perform apply_plans('{
  "features": {"ai_generation": {}, "export": {}},
  "plans": {
    "free": {"default": true, "limits": {"ai_generation": {
      "minute": 9, "hour": 9, "day": 9, "week": 20, "month": 50, "year": 100, "lifetime": 500}}},
    "pro": {"limits": {"ai_generation": {"month": null}, "export": {"month": 7}}}
  }
}'); end $$;

create function pg_temp.use(p_at timestamptz, p_amount bigint, p_feature text default 'ai_generation')
returns void language plpgsql as $$
begin
  perform set_config('test.clock', p_at::text, true);
  perform public.consume_usage(p_feature, p_amount);
end $$;

select columns_are('public', 'usage_history', array[
  'subject', 'feature', 'period', 'period_start', 'period_end', 'used', 'limit',
  'carried', 'over'
]);

set local role authenticated;
set local request.jwt.claims = '{"sub": "ada"}';
select is_empty('select * from usage_history', 'where nothing was used there is no history');
select lives_ok(
  $$select pg_temp.use('2026-09-15 12:00+00', 4), pg_temp.use('2026-09-15 12:30+00', 5),
    pg_temp.use('2026-09-16 08:00+00', 2), pg_temp.use('2026-10-01 08:00+00', 1)$$,
  'use on three days'
);
select is(
  (select array_agg(row(period_start, period_end, used, "limit")::text order by period_start)
   from usage_history where period = 'day'),
  array['("2026-09-15 00:00:00+00","2026-09-16 00:00:00+00",9,9)',
    '("2026-09-16 00:00:00+00","2026-09-17 00:00:00+00",2,9)',
    '("2026-10-01 00:00:00+00","2026-10-02 00:00:00+00",1,9)'],
  'each day with use has a row, and days without have none'
);
select is(
  (select array_agg(row(period, period_start, used)::text order by period collate "C", period_start)
   from usage_history where period <> 'day'),
  array['(lifetime,,12)', '(month,"2026-09-01 00:00:00+00",11)', '(month,"2026-10-01 00:00:00+00",1)',
    '(week,"2026-09-14 00:00:00+00",11)', '(week,"2026-09-28 00:00:00+00",1)',
    '(year,"2026-01-01 00:00:00+00",12)'],
  'so have weeks, months, years and the lifetime; minutes and hours are left out'
);
select is(
  (select row(period_start, period_end, used, "limit")::text from usage_history where period = 'lifetime'),
  '(,,12,500)', 'the lifetime has neither start nor end'
);
do $$ begin perform consume_usage('ai_generation', 50); end $$;
select is(
  (select sum(used)::bigint from usage_history where period = 'day'), 12::bigint, 'a refusal leaves no trace'
);

-- The limit of the period's last call.
reset role;
do $$ begin perform set_plan('ada', 'pro'); end $$;
set local role authenticated;
select lives_ok(
  $$select pg_temp.use('2026-10-02 08:00+00', 100), pg_temp.use('2026-10-02 08:00+00', 3, 'export')$$,
  'use on another plan'
);
select is(
  (select array_agg(row(feature, period_start, used, "limit")::text order by feature, period_start)
   from usage_history where period = 'month'),
  array['(ai_generation,"2026-09-01 00:00:00+00",11,50)', '(ai_generation,"2026-10-01 00:00:00+00",101,)',
    '(export,"2026-10-01 00:00:00+00",3,7)'],
  'a closed period keeps its limit, the running one has the limit of its last call; null is unlimited'
);
select is(
  (select array_agg(used order by period) from usage_history
   where period in ('year', 'lifetime')),
  array[112, 112]::bigint[], 'running periods that the plan no longer has go on counting'
);
reset role;
do $$ begin
  perform set_plan('ada', 'free');
end $$;
set local role authenticated;
select lives_ok($$select pg_temp.use('2026-10-03 08:00+00', 0 + 1)$$, 'a call on the former plan, which is refused');
select is(
  (select "limit" from usage_history where period = 'month' and feature = 'ai_generation' and period_start = '2026-10-01 00:00+00'),
  50::bigint, 'the limit of the running month is that of now'
);

-- Who sees whom.
set local request.jwt.claims = '{"sub": "bob"}';
select is_empty('select * from usage_history', 'a user sees nobody else');
reset role;
insert into quota.members (subject_id, user_id) values ('ada', 'bob');
set local role authenticated;
select is(
  (select array_agg(distinct subject) from usage_history), array['ada'], 'a member sees its organisation'
);
set local request.jwt.claims = '';
select is_empty('select * from usage_history', 'without an identity there are no rows');
set local role service_role;
select isnt_empty('select * from usage_history', 'the server sees all');
set local role anon;
select throws_ok('select * from usage_history', '42501', null, 'anon may not read it');

select * from finish();
rollback;
