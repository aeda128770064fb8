-- Which period an instant lies in. All calendar arithmetic of the product.
--
-- The calendar is treated as one more anchor: 1 January 2001, a Monday, begins a day, a week, a
-- month and a year at once.

create function quota.period_of(
  p_period text,
  p_at timestamptz,
  p_anchor_at timestamptz,
  p_time_zone text,
  out period_start timestamptz,
  out resets_at timestamptz
)
language plpgsql stable security invoker set search_path = pg_catalog, pg_temp
as $$
declare
  v_origin timestamp;
  v_local timestamp;
  v_unit interval;
  v_n integer;
begin
  if p_period = 'lifetime' then
    period_start := '-infinity';
    resets_at := 'infinity';
    return;
  end if;

  if p_period in ('minute', 'hour') then
    period_start := date_trunc(p_period, p_at, 'UTC');
    resets_at := period_start + case p_period when 'minute' then interval '1 minute' else interval '1 hour' end;
    return;
  end if;

  if p_period like '% %' then
    period_start := p_at;
    v_unit := p_period::interval;
    -- Whole days and more end when the clock on the wall shows the same time.
    resets_at := case
      when p_period ~ 'minute|hour' then p_at + v_unit
      else quota.instant_of((p_at at time zone p_time_zone) + v_unit, p_time_zone)
    end;
    return;
  end if;

  v_unit := case p_period
    when 'day' then interval '1 day'
    when 'week' then interval '7 days'
    when 'month' then interval '1 month'
    else interval '1 year'
  end;

  if p_anchor_at is null and p_time_zone = 'UTC' then
    v_local := date_trunc(p_period, p_at at time zone 'UTC');
    period_start := v_local at time zone 'UTC';
    resets_at := (v_local + v_unit) at time zone 'UTC';
    return;
  end if;

  v_local := p_at at time zone p_time_zone;
  v_origin := coalesce(p_anchor_at at time zone p_time_zone, timestamp '2001-01-01');

  -- How many units lie between, at a guess; then step to the period that holds p_at. Counting from
  -- the origin keeps month ends: 31 Jan, 28 Feb, 31 Mar. (Postgres clamps as Stripe does; adding
  -- month to month would drift to the 28th.)
  v_n := case p_period
    when 'day' then floor(extract(epoch from v_local - v_origin) / 86400)
    when 'week' then floor(extract(epoch from v_local - v_origin) / 604800)
    when 'month' then
      (extract(year from v_local) - extract(year from v_origin)) * 12
      + extract(month from v_local) - extract(month from v_origin)
    else extract(year from v_local) - extract(year from v_origin)
  end;

  period_start := quota.instant_of(v_origin + v_n * v_unit, p_time_zone);
  while period_start > p_at loop
    v_n := v_n - 1;
    period_start := quota.instant_of(v_origin + v_n * v_unit, p_time_zone);
  end loop;
  resets_at := quota.instant_of(v_origin + (v_n + 1) * v_unit, p_time_zone);
  while resets_at <= p_at loop
    v_n := v_n + 1;
    period_start := resets_at;
    resets_at := quota.instant_of(v_origin + (v_n + 1) * v_unit, p_time_zone);
  end loop;
end
$$;

comment on function quota.period_of is
  'The period [period_start, resets_at) that holds p_at. minute and hour are whole in UTC; day, week, month and year count from the anchor on the wall clock of the zone, month ends clamped (as Stripe''s billing_cycle_anchor does), and without an anchor are the calendar''s, weeks from Monday (ISO 8601); lifetime is everything; a window (5 hours) is the one that a use at p_at would open.';

create function quota.instant_of(
  p_local timestamp,
  p_time_zone text
)
returns timestamptz
language plpgsql stable strict security invoker set search_path = pg_catalog, pg_temp
as $$
declare
  v_at timestamptz := p_local at time zone p_time_zone;
  v_day_before timestamptz := v_at - interval '25 hours';
  v_first timestamptz;
begin
  -- A local time that a clock change skips takes the offset from before the gap: at time zone does
  -- that. One that happens twice is the first of the two, but at time zone picks the second. So try
  -- the offset of the day before, and take that instant if it shows the same local time.
  v_first := (p_local - ((v_day_before at time zone p_time_zone) - (v_day_before at time zone 'UTC')))
    at time zone 'UTC';
  if v_first < v_at and v_first at time zone p_time_zone = p_local then
    return v_first;
  end if;
  return v_at;
end
$$;

comment on function quota.instant_of is
  'The instant at which clocks in the zone show this time: the first of two, and in a gap by the offset from before it.';

create function quota.period_rank(p_period text)
returns double precision
language plpgsql immutable strict security invoker set search_path = pg_catalog, pg_temp
as $$
begin
  if p_period not like '% %' then
    return array_position(
      array['minute', 'hour', 'day', 'week', 'month', 'year', 'lifetime'],
      p_period
    );
  end if;
  -- A window has one spelling: what is kept by period would else be kept twice. Where a period is known
  -- to be one, like '% %' says that it is a window, and ~ 'minute|hour' that grants do not lift it.
  if p_period
    !~ '^(1 (minute|hour|day|week|month)|([2-9]|[1-9][0-9]{1,3}) (minutes|hours|days|weeks|months))$'
  then
    return null;
  end if;
  -- Between two of those, by its length; of equal lengths the larger unit is the longer.
  declare
    v_seconds constant double precision[] := array[60, 3600, 86400, 604800, 2629746, 31556952];
    v_unit integer := array_position(
      array['minute', 'hour', 'day', 'week', 'month'], rtrim(split_part(p_period, ' ', 2), 's')
    );
    v_length double precision := split_part(p_period, ' ', 1)::integer * v_seconds[v_unit];
    v_below integer := width_bucket(v_length, v_seconds);
  begin
    return v_below + 1 - v_seconds[v_below] / (v_length + v_unit * 0.1);
  end;
end
$$;

comment on function quota.period_rank is
  'Shorter periods first: minute 1 … lifetime 7, and between them, by their length, windows of 1 to 9999 units (5 hours 2.8, 1 day 3.0); null for no period.';

create function quota.is_time_zone(p_name text)
returns boolean
language plpgsql stable strict security invoker set search_path = pg_catalog, pg_temp
as $$
begin
  -- at time zone would also accept 'Nowhere+5'. And names without a place are refused: CET, MET, EET
  -- and WET are zones with summer time in some files and abbreviations of the session's without it in
  -- others, EST has none. posix/ and right/ are copies of all names, the second with leap seconds.
  return (p_name in ('UTC', 'GMT') or (p_name like '%/%' and p_name !~ '^(posix|right)/'))
    and exists (select from pg_catalog.pg_timezone_names as z where z.name = p_name);
end
$$;

comment on function quota.is_time_zone is
  'Whether it is an IANA name with a slash, UTC or GMT, that this server knows.';
