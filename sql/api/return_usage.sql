-- Why this exists: a gauge goes down, where the app counts by hand; tables under limit_table() do it themselves.
create function public.return_usage(
  feature text,
  amount bigint,
  subject text,
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
  return quota.return_usage(feature, amount, subject, idempotency_key, metadata);
end
$$;

comment on function public.return_usage(text, bigint, text, text, jsonb) is
  'Lowers a gauge: something was deleted. Never below zero: it gives back what there is, and amount in the answer says how much. amount is in units of the feature. The same idempotency_key with the same arguments gives the first answer again. Errors: QFEAT unknown feature, or a metered one (see refund_usage); QAMNT; QSUBJ; QIDEM; QMETA; 42501 not a trusted role; 55P03 retry.';

revoke all on function public.return_usage(text, bigint, text, text, jsonb)
  from public, anon, authenticated, service_role;
grant execute on function public.return_usage(text, bigint, text, text, jsonb) to service_role;
