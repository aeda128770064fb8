-- Windows of n units from the first use: opened by it, closed n units later until the next, and moved by
-- nothing in between.
begin;
select set_config('search_path', 'public, ' || pronamespace::regnamespace, true) from pg_proc where proname = 'pgtap_version';
set local timezone = 'UTC';
select plan(117);

create or replace function quota.clock()
returns timestamptz language plpgsql set search_path = pg_catalog, pg_temp
as $$ begin return current_setting('test.clock', true); end $$;
set local test.clock = '2026-11-26 09:17:30.5+00';

do $$ begin perform apply_plans('{
  "features": {"text": {}, "image": {}, "seat": {"kind": "gauge"}},
  "plans": {
    "free": {"default": true, "upgrade_url": "/up", "limits": {
      "text": {"5 hours": 10}, "image": {"5 hours": 10, "month": 30}, "seat": {"lifetime": 3}
    }},
    "pro": {"limits": {"text": {"5 hours": 20}, "image": {"7 days": 40, "day": 10}}},
    "calendar": {"limits": {"text": {"month": 100}, "image": {"month": 30}}},
    "thirty": {"limits": {"text": {"30 days": 50}, "image": {"1 month": 5}}}
  }
}'); end $$;

create temporary table ids (name text primary key, id uuid);
grant all on ids to service_role, authenticated;
create function pg_temp.id(p_name text) returns uuid language sql as $$ select id from ids where name = p_name $$;
-- "5 hours 3+0/10 09:17-14:17, month …", of check_usage()'s subject.
create function pg_temp.state(p_subject text, p_feature text default 'text') returns text
language sql as $$
  select string_agg(
    format('%s %s+%s/%s %s', u.period, u.used, u.reserved, u."limit",
      coalesce(to_char(u.period_start at time zone 'UTC', 'DD HH24:MI'), 'closed')
        || coalesce(' to ' || to_char(u.resets_at at time zone 'UTC', 'DD HH24:MI'), '')),
    ', ' order by quota.period_rank(u.period)
  )
  from public.current_usage as u where u.subject = p_subject and u.feature = p_feature
$$;
create function pg_temp.told(p_decision usage_decision) returns text language sql as $$
  select format('%s %s %s/%s left %s, %s to %s, wait %s', p_decision.reason, p_decision.period, p_decision.used,
    p_decision."limit", p_decision.remaining,
    coalesce(to_char(p_decision.period_start at time zone 'UTC', 'HH24:MI:SS.MS'), '-'),
    coalesce(to_char(p_decision.resets_at at time zone 'UTC', 'HH24:MI:SS.MS'), '-'),
    coalesce(p_decision.retry_after::text, '-'))
$$;
set local role service_role;

-- Closed until used.
select is(
  pg_temp.told(check_usage('text', 1, 'ada')), 'ok 5 hours 0/10 left 10, - to -, wait -',
  'a window that was never used is closed: it has no start and no end'
);
select is(
  pg_temp.told(check_usage('text', 11, 'ada')), 'limit_reached 5 hours 0/10 left 10, - to -, wait -',
  'what it never has room for is refused, and no wait helps'
);
select is(
  pg_temp.told(consume_usage('text', 11, 'ada')), 'limit_reached 5 hours 0/10 left 10, - to -, wait -',
  'also by consume_usage'
);
select throws_ok($$select enforce_usage('text', 11, 'ada')$$, 'PT402', null, 'as PT402: waiting does not help');
do $$ begin perform set_plan('ada', 'free'); end $$;
select is(pg_temp.state('ada'), '5 hours 0+0/10 closed', 'current_usage shows it closed, with 0 used');
select is((check_usage('text', 1, 'ada')).allowed, true, 'a check');
select is((select count(*) from explain_usage('text', 1, 'ada') where resets_at is null and not refuses), 1::bigint, 'an explanation');
select is(pg_temp.state('ada'), '5 hours 0+0/10 closed', 'and refusals do not open it');

