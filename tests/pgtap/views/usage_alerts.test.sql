-- usage_alerts: a row when a call crosses 80 % or 100 % of a limit.
begin;
select set_config('search_path', 'public, ' || pronamespace::regnamespace, true) from pg_proc where proname = 'pgtap_version';
set local timezone = 'UTC';
select plan(28);

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
  (select count(*) from usage_alerts), 4::bigint, 'a threshold that is crossed again after a refund leaves another'
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

-- Armed again whenever use falls below the mark.
reset role;
do $$ begin perform apply_plans('{
  "features": {"ai_generation": {}, "token": {}, "closed": {}, "file": {"kind": "gauge"}},
  "plans": {
    "free": {"default": true, "limits": {"ai_generation": {"month": 50}, "file": {"lifetime": 10}}},
    "pro": {"limits": {"ai_generation": {"month": 500}, "file": {"lifetime": 100}}}
  }
}'); end $$;
create function pg_temp.told(p_subject text) returns text language sql as $$
  select string_agg(threshold || ':' || used || '/' || "limit", ' ' order by used, threshold)
  from public.usage_alerts where subject = p_subject
$$;
set local test.clock = '2026-12-01 12:00:00+00';
do $$ begin
  perform set_limit('gil', 'ai_generation', 'month', 0);
  perform grant_usage('ai_generation', 100, 'gil');
  perform consume_usage('ai_generation', 85, 'gil');
end $$;
select is(pg_temp.told('gil'), '80:85/100', 'a grant of 100, 85 of it used');
do $$ begin
  perform grant_usage('ai_generation', 100, 'gil');
  perform consume_usage('ai_generation', 60, 'gil');
end $$;
select is(pg_temp.told('gil'), '80:85/100', 'another grant of 100, and 145 of 200 used');
do $$ begin perform consume_usage('ai_generation', 40, 'gil'); end $$;
select is(pg_temp.told('gil'), '80:85/100 80:185/200', 'then 185 of 200');
do $$ begin
  perform grant_usage('ai_generation', 100, 'gil');
  perform consume_usage('ai_generation', 115, 'gil');
end $$;
select is(
  pg_temp.told('gil'), '80:85/100 80:185/200 80:300/300 100:300/300', 'and 300 of 300 at once crosses both'
);
do $$ begin
  perform consume_usage('ai_generation', 50, 'hal');
  perform set_plan('hal', 'pro');
  for i in 1 .. 8 loop perform consume_usage('ai_generation', 50, 'hal'); end loop;
end $$;
select is(
  pg_temp.told('hal'), '80:50/50 100:50/50 80:400/500', 'a larger plan arms both'
);
do $$ begin perform consume_usage('ai_generation', 50, 'hal'), consume_usage('ai_generation', 50, 'hal'); end $$;
select is(pg_temp.told('hal'), '80:50/50 100:50/50 80:400/500 100:500/500', 'which each are told once more');
do $$ begin
  perform set_plan('ian', 'pro');
  perform consume_usage('ai_generation', 45, 'ian');
  perform set_plan('ian', 'free');
end $$;
select is(pg_temp.told('ian'), null, 'a downgrade to 45 of 50 tells nothing by itself');
do $$ begin perform consume_usage('ai_generation', 1, 'ian'), consume_usage('ai_generation', 1, 'ian'); end $$;
select is(pg_temp.told('ian'), '80:46/50', 'but the next call does, once');
do $$ begin
  perform consume_usage('file', 8, 'jan');
  perform return_usage('file', 6, 'jan');
  perform consume_usage('file', 6, 'jan');
end $$;
select is(pg_temp.told('jan'), '80:8/10 80:8/10', 'a gauge that goes to 8 of 10, back to 2 and to 8 again: twice');
do $$ begin
  perform reserve_usage('file', 8, 'kay', '1 minute');
  perform set_config('test.clock', '2026-12-01 12:01:00+00', true);
  perform consume_usage('file', 1, 'kay');
  perform consume_usage('file', 7, 'kay');
end $$;
select is(pg_temp.told('kay'), '80:8/10 80:8/10', 'a hold that expires arms it, too');
do $$ begin
  perform quota.import_usage('[
    {"subject": "lea", "feature": "ai_generation", "amount": 41, "period_start": "2026-12-01"},
    {"subject": "lea", "feature": "ai_generation", "amount": 50, "period_start": "2026-11-01"}
  ]');
end $$;
select is(pg_temp.told('lea'), '80:41/50', 'an import tells what it crosses in a running period');

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
