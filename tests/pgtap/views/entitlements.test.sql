-- entitlements: what somebody has without its being counted, for who may see it; and what is hidden from users.
begin;
select set_config('search_path', 'public, ' || pronamespace::regnamespace, true) from pg_proc where proname = 'pgtap_version';
set local timezone = 'UTC';
select plan(29);

create or replace function quota.clock()
returns timestamptz language plpgsql set search_path = pg_catalog, pg_temp
as $$ begin return current_setting('test.clock', true); end $$;
set local test.clock = '2026-01-15 12:00:00+00';

do $$ begin
  perform apply_plans('{
    "features": {
      "ai_generation": {"name": "AI generations", "server_only": true}, "secret": {"hidden": true},
      "sso": {"kind": "switch", "name": "Single sign-on"}, "beta": {"kind": "switch", "hidden": true},
      "max_context": {"kind": "value", "name": "Context", "unit": "token"}
    },
    "plans": {
      "free": {"name": "Free", "default": true, "limits": {"ai_generation": {"month": 5}, "secret": {"month": 5}},
        "values": {"max_context": 8000, "beta": true}},
      "team": {"limits": {}, "values": {"sso": true, "max_context": 200000}},
      "inner": {"limits": {"ai_generation": {"month": null}}, "hidden": true, "values": {"sso": true}}
    }
  }');
  perform set_plan('acme', 'team');
  perform set_plan('other', 'inner');
  perform add_member('acme', 'ada');
  perform add_member('other', 'bob');
  perform set_value('ada', 'sso', 'true', '2026-01-16');
  perform set_value('ada', 'beta', 'false');
  perform consume_usage('secret', 5, 'ada');
  perform consume_usage('ai_generation', 5, 'ada');
end $$;

create function pg_temp.seen(p_relation text) returns text[] language plpgsql as $$
declare
  v_seen text[];
begin
  execute format('select array_agg(distinct feature order by feature) from %s', p_relation) into v_seen;
  return v_seen;
end $$;
create function pg_temp.rows() returns text[] language sql as $$
  select array_agg(row(subject, feature, kind, enabled, value)::text order by subject, feature) from public.entitlements
$$;

-- Who sees what.
set local role authenticated;
set local request.jwt.claims = '{"sub": "ada", "role": "authenticated"}';
select is(
  pg_temp.rows(),
  array['(acme,max_context,value,t,200000)', '(acme,sso,switch,t,true)', '(ada,max_context,value,t,8000)', '(ada,sso,switch,t,true)'],
  'a member reads its own and those of its organisation, by the plan or the override of each'
);
set local test.clock = '2026-01-16 00:00:00+00';
select is(
  (select row(enabled, value)::text from entitlements where subject = 'ada' and feature = 'sso'), '(f,)',
  'an override that has ended shows no more; what the plan lacks is a row, too'
);
set local test.clock = '2026-01-15 12:00:00+00';
select is_empty($$select 1 from entitlements where subject in ('bob', 'other')$$, 'nobody else''s');
select is_empty(
  $$select 1 from quota.entitlements_shown('other', '2026-01-15')$$, 'nor by the private function'
);
select is_empty(
  $$select 1 from entitlements where subject = 'other' and 1 / (case when enabled then 0 else 1 end) > 0$$,
  'a filter that fails tells nothing of others'
);
select throws_ok($$delete from entitlements$$, '55000', null, 'nothing can be written through it');
select is(
  (select count(*) from check_usage('sso', 1, 'acme') where allowed), 1::bigint, 'a member asks check_usage for its organisation'
);
select throws_ok($$select check_usage('sso', 1, 'other')$$, '42501', null, 'and for no other');
set local request.jwt.claims = '{"sub": "eve", "role": "authenticated"}';
select is(
  pg_temp.rows(), array['(eve,max_context,value,t,8000)', '(eve,sso,switch,f,)'], 'who was never seen has the default plan''s'
);
set local request.jwt.claims = '{"role": "authenticated"}';
select is(pg_temp.rows(), null, 'nobody in particular has none');
set local request.jwt.claims = '';
select is(pg_temp.rows(), null, 'nor has who brings no claims');
set local role service_role;
select is(
  (select array_agg(row(subject, feature, enabled, value)::text order by subject, feature collate "C") from entitlements where subject in ('ada', 'other')),
  array['(ada,beta,f,false)', '(ada,max_context,t,8000)', '(ada,sso,t,true)',
    '(other,beta,f,)', '(other,max_context,f,)', '(other,sso,t,true)'],
  'the server reads all, hidden ones too'
);

