-- The rule itself, without a table: is there room for an amount under every limit,
-- and how much of it has to come from grants?

create type quota.overage as (
  period text,
  units bigint,
  mode text
);

comment on type quota.overage is
  'How far an amount goes past a limit that does not refuse it; of one in shadow, which would have.';

create type quota.verdict as (
  is_allowed boolean,
  shown quota.limit_state,
  drawn bigint,
  refusing text[],
  over quota.overage[]
);

comment on type quota.verdict is
  'The limit to show is the one with least room, the longest period among equals; refusing lists the periods without room; drawn is what the amount takes from grants; over, where it is allowed and goes past limits (null: nowhere).';

create function quota.decide(
  p_limits quota.limit_state[],
  p_amount bigint
)
returns quota.verdict
language plpgsql immutable security invoker set search_path = pg_catalog, pg_temp
as $$
declare
  v_verdict quota.verdict;
  v_limit quota.limit_state;
  v_room bigint;
  v_least bigint;
begin
  v_verdict.is_allowed := p_limits is not null;
  v_verdict.drawn := 0;
  foreach v_limit in array coalesce(p_limits, '{}') loop
    -- Null when unlimited.
    v_room := v_limit.amount + v_limit.drawn + v_limit.granted - v_limit.used - v_limit.reserved;
    if v_room < p_amount and (v_room + v_limit.slack >= p_amount) is not true then
      v_verdict.is_allowed := false;
      v_verdict.refusing := v_verdict.refusing || v_limit.period;
    elsif v_limit.used + v_limit.reserved + p_amount > 9007199254740991 then
      -- What is unlimited is counted all the same, and grants may lift a limit past it.
      raise exception 'the counter of this % would pass 9007199254740991 (2^53 - 1)', v_limit.period
        using errcode = 'QAMNT', hint = 'count in a larger unit';
    elsif v_room < p_amount or v_limit.trial is not null then
      v_verdict.over := v_verdict.over || quota.overage_of(v_limit, p_amount);
    end if;
    if v_room is null then
      if v_least is null
        and quota.period_rank(v_limit.period) >= coalesce(quota.period_rank((v_verdict.shown).period), 0)
      then
        v_verdict.shown := v_limit;
      end if;
    else
      if v_limit.granted > 0 then
        -- Grants come after the plan's allowance: what the amount exceeds it by, at most the amount.
        v_verdict.drawn := least(
          greatest(v_verdict.drawn, least(p_amount - (v_room - v_limit.granted), v_limit.granted)),
          p_amount
        );
      end if;
      if v_least is null
        or v_room < v_least
        or (v_room = v_least and quota.period_rank(v_limit.period) > quota.period_rank((v_verdict.shown).period))
      then
        v_least := v_room;
        v_verdict.shown := v_limit;
      end if;
    end if;
  end loop;
  return v_verdict;
end
$$;

comment on function quota.decide is
  'Whether an amount fits under every limit. Null limits (the feature is not in the plan) refuse. Errors: QAMNT, a counter would pass 2^53 - 1.';

create function quota.overage_of(
  p_limit quota.limit_state,
  p_amount bigint
)
returns quota.overage[]
language plpgsql immutable security invoker set search_path = pg_catalog, pg_temp
as $$
declare
  v_units bigint := p_amount - greatest(
    coalesce(p_limit.amount, p_limit.trial) + p_limit.drawn + p_limit.granted
      - p_limit.used - p_limit.reserved,
    0
  );
begin
  return case
    when v_units > 0 then array[row(p_limit.period, v_units, p_limit.mode)::quota.overage]
  end;
end
$$;

comment on function quota.overage_of is
  'How much of an amount is past a limit, or the limit in shadow; null: nothing.';

create function quota.allowing_reason(p_verdict quota.verdict)
returns text
language plpgsql immutable security invoker set search_path = pg_catalog, pg_temp
as $$
begin
  if p_verdict.over is not null
    and exists (select from unnest(p_verdict.over) as o where o.mode <> 'shadow')
  then
    return 'over_limit';
  end if;
  return 'ok';
end
$$;

comment on function quota.allowing_reason is
  'over_limit where what is allowed passes a limit; what passes one in shadow is ok, since nobody is told.';

create function quota.room(p_limit quota.limit_state)
returns bigint
language plpgsql immutable security invoker set search_path = pg_catalog, pg_temp
as $$
begin
  return p_limit.amount + p_limit.drawn + p_limit.granted - p_limit.used - p_limit.reserved;
end
$$;

comment on function quota.room is
  'What is left under a limit: null when unlimited, negative when it was passed.';

create function quota.what_fits(p_limits quota.limit_state[])
returns bigint
language plpgsql immutable security invoker set search_path = pg_catalog, pg_temp
as $$
begin
  return greatest((select min(quota.room(l) + l.slack) from unnest(p_limits) as l), 1);
end
$$;

comment on function quota.what_fits is 'The most that every limit allows, at least 1; null: no limit.';
