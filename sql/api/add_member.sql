-- Why this exists: lets a user act for an organisation.
create function public.add_member(
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
  perform quota.change_member(subject, user_id, true);
end
$$;

comment on function public.add_member(text, text) is
  'Lets a user use and see on behalf of a subject, beside its own allowance. Apps that have a membership table of their own replace quota.acts_for() and quota.subjects_of() instead. Errors: QSUBJ subject or user missing, empty or over 255 characters; 42501 not a trusted role; 55P03 retry.';

revoke all on function public.add_member(text, text)
  from public, anon, authenticated, service_role;
grant execute on function public.add_member(text, text) to service_role;
