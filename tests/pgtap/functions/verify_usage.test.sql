-- verify_usage(): empty as long as every number is proved, and finds each kind of damage made by hand.
begin;
select set_config('search_path', 'public, ' || pronamespace::regnamespace, true) from pg_proc where proname = 'pgtap_version';
set local timezone = 'UTC';
select plan(35);

create or replace function quota.clock()
returns timestamptz language plpgsql set search_path = pg_catalog, pg_temp
as $$ begin return current_setting('test.clock', true); end $$;
set local test.clock = '2026-08-15 12:00:00+00';

do $$ begin perform apply_plans('{
  "features": {"ai_generation": {}, "export": {}},
  "plans": {"free": {"default": true, "limits": {"ai_generation": {"month": 50, "day": 20}, "export": {"lifetime": 9}}}}
}'); end $$;

select is_empty('select * from verify_usage()', 'an empty ledger proves the absence of counters');

-- Use of two subjects in two months, a refund, a moved anchor, a hold and a grant.
create temporary table uses (name text, id uuid);
do $$ begin
  insert into uses select 'august', event_id from consume_usage('ai_generation', 5, 'ada');
  perform set_config('test.clock', '2026-09-15 12:00:00+00', true);
  insert into uses select 'september', event_id from consume_usage('ai_generation', 7, 'ada');
  insert into uses select 'export', event_id from consume_usage('export', 2, 'ada');
  perform refund_usage((select id from uses where name = 'september'), 1);
  perform refund_usage((select id from uses where name = 'august'), 2);
  perform consume_usage('ai_generation', 3, 'bob');
  perform set_plan('bob', 'free', anchor => '2026-09-10 00:00+00');
  insert into quota.reservations (subject_id, reservation_id, feature_id, amount, reserved_at, expires_at)
    values ('ada', '00000000-0000-0000-0000-000000000001', 'export', 4, quota.clock(), quota.clock() + interval '1 hour');
  update quota.meters set holds_expire_at = quota.clock() + interval '1 hour' where feature_id = 'export';
  perform quota.record(jsonb_populate_record(null::quota.events, jsonb_build_object(
    'subject_id', 'ada', 'event_id', gen_random_uuid(), 'at', quota.clock(), 'kind', 'reserve',
    'feature_id', 'export', 'counts_at', quota.clock(), 'used_change', 0, 'reserved_change', 4,
    'drawn_change', 0, 'about_id', '00000000-0000-0000-0000-000000000001', 'metadata', '{}'::jsonb
  )));
  insert into quota.grants (subject_id, grant_id, feature_id, amount, drawn, granted_at)
    values ('ada', '00000000-0000-0000-0000-000000000002', 'ai_generation', 10, 1, quota.clock());
  perform quota.record(jsonb_populate_record(null::quota.events, jsonb_build_object(
    'subject_id', 'ada', 'event_id', gen_random_uuid(), 'at', quota.clock(), 'kind', 'draw',
    'feature_id', 'ai_generation', 'counts_at', quota.clock(), 'used_change', 0, 'reserved_change', 0,
    'drawn_change', 1, 'grant_id', '00000000-0000-0000-0000-000000000002', 'metadata', '{}'::jsonb
  )));
end $$;
set local role service_role;
select is_empty('select * from verify_usage()', 'after use, refunds, a moved anchor, a hold and a draw it is empty');
set local test.clock = '2026-12-15 12:00:00+00';
select is_empty('select * from verify_usage()', 'also long after the periods have ended and the hold has expired');
reset role;

-- What it finds after a statement that damages something; the damage is undone again.
create function pg_temp.found(p_damage text, p_subject text default null) returns text
language plpgsql as $$
declare
  v_rows bigint;
  v_found text;
begin
  begin
    execute p_damage;
    get diagnostics v_rows = row_count;
    set local role service_role;
    select string_agg(
        concat_ws(' ', subject, feature, period, to_char(period_start, 'YYYY-MM-DD'), counted, ledger), ', '
        order by period collate "C", period_start, feature
      )
      into v_found
      from public.verify_usage(p_subject);
    reset role;
    raise sqlstate 'UNDO1';
  exception when sqlstate 'UNDO1' then
    null;
  end;
  if v_rows = 0 then
    return 'nothing was damaged';
  end if;
  return coalesce(v_found, 'nothing');
