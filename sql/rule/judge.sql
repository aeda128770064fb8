-- The rule itself, without a table: is there room for an amount under every limit,
-- and how much of it has to come from grants?

create type quota.verdict as (
  is_allowed boolean,
  shown quota.limit_state,
  drawn bigint,
  refusing text[]
);

comment on type quota.verdict is
  'The limit to show is the one with least room, the longest period among equals; refusing lists the periods without room; drawn is what the amount takes from grants.';

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
    if v_room < p_amount then
      v_verdict.is_allowed := false;
      v_verdict.refusing := v_verdict.refusing || v_limit.period;
    elsif v_limit.used + v_limit.reserved + p_amount > 9007199254740991 then
      -- What is unlimited is counted all the same, and grants may lift a limit past it.
      raise exception 'the counter of this % would pass 9007199254740991 (2^53 - 1)', v_limit.period
        using errcode = 'QAMNT', hint = 'count in a larger unit';
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
          greatest(v_verdict.drawn, p_amount - (v_room - v_limit.granted)), p_amount
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