-- Hidden: in no view of users, for the server in all.
set local role authenticated;
set local request.jwt.claims = '{"sub": "ada", "role": "authenticated"}';
select is(pg_temp.seen('current_usage'), array['ai_generation'], 'a user does not see a hidden feature in current_usage');
select is(pg_temp.seen('usage_history'), array['ai_generation'], 'nor in usage_history');
select is(pg_temp.seen('usage_alerts'), array['ai_generation'], 'nor in usage_alerts');
select is(
  pg_temp.seen('usage_events where feature is not null'), array['ai_generation'], 'nor in usage_events'
);
select is(
  (select array_agg(distinct metadata ->> 'feature') from usage_events where kind = 'value'), array['sso'],
  'where a hidden switch is changed'
);
select is(
  (select count(*) from usage_events where kind = 'plan' and subject = 'acme'), 1::bigint, 'lines that name no feature stay'
);
select is(
  (select row(allowed, used, "limit")::text from consume_usage('secret', 1)), '(f,5,5)', 'its use counts all the same'
);
select is(
  (select array_agg(distinct p) from explain_usage('ai_generation') as x, unnest(x.plans) as p), null,
  'a hidden plan is not offered'
);
set local role service_role;
select is(pg_temp.seen('current_usage'), array['ai_generation', 'secret'], 'the server sees it in current_usage,');
select is(pg_temp.seen('usage_history'), array['ai_generation', 'secret'], 'in usage_history');
select is(pg_temp.seen('usage_alerts'), array['ai_generation', 'secret'], 'and in usage_alerts');

-- The pricing page.
set local role anon;
select is(
  (select array_agg(row(plan, feature, kind, period, "limit", unlimited, value)::text order by plan, feature) from plan_catalog),
  array['(free,ai_generation,metered,month,5,f,)', '(free,max_context,value,,,f,8000)',
    '(team,max_context,value,,,f,200000)', '(team,sso,switch,,,f,true)'],
  'shows limits and values, and nothing that is hidden'
);
set local role service_role;
select is((select count(*) from plan_catalog), 4::bigint, 'to the server, too');
reset role;

-- An app's own helpers: null is no.
create or replace function quota.acts_for(p_user_id text, p_subject_id text)
returns boolean language plpgsql stable set search_path = pg_catalog, pg_temp as $$ begin return null; end $$;
create or replace function quota.subjects_of(p_user_id text)
returns setof text language plpgsql stable set search_path = pg_catalog, pg_temp
as $$ begin return next p_user_id; return next null; end $$;
set local role authenticated;
set local request.jwt.claims = '{"sub": "ada", "role": "authenticated"}';
select is(
  (select array_agg(distinct subject) from entitlements), array['ada'], 'a helper that answers null shows nothing of others'
);
select is_empty($$select 1 from quota.entitlements_shown('acme', '2026-01-15')$$, 'nor by the private function');
reset role;

-- Without a default plan.
do $$ begin
  update quota.plans set is_default = false where is_default;
end $$;
set local role authenticated;
set local request.jwt.claims = '{"sub": "eve", "role": "authenticated"}';
select is(pg_temp.rows(), array['(eve,max_context,value,f,)', '(eve,sso,switch,f,)'], 'who is on no plan has nothing');
select is(
  (select row(allowed, reason, plan)::text from check_usage('sso')), '(f,feature_not_in_plan,)', 'as check_usage says'
);

select * from finish();
rollback;