-- The first use opens it, to the microsecond; no later one moves it.
select is(
  pg_temp.told(consume_usage('text', 1, 'ada')), 'ok 5 hours 1/10 left 9, 09:17:30.500 to 14:17:30.500, wait -',
  'the first use opens it'
);
set local test.clock = '2026-11-26 10:00:00+00';
select is(
  pg_temp.told(consume_usage('text', 1, 'ada')), 'ok 5 hours 2/10 left 8, 09:17:30.500 to 14:17:30.500, wait -',
  'the second does not slide it'
);
set local test.clock = '2026-11-26 14:17:30.4+00';
select is(
  pg_temp.told(consume_usage('text', 7, 'ada')), 'ok 5 hours 9/10 left 1, 09:17:30.500 to 14:17:30.500, wait -',
  'nor does one just before its end'
);
select is(pg_temp.state('ada'), '5 hours 9+0/10 26 09:17 to 26 14:17', 'current_usage shows what runs');
select is(
  pg_temp.told(consume_usage('text', 2, 'ada')), 'limit_reached 5 hours 9/10 left 1, 09:17:30.500 to 14:17:30.500, wait 1',
  'what does not fit waits for its end'
);
select throws_ok($$select enforce_usage('text', 2, 'ada')$$, 'PT429', null, 'as PT429: it is a matter of hours');
do $$ begin perform consume_usage('text', 1, 'ada'); end $$;
select is(
  pg_temp.told(consume_usage('text', 1, 'ada')), pg_temp.told(consume_usage('text', 1, 'ada', 'long')),
  'the plain refusal says what the long one says'
);

-- It ends by arithmetic, and stays closed until it is used.
set local test.clock = '2026-11-26 14:17:30.5+00';
select is(pg_temp.state('ada'), '5 hours 0+0/10 closed', 'at its end it is closed: no job has run');
set local test.clock = '2026-11-26 20:30:00+00';
select is(pg_temp.state('ada'), '5 hours 0+0/10 closed', 'and stays closed until it is used');
select is(
  pg_temp.told(consume_usage('text', 10, 'ada')), 'ok 5 hours 10/10 left 0, 20:30:00.000 to 01:30:00.000, wait -',
  'the next use opens another, from then on'
);
select results_eq(
  $$select period, used, "limit", period_start, period_end from usage_history where subject = 'ada' order by period_start$$,
  $$values ('5 hours', 10::bigint, 10::bigint, '2026-11-26 09:17:30.5+00'::timestamptz, '2026-11-26 14:17:30.5+00'::timestamptz),
    ('5 hours', 10::bigint, 10::bigint, '2026-11-26 20:30:00+00'::timestamptz, '2026-11-27 01:30:00+00'::timestamptz)$$,
  'usage_history has each window'
);
select results_eq(
  $$select metadata ->> 'period', counts_at from usage_events where subject = 'ada' and kind = 'open' order by at$$,
  $$values ('5 hours', '2026-11-26 09:17:30.5+00'::timestamptz), ('5 hours', '2026-11-26 20:30:00+00'::timestamptz)$$,
  'and the ledger says when each was opened'
);
select results_eq(
  $$select period, used, status, resets_at from usage_overview where subject = 'ada'$$,
  $$values ('5 hours', 10::bigint, 'at_limit', '2026-11-27 01:30:00+00'::timestamptz)$$,
  'usage_overview has the one that runs'
);
select results_eq(
  $$select period, threshold, period_start from usage_alerts where subject = 'ada' order by at, threshold$$,
  $$values ('5 hours', 80::bigint, '2026-11-26 09:17:30.5+00'::timestamptz), ('5 hours', 100, '2026-11-26 09:17:30.5+00'),
    ('5 hours', 80, '2026-11-26 20:30:00+00'), ('5 hours', 100, '2026-11-26 20:30:00+00')$$,
  'each has its alerts'
);

