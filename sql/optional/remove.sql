-- Why this exists: takes pgquota out of a database, ledger and all. Not part of the migration, and not
-- to be undone: dump schema quota first if the numbers may be asked for. All of it or nothing:
-- psql -1 -v ON_ERROR_STOP=1 -f remove.sql
--
-- What goes besides: the triggers that limit_table() and follow_plan() put on tables of the app, helpers
-- of the app that took the place of ours, the drop-in increment_usage(), and, as "drop cascades to" says,
-- policies and views of the app that ask pgquota: a table without a policy is closed to the API. What
-- stays: functions of the app that call what is no more, a pg_cron job for quota.tidy(), the three
-- roles, and the migration's row in the history of your migration tool, which runs it only once.
drop schema if exists quota cascade;

-- begin: written by npm run build
drop view if exists
  public.current_usage,
  public.entitlements,
  public.plan_catalog,
  public.usage_alerts,
  public.usage_events,
  public.usage_history,
  public.usage_overview cascade;

drop function if exists
  public.acknowledge_alerts(uuid[]),
  public.add_member(text, text),
  public.apply_plans(jsonb, boolean),
  public.check_usage(text, bigint, text),
  public.clear_limit(text, text, text, text, text),
  public.commit_usage(uuid, bigint, text, jsonb),
  public.consume_usage(text, bigint, text, text, jsonb, text, boolean),
  public.consume_usage_batch(jsonb, text, text, jsonb),
  public.consume_usage_many(jsonb, text),
  public.deliver_alerts(integer),
  public.enforce_usage(text, bigint, text, text, jsonb, text, boolean),
  public.explain_usage(text, bigint, text),
  public.extend_usage(uuid, interval, text),
  public.forget_subject(text),
  public.grant_usage(text, bigint, text, timestamp with time zone, text, jsonb),
  public.merge_subjects(text, text),
  public.refund_usage(uuid, bigint, text, text, text),
  public.release_usage(uuid, text, text),
  public.remove_member(text, text),
  public.reserve_usage(text, bigint, text, interval, text, jsonb, text, boolean),
  public.reset_usage(text, text, text, text, text),
  public.return_usage(text, bigint, text, text, jsonb),
  public.set_limit(text, text, text, bigint, timestamp with time zone, text, text),
  public.set_parent(text, text),
  public.set_plan(text, text, timestamp with time zone, text, timestamp with time zone, text),
  public.set_value(text, text, jsonb, timestamp with time zone),
  public.usage_breakdown(text, text, text, timestamp with time zone, timestamp with time zone),
  public.verify_installation(),
  public.verify_usage(text),
  public.void_grant(uuid, text, bigint, text);

drop type if exists
  public.import_result,
  public.installation_problem,
  public.plan_change,
  public.usage_decision,
  public.usage_explanation,
  public.usage_mismatch,
  public.usage_share;
-- end: written by npm run build

-- The drop-in, whatever types it was given; not a function of the app that has its name.
do $$
declare
  v_function pg_catalog.regprocedure;
begin
  for v_function in
    select p.oid
    from pg_catalog.pg_proc as p
    where p.pronamespace = 'public'::pg_catalog.regnamespace
      and p.proname = 'increment_usage'
      and pg_catalog.obj_description(p.oid, 'pg_proc')
        = 'Counts one use. The period arguments are ignored. Errors: as enforce_usage.'
  loop
    execute 'drop function ' || v_function;
  end loop;
end
$$;

notify pgrst, 'reload schema';
