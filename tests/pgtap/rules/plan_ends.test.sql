-- A plan that ends at local midnight on the billing day, and what waiting for it is worth.
begin;
select set_config('search_path', 'public, ' || pronamespace::regnamespace, true) from pg_proc where proname = 'pgtap_version';
set local timezone = 'UTC';
select plan(29);

create or replace function quota.clock()
returns timestamptz language plpgsql set search_path = pg_catalog, pg_temp
as $$ begin return current_setting('test.clock', true); end $$;
set local test.clock = '2026-01-31 09:00:00+09';

do $$ begin perform apply_plans('{
  "features": {"ai_generation": {}, "export": {}},
  "plans": {
    "free": {"default": true, "limits": {"ai_generation": {"month": 5}, "export": {"month": 2}}},
    "pro": {"limits": {"ai_generation": {"month": 10}}},
    "day": {"limits": {"ai_generation": {"day": 3}}}
  }
}'); end $$;

create function pg_temp.use(p_subject text, p_amount bigint) returns text language sql as $$
  select row(allowed, plan, used, "limit", retry_after)::text
  from public.consume_usage('ai_generation', p_amount, p_subject)
$$;
create function pg_temp.period(p_subject text) returns text language sql as $$
  select row(
    plan, used, "limit", period_start at time zone 'Asia/Tokyo', resets_at at time zone 'Asia/Tokyo'
  )::text
  from public.check_usage('ai_generation', 1, p_subject)
$$;
create function pg_temp.history(p_subject text) returns text[] language sql as $$
  select array_agg(
    to_char(period_start at time zone 'Asia/Tokyo', 'MM-DD HH24') || ' - '
      || to_char(period_end at time zone 'Asia/Tokyo', 'MM-DD HH24') || ': ' || used
    order by period_start
  )
  from public.usage_history where subject = p_subject and feature = 'ai_generation' and period = 'month'
$$;
create function pg_temp.gaps(p_subject text) returns setof text language sql as $$
  select p.period || ' ' || p.period_end || ' ' || p.next
  from (
    select period, period_end, lead(period_start) over (partition by feature, period order by period_start) as next
    from public.usage_history where subject = p_subject
  ) as p
  where p.next is not null and p.period_end <> p.next
$$;

-- The billing day is the 31st, so in February the 28th; the plan ends as that day begins in Tokyo.
do $$ begin perform set_plan('ada', 'pro', '2026-01-31 00:00+09', 'Asia/Tokyo', '2026-02-28 00:00+09'); end $$;
select is(
  pg_temp.period('ada'), '(pro,0,10,"2026-01-31 00:00:00","2026-02-28 00:00:00")', 'a month from the 31st to the 28th'
);
select is(pg_temp.use('ada', 8), '(t,pro,8,10,)', 'eight are used');
set local test.clock = '2026-02-27 23:59:59.999999+09';
select is(pg_temp.period('ada'), '(pro,8,10,"2026-01-31 00:00:00","2026-02-28 00:00:00")', 'to its last microsecond the plan holds');
select is(
  pg_temp.use('ada', 3), '(f,pro,8,10,1)', 'what does not fit waits for the reset, which is the end of the plan, too'
);
select is(pg_temp.use('ada', 6), '(f,pro,8,10,)', 'what fits this plan alone has nothing to wait for');
select is(pg_temp.use('ada', 1), '(t,pro,9,10,)', 'what fits is used');
set local test.clock = '2026-02-28 00:00:00+09';
select is(
  pg_temp.period('ada'), '(free,0,5,"2026-02-28 00:00:00","2026-03-31 00:00:00")',
  'at midnight in Tokyo, 15:00 UTC of the day before, the default plan and a new month begin at once'
);
select is(
  (select row(plan, used, "limit", remaining, status)::text from current_usage where subject = 'ada' and feature = 'ai_generation'),
  '(free,0,5,5,ok)', 'for the usage bar, too, with nothing written'
);
select is(pg_temp.use('ada', 5), '(t,free,5,5,)', 'the default plan''s month can be used up');
select is(pg_temp.use('ada', 1), '(f,free,5,5,2678400)', 'and resets on the billing day');
select is((consume_usage('export', 1, 'ada')).allowed, true, 'what only the default plan has is open');
set local test.clock = '2026-03-31 00:00:00+09';
select is(pg_temp.use('ada', 1), '(t,free,1,5,)', 'on the 31st of March the next begins');
select is(
  pg_temp.history('ada'), array['01-31 00 - 02-28 00: 9', '02-28 00 - 03-31 00: 5', '03-31 00 - 04-30 00: 1'],
  'the history has each month with its use'
);
select is_empty($$select pg_temp.gaps('ada')$$, 'without a gap or an overlap');