-- Holds.
set local test.clock = '2026-11-26 09:00:00+00';
insert into ids select 'hold', reservation_id from reserve_usage('text', 6, 'bob', '10 minutes');
select is(pg_temp.state('bob'), '5 hours 0+6/10 26 09:00 to 26 14:00', 'a hold opens it, too');
set local test.clock = '2026-11-26 09:10:00+00';
select is(pg_temp.state('bob'), '5 hours 0+0/10 26 09:00 to 26 14:00', 'one that expires leaves it open');
set local test.clock = '2026-11-26 09:20:00+00';
select is(
  pg_temp.told(commit_usage(pg_temp.id('hold'), 4)), 'ok 5 hours 4/10 left 6, 09:00:00.000 to 14:00:00.000, wait -',
  'a late commit counts in the window of its hold'
);
insert into ids select 'late', reservation_id from reserve_usage('text', 3, 'bob', '1 day');
set local test.clock = '2026-11-26 15:00:00+00';
insert into ids select 'use', event_id from consume_usage('text', 2, 'bob');
select is(
  pg_temp.told(commit_usage(pg_temp.id('late'), 5)), 'ok 5 hours 9/10 left 1, 09:00:00.000 to 14:00:00.000, wait -',
  'also when that is over'
);
select is(pg_temp.state('bob'), '5 hours 2+0/10 26 15:00 to 26 20:00', 'and not in the one that runs');
set local test.clock = '2026-11-26 20:00:00+00';
do $$ begin perform consume_usage('text', 8, 'bob'); end $$;
select is((refund_usage(pg_temp.id('use'), 1)).used, 8::bigint, 'a refund into a window that is over');
select is(
  (select string_agg(used::text, ' ' order by period_start) from usage_history where subject = 'bob'), '9 1 8',
  'gives back there'
);
set local test.clock = '2026-11-27 12:00:00+00';
select is((refund_usage(pg_temp.id('use'))).period_start, null, 'and so it does while the window is closed');
select is(
  (select string_agg(used::text, ' ' order by period_start) from usage_history where subject = 'bob'), '9 0 8', 'it stays closed'
);
select is_empty($$select * from verify_usage()$$, 'every number is proved');

-- Beside other limits.
set local test.clock = '2026-11-26 09:00:00+00';
select is((consume_usage('image', 10, 'cyd')).period, '5 hours', 'the limit with least room is shown');
select is((consume_usage('image', 1, 'cyd')).retry_after, 18000, 'the window refuses until its end');
set local test.clock = '2026-11-26 14:00:00+00';
do $$ begin perform consume_usage('image', 10, 'cyd'); end $$;
set local test.clock = '2026-11-26 20:00:00+00';
do $$ begin perform consume_usage('image', 10, 'cyd'); end $$;
select is(
  pg_temp.told(consume_usage('image', 1, 'cyd')), 'limit_reached month 30/30 left 0, 00:00:00.000 to 00:00:00.000, wait 360000',
  'when both refuse, the longer wait is told'
);
set local test.clock = '2026-11-27 08:00:00+00';
select is(
  pg_temp.told(check_usage('image', 1, 'cyd')), 'limit_reached month 30/30 left 0, 00:00:00.000 to 00:00:00.000, wait 316800',
  'a closed window refuses nothing'
);
select is(pg_temp.state('cyd', 'image'), '5 hours 0+0/10 closed, month 30+0/30 01 00:00 to 01 00:00', 'and is not opened by a refusal');
select is((consume_usage('image', 1, 'cyd')).allowed, false, 'of consume_usage');
select is(pg_temp.state('cyd', 'image'), '5 hours 0+0/10 closed, month 30+0/30 01 00:00 to 01 00:00', 'either');

-- Grants lift windows of days and months, not those of minutes and hours.
set local test.clock = '2026-11-26 09:00:00+00';
do $$ begin
  perform grant_usage('text', 100, 'dan'), grant_usage('image', 100, 'dan');
  perform consume_usage('text', 10, 'dan'), consume_usage('image', 10, 'dan');
  perform set_plan('eve', 'thirty');
  perform grant_usage('text', 7, 'eve');
end $$;
select is((consume_usage('text', 1, 'dan')).allowed, false, 'a grant lifts no window of hours');
select is((check_usage('text', 1, 'dan')).granted, 0::bigint, 'and does not show there');
set local test.clock = '2026-11-26 14:00:00+00';
do $$ begin perform consume_usage('image', 10, 'dan'); end $$;
set local test.clock = '2026-11-26 19:00:00+00';
do $$ begin perform consume_usage('image', 10, 'dan'); end $$;
set local test.clock = '2026-11-27 00:00:00+00';
select is((consume_usage('image', 5, 'dan')).allowed, true, 'the month is lifted');
select is(
  pg_temp.state('dan', 'image'), '5 hours 5+0/10 27 00:00 to 27 05:00, month 35+0/130 01 00:00 to 01 00:00',
  'and draws from the grant, the window does not'
);
select is((check_usage('image', 6, 'dan')).retry_after, 18000, 'which refuses until its end');
select is((consume_usage('text', 55, 'eve')).allowed, true, 'a window of 30 days is lifted');
select is((check_usage('text', 1, 'eve')).granted, 2::bigint, 'and shows what is left of the grant');
select is((select top_up from explain_usage('text', 5, 'eve') where source = 'plan'), 3::bigint, 'a top-up would help there');
select is((select max(top_up) from explain_usage('text', 5, 'dan') where source = 'plan'), null, 'and here would not');
select throws_ok($$select enforce_usage('text', 5, 'eve')$$, 'PT402', null, 'a window of days refuses with PT402');

