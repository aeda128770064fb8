-- What attacks on levels and caps have found: calls that failed, numbers that were told twice, what others saw.
begin;
select set_config('search_path', 'public, ' || pronamespace::regnamespace, true) from pg_proc where proname = 'pgtap_version';
set local timezone = 'UTC';
select plan(41);

create or replace function quota.clock()
returns timestamptz language plpgsql set search_path = pg_catalog, pg_temp
as $$ begin return current_setting('test.clock', true); end $$;
set local test.clock = '2026-09-15 12:00:00+00';
do $$ begin perform apply_plans('{
  "features": {"credit": {}, "image": {"costs": {"credit": 10}}, "export": {}},
  "plans": {
    "bare": {"limits": {}},
    "team": {"limits": {"credit": {"month": 50}, "export": {"month": 5}}},
    "capped": {"limits": {"credit": {"month": 100}}, "per_member": {"credit": {"month": 40}}},
    "open": {"limits": {"credit": {"month": 100}}}
  }
}'); end $$;
create function pg_temp.told(p public.usage_decision)
returns text language sql as $$
  select row(p.allowed, p.limiting_subject, p.limiting_member, p.used, p.reserved, p."limit")::text
$$;
create function pg_temp.cap(p_subject text, p_member text)
returns text language sql as $$
  select concat_ws(' ', used, reserved, "limit") from current_usage where subject = p_subject and member = p_member
$$;
grant usage on schema quota to service_role;

-- A level on top whose plan does not name what a level below does.
do $$ begin
  perform set_plan('top', 'bare'), set_plan('below', 'team'), set_parent('below', 'top');
end $$;
set local role service_role;
select is(pg_temp.told(consume_usage('export', 1, 'below')), '(t,below,,1,0,5)', 'a level above that does not name the feature counts, and does not limit');
select is(pg_temp.told(consume_usage('image', 1, 'below')), '(t,below,,10,0,50)', 'nor does it of what it costs');
select is((reserve_usage('export', 1, 'below')).allowed, true, 'nor for a hold');
select is((select bool_and(b.allowed) from consume_usage_batch('[{"feature": "export"}, {"feature": "image"}]', 'below') as b), true, 'nor in a batch');
do $$ begin perform set_plan('top', 'open'), set_plan('top', 'bare'); end $$;
select is((consume_usage('export', 1, 'below')).allowed, true, 'nor when it named it once');

-- A cap that comes later, before any call has met it: what has expired is no hold, what was drawn lifts nothing.
do $$ begin
  perform set_plan('acme', 'open');
  perform consume_usage('credit', 3, 'acme', actor => 'ada');
  perform reserve_usage('credit', 9, 'acme', '1 minute', actor => 'ada');
  perform grant_usage('credit', 30, 'acme');
  perform consume_usage('credit', 100, 'acme', actor => 'eve');
  perform set_limit('acme', 'credit', 'month', 20, member => 'ada'), set_limit('acme', 'credit', 'month', 110, member => 'eve');
end $$;
select is(pg_temp.cap('acme', 'ada'), '3 9 20', 'a cap shows what its member holds');
set local test.clock = '2026-09-15 12:02:00+00';
select is(pg_temp.cap('acme', 'ada'), '3 0 20', 'and no more when that has expired');
select is(pg_temp.cap('acme', 'eve'), '100 0 110', 'a grant that was drawn does not lift it');
select is(pg_temp.told(consume_usage('credit', 11, 'acme', actor => 'eve')), '(f,acme,eve,100,0,110)', 'as a call says');

-- A member whose use no cap has counted becomes one whose cap has.
do $$ begin
  perform set_plan('corp', 'open');
  perform consume_usage('credit', 30, 'corp', actor => 'visitor');
  perform set_plan('corp', 'capped');
  perform consume_usage('credit', 5, 'corp', actor => 'user');
  perform merge_subjects('visitor', 'user');
end $$;
select is(pg_temp.told(consume_usage('credit', 6, 'corp', actor => 'user')), '(f,corp,user,35,0,40)', 'what the old name used is in the cap of the account');
do $$ begin perform merge_subjects('user', 'final'); end $$;
select is(pg_temp.told(consume_usage('credit', 6, 'corp', actor => 'visitor')), '(f,corp,final,35,0,40)', 'over two merges, too');
select is_empty($$ select * from verify_usage() $$, 'all of it is proved');

