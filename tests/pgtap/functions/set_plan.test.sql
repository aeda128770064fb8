-- set_plan(): puts a subject on a plan now; the use so far is kept.
begin;
select set_config('search_path', 'public, ' || pronamespace::regnamespace, true) from pg_proc where proname = 'pgtap_version';
set local timezone = 'UTC';
select plan(46);

create or replace function quota.clock()
returns timestamptz language plpgsql set search_path = pg_catalog, pg_temp
as $$ begin return current_setting('test.clock', true); end $$;
set local test.clock = '2026-09-15 12:00:00+00';

do $$ begin perform apply_plans('{
  "features": {"ai_generation": {}, "export": {}},
  "plans": {
    "free": {"default": true, "upgrade_url": "/up", "limits": {"ai_generation": {"month": 5}}},
    "pro": {"upgrade_url": "/more", "limits": {"ai_generation": {"month": 100}, "export": {"month": null}}},
    "daily": {"limits": {"ai_generation": {"day": 10, "year": 50}}}
  }
}'); end $$;

-- Who may.
set local role authenticated;
set local request.jwt.claims = '{"sub": "ada"}';
select throws_ok($$select set_plan('ada', 'pro')$$, '42501', null, 'a user cannot choose its plan');
select throws_ok(
  $$select quota.set_plan('ada', 'pro', null, null, null)$$, '42501', null,
  'nor by the private function'
);
set local role anon;
select throws_ok($$select set_plan('ada', 'pro')$$, '42501', null, 'anon may not call it');
set local role service_role;

