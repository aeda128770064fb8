-- Every function that may be called, with null for each argument in turn: either null means what the
-- documentation says, and the answer is not null, or it is the error of that argument and nothing is written.
begin;
-- pgTAP in schema public would be taken for ours: it moves aside until the rollback.
do $$ begin
  if (select extnamespace from pg_extension where extname = 'pgtap') = 'public'::regnamespace then
    create schema pgtap_aside;
    grant usage on schema pgtap_aside to public;
    alter extension pgtap set schema pgtap_aside;
  end if;
end $$;
select set_config('search_path', 'public, ' || pronamespace::regnamespace, true) from pg_proc where proname = 'pgtap_version';
select plan(7);

-- It stands still: a hold must live until it is extended.
create or replace function quota.clock()
returns timestamptz language plpgsql set search_path = pg_catalog, pg_temp
as $$ begin return '2026-11-15 12:00:00+00'; end $$;
do $$ begin perform apply_plans('{
  "features": {"export": {}, "kb_file": {"kind": "gauge"}, "sso": {"kind": "switch"}},
  "plans": {"free": {"default": true, "limits": {"export": {"month": 50}, "kb_file": {"lifetime": 50}}}}
}'); end $$;
create table public.files (id uuid primary key, owner text, plan text, size bigint);

-- A call of each function that works: its arguments, and what null in their place is.
create temporary table arguments (function text, argument text, value text, expected text);
insert into arguments values
  ('public.check_usage', 'feature', '''export''', 'QFEAT'),
  ('public.check_usage', 'amount', '1', 'QAMNT'),
  ('public.check_usage', 'subject', '''ada''', 'QSUBJ'),
  ('public.explain_usage', 'feature', '''export''', 'QFEAT'),
  ('public.explain_usage', 'amount', '1', 'QAMNT'),
  ('public.explain_usage', 'subject', '''ada''', 'QSUBJ'),
  ('public.usage_breakdown', 'feature', '''export''', 'QFEAT'),
  ('public.usage_breakdown', 'by', '''actor''', '22023'),
  ('public.usage_breakdown', 'subject', '''ada''', 'QSUBJ'),
  ('public.usage_breakdown', 'since', '''2020-01-01''', 'void'),
  ('public.usage_breakdown', 'until', '''2090-01-01''', 'void'),
  ('public.consume_usage_batch', 'items', '''[{"feature": "export"}]''', '22023'),
  ('public.consume_usage_batch', 'subject', '''ada''', 'QSUBJ'),
  ('public.consume_usage_batch', 'idempotency_key', '''batch''', 'value'),
  ('public.consume_usage_batch', 'metadata', '''{}''', 'value'),
  ('public.consume_usage_many', 'calls', '''[{"feature": "export"}]''', '22023'),
  ('public.consume_usage_many', 'subject', '''ada''', 'QSUBJ'),
  ('public.reserve_usage', 'feature', '''export''', 'QFEAT'),
  ('public.reserve_usage', 'amount', '1', 'QAMNT'),
  ('public.reserve_usage', 'subject', '''ada''', 'QSUBJ'),
  ('public.reserve_usage', 'ttl', '''1 minute''', '22023'),
  ('public.reserve_usage', 'idempotency_key', '''hold''', 'value'),
  ('public.reserve_usage', 'metadata', '''{}''', 'value'),
  ('public.reserve_usage', 'actor', '''eve''', 'value'),
  ('public.reserve_usage', 'partial', 'false', '22023'),
  ('public.extend_usage', 'reservation_id', '(select reserve_usage(''export'', 1, ''ada'')).reservation_id', 'QRSRV'),
  ('public.extend_usage', 'ttl', '''1 minute''', '22023'),
  ('public.extend_usage', 'subject', '''ada''', 'value'),
  ('public.commit_usage', 'reservation_id', '(select reserve_usage(''export'', 1, ''ada'')).reservation_id', 'QRSRV'),
  ('public.commit_usage', 'amount', '1', 'value'),
  ('public.commit_usage', 'subject', '''ada''', 'value'),
  ('public.commit_usage', 'metadata', '''{}''', 'value'),
  ('public.release_usage', 'reservation_id', '(select reserve_usage(''export'', 1, ''ada'')).reservation_id', 'QRSRV'),
  ('public.release_usage', 'subject', '''ada''', 'value'),
  ('public.release_usage', 'reason', '''failed''', 'value'),
  ('public.refund_usage', 'event_id', '(select consume_usage(''export'', 1, ''ada'')).event_id', 'QRSRV'),
  ('public.refund_usage', 'amount', '1', 'value'),
  ('public.refund_usage', 'reason', '''failed''', 'value'),
  ('public.refund_usage', 'idempotency_key', '''refund''', 'value'),
  ('public.refund_usage', 'subject', '''ada''', 'value'),
  ('public.return_usage', 'feature', '''kb_file''', 'QFEAT'),
  ('public.return_usage', 'amount', '1', 'QAMNT'),
  ('public.return_usage', 'subject', '''ada''', 'QSUBJ'),
  ('public.return_usage', 'idempotency_key', '''return''', 'value'),
  ('public.return_usage', 'metadata', '''{}''', 'value'),
  ('public.reset_usage', 'feature', '''export''', 'QFEAT'),
  ('public.reset_usage', 'subject', '''ada''', 'QSUBJ'),
  ('public.reset_usage', 'period', '''month''', 'value'),
  ('public.reset_usage', 'reason', '''an apology''', 'value'),
  ('public.reset_usage', 'idempotency_key', '''reset''', 'value'),
  ('public.set_plan', 'subject', '''ada''', 'QSUBJ'),
  ('public.set_plan', 'plan', '''free''', 'QPLAN'),
  ('public.set_plan', 'anchor', '''2026-11-01Z''', 'void'),
  ('public.set_plan', 'time_zone', '''UTC''', 'void'),
  ('public.set_plan', 'ends_at', '''2999-01-01Z''', 'void'),
  ('public.set_plan', 'reason', '''upgrade''', 'void'),
  ('public.set_limit', 'subject', '''ada''', 'QSUBJ'),
  ('public.set_limit', 'feature', '''export''', 'QFEAT'),
  ('public.set_limit', 'period', '''month''', 'QPLAN'),
  ('public.set_limit', 'limit', '70', 'void'),
  ('public.set_limit', 'ends_at', '''2999-01-01Z''', 'void'),
  ('public.set_limit', 'member', '''bob''', 'void'),
  ('public.set_limit', 'reason', '''goodwill''', 'void'),
  ('public.set_parent', 'subject', '''ada''', 'QSUBJ'),
  ('public.set_parent', 'parent', '''acme''', 'void'),
  ('public.set_value', 'subject', '''ada''', 'QSUBJ'),
  ('public.set_value', 'feature', '''sso''', 'QFEAT'),
  ('public.set_value', 'value', '''true''', 'void'),
  ('public.set_value', 'ends_at', '''2999-01-01Z''', 'void'),
  ('public.clear_limit', 'subject', '''ada''', 'QSUBJ'),
  ('public.clear_limit', 'feature', '''export''', 'QFEAT'),
  ('public.clear_limit', 'period', '''month''', 'QPLAN'),
  ('public.clear_limit', 'member', '''bob''', 'void'),
  ('public.clear_limit', 'reason', '''over''', 'void'),
  ('public.grant_usage', 'feature', '''export''', 'QFEAT'),
  ('public.grant_usage', 'amount', '1', 'QAMNT'),
  ('public.grant_usage', 'subject', '''ada''', 'QSUBJ'),
  ('public.grant_usage', 'expires_at', '''2999-01-01Z''', 'value'),
  ('public.grant_usage', 'idempotency_key', '''grant''', 'value'),
  ('public.grant_usage', 'metadata', '''{}''', 'value'),
  ('public.void_grant', 'grant_id', 'grant_usage(''export'', 1, ''ada'')', '22023'),
  ('public.void_grant', 'subject', '''ada''', 'value'),
  ('public.void_grant', 'amount', '1', 'value'),
  ('public.void_grant', 'reason', '''paid back''', 'value'),
  ('public.add_member', 'subject', '''team''', 'QSUBJ'),
  ('public.add_member', 'user_id', '''ada''', 'QSUBJ'),
  ('public.remove_member', 'subject', '''team''', 'QSUBJ'),
  ('public.remove_member', 'user_id', '''ada''', 'QSUBJ'),
  ('public.merge_subjects', 'from_subject', '''mia''', 'QSUBJ'),
  ('public.merge_subjects', 'into_subject', '''moe''', 'QSUBJ'),
  ('public.forget_subject', 'subject', '''eve''', 'QSUBJ'),
  ('public.apply_plans', 'plans', '''{"features": {}, "plans": {}}''', 'QPLAN'),
  ('public.apply_plans', 'dry_run', 'true', '22023'),
  ('public.deliver_alerts', 'max', '10', '22023'),
  ('public.acknowledge_alerts', 'ids', '''{}''', '22023'),
  ('public.verify_usage', 'subject', '''ada''', 'void'),
  ('quota.import_usage', 'p_rows', '''[{"subject": "ada", "feature": "export", "amount": 1, "period_start": "2020-01-01"}]''', '22023'),
  ('quota.import_usage', 'p_dry_run', 'true', '22023'),
  ('quota.limit_table', 'p_table', '''public.files''', '22023'),
  ('quota.limit_table', 'p_feature', '''kb_file''', 'QFEAT'),
  ('quota.limit_table', 'p_subject_column', '''owner''', '22023'),
  ('quota.limit_table', 'p_amount_column', '''size''', 'void'),
  ('quota.unlimit_table', 'p_table', '''public.files''', '22023'),
  ('quota.follow_plan', 'p_table', '''public.files''', '22023'),
  ('quota.follow_plan', 'p_subject_column', '''owner''', '22023'),
  ('quota.follow_plan', 'p_plan_column', '''plan''', '22023'),
  ('quota.follow_plan', 'p_users_may_write', 'true', '22023');
