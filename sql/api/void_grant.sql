-- Why this exists: a top-up that was paid back, a promotion that ended early.
create function public.void_grant(
  grant_id uuid,
  subject text default null
)
returns boolean
language plpgsql
volatile
security invoker
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict error
begin
  return quota.void_grant(grant_id, subject);
end
$$;

comment on function public.void_grant(uuid, text) is
  'Ends a grant: what is left of it is gone, what was drawn stays drawn. Returns true when it was open until now, false when there is no such grant, it was voided before, or it is not the named subject''s. Errors: 22023 no grant_id; 42501 not a trusted role; 55P03 retry.';

revoke all on function public.void_grant(uuid, text)
  from public, anon, authenticated, service_role;
grant execute on function public.void_grant(uuid, text) to service_role;
