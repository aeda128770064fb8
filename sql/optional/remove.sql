-- Takes pgquota out of a database, ledger and all. Not part of the migration, and not
-- to be undone: dump schema quota first if the numbers may be asked for.
--
-- Triggers that limit_table() and follow_plan() put on tables of the app go with schema quota. Also
-- delete the migration's row from the history of your migration tool, if it is to run again.
drop schema if exists quota cascade;

drop function if exists
  public.check_usage, public.consume_usage, public.consume_usage_batch, public.enforce_usage,
  public.explain_usage, public.reserve_usage, public.commit_usage, public.release_usage,
  public.refund_usage, public.return_usage, public.grant_usage, public.void_grant,
  public.set_plan, public.set_limit, public.clear_limit, public.add_member, public.remove_member,
  public.apply_plans, public.verify_usage, public.forget_subject,
  public.deliver_alerts, public.acknowledge_alerts,
  public.verify_installation;

drop type if exists
  public.usage_decision, public.usage_explanation, public.usage_mismatch, public.plan_change,
  public.import_result, public.installation_problem;

notify pgrst, 'reload schema';