-- Plans come and go.
set local test.clock = '2026-11-26 09:00:00+00';
do $$ begin perform consume_usage('text', 8, 'fay'), set_plan('fay', 'pro'); end $$;
select is(pg_temp.state('fay'), '5 hours 8+0/20 26 09:00 to 26 14:00', 'a plan that has the window too keeps it, with its use');
do $$ begin perform set_plan('gil', 'calendar'); end $$;
insert into ids select 'before', event_id from consume_usage('text', 8, 'gil');
do $$ begin perform set_plan('gil', 'free'); end $$;
select is(pg_temp.state('gil'), '5 hours 0+0/10 closed', 'a window that a plan brings is closed, whatever was used before');
select is((consume_usage('text', 10, 'gil')).used, 10::bigint, 'and counts from its first use, also at the very instant of the former');
select is((refund_usage(pg_temp.id('before'))).used, 10::bigint, 'whose refund gives nothing back in it');
set local test.clock = '2026-11-26 10:00:00+00';
do $$ begin perform set_plan('gil', 'calendar'); end $$;
set local test.clock = '2026-11-26 11:00:00+00';
do $$ begin perform consume_usage('text', 3, 'gil'), set_plan('gil', 'free'); end $$;
select is(pg_temp.state('gil'), '5 hours 13+0/10 26 09:00 to 26 14:00', 'one that runs goes on: leaving a plan and coming back opens none');
select is((select sum(used) from usage_breakdown('text', 'actor', 'gil'))::bigint, 13::bigint, 'usage_breakdown adds up to it');
select is_empty($$select * from usage_breakdown('text', 'actor', 'vic')$$, 'and has nothing of a closed one');
select is((select string_agg(period || ' ' || "limit", ', ') from plan_catalog where plan = 'free' and feature = 'text'), '5 hours 10', 'plan_catalog names it');
select is(
  (select string_agg(format('%s %s/%s', period, used, "limit"), ', ' order by period) from usage_history where subject = 'gil'),
  '5 hours 13/10, month 13/100', 'the history says the same'
);
do $$ begin perform set_plan('hal', 'thirty'), consume_usage('text', 4, 'hal'); end $$;
set local test.clock = '2026-11-27 11:00:00+00';
do $$ begin perform set_plan('hal', 'thirty', '2026-11-20 06:00:00+00', 'Asia/Tokyo'); end $$;
select is(pg_temp.state('hal'), '30 days 4+0/50 26 11:00 to 26 11:00', 'a moved anchor and zone leave an open window alone');
select is_empty($$select 1 from usage_events where subject = 'hal' and kind = 'carry'$$, 'nothing is carried');

-- Exceptions.
do $$ begin perform set_limit('ivy', 'text', '5 hours', 2), set_limit('ivy', 'text', '90 minutes', 1); end $$;
select is((consume_usage('text', 1, 'ivy')).allowed, true, 'an exception to a window, and one of its own');
select is(
  pg_temp.state('ivy'), '90 minutes 1+0/1 27 11:00 to 27 12:30, 5 hours 1+0/2 27 11:00 to 27 16:00', 'hold each'
);
select is((consume_usage('text', 1, 'ivy')).retry_after, 5400, 'the shorter refuses first');
do $$ begin perform clear_limit('ivy', 'text', '90 minutes'); end $$;
select is((consume_usage('text', 1, 'ivy')).used, 2::bigint, 'and is cleared');
select throws_ok($$select set_limit('ivy', 'text', '1 hours', 1)$$, 'QPLAN', null, 'a window has one spelling');
select throws_ok($$select set_limit('ivy', 'text', '5 hour', 1)$$, 'QPLAN', null, 'with the plural where it is one');
select throws_ok($$select set_limit('ivy', 'text', '05 hours', 1)$$, 'QPLAN', null, 'no zeros before');
select throws_ok($$select set_limit('ivy', 'text', '2 years', 1)$$, 'QPLAN', null, 'and no years');
select throws_ok($$select set_limit('ivy', 'seat', '5 hours', 1)$$, 'QPLAN', null, 'a gauge has none');

