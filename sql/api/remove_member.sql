-- Why this exists: ends it.
create function public.remove_member(
  subject text,
  user_id text
)
returns void
language plpgsql
volatile
security invoker
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict error
begin
  perform quota.change_member(subject, user_id, false);
end
$$;

comment on function public.remove_member(text, text) is
  'Ends it: from the next call on the user is refused with 42501. Nothing happens when it was no member. Errors: QSUBJ subject or user missing, empty or over 255 characters; 42501 not a trusted role; 55P03 retry.';

revoke all on function public.remove_member(text, text)
  from public, anon, authenticated, service_role;
grant execute on function public.remove_member(text, text) to service_role;
