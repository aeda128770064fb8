-- deliver_alerts() and acknowledge_alerts(): every alert is handed out at least once, and again after 5
-- minutes until it is acknowledged.
begin;
select set_config('search_path', 'public, ' || pronamespace::regnamespace, true) from pg_proc where proname = 'pgtap_version';
set local timezone = 'UTC';
select plan(34);

create or replace function quota.clock()
returns timestamptz language plpgsql set search_path = pg_catalog, pg_temp
as $$ begin return current_setting('test.clock', true); end $$;
set local test.clock = '2026-09-15 12:00:00+00';

do $$ begin perform apply_plans('{
  "features": {"ai_generation": {}},
  "plans": {"free": {"default": true, "limits": {"ai_generation": {"month": 10, "lifetime": 1000}}}}
}'); end $$;

create temporary table handed (alert_id uuid, subject text, threshold bigint);
grant select, insert, delete on handed to service_role;
create function pg_temp.handed(p_max integer default 100) returns text[] language sql as $$
  with now as (select alert_id, subject, threshold, at from public.deliver_alerts(p_max)),
    kept as (insert into handed select alert_id, subject, threshold from now)
  select array_agg(concat_ws(' ', subject, threshold) order by at, alert_id) from now
$$;
create function pg_temp.ids(p_subject text) returns uuid[] language sql as $$
  select array_agg(distinct alert_id) from handed where subject = p_subject
$$;

-- Who may.
set local role anon;
select throws_ok('select * from deliver_alerts()', '42501', null, 'anon is handed none');
select throws_ok($$select acknowledge_alerts('{}')$$, '42501', null, 'and acknowledges none');
set local role authenticated;
set local request.jwt.claims = '{"sub": "ada", "role": "authenticated"}';
select throws_ok('select * from deliver_alerts()', '42501', null, 'a user is handed none');
select throws_ok($$select acknowledge_alerts('{}')$$, '42501', null, 'and acknowledges none');
select throws_ok('select * from quota.deliver_alerts(1)', '42501', null, 'nor by the private half');
select throws_ok($$select quota.acknowledge_alerts('{}')$$, '42501', null, 'nor that of the other');

set local role service_role;
set local request.jwt.claims = '{"role": "service_role"}';
select throws_ok('select * from deliver_alerts(0)', '22023', null, 'max is at least 1');
select throws_ok('select * from deliver_alerts(1001)', '22023', null, 'and at most 1000');
select throws_ok('select * from deliver_alerts(null)', '22023', null, 'and not null');
select throws_ok('select acknowledge_alerts(null)', '22023', null, 'ids are not null');
select is(acknowledge_alerts('{}'), 0::bigint, 'but may be none');
select is(acknowledge_alerts(array[null, gen_random_uuid()]), 0::bigint, 'unknown ones are passed over');

-- Handed out.
select is(pg_temp.handed(), null, 'without alerts there is nothing to hand out');
do $$ begin perform consume_usage('ai_generation', 8, 'ada'); end $$;
set local test.clock = '2026-09-15 12:00:01+00';
do $$ begin perform consume_usage('ai_generation', 8, 'bob'), consume_usage('ai_generation', 2, 'ada'); end $$;
set local test.clock = '2026-09-15 12:00:02+00';
do $$ begin perform consume_usage('ai_generation', 8, 'cyd'); end $$;
select is(pg_temp.handed(1), array['ada 80'], 'the oldest first, no more than max');
select set_eq('select unnest(pg_temp.handed())', array['bob 80', 'ada 100', 'cyd 80'], 'then those that are left');
select is(pg_temp.handed(), null, 'each once');
select is(
  (select count(*) from handed), (select count(*) from usage_alerts where alert_id in (select alert_id from handed)),
  'their ids are those of usage_alerts'
);
select is((select count(distinct alert_id) from usage_alerts), 4::bigint, 'and each has its own');

-- Again, unless they have arrived.
select is(acknowledge_alerts(pg_temp.ids('ada')), 2::bigint, 'what arrived is acknowledged');
select is(acknowledge_alerts(pg_temp.ids('ada')), 0::bigint, 'once');
set local test.clock = '2026-09-15 12:05:01.999999+00';
select is(pg_temp.handed(), null, 'for five minutes the others are left to who was handed them');
set local test.clock = '2026-09-15 12:05:02+00';
delete from handed;
do $$ begin perform consume_usage('ai_generation', 8, 'dan'); end $$;
select is(pg_temp.handed(1), array['dan 80'], 'new ones go before those that are handed out again');
select is(pg_temp.handed(), array['bob 80', 'cyd 80'], 'which follow');
select is(acknowledge_alerts(pg_temp.ids('bob') || pg_temp.ids('bob')), 1::bigint, 'an id that is named twice counts once');

-- The clock is set back.
set local test.clock = '2026-09-15 11:00:00+00';
select is(pg_temp.handed(), array['cyd 80', 'dan 80'], 'a clock that was set back holds none up');
select is(acknowledge_alerts(pg_temp.ids('dan')), 1::bigint, 'nor its acknowledgement');

-- What is undone or forgotten.
do $$
begin
  perform consume_usage('ai_generation', 8, 'eve');
  raise sqlstate 'UNDO1';
exception when sqlstate 'UNDO1' then
  null;
end $$;
select is(pg_temp.handed(), null, 'of work that was rolled back there is nothing to tell');
do $$
begin
  perform consume_usage('ai_generation', 8, 'flo');
  begin
    perform deliver_alerts();
    raise sqlstate 'UNDO1';
  exception when sqlstate 'UNDO1' then
    null;
  end;
end $$;
select is(pg_temp.handed(), array['flo 80'], 'what a rolled back call handed out is handed out again');
do $$ begin perform forget_subject('flo'); end $$;
set local test.clock = '2026-09-15 12:10:00+00';
select is(pg_temp.handed(), array['cyd 80'], 'nobody is told of a subject that was forgotten');
select is(acknowledge_alerts(pg_temp.ids('flo')), 0::bigint, 'whose alert cannot be acknowledged');

-- tidy().
reset role;
set local request.jwt.claims = '';
set local test.clock = '2026-10-16 11:00:00+00';
select is(quota.tidy(), 0::bigint, 'acknowledged alerts are kept for 31 days');
set local test.clock = '2026-10-16 12:05:02.000001+00';
do $$ begin perform quota.tidy(); end $$;
select is(
  (select array_agg(concat_ws(' ', subject, threshold) order by subject) from usage_alerts), array['cyd 80'],
  'then they are removed, and one that has not arrived stays'
);
select is(
  (select array_agg(subject) from deliver_alerts()), array['cyd'], 'and is delivered, however late'
);
select is_empty('select * from verify_usage()', 'every number is proved by the ledger');

select * from finish();
rollback;
