-- "will it last?" Use at the pace of the period so far. Two calls at midnight are no pace: nothing is
-- said before a tenth of the period has passed and 5 units are used.
create function quota.forecast(
  p_used bigint,
  p_room bigint,
  p_period_start timestamptz,
  p_resets_at timestamptz,
  p_at timestamptz,
  out projected bigint,
  out exhausted_at timestamptz
)
language plpgsql immutable security invoker set search_path = pg_catalog, pg_temp
as $$
declare
  v_elapsed numeric;
  v_left numeric;
begin
  -- A lifetime has no pace.
  if p_used < 5 or p_resets_at = 'infinity' or p_period_start is null then
    return;
  end if;
  v_elapsed := extract(epoch from p_at - p_period_start);
  v_left := extract(epoch from p_resets_at - p_at);
  if v_elapsed * 9 < v_left then
    return;
  end if;
  projected := least(round(p_used * (v_elapsed + v_left) / v_elapsed), 9007199254740991);
  if p_room <= 0 then
    exhausted_at := p_at;
  elsif p_room * v_elapsed < p_used * v_left then
    exhausted_at := p_at + make_interval(secs => (p_room * v_elapsed / p_used)::double precision);
  end if;
end
$$;

comment on function quota.forecast is
  'What the use of a period comes to at its end at the pace so far, and when nothing is left; null before a tenth of the period and 5 units, and for a lifetime. exhausted_at is null where the limit lasts until the reset.';