-- Use is kept, limits hold at once.
do $$ begin perform consume_usage('ai_generation', 5, 'ada'); end $$;
select is((consume_usage('ai_generation', 1, 'ada')).allowed, false, 'the default plan is used up');
select lives_ok($$select set_plan('ada', 'pro')$$, 'the server puts a subject on another plan');
select is(
  (select row(allowed, plan, used, "limit", upgrade_url)::text from consume_usage('ai_generation', 1, 'ada')),
  '(t,pro,6,100,/more)', 'its limits hold at once, and the use so far is kept'
);
select is(
  (select row(allowed, unlimited)::text from consume_usage('export', 7, 'ada')), '(t,t)',
  'a feature that only the new plan has is open'
);
do $$ begin perform set_plan('ada', 'free'); end $$;
select is(
  (select row(allowed, plan, used, "limit", remaining)::text from consume_usage('ai_generation', 1, 'ada')),
  '(f,free,6,5,0)', 'after a downgrade the subject is over the limit, and nothing of its use is lost'
);
select is(
  (consume_usage('export', 1, 'ada')).reason, 'feature_not_in_plan', 'what only the former plan had is closed'
);
do $$ begin perform set_plan('ada', 'daily'); end $$;
select is(
  (select row(allowed, period, used, remaining)::text from consume_usage('ai_generation', 1, 'ada')),
  '(t,day,7,3)', 'a period that the former plan did not have starts with the use that falls into it'
);
select is(
  (select array_agg(row(period, used)::text order by period)
   from current_usage where subject = 'ada' and feature = 'ai_generation'),
  array['(day,7)', '(year,7)'], 'every such period does'
);
do $$ begin perform set_plan('ada', 'free'); end $$;
select is(
  (check_usage('ai_generation', 1, 'ada')).used, 7::bigint,
  'a period that the plan did not have for a while has gone on counting'
);
select is(
  (select array_agg(used_change) from usage_events where subject = 'ada' and kind = 'carry'),
  null, 'a plan without a new anchor or zone carries nothing'
);
select is(
  (select array_agg(c order by c collate "C")
   from usage_events
   cross join lateral concat(metadata #>> '{from,plan_id}', ' > ', metadata #>> '{to,plan_id}') as c
   where subject = 'ada' and kind = 'plan'),
  array[' > pro', 'daily > free', 'free > daily', 'pro > free'], 'the ledger has a line for each change'
);
select is(
  (select row(plan, used)::text from check_usage('ai_generation', 1, 'new')), '(free,0)',
  'a subject that was never seen has the default plan'
);
select lives_ok($$select set_plan('new', 'pro')$$, 'it can be put on a plan before its first use');
select is(
  (select row(plan, used, "limit")::text from consume_usage('ai_generation', 1, 'new')), '(pro,1,100)',
  'which then holds for the first use'
);

-- The end of a plan.
do $$ begin perform set_plan('ends', 'pro', anchor => '2026-09-10 08:00+00', ends_at => '2026-09-20 00:00+00'); end $$;
do $$ begin perform consume_usage('ai_generation', 7, 'ends'); end $$;
set local test.clock = '2026-09-19 23:59:59.999+00';
select is((check_usage('ai_generation', 1, 'ends')).plan, 'pro', 'until its end the plan holds');
set local test.clock = '2026-09-20 00:00:00+00';
select is(
  (select row(allowed, plan, used, "limit", period_start, resets_at)::text
   from consume_usage('ai_generation', 1, 'ends')),
  '(f,free,7,5,"2026-09-10 08:00:00+00","2026-10-10 08:00:00+00")',
  'from its end on the default plan holds, with no job having run; anchor and use are kept'
);
select is(
  (select row(plan, used, "limit", status)::text from current_usage where subject = 'ends' and feature = 'ai_generation'),
  '(free,7,5,over_limit)', 'the view says so too'
);
do $$ begin perform set_plan('ends', 'pro', ends_at => '2026-12-01 00:00+00'); perform set_plan('ends', 'pro'); end $$;
set local test.clock = '2026-12-01 00:00:00+00';
select is((check_usage('ai_generation', 1, 'ends')).plan, 'pro', 'a call without an end clears the end');
do $$ begin perform set_plan('ends', 'pro', ends_at => '2026-11-30 00:00+00'); end $$;
select is(
  (check_usage('ai_generation', 1, 'ends')).plan, 'free', 'a plan that has ended already does not hold'
);
select throws_ok(
  $$select set_plan('ends', 'pro', ends_at => 'infinity')$$, '22023', null,
  'an infinite end is 22023: null is none'
);

-- Anchor and zone: null keeps the present one.
do $$ begin perform set_plan('zone', 'free', '2026-01-31 09:30+01', 'Europe/Berlin'); end $$;
do $$ begin perform set_plan('zone', 'pro'); end $$;
select is(
  (select row(period_start, resets_at)::text from check_usage('ai_generation', 1, 'zone')),
  '("2026-11-30 08:30:00+00","2026-12-31 08:30:00+00")',
  'a plan without anchor and zone keeps both: month ends are clamped, on the clock of the zone'
);
do $$ begin perform set_plan('zone', 'pro', time_zone => 'America/New_York'); end $$;
select is(
  (select row(period_start, resets_at)::text from check_usage('ai_generation', 1, 'zone')),
  '("2026-11-30 08:30:00+00","2026-12-31 08:30:00+00")',
  'another zone alone keeps the anchor'
);
select is(
  (select row(time_zone, plan)::text from current_usage where subject = 'zone' and feature = 'ai_generation'),
  '(America/New_York,pro)', 'current_usage shows the zone'
);
do $$ begin perform set_plan('zone', 'pro', '2026-11-20 00:00+00'); end $$;
select is(
  (select row(period_start, resets_at)::text from check_usage('ai_generation', 1, 'zone')),
  '("2026-11-20 00:00:00+00","2026-12-20 00:00:00+00")', 'another anchor alone keeps the zone'
);
do $$ begin perform set_plan('future', 'pro', '2027-03-31 00:00+00'); end $$;
select is(
  (select row(period_start, resets_at)::text from check_usage('ai_generation', 1, 'future')),
  '("2026-11-30 00:00:00+00","2026-12-31 00:00:00+00")', 'an anchor in the future counts backwards'
);

-- Wrong arguments, and that none of them leaves a trace.
create temporary table former as select count(*) as subjects from quota.subjects;
grant select on former to service_role;
select throws_ok($$select set_plan(null, 'pro')$$, 'QSUBJ', null, 'no subject is QSUBJ');
select throws_ok($$select set_plan('', 'pro')$$, 'QSUBJ', null, 'an empty subject is QSUBJ');
select throws_ok(
  $$select set_plan(repeat('s', 256), 'pro')$$, 'QSUBJ', null, 'a subject of 256 characters is QSUBJ'
);
select throws_ok($$select set_plan('bad', 'gold')$$, 'QPLAN', null, 'an unknown plan is QPLAN');
select throws_ok($$select set_plan('bad', null)$$, 'QPLAN', null, 'no plan is QPLAN');
select throws_ok($$select set_plan('bad', '')$$, 'QPLAN', null, 'an empty plan is QPLAN');
select throws_ok(
  $$select set_plan('bad', 'pro', 'infinity')$$, '22023', null, 'an infinite anchor is 22023'
);
create function pg_temp.code_of(p_call text) returns text language plpgsql as $$
begin execute p_call; return 'none'; exception when others then return sqlstate; end $$;
select is_empty(
  $$select argument, at, pg_temp.code_of(format('select set_plan(%L, %L, %s => %L)', 'bad', 'pro', argument, at))
    from unnest(array['anchor', 'ends_at']) as argument
    cross join unnest(array[
      'infinity', '-infinity', '10000-01-01Z', '294276-12-31Z', '0999-12-31Z', '0044-03-15Z BC'
    ]) as at
    where pg_temp.code_of(format('select set_plan(%L, %L, %s => %L)', 'bad', 'pro', argument, at)) <> '22023'$$,
  'infinite and absurd instants are 22023, as anchor and as end'
);
select is_empty(
  $$select z from unnest(array[
      'CET', 'MET', 'EET', 'WET', 'EST', 'MST', 'HST', 'EST5EDT', 'CST6CDT', 'posix/CET', 'right/UTC',
      'posix/Europe/Berlin', 'UCT', 'Zulu', 'Japan', 'localtime', 'utc', '+02', 'Europe', 'Europe/'
    ]) as z
    where pg_temp.code_of(format('select set_plan(%L, %L, time_zone => %L)', 'bad', 'pro', z)) <> '22023'$$,
  'zones that are not the name of a place, UTC or GMT are 22023'
);
select is_empty(
  $$select z from unnest(array['UTC', 'GMT', 'Europe/Berlin', 'America/Argentina/Buenos_Aires', 'Etc/GMT+5']) as z
    where pg_temp.code_of(format('select set_plan(%L, %L, time_zone => %L)', 'zones', 'pro', z)) <> 'none'$$,
  'the others are zones'
);
do $$ begin perform forget_subject('zones'); end $$;
select throws_ok(
  $$select set_plan('bad', 'pro', time_zone => 'Mars/Olympus')$$, '22023', null,
  'an unknown zone is 22023'
);
select throws_ok(
  $$select set_plan('bad', 'pro', time_zone => '')$$, '22023', null, 'an empty zone is 22023'
);
select throws_ok(
  $$select set_plan('bad', 'pro', time_zone => 'Nowhere+5')$$, '22023', null,
  'an offset that looks like a zone is 22023'
);
select throws_ok(
  $$select set_plan('bad', 'pro', time_zone => '<+03>-3')$$, '22023', null, 'a POSIX rule is 22023'
);
select throws_ok(
  $$select set_plan('bad', 'pro', time_zone => 'CEST')$$, '22023', null,
  'an abbreviation is 22023: it has no daylight saving'
);
reset role;
select is(
  (select count(*) from quota.subjects), (select subjects from former), 'none of these makes a subject'
);
select lives_ok(
  $$select set_plan(repeat('s', 255), 'pro')$$, 'a subject has up to 255 characters'
);

select is_empty($$select * from verify_usage()$$, 'every number is proved by the ledger');

select * from finish();
rollback;
