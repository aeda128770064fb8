-- consume_usage(): checks the limit and counts, in one step.
begin;
set local search_path = public, extensions;
select plan(7);

select apply_plans('{
  "features": {"ai_generation": {"unit": "generation"}, "export": {}},
  "plans": {"free": {"default": true, "upgrade_url": "/up", "limits": {"ai_generation": {"month": 2}}}}
}');

set local role authenticated;
select set_config('request.jwt.claims', '{"sub": "ada", "role": "authenticated"}', true);

select results_eq(
  $$select allowed, reason, subject, plan, amount, used, "limit", remaining, period
    from consume_usage('ai_generation')$$,
  $$values (true, 'ok', 'ada', 'free', 1::bigint, 1::bigint, 2::bigint, 1::bigint, 'month')$$,
  'the first use is allowed and shows the state after it'
);
select results_eq(
  $$select allowed, used, remaining from consume_usage('ai_generation')$$,
  $$values (true, 2::bigint, 0::bigint)$$,
  'the last unit is allowed'
);
select results_eq(
  $$select allowed, reason, used, remaining, event_id, upgrade_url from consume_usage('ai_generation')$$,
  $$values (false, 'limit_reached', 2::bigint, 0::bigint, null::uuid, '/up')$$,
  'one more is refused, which is an answer and counts nothing'
);
select results_eq(
  $$select allowed, reason, period, "limit" from consume_usage('export')$$,
  $$values (false, 'feature_not_in_plan', null::text, 0::bigint)$$,
  'a feature that the plan lacks is refused'
);
select throws_ok(
  $$select consume_usage('video')$$, 'QFEAT', null,
  'an unknown feature is an error'
);
select throws_ok(
  $$select consume_usage('ai_generation', 1, 'grace')$$, '42501', null,
  'a user cannot use the allowance of somebody else'
);
select is(
  (select array_agg(used_change) from usage_events), array[1, 1]::bigint[],
  'the ledger has a line for each counted use and none for refusals'
);

select * from finish();
rollback;
