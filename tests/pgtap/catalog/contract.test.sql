-- The contract as pg_catalog has it: names, parameters, defaults, results and columns that callers rely
-- on. A change here is a change for every caller.
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
select plan(15);

create temporary table contract (name text, arguments text, result text);
insert into contract values
  ('check_usage', 'feature text, amount bigint DEFAULT 1, subject text DEFAULT NULL::text', 'usage_decision'),
  ('consume_usage', 'feature text, amount bigint DEFAULT 1, subject text DEFAULT NULL::text, idempotency_key text DEFAULT NULL::text, metadata jsonb DEFAULT ''{}''::jsonb, actor text DEFAULT NULL::text, partial boolean DEFAULT false', 'usage_decision'),
  ('enforce_usage', 'feature text, amount bigint DEFAULT 1, subject text DEFAULT NULL::text, idempotency_key text DEFAULT NULL::text, metadata jsonb DEFAULT ''{}''::jsonb, actor text DEFAULT NULL::text, partial boolean DEFAULT false', 'usage_decision'),
  ('consume_usage_batch', 'items jsonb, subject text DEFAULT NULL::text, idempotency_key text DEFAULT NULL::text, metadata jsonb DEFAULT ''{}''::jsonb', 'SETOF usage_decision'),
  ('consume_usage_many', 'calls jsonb, subject text', 'SETOF usage_decision'),
  ('reserve_usage', 'feature text, amount bigint DEFAULT 1, subject text DEFAULT NULL::text, ttl interval DEFAULT ''00:15:00''::interval, idempotency_key text DEFAULT NULL::text, metadata jsonb DEFAULT ''{}''::jsonb, actor text DEFAULT NULL::text, partial boolean DEFAULT false', 'usage_decision'),
  ('extend_usage', 'reservation_id uuid, ttl interval DEFAULT ''00:15:00''::interval, subject text DEFAULT NULL::text', 'usage_decision'),
  ('commit_usage', 'reservation_id uuid, amount bigint DEFAULT NULL::bigint, subject text DEFAULT NULL::text, metadata jsonb DEFAULT ''{}''::jsonb', 'usage_decision'),
  ('release_usage', 'reservation_id uuid, subject text DEFAULT NULL::text, reason text DEFAULT NULL::text', 'usage_decision'),
  ('refund_usage', 'event_id uuid, amount bigint DEFAULT NULL::bigint, reason text DEFAULT NULL::text, idempotency_key text DEFAULT NULL::text, subject text DEFAULT NULL::text', 'usage_decision'),
  ('grant_usage', 'feature text, amount bigint, subject text, expires_at timestamp with time zone DEFAULT NULL::timestamp with time zone, idempotency_key text DEFAULT NULL::text, metadata jsonb DEFAULT ''{}''::jsonb', 'uuid'),
  ('void_grant', 'grant_id uuid, subject text DEFAULT NULL::text, amount bigint DEFAULT NULL::bigint, reason text DEFAULT NULL::text', 'bigint'),
  ('set_plan', 'subject text, plan text, anchor timestamp with time zone DEFAULT NULL::timestamp with time zone, time_zone text DEFAULT NULL::text, ends_at timestamp with time zone DEFAULT NULL::timestamp with time zone, reason text DEFAULT NULL::text', 'void'),
  ('set_limit', 'subject text, feature text, period text, "limit" bigint, ends_at timestamp with time zone DEFAULT NULL::timestamp with time zone, member text DEFAULT NULL::text, reason text DEFAULT NULL::text', 'void'),
  ('set_parent', 'subject text, parent text', 'void'),
  ('clear_limit', 'subject text, feature text, period text, member text DEFAULT NULL::text, reason text DEFAULT NULL::text', 'void'),
  ('set_value', 'subject text, feature text, value jsonb, ends_at timestamp with time zone DEFAULT NULL::timestamp with time zone', 'void'),
  ('add_member', 'subject text, user_id text', 'void'),
  ('remove_member', 'subject text, user_id text', 'void'),
  ('return_usage', 'feature text, amount bigint, subject text, idempotency_key text DEFAULT NULL::text, metadata jsonb DEFAULT ''{}''::jsonb', 'usage_decision'),
  ('reset_usage', 'feature text, subject text, period text DEFAULT NULL::text, reason text DEFAULT NULL::text, idempotency_key text DEFAULT NULL::text', 'usage_decision'),
  ('apply_plans', 'plans jsonb, dry_run boolean DEFAULT false', 'SETOF plan_change'),
  ('explain_usage', 'feature text, amount bigint DEFAULT 1, subject text DEFAULT NULL::text', 'SETOF usage_explanation'),
  ('merge_subjects', 'from_subject text, into_subject text', 'void'),
  ('usage_breakdown', 'feature text, by text DEFAULT ''actor''::text, subject text DEFAULT NULL::text, since timestamp with time zone DEFAULT NULL::timestamp with time zone, until timestamp with time zone DEFAULT NULL::timestamp with time zone', 'SETOF usage_share'),
  ('forget_subject', 'subject text', 'bigint'),
  ('deliver_alerts', 'max integer DEFAULT 100', 'SETOF usage_alerts'),
  ('acknowledge_alerts', 'ids uuid[]', 'bigint'),
  ('verify_usage', 'subject text DEFAULT NULL::text', 'SETOF usage_mismatch'),
  ('verify_installation', '', 'SETOF installation_problem');
