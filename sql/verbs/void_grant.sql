-- A top-up that was paid back, a promotion that ended early.
create function public.void_grant(
  grant_id uuid,
  subject text default null,
  amount bigint default null,
  reason text default null
)
returns bigint
language plpgsql volatile security invoker set search_path = pg_catalog, pg_temp
as $$
#variable_conflict error
begin
  return quota.void_grant(grant_id, subject, amount, reason);
end
$$;

comment on function public.void_grant is
  'Takes back what is left of a grant, or at most amount of it (a part of a payment that was returned), and returns how much that was, in units of the feature. What was drawn stays drawn, and a hold keeps what it drew. Without amount the grant ends: what refunds and releases give back to it later is gone, too. 0 when nothing is left, the grant has expired or was voided before, there is no such grant, or it is not the named subject''s. reason is kept in the ledger; null is none. Errors: 22023 no grant_id; QAMNT; QMETA reason over 8 kB; 42501 not a trusted role; 55P03 retry.';

create function quota.void_grant(
  p_grant_id uuid,
  p_subject text,
  p_amount bigint,
  p_reason text default null
)
returns bigint
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp set lock_timeout = '2s'
as $$
declare
  v_account_id text := quota.account_of(p_subject);
  v_grant quota.grants;
  v_reason jsonb := quota.reason(p_reason);
  v_now timestamptz;
  v_taken bigint;
  v_is_ended boolean;
begin
  perform quota.require_trusted();
  if p_grant_id is null then
    raise exception 'void_grant: grant_id is null, the id that grant_usage gave is expected'
      using errcode = '22023', hint = 'usage_events has it as grant_id of the grant line';
  end if;
  if p_amount is not null then
    perform quota.check_amount(p_amount);
  end if;
  select g.subject_id, g.feature_id
    into v_grant.subject_id, v_grant.feature_id
    from quota.grants as g
    where g.grant_id = p_grant_id
      and (v_account_id is null or g.subject_id = v_account_id);
  if not found then
    return 0;
  end if;
  -- Or forget_subject() was faster: then the subject is not to be made again.
  perform from quota.subjects as s where s.subject_id = v_grant.subject_id for no key update;
  if not found then
    return 0;
  end if;
  v_now := quota.lock_terms(v_grant.subject_id, v_grant.feature_id);
  select g.amount, g.drawn, g.expires_at
    into v_grant.amount, v_grant.drawn, v_grant.expires_at
    from quota.grants as g
    where g.subject_id = v_grant.subject_id
      and g.grant_id = p_grant_id
      and g.voided_at is null;
  if not found then
    return 0;
  end if;
  v_taken := case
    when v_grant.expires_at > v_now then least(p_amount, v_grant.amount - v_grant.drawn)
    else 0
  end;
  v_is_ended := p_amount is null or v_taken = v_grant.amount;
  if v_is_ended then
    update quota.grants as g
      set voided_at = v_now
      where g.subject_id = v_grant.subject_id
        and g.grant_id = p_grant_id;
  elsif v_taken > 0 then
    -- A smaller grant from now on: what comes back to it can be used again.
    update quota.grants as g
      set amount = g.amount - v_taken
      where g.subject_id = v_grant.subject_id
        and g.grant_id = p_grant_id;
    perform quota.mark_spent(
      v_grant.subject_id, v_grant.feature_id, array[p_grant_id], p_grant_id
    );
  else
    return 0;
  end if;
  perform quota.record(
    row(
      v_grant.subject_id, quota.new_id(v_now), v_now, 'void', v_grant.feature_id, v_now, 0, 0, 0,
      p_grant_id, p_grant_id, null, null, 
      jsonb_build_object('amount', v_taken, 'ended', v_is_ended) || v_reason
    )::quota.events
  );
  return v_taken;
end
$$;

comment on function quota.void_grant is 'See public.void_grant.';
