-- Limits that do not refuse what passes them: soft (up to a ceiling), hard in its grace, in shadow; and
-- the overage that they leave with the line, in the counter and in usage_history.
begin;
select set_config('search_path', 'public, ' || pronamespace::regnamespace, true) from pg_proc where proname = 'pgtap_version';
set local timezone = 'UTC';
select plan(62);

create or replace function quota.clock()
returns timestamptz language plpgsql set search_path = pg_catalog, pg_temp
as $$ begin return current_setting('test.clock', true); end $$;
set local test.clock = '2026-06-10 12:00:00+00';

create function pg_temp.document(p_limits jsonb) returns jsonb language sql as $$
  select jsonb_build_object(
    'features', '{"gen": {}, "tight": {}, "seat": {"kind": "gauge"}}'::jsonb,
    'plans', jsonb_build_object('free', jsonb_build_object('default', true, 'limits', p_limits),
      'big', '{"limits": {"gen": {"month": {"limit": 100, "mode": "soft", "ceiling": 120}}}}'::jsonb))
$$;
do $$ begin perform apply_plans(pg_temp.document('{
  "gen": {"month": {"limit": 10, "mode": "soft", "ceiling": 15}},
  "tight": {"day": 3, "month": {"limit": 2, "mode": "soft"}},
  "seat": {"lifetime": {"limit": 2, "mode": "soft"}}
}')); end $$;

create function pg_temp.told(d usage_decision) returns text language sql as $$
  select concat_ws(' ', case when d.allowed then 'yes' else 'no' end, d.reason, d.amount, d.used + d.reserved, d."limit",
    d.remaining, d.period, d.retry_after)
$$;
create function pg_temp.use(p_subject text, p_amount bigint, p_feature text default 'gen') returns text language sql as $$
  select pg_temp.told(consume_usage(p_feature, p_amount, p_subject))
$$;
create function pg_temp.over(p_subject text, p_feature text default 'gen') returns text language sql as $$
  select string_agg(concat_ws(' ', period, used, over), ', ' order by period) from usage_history
  where subject = p_subject and feature = p_feature
$$;

-- Soft.
select is(pg_temp.use('ada', 8), 'yes ok 8 8 10 2 month', 'under a soft limit all is as ever');
select is(pg_temp.use('ada', 4), 'yes over_limit 4 12 10 0 month', 'what passes it is allowed, and told');
select is(pg_temp.over('ada'), 'month 12 2', 'only what was past it is overage');
select is(
  (select array_agg(over order by over nulls first) from usage_events where subject = 'ada' and kind = 'consume'),
  array[null, '{"month": 2}']::jsonb[], 'and stands with its line'
);
select is(pg_temp.told(check_usage('gen', 3, 'ada')), 'yes over_limit 3 12 10 0 month', 'a check says the same, before');
select is(pg_temp.told(check_usage('gen', 4, 'ada')), 'no limit_reached 4 12 10 0 month 1771200', 'the ceiling refuses');
select is(pg_temp.use('ada', 4), 'no limit_reached 4 12 10 0 month 1771200', 'also a call');
select is(
  pg_temp.told(consume_usage('gen', 9, 'ada', partial => true)), 'yes over_limit 3 15 10 0 month',
  'partial takes up to the ceiling'
);
select is(pg_temp.use('ada', 1), 'no limit_reached 1 15 10 0 month 1771200', 'where nothing is left');
select is(
  (select status from current_usage where subject = 'ada' and feature = 'gen'), 'over_limit', 'the bar says so'
);
select throws_ok($$select enforce_usage('gen', 1, 'ada')$$, 'PT402', null, 'enforce refuses at the ceiling');
select is(
  (select array_agg(concat_ws(' ', threshold, used)) from usage_alerts where subject = 'ada'),
  array['80 8', '100 12'], 'alerts are of the limit, not of the ceiling'
);
select is(
  (select array_agg(concat_ws(' ', period, mode, ceiling, refuses, top_up)) from explain_usage('gen', 2, 'ada')),
  array['month soft 15 t 2'], 'explain_usage names mode and ceiling, and what would do'
);
select is_empty('select * from verify_usage()', 'all of it is proved');

-- A soft limit does not open the hard one beside it.
select is(pg_temp.use('bob', 3, 'tight'), 'yes over_limit 3 3 2 0 month', 'past the month, within the day');
select is(pg_temp.use('bob', 1, 'tight'), 'no limit_reached 1 3 3 0 day 43200', 'the day refuses');

-- What was given back.
create temporary table uses (name text, event_id uuid);
insert into uses select 'first', (consume_usage('gen', 9, 'cyd')).event_id;
insert into uses select 'second', (consume_usage('gen', 4, 'cyd')).event_id;
select is(pg_temp.over('cyd'), 'month 13 3', 'thirteen of ten: three');
do $$ begin perform refund_usage((select event_id from uses where name = 'second'), 1); end $$;
select is(pg_temp.over('cyd'), 'month 12 2', 'a refund gives back what was past the limit first');
do $$ begin perform refund_usage((select event_id from uses where name = 'second')); end $$;
select is(pg_temp.over('cyd'), 'month 9 0', 'and no more than that');
do $$ begin perform refund_usage((select event_id from uses where name = 'first')); end $$;
select is(pg_temp.over('cyd'), 'month 0 0', 'one within it has none');
select is_empty('select * from verify_usage()', 'refunds are proved');

-- A downgrade makes none, a later grant unmakes none.
do $$ begin
  perform set_plan('dan', 'big');
  perform consume_usage('gen', 105, 'dan');
end $$;
select is(pg_temp.over('dan'), 'month 105 5', 'five past a hundred');
do $$ begin perform set_plan('dan', 'free'); end $$;
select is(pg_temp.over('dan'), 'month 105 5', 'after a downgrade it is still five');
do $$ begin perform grant_usage('gen', 500, 'dan'); end $$;
select is(pg_temp.over('dan'), 'month 105 5', 'and after a grant');

-- Grants are drawn before overage, and lift the ceiling.
do $$ begin perform grant_usage('gen', 2, 'eve'); end $$;
select is(pg_temp.use('eve', 13), 'yes over_limit 13 13 12 0 month', 'ten of the plan, two granted, one over');
select is(pg_temp.over('eve'), 'month 13 1', 'one');
select is((select drawn from quota.grants where subject_id = 'eve'), 2::bigint, 'the grant is spent first');
select is(pg_temp.use('eve', 4), 'yes over_limit 4 17 12 0 month', 'the ceiling is 15 and what was granted');
select is(pg_temp.use('eve', 1), 'no limit_reached 1 17 12 0 month 1771200', 'there it ends');

-- An exception keeps the mode, and lifts the ceiling by as much.
do $$ begin perform set_limit('fay', 'gen', 'month', 20); end $$;
select is(pg_temp.use('fay', 25), 'yes over_limit 25 25 20 0 month', 'twenty and five');
select is(pg_temp.use('fay', 1), 'no limit_reached 1 25 20 0 month 1771200', 'no more');

-- Holds.
create temporary table holds (name text, id uuid);
insert into holds select 'gil', (reserve_usage('gen', 13, 'gil')).reservation_id;
select is(
  (select string_agg(over::text, ',') from usage_events where subject = 'gil'), '{"month": 3}',
  'a hold past the limit says so'
);
select is(pg_temp.over('gil'), 'month 0 0', 'and is no overage yet');
select is(
  pg_temp.told(commit_usage((select id from holds where name = 'gil'), 12)), 'yes ok 12 12 10 0 month',
  'a commit of what was held passes nothing more'
);
select is(pg_temp.over('gil'), 'month 12 2', 'its overage is what was used of it');
insert into holds select 'hal', (reserve_usage('gen', 12, 'hal')).reservation_id;
do $$ begin perform release_usage((select id from holds where name = 'hal')); end $$;
select is(pg_temp.over('hal'), 'month 0 0', 'what was released was never used');
insert into holds select 'ira', (reserve_usage('gen', 9, 'ira')).reservation_id;
select is(
  pg_temp.told(commit_usage((select id from holds where name = 'ira'), 14)), 'yes over_limit 14 14 10 0 month',
  'a commit of more than was held'
);
select is(pg_temp.over('ira'), 'month 14 4', 'is overage as far as it went past the limit');
select is_empty('select * from verify_usage()', 'holds are proved');

-- A fresh start.
do $$ begin perform reset_usage('gen', 'ada'); end $$;
select is(pg_temp.over('ada'), 'month 0 0', 'a fresh start takes it off');
select is(pg_temp.use('ada', 11), 'yes over_limit 11 11 10 0 month', 'and it begins again');
select is(pg_temp.over('ada'), 'month 11 1', 'from there');

-- A gauge.
select is(pg_temp.use('kim', 3, 'seat'), 'yes over_limit 3 3 2 0 lifetime', 'a gauge may be soft, too');

-- Shadow: allowed, and noted for the server.
do $$ begin perform apply_plans(pg_temp.document('{
  "gen": {"month": {"limit": 3, "mode": "shadow"}, "day": 100}, "tight": {"day": {"limit": 1, "mode": "shadow"}},
  "seat": {"lifetime": null}
}')); end $$;
select is(pg_temp.use('lea', 2), 'yes ok 2 2 100 98 day', 'under a limit in shadow');
select is(pg_temp.use('lea', 2), 'yes ok 2 4 100 96 day', 'and past it: nothing is told');
select is(pg_temp.use('lea', 5), 'yes ok 5 9 100 91 day', 'nor later');
select is(pg_temp.use('lea', 1, 'tight'), 'yes ok 1 1 day', 'where there is no other limit there is none');
select is(
  (select array_agg(concat_ws(' ', plan_id, period, mode, units) order by units) from quota.overages where subject_id = 'lea'),
  array['free month shadow 1', 'free month shadow 5'], 'who would have been refused, and on which plan'
);
select is(
  (select array_agg(over order by over nulls first) from usage_events where subject = 'lea' and feature = 'gen'),
  array[null, '{"month": 1}', '{"month": 5}']::jsonb[], 'the server sees it with the lines'
);
select is_empty($$select * from usage_alerts where subject = 'lea'$$, 'there is no alert');
set local role authenticated;
set local request.jwt.claims = '{"sub": "lea"}';
select is(
  (select array_agg(concat_ws(' ', feature, period, "limit") order by feature, period) from current_usage),
  array['gen day 100', 'seat lifetime', 'tight day'], 'a user sees no limit in shadow'
);
select is((select count(over) from usage_events), 0::bigint, 'nor what it would have refused');
select is_empty('select * from quota.overages', 'in no table either');
select is(
  (select array_agg(concat_ws(' ', feature, period) order by feature, period) from usage_history), array['gen day'],
  'nor its periods'
);
select is(
  (select array_agg(concat_ws(' ', period, mode)) from explain_usage('gen')), array['day hard'], 'nor an explanation'
);
select is(
  (select array_agg(concat_ws(' ', feature, period, "limit", mode) order by feature, period) from plan_catalog where plan = 'free'),
  array['gen day 100 hard', 'seat lifetime hard', 'tight day hard'], 'nor is it on the pricing page'
);
reset role;
select is_empty('select * from verify_usage()', 'shadows are proved');

-- Grace.
do $$ begin perform apply_plans(pg_temp.document('{
  "gen": {"month": {"limit": 4, "grace": "2 days", "ceiling": 9}}, "tight": {"day": 1}, "seat": {"lifetime": null}
}')); end $$;
do $$ begin perform consume_usage('gen', 4, 'mia'); perform set_config('test.clock', '2026-06-12 00:00:00+00', true); end $$;
select is(pg_temp.use('mia', 1), 'yes over_limit 1 5 4 0 month', 'grace begins with the first crossing');
do $$ begin perform set_config('test.clock', '2026-06-13 23:59:59+00', true); end $$;
select is(pg_temp.use('mia', 4), 'yes over_limit 4 9 4 0 month', 'and holds two days');
select is(pg_temp.use('mia', 1), 'no limit_reached 1 9 4 0 month 1468801', 'up to its ceiling');
do $$ begin perform refund_usage((select event_id from usage_events where subject = 'mia' and used_change = 4 order by at desc limit 1)); end $$;
do $$ begin perform set_config('test.clock', '2026-06-14 00:00:00+00', true); end $$;
select is(pg_temp.use('mia', 1), 'no limit_reached 1 5 4 0 month 1468800', 'then the limit is hard');
do $$ begin perform reset_usage('gen', 'mia'); perform consume_usage('gen', 4, 'mia'); end $$;
select is(pg_temp.use('mia', 1), 'yes over_limit 1 5 4 0 month', 'a fresh start begins it afresh');

select * from finish();
rollback;
