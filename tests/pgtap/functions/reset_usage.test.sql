-- reset_usage(): a fresh start by hand of one running period, or of all of a feature.
begin;
select set_config('search_path', 'public, ' || pronamespace::regnamespace, true) from pg_proc where proname = 'pgtap_version';
set local timezone = 'UTC';
select plan(65);

create or replace function quota.clock()
returns timestamptz language plpgsql set search_path = pg_catalog, pg_temp
as $$ begin return current_setting('test.clock', true); end $$;
set local test.clock = '2026-09-20 12:00:00+00';

do $$ begin perform apply_plans('{
  "features": {"ai_generation": {}, "export": {}, "seat": {"kind": "gauge"}},
  "plans": {
    "free": {"default": true, "upgrade_url": "/up", "limits": {
      "ai_generation": {"minute": 20, "month": 10, "year": 100}, "export": {"month": 5}, "seat": {"lifetime": 3}
    }},
    "yearly": {"limits": {"ai_generation": {"year": 100, "week": 50}}},
    "monthly": {"limits": {"ai_generation": {"month": 10}}},
    "none": {"limits": {}}
  }
}'); end $$;

create temporary table ids (name text primary key, id uuid);
grant all on ids to service_role, authenticated;
create function pg_temp.id(p_name text) returns uuid language sql as $$ select id from ids where name = p_name $$;
create function pg_temp.state(p_subject text, p_feature text default 'ai_generation') returns text
language sql as $$
  select string_agg(format('%s %s/%s', period, used + reserved, "limit"), ', ' order by quota.period_rank(period))
  from public.explain_usage(p_feature, 1, p_subject)
$$;
create function pg_temp.history(p_subject text) returns text language sql as $$
  select string_agg(format('%s %s %s', period, period_start::date, used), ', ' order by period_start, quota.period_rank(period))
  from public.usage_history where subject = p_subject
$$;
create function pg_temp.resets(p_subject text) returns text language sql as $$
  select string_agg(format('%s %s', metadata ->> 'period', used_change), ', ' order by at, quota.period_rank(metadata ->> 'period'), used_change)
  from public.usage_events where subject = p_subject and kind = 'reset'
$$;

-- Who may.
set local role authenticated;
set local request.jwt.claims = '{"sub": "ada", "role": "authenticated"}';
select throws_ok($$select reset_usage('ai_generation', 'ada')$$, '42501', null, 'a user cannot start afresh');
select throws_ok(
  $$select quota.reset_usage('ai_generation', 'ada', null, null, null)$$, '42501', null,
  'nor by the private function'
);
set local role anon;
select throws_ok($$select reset_usage(null, null)$$, '42501', null, 'anon may not call it');
set local role service_role;

-- One period.
do $$ begin
  perform set_plan('ada', 'free', '2026-09-15 09:00:00+00');
  perform consume_usage('ai_generation', 6, 'ada');
  perform consume_usage('export', 5, 'ada');
end $$;
insert into ids select 'four', event_id from consume_usage('ai_generation', 4, 'ada');
select is(pg_temp.state('ada'), 'minute 10/20, month 10/10, year 10/100', 'the month is used up');
select is((consume_usage('ai_generation', 1, 'ada')).allowed, false, 'and refuses');
create temporary table answer as
  select to_jsonb(d) as told
  from reset_usage('ai_generation', 'ada', 'month', 'an apology', 'ticket-1') as d;
