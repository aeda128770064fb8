-- Why this exists: one customer's exception to its plan.
create function public.set_limit(
  subject text,
  feature text,
  period text,
  "limit" bigint
)
returns void
language plpgsql
volatile
security invoker
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict error
begin
  perform quota.change_limit(subject, feature, period, "limit", false);
end
$$;

comment on function public.set_limit(text, text, text, bigint) is
  'Gives one subject its own limit for a feature and period, in place of its plan''s; it also opens a feature that the plan lacks. limit is in units of the feature per period, null is unlimited. Holds at once, also for calls that are waiting. Errors: QAMNT limit below 0 or too large; QFEAT unknown feature; QPLAN unknown period; QSUBJ; 42501 not a trusted role; 55P03 retry.';

revoke all on function public.set_limit(text, text, text, bigint)
  from public, anon, authenticated, service_role;
grant execute on function public.set_limit(text, text, text, bigint) to service_role;
