-- Who may do what, on one page: all is withheld, then lent by name. What is not named here, nobody may
-- do but the owner: a brick of the engine, a write on a table.
--
-- Nobody may write a table, not even service_role: a user that could update subjects would choose its
-- plan, one that could insert into grants or members would mint credits or spend those of others, and a
-- counter changes only together with the ledger. Who may select alone cannot lock a row either.

revoke all on schema quota from public;
revoke all on all tables in schema quota from public, anon, authenticated, service_role;
revoke all on all functions in schema quota from public, anon, authenticated, service_role;

-- Supabase lends every new object of schema public to all of them.
revoke all on
  public.current_usage, public.usage_history, public.usage_events, public.usage_alerts,
  public.usage_overview, public.plan_catalog, public.entitlements
  from public, anon, authenticated, service_role;
revoke all on function
  public.consume_usage, public.enforce_usage, public.consume_usage_batch, public.check_usage,
  public.explain_usage, public.usage_breakdown, public.reserve_usage, public.extend_usage,
  public.commit_usage,
  public.release_usage, public.refund_usage, public.return_usage, public.reset_usage,
  public.consume_usage_many,
  public.grant_usage, public.void_grant, public.set_plan, public.set_parent, public.set_limit,
  public.clear_limit,
  public.set_value, public.add_member, public.remove_member, public.forget_subject,
  public.merge_subjects, public.apply_plans, public.deliver_alerts, public.acknowledge_alerts, public.verify_usage,
  public.verify_installation
  from public, anon, authenticated, service_role;

-- Needed to run the private half of a security invoker wrapper, and to read the tables behind the
-- security_invoker views. What can be done there is granted object by object.
grant usage on schema quota to anon, authenticated, service_role;

-- Verbs: users for themselves and for organisations that they act for; the rest is for servers. The
-- private half of a wrapper, which decides that, is lent to whom the wrapper is.
grant execute on function
  public.consume_usage, public.enforce_usage, public.consume_usage_batch, public.check_usage,
  public.explain_usage, public.usage_breakdown,
  quota.consume_usage, quota.enforce, quota.consume_usage_batch, quota.check_usage,
  quota.explain_usage, quota.usage_breakdown
  to authenticated, service_role;
grant execute on function
  public.consume_usage_many, quota.consume_usage_many,
  public.reserve_usage, public.extend_usage, public.commit_usage, public.release_usage,
  public.refund_usage, public.return_usage, public.reset_usage, public.grant_usage,
  public.void_grant, public.set_plan, public.set_parent, public.set_limit, public.clear_limit, public.set_value,
  public.add_member, public.remove_member, public.forget_subject, public.merge_subjects,
  public.apply_plans, public.deliver_alerts, public.acknowledge_alerts, public.verify_usage,
  public.verify_installation,
  quota.merge_subjects,
  quota.reserve_usage, quota.extend_usage, quota.commit_usage, quota.release_usage,
  quota.refund_usage, quota.return_usage, quota.reset_usage, quota.grant_usage,
  quota.void_grant, quota.set_plan, quota.set_parent, quota.change_limit, quota.set_value, quota.change_member,
  quota.forget_subject, quota.apply_plans, quota.deliver_alerts, quota.acknowledge_alerts,
  quota.verify_usage, quota.verify_installation
  to service_role;
-- No wrapper, so not over REST: what npx pgquota plans --impact asks.
grant execute on function quota.plan_impact to service_role;

-- Views. They run with their reader's rights, under the row security of the tables behind them; so the
-- reader needs those, too. A visitor sees plans and prices, and nobody's usage.
grant select on
  public.plan_catalog, quota.features, quota.plans, quota.plan_limits, quota.plan_values,
  quota.feature_costs
  to anon, authenticated, service_role;
grant select on
  public.current_usage, public.entitlements, public.usage_history, public.usage_events,
  public.usage_alerts,
  quota.subjects, quota.members, quota.exceptions, quota.grants, quota.meters, quota.counters,
  quota.reservations, quota.events, quota.overages, quota.alerts, quota.catalogue
  to authenticated, service_role;
-- A key is a secret between its caller and the answer; the operator's list is of all subjects.
grant select on
  public.usage_overview, quota.keys, quota.shares, quota.caps, quota.member_limits, quota.overrides, quota.merges,
  quota.limited_tables,
  quota.followed_tables
  to service_role;

-- What policies and views ask as their reader: who it is, what the time is, which period that lies in.
grant execute on function
  quota.user_id, quota.is_trusted, quota.subjects_of, quota.organisations_of, quota.clock,
  quota.instant_of, quota.period_of, quota.period_rank, quota.usage_shown,
  quota.entitlements_shown, quota.forecast, quota.sees_member,
  quota.below_shown
  to authenticated, service_role;

-- For DBAs alone, who own the schema: quota.limit_table(), quota.follow_plan(), quota.import_usage(),
-- quota.tidy() and quota.repair_privileges().
