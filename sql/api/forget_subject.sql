-- Why this exists: the right to erasure.
create function public.forget_subject(
  subject text
)
returns bigint
language plpgsql
volatile
security invoker
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict error
begin
  return quota.forget_subject(subject);
end
$$;

comment on function public.forget_subject(text) is
  'Erases everything that is known of a subject (plan, counters, grants, memberships, ledger) and returns how many ledger lines that were. The ledgers of organisations for which it acted keep their lines without its name. What rows of limited tables count stays counted while they stand: delete them first, or call it again after. Not to be undone. Errors: QSUBJ; 42501 not a trusted role; 55P03 retry.';

revoke all on function public.forget_subject(text)
  from public, anon, authenticated, service_role;
grant execute on function public.forget_subject(text) to service_role;