insert into arguments
  select 'public.' || f, a.argument, a.value, a.expected
  from unnest(array['consume_usage', 'enforce_usage']) as f
  cross join (values
    ('feature', '''export''', 'QFEAT'), ('amount', '1', 'QAMNT'), ('subject', '''ada''', 'QSUBJ'),
    ('idempotency_key', '''key''', 'value'), ('metadata', '''{}''', 'value'),
    ('actor', '''eve''', 'value'), ('partial', 'false', '22023')
  ) as a (argument, value, expected);

create temporary view parameters as
  select n.nspname || '.' || p.proname as function, p.proargnames[i] as argument,
    format_type(p.proargtypes[i - 1], null) as type
  from pg_proc as p
  join pg_namespace as n on n.oid = p.pronamespace
  cross join generate_series(1, p.pronargs) as i
  where n.nspname = 'public'
    or (n.nspname, p.proname) in (
      ('quota', 'import_usage'), ('quota', 'limit_table'), ('quota', 'unlimit_table'), ('quota', 'follow_plan')
    );
select set_eq(
  'select function, argument from arguments', 'select function, argument from parameters',
  'every argument of every function is here'
);

-- The call with one argument replaced by null (none: '').
create function pg_temp.call_of(p_function text, p_argument text) returns text language sql as $$
  select format('select coalesce((select count(r::text) || %L from %s(%s) as r), %L)',
    ' of ', p_function,
    string_agg(
      format('%I => (%s)::%s', argument, case when argument = p_argument then 'null' else value end, type), ', '
      order by argument
    ), '')
  from arguments join parameters using (function, argument)
  where function = p_function
