-- quota.tidy(): takes away what nothing needs any more; no answer depends on it.
begin;
select set_config('search_path', 'public, ' || pronamespace::regnamespace, true) from pg_proc where proname = 'pgtap_version';
set local timezone = 'UTC';
select plan(29);

create or replace function quota.clock()
returns timestamptz language plpgsql set search_path = pg_catalog, pg_temp
as $$ begin return current_setting('test.clock', true); end $$;
set local test.clock = '2026-01-01 12:00:00+00';

do $$ begin perform apply_plans('{
  "features": {"ai_generation": {}},
  "plans": {"free": {"default": true, "limits": {
    "ai_generation": {"minute": 10, "hour": 20, "day": 50, "week": 60, "month": 100, "year": 500, "lifetime": 900}}}}
}'); end $$;

create temporary table ids (name text primary key, id uuid);
create function pg_temp.id(p_name text) returns uuid
language sql as $$ select id from ids where name = p_name $$;
create function pg_temp.counters() returns text language sql as $$
  select string_agg(period, ' ' order by quota.period_rank(period)) from quota.counters
$$;
-- What anybody can be told: by a check, by the views, by the ledger.
create function pg_temp.answers() returns jsonb language sql as $$
  select jsonb_build_object(
    'check', (select to_jsonb(d) from public.check_usage('ai_generation', 3, 'ada') as d),
    'now', (select jsonb_agg(to_jsonb(c) order by c.period) from public.current_usage as c),
    'then', (select jsonb_agg(to_jsonb(h) order by h.period, h.period_start) from public.usage_history as h),
    'ledger', (select jsonb_agg(to_jsonb(e) order by e.event_id) from public.usage_events as e),
    'alerts', (select jsonb_agg(to_jsonb(a) order by a.period) from public.usage_alerts as a),
    'why', (select jsonb_agg(to_jsonb(e) order by e.period) from public.explain_usage('ai_generation', 3, 'ada') as e)
  )
$$;

-- Who may.
set local role authenticated;
set local request.jwt.claims = '{"sub": "ada", "role": "authenticated"}';
select throws_ok($$select quota.tidy()$$, '42501', null, 'a user cannot tidy');
set local role service_role;
select throws_ok($$select quota.tidy()$$, '42501', null, 'nor the server: it is for DBAs and their jobs');
reset role;
set local request.jwt.claims = '';

select is(quota.tidy(), 0::bigint, 'where nothing is there is nothing to remove');
insert into ids select 'used', event_id from consume_usage('ai_generation', 9, 'ada', 'k1');
set local test.clock = '2026-01-01 12:01:00+00';
insert into ids select 'committed', reservation_id from reserve_usage('ai_generation', 2, 'ada', '1 minute');
insert into ids select 'released', reservation_id from reserve_usage('ai_generation', 1, 'ada', '1 minute');
insert into ids select 'open', reservation_id from reserve_usage('ai_generation', 3, 'ada', '7 days');
insert into ids select 'expired', reservation_id from reserve_usage('ai_generation', 1, 'ada', '1 minute');
do $$ begin perform commit_usage(pg_temp.id('committed')); perform release_usage(pg_temp.id('released')); end $$;
select is(
  pg_temp.counters(), 'day week month year lifetime', 'one of each period; minutes and hours are in no history'
);
create temporary table answers as select pg_temp.answers() as at_once;
select is(quota.tidy(), 0::bigint, 'nothing is removed of what is open or has just been closed');
select is(pg_temp.answers(), (select at_once from answers), 'and every answer is as it was');

set local test.clock = '2026-01-03 12:02:00.000001+00';
update answers set at_once = pg_temp.answers();
select is(quota.tidy(), 0::bigint, 'nor is what has ended');
select is(pg_temp.counters(), 'day week month year lifetime', 'what is history stays');
set local test.clock = '2026-01-03 12:02:00.000001+00';
select is(pg_temp.answers(), (select at_once from answers), 'and every answer is as it was');
set local test.clock = '2026-01-03 13:00:01+00';

