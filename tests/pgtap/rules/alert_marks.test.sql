-- Alerts at marks of a feature's own: which are told, when again, and that plain calls stop before each.
begin;
select set_config('search_path', 'public, ' || pronamespace::regnamespace, true) from pg_proc where proname = 'pgtap_version';
set local timezone = 'UTC';
select plan(34);

create or replace function quota.clock()
returns timestamptz language plpgsql set search_path = pg_catalog, pg_temp
as $$ begin return current_setting('test.clock', true); end $$;
set local test.clock = '2026-09-15 12:00:00+00';

create function pg_temp.document(p_alerts text) returns jsonb language sql as $$
  select format('{
    "features": {"text": {"alerts": %s}, "quiet": {"alerts": []}, "usual": {}, "seat": {"kind": "gauge", "alerts": [50]}},
    "plans": {
      "free": {"default": true, "limits": {"text": {"month": 1000}, "quiet": {"month": 10}, "usual": {"month": 10}, "seat": {"lifetime": 10}}},
      "quick": {"limits": {"text": {"minute": 10, "hour": 20}, "usual": {"minute": 10}}}
    }
  }', p_alerts)::jsonb
$$;
create function pg_temp.alerts(p_subject text) returns text[] language sql as $$
  select array_agg(concat_ws(' ', feature, period, threshold, used) order by at, used, threshold)
  from usage_alerts where subject = p_subject
$$;
create function pg_temp.use(p_subject text, p_amount bigint, p_feature text default 'text') returns boolean language sql as $$
  select (consume_usage(p_feature, p_amount, p_subject)).allowed
$$;
create function pg_temp.times(p_subject text, p_times integer, p_feature text default 'text') returns bigint language plpgsql as $$
begin
  for i in 1 .. p_times loop
    perform public.consume_usage(p_feature, 1, p_subject);
  end loop;
  return (select c.used from public.current_usage as c where c.subject = p_subject and c.feature = p_feature and c.period <> 'hour');
end $$;

select is(
  (select array_agg(detail) from apply_plans(pg_temp.document('[100, 33, 50]')) where id = 'text'),
  array['alerts: [33, 50, 100], kind: "metered", name: "text", server_only: false, unit: "unit"'], 'marks are said, in order'
);
select is(
  (select array_agg(detail) from apply_plans(pg_temp.document('[50, 100]')) where id = 'text'),
  array['alerts: [33, 50, 100] → [50, 100]'], 'and what changes'
);
select is(
  (select array_agg(detail) from apply_plans(pg_temp.document('[80, 100]')) where id = 'text'),
  array['alerts: [50, 100] → [80, 100]'], 'the usual ones, too'
);
select is(
  (select array_agg(detail) from apply_plans(pg_temp.document('[100, 33, 50]')) where id = 'text'),
  array['alerts: [80, 100] → [33, 50, 100]'], 'either way'
);

-- One call, many calls.
select is(pg_temp.use('ada', 329), true, 'below the first mark');
select is(pg_temp.alerts('ada'), null, 'there is no alert');
select is(pg_temp.use('ada', 1), true, 'the call that comes to it');
select is(pg_temp.alerts('ada'), array['text month 33 330'], 'leaves one');
select is(pg_temp.times('ada', 169), 499::bigint, 'the next calls, one by one');
select is(pg_temp.alerts('ada'), array['text month 33 330'], 'leave none');
select is(pg_temp.use('ada', 1), true, 'until the next mark');
select is(pg_temp.alerts('ada'), array['text month 33 330', 'text month 50 500'], 'is told');
select is(pg_temp.use('ada', 350), true, '80 % is no mark of this feature');
select is(cardinality(pg_temp.alerts('ada')), 2, 'and is not told');
select is(
  (select row(status, percent_used)::text from usage_overview where subject = 'ada'), '(warning,85)',
  'though the operator sees who is near a limit'
);
select is(pg_temp.use('ada', 150), true, 'the last unit');
select is((pg_temp.alerts('ada'))[3:], array['text month 100 1000'], 'is told');
select is(pg_temp.use('ada', 1), false, 'a refusal is not');
select is(cardinality(pg_temp.alerts('ada')), 3, 'so there are three');

-- Armed again, by a refund that leaves marks behind.
do $$ begin
  perform refund_usage((select event_id from quota.events where subject_id = 'ada' and used_change = 350), 350);
  perform refund_usage((select event_id from quota.events where subject_id = 'ada' and used_change = 329), 200);
end $$;
select is(pg_temp.times('ada', 50), 500::bigint, 'used again, one by one, from 45 %');
select is(pg_temp.alerts('ada'), array['text month 33 330', 'text month 50 500', 'text month 50 500', 'text month 100 1000'], 'the mark that was left behind is told again, the one below is not');
select is(pg_temp.use('bob', 1000), true, 'a call that crosses all');
select is(pg_temp.alerts('bob'), array['text month 33 1000', 'text month 50 1000', 'text month 100 1000'], 'tells all');

-- None; the usual ones; a gauge.
select is(pg_temp.times('cy', 10, 'quiet'), 10::bigint, 'a feature without alerts, used up');
select is(pg_temp.alerts('cy'), null, 'tells nothing');
select is(
  (select array_agg(concat_ws(' ', feature, status)) from usage_overview where subject = 'cy'), array['quiet at_limit'],
  'though the operator sees it'
);
select is(pg_temp.times('dan', 10, 'usual'), 10::bigint, 'a feature that says nothing of alerts');
select is(pg_temp.alerts('dan'), array['usual month 80 8', 'usual month 100 10'], 'has 80 and 100');
do $$ begin
  perform pg_temp.use('fay', 5, 'seat');
  perform return_usage('seat', 1, 'fay');
  perform pg_temp.use('fay', 1, 'seat');
end $$;
select is(pg_temp.alerts('fay'), array['seat lifetime 50 5', 'seat lifetime 50 5'], 'a gauge that went down tells again');

-- Minutes and hours, which begin on the short way.
do $$ begin
  perform set_plan('gil', 'quick');
  perform pg_temp.times('gil', 2);
end $$;
set local test.clock = '2026-09-15 12:01:00+00';
select is(pg_temp.times('gil', 4), 4::bigint, 'a minute that begins plainly');
select is(pg_temp.alerts('gil'), array['text minute 33 4'], 'tells its marks');
set local test.clock = '2026-09-15 12:02:00+00';
do $$ begin perform pg_temp.times('gil', 1); end $$;
select is((pg_temp.alerts('gil'))[2:], array['text hour 33 7'], 'an hour its own');

-- Marks that change while use stands between them.
do $$ begin
  perform pg_temp.use('hal', 600);
  perform apply_plans(pg_temp.document('[55, 90]'));
  perform pg_temp.use('hal', 1);
end $$;
select is(
  pg_temp.alerts('hal'), array['text month 33 600', 'text month 50 600', 'text month 55 601'],
  'a mark that comes below the use is told by the next call'
);
select is_empty($$select * from verify_usage()$$, 'every number is proved by the ledger');

select * from finish();
rollback;
