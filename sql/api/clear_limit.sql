-- Why this exists: ends one customer's exception; its plan's limit holds again.
create function public.clear_limit(
  subject text,
  feature text,
  period text
)
returns void
language plpgsql
volatile
security invoker
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict error
begin
  perform quota.change_limit(subject, feature, period, null, true);
end
$$;

comment on function public.clear_limit(text, text, text) is
  'Takes an exception away: the plan''s limit holds again, at once. Nothing happens when there is none. Errors: QFEAT unknown feature; QPLAN unknown period; QSUBJ; 42501 not a trusted role; 55P03 retry.';

revoke all on function public.clear_limit(text, text, text)
  from public, anon, authenticated, service_role;
grant execute on function public.clear_limit(text, text, text) to service_role;