-- A cap that lapses and comes back knows what was used meanwhile.
create function pg_temp.credits(p_subject text, p_amount bigint)
returns text language sql as $$ select pg_temp.told(consume_usage('credit', p_amount, p_subject, actor => 'ada')) $$;
do $$ begin
  perform set_plan('lapse', 'capped');
  perform consume_usage('credit', 10, 'lapse', actor => 'ada');
  perform set_plan('lapse', 'open');
  perform consume_usage('credit', 1, 'lapse');
end $$;
select is(pg_temp.credits('lapse', 20), '(t,lapse,,31,0,100)', 'without the plan''s cap there is none');
select is((select count(*) from usage_breakdown('credit', 'actor', 'lapse')), 2::bigint, 'and what was used is told');
do $$ begin perform set_plan('lapse', 'capped'); end $$;
select is(pg_temp.cap('lapse', 'ada'), '30 0 40', 'when it comes back, all that was used counts');
select is(pg_temp.credits('lapse', 11), '(f,lapse,ada,30,0,40)', 'in a call, too');
do $$ begin
  perform set_plan('lapse', 'open');
  perform set_limit('lapse', 'credit', 'month', 32, '2026-09-15 13:00Z', member => 'ada');
  perform consume_usage('credit', 1, 'lapse', actor => 'ada');
  perform set_config('test.clock', '2026-09-15 14:00:00+00', true);
  perform consume_usage('credit', 5, 'lapse', actor => 'ada'), set_limit('lapse', 'credit', 'month', 40, member => 'ada');
end $$;
select is(pg_temp.credits('lapse', 5), '(f,lapse,ada,36,0,40)', 'an exception that ended and comes back, as well');
do $$ begin perform clear_limit('lapse', 'credit', 'month', member => 'ada'); end $$;
reset role;
do $$ begin perform quota.tidy(); end $$;
select is((select count(*) from quota.caps where subject_id = 'lapse'), 0::bigint, 'tidy() ends a cap that limits nothing');
set local role service_role;
do $$ begin
  perform consume_usage('credit', 1, 'lapse', actor => 'ada'), set_limit('lapse', 'credit', 'month', 40, member => 'ada');
end $$;
select is(pg_temp.credits('lapse', 4), '(f,lapse,ada,37,0,40)', 'which is begun anew when it comes back');
select is_empty($$ select * from verify_usage() $$, 'all of it is proved');

-- Who sees the cap that a member was given.
do $$ begin perform add_member('acme', 'ada'), add_member('acme', 'bob'); end $$;
reset role;
create function pg_temp.limits_seen(p_user text)
returns text language plpgsql as $$
declare v text;
begin
  perform set_config('request.jwt.claims', json_build_object('sub', p_user)::text, true);
  set local role authenticated;
  select string_agg(concat_ws(' ', actor, metadata ->> 'limit'), ', ' order by actor) into v
    from usage_events where subject = 'acme' and kind = 'limit';
  reset role;
  return v;
end $$;
select is(pg_temp.limits_seen('ada'), 'ada 20', 'its own cap stands in the ledger that a member reads');
select is(pg_temp.limits_seen('bob'), null, 'nobody else''s does');
select is(pg_temp.limits_seen('acme'), 'ada 20, eve 110', 'the organisation reads all');
create or replace function quota.sees_members(p_user_id text, p_subject_id text)
returns boolean language plpgsql stable set search_path = pg_catalog, pg_temp
as $$ begin return p_user_id = 'bob' or null; end $$;
select is(pg_temp.limits_seen('bob'), 'ada 20, eve 110', 'and an owner, as the app says');
set local role service_role;
select is((select count(*) from usage_events where subject = 'acme' and kind = 'limit'), 2::bigint, 'as does a server');

-- What was counted elsewhere, by whom.
reset role;
do $$ begin
  perform set_plan('moved', 'capped'), add_member('moved', 'bob');
  perform consume_usage('credit', 2, 'moved', actor => 'ada');
