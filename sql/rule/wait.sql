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
language plpgsql stable security invoker set search_path = pg_catalog, pg_temp
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
  v_rolled integer := 0;
  v_next timestamptz;
begin
  loop
    v_rolled := v_rolled + 1;
    -- Without use there is nothing to gain from a reset, but for what rolls over: so this ends.
    select coalesce(min(candidate), 'infinity')
      into v_until
      from (
        select l.resets_at as candidate
        from unnest(v_allowance.limits) as l
        where l.used + l.reserved > 0
          or v_rolled < 20 and l.rollover > 0 and l.amount > 0
            and coalesce(l.carried, 0) < least(l.rollover, l.amount - coalesce(l.carried, 0))
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
    foreach v_limit in array p_allowance.limits loop
      exit when v_limit.period = quota.longest_period(v_refusing);
    end loop;
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

comment on function quota.refusal is
  'The refusing answer, with the limit that refuses longest and the wait until time alone allows it.';

create function quota.still_refusing(
  p_refusing text[],
  p_later text[]
)
returns text[]
language plpgsql immutable security invoker set search_path = pg_catalog, pg_temp
as $$
begin
  if p_refusing && p_later then
    return array(select period from unnest(p_refusing) as period where period = any (p_later));
  end if;
  return p_refusing;
end
$$;

comment on function quota.still_refusing is
  'The periods that refuse longest: of those that refused until now the ones that still do, if any.';

create function quota.longest_period(p_periods text[])
returns text
language plpgsql immutable security invoker set search_path = pg_catalog, pg_temp
as $$
begin
  return (
    select p.period from unnest(p_periods) as p (period) order by quota.period_rank(p.period) desc limit 1
  );
end
$$;

comment on function quota.longest_period is 'The longest of these periods.';
