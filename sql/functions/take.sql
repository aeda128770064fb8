-- Why this exists: the one way in which an amount is taken. consume, reserve, batch and limited tables
-- all come here, holding the meter.

create function quota.decision(
  p_subject_id text,
  p_feature_id text,
  p_amount bigint,
  p_allowance quota.allowance,
  p_limit quota.limit_state,
  p_reason text,
  p_event_id uuid default null,
  p_reservation_id uuid default null
)
returns public.usage_decision
language plpgsql
immutable
security invoker
set search_path = pg_catalog, pg_temp
as $$
declare
  v_limit bigint := p_limit.amount + coalesce(p_limit.drawn, 0) + coalesce(p_limit.granted, 0);
begin
  if p_limit.period is null then
    v_limit := 0;
  end if;
  return row(
    p_reason in ('ok', 'over_limit'),
    p_reason,
    p_feature_id,
    p_subject_id,
    p_allowance.plan_id,
    p_amount,
    coalesce(p_limit.used, 0),
    coalesce(p_limit.reserved, 0),
    v_limit,
    case when v_limit is not null then greatest(v_limit - p_limit.used - p_limit.reserved, 0) end,
    v_limit is null,
    p_limit.period,
    nullif(p_limit.period_start, '-infinity'),
    nullif(p_limit.resets_at, 'infinity'),
    null,
    p_event_id,
    p_reservation_id,
    false,
    p_allowance.upgrade_url,
    coalesce(p_limit.granted, 0)
  )::public.usage_decision;
end
$$;

comment on function quota.decision(
  text, text, bigint, quota.allowance, quota.limit_state, text, uuid, uuid
) is 'The answer that shows this limit (null: the feature is not in the plan).';

revoke all on function quota.decision(
  text, text, bigint, quota.allowance, quota.limit_state, text, uuid, uuid
) from public, anon, authenticated, service_role;

create function quota.still_refusing(
  p_refusing text[],
  p_later text[]
)
returns text[]
language plpgsql
immutable
security invoker
set search_path = pg_catalog, pg_temp
as $$
begin
  if p_refusing && p_later then
    return array(select period from unnest(p_refusing) as period where period = any (p_later));
  end if;
  return p_refusing;
end
$$;

comment on function quota.still_refusing(text[], text[]) is
  'The periods that refuse longest: of those that refused until now the ones that still do, if any.';

revoke all on function quota.still_refusing(text[], text[])
  from public, anon, authenticated, service_role;

-- The answer to an amount that does not fit: which limit to show, and how long to wait. Walks through
-- the instants at which time changes something (a reset, the end of the plan or of a grant) and asks
-- limits_of() and decide() again as of then. Between two of them only holds expire, and each makes room:
-- so the last is looked at first, and the first that suffices is found by halving. (Walking through
-- 1,000 open holds took 30 s, under the lock.)
create function quota.refusal(
  p_subject_id text,
  p_feature_id text,
  p_amount bigint,
  p_at timestamptz,
  p_allowance quota.allowance,
  p_verdict quota.verdict
)
returns public.usage_decision
language plpgsql
stable
security invoker
set search_path = pg_catalog, pg_temp
as $$
declare
  v_decision public.usage_decision;
  v_allowance quota.allowance := p_allowance;
  v_verdict quota.verdict;
  v_refusing text[] := p_verdict.refusing;
  v_limit quota.limit_state;
  v_from timestamptz := p_at;
  v_until timestamptz;
  v_ends timestamptz[];
  v_refused integer;
  v_allowed integer;
  v_probe integer;
  v_next timestamptz;
begin
  loop
    -- A limit without use has nothing to gain from a reset; so this ends.
    select coalesce(min(candidate), 'infinity')
      into v_until
      from (
        select l.resets_at as candidate
        from unnest(v_allowance.limits) as l
        where l.used + l.reserved > 0
        union all
        select v_allowance.changes_at
        union all
        select g.expires_at
        from quota.grants as g
        where g.subject_id = p_subject_id
          and g.feature_id = p_feature_id
          and g.expires_at > v_from
          and g.voided_at is null
          and not g.is_spent
          -- The end of a grant makes no room. It matters only to the search among holds.
          and g.expires_at < (
            select max(r.expires_at)
            from quota.reservations as r
            where r.subject_id = p_subject_id
              and r.feature_id = p_feature_id
              and r.state = 'open'
          )
      ) as candidates;
    v_ends := array(
      select r.expires_at
      from quota.reservations as r
      where r.subject_id = p_subject_id
        and r.feature_id = p_feature_id
        and r.state = 'open'
        and r.expires_at > v_from
        and r.expires_at < v_until
      order by r.expires_at
    );
    v_refused := 0;
    v_allowed := cardinality(v_ends) + 1;
    v_probe := cardinality(v_ends);
    while v_probe > v_refused loop
      v_verdict := quota.decide(
        (quota.limits_of(p_subject_id, p_feature_id, v_ends[v_probe])).limits, p_amount
      );
      if v_verdict.is_allowed then
        v_allowed := v_probe;
        v_next := v_ends[v_probe];
      else
        v_refused := v_probe;
        v_refusing := quota.still_refusing(v_refusing, v_verdict.refusing);
      end if;
      v_probe := (v_refused + v_allowed) / 2;
    end loop;
    exit when v_next is not null or v_until = 'infinity';

    v_allowance := quota.limits_of(p_subject_id, p_feature_id, v_until);
    v_verdict := quota.decide(v_allowance.limits, p_amount);
    if v_verdict.is_allowed then
      v_next := v_until;
      exit;
    end if;
    v_refusing := quota.still_refusing(v_refusing, v_verdict.refusing);
    v_from := v_until;
  end loop;

  if p_allowance.limits is null then
    v_decision := quota.decision(
      p_subject_id, p_feature_id, p_amount, p_allowance, null, 'feature_not_in_plan'
    );
  else
    select l.period, l.period_start, l.resets_at, l.source, l.amount,
        l.used, l.reserved, l.drawn, l.granted, l.is_counted, l.last_limit, l.alerted, l.passed
      into v_limit
      from unnest(p_allowance.limits) as l
      where l.period = any (v_refusing)
      order by quota.period_rank(l.period) desc
      limit 1;
    v_decision := quota.decision(
      p_subject_id, p_feature_id, p_amount, p_allowance, v_limit, 'limit_reached'
    );
  end if;
  if v_next is not null then
    v_decision.retry_after := least(
      greatest(ceil(extract(epoch from v_next - p_at)), 1),
      2147483647
    );
  end if;
  return v_decision;
