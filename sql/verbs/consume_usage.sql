-- The main call. Checks the limit and counts, in one atomic step.
create function public.consume_usage(
  feature text,
  amount bigint default 1,
  subject text default null,
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
  return quota.consume_usage(feature, amount, subject, idempotency_key, metadata, actor, partial);
end
$$;

comment on function public.consume_usage is
  'Checks every limit of the feature and counts the amount, in one step and in the caller''s transaction. A refusal is an answer (allowed = false with reason limit_reached or feature_not_in_plan), not an error, and counts nothing; what a soft limit allows past itself has reason over_limit. amount is in units of the feature (default 1); subject defaults to the signed-in user and must be named by trusted callers. The same idempotency_key with the same arguments gives the first allowed answer again (replayed = true) and counts nothing, for at least 30 days (the rule of Stripe''s Idempotency-Key, except that a refusal binds nothing, and that the key of a use that was refunded in full is free again). Keys of users and of trusted callers are two spaces. metadata is kept in the ledger. actor is the user that it is for, where subject is an organisation: a server names it, a signed-in user is it; the ledger keeps it, and with another one the key is another call''s. partial takes what fits of the amount: amount of the answer says how much, and only nothing is a refusal. Errors: 42501 no identity, a subject that is not yours, a server_only feature, or an actor named by a user; QFEAT unknown feature; QAMNT amount below 1 or too large; QSUBJ subject missing (trusted callers), or it or actor empty or over 255 characters; QIDEM key reused with other arguments, empty or over 255 characters; QMETA metadata not an object or over 8 kB; 22023 partial is null; 55P03 another call held the row for 2 s (retry).';

-- The main job. Checks the limit and counts (or, given a ttl, holds) in one atomic step.
--
-- What a call costs is the number of functions, statements and expressions that it goes through, since
-- Postgres sets each up anew in every transaction. So the plain call stands here whole: one update of the
-- meter, under the ceiling that the last proper look at the limits left there, and one line. It knows
-- nothing of plans, and it never decides: it recognises calls for which take_properly() could only say
-- yes (see sql/meter/meters.sql and sql/README.md for why that is exact). After it a refusal is looked for
-- that is as plain, and waits for nobody (look_plainly()).
create function quota.consume_usage(
  p_feature text,
  p_amount bigint,
  p_subject text,
  p_idempotency_key text,
  p_metadata jsonb,
  p_actor text,
  p_partial boolean,
  p_ttl interval default null
)
returns public.usage_decision
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp set lock_timeout = '2s' set plan_cache_mode = force_generic_plan
as $$
declare
  v_subject_id text := p_subject;
  v_is_trusted boolean := true;
  v_actor text;
  v_owner_id text;
  v_kind text := 'consume';
  v_held bigint := 0;
  v_first_expiry timestamptz;
  v_arguments jsonb;
  v_meter record;
  v_now timestamptz;
  v_id uuid;
  v_reservation_id uuid;
  v_decision public.usage_decision;
  v_answer quota.kept_answer;
begin
  -- A plainly good call of the server, seen in one look. A subject that has a meter is one.
  if (
    current_setting('role', true) = 'service_role'
    and p_amount between 1 and 9007199254740991 and p_metadata = '{}' and not p_partial
    and p_actor is null
  ) is not true then
    select c.subject_id, c.is_trusted, c.actor
      into v_subject_id, v_is_trusted, v_actor
      from quota.with_actor(
        case when p_ttl is null then 'consume_usage' else 'reserve_usage' end,
        quota.caller_for(p_subject), p_actor
      ) as c;
    perform quota.check_arguments(p_amount, p_idempotency_key, p_metadata);
    perform quota.check_flag('consume_usage', 'partial', p_partial);
  end if;
  if p_ttl is not null or p_idempotency_key is not null then
    if p_ttl is not null then
      if not v_is_trusted then
        perform quota.require_trusted();
      end if;
      v_kind := 'reserve';
      v_held := p_amount;
      -- Read before the lock, this is no later than when the hold will expire.
      v_first_expiry := quota.clock() + p_ttl;
    end if;
    if p_idempotency_key is not null then
      v_owner_id := case when v_is_trusted then '' else coalesce(v_actor, v_subject_id) end;
      v_arguments := jsonb_build_object('call', 'consume_usage', 'feature', p_feature, 'amount', p_amount);
      if p_partial or v_actor is not null or p_ttl is not null
        or length(p_idempotency_key) not between 1 and 255
      then
        v_arguments := quota.key_arguments(p_idempotency_key, v_arguments, v_actor, p_partial, p_ttl);
      end if;
    end if;
  end if;

  <<plainly>>
  begin
    -- A snapshot of a whole transaction may be older than the catalogue. In any other as wait_in_line(),
    -- without a call.
    exit plainly when current_setting('transaction_isolation') <> 'read committed'
      or pg_current_xact_id_if_assigned() is null
        and (statement_timestamp() - now() < interval '250 us' or current_setting('request.method', true) = 'POST') is true
        and pg_advisory_xact_lock(hashtextextended(v_subject_id || p_feature, 0)) is null;
    -- Where it waits for the row, Postgres looks at the conditions again, in what was committed meanwhile.
    update quota.meters as m
      set used = m.used + p_amount - v_held,
          reserved = m.reserved + v_held,
          holds_expire_at = least(m.holds_expire_at, v_first_expiry)
      where m.subject_id = v_subject_id
        and m.feature_id = p_feature
        and m.fresh_from < 'infinity'
        and m.used + m.reserved >= m.floor
        and m.used + m.reserved + p_amount <= m.ceiling
        and (v_is_trusted or not m.server_only)
      returning
        m.fresh_from, least(m.fresh_until, m.holds_expire_at) as fresh_until, m.holds_expire_at,
        m.catalogue_version, m.plan_id, m.upgrade_url, m.period, m.period_start, m.period_end,
        m.allowed, m.granted, m.used - m.used_before as used, m.reserved - m.reserved_before as reserved,
        m.long_period, m.long_carried
      into v_meter;
    exit plainly when not found;
    <<counted>>
    begin
      -- The time is read under the lock: what began while the call waited holds for it.
      v_now := quota.clock();
      if v_now < v_meter.fresh_from or v_now >= v_meter.fresh_until
        or v_now + p_ttl < v_meter.holds_expire_at
      then
        -- Perhaps only a minute or an hour has ended.
        select w.period, w.period_start, w.period_end, w.allowed, w.granted, w.used, w.reserved
          into v_meter.period, v_meter.period_start, v_meter.period_end, v_meter.allowed,
            v_meter.granted, v_meter.used, v_meter.reserved
          from quota.begin_windows(v_subject_id, p_feature, v_now, p_amount, p_amount - v_held) as w;
        exit counted when v_meter.period is null;
      end if;
      -- As new_id(), without a call.
      v_id := (
        lpad(to_hex((date_part('epoch', v_now) * 1000)::bigint), 12, '0')
        || '7' || right(gen_random_uuid()::text, 21)
      )::uuid;
      v_decision := row(
        true, 'ok', p_feature, v_subject_id, v_meter.plan_id, p_amount, v_meter.used, v_meter.reserved,
        v_meter.allowed, v_meter.allowed - v_meter.used - v_meter.reserved, v_meter.allowed is null,
        v_meter.period, nullif(v_meter.period_start, '-infinity'), nullif(v_meter.period_end, 'infinity'),
        null, v_id, null, false, v_meter.upgrade_url, v_meter.granted,
        case when v_meter.period = v_meter.long_period then v_meter.long_carried else 0 end,
        p_feature, v_subject_id, null
      )::public.usage_decision;
      if p_ttl is not null or p_idempotency_key is not null then
        if p_ttl is not null then
          v_reservation_id := v_id;
          v_decision.event_id := null;
          v_decision.reservation_id := v_id;
        end if;
        -- The key goes before the line: when it is taken, nothing was counted.
        if p_idempotency_key is not null then
          v_answer := v_decision;
          insert into quota.keys (subject_id, owner_id, idempotency_key, bound_at, arguments, answers)
            values (v_subject_id, v_owner_id, p_idempotency_key, v_now, v_arguments, array[v_answer])
            on conflict do nothing;
          exit counted when not found;
        end if;
      end if;
      -- A statement after the lock: is the catalogue still the edition that is remembered?
      insert into quota.events (
        subject_id, event_id, at, kind, feature_id, counts_at, used_change, reserved_change, about_id,
        actor, idempotency_key, metadata
      )
        select
          v_subject_id, v_id, v_now, v_kind, p_feature, v_now, p_amount - v_held, v_held,
          v_reservation_id, v_actor, p_idempotency_key, coalesce(p_metadata, '{}')
        from quota.catalogue as k
        where k.version = v_meter.catalogue_version;
      if found then
        if v_reservation_id is not null then
          insert into quota.reservations (
            subject_id, reservation_id, feature_id, amount, reserved_at, expires_at, actor
          ) values (v_subject_id, v_id, p_feature, p_amount, v_now, v_now + p_ttl, v_actor);
        end if;
        return v_decision;
      end if;
      perform quota.free_key(row(v_subject_id, v_is_trusted, v_actor)::quota.caller, p_idempotency_key);
    end;
    perform quota.take_back(v_subject_id, p_feature, p_amount - v_held, v_held);
  end;
  if p_idempotency_key is null then
    v_decision := quota.look_plainly(
      row(v_subject_id, v_is_trusted, v_actor)::quota.caller, p_feature,
      case when p_partial then 1 else p_amount end, null
    );
    if v_decision.allowed is false then
      v_decision.amount := p_amount;
      return v_decision;
    end if;
  end if;
  return quota.take_properly(
    row(v_subject_id, v_is_trusted, v_actor)::quota.caller, p_feature, p_amount, p_ttl,
    p_idempotency_key, v_arguments, coalesce(p_metadata, '{}'), p_partial, p_ttl is null and v_decision.reason = 'first_use'
  );
end
$$;

comment on function quota.consume_usage is
  'See public.consume_usage; given a ttl, in seconds, public.reserve_usage.';

create function quota.key_arguments(
  p_idempotency_key text,
  p_arguments jsonb,
  p_actor text,
  p_partial boolean,
  p_ttl interval
)
returns jsonb
language plpgsql stable security invoker set search_path = pg_catalog, pg_temp
as $$
begin
  perform quota.check_key(p_idempotency_key);
  return p_arguments
    || quota.further_arguments(p_actor, p_partial)
    || case
      when p_ttl is null then '{}'::jsonb
      else jsonb_build_object('call', 'reserve_usage', 'ttl', extract(epoch from p_ttl))
    end;
end
$$;

comment on function quota.key_arguments is
  'What the key of a call is bound to that is partial, for an actor, or holds. Errors: QIDEM.';
