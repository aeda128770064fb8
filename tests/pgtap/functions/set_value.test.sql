-- set_value(): one subject's own switch or value, in place of its plan's.
begin;
select set_config('search_path', 'public, ' || pronamespace::regnamespace, true) from pg_proc where proname = 'pgtap_version';
set local timezone = 'UTC';
select plan(46);

create or replace function quota.clock()
returns timestamptz language plpgsql set search_path = pg_catalog, pg_temp
as $$ begin return current_setting('test.clock', true); end $$;
set local test.clock = '2026-01-15 12:00:00+00';

do $$ begin perform apply_plans('{
  "features": {"ai_generation": {}, "sso": {"kind": "switch"}, "max_context": {"kind": "value"}},
  "plans": {
    "free": {"default": true, "upgrade_url": "/up", "limits": {"ai_generation": {"month": 5}}, "values": {"max_context": 8000}},
    "pro": {"limits": {"ai_generation": {"month": 9}}, "values": {"sso": true, "max_context": 200000}},
    "team": {"limits": {}, "values": {"sso": true}},
    "inner": {"limits": {}, "hidden": true, "values": {"sso": true}}
  }
}'); end $$;

create function pg_temp.of(p_subject text, p_feature text default 'sso') returns text language sql as $$
  select row(e.enabled, e.value)::text from public.entitlements as e where e.subject = p_subject and e.feature = p_feature
$$;
create function pg_temp.check(p_subject text, p_feature text default 'sso') returns text language sql as $$
  select row(allowed, reason, plan, used, "limit", remaining, unlimited, period, retry_after)::text
  from public.check_usage(p_feature, 1, p_subject)
$$;
create function pg_temp.why(p_subject text, p_feature text default 'sso') returns text[] language sql as $$
  select array_agg(row(period, source, "limit", unlimited, resets_at, refuses, retry_after, plans)::text)
  from public.explain_usage(p_feature, 1, p_subject)
$$;

-- Who may.
set local role authenticated;
set local request.jwt.claims = '{"sub": "ada", "role": "authenticated"}';
select throws_ok($$select set_value('ada', 'sso', 'true')$$, '42501', null, 'a user cannot switch on for itself');
select throws_ok($$select quota.set_value('ada', 'sso', 'true', null)$$, '42501', null, 'nor by the private function');
select throws_ok(
  $$insert into quota.overrides (subject_id, feature_id, value) values ('ada', 'sso', 'true')$$, '42501', null, 'nor past it'
);
select throws_ok($$select 1 from quota.overrides$$, '42501', null, 'it reads the view, not the table');
set local role anon;
select throws_ok($$select set_value('ada', 'sso', 'true')$$, '42501', null, 'anon may not call it');
select throws_ok($$select 1 from entitlements$$, '42501', null, 'nor read the view');
set local role service_role;
select is((select count(*) from entitlements), 0::bigint, 'none of it has changed anything');

-- On what the plan says.
select is(pg_temp.check('ada'), '(f,feature_not_in_plan,free,0,0,0,f,,)', 'what the plan lacks is off');
select is(pg_temp.check('ada', 'max_context'), '(t,ok,free,0,,,t,,)', 'what it has is on, in any amount');
select is(
  pg_temp.why('ada'), array['(,plan,0,f,,t,,"{team,pro}")'], 'and explained: which plans have it, smallest first, none that is hidden'
);
select is(pg_temp.why('ada', 'max_context'), array['(,plan,,t,,f,,)'], 'where it is there nothing refuses');