select is(
  (select told - 'event_id' from answer),
  '{"allowed": true, "reason": "ok", "feature": "ai_generation", "subject": "ada", "plan": "free",
    "amount": 10, "used": 0, "reserved": 0, "limit": 10, "remaining": 10, "unlimited": false,
    "period": "month", "period_start": "2026-09-15T09:00:00+00:00",
    "resets_at": "2026-10-15T09:00:00+00:00", "retry_after": null, "reservation_id": null,
    "replayed": false, "upgrade_url": "/up", "granted": 0,
    "carried": 0, "limiting_feature": "ai_generation", "limiting_subject": "ada", "limiting_member": null}',
  'the month starts afresh, and ends when it would have'
);
select is(pg_temp.state('ada'), 'minute 10/20, month 0/10, year 10/100', 'the minute and the year do not');
select is(pg_temp.state('ada', 'export'), 'month 5/5', 'nor does another feature');
select is(
  (select row(kind, used_change, reserved_change, metadata - 'at_once', idempotency_key)::text from usage_events
    where event_id = (select (told ->> 'event_id')::uuid from answer)),
  '(reset,-10,0,"{""period"": ""month"", ""reason"": ""an apology"", ""period_start"": ""2026-09-15T09:00:00+00:00""}",ticket-1)',
  'a line says so'
);
select is(
  (select used from usage_history where subject = 'ada' and feature = 'ai_generation' and period = 'month'),
  0::bigint, 'the history shows what was used since'
);
select is(
  (select to_jsonb(d) from reset_usage('ai_generation', 'ada', 'month', 'again', 'ticket-1') as d),
  (select told || '{"replayed": true}' from answer), 'the same reset again gives the first answer'
);
select throws_ok(
  $$select reset_usage('ai_generation', 'ada', 'year', null, 'ticket-1')$$, 'QIDEM', null,
  'its key is bound to the period'
);
select is((consume_usage('ai_generation', 3, 'ada')).used, 3::bigint, 'the month counts on from 0');
select is(
  (select row(used, replayed)::text from reset_usage('ai_generation', 'ada', 'month', null, 'ticket-1')),
  '(0,t)', 'and a webhook that comes again takes nothing off it'
);
select is(pg_temp.state('ada'), 'minute 13/20, month 3/10, year 13/100', 'nothing');

-- What was forgiven is not given back twice.
select is(
  (select row(amount, used, remaining, period)::text from refund_usage(pg_temp.id('four'), 3)),
  '(3,3,7,month)', 'a use of before can be refunded, which leaves the month alone'
);
select is(pg_temp.state('ada'), 'minute 10/20, month 3/10, year 10/100', 'and counts less in the minute and the year');
insert into ids select 'two', event_id from consume_usage('ai_generation', 2, 'ada');
do $$ begin perform refund_usage(pg_temp.id('two')); end $$;
select is(
  pg_temp.state('ada'), 'minute 10/20, month 3/10, year 10/100',
  'a use of after comes back everywhere, also one of the same instant'
);
do $$ begin perform refund_usage(pg_temp.id('four')); end $$;
select is(pg_temp.state('ada'), 'minute 9/20, month 3/10, year 9/100', 'the rest of the first one, too');
select throws_ok(
  $$select refund_usage(pg_temp.id('four'))$$, 'QAMNT', null, 'of which no more is left'
);
select is(pg_temp.resets('ada'), 'month -10, month 1, month 3', 'the ledger says what was kept forgiven');

-- All of them, the longest last.
set local test.clock = '2026-09-20 12:00:30+00';
update answer set told = (select to_jsonb(d) from reset_usage('ai_generation', 'ada') as d);
select is(
  (select row(told -> 'amount', told -> 'used', told ->> 'period', metadata ->> 'period')::text
    from answer join usage_events on event_id = (told ->> 'event_id')::uuid),
  '(9,0,month,year)', 'without a period all of them start afresh; the line told is that of the longest'
);
select is(pg_temp.state('ada'), 'minute 0/20, month 0/10, year 0/100', 'the minute, too');
select is(
  (select row(used, "limit", period_start, resets_at)::text from current_usage
    where subject = 'ada' and feature = 'ai_generation' and period = 'year'),
  '(0,100,"2026-09-15 09:00:00+00","2027-09-15 09:00:00+00")', 'every period ends when it would have'
);
select is((consume_usage('ai_generation', 10, 'ada')).used, 10::bigint, 'and each counts on');
select is(pg_temp.state('ada'), 'minute 10/20, month 10/10, year 10/100', 'together');
select is_empty('select * from verify_usage()', 'every number is proved');

-- A refund after the period has ended.
insert into ids select 'closed', event_id from consume_usage('export', 1, 'cid');
do $$ begin
  perform consume_usage('export', 2, 'cid');
  perform reset_usage('export', 'cid');
  perform consume_usage('export', 4, 'cid');