end $$;

-- Counters.
select is(
  pg_temp.found($$update quota.counters set used_before = used_before + 1
    where subject_id = 'ada' and period = 'month' and period_start = '2026-09-01Z'$$),
  'ada ai_generation month 2026-09-01 5 6', 'it finds a counter that was lowered'
);
select is(
  pg_temp.found($$update quota.counters set used_before = used_before - 1
    where subject_id = 'ada' and period = 'day' and period_start = '2026-09-15Z'$$),
  'ada ai_generation day 2026-09-15 7 6', 'it finds a counter that was raised'
);
select is(
  pg_temp.found($$update quota.counters set used = 0
    where subject_id = 'ada' and period = 'month' and period_start = '2026-08-01Z'$$),
  'ada ai_generation month 2026-08-01 0 3', 'it finds a closed counter that was reset'
);
select is(
  pg_temp.found($$update quota.counters set used_before = used_before - 1 where subject_id = 'ada' and period = 'lifetime'$$),
  'ada export lifetime 3 2', 'it finds a lifetime counter'
);
select is(
  pg_temp.found($$update quota.counters set period_start = '2026-08-10Z'
    where subject_id = 'ada' and period = 'month' and period_start = '2026-09-01Z'$$),
  'ada ai_generation month 2026-08-10 6 9', 'it finds a counter whose period was stretched'
);
select is(
  pg_temp.found($$update quota.counters set feature_id = 'export' where subject_id = 'bob' and period = 'day'$$),
  'bob export day 2026-09-15 0', 'it finds a counter that was given to another feature'
);
select is(
  pg_temp.found($$update quota.counters set subject_id = 'eve' where subject_id = 'bob' and period = 'day'$$),
  'eve ai_generation day 2026-09-15 0', 'it finds one that was given to another subject'
);
select is(
  pg_temp.found($$insert into quota.counters values
    ('eve', 'export', 'month', '2026-09-01Z', '2026-10-01Z', 0, 0, 0, 1, 0, 0, null)$$),
  'eve export month 2026-09-01 1 0', 'it finds a counter without any use'
);

-- Lines.
select is(
  pg_temp.found($$delete from quota.events where event_id = (select id from uses where name = 'export')$$),
  'ada export lifetime 2 0, ada export meter 2 0', 'it finds a use whose line was deleted'
);
select is(
  pg_temp.found($$delete from quota.events where about_id = (select id from uses where name = 'august')$$),
  'ada ai_generation day 2026-08-15 3 5, ada ai_generation meter 9 11, ada ai_generation month 2026-08-01 3 5', 'it finds a refund whose line was deleted'
);
select is(
  pg_temp.found($$update quota.events set used_change = 1 where event_id = (select id from uses where name = 'export')$$),
  'ada export lifetime 2 1, ada export meter 2 1', 'it finds a line whose amount was changed'
);
select is(
  pg_temp.found($$update quota.events set counts_at = '2026-08-20Z' where event_id = (select id from uses where name = 'september')$$),
  'ada ai_generation day 2026-09-15 6 -1, ada ai_generation month 2026-08-01 3 10, ada ai_generation month 2026-09-01 6 -1',
  'it finds a line that was moved to another period'
);
select is(
  pg_temp.found($$update quota.events set feature_id = 'ai_generation', counts_at = '2026-01-01Z' where event_id = (select id from uses where name = 'export')$$),
  'ada export lifetime 2 0, ada ai_generation meter 9 11, ada export meter 2 0', 'it finds a line that was given to another feature'
);
select is(
  pg_temp.found($$update quota.events set subject_id = 'bob', counts_at = '2026-01-01Z' where event_id = (select id from uses where name = 'export')$$),
  'ada export lifetime 2 0, ada export meter 2 0', 'it finds one that was given to another subject'
);
select is(
  pg_temp.found($$insert into quota.events (subject_id, event_id, at, kind, feature_id, counts_at, used_change)
    values ('ada', gen_random_uuid(), '2026-09-16Z', 'consume', 'export', '2026-09-16Z', 5)$$),
  'ada export lifetime 2 7, ada export meter 2 7', 'it finds a line that was written by hand'
);
select is(
  pg_temp.found($$delete from quota.events where subject_id = 'bob' and kind = 'carry' and used_change < 0$$),
  'bob ai_generation day 2026-09-15 3 6, bob ai_generation meter 3 6, bob ai_generation month 2026-09-10 3 6', 'it finds half of a pair of carry lines that was deleted'
);

