-- Why this exists: consume_usage for callers that want an error: HTTP answers 402 or 429, and a transaction around it rolls back.
create function public.enforce_usage(
  feature text,
  amount bigint default 1,
  subject text default null,
  idempotency_key text default null,
  metadata jsonb default '{}'
)
returns public.usage_decision
language plpgsql
volatile
security invoker
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict error
begin
  return quota.enforce(
    quota.consume_usage(feature, amount, subject, idempotency_key, metadata)
  );
end
$$;

comment on function public.enforce_usage(text, bigint, text, text, jsonb) is
  'As consume_usage, and shares its idempotency keys, but a refusal raises: PT429 (HTTP 429) where a minute or hour limit refuses and waiting helps, else PT402 (HTTP 402). DETAIL is the decision as JSON, HINT the upgrade url; over HTTP a Retry-After header gives the wait in seconds. Errors: PT402 and PT429 a refusal; 42501, QFEAT, QAMNT, QSUBJ, QIDEM, QMETA and 55P03 as consume_usage.';

revoke all on function public.enforce_usage(text, bigint, text, text, jsonb)
  from public, anon, authenticated, service_role;
grant execute on function public.enforce_usage(text, bigint, text, text, jsonb) to authenticated, service_role;
