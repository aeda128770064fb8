-- A moved anchor or zone starts a new period at once and carries the use that falls into it; no use
-- shows twice, and none is lost.
begin;
select set_config('search_path', 'public, ' || pronamespace::regnamespace, true) from pg_proc where proname = 'pgtap_version';
set local timezone = 'UTC';
select plan(36);

create or replace function quota.clock()
returns timestamptz language plpgsql set search_path = pg_catalog, pg_temp
as $$ begin return current_setting('test.clock', true); end $$;

do $$ begin perform apply_plans('{
  "features": {"ai_generation": {}},
  "plans": {
    "free": {"default": true, "limits": {"ai_generation": {"month": 10}}},
    "daily": {"limits": {"ai_generation": {"day": 10}}},
    "year": {"limits": {"ai_generation": {"day": 100, "year": 100, "lifetime": 100, "minute": 100, "hour": 100}}}
  }
}'); end $$;

create temporary table uses (name text primary key, id uuid);
create function pg_temp.use(p_at timestamptz, p_subject text, p_amount bigint) returns uuid
language plpgsql as $$
begin
  perform set_config('test.clock', p_at::text, true);
  return (public.consume_usage('ai_generation', p_amount, p_subject)).event_id;
end $$;
create function pg_temp.history(p_subject text, p_period text default 'month') returns text[]
language sql as $$
  select array_agg(
    to_char(period_start, 'YYYY-MM-DD HH24') || ' - ' || to_char(period_end, 'YYYY-MM-DD HH24') || ': ' || used
    order by period_start
  )
  from public.usage_history where subject = p_subject and period = p_period
$$;
create function pg_temp.carried(p_subject text) returns text[] language sql as $$
  select array_agg(
    (metadata ->> 'period') || ' of ' || to_char((metadata ->> 'period_start')::timestamptz, 'YYYY-MM-DD')
      || ': ' || used_change
    order by used_change, metadata ->> 'period'
  )
  from public.usage_events where subject = p_subject and kind = 'carry'
$$;
create function pg_temp.overlaps() returns setof text language sql as $$
  select a.subject || ' ' || a.period || ' ' || a.period_start
  from public.usage_history as a
  join public.usage_history as b using (subject, feature, period)
  where a.period_start < b.period_start and a.period_end > b.period_start
$$;

-- Later within the running period: 4 before the new start, 3 after it.
insert into uses values
  ('early', pg_temp.use('2026-09-05 00:00+00', 'ada', 4)),
  ('late', pg_temp.use('2026-09-12 00:00+00', 'ada', 3));
set local test.clock = '2026-09-15 12:00:00+00';
do $$ begin perform set_plan('ada', 'free', anchor => '2026-09-10 00:00+00'); end $$;
select is(
  (select row(used, remaining, period_start, resets_at)::text from check_usage('ai_generation', 1, 'ada')),
  '(3,7,"2026-09-10 00:00:00+00","2026-10-10 00:00:00+00")',
  'the new period starts at the new anchor, with the use since then'
);
select is(
  pg_temp.history('ada'),
  array['2026-09-01 00 - 2026-09-10 00: 4', '2026-09-10 00 - 2026-10-10 00: 3'],
  'the former period ends where the new one starts, and keeps the use before'
);
select is(
  pg_temp.carried('ada'), array['month of 2026-09-01: -3', 'month of 2026-09-10: 3'],
  'a pair of carry lines says what went where'
);
select is(
  (select sum(used_change)::bigint from usage_events where subject = 'ada'), 7::bigint,
  'the pair changes no sum'
);
do $$ begin perform refund_usage((select id from uses where name = 'late'), 2); end $$;
select is(
  pg_temp.history('ada'),
  array['2026-09-01 00 - 2026-09-10 00: 4', '2026-09-10 00 - 2026-10-10 00: 1'],
  'a refund of carried use goes where the use was carried'
);
do $$ begin perform refund_usage((select id from uses where name = 'early'), 1); end $$;
select is(
  pg_temp.history('ada'),
  array['2026-09-01 00 - 2026-09-10 00: 3', '2026-09-10 00 - 2026-10-10 00: 1'],
  'a refund of use that was left behind goes into the former period'
);
select is_empty($$select * from verify_usage('ada')$$, 'every number is proved by the ledger');