$$;
-- What became of it: a code, 'value', 'null' or 'void'. Undone afterwards.
create function pg_temp.outcome(p_function text, p_argument text) returns text language plpgsql as $$
declare
  v_answer text;
begin
  begin
    execute pg_temp.call_of(p_function, p_argument) into v_answer;
    raise exception using errcode = 'UNDO0', message = case
      when (select bool_and(prorettype = 'void'::regtype or p_function ~ 'verify_usage|usage_breakdown|deliver_alerts|unlimit|limit_table|follow')
            from pg_proc where oid = to_regproc(p_function)) then 'void'
      when v_answer like '0 of%' then 'null'
      else 'value'
    end;
  exception
    when sqlstate 'UNDO0' then return sqlerrm;
    when others then return sqlstate;
  end;
end
$$;

select is_empty(
  $$select function, outcome
    from (select distinct function from arguments) as f
    cross join lateral pg_temp.outcome(f.function, '') as outcome
    -- An empty document has no changes, but for what it removes.
    where outcome not in ('value', 'void')$$,
  'each call works when nothing in it is null'
);
create temporary table stored as
  select (select count(*) from quota.events) as events, (select count(*) from quota.subjects) as subjects;
select is_empty(
  $$select a.function, a.argument, a.expected, o.outcome
    from arguments as a
    cross join lateral pg_temp.outcome(a.function, a.argument) as o (outcome)
    where o.outcome <> a.expected$$,
  'null is the error of its argument, or what the documentation says, and never answered by null'
);
select results_eq(
  'select (select count(*) from quota.events), (select count(*) from quota.subjects)',
  'select events, subjects from stored', 'nothing was written'
);

-- The two that acted on null.
select throws_ok(
  $$select apply_plans('{"features": {}, "plans": {}}', dry_run => null)$$, '22023', null,
  'apply_plans() with a dry_run of null is an error'
);
select isnt_empty('select from quota.plans', 'and changed nothing');
select throws_ok($$select void_grant(null)$$, '22023', null, 'void_grant(null) is an error');
select * from finish();
rollback;
