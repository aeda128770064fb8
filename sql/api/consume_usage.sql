-- Why this exists: the main call. Checks the limit and counts, in one atomic step.
create function public.consume_usage(
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
  return quota.consume_usage(feature, amount, subject, idempotency_key, metadata);
end
$$;

comment on function public.consume_usage(text, bigint, text, text, jsonb) is
  'Checks every limit of the feature and counts the amount, in one step and in the caller''s transaction. A refusal is an answer (allowed = false with reason limit_reached or feature_not_in_plan), not an error, and counts nothing. amount is in units of the feature (default 1); subject defaults to the signed-in user and must be named by trusted callers. The same idempotency_key with the same arguments gives the first allowed answer again (replayed = true) and counts nothing, for at least 30 days (the rule of Stripe''s Idempotency-Key, except that a refusal binds nothing, and that the key of a use that was refunded in full is free again). Keys of users and of trusted callers are two spaces. metadata is kept in the ledger. Errors: 42501 no identity, a subject that is not yours, or a server_only feature; QFEAT unknown feature; QAMNT amount below 1 or too large; QSUBJ subject missing (trusted callers), empty or over 255 characters; QIDEM key reused with other arguments, empty or over 255 characters; QMETA metadata not an object or over 8 kB; 55P03 another call held the row for 2 s (retry).';

revoke all on function public.consume_usage(text, bigint, text, text, jsonb)
  from public, anon, authenticated, service_role;
grant execute on function public.consume_usage(text, bigint, text, text, jsonb) to authenticated, service_role;