select set_eq(
  $$select proname::text, pg_get_function_arguments(oid), pg_get_function_result(oid)
    from pg_proc where pronamespace = 'public'::regnamespace$$,
  'select name, arguments, result from contract',
  'the functions that callers may call have exactly these parameters, defaults and results'
);

select set_eq(
  $$select proname::text, pg_get_function_arguments(oid), pg_get_function_result(oid)
    from pg_proc
    where pronamespace = 'quota'::regnamespace
      and proname in ('limit_table', 'unlimit_table', 'follow_plan', 'unfollow_plan', 'version', 'repair_privileges', 'import_usage', 'tidy', 'acts_for', 'subjects_of', 'sees_members', 'clock')$$,
  $$values
    ('limit_table', 'p_table regclass, p_feature text, p_subject_column name, p_amount_column name DEFAULT NULL::name', 'void'),
    ('unlimit_table', 'p_table regclass', 'void'),
    ('follow_plan', 'p_table regclass, p_subject_column name, p_plan_column name, p_users_may_write boolean DEFAULT false', 'bigint'),
    ('unfollow_plan', 'p_table regclass', 'void'),
    ('version', '', 'text'),
    ('repair_privileges', '', 'SETOF text'),
    ('import_usage', 'p_rows jsonb, p_dry_run boolean DEFAULT false', 'SETOF import_result'),
    ('tidy', 'keep interval DEFAULT NULL::interval', 'bigint'),
    ('acts_for', 'p_user_id text, p_subject_id text', 'boolean'),
    ('subjects_of', 'p_user_id text', 'SETOF text'),
    ('sees_members', 'p_user_id text, p_subject_id text', 'boolean'),
    ('clock', '', 'timestamp with time zone')$$,
  'so have those that DBAs call or replace'
);

create function pg_temp.columns_of(p_relation text) returns text language sql as $$
  select string_agg(a.attname || ' ' || format_type(a.atttypid, a.atttypmod), ', ' order by a.attnum)
  from pg_attribute as a
  where a.attrelid = to_regclass(p_relation) and a.attnum > 0 and not a.attisdropped