end $$;
set local test.clock = '2026-10-02 12:00:00+00';
do $$ begin perform refund_usage(pg_temp.id('closed')); end $$;
select is(pg_temp.history('cid'), 'month 2026-09-01 4', 'a refund in the next month leaves the month of before');
do $$ begin perform consume_usage('export', 1, 'cid'); end $$;
select is(pg_temp.history('cid'), 'month 2026-09-01 4, month 2026-10-01 1', 'also once it is closed');
select is_empty('select * from verify_usage()', 'every number is proved then');

-- Holds stay, and count when they are committed.
insert into ids select 'hold', reservation_id from reserve_usage('export', 3, 'dan');
do $$ begin perform consume_usage('export', 2, 'dan'); end $$;
select is(
  (select row(amount, used, reserved, remaining)::text from reset_usage('export', 'dan')), '(2,0,3,2)',
  'what is held stays held'
);
set local test.clock = '2026-10-02 12:01:00+00';
select is(
  (select row(used, reserved)::text from commit_usage(pg_temp.id('hold'), 2)), '(2,0)',
  'and its commit counts: it was not used before the reset'
);
insert into ids select 'committed', event_id from usage_events where about_id = pg_temp.id('hold') and kind = 'commit';
do $$ begin perform refund_usage(pg_temp.id('committed'), 1); end $$;
select is(pg_temp.state('dan', 'export'), 'month 1/5', 'its refund comes back');
do $$ begin perform reset_usage('export', 'dan'); perform refund_usage(pg_temp.id('committed')); end $$;
select is(pg_temp.state('dan', 'export'), 'month 0/5', 'and does not after another reset');

-- Grants stay: what was drawn is drawn.
insert into ids select 'grant', grant_usage('export', 10, 'eva');
insert into ids select 'seven', event_id from consume_usage('export', 7, 'eva');
insert into ids select 'drawing', reservation_id from reserve_usage('export', 3, 'eva');
select is(
  (select row(used, reserved, "limit", granted)::text from check_usage('export', 1, 'eva')), '(7,3,15,5)',
  'two were drawn by the use and three by the hold'
);
select is(
  (select row(used, reserved, "limit", granted, remaining)::text from reset_usage('export', 'eva')),
  '(0,3,13,5,10)', 'a reset gives the plan''s allowance anew, and to the grant nothing'
);
do $$ begin perform release_usage(pg_temp.id('drawing')); end $$;
select is(
  (select row(used, reserved, "limit", granted)::text from check_usage('export', 1, 'eva')), '(0,0,13,8)',
  'what the hold has drawn comes back to it'
);
do $$ begin perform refund_usage(pg_temp.id('seven'), 2); end $$;
select is(
  (select row(used, "limit", granted)::text from check_usage('export', 1, 'eva')), '(0,15,10)',
  'and what a refund gives back to it'
);
select is_empty('select * from verify_usage()', 'every number is proved with grants');

-- Alerts are armed again.
do $$ begin perform consume_usage('export', 5, 'fay'); end $$;
select is((select count(*) from usage_alerts where subject = 'fay'), 2::bigint, 'both marks were crossed');
do $$ begin perform reset_usage('export', 'fay'); perform consume_usage('export', 4, 'fay'); end $$;
select is((select count(*) from usage_alerts where subject = 'fay'), 3::bigint, 'one is crossed again');
select is(
  (select row(used, status)::text from usage_overview where subject = 'fay'), '(4,warning)',
  'the overview shows what was used since'
);

-- Plans that change, and periods that a former plan has left behind.
do $$ begin
  perform consume_usage('ai_generation', 8, 'gus');
  perform set_plan('gus', 'yearly');
