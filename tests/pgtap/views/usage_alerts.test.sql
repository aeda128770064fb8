-- usage_alerts: a row when a call crosses 80 % or 100 % of a limit.
begin;
set local search_path = public, extensions;
set local timezone = 'UTC';
select plan(17);

create or replace function quota.clock()
returns timestamptz language plpgsql set search_path = pg_catalog, pg_temp
as $$ begin return current_setting('test.clock', true); end $$;
set local test.clock = '2026-09-15 12:00:00+00';

do $$ begin perform apply_plans('{
  "features": {"ai_generation": {}, "token": {}, "closed": {}},
  "plans": {"free": {"default": true, "limits": {
    "ai_generation": {"month": 10, "lifetime": 15}, "token": {"month": null}, "closed": {"month": 0}}}}
}'); end $$;

create function pg_temp.alerts() returns text[] language sql as $$
  select array_agg(concat_ws(' ', subject, feature, period, threshold, used, "limit") order by at, period collate "C", threshold)
  from public.usage_alerts
$$;

set local role authenticated;
set local request.jwt.claims = '{"sub": "ada"}';
do $$ begin perform consume_usage('ai_generation', 7); end $$;
select is(pg_temp.alerts(), null, 'below 80 % there is no alert');
do $$ begin perform consume_usage('ai_generation'); end $$;
select is(pg_temp.alerts(), array['ada ai_generation month 80 8 10'], 'the call that reaches 80 % leaves one');
select is(
  (select row(period_start, at)::text from usage_alerts), '("2026-09-01 00:00:00+00","2026-09-15 12:00:00+00")',
  'with its period and its time'
);
set local test.clock = '2026-09-15 12:00:01+00';
do $$ begin perform consume_usage('ai_generation'); end $$;
select is(pg_temp.alerts(), array['ada ai_generation month 80 8 10'], 'the next call below 100 % leaves none');
do $$ begin perform consume_usage('ai_generation'); end $$;
select is(
  pg_temp.alerts(), array['ada ai_generation month 80 8 10', 'ada ai_generation month 100 10 10'],
  'the call that uses up the limit leaves another'
);
do $$ begin perform consume_usage('ai_generation'), consume_usage('ai_generation'); end $$;
select is((select count(*) from usage_alerts), 2::bigint, 'refusals leave none');
reset role;
do $$ begin
  perform refund_usage((select event_id from quota.events where subject_id = 'ada' and used_change = 7), 5);
  perform consume_usage('ai_generation', 5, 'ada');
end $$;
set local role authenticated;
select is(
  (select count(*) from usage_alerts), 2::bigint, 'a threshold that is crossed again in the same period leaves none'
);
set local test.clock = '2026-10-02 12:00:00+00';
do $$ begin perform consume_usage('ai_generation', 3); end $$;
select is(
  (select array_agg(concat_ws(' ', period, period_start, threshold, used)) from usage_alerts where at > '2026-10-01 00:00+00'),
  array['lifetime 80 13'], 'the lifetime has its own, without a start'
);
do $$ begin perform consume_usage('ai_generation', 2); end $$;
set local test.clock = '2026-11-02 12:00:00+00';
reset role;
do $$ begin perform set_limit('ada', 'ai_generation', 'lifetime', 1000); end $$;
set local role authenticated;
do $$ begin perform consume_usage('ai_generation', 10); end $$;
select is(
  (select array_agg(concat_ws(' ', period, threshold, used) order by threshold) from usage_alerts where at > '2026-11-01 00:00+00'),
  array['month 80 10', 'month 100 10'], 'a new month warns anew, and one call can cross both thresholds'
);
do $$ begin perform consume_usage('token', 1000000), consume_usage('closed'); end $$;
select is(
  (select count(*) from usage_alerts where feature <> 'ai_generation'), 0::bigint,
  'unlimited has no thresholds, and a limit of 0 is never crossed'
);
do $$
begin
  perform set_config('request.jwt.claims', '{"sub": "bob"}', true);
  perform consume_usage('ai_generation', 10);
  raise sqlstate 'UNDO1';
exception when sqlstate 'UNDO1' then
  null;
end $$;
reset role;
select is(
  (select count(*) from usage_alerts where subject = 'bob'), 0::bigint, 'work that is rolled back leaves none'
);

-- Who sees whom.
insert into quota.members (subject_id, user_id) values ('ada', 'cora');
set local role authenticated;
set local request.jwt.claims = '{"sub": "bob"}';
select is_empty('select * from usage_alerts', 'a user sees nobody else');
set local request.jwt.claims = '{"sub": "cora"}';
select isnt_empty('select * from usage_alerts', 'a member sees its organisation');
set local request.jwt.claims = '';
select is_empty('select * from usage_alerts', 'without an identity there are no rows');
set local role service_role;
select isnt_empty('select * from usage_alerts', 'the server sees all');
select throws_ok('delete from usage_alerts', '42501', null, 'and deletes none');
set local role anon;
select throws_ok('select * from usage_alerts', '42501', null, 'anon may not read it');

select * from finish();
rollback;
