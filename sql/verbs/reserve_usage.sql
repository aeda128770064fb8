-- The first half of work that may fail. See commit_usage and release_usage.
create function public.reserve_usage(
  feature text,
  amount bigint default 1,
  subject text default null,
  ttl interval default '15 minutes',
  idempotency_key text default null,
  metadata jsonb default '{}',
  actor text default null,
  partial boolean default false
)
returns public.usage_decision
language plpgsql volatile security invoker set search_path = pg_catalog, pg_temp
as $$
#variable_conflict error
begin
  return quota.reserve_usage(
    feature, amount, subject, ttl, idempotency_key, metadata, actor, partial
  );
end
$$;

comment on function public.reserve_usage is
  'Holds an amount while work runs: it counts against every limit of the feature from now on, until it is committed, released or expires after ttl (more than 0, at most 7 days), with no job running; extend_usage moves that on. Returns a usage_decision with reservation_id; a refusal is an answer, as in consume_usage. amount is in units of the feature (default 1); subject must be named. actor is the user that it is for, where subject is an organisation; the ledger keeps it, with the end of the hold, too. partial holds what fits of the amount: amount of the answer says how much, and only nothing is a refusal. The same idempotency_key with the same arguments gives the first answer again, while the hold is open or was committed: once it was released, has expired uncommitted, or its use was refunded in full, the key is free and the call decides afresh. Errors: 22023 ttl, or partial is null; QFEAT unknown feature; QAMNT; QSUBJ subject, or actor empty or over 255 characters; QIDEM; QMETA; 42501 not a trusted role; 55P03 retry.';

-- Work that may fail or whose cost is known only afterwards. A hold counts against every
-- limit of the feature from now on, and stops counting the moment it expires.
create function quota.reserve_usage(
  p_feature text,
  p_amount bigint,
  p_subject text,
  p_ttl interval,
  p_idempotency_key text,
  p_metadata jsonb,
  p_actor text,
  p_partial boolean
)
returns public.usage_decision
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp set lock_timeout = '2s'
as $$
begin
  if current_setting('role', true) = 'service_role' is not true then
    perform quota.require_trusted();
  end if;
  if (p_ttl > '0' and extract(epoch from p_ttl) <= 604800) is not true then
    perform quota.reject_ttl('reserve_usage', p_ttl);
  end if;
  if p_partial is null then
    perform quota.check_flag('reserve_usage', 'partial', p_partial);
  end if;
  return quota.consume_usage(
    p_feature, p_amount, p_subject, p_idempotency_key, p_metadata, p_actor, p_partial,
    -- In seconds: a day of an interval would follow the session's time zone.
    make_interval(secs => extract(epoch from p_ttl)::double precision)
  );
end
$$;

comment on function quota.reserve_usage is 'See public.reserve_usage.';
