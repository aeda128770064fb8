-- Why this exists: work that was counted and then failed, or was paid back.
create function public.refund_usage(
  event_id uuid,
  amount bigint default null,
  reason text default null,
  idempotency_key text default null,
  subject text default null
)
returns public.usage_decision
language plpgsql
volatile
security invoker
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict error
begin
  return quota.refund_usage(event_id, amount, reason, idempotency_key, subject);
end
$$;

comment on function public.refund_usage(uuid, bigint, text, text, text) is
  'Gives back part or all (amount null) of a counted event, in the period it was counted in, never more than is left of it. event_id comes from the decision that counted. reason is kept in the ledger. Returns a usage_decision: amount is what was given back, event_id the refund''s own line, the other fields the state now. subject is not needed; it routes the call where the data is sharded. Errors: QRSRV no such use, or not this subject''s; QAMNT more than is left of the event; QIDEM key reused with other arguments; 42501 not a trusted role; 55P03 retry.';

revoke all on function public.refund_usage(uuid, bigint, text, text, text)
  from public, anon, authenticated, service_role;
grant execute on function public.refund_usage(uuid, bigint, text, text, text) to service_role;
