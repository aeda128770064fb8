-- Why this exists: is it still what was installed? Run it after a restore and after each deployment.
create function public.verify_installation()
returns setof public.installation_problem
language plpgsql
stable
security invoker
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict error
begin
  return query
    select r.object, r.problem, r.statement from quota.verify_installation() as r;
end
$$;

comment on function public.verify_installation() is
  'Compares the installation with what this release says: bodies, owners, rights, options, policies, indexes, constraints, views, the triggers of limited and followed tables, and roles that pass by all of it. No rows: nothing is wrong. Each row (object, problem, statement) is something to put right. Reads only. quota.acts_for() and quota.subjects_of() may be the app''s own. Errors: 42501 not a trusted role.';

revoke all on function public.verify_installation() from public, anon, authenticated, service_role;
grant execute on function public.verify_installation() to service_role;
