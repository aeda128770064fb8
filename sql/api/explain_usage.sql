-- Why this exists: one call feeds a paywall, or answers a support desk.
create function public.explain_usage(
  feature text,
  amount bigint default 1,
  subject text default null
)
returns setof public.usage_explanation
language plpgsql
stable
security invoker
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict error
begin
  return query
    select * from quota.explain_usage(feature, amount, subject);
end
$$;

comment on function public.explain_usage(text, bigint, text) is
  'Every limit that applies to an amount, and every open grant, one row each: where it comes from (plan, exception, grant), its room, whether it refuses, and what would allow the amount: how long a wait, how large a top-up, which other plans. A feature that is not in the plan gives one row that says so. amount is in units of the feature (default 1); subject defaults to the signed-in user and must be named by trusted callers. Writes nothing. Errors: QFEAT unknown feature; QAMNT; QSUBJ; 42501 no identity or a subject that is not yours.';

revoke all on function public.explain_usage(text, bigint, text)
  from public, anon, authenticated, service_role;
grant execute on function public.explain_usage(text, bigint, text) to authenticated, service_role;