-- A fresh start by hand.
set local test.clock = '2026-11-26 09:00:00+00';
select is(
  (select row(allowed, amount, event_id)::text from reset_usage('text', 'joe', '5 hours')), '(t,0,)',
  'a closed window has nothing to start afresh'
);
insert into ids select 'reset', event_id from consume_usage('text', 9, 'joe');
set local test.clock = '2026-11-26 10:00:00+00';
select is((reset_usage('text', 'joe', '5 hours')).amount, 9::bigint, 'an open one is reset');
select is(pg_temp.state('joe'), '5 hours 0+0/10 26 09:00 to 26 14:00', 'and stays open, with nothing used');
do $$ begin perform consume_usage('text', 2, 'joe'), refund_usage(pg_temp.id('reset')); end $$;
select is(pg_temp.state('joe'), '5 hours 2+0/10 26 09:00 to 26 14:00', 'a refund of what was forgiven gives nothing back twice');
do $$ begin perform reset_usage('text', 'joe'); end $$;
select is(pg_temp.state('joe'), '5 hours 0+0/10 26 09:00 to 26 14:00', 'a reset of all periods is one of the window too');
select throws_ok($$select reset_usage('text', 'joe', '6 hours')$$, 'QPLAN', null, 'of a window that it does not have it is QPLAN');

-- A clock that steps back before the opening.
set local test.clock = '2026-11-26 09:00:00+00';
do $$ begin perform consume_usage('text', 6, 'kim'); end $$;
set local test.clock = '2026-11-26 08:59:00+00';
select is((check_usage('text', 5, 'kim')).allowed, false, 'a check before its opening finds it open');
select is((consume_usage('text', 5, 'kim')).allowed, false, 'a use too');
select is((consume_usage('text', 3, 'kim')).used, 9::bigint, 'and what fits counts in it');
select is(pg_temp.state('kim'), '5 hours 9+0/10 26 08:59 to 26 14:00', 'it ends when it would have');
set local test.clock = '2026-11-26 13:00:00+00';
select is((consume_usage('text', 2, 'kim')).allowed, false, 'also when the clock is right again');

-- Several at once.
do $$ begin perform consume_usage_batch('[{"feature": "text", "amount": 4}, {"feature": "image", "amount": 4}, {"feature": "text", "amount": 4}]', 'lea'); end $$;
select is(
  pg_temp.state('lea') || ' ' || pg_temp.state('lea', 'image'),
  '5 hours 8+0/10 26 13:00 to 26 18:00 5 hours 4+0/10 26 13:00 to 26 18:00, month 4+0/30 01 00:00 to 01 00:00', 'a batch opens them'
);
do $$ begin perform consume_usage_batch('[{"feature": "text", "amount": 4}, {"feature": "image", "amount": 11}]', 'mia'); end $$;
select is((check_usage('text', 1, 'mia')).period_start, null, 'and one that is refused does not');
select is((consume_usage('text', 15, 'mia', partial => true)).amount, 10::bigint, 'partial takes what fits in a closed one');

-- Days and months end at the same time on the wall.
set local test.clock = '2026-10-20 10:30:00+00';
do $$ begin
  perform set_plan('ned', 'thirty', null, 'Europe/Berlin'), set_plan('oda', 'thirty');
  perform consume_usage('text', 1, 'ned'), consume_usage('text', 1, 'oda');
end $$;
select is((check_usage('text', 1, 'ned')).resets_at, '2026-11-19 11:30:00+00'::timestamptz, '12:30 in Berlin, after summer time too');
select is((check_usage('text', 1, 'oda')).resets_at, '2026-11-19 10:30:00+00'::timestamptz, '10:30 in UTC');
set local test.clock = '2027-01-31 10:00:00+00';
do $$ begin perform consume_usage('image', 1, 'oda'); end $$;
select is((check_usage('image', 1, 'oda')).resets_at, '2027-02-28 10:00:00+00'::timestamptz, 'a month ends within the next one');
set local test.clock = '2027-02-28 10:00:00+00';
do $$ begin perform consume_usage('image', 1, 'oda'); end $$;
select is((check_usage('image', 1, 'oda')).resets_at, '2027-03-28 10:00:00+00'::timestamptz, 'and the next window begins where it is used');