-- Earlier than the running period: closed use falls into it again.
select lives_ok(
  $$select pg_temp.use('2026-08-18 00:00+00', 'bob', 1), pg_temp.use('2026-08-25 00:00+00', 'bob', 2),
    pg_temp.use('2026-09-03 00:00+00', 'bob', 4)$$,
  'use in two months'
);
do $$ begin perform set_plan('bob', 'free', anchor => '2026-09-20 00:00+00'); end $$;
select is(
  (select row(used, period_start, resets_at)::text from check_usage('ai_generation', 1, 'bob')),
  '(6,"2026-08-20 00:00:00+00","2026-09-20 00:00:00+00")',
  'a new period that reaches back before the running one has the use of both since its start'
);
select is(
  pg_temp.history('bob'),
  array['2026-08-01 00 - 2026-08-20 00: 1', '2026-08-20 00 - 2026-09-20 00: 6'],
  'the closed month is cut at its start too'
);
select is_empty($$select * from verify_usage('bob')$$, 'every number is proved by the ledger');

-- Now.
select lives_ok($$select pg_temp.use('2026-09-03 00:00+00', 'cora', 9)$$, 'use before');
set local test.clock = '2026-09-15 12:00:00+00';
do $$ begin perform set_plan('cora', 'free', anchor => quota.clock()); end $$;
select is(
  (select row(used, period_start)::text from check_usage('ai_generation', 1, 'cora')),
  '(0,"2026-09-15 12:00:00+00")', 'an anchor of now starts afresh'
);
select is(
  pg_temp.history('cora'),
  array['2026-09-01 00 - 2026-09-15 12: 9', '2026-09-15 12 - 2026-10-15 12: 0'],
  'and closes the former period now'
);
select is(pg_temp.carried('cora'), null, 'where nothing moves, nothing is carried');

-- There and back.
select lives_ok($$select pg_temp.use('2026-09-05 00:00+00', 'dora', 4), pg_temp.use('2026-09-12 00:00+00', 'dora', 3)$$, 'use');
do $$ begin
  perform set_plan('dora', 'free', anchor => '2026-09-10 00:00+00');
  perform set_plan('dora', 'free', anchor => '2026-09-01 00:00+00');
end $$;
select is(
  pg_temp.history('dora'), array['2026-09-01 00 - 2026-10-01 00: 7'],
  'an anchor that is moved there and back leaves one period with all the use'
);
select is((check_usage('ai_generation', 1, 'dora')).used, 7::bigint, 'which the next call sees');
select is_empty($$select * from verify_usage('dora')$$, 'every number is proved by the ledger');

-- The same anchor again, and another with the same periods.
do $$ begin
  perform set_plan('dora', 'free', anchor => '2026-09-01 00:00+00');
  perform set_plan('dora', 'free', anchor => '2026-08-01 00:00+00');
end $$;
select is(
  pg_temp.history('dora'), array['2026-09-01 00 - 2026-10-01 00: 7'],
  'an anchor that means the same periods moves nothing'
);

-- Zone: the month of Auckland began 13 hours before that of UTC.
select lives_ok(
  $$select pg_temp.use('2026-10-31 10:00+00', 'eve', 1), pg_temp.use('2026-10-31 12:00+00', 'eve', 2)$$,
  'use around the midnight of Auckland'
);
do $$ begin perform set_plan('eve', 'free', time_zone => 'Pacific/Auckland'); end $$;
select is(
  (select row(used, period_start, resets_at)::text from check_usage('ai_generation', 1, 'eve')),
  '(2,"2026-10-31 11:00:00+00","2026-11-30 11:00:00+00")',
  'another zone starts its own month at once, with the use that falls into it'
);
select is(
  pg_temp.history('eve'),
  array['2026-10-01 00 - 2026-10-31 11: 1', '2026-10-31 11 - 2026-11-30 11: 2'],
  'and the month of the former zone ends there'
);