end $$;
select is(pg_temp.state('gus'), 'week 8/50, year 8/100', 'a new plan sums up its periods');
do $$ begin perform reset_usage('ai_generation', 'gus', 'week'); perform consume_usage('ai_generation', 1, 'gus'); end $$;
select is(pg_temp.state('gus'), 'week 1/50, year 9/100', 'of which one starts afresh');
do $$ begin perform set_plan('gus', 'free'); end $$;
select is(pg_temp.state('gus'), 'minute 9/20, month 9/10, year 9/100', 'the reset of a week is none of the month');
do $$ begin perform set_plan('gus', 'yearly'); perform reset_usage('ai_generation', 'gus'); perform set_plan('gus', 'free'); end $$;
select is(
  pg_temp.state('gus'), 'minute 9/20, month 0/10, year 0/100',
  'all of them are also those of the former plan that run'
);
do $$ begin perform set_plan('gus', 'none'); end $$;
select is(
  (select row(allowed, amount, "limit")::text from reset_usage('ai_generation', 'gus', 'month')), '(t,0,0)',
  'a month that no plan limits any more, but runs'
);
select throws_ok(
  $$select reset_usage('ai_generation', 'gus', 'day')$$, 'QPLAN', null, 'one that never ran is QPLAN'
);
select is_empty('select * from verify_usage()', 'every number is proved over plans');

-- A moved billing day cuts the month: what was forgiven stays so, on both sides.
set local test.clock = '2026-11-05 12:00:00+00';
do $$ begin perform set_plan('ida', 'monthly'); end $$;
insert into ids select 'early', event_id from consume_usage('ai_generation', 4, 'ida');
set local test.clock = '2026-11-12 12:00:00+00';
insert into ids select 'middle', event_id from consume_usage('ai_generation', 3, 'ida');
do $$ begin perform reset_usage('ai_generation', 'ida'); end $$;
set local test.clock = '2026-11-14 12:00:00+00';
do $$ begin perform consume_usage('ai_generation', 2, 'ida'); end $$;
do $$ begin perform set_plan('ida', 'monthly', '2026-11-10 00:00:00+00'); end $$;
select is(pg_temp.state('ida'), 'month 2/10', 'the new month has what was used since the reset');
select is(pg_temp.history('ida'), 'month 2026-11-01 0, month 2026-11-10 2', 'the part before it nothing');
select is(pg_temp.resets('ida'), 'month -7, month -4, month 4', 'a pair of lines says so');
do $$ begin perform refund_usage(pg_temp.id('early')); perform refund_usage(pg_temp.id('middle'), 1); end $$;
select is(pg_temp.history('ida'), 'month 2026-11-01 0, month 2026-11-10 2', 'refunds of either part leave both alone');
do $$ begin perform set_plan('ida', 'monthly', '2026-11-13 00:00:00+00'); end $$;
select is(
  pg_temp.history('ida'), 'month 2026-11-01 0, month 2026-11-10 0, month 2026-11-13 2', 'another cut, after the reset'
);
do $$ begin perform set_plan('ida', 'monthly', '2026-11-01 00:00:00+00'); end $$;
select is(
  pg_temp.state('ida'), 'month 2/10', 'and back to the first billing day'
);
select is_empty('select * from verify_usage()', 'every number is proved over billing days');

-- Minutes.
do $$ begin perform consume_usage('ai_generation', 9, 'jim'); perform reset_usage('ai_generation', 'jim', 'minute'); end $$;
select is(pg_temp.state('jim'), 'minute 0/20, month 9/10, year 9/100', 'a minute alone');
do $$ begin perform consume_usage('ai_generation', 1, 'jim'); end $$;
set local test.clock = '2026-11-14 12:00:59+00';
select is(pg_temp.state('jim'), 'minute 1/20, month 10/10, year 10/100', 'which counts on');
set local test.clock = '2026-11-14 12:01:00+00';
select is(pg_temp.state('jim'), 'minute 0/20, month 10/10, year 10/100', 'until it ends');
set local test.clock = '2026-11-14 12:00:59+00';
select is(pg_temp.state('jim'), 'minute 1/20, month 10/10, year 10/100', 'a clock that is set back finds it');

-- A first call, nothing used, and the end.
select is(
  (select row(allowed, amount, used, remaining)::text from reset_usage('export', 'new')), '(t,0,0,5)',
  'who has used nothing starts afresh all the same'
);
select is((forget_subject('ida')) > 0, true, 'who is forgotten');
select is((select count(*) from usage_events where subject = 'ida'), 0::bigint, 'is forgotten with its resets');
select is(pg_temp.state('ida'), 'minute 0/20, month 0/10, year 0/100', 'and has what everybody has');
select is_empty('select * from verify_usage()', 'every number is proved in the end');

select * from finish();
rollback;