-- Holds.
select is(
  pg_temp.found($$update quota.counters set reserved_before = reserved_before + 1 where subject_id = 'ada' and period = 'lifetime'$$),
  'ada export reserved 3 4', 'it finds a held amount that was changed: neither lines nor holds prove it'
);
select is(
  pg_temp.found($$delete from quota.reservations$$), 'ada export reserved 4 0', 'it finds a hold that was deleted'
);
select is(
  pg_temp.found($$update quota.reservations set amount = 5$$), 'ada export reserved 4 5', 'it finds a hold whose amount was changed'
);
select is(
  pg_temp.found($$update quota.reservations set state = 'released'$$), 'ada export reserved 4 0',
  'it finds a hold that was ended without giving back'
);
select is(
  pg_temp.found($$insert into quota.reservations values
    ('ada', gen_random_uuid(), 'export', 1, '2026-09-16Z', '2026-09-17Z', 'open', null)$$),
  'ada export reserved 4 5', 'it finds a hold that nothing was held for'
);
select is(
  pg_temp.found($$delete from quota.events where kind = 'reserve'$$), 'ada export reserved 4 0',
  'it finds a hold whose line was deleted'
);

-- Grants.
select is(
  pg_temp.found($$update quota.grants set drawn = 0$$), 'ada ai_generation granted 2026-09-15 0 1',
  'it finds a grant that was filled up again'
);
select is(
  pg_temp.found($$delete from quota.events where kind = 'draw'$$),
  'ada ai_generation granted 2026-09-01 1 0, ada ai_generation granted 2026-09-15 1 0, '
  || 'ada ai_generation granted 2026-09-15 1 0, ada ai_generation granted 1 0',
  'it finds a draw whose line was deleted'
);
select is(
  pg_temp.found($$update quota.counters set drawn_before = drawn_before + 1 where period = 'month' and period_start = '2026-09-01Z'$$),
  'ada ai_generation granted 2026-09-01 0 1', 'it finds a counter that forgot what was drawn'
);

-- Of one subject.
select is(
  pg_temp.found($$update quota.counters set used_before = used_before - 1 where period = 'day' and subject_id in ('ada', 'bob')
    and period_start = '2026-09-15Z'$$, 'bob'),
  'bob ai_generation day 2026-09-15 4 3', 'asked about a subject it reports that subject alone'
);
select is(
  pg_temp.found($$update quota.counters set used_before = used_before - 1 where subject_id = 'ada'$$, 'bob'),
  'nothing', 'and is empty although another has damage'
);

-- A counter that is gone is made again from the ledger.
delete from quota.counters where subject_id = 'ada' and feature_id = 'export';
set local test.clock = '2026-12-15 12:00:00+00';
select is(
  (select row(used, reserved)::text from consume_usage('export', 1, 'ada')), '(3,0)',
  'a counter that was deleted comes back with the use of its ledger'
);
select is_empty('select * from verify_usage()', 'and is proved again');

-- Who may.
set local role authenticated;
set local request.jwt.claims = '{"sub": "ada"}';
select throws_ok('select verify_usage()', '42501', null, 'a user may not call it');
select throws_ok($$select verify_usage('ada')$$, '42501', null, 'not even about itself');
set local role anon;
select throws_ok('select verify_usage()', '42501', null, 'nor may anon');
reset role;

select * from finish();
rollback;
