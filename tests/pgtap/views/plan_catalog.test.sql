-- plan_catalog: what a pricing page reads, before anybody has signed in.
begin;
select set_config('search_path', 'public, ' || pronamespace::regnamespace, true) from pg_proc where proname = 'pgtap_version';
select plan(7);

do $$ begin perform apply_plans('{
  "features": {
    "ai_generation": {"name": "AI generations", "unit": "generation"},
    "kb_file": {"kind": "gauge"}, "unsold": {}
  },
  "plans": {
    "free": {"name": "Free", "default": true, "upgrade_url": "/up", "limits": {
      "ai_generation": {"month": 50, "minute": 10}, "kb_file": {"lifetime": 0}}},
    "pro": {"limits": {"ai_generation": {"month": null}}}, "empty": {"limits": {}}
  }
}'); end $$;

select columns_are('public', 'plan_catalog', array[
  'plan', 'plan_name', 'is_default', 'upgrade_url', 'feature', 'feature_name', 'unit', 'kind',
  'period', 'limit', 'unlimited', 'value', 'rollover', 'mode', 'ceiling'
]);

set local role anon;
select is(
  (select to_jsonb(c) from plan_catalog as c where plan = 'free' and feature = 'ai_generation' and period = 'month'),
  '{"plan": "free", "plan_name": "Free", "is_default": true, "upgrade_url": "/up",
    "feature": "ai_generation", "feature_name": "AI generations", "unit": "generation",
    "kind": "metered", "period": "month", "limit": 50, "unlimited": false, "value": null,
    "rollover": null, "mode": "hard", "ceiling": null}',
  'anon reads a row per plan, feature and period'
);
select is(
  (select array_agg(row(plan, feature, period, "limit", unlimited)::text order by plan, feature, period)
   from plan_catalog),
  array['(free,ai_generation,minute,10,f)', '(free,ai_generation,month,50,f)',
    '(free,kb_file,lifetime,0,f)', '(pro,ai_generation,month,,t)'],
  'null is unlimited, 0 is not, and what no plan has is not sold'
);
select is(
  (select row(plan_name, is_default, upgrade_url)::text from plan_catalog where plan = 'pro'),
  '(pro,f,)', 'a plan without a name is called by its id'
);
select throws_ok(
  $$update plan_catalog set "limit" = 1000000$$, '55000', null,
  'nothing can be written through it'
);
set local role authenticated;
select is((select count(*) from plan_catalog), 4::bigint, 'a user reads the same');
set local role service_role;
select is((select count(*) from plan_catalog), 4::bigint, 'and so does the server');

select * from finish();
rollback;
