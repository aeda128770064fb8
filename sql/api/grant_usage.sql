-- Why this exists: a top-up that was bought, a promotion.
create function public.grant_usage(
  feature text,
  amount bigint,
  subject text,
  expires_at timestamptz default null,
  idempotency_key text default null,
  metadata jsonb default '{}'
)
returns uuid
language plpgsql
volatile
security invoker
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict error
begin
  return quota.grant_usage(feature, amount, subject, expires_at, idempotency_key, metadata);
end
$$;

comment on function public.grant_usage(text, bigint, text, timestamptz, text, jsonb) is
  'Gives a subject extra allowance outside its plan and returns the grant''s id. It is used after the plan''s allowance, the grant that expires soonest first, and survives resets and plan changes; it lifts neither minute and hour limits nor opens a feature that the plan lacks. On a gauge it raises the limit. amount is in units of the feature; expires_at null is never. The same idempotency_key with the same arguments gives the first id again. Errors: QFEAT unknown feature; QAMNT; QSUBJ; QIDEM; QMETA; 22023 expires_at in the past, infinite or after the year 9999; 42501 not a trusted role; 55P03 retry.';

revoke all on function public.grant_usage(text, bigint, text, timestamptz, text, jsonb)
  from public, anon, authenticated, service_role;
grant execute on function public.grant_usage(text, bigint, text, timestamptz, text, jsonb)
  to service_role;