-- On, off, ended.
select lives_ok($$select set_value('ada', 'sso', 'true')$$, 'it is switched on for one');
select is(pg_temp.of('ada'), '(t,true)', 'and is on at once');
select is(pg_temp.check('ada'), '(t,ok,free,0,,,t,,)', 'check_usage says so');
select is(pg_temp.why('ada'), array['(,exception,,t,,f,,)'], 'explain_usage too, and where it comes from');
select is(pg_temp.check('bob'), '(f,feature_not_in_plan,free,0,0,0,f,,)', 'for nobody else');
do $$ begin perform set_plan('ada', 'pro'); perform set_value('ada', 'sso', 'false', '2026-01-15 13:00:00+00'); end $$;
select is(pg_temp.of('ada'), '(f,false)', 'off is an override, too');
select is(pg_temp.check('ada'), '(f,feature_not_in_plan,pro,0,0,0,f,,3600)', 'its end is the wait');
select is(
  pg_temp.why('ada'), array['(,exception,0,f,"2026-01-15 13:00:00+00",t,3600,{})'],
  'and no plan helps against it'
);
set local test.clock = '2026-01-15 12:59:59.999+00';
select is(pg_temp.of('ada'), '(f,false)', 'it holds to the last moment');
set local test.clock = '2026-01-15 13:00:00+00';
select is(pg_temp.of('ada'), '(t,true)', 'and ends by itself: the plan''s holds again');
select is(pg_temp.check('ada'), '(t,ok,pro,0,,,t,,)', 'for check_usage, too');
select lives_ok($$select set_value('ada', 'max_context', '0')$$, '0 is a value');
select is(pg_temp.of('ada', 'max_context'), '(t,0)', 'and is there');
select lives_ok($$select set_value('ada', 'max_context', 'false')$$, 'so is false');
select is(pg_temp.of('ada', 'max_context'), '(t,false)', 'of a value that is no switch');
select lives_ok($$select set_value('ada', 'max_context', '""')$$, 'so is the empty text');
select is(pg_temp.of('ada', 'max_context'), '(t,"""""")', 'which is there');
select lives_ok($$select set_value('ada', 'max_context', '{"tokens": [1, 2]}', '2026-02-01')$$, 'so is any JSON');
select is(pg_temp.of('ada', 'max_context'), '(t,"{""tokens"": [1, 2]}")', 'as it was written');
select lives_ok($$select set_value('ada', 'max_context', '5')$$, 'set again without an end');
set local test.clock = '2026-03-01 00:00:00+00';
select is(pg_temp.of('ada', 'max_context'), '(t,5)', 'it has none');
select lives_ok($$select set_value('ada', 'max_context', null)$$, 'null takes it off');
select is(pg_temp.of('ada', 'max_context'), '(t,200000)', 'and the plan''s holds');
select lives_ok($$select set_value('ada', 'max_context', 'null')$$, 'what is not set can be taken off, and JSON''s null is null');
select is(
  (select array_agg(metadata::text order by metadata::text collate "C") from usage_events where subject = 'ada' and kind = 'value'),
  array[
    '{"value": "", "ends_at": null, "feature": "max_context"}',
    '{"value": 0, "ends_at": null, "feature": "max_context"}',
    '{"value": 5, "ends_at": null, "feature": "max_context"}',
    '{"value": false, "ends_at": "2026-01-15T13:00:00+00:00", "feature": "sso"}',
    '{"value": false, "ends_at": null, "feature": "max_context"}',
    '{"value": null, "ends_at": null, "feature": "max_context"}',
    '{"value": true, "ends_at": null, "feature": "sso"}',
    '{"value": {"tokens": [1, 2]}, "ends_at": "2026-02-01T00:00:00+00:00", "feature": "max_context"}'
  ], 'the ledger has a line for each change, and for nothing else'
);

-- A plan that ends brings what the default plan says.
do $$ begin perform set_plan('cid', 'free', ends_at => '2026-03-02'); end $$;
select is(pg_temp.check('cid'), '(f,feature_not_in_plan,free,0,0,0,f,,)', 'no wait helps where the next plan lacks it');
reset role;
do $$ begin
  update quota.plans set is_default = false where is_default;
  update quota.plans set is_default = true where plan_id = 'team';
end $$;
set local role service_role;
select is(pg_temp.check('cid'), '(f,feature_not_in_plan,free,0,0,0,f,,86400)', 'where it has it, the plan''s end is the wait');
set local test.clock = '2026-03-02 00:00:00+00';
select is(pg_temp.of('cid'), '(t,true)', 'and then it is there');
select is(
  (select array_agg(feature order by feature) from entitlements where subject = 'cid' and not enabled), array['max_context'],
  'and what that plan lacks is gone'
);

-- Nothing of it is counted.
reset role;
select is((select count(*) from quota.meters), 0::bigint, 'no call about them has made a meter');
select is((select count(*) from verify_usage()), 0::bigint, 'and the sums are right');

-- tidy() and forget_subject().
do $$ begin perform set_value('ada', 'sso', 'false', '2026-03-03'); end $$;
set local test.clock = '2026-04-02 23:00:00+00';
do $$ begin perform quota.tidy(); end $$;
select is((select count(*) from quota.overrides), 1::bigint, 'an override that has ended is kept for 31 days');
set local test.clock = '2026-04-04 00:00:00+00';
do $$ begin perform quota.tidy(); end $$;
select is((select count(*) from quota.overrides), 0::bigint, 'and is then tidied away');
do $$ begin perform set_value('ada', 'sso', 'true'); perform forget_subject('ada'); end $$;
select is((select count(*) from quota.overrides), 0::bigint, 'who is forgotten has none of its own');
select is((select count(*) from quota.events where subject_id = 'ada'), 0::bigint, 'nor lines that tell of it');

select * from finish();
rollback;
