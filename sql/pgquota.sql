-- pgquota: usage limits that Postgres itself enforces.
--
-- What is promised: a call is allowed exactly when there is room under every limit that applies, and
-- is counted in the same step; under any number of callers never a unit more, never a refusal while
-- there is room. Every number is a sum of an append-only ledger, and verify_usage() proves it.
--
-- How: a subject (user, organisation, key) has a plan; a plan limits features per period. Each
-- subject and feature has one meter, which only adds. What a period used is the reading now less the
-- reading at its start. A plain call is one update of the meter, under the ceiling that the last look at
-- the limits left there, and one line of the ledger. Any other locks the meter, reads the time once,
-- asks limits_of() what applies and how full it is, lets decide() judge, and record() writes the line and
-- moves the meter. A line names the instant it counts in. Nothing is reset: a new period is a new reading.
--
-- This page is the contents in reading order, and psql can run it: psql -f sql/pgquota.sql
-- On plain Postgres run sql/roles.sql before. Words, lock order and codes: sql/README.md.

\set ON_ERROR_STOP on

-- ground: the schema, the time, who is calling, what arguments must be, what is answered.
\ir names.sql
\ir ground/schema.sql
\ir ground/clock.sql
\ir ground/caller.sql
\ir ground/arguments.sql
\ir ground/decision.sql

-- catalogue: what plans allow.
\ir catalogue/features.sql
\ir catalogue/plans.sql
\ir catalogue/plan_limits.sql
\ir catalogue/plan_values.sql
\ir catalogue/member_limits.sql
\ir catalogue/edition.sql
\ir catalogue/apply_plans.sql
\ir catalogue/plan_changes.sql
\ir catalogue/write_catalogue.sql
\ir catalogue/plan_document.sql
\ir catalogue/limit_terms.sql
\ir catalogue/plan_ages.sql
\ir catalogue/feature_alerts.sql
\ir catalogue/feature_costs.sql
\ir catalogue/plan_impact.sql

-- subjects: who is limited, and on what terms.
\ir subjects/subjects.sql
\ir subjects/members.sql
\ir subjects/exceptions.sql
\ir subjects/overrides.sql
\ir subjects/lock_subject.sql
\ir subjects/merges.sql
\ir subjects/caps.sql

-- meter: what was used, in tables.
\ir meter/meters.sql
\ir meter/counters.sql
\ir meter/events.sql
\ir meter/overages.sql
\ir meter/holds.sql
\ir meter/shares.sql
\ir meter/grants.sql
\ir meter/keys.sql
\ir meter/alerts.sql

-- rule: what is allowed. Nothing of it is said anywhere else.
\ir rule/limits_of.sql
\ir rule/named_limits.sql
\ir rule/with_details.sql
\ir rule/usage_shown.sql
\ir rule/terms_of.sql
\ir rule/plan_at.sql
\ir rule/balances.sql
\ir rule/period_of.sql
\ir rule/carried.sql
\ir rule/judge.sql
\ir rule/forecast.sql
\ir rule/decision.sql
\ir rule/wait.sql
\ir rule/parts.sql
\ir rule/joint_decision.sql
\ir rule/caps.sql
\ir rule/gauges.sql
\ir rule/entitlements.sql

-- verbs: what callers do, each with its wrapper in schema public.
\ir verbs/consume_usage.sql
\ir verbs/begin_windows.sql
\ir verbs/look_plainly.sql
\ir verbs/take.sql
\ir verbs/take_first.sql
\ir verbs/lock_call.sql
\ir verbs/take_together.sql
\ir verbs/move_together.sql
\ir verbs/look_together.sql
\ir verbs/take_parts.sql
\ir verbs/enforce_usage.sql
\ir verbs/consume_usage_batch.sql
\ir verbs/take_all_plainly.sql
\ir verbs/take_batch.sql
\ir verbs/batch_parts.sql
\ir verbs/batch_callers.sql
\ir verbs/many_calls.sql
\ir verbs/take_many_plainly.sql
\ir verbs/consume_usage_many.sql
\ir verbs/check_usage.sql
\ir verbs/explain_usage.sql
\ir verbs/explain_part.sql
\ir verbs/explain_value.sql
\ir verbs/usage_breakdown.sql
\ir verbs/sums_by_value.sql
\ir verbs/reserve_usage.sql
\ir verbs/extend_usage.sql
\ir verbs/commit_usage.sql
\ir verbs/commit_levels.sql
\ir verbs/end_plainly.sql
\ir verbs/release_usage.sql
\ir verbs/lock_reservation.sql
\ir verbs/end_shares.sql
\ir verbs/refund_usage.sql
\ir verbs/return_usage.sql
\ir verbs/reset_usage.sql
\ir verbs/grant_usage.sql
\ir verbs/void_grant.sql
\ir subjects/set_plan.sql
\ir subjects/set_parent.sql
\ir subjects/forget_subject.sql
\ir subjects/forget_caps.sql
\ir subjects/merge_subjects.sql
\ir subjects/lock_to_merge.sql
\ir subjects/move_windows.sql
\ir subjects/move_use.sql

-- meter, the bricks: the lock, the one writer, what begins and ends.
\ir meter/lock_meters.sql
\ir meter/record.sql
\ir meter/open_counters.sql
\ir meter/record_many.sql
\ir meter/write_overages.sql
\ir meter/remember.sql
\ir meter/company_of.sql
\ir meter/open_many.sql
\ir meter/make_counters.sql
\ir meter/begin_cap.sql
\ir meter/write_carry.sql
\ir meter/draw.sql
\ir meter/open_grants.sql
\ir meter/resets.sql
\ir meter/windows.sql
\ir meter/settle_expired.sql
\ir meter/idempotency.sql
\ir meter/write_alerts.sql
\ir meter/tidy.sql
\ir meter/fold.sql
\ir meter/fold_meter.sql
\ir meter/fold_lines.sql

-- app_tables: tables that limit themselves, plans that follow a table.
\ir app_tables/limited_tables.sql
\ir app_tables/limit_table.sql
\ir app_tables/table_triggers.sql
\ir app_tables/count_rows.sql
\ir app_tables/lock_families.sql
\ir app_tables/recount.sql
\ir app_tables/plain_types.sql
\ir app_tables/follow_plan.sql
\ir app_tables/plan_changed.sql
\ir app_tables/plan_writers.sql

-- views: what pages and operators read.
\ir views/current_usage.sql
\ir views/entitlements.sql
\ir views/usage_history.sql
\ir views/usage_events.sql
\ir views/usage_alerts.sql
\ir views/usage_overview.sql
\ir catalogue/plan_catalog.sql
\ir verbs/deliver_alerts.sql
\ir verbs/acknowledge_alerts.sql

-- proof: that the numbers are right, that the installation is whole.
\ir proof/verify_usage.sql
\ir proof/unproved.sql
\ir proof/unproved_windows.sql
\ir proof/verify_installation.sql
\ir proof/changed_objects.sql
\ir proof/differences.sql
\ir proof/table_differences.sql
\ir proof/table_problems.sql
\ir proof/role_problems.sql
\ir proof/installed_objects.sql
\ir proof/installed_attachments.sql
\ir proof/import_usage.sql
\ir proof/import_rows.sql
\ir proof/write_imports.sql

-- Who may do what, on one page.
\ir rights.sql

-- What all of the above makes, written by npm run build.
\ir release.sql

-- PostgREST reads the new functions.
notify pgrst, 'reload schema';
