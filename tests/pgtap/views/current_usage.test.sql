-- current_usage: what the usage bar reads, under RLS.
begin;
select set_config('search_path', 'public, ' || pronamespace::regnamespace, true) from pg_proc where proname = 'pgtap_version';
set local timezone = 'UTC';
select plan(37);

create or replace function quota.clock()
returns timestamptz language plpgsql set search_path = pg_catalog, pg_temp
as $$ begin return current_setting('test.clock', true); end $$;
set local test.clock = '2026-09-15 12:00:00+00';

do $$ begin perform apply_plans('{
  "features": {
    "ai_generation": {"name": "AI generations", "unit": "generation"},
    "export": {"name": "Exports"}, "kb_file": {"kind": "gauge"}, "percent": {}, "closed": {}
  },
  "plans": {
    "free": {"name": "Free", "default": true, "limits": {
      "ai_generation": {"month": 50, "minute": 10}, "kb_file": {"lifetime": 10},
      "percent": {"month": 1000}, "closed": {"month": 0}}},
    "pro": {"name": "Pro", "limits": {"ai_generation": {"month": null}, "export": {"month": 5}}}
  }
}'); end $$;

select columns_are('public', 'current_usage', array[
  'subject', 'feature', 'feature_name', 'unit', 'kind', 'plan', 'period', 'used', 'reserved', 'limit',
  'remaining', 'unlimited', 'percent_used', 'period_start', 'resets_at', 'status', 'granted', 'time_zone',
  'carried', 'projected', 'exhausted_at', 'member'
]);

-- What a user sees.
set local role authenticated;
set local request.jwt.claims = '{"sub": "ada"}';
select is(
  (select to_jsonb(u) from current_usage as u where feature = 'ai_generation' and period = 'month'),
  '{"subject": "ada", "feature": "ai_generation", "feature_name": "AI generations",
    "unit": "generation", "kind": "metered", "plan": "free", "period": "month", "used": 0,
    "reserved": 0, "limit": 50, "remaining": 50, "unlimited": false, "percent_used": 0,
    "period_start": "2026-09-01T00:00:00+00:00", "resets_at": "2026-10-01T00:00:00+00:00",
    "status": "ok", "granted": 0, "time_zone": "UTC", "carried": 0, "projected": null, "exhausted_at": null, "member": null}',
  'a user that was never seen has its row, with nothing used'
);
select is(
  (select array_agg(concat(feature, ' ', period) order by feature, period) from current_usage),
  array['ai_generation minute', 'ai_generation month', 'closed month', 'kb_file lifetime', 'percent month'],
  'there is a row per feature and period of the plan, and none for what the plan lacks'
);
select is(
  (select row(unit, feature_name, kind, period_start, resets_at)::text from current_usage where feature = 'kb_file'),
  '(unit,kb_file,gauge,,)', 'lifetime has neither start nor reset'
);
do $$ begin perform consume_usage('ai_generation', 8); end $$;
select is(
  (select array_agg(row(period, used, remaining, percent_used, status, resets_at)::text order by period)
   from current_usage where feature = 'ai_generation'),
  array['(minute,8,2,80,warning,"2026-09-15 12:01:00+00")', '(month,8,42,16,ok,"2026-10-01 00:00:00+00")'],
  'use shows in each period, with its own percentage'
);
set local test.clock = '2026-09-15 12:01:00+00';
select is(
  (select array_agg(row(period, used)::text order by period) from current_usage where feature = 'ai_generation'),
  array['(minute,0)', '(month,8)'], 'a minute that has ended shows as 0, with no job having run'
);
set local test.clock = '2026-10-01 00:00:00+00';
select is(
  (select array_agg(used) from current_usage where feature = 'ai_generation'), array[0, 0]::bigint[],
  'so does a month'
);
set local test.clock = '2026-09-15 12:05:00+00';

-- Percentages and states, at their edges.
create function pg_temp.shown(p_used bigint) returns text language plpgsql as $$
declare
  v_subject text := 'percent' || p_used;
begin
  perform set_config('request.jwt.claims', jsonb_build_object('sub', v_subject)::text, true);
  if p_used > 0 then
    perform public.consume_usage('percent', p_used);
  end if;
  return (select percent_used || ' ' || status from public.current_usage where feature = 'percent');
end $$;
select is(pg_temp.shown(0), '0 ok', 'nothing used is ok');
select is(pg_temp.shown(1), '0 ok', 'percentages are rounded down');
select is(pg_temp.shown(799), '79 ok', 'below 80 % is ok');
select is(pg_temp.shown(800), '80 warning', 'from 80 % on it is a warning');
select is(pg_temp.shown(999), '99 warning', 'the last unit but one is a warning, not 100 %');
select is(pg_temp.shown(1000), '100 at_limit', 'the whole limit is at_limit');
select is(
  (select row(used, "limit", remaining, unlimited, percent_used, status)::text from current_usage where feature = 'closed'),
  '(0,0,0,f,100,at_limit)', 'a limit of 0 is at_limit, 100 %'
);
set local request.jwt.claims = '{"sub": "ada"}';
reset role;
do $$ begin perform set_plan('ada', 'pro'); end $$;
set local role authenticated;
select is(
  (select row(plan, used, "limit", remaining, unlimited, percent_used, status)::text
   from current_usage where feature = 'ai_generation'),
  '(pro,8,,,t,,ok)', 'unlimited has no limit and no percentage, and is ok'
);
do $$ begin perform consume_usage('ai_generation', 52); end $$;
reset role;
do $$ begin perform set_plan('ada', 'free'); end $$;
set local role authenticated;
select is(
  (select row(used, "limit", remaining, percent_used, status)::text
   from current_usage where feature = 'ai_generation' and period = 'month'),
  '(60,50,0,120,over_limit)', 'after a downgrade use can be over_limit; remaining is never negative'
);
select is(
  (select row(used, "limit", percent_used, status)::text
   from current_usage where feature = 'ai_generation' and period = 'minute'),
  '(52,10,520,over_limit)', 'also by the minute'
);