-- Several periods; those that no anchor moves stay.
do $$ begin perform set_plan('finn', 'year'); end $$;
select lives_ok(
  $$select pg_temp.use('2026-09-15 02:00+00', 'finn', 1), pg_temp.use('2026-09-15 08:00+00', 'finn', 2)$$,
  'use on one day'
);
do $$ begin perform set_plan('finn', 'year', anchor => '2026-03-15 06:00+00'); end $$;
select is(
  (select array_agg(row(period, used)::text order by period)
   from current_usage where subject = 'finn' and feature = 'ai_generation'),
  array['(day,2)', '(hour,2)', '(lifetime,3)', '(minute,2)', '(year,3)'],
  'day and year follow the anchor, each with its own share; minute, hour and lifetime stay as they are'
);
select is(
  pg_temp.carried('finn'),
  array['year of 2026-01-01: -3', 'day of 2026-09-15: -2', 'day of 2026-09-15: 2',
    'year of 2026-03-15: 3'],
  'each period that moves has its pair of carry lines'
);
select is_empty($$select * from verify_usage('finn')$$, 'every number is proved by the ledger');

-- A period that the plan lacks while the anchor moves.
select lives_ok($$select pg_temp.use('2026-09-05 00:00+00', 'gus', 4), pg_temp.use('2026-09-12 00:00+00', 'gus', 3)$$, 'use by the month');
set local test.clock = '2026-09-15 12:00:00+00';
do $$ begin
  perform set_plan('gus', 'daily', anchor => '2026-09-10 00:00+00');
  perform set_plan('gus', 'free');
end $$;
select is(
  (select row(used, period_start, resets_at)::text from check_usage('ai_generation', 1, 'gus')),
  '(3,"2026-09-10 00:00:00+00","2026-10-10 00:00:00+00")',
  'a period that was not in the plan when the anchor moved has moved too when it comes back'
);
select is(
  pg_temp.history('gus'),
  array['2026-09-01 00 - 2026-09-10 00: 4', '2026-09-10 00 - 2026-10-10 00: 3'],
  'and its history does not overlap'
);
select lives_ok($$select pg_temp.use('2026-09-05 00:00+00', 'hal', 4), pg_temp.use('2026-09-12 00:00+00', 'hal', 3)$$, 'use by the month');
set local test.clock = '2026-09-15 12:00:00+00';
do $$ begin
  perform set_plan('hal', 'daily', anchor => '2026-09-10 00:00+00', ends_at => '2026-09-16 00:00+00');
end $$;
set local test.clock = '2026-09-16 12:00:00+00';
select is(
  (select row(used, period_start, resets_at)::text from consume_usage('ai_generation', 1, 'hal')),
  '(4,"2026-09-10 00:00:00+00","2026-10-10 00:00:00+00")',
  'so it is when the default plan brings it back by itself'
);
select is_empty(
  $$select * from verify_usage()$$, 'every number of all subjects is proved by the ledger'
);

-- A roll-over that meets a moved anchor.
select lives_ok(
  $$select pg_temp.use('2026-10-12 00:00+00', 'ada', 5), pg_temp.use('2026-10-12 00:00+00', 'bob', 5)$$,
  'the next periods begin on the new days'
);
select is(
  (select array_agg(row(subject, period_start, used)::text order by subject)
   from usage_history where subject in ('ada', 'bob') and period_end > quota.clock()),
  array['(ada,"2026-10-10 00:00:00+00",5)', '(bob,"2026-09-20 00:00:00+00",5)'],
  'with nothing carried over'
);
select is_empty('select pg_temp.overlaps()', 'no two rows of the history overlap');

select * from finish();
rollback;