-- What comes late to a period that was tidied.
select is(
  (select row(reason, used, period)::text from commit_usage(pg_temp.id('open'))), '(ok,5,minute)',
  'a hold whose minute is gone is committed: the ledger knows it'
);
select is(
  (select row(amount, used)::text from refund_usage(pg_temp.id('used'), 4)), '(4,0)', 'a use whose minute is gone is refunded'
);
select is(
  (select array_agg(row(period, used)::text order by used, period) from current_usage),
  array['(day,0)', '(hour,0)', '(minute,0)', '(lifetime,10)', '(month,10)', '(week,10)', '(year,10)'],
  'and both count in the periods that are left'
);
select is_empty($$select * from verify_usage()$$, 'the books are right');

-- Reservations.
set local test.clock = '2026-02-01 12:00:00+00';
select is(quota.tidy(), 0::bigint, 'a key is kept for 31 days');
select is((consume_usage('ai_generation', 9, 'ada', 'k1')).replayed, true, 'so that its call can be repeated');
set local test.clock = '2026-02-01 12:02:00+00';
select is(quota.tidy(), 1::bigint, 'then it ends; an ended hold is kept for 31 days after its time');
select is((commit_usage(pg_temp.id('committed'))).replayed, true, 'so that its ending can be repeated');
set local test.clock = '2026-02-01 12:02:00.000001+00';
select is(quota.tidy(), 3::bigint, 'then the committed, the released and the expired one are removed');
select is(
  (select array_agg(name order by name) from ids join quota.reservations on reservation_id = id), array['open'],
  'and one whose time ended later stays'
);
select throws_ok(
  $$select commit_usage(pg_temp.id('expired'))$$, 'QRSRV', null, 'an expired one can be committed no later'
);
do $$ begin perform reserve_usage('ai_generation', 1, 'eva', '1 minute'); end $$;
set local test.clock = '2026-03-15 12:00:00+00';
do $$ begin perform quota.tidy(); end $$;
select is(
  (select array_agg(kind order by event_id) from quota.events where subject_id = 'eva'), array['reserve', 'expire'],
  'a hold that no call has met since gets its line'
);
select is_empty($$select from quota.reservations where subject_id = 'eva'$$, 'and goes, too');
select is((consume_usage('ai_generation', 9, 'ada', 'k1')).replayed, false, 'a key that was ended is free');

-- Exceptions.
do $$ begin
  perform set_limit('fay', 'ai_generation', p, 7, '2026-03-16 12:00+00') from unnest(array['minute', 'day', 'month', 'year']) as p;
  perform set_limit('fay', 'ai_generation', 'week', 7);
end $$;
create function pg_temp.exceptions() returns text language plpgsql as $$ begin
  perform quota.tidy();
  return (select string_agg(period, ' ' order by quota.period_rank(period)) from quota.exceptions);
end $$;
set local test.clock = '2026-04-16 12:00:00+00';
select is(pg_temp.exceptions(), 'minute day week month year', 'an exception that has ended is kept for 31 days');
set local test.clock = '2026-04-16 12:00:00.000001+00';
create temporary table before as select array_agg(e::text order by e.period) as why from explain_usage('ai_generation', 1, 'fay') as e;
do $$ begin perform quota.tidy(); end $$;
select is(pg_temp.exceptions(), 'week month year', 'then it goes');
select is(
  (select array_agg(e::text order by e.period) from explain_usage('ai_generation', 1, 'fay') as e), (select why from before),
  'and no answer was about it'
);
set local test.clock = '2026-05-17 12:00:00.000001+00';
do $$ begin perform quota.tidy(); end $$;
select is(pg_temp.exceptions(), 'week year', 'one of a month when the month after has ended, too');
set local test.clock = '2028-03-18 12:00:00+00';
do $$ begin perform quota.tidy(); end $$;
select is(pg_temp.exceptions(), 'week', 'one of a year after two years, and never one without an end');

select is_empty($$select * from verify_usage()$$, 'every number is proved by the ledger');

select * from finish();
rollback;
