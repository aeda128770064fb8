-- Why this exists: the first half of work that may fail. See commit_usage and release_usage.
create function public.reserve_usage(
  feature text,
  amount bigint default 1,
  subject text default null,
  ttl interval default '15 minutes',
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
  return quota.reserve_usage(feature, amount, subject, ttl, idempotency_key, metadata);
end
$$;

comment on function public.reserve_usage(text, bigint, text, interval, text, jsonb) is
  'Holds an amount while work runs: it counts against every limit of the feature from now on, until it is committed, released or expires after ttl (more than 0, at most 7 days), with no job running. Returns a usage_decision with reservation_id; a refusal is an answer, as in consume_usage. amount is in units of the feature (default 1); subject must be named. The same idempotency_key with the same arguments gives the first answer again, while the hold is open or was committed: once it was released, has expired uncommitted, or its use was refunded in full, the key is free and the call decides afresh. Errors: 22023 ttl; QFEAT unknown feature; QAMNT; QSUBJ; QIDEM; QMETA; 42501 not a trusted role; 55P03 retry.';

revoke all on function public.reserve_usage(text, bigint, text, interval, text, jsonb)
  from public, anon, authenticated, service_role;
grant execute on function public.reserve_usage(text, bigint, text, interval, text, jsonb)
  to service_role;