end $$;
create function pg_temp.brought(p_rows jsonb)
returns text language sql as $$ select string_agg(concat_ws(' ', action, problem), ', ' order by "row") from quota.import_usage(p_rows) $$;
select is(
  pg_temp.brought('[
    {"subject": "moved", "feature": "credit", "amount": 30, "period_start": "2026-09-01T00:00:00Z", "actor": "ada"},
    {"subject": "moved", "feature": "credit", "amount": 5, "period_start": "2026-09-01T00:00:00Z", "actor": "bob"},
    {"subject": "moved", "feature": "credit", "amount": 7, "period_start": "2026-09-01T00:00:00Z", "actor": "moved"}
  ]'), 'import, import, import', 'rows of several users and one month are several'
);
select is(
  pg_temp.brought('[
    {"subject": "moved", "feature": "credit", "amount": 30, "period_start": "2026-09-01T00:00:00Z", "actor": "ada"},
    {"subject": "moved", "feature": "credit", "amount": 7, "period_start": "2026-09-01T00:00:00Z"}
  ]'), 'skip, skip', 'known when they come again; who acts for itself is nobody else'
);
select is(
  (select count(*) from quota.import_usage(jsonb_build_array(
    '{"subject": "moved", "feature": "credit", "amount": 1, "period_start": "2026-09-01T00:00:00Z", "actor": ""}'::jsonb,
    jsonb_build_object('subject', 'moved', 'feature', 'credit', 'amount', 1, 'period_start', '2026-09-01T00:00:00Z', 'actor', 'a' || chr(31)),
    '{"subject": "moved", "feature": "credit", "amount": 1, "period_start": "2026-09-01T00:00:00Z", "actor": ["x"]}'::jsonb
  )) as i where i.action = 'reject' and i.problem like 'actor %'), 3::bigint, 'an actor has a name'
);
select is(pg_temp.cap('moved', 'ada') || ', ' || pg_temp.cap('moved', 'bob'), '32 0 40, 5 0 40', 'each cap shows it');
set local role service_role;
select is(pg_temp.told(consume_usage('credit', 9, 'moved', actor => 'ada')), '(f,moved,ada,32,0,40)', 'and counts it');
select is((select string_agg(concat_ws(' ', value, used), ', ') from usage_breakdown('credit', 'actor', 'moved')), 'ada 32, 7, bob 5', 'a breakdown tells it');
select is_empty($$ select * from verify_usage() $$, 'all of it is proved');

-- Alerts: the organisation's, with the member named.
reset role;
do $$ begin
  perform set_plan('told', 'capped');
  perform add_member('told', 'ada'), add_member('told', 'bob');
end $$;
create function pg_temp.alerts_seen(p_user text)
returns text language plpgsql as $$
declare v text;
begin
  perform set_config('request.jwt.claims', json_build_object('sub', p_user)::text, true);
  set local role authenticated;
  select string_agg(concat_ws(' ', subject, member, period, threshold, used, "limit"), ', ' order by member nulls first, threshold) into v
    from usage_alerts where subject = 'told';
  reset role;
  return v;
end $$;
create or replace function quota.sees_members(p_user_id text, p_subject_id text)
returns boolean language plpgsql stable set search_path = pg_catalog, pg_temp
as $$ begin return p_user_id = p_subject_id; end $$;
do $$ begin
  perform consume_usage('image', 3, 'told', actor => 'ada'), consume_usage('credit', 2, 'told', actor => 'ada');
  perform consume_usage('credit', 33, 'told', actor => 'bob'), consume_usage('credit', 1, 'told', actor => 'bob');
end $$;
select is(pg_temp.alerts_seen('ada'), 'told ada month 80 32 40', 'a member is told of its own cap, when its mark is crossed');
do $$ begin
  perform consume_usage('credit', 6, 'told', actor => 'bob'), refund_usage((consume_usage('credit', 8, 'told', actor => 'ada')).event_id);
  perform consume_usage('credit', 8, 'told', actor => 'ada');
end $$;
select is(pg_temp.alerts_seen('ada'), 'told month 80 80 100, told month 80 80 100, told ada month 80 32 40, told ada month 100 40 40, told ada month 100 40 40', 'again after use fell below it, beside the organisation''s');
select is(pg_temp.alerts_seen('bob'), 'told month 80 80 100, told month 80 80 100, told bob month 80 33 40, told bob month 100 40 40', 'another of its own');
select is(
  pg_temp.alerts_seen('told'),
  'told month 80 80 100, told month 80 80 100, told ada month 80 32 40, told ada month 100 40 40, told ada month 100 40 40, told bob month 80 33 40, told bob month 100 40 40',
  'the organisation of all'
);
select is(pg_temp.alerts_seen('eve'), null, 'and a stranger of none');
set local role service_role;
select is((select string_agg(member, ' ' order by member) from deliver_alerts(1000) where subject = 'told'), 'ada ada ada bob bob', 'they are handed out');
do $$ begin perform forget_subject('ada'); end $$;
select is((select string_agg(member, ' ' order by member) from usage_alerts where subject = 'told'), 'bob bob', 'and forgotten with the member');
do $$ begin perform merge_subjects('bob', 'bert'); end $$;
select is((select count(*) from usage_alerts where subject = 'told' and member is not null), 0::bigint, 'or with the old name of one that was merged');
select is_empty($$ select * from verify_usage() $$, 'all of it is proved');
reset role;
select * from finish();
rollback;
