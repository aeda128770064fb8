-- Why this exists: to show what is left, or to grey out a button. It is no limit: others come in between.
create function public.check_usage(
  feature text,
  amount bigint default 1,
  subject text default null
)
returns public.usage_decision
language plpgsql
stable
security invoker
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict error
begin
  return quota.check_usage(feature, amount, subject);
end
$$;

comment on function public.check_usage(text, bigint, text) is
  'Answers whether an amount would be allowed now, and writes nothing. amount is in units of the feature (default 1); subject defaults to the signed-in user and must be named by trusted callers. A signed-in user may ask about a server_only feature too. Returns a usage_decision with the state before any use. Errors: 42501 no identity or a subject that is not yours; QFEAT unknown feature; QAMNT amount below 1 or too large; QSUBJ subject missing (trusted callers), empty or over 255 characters.';

revoke all on function public.check_usage(text, bigint, text)
  from public, anon, authenticated, service_role;
grant execute on function public.check_usage(text, bigint, text) to authenticated, service_role;