-- Holds.
reset role;
do $$
declare
  v_ends timestamptz := quota.clock() + interval '10 minutes';
begin
  perform consume_usage('percent', 500, 'holder');
  insert into quota.reservations (subject_id, reservation_id, feature_id, amount, reserved_at, expires_at)
    values ('holder', '00000000-0000-0000-0000-000000000001', 'percent', 300, quota.clock(), v_ends);
  perform quota.record(jsonb_populate_record(null::quota.events, jsonb_build_object(
    'subject_id', 'holder', 'event_id', gen_random_uuid(), 'at', quota.clock(), 'kind', 'reserve',
    'feature_id', 'percent', 'counts_at', quota.clock(), 'used_change', 0, 'reserved_change', 300,
    'drawn_change', 0, 'about_id', '00000000-0000-0000-0000-000000000001', 'metadata', '{}'::jsonb
  )));
  update quota.meters set holds_expire_at = v_ends where subject_id = 'holder';
end $$;
set local role authenticated;
set local request.jwt.claims = '{"sub": "holder"}';
select is(
  (select row(used, reserved, remaining, percent_used, status)::text from current_usage where feature = 'percent'),
  '(500,300,200,80,warning)', 'what is held counts as taken'
);
set local test.clock = '2026-09-15 12:14:59.999+00';
select is((select reserved from current_usage where feature = 'percent'), 300::bigint, 'until the hold expires');
set local test.clock = '2026-09-15 12:15:00+00';
select is(
  (select row(used, reserved, remaining, percent_used, status)::text from current_usage where feature = 'percent'),
  '(500,0,500,50,ok)', 'from that moment on it does not count, with no job having run'
);
reset role;
select is_empty($$select * from verify_usage()$$, 'and the numbers are proved, before the hold is settled');
do $$ begin perform consume_usage('percent', 1, 'holder'); end $$;
select is(
  (select row(c.reserved, r.state)::text from quota.meters as c join quota.reservations as r using (subject_id)
   where c.subject_id = 'holder'),
  '(0,expired)', 'the next call settles it'
);
select is_empty($$select * from verify_usage()$$, 'and they are proved after it');

-- Zones and anchors.
do $$ begin perform set_plan('zoned', 'free', '2026-01-31 23:00+00', 'Europe/Berlin'); end $$;
set local role authenticated;
set local request.jwt.claims = '{"sub": "zoned"}';
select is(
  (select row(period_start, resets_at, time_zone)::text from current_usage where feature = 'percent'),
  '("2026-08-31 22:00:00+00","2026-09-30 22:00:00+00",Europe/Berlin)',
  'periods follow the anchor and zone of the subject'
);

-- Who sees whom.
select is(
  (select array_agg(distinct subject) from current_usage), array['zoned'], 'a user sees nobody else'
);
select is_empty(
  $$select * from current_usage where subject = 'ada'$$, 'not even when it asks for somebody by name'
);
reset role;
insert into quota.members (subject_id, user_id) values ('acme', 'zoned');
do $$ begin perform consume_usage('ai_generation', 3, 'acme'); end $$;
set local role authenticated;
select is(
  (select array_agg(distinct subject order by subject) from current_usage), array['acme', 'zoned'],
  'a member sees the subjects it belongs to'
);
select is(
  (select used from current_usage where subject = 'acme' and feature = 'ai_generation' and period = 'month'),
  3::bigint, 'and their use'
);
set local request.jwt.claims = '{"sub": "acme"}';
select is(
  (select array_agg(distinct subject) from current_usage), array['acme'], 'membership does not go the other way'
);
set local request.jwt.claims = '{"role": "authenticated"}';
select is_empty('select * from current_usage', 'without an identity there are no rows');
set local request.jwt.claims = '';
select is_empty('select * from current_usage', 'nor with claims that a former transaction left empty');
set local role anon;
select throws_ok('select * from current_usage', '42501', null, 'anon may not read it');
set local role service_role;
select ok(
  (select array_agg(distinct subject) @> array['ada', 'acme', 'holder', 'zoned'] from current_usage),
  'the server sees every subject that was ever seen'
);
select is_empty(
  $$select * from current_usage where subject = 'nobody'$$, 'and no rows of one that was not'
);

-- Without a default plan.
reset role;
do $$ begin perform apply_plans('{
  "features": {"ai_generation": {}, "export": {}, "kb_file": {"kind": "gauge"}, "percent": {}, "closed": {}},
  "plans": {"free": {"limits": {"ai_generation": {"month": 50}}}}
}'); end $$;
set local role authenticated;
set local request.jwt.claims = '{"sub": "nobody"}';
select is_empty('select * from current_usage', 'without a default plan a subject without a plan has no rows');

-- The clock is read once.
reset role;
do $$ begin perform set_plan('acme', 'free'); end $$;
create sequence pg_temp.readings;
grant usage on sequence pg_temp.readings to authenticated;
create or replace function quota.clock()
returns timestamptz language plpgsql set search_path = pg_catalog, pg_temp as $$
begin
  perform nextval('pg_temp.readings');
  return '2026-09-15 12:00:00+00';
end $$;
set local role authenticated;
set local request.jwt.claims = '{"sub": "zoned"}';
select is((select count(*) from current_usage), 2::bigint, 'a query over several subjects');
reset role;
select is((select last_value from pg_temp.readings), 1::bigint, 'reads the clock once');

select * from finish();
rollback;
