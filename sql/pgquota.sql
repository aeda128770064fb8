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

-- The ground: schema, time, who is calling.
\ir names.sql
\ir schema.sql
\ir functions/clock.sql
\ir functions/identity.sql

-- The catalogue: what plans allow.
\ir tables/features.sql
\ir tables/plans.sql
\ir tables/plan_limits.sql
\ir tables/catalogue.sql

-- Subjects: who is limited, and by what.
\ir tables/subjects.sql
\ir tables/members.sql
\ir tables/exceptions.sql
\ir tables/grants.sql

-- Use: the lock, the sums, the holds, the ledger.
\ir tables/meters.sql
\ir tables/counters.sql
\ir tables/reservations.sql
\ir tables/events.sql
\ir tables/keys.sql
\ir tables/alerts.sql
\ir tables/limited_tables.sql
\ir tables/followed_tables.sql

-- The engine: periods, limits, the rule, the writer.
\ir api/usage_decision.sql
\ir functions/period_of.sql
\ir functions/limits_of.sql
\ir functions/decide.sql
\ir functions/errors.sql
\ir functions/idempotency.sql
\ir functions/record.sql
\ir functions/draw.sql
\ir functions/settle_expired.sql
\ir functions/lock_meters.sql
\ir functions/lock_subject.sql
\ir functions/write_alerts.sql
\ir functions/take_plainly.sql
\ir functions/take.sql

-- The verbs.
\ir functions/check_usage.sql
\ir functions/consume_usage.sql
\ir functions/enforce.sql
\ir functions/consume_usage_batch.sql
\ir functions/reserve_usage.sql
\ir functions/commit_usage.sql
\ir functions/release_usage.sql
\ir functions/refund_usage.sql
\ir functions/set_plan.sql
\ir functions/set_limit.sql
\ir functions/grant_usage.sql
\ir functions/change_member.sql
\ir functions/forget_subject.sql
\ir functions/tidy.sql
\ir api/usage_alerts.sql
\ir functions/deliver_alerts.sql
\ir api/usage_explanation.sql
\ir functions/explain_usage.sql
\ir api/plan_change.sql
\ir functions/apply_plans.sql
\ir functions/put_back.sql

-- For DBAs: tables that limit themselves, plans that follow a table, the proof.
\ir functions/limit_table.sql
\ir functions/follow_plan.sql
\ir api/import_result.sql
\ir functions/import_usage.sql
\ir api/usage_mismatch.sql
\ir functions/verify_usage.sql
\ir functions/installed_objects.sql
\ir api/installation_problem.sql
\ir functions/verify_installation.sql

-- What callers may touch, in schema public.
\ir api/check_usage.sql
\ir api/consume_usage.sql
\ir api/enforce_usage.sql
\ir api/consume_usage_batch.sql
\ir api/reserve_usage.sql
\ir api/commit_usage.sql
\ir api/release_usage.sql
\ir api/refund_usage.sql
\ir api/return_usage.sql
\ir api/explain_usage.sql
\ir api/set_plan.sql
\ir api/set_limit.sql
\ir api/clear_limit.sql
\ir api/grant_usage.sql
\ir api/void_grant.sql
\ir api/add_member.sql
\ir api/remove_member.sql
\ir api/forget_subject.sql
\ir api/apply_plans.sql
\ir api/verify_usage.sql
\ir api/verify_installation.sql
\ir api/current_usage.sql
\ir api/usage_overview.sql
\ir api/usage_history.sql
\ir api/usage_events.sql
\ir api/deliver_alerts.sql
\ir api/acknowledge_alerts.sql
\ir api/plan_catalog.sql

-- What all of the above makes, written by npm run build.
\ir release.sql

-- PostgREST reads the new functions.
notify pgrst, 'reload schema';
