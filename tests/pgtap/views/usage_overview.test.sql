-- usage_overview: the operator's list, from the numbers that calls left in the counters.
begin;
select set_config('search_path', 'public, ' || pronamespace::regnamespace, true) from pg_proc where proname = 'pgtap_version';
set local timezone = 'UTC';
select plan(30);

create or replace function quota.clock()
returns timestamptz language plpgsql set search_path = pg_catalog, pg_temp
as $$ begin return current_setting('test.clock', true); end $$;
set local test.clock = '2026-09-15 12:00:00+00';

create function pg_temp.plans(p_month bigint) returns void language plpgsql as $$
begin
  perform public.apply_plans(jsonb_build_object(
    'features', '{"ai_generation": {}, "token": {}, "closed": {}, "file": {"kind": "gauge"}}'::jsonb,
    'plans', jsonb_build_object(
      'free', jsonb_build_object('default', true, 'limits', jsonb_build_object(
        'ai_generation', jsonb_build_object('month', p_month), 'token', '{"month": null}'::jsonb,
        'file', '{"lifetime": 10}'::jsonb
      )),
      'pro', '{"limits": {"ai_generation": {"month": 500}, "file": {"lifetime": 100}}}'::jsonb
    )
  ));
end $$;
do $$ begin perform pg_temp.plans(50); end $$;

create function pg_temp.row_of(p_subject text) returns text language sql as $$
  select string_agg(
    concat_ws(' ', o.feature, o.period, o.used, o.reserved, coalesce(o."limit"::text, '-'),
      coalesce(o.remaining::text, '-'), coalesce(o.percent_used::text, '-'), o.status),
    ', ' order by o.feature collate "C", o.period collate "C"
  )
  from public.usage_overview as o
  where o.subject = p_subject
$$;
-- What the query of the operator finds.
create function pg_temp.near() returns text[] language sql as $$
  select array_agg(n.line)
  from (
    select concat_ws(' ', o.subject, o.percent_used, o.status) as line
    from public.usage_overview as o
    where o.status in ('warning', 'at_limit', 'over_limit')
    order by o.percent_used desc, o.subject
    limit 50
  ) as n
$$;

set local role service_role;
select is_empty('select * from usage_overview', 'where nothing was used there is nothing');
do $$ begin perform consume_usage('ai_generation', 39, 'ada'); end $$;
select is(pg_temp.row_of('ada'), 'ai_generation month 39 0 50 11 78 ok', 'use has a row');
select is(
  (select row(period_start, resets_at, unlimited)::text from usage_overview),
  '("2026-09-01 00:00:00+00","2026-10-01 00:00:00+00",f)', 'with its period'
);
select is(pg_temp.near(), null, 'below 80 % nobody is near');
do $$ begin perform consume_usage('ai_generation', 1, 'ada'); end $$;
select is(pg_temp.near(), array['ada 80 warning'], 'from 80 % on it is found');
do $$ begin perform consume_usage('ai_generation', 10, 'ada'); end $$;
select is(pg_temp.near(), array['ada 100 at_limit'], 'and at the limit');
do $$ begin perform set_limit('ada', 'ai_generation', 'month', 40); end $$;
select is(
  pg_temp.row_of('ada'), 'ai_generation month 50 0 40 0 125 over_limit', 'a limit that is set lower shows at once'
);
do $$ begin perform set_limit('ada', 'ai_generation', 'month', 0); end $$;
select is(pg_temp.row_of('ada'), 'ai_generation month 50 0 0 0 100 over_limit', 'also one of 0');
do $$ begin perform set_limit('ada', 'ai_generation', 'month', 1000); end $$;
select is(pg_temp.near(), null, 'and so does one that is set higher');

-- Downgrades, before and after the next call.
do $$ begin
  perform set_plan('bob', 'pro');
  perform consume_usage('ai_generation', 45, 'bob');
  perform set_plan('bob', 'free');
end $$;
select is(pg_temp.near(), array['bob 90 warning'], 'a downgrade shows before any call, though nobody was alerted');
do $$ begin perform consume_usage('ai_generation', 1, 'bob'); end $$;
select is(pg_temp.near(), array['bob 92 warning'], 'and after one');
do $$ begin perform set_plan('bob', 'pro'); end $$;
select is(pg_temp.near(), null, 'an upgrade takes it off');
do $$ begin
  perform set_plan('bob', 'free');
  perform pg_temp.plans(46);
end $$;
select is(pg_temp.row_of('bob'), 'ai_generation month 46 0 50 4 92 warning', 'another plan document waits for the next call');
do $$ begin
  perform refund_usage((select event_id from usage_events where subject = 'bob' and used_change = 1));
  perform consume_usage('ai_generation', 1, 'bob');