-- In mid-period: the use so far counts against the plan that follows.
set local test.clock = '2026-03-01 12:00:00+09';
do $$ begin perform set_plan('bob', 'pro', '2026-03-01 00:00+09', 'Asia/Tokyo', '2026-03-10 00:00+09'); end $$;
do $$ begin perform consume_usage('ai_generation', 7, 'bob'); end $$;
select is(
  pg_temp.use('bob', 4), '(f,pro,7,10,2635200)', 'after the end of the plan there is even less room: the wait is to the reset'
);
set local test.clock = '2026-03-10 00:00:00+09';
select is(pg_temp.use('bob', 1), '(f,free,7,5,1900800)', 'the default plan is over its limit at once');

-- A plan whose end gives room.
do $$ begin perform set_plan('cyd', 'day', '2026-03-10 00:00+09', 'Asia/Tokyo', '2026-03-10 18:00+09'); end $$;
do $$ begin perform consume_usage('ai_generation', 3, 'cyd'); end $$;
select is(pg_temp.use('cyd', 2), '(f,day,3,3,64800)', 'a day that is full waits for the end of the plan, not of the day');
select is(
  (select row(allowed, retry_after)::text from check_usage('export', 1, 'cyd')), '(f,64800)',
  'a feature that the plan lacks, too'
);
set local test.clock = '2026-03-10 18:00:00+09';
select is(pg_temp.use('cyd', 2), '(t,free,5,5,)', 'and then there is room, with the use so far');
select is(
  (select array_agg(row(period, used)::text order by period) from usage_history where subject = 'cyd'),
  array['(day,5)', '(month,5)'], 'which counts on in the periods of both'
);

-- Grants that expire before the reset.
do $$ begin
  perform grant_usage('ai_generation', 4, 'dan', '2026-03-20 00:00+09');
  perform consume_usage('ai_generation', 5, 'dan');
  perform reserve_usage('ai_generation', 4, 'dan', '7 days');
end $$;
select is(
  (select row(allowed, retry_after)::text from check_usage('ai_generation', 4, 'dan')), '(f,604800)',
  'a hold that ends before the grant it drew from gives it back in time'
);
do $$ begin perform set_plan('eve', 'free', '2026-03-10 00:00+09'); end $$;
set local test.clock = '2026-03-15 00:00:00+09';
do $$ begin
  perform grant_usage('ai_generation', 4, 'eve', '2026-03-20 00:00+09');
  perform consume_usage('ai_generation', 5, 'eve');
  perform reserve_usage('ai_generation', 4, 'eve', '7 days');
end $$;
select is(
  (select row(allowed, retry_after)::text from check_usage('ai_generation', 4, 'eve')), '(f,2246400)',
  'one that ends after it does not: the wait is to the reset'
);
select is(
  (select row(allowed, retry_after)::text from check_usage('ai_generation', 6, 'eve')), '(f,)',
  'and more than the plan has will then never be allowed'
);

-- Upgrade, downgrade, and a moved billing day, in mid-period.
set local test.clock = '2026-04-10 12:00:00+09';
do $$ begin perform consume_usage('ai_generation', 4, 'fay'); perform set_plan('fay', 'pro'); end $$;
select is(pg_temp.use('fay', 6), '(t,pro,10,10,)', 'an upgrade keeps the use so far');
do $$ begin perform set_plan('fay', 'free'); end $$;
select is(
  (select row(allowed, used, "limit", remaining)::text from check_usage('ai_generation', 1, 'fay')), '(f,10,5,0)',
  'so does a downgrade'
);
do $$ begin perform set_plan('fay', 'pro', '2026-04-10 12:00+09', 'Asia/Tokyo'); end $$;
select is(
  pg_temp.period('fay'), '(pro,10,10,"2026-04-10 12:00:00","2026-05-10 12:00:00")',
  'an anchor of now starts a month at once, with what was used in that instant'
);
set local test.clock = '2026-04-10 13:00:00+09';
do $$ begin perform set_plan('fay', 'pro', '2026-04-10 13:00+09'); end $$;
select is(
  pg_temp.period('fay'), '(pro,0,10,"2026-04-10 13:00:00","2026-05-10 13:00:00")', 'or afresh, when nothing was'
);
select is_empty($$select pg_temp.gaps('fay')$$, 'each time without a gap or an overlap');

select is_empty($$select * from verify_usage()$$, 'every number is proved by the ledger');

select * from finish();
rollback;