end
$$;

comment on function quota.refusal(
  text, text, bigint, timestamptz, quota.allowance, quota.verdict
) is 'The refusing answer, with the limit that refuses longest and the wait until time alone allows it.';

revoke all on function quota.refusal(
  text, text, bigint, timestamptz, quota.allowance, quota.verdict
) from public, anon, authenticated, service_role;

create function quota.take(
  p_caller quota.caller,
  p_feature_id text,
  p_amount bigint,
  p_at timestamptz,
  p_kind text,
  p_reservation_id uuid,
  p_idempotency_key text,
  p_arguments jsonb,
  p_metadata jsonb,
  p_about_id uuid default null,
  p_allowance quota.allowance default null
)
returns public.usage_decision
language plpgsql
volatile
security invoker
set search_path = pg_catalog, pg_temp
as $$
declare
  v_allowance quota.allowance := p_allowance;
  v_verdict quota.verdict;
  v_event quota.events;
  v_before quota.limit_state[];
  v_after quota.limit_state[];
  v_decision public.usage_decision;
begin
  if v_allowance.kind is null then
    v_allowance := quota.limits_of(p_caller.subject_id, p_feature_id, p_at, p_is_settled => true);
  end if;
  if v_allowance.server_only and p_caller.is_trusted is not true then
    perform quota.reject_user();
  end if;
  v_verdict := quota.decide(v_allowance.limits, p_amount);
  if not v_verdict.is_allowed then
    return quota.refusal(
      p_caller.subject_id, p_feature_id, p_amount, p_at, v_allowance, v_verdict
    );
  end if;
  if v_allowance.kind = 'gauge' then
    -- What goes up and down draws nothing: an open grant raises its limit.
    v_verdict.drawn := 0;
  end if;
  perform quota.open_counters(p_caller.subject_id, p_feature_id, p_at, v_allowance.limits);

  v_event := row(
    p_caller.subject_id, quota.new_id(p_at), p_at, p_kind, p_feature_id, p_at,
    case when p_reservation_id is null then p_amount else 0 end,
    case when p_reservation_id is null then 0 else p_amount end,
    0, coalesce(p_reservation_id, p_about_id), null, p_caller.actor, p_idempotency_key, p_metadata
  )::quota.events;
  v_after := quota.after_event(v_allowance.limits, v_event, v_verdict.drawn);
  v_before := v_allowance.limits;
  v_allowance.limits := v_after;
  -- All limits shrink by the same, so the one with least room is still that one.
  v_decision := quota.decision(
    p_caller.subject_id, p_feature_id, p_amount, v_allowance,
    (quota.after_event(array[v_verdict.shown], v_event, v_verdict.drawn))[1], 'ok',
    case when p_reservation_id is null then v_event.event_id end, p_reservation_id
  );
  if p_idempotency_key is not null and not quota.bind_key(
    p_caller, p_idempotency_key, p_arguments, to_jsonb(v_decision), p_at
  ) then
    return null;
  end if;
  perform quota.record(v_event);
  if v_verdict.drawn > 0 then
    perform quota.draw(
      p_caller.subject_id, p_feature_id, v_verdict.drawn, p_at, p_at,
      coalesce(p_reservation_id, v_event.event_id)
    );
  end if;
  perform quota.remember(p_caller.subject_id, p_feature_id, p_at, v_allowance);
  perform quota.write_alerts(p_caller.subject_id, p_feature_id, p_at, v_before, v_after);
  return v_decision;
end
$$;

comment on function quota.take(
  quota.caller, text, bigint, timestamptz, text, uuid, text, jsonb, jsonb, uuid, quota.allowance
) is 'Decides and, if there is room, counts, or holds when it is given a reservation id. Null: the idempotency key was taken meanwhile. Errors: QAMNT, 42501 server_only.';

revoke all on function quota.take(
  quota.caller, text, bigint, timestamptz, text, uuid, text, jsonb, jsonb, uuid, quota.allowance
) from public, anon, authenticated, service_role;