-- Limits as objects.
do $$ begin perform apply_plans('{
  "features": {"text": {}, "image": {}, "seat": {"kind": "gauge"}},
  "plans": {
    "free": {"default": true, "upgrade_url": "/up", "limits": {
      "text": {"5 hours": 10}, "image": {"5 hours": 10, "month": 30}, "seat": {"lifetime": 3}
    }},
    "pro": {"limits": {"text": {"5 hours": {"limit": 4, "mode": "soft", "ceiling": 6}}}},
    "calendar": {"limits": {"text": {"month": 100}, "image": {"month": 30}}},
    "thirty": {"limits": {"text": {"30 days": 50}, "image": {"1 month": 5}}},
    "gentle": {"limits": {"text": {"5 hours": {"limit": 2, "mode": "shadow"}, "2 days": {"limit": 3, "grace": "1 hour"}}}}
  }
}'); end $$;
set local test.clock = '2026-11-26 09:00:00+00';
do $$ begin perform set_plan('ray', 'pro'), set_plan('sue', 'gentle'); end $$;
select is((consume_usage('text', 5, 'ray')).reason, 'over_limit', 'a soft window lets pass what goes over it');
select is((consume_usage('text', 2, 'ray')).allowed, false, 'up to its ceiling');
select is((select over from usage_history where subject = 'ray'), 1::bigint, 'and its history says how much');
set local test.clock = '2026-11-26 14:00:00+00';
select is((consume_usage('text', 4, 'ray')).reason, 'ok', 'the next one has nothing over');
set local test.clock = '2026-11-26 09:00:00+00';
select is((consume_usage('text', 3, 'sue')).reason, 'ok', 'a window in shadow refuses nobody');
select is(
  (select string_agg(format('%s %s %s', o.period, o.units, o.mode), ', ') from quota.overages as o where o.subject_id = 'sue'),
  '5 hours 1 shadow', 'and notes whom it would have'
);
select is((consume_usage('text', 1, 'sue')).reason, 'over_limit', 'a window of days has its grace');
set local test.clock = '2026-11-26 10:30:00+00';
select is((consume_usage('text', 1, 'sue')).retry_after, 167400, 'which ends, and it refuses until its end');
set local test.clock = '2026-11-28 09:00:00+00';
select is((consume_usage('text', 4, 'sue')).reason, 'over_limit', 'the next window has its own');
select is_empty($$select * from verify_usage()$$, 'every number is proved');
select throws_ok(
  $$select apply_plans('{"features": {"text": {}}, "plans": {"p": {"limits": {"text": {"30 days": {"limit": 5, "rollover": 2}}}}}}', true)$$,
  'QPLAN', null, 'nothing of a window rolls over'
);
select throws_ok(
  $$select apply_plans('{"features": {"text": {}}, "plans": {"p": {"limits": {"text": {"5 hours": {"limit": 5, "grace": "1 hour"}}}}}}', true)$$,
  'QPLAN', null, 'and one of hours has no grace'
);
select throws_ok(
  $$select apply_plans('{"features": {"text": {}}, "plans": {"p": {"limits": {"text": {"5 hour": 5}}}}}', true)$$,
  'QPLAN', null, 'a plan document has the one spelling'
);

