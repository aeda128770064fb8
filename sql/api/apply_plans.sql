-- Why this exists: plans live in your repository as one document; each deployment applies it.
create function public.apply_plans(
  plans jsonb,
  dry_run boolean default false
)
returns setof public.plan_change
language plpgsql
volatile
security invoker
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict error
begin
  return query
    select r.action, r.kind, r.id, r.detail from quota.apply_plans(plans, dry_run) as r;
end
$$;

comment on function public.apply_plans(jsonb, boolean) is
  'Makes features, plans and limits equal to the document, and returns a row (action, kind, id, detail) for each change; none when there is nothing to do. dry_run only says what would change. A limit of null is unlimited. Removing a plan that subjects are on, or a feature that has use, is an error. On an error nothing is changed. Errors: QPLAN with the place in the document, what was found and what was expected; 22023 dry_run is null; 42501 not a trusted role; 55P03 retry.';

revoke all on function public.apply_plans(jsonb, boolean)
  from public, anon, authenticated, service_role;
grant execute on function public.apply_plans(jsonb, boolean) to service_role;
