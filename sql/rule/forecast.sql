-- "will it last?" Use at the pace of the period so far. Two calls at midnight are no pace: nothing is
-- said before a tenth of the period has passed and 5 units are used.
create function quota.forecast(
  p_limit quota.limit_state,
  p_at timestamptz,
  out projected bigint,
  out exhausted_at timestamptz
)
language plpgsql immutable security invoker set search_path = pg_catalog, pg_temp
as $$
declare
  v_elapsed numeric;
  v_left numeric;
  v_room bigint;
begin
  -- A lifetime has no pace.
  if p_limit.used < 5 or p_limit.resets_at = 'infinity' or p_limit.period_start is null then
    return;
  end if;
  v_elapsed := extract(epoch from p_at - p_limit.period_start);
  v_left := extract(epoch from p_limit.resets_at - p_at);
  if v_elapsed * 9 < v_left then
    return;
  end if;
  projected := least(round(p_limit.used * (v_elapsed + v_left) / v_elapsed), 9007199254740991);
  v_room := quota.room(p_limit);
  if v_room <= 0 then
    exhausted_at := p_at;
  elsif v_room * v_elapsed < p_limit.used * v_left then
    exhausted_at := p_at + make_interval(secs => (v_room * v_elapsed / p_limit.used)::double precision);
  end if;
end
$$;

comment on function quota.forecast is
  'What the use of a period comes to at its end at the pace so far, and when nothing is left; null before a tenth of the period and 5 units, and for a lifetime. exhausted_at is null where the limit lasts until the reset.';
