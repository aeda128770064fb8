-- Why this exists: called by whatever knows what the customer bought (a payment webhook, an admin page).
create function public.set_plan(
  subject text,
  plan text,
  anchor timestamptz default null,
  time_zone text default null,
  ends_at timestamptz default null
)
returns void
language plpgsql
volatile
security invoker
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict error
begin
  perform quota.set_plan(subject, plan, anchor, time_zone, ends_at);
end
$$;

comment on function public.set_plan(text, text, timestamptz, text, timestamptz) is
  'Puts a subject on a plan now. Use so far is kept, and the new limits hold at once, also for calls that are waiting. anchor is the start of the billing period (Stripe''s billing_cycle_anchor): days, weeks, months and years count from it on the wall clock of time_zone (an IANA name with a slash, UTC or GMT), month ends clamped; null keeps the present one. A moved anchor or zone starts a new period at once and carries the use that falls into it. From ends_at on the default plan holds; null means no end. Errors: QPLAN unknown plan; QSUBJ; 22023 unknown time zone, or an anchor or end outside the years 1000 to 9999; 42501 not a trusted role; 55P03 retry.';

revoke all on function public.set_plan(text, text, timestamptz, text, timestamptz)
  from public, anon, authenticated, service_role;
grant execute on function public.set_plan(text, text, timestamptz, text, timestamptz) to service_role;