end $$;
select is(pg_temp.row_of('bob'), 'ai_generation month 46 0 46 0 100 at_limit', 'with which it shows');

-- Use falls.
do $$ begin
  perform refund_usage((select event_id from usage_events where subject = 'bob' and used_change = 45), 40);
end $$;
select is(
  pg_temp.row_of('bob'), 'ai_generation month 6 0 46 40 13 ok', 'what is given back shows at once'
);
select is(pg_temp.near(), null, 'also in the filter');
do $$ begin perform consume_usage('file', 8, 'cora'), return_usage('file', 6, 'cora'), consume_usage('file', 6, 'cora'); end $$;
select is(pg_temp.row_of('cora'), 'file lifetime 8 0 10 2 80 warning', 'a gauge goes down and up again');
select is(
  (select row(period_start, resets_at)::text from usage_overview where subject = 'cora'), '(,)',
  'a lifetime has no bounds'
);

-- Holds, grants, no limit.
do $$ begin perform reserve_usage('file', 9, 'dora', '1 minute'); end $$;
select is(pg_temp.row_of('dora'), 'file lifetime 0 9 10 1 90 warning', 'what is held counts');
set local test.clock = '2026-09-15 12:02:00+00';
do $$ begin perform consume_usage('file', 1, 'dora'); end $$;
select is(pg_temp.row_of('dora'), 'file lifetime 1 0 10 9 10 ok', 'the next call settles what has expired');
do $$ begin
  perform grant_usage('ai_generation', 54, 'eve');
  perform consume_usage('ai_generation', 90, 'eve');
end $$;
select is(pg_temp.row_of('eve'), 'ai_generation month 90 0 100 10 90 warning', 'open grants are part of the limit');
do $$ begin perform consume_usage('token', 9007199254740000, 'fay'); end $$;
select is(
  pg_temp.row_of('fay'), 'token month 9007199254740000 0 - - - ok', 'without a limit nobody is near it'
);
select is((select unlimited from usage_overview where subject = 'fay'), true, 'and it says so');
reset role;
do $$ begin perform quota.import_usage('[
  {"subject": "gil", "feature": "ai_generation", "amount": 60, "period_start": "2026-09-01"},
  {"subject": "gil", "feature": "ai_generation", "amount": 60, "period_start": "2026-08-01"}
]'); end $$;
set local role service_role;
select is(
  pg_temp.row_of('gil'), 'ai_generation month 60 0 46 0 130 over_limit', 'an import shows in the running period, and only there'
);

-- What the constant of the second half promises.
reset role;
select is_empty(
  $$select c.subject_id, c.feature_id, c.period from quota.counters as c
    join quota.meters as m on m.subject_id = c.subject_id and m.feature_id = c.feature_id
    where c.period_end > quota.clock() and quota.mark_of(
      coalesce(c.used, m.used - c.used_before), coalesce(c.reserved, m.reserved - c.reserved_before), c.last_limit, '{80, 100}'
    ) > c.passed$$,
  'no running counter is nearer to its limit than it has noted'
);
-- As after sums that no plan watched.
update quota.counters set used = 4611686018427387904, reserved = 4611686018427387904 where subject_id in ('fay', 'gil');
set local role service_role;
select lives_ok('select * from usage_overview', 'one subject''s numbers break it for nobody');

-- Ended periods, and who may read it.
set local test.clock = '2026-10-01 00:00:00+00';
select is(
  (select array_agg(distinct feature) from usage_overview), array['file'], 'an ended period is not in it'
);
set local role authenticated;
set local request.jwt.claims = '{"sub": "ada"}';
select throws_ok('select * from usage_overview', '42501', null, 'a user may not read it');
set local role anon;
select throws_ok('select * from usage_overview', '42501', null, 'nor anon');

-- The plan of the operator's query. Of the branches of the view two are asked: one of two joins (its meter, and what
-- stands below), and one of one; by which method they are made depends on what a vacuum has seen, so one is allowed.
reset role;
set local enable_hashjoin = off;
set local enable_mergejoin = off;
create function pg_temp.plan_of(p_query text) returns text language plpgsql as $$
declare v_line text; v_plan text := '';
begin
  for v_line in execute 'explain (costs off) ' || p_query loop v_plan := v_plan || v_line || E'\n'; end loop;
  return v_plan;
end $$;
select is(
  (select count(*) from regexp_matches(pg_temp.plan_of($$select * from usage_overview where status in ('warning', 'at_limit', 'over_limit') order by percent_used desc limit 50$$), 'Nested Loop', 'g')), 3::bigint,
  'a query for who is near leaves the others out'
);

select * from finish();
rollback;
