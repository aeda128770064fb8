-- Why this exists: one action that uses several things, all or none, in one round trip.
create function public.consume_usage_batch(
  items jsonb,
  subject text default null,
  idempotency_key text default null,
  metadata jsonb default '{}'
)
returns setof public.usage_decision
language plpgsql
volatile
security invoker
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict error
begin
  return query
    select * from quota.consume_usage_batch(items, subject, idempotency_key, metadata);
end
$$;

comment on function public.consume_usage_batch(jsonb, text, text, jsonb) is
  'Consumes several items, all or none, in one atomic step: items is an array of 1 to 100 objects {"feature": …, "amount": …} (amount in units of the feature, default 1; a feature may appear twice). Returns one decision per item, in order. When one is refused nothing is counted: refused items say why, the others have allowed = false and reason not_taken. subject, idempotency_key and metadata are as in consume_usage; the key stands for the whole batch. Errors: 22023 items malformed, empty or more than 100; QAMNT; QFEAT; 42501 no identity, a subject that is not yours, or a server_only feature; QSUBJ; QIDEM; QMETA; 55P03 retry.';

revoke all on function public.consume_usage_batch(jsonb, text, text, jsonb)
  from public, anon, authenticated, service_role;
grant execute on function public.consume_usage_batch(jsonb, text, text, jsonb)
  to authenticated, service_role;
