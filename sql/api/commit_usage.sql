-- Why this exists: the work is done, and this is what it really used.
create function public.commit_usage(
  reservation_id uuid,
  amount bigint default null,
  subject text default null,
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
  return quota.commit_usage(reservation_id, amount, subject, metadata);
end
$$;

comment on function public.commit_usage(uuid, bigint, text, jsonb) is
  'Turns a hold into use, in the period in which it was made. amount is what was really used, in units of the feature: 0 is allowed, null is what was held; less gives the rest back. More than was held, or a hold that has expired, is counted all the same, and reason is over_limit when that passed a limit. Repeated, it gives the first answer again (replayed = true), whatever amount it names. event_id of the answer can be refunded. subject is not needed; it routes the call where the data is sharded. Errors: QRSRV no such reservation, released already, or of another subject than the named one; QAMNT amount below 0 or too large; QMETA; 42501 not a trusted role; 55P03 retry.';

revoke all on function public.commit_usage(uuid, bigint, text, jsonb)
  from public, anon, authenticated, service_role;
grant execute on function public.commit_usage(uuid, bigint, text, jsonb) to service_role;