-- What was counted elsewhere opens none, and counts in one that holds it.
set local test.clock = '2026-11-26 09:00:00+00';
do $$ begin perform consume_usage('text', 1, 'pia'); end $$;
set local test.clock = '2026-11-26 10:00:00+00';
reset role;
select is(
  (select string_agg(action, ' ' order by "row") from quota.import_usage('[
    {"subject": "pia", "feature": "text", "amount": 3, "period_start": "2026-11-26T09:30:00Z"},
    {"subject": "pia", "feature": "text", "amount": 5, "period_start": "2026-11-26T08:30:00Z"},
    {"subject": "pia", "feature": "text", "amount": 5, "period": "5 hours", "period_start": "2026-11-26T07:00:00Z"},
    {"subject": "qua", "feature": "text", "amount": 5, "period_start": "2026-11-26T09:59:00Z"}]')),
  'import import reject import', 'use of before is brought in'
);
set local role service_role;
select is(pg_temp.state('pia'), '5 hours 4+0/10 26 09:00 to 26 14:00', 'and counts in the window that holds its instant');
select is(pg_temp.state('qua'), '5 hours 0+0/10 closed', 'and opens none');
select is((consume_usage('text', 10, 'qua')).used, 10::bigint, 'nor does it count in one that is opened later');
select is_empty($$select * from verify_usage()$$, 'every number is proved');

-- A followed plan column shows the new limit of an open window at once.
reset role;
create table public.accounts (id text primary key, plan text);
alter table public.accounts enable row level security;
revoke all on public.accounts from anon, authenticated;
insert into public.accounts values ('tom', 'free');
do $$ begin
  perform quota.follow_plan('public.accounts', 'id', 'plan');
  perform consume_usage('text', 3, 'tom');
  update public.accounts set plan = 'pro';
end $$;
select results_eq(
  $$select period, used, "limit" from usage_overview where subject = 'tom'$$, $$values ('5 hours', 3::bigint, 4::bigint)$$,
  'a followed plan column shows the new limit of an open window at once'
);

-- Ties of least room show the longest period, the long way and the short.
do $$ begin perform set_limit('uma', 'text', 'hour', 10), set_limit('uma', 'text', '5 minutes', 10); end $$;
do $$ begin perform set_limit('uma', 'text', '5 hours', 99); end $$;
select is((consume_usage('text', 1, 'uma')).period, 'hour', 'an hour is longer than five minutes');
select is((consume_usage('text', 1, 'uma')).period, 'hour', 'the short way, too');

-- What was held in the instant of the opening counts in it, also by what the meter remembers of it.
do $$ begin perform set_plan('val', 'calendar'), reserve_usage('image', 3, 'val'), set_plan('val', 'free'); end $$;
select is(pg_temp.told(consume_usage('image', 2, 'val')),
  format('ok 5 hours 2/10 left 5, %1$s to %2$s, wait -', to_char(quota.clock() at time zone 'UTC', 'HH24:MI:SS.MS'),
    to_char((quota.clock() + interval '5 hours') at time zone 'UTC', 'HH24:MI:SS.MS')), 'told to the call that opened it');
select is((check_usage('image', 6, 'val')).reason, (select case when bool_or(refuses) then 'limit_reached' end from explain_usage('image', 6, 'val')),
  'a look remembers what was held');
select is((consume_usage('image', 6, 'val')).reason, 'limit_reached', 'a use, too');

-- The proof of a window is the ledger's.
reset role;
update quota.counters set period_start = period_start + interval '1 minute' where subject_id = 'ned' and period = '30 days';
select results_eq(
  $$select period, counted, ledger from verify_usage('ned') order by period, counted$$,
  $$values ('30 days', 1::bigint, 0::bigint), ('window', 0, 1), ('window', 1, 0)$$, 'a window that was moved is found'
);
delete from quota.counters where subject_id = 'fay' and period = '5 hours';
select results_eq(
  $$select period, counted, ledger from verify_usage('fay')$$, $$values ('window', 0::bigint, 1::bigint)$$, 'one that was lost'
);
insert into quota.counters (subject_id, feature_id, period, period_start, period_end, used_before, reserved_before, drawn_before, used, reserved, drawn)
  values ('pia', 'text', '1 day', '2026-11-01 00:00+00', '2026-11-02 00:00+00', 0, 0, 0, 0, 0, 0);
select results_eq(
  $$select period, counted, ledger from verify_usage('pia')$$, $$values ('window', 1::bigint, 0::bigint)$$, 'and one that nobody opened'
);
select is((forget_subject('pia') > 0), true, 'and who is forgotten');
select is_empty($$select 1 from quota.counters where subject_id = 'pia'$$, 'has none');

-- Nothing is crossed in one that is closed, also where its limit is 0.
do $$ begin perform consume_usage('image', 1, 'zoe'); perform set_limit('zoe', 'image', '7 days', 0); end $$;
select lives_ok($$select reset_usage('image', 'zoe', 'month')$$, 'a closed window of nothing stands in nobody''s way');

select * from finish();
rollback;