$$;
select is(
  pg_temp.columns_of('public.usage_decision'),
  'allowed boolean, reason text, feature text, subject text, plan text, amount bigint, used bigint, '
  || 'reserved bigint, limit bigint, remaining bigint, unlimited boolean, period text, '
  || 'period_start timestamp with time zone, resets_at timestamp with time zone, retry_after integer, '
  || 'event_id uuid, reservation_id uuid, replayed boolean, upgrade_url text, granted bigint, carried bigint, '
  || 'limiting_feature text, limiting_subject text, limiting_member text',
  'a decision has these fields in this order'
);
select is(
  pg_temp.columns_of('public.plan_change'), 'action text, kind text, id text, detail text',
  'a change of the catalogue has these fields'
);
select is(
  pg_temp.columns_of('public.usage_mismatch'),
  'subject text, feature text, period text, period_start timestamp with time zone, counted bigint, ledger bigint',
  'a mismatch has these fields'
);
select is(
  pg_temp.columns_of('public.installation_problem'), 'object text, problem text, statement text',
  'a problem of the installation has these fields'
);
select is(
  pg_temp.columns_of('public.current_usage'),
  'subject text, feature text, feature_name text, unit text, kind text, plan text, period text, '
  || 'used bigint, reserved bigint, limit bigint, remaining bigint, unlimited boolean, '
  || 'percent_used bigint, period_start timestamp with time zone, resets_at timestamp with time zone, '
  || 'status text, granted bigint, time_zone text, carried bigint, projected bigint, exhausted_at timestamp with time zone, member text',
  'current_usage has these columns in this order'
);
select is(
  pg_temp.columns_of('public.usage_overview'),
  'subject text, feature text, period text, used bigint, reserved bigint, limit bigint, '
  || 'remaining bigint, unlimited boolean, percent_used bigint, period_start timestamp with time zone, '
  || 'resets_at timestamp with time zone, status text',
  'usage_overview has these columns in this order'
);
select is(
  pg_temp.columns_of('public.usage_history'),
  'subject text, feature text, period text, period_start timestamp with time zone, '
  || 'period_end timestamp with time zone, used bigint, limit bigint, carried bigint, over bigint',
  'usage_history has these columns in this order'
);
select is(
  pg_temp.columns_of('public.usage_events'),
  'subject text, event_id uuid, at timestamp with time zone, kind text, feature text, '
  || 'counts_at timestamp with time zone, used_change bigint, reserved_change bigint, '
  || 'drawn_change bigint, about_id uuid, grant_id uuid, actor text, idempotency_key text, metadata jsonb, over jsonb',
  'usage_events has these columns in this order'
);
select is(
  pg_temp.columns_of('public.usage_alerts'),
  'subject text, feature text, period text, period_start timestamp with time zone, threshold bigint, '
  || 'at timestamp with time zone, used bigint, limit bigint, alert_id uuid, member text',
  'usage_alerts has these columns in this order'
);
select is(
  pg_temp.columns_of('public.plan_catalog'),
  'plan text, plan_name text, is_default boolean, upgrade_url text, feature text, feature_name text, '
  || 'unit text, kind text, period text, limit bigint, unlimited boolean, value jsonb, rollover bigint, '
  || 'mode text, ceiling bigint',
  'plan_catalog has these columns in this order'
);
select is(
  pg_temp.columns_of('public.entitlements'),
  'subject text, feature text, kind text, enabled boolean, value jsonb',
  'entitlements has these columns in this order'
);
select is(
  (select array_agg(relname::text order by relname) from pg_class
   where relnamespace = 'public'::regnamespace and relkind in ('r', 'p', 'v', 'm', 'f', 'S')),
  array['current_usage', 'entitlements', 'plan_catalog', 'usage_alerts', 'usage_events', 'usage_history', 'usage_overview'],
  'the views that callers may read are these, and there is no table or sequence among them'
);
select is(
  (select array_agg(p.proname::text order by p.proname)
   from pg_proc as p where p.pronamespace in ('public'::regnamespace, 'quota'::regnamespace)
   group by p.pronamespace, p.proname having count(*) > 1),
  null, 'no function has a second one of its name: rpc() could not choose'
);

select * from finish();
rollback;
