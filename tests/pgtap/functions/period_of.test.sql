-- period_of() and instant_of(): which period an instant lies in. All expected values are written by
-- hand from the published rules of the zones.
begin;
select set_config('search_path', 'public, ' || pronamespace::regnamespace, true) from pg_proc where proname = 'pgtap_version';
set local timezone = 'UTC';
select plan(33);

create temporary table cases (
  topic text,
  period text,
  at timestamptz,
  anchor_at timestamptz,
  time_zone text,
  period_start timestamptz,
  resets_at timestamptz
);

insert into cases values
  -- The UTC calendar.
  ('calendar', 'minute', '2026-09-15 12:34:56.789Z', null, 'UTC', '2026-09-15 12:34Z', '2026-09-15 12:35Z'),
  ('calendar', 'hour', '2026-09-15 12:34:56Z', null, 'UTC', '2026-09-15 12:00Z', '2026-09-15 13:00Z'),
  ('calendar', 'day', '2026-09-15 12:34:56Z', null, 'UTC', '2026-09-15 00:00Z', '2026-09-16 00:00Z'),
  ('calendar', 'week', '2026-09-15 12:34:56Z', null, 'UTC', '2026-09-14 00:00Z', '2026-09-21 00:00Z'),
  ('calendar', 'week', '2026-09-20 23:59:59Z', null, 'UTC', '2026-09-14 00:00Z', '2026-09-21 00:00Z'),
  ('calendar', 'week', '2027-01-01 00:00Z', null, 'UTC', '2026-12-28 00:00Z', '2027-01-04 00:00Z'),
  ('calendar', 'month', '2026-09-15 12:34:56Z', null, 'UTC', '2026-09-01 00:00Z', '2026-10-01 00:00Z'),
  ('calendar', 'month', '2028-02-29 12:00Z', null, 'UTC', '2028-02-01 00:00Z', '2028-03-01 00:00Z'),
  ('calendar', 'year', '2026-09-15 12:34:56Z', null, 'UTC', '2026-01-01 00:00Z', '2027-01-01 00:00Z'),
  ('calendar', 'lifetime', '2026-09-15 12:34:56Z', null, 'UTC', '-infinity', 'infinity'),
  -- Half-open: the first instant belongs, the last does not.
  ('edges', 'minute', '2026-09-15 12:34:00Z', null, 'UTC', '2026-09-15 12:34Z', '2026-09-15 12:35Z'),
  ('edges', 'month', '2026-10-01 00:00Z', null, 'UTC', '2026-10-01 00:00Z', '2026-11-01 00:00Z'),
  ('edges', 'month', '2026-09-30 23:59:59.999999Z', null, 'UTC', '2026-09-01 00:00Z', '2026-10-01 00:00Z'),
  ('edges', 'month', '2026-09-10 08:00Z', '2026-01-10 08:00Z', 'UTC', '2026-09-10 08:00Z', '2026-10-10 08:00Z'),
  ('edges', 'month', '2026-09-10 07:59:59.999999Z', '2026-01-10 08:00Z', 'UTC', '2026-08-10 08:00Z', '2026-09-10 08:00Z'),
  -- The calendar of a zone.
  ('zones', 'day', '2026-09-15 12:00Z', null, 'Asia/Kolkata', '2026-09-14 18:30Z', '2026-09-15 18:30Z'),
  ('zones', 'day', '2026-09-15 12:00Z', null, 'Pacific/Kiritimati', '2026-09-15 10:00Z', '2026-09-16 10:00Z'),
  ('zones', 'week', '2026-09-14 02:00Z', null, 'America/New_York', '2026-09-07 04:00Z', '2026-09-14 04:00Z'),
  ('zones', 'month', '2026-10-31 22:59Z', null, 'Europe/Berlin', '2026-09-30 22:00Z', '2026-10-31 23:00Z'),
  ('zones', 'year', '2026-12-31 23:30Z', null, 'Europe/Berlin', '2026-12-31 23:00Z', '2027-12-31 23:00Z'),
  ('zones', 'minute', '2026-09-15 12:34:56Z', null, 'Asia/Kathmandu', '2026-09-15 12:34Z', '2026-09-15 12:35Z'),
  ('zones', 'hour', '2026-09-15 12:34:56Z', null, 'Asia/Kathmandu', '2026-09-15 12:00Z', '2026-09-15 13:00Z'),
  -- Anchors.
  ('anchors', 'minute', '2026-09-15 12:34:56Z', '2026-01-10 08:00:30Z', 'UTC', '2026-09-15 12:34Z', '2026-09-15 12:35Z'),
  ('anchors', 'hour', '2026-09-15 12:34:56Z', '2026-01-10 08:30Z', 'UTC', '2026-09-15 12:00Z', '2026-09-15 13:00Z'),
  ('anchors', 'day', '2026-09-15 07:00Z', '2026-01-10 08:00Z', 'UTC', '2026-09-14 08:00Z', '2026-09-15 08:00Z'),
  ('anchors', 'week', '2026-09-15 07:00Z', '2026-09-09 08:00Z', 'UTC', '2026-09-09 08:00Z', '2026-09-16 08:00Z'),
  ('anchors', 'week', '2026-10-01 00:00Z', '2026-09-09 08:00Z', 'UTC', '2026-09-30 08:00Z', '2026-10-07 08:00Z'),
  ('anchors', 'month', '2026-09-15 07:00Z', '2026-01-10 08:00Z', 'UTC', '2026-09-10 08:00Z', '2026-10-10 08:00Z'),
  ('anchors', 'year', '2026-09-15 07:00Z', '2020-11-10 08:00Z', 'UTC', '2025-11-10 08:00Z', '2026-11-10 08:00Z'),
  ('anchors', 'lifetime', '2026-09-15 07:00Z', '2026-01-10 08:00Z', 'UTC', '-infinity', 'infinity'),
  -- Month ends are clamped, counted from the original anchor.
  ('month ends', 'month', '2026-02-15 00:00Z', '2026-01-31 00:00Z', 'UTC', '2026-01-31 00:00Z', '2026-02-28 00:00Z'),
  ('month ends', 'month', '2026-02-28 00:00Z', '2026-01-31 00:00Z', 'UTC', '2026-02-28 00:00Z', '2026-03-31 00:00Z'),
  ('month ends', 'month', '2026-03-30 00:00Z', '2026-01-31 00:00Z', 'UTC', '2026-02-28 00:00Z', '2026-03-31 00:00Z'),
  ('month ends', 'month', '2026-04-15 00:00Z', '2026-01-31 00:00Z', 'UTC', '2026-03-31 00:00Z', '2026-04-30 00:00Z'),
  ('month ends', 'month', '2028-02-29 00:00Z', '2026-01-31 00:00Z', 'UTC', '2028-02-29 00:00Z', '2028-03-31 00:00Z'),
  ('month ends', 'month', '2028-03-01 00:00Z', '2026-01-30 00:00Z', 'UTC', '2028-02-29 00:00Z', '2028-03-30 00:00Z'),
  ('month ends', 'month', '2027-03-01 00:00Z', '2026-01-29 00:00Z', 'UTC', '2027-02-28 00:00Z', '2027-03-29 00:00Z'),
  ('month ends', 'year', '2027-02-28 00:00Z', '2024-02-29 00:00Z', 'UTC', '2027-02-28 00:00Z', '2028-02-29 00:00Z'),
  ('month ends', 'year', '2028-02-28 12:00Z', '2024-02-29 00:00Z', 'UTC', '2027-02-28 00:00Z', '2028-02-29 00:00Z'),
  -- Before the anchor too.
  ('before the anchor', 'month', '2026-09-15 00:00Z', '2027-03-31 00:00Z', 'UTC', '2026-08-31 00:00Z', '2026-09-30 00:00Z'),
  ('before the anchor', 'month', '2026-02-28 00:00Z', '2027-03-31 00:00Z', 'UTC', '2026-02-28 00:00Z', '2026-03-31 00:00Z'),
  ('before the anchor', 'week', '2026-09-08 07:59Z', '2026-09-15 08:00Z', 'UTC', '2026-09-01 08:00Z', '2026-09-08 08:00Z'),
  ('before the anchor', 'day', '2026-09-14 07:59Z', '2026-09-15 08:00Z', 'UTC', '2026-09-13 08:00Z', '2026-09-14 08:00Z'),
  ('before the anchor', 'year', '2026-09-15 00:00Z', '2028-02-29 00:00Z', 'UTC', '2026-02-28 00:00Z', '2027-02-28 00:00Z'),
  -- An anchor follows the wall clock of the zone: 09:30 in Berlin is 08:30 or 07:30 UTC.
  ('wall clock', 'month', '2026-07-31 07:29Z', '2026-01-31 08:30Z', 'Europe/Berlin', '2026-06-30 07:30Z', '2026-07-31 07:30Z'),
  ('wall clock', 'month', '2026-07-31 07:30Z', '2026-01-31 08:30Z', 'Europe/Berlin', '2026-07-31 07:30Z', '2026-08-31 07:30Z'),
  ('wall clock', 'day', '2026-03-29 12:00Z', '2026-01-31 08:30Z', 'Europe/Berlin', '2026-03-29 07:30Z', '2026-03-30 07:30Z'),
  ('wall clock', 'day', '2026-03-29 07:00Z', '2026-01-31 08:30Z', 'Europe/Berlin', '2026-03-28 08:30Z', '2026-03-29 07:30Z'),
  -- 31 Jan 23:30 in New York is 1 Feb in UTC: the month end that counts is that of the wall clock.
  ('wall clock', 'month', '2026-03-15 00:00Z', '2026-02-01 04:30Z', 'America/New_York', '2026-03-01 04:30Z', '2026-04-01 03:30Z'),
  -- Days of 23 and 25 hours.
  ('long and short days', 'day', '2026-03-29 12:00Z', null, 'Europe/Berlin', '2026-03-28 23:00Z', '2026-03-29 22:00Z'),
  ('long and short days', 'day', '2026-10-25 12:00Z', null, 'Europe/Berlin', '2026-10-24 22:00Z', '2026-10-25 23:00Z'),
  ('long and short days', 'day', '2026-04-04 14:30Z', null, 'Australia/Lord_Howe', '2026-04-04 13:00Z', '2026-04-05 13:30Z'),
  ('long and short days', 'day', '2026-10-03 14:00Z', null, 'Australia/Lord_Howe', '2026-10-03 13:30Z', '2026-10-04 13:00Z'),
  -- Midnights that are skipped: the day begins at the end of the gap.
  ('skipped midnight', 'day', '2026-03-08 05:00Z', null, 'America/Havana', '2026-03-08 05:00Z', '2026-03-09 04:00Z'),
  ('skipped midnight', 'day', '2026-03-08 04:59:59Z', null, 'America/Havana', '2026-03-07 05:00Z', '2026-03-08 05:00Z'),
  ('skipped midnight', 'day', '2026-03-29 12:00Z', null, 'Atlantic/Azores', '2026-03-29 01:00Z', '2026-03-30 00:00Z'),
  ('skipped midnight', 'day', '2026-09-06 12:00Z', null, 'America/Santiago', '2026-09-06 04:00Z', '2026-09-07 03:00Z'),
  -- Midnights that happen twice: the day begins at the first, and only once.
  ('double midnight', 'day', '2026-11-01 04:30Z', null, 'America/Havana', '2026-11-01 04:00Z', '2026-11-02 05:00Z'),
  ('double midnight', 'day', '2026-11-01 05:30Z', null, 'America/Havana', '2026-11-01 04:00Z', '2026-11-02 05:00Z'),
  ('double midnight', 'day', '2026-11-01 03:59:59Z', null, 'America/Havana', '2026-10-31 04:00Z', '2026-11-01 04:00Z'),
  ('double midnight', 'month', '2026-11-01 04:30Z', null, 'America/Havana', '2026-11-01 04:00Z', '2026-12-01 05:00Z'),
  ('double midnight', 'month', '2026-11-01 03:59:59Z', null, 'America/Havana', '2026-10-01 04:00Z', '2026-11-01 04:00Z'),
  ('double midnight', 'day', '2026-10-25 00:30Z', null, 'Atlantic/Azores', '2026-10-25 00:00Z', '2026-10-26 01:00Z'),
  ('double midnight', 'day', '2026-10-25 01:30Z', null, 'Atlantic/Azores', '2026-10-25 00:00Z', '2026-10-26 01:00Z'),
  ('double midnight', 'day', '2026-10-24 23:59:59Z', null, 'Atlantic/Azores', '2026-10-24 00:00Z', '2026-10-25 00:00Z'),
  -- The hour before midnight happens twice: midnight itself once.
  ('double midnight', 'day', '2026-04-05 03:30Z', null, 'America/Santiago', '2026-04-04 03:00Z', '2026-04-05 04:00Z'),
  ('double midnight', 'day', '2026-04-05 04:00Z', null, 'America/Santiago', '2026-04-05 04:00Z', '2026-04-06 04:00Z'),
  -- A day that an island left out when it crossed the date line.
  ('skipped day', 'day', '2011-12-30 09:59Z', null, 'Pacific/Apia', '2011-12-29 10:00Z', '2011-12-30 10:00Z'),
  ('skipped day', 'day', '2011-12-30 10:00Z', null, 'Pacific/Apia', '2011-12-30 10:00Z', '2011-12-31 10:00Z'),
  -- Anchored in an hour that is skipped once a year, and in one that happens twice.
  ('anchored in a gap', 'day', '2026-03-29 12:00Z', '2026-02-01 01:30Z', 'Europe/Berlin', '2026-03-29 01:30Z', '2026-03-30 00:30Z'),
  ('anchored in a gap', 'day', '2026-03-29 01:15Z', '2026-02-01 01:30Z', 'Europe/Berlin', '2026-03-28 01:30Z', '2026-03-29 01:30Z'),
  ('anchored in a double hour', 'day', '2026-10-25 00:45Z', '2026-02-01 01:30Z', 'Europe/Berlin', '2026-10-25 00:30Z', '2026-10-26 01:30Z'),
  ('anchored in a double hour', 'day', '2026-10-25 01:45Z', '2026-02-01 01:30Z', 'Europe/Berlin', '2026-10-25 00:30Z', '2026-10-26 01:30Z'),
  ('anchored in a double hour', 'day', '2026-10-25 00:15Z', '2026-02-01 01:30Z', 'Europe/Berlin', '2026-10-24 00:30Z', '2026-10-25 00:30Z');

create function pg_temp.wrong(p_topic text) returns setof text language sql as $$
  select c.period || ' of ' || c.at || ' in ' || c.time_zone || ': ' || p.period_start || ' - ' || p.resets_at
  from pg_temp.cases as c
  cross join lateral quota.period_of(c.period, c.at, c.anchor_at, c.time_zone) as p
  where (p_topic is null or c.topic = p_topic)
    and (p.period_start, p.resets_at) is distinct from (c.period_start, c.resets_at)
$$;

select is_empty($$select pg_temp.wrong('calendar')$$, 'without an anchor periods are the calendar''s, weeks from Monday');
select is_empty($$select pg_temp.wrong('edges')$$, 'a period has its first instant and not that of its reset');
select is_empty($$select pg_temp.wrong('zones')$$, 'a zone has its own days; minutes and hours are UTC''s everywhere');
select is_empty($$select pg_temp.wrong('anchors')$$, 'with an anchor periods count from it; minutes and hours do not');
select is_empty($$select pg_temp.wrong('month ends')$$, 'month ends are clamped, and come back to the day of the anchor');
select is_empty($$select pg_temp.wrong('before the anchor')$$, 'periods before the anchor follow it too');
select is_empty($$select pg_temp.wrong('wall clock')$$, 'an anchor keeps its time of day on the wall clock');
select is_empty($$select pg_temp.wrong('long and short days')$$, 'days with a clock change are longer or shorter, also by half an hour');
select is_empty($$select pg_temp.wrong('skipped midnight')$$, 'where midnight is skipped the day begins at the end of the gap');
select is_empty($$select pg_temp.wrong('double midnight')$$, 'where midnight happens twice the day begins at the first');
select is_empty($$select pg_temp.wrong('skipped day')$$, 'a day that a zone left out has no length');
select is_empty($$select pg_temp.wrong('anchored in a gap')$$, 'an anchored time in a gap takes the offset from before it');
select is_empty($$select pg_temp.wrong('anchored in a double hour')$$, 'an anchored time that happens twice is the first of the two');

-- The same everywhere.
create function pg_temp.wrong_in_session_zones() returns setof text language plpgsql as $$
declare
  v_zone text;
begin
  foreach v_zone in array array[
    'America/Los_Angeles', 'America/New_York', 'America/Havana', 'America/St_Johns', 'Atlantic/Azores',
    'Europe/London', 'Europe/Berlin', 'Africa/Cairo', 'Asia/Kolkata', 'Asia/Kathmandu', 'Asia/Tokyo',
    'Australia/Lord_Howe', 'Pacific/Auckland', 'Pacific/Apia', 'Pacific/Kiritimati'
  ] loop
    perform set_config('timezone', v_zone, true);
    return query select v_zone || ': ' || w from pg_temp.wrong(null) as w;
  end loop;
  perform set_config('timezone', 'UTC', true);
end $$;
select is_empty(
  'select pg_temp.wrong_in_session_zones()', 'in 15 session time zones all of these answers are the same'
);
select is(current_setting('timezone'), 'UTC', 'the session is back in UTC');

-- Periods follow one another without gap or overlap, and hold the instants they are asked for.
create function pg_temp.broken_chain(p_period text, p_anchor timestamptz, p_zone text, p_step interval)
returns setof timestamptz language sql as $$
  select at
  from generate_series(timestamptz '2025-01-01 00:00Z', timestamptz '2028-06-01 00:00Z', p_step) as at
  cross join lateral quota.period_of(p_period, at, p_anchor, p_zone) as p
  cross join lateral quota.period_of(p_period, p.resets_at, p_anchor, p_zone) as following
  cross join lateral quota.period_of(p_period, p.resets_at - interval '1 microsecond', p_anchor, p_zone) as last
  where not (at >= p.period_start and at < p.resets_at)
    or following.period_start <> p.resets_at
    or last.period_start <> p.period_start
    or last.resets_at <> p.resets_at
$$;
select is_empty(
  format('select pg_temp.broken_chain(%L, %L, %L, %L)', period, anchor, zone, step),
  format('each %s of %s%s ends where the next begins', period, zone, ', anchored at ' || anchor)
)
from (values
  ('day', null, 'America/Havana', '6 hours 17 minutes'),
  ('day', null, 'Atlantic/Azores', '6 hours 17 minutes'),
  ('day', '2026-10-25 01:30+00', 'Europe/Berlin', '6 hours 17 minutes'),
  ('day', '2026-03-29 01:30+00', 'Europe/Berlin', '6 hours 17 minutes'),
  ('day', '2026-01-01 15:15+00', 'Australia/Lord_Howe', '6 hours 17 minutes'),
  ('day', null, 'Africa/Casablanca', '6 hours 17 minutes'),
  ('week', null, 'America/Santiago', '1 day 5 hours'),
  ('week', '2026-01-07 23:45+00', 'America/St_Johns', '1 day 5 hours'),
  ('month', null, 'America/Havana', '1 day 5 hours'),
  ('month', '2026-01-31 23:30+00', 'UTC', '1 day 5 hours'),
  ('month', '2026-01-29 00:30+00', 'Asia/Beirut', '1 day 5 hours'),
  ('month', '2030-12-31 12:00+00', 'Pacific/Auckland', '1 day 5 hours'),
  ('year', '2024-02-29 12:00+00', 'Pacific/Auckland', '11 days')
) as chains (period, anchor, zone, step);

-- instant_of().
select is(
  (select array_agg(quota.instant_of(local, zone) order by n)
   from (values
     (1, timestamp '2026-07-01 12:00', 'Europe/Berlin'),
     (2, '2026-03-29 02:30', 'Europe/Berlin'),
     (3, '2026-10-25 02:30', 'Europe/Berlin'),
     (4, '2026-10-25 03:00', 'Europe/Berlin')
   ) as c (n, local, zone)),
  array['2026-07-01 10:00Z', '2026-03-29 01:30Z', '2026-10-25 00:30Z', '2026-10-25 02:00Z']::timestamptz[],
  'a local time has one instant: in a gap by the offset before it, of two the first'
);
select is(
  quota.instant_of('2026-04-05 01:45', 'Australia/Lord_Howe'), '2026-04-04 14:45Z'::timestamptz,
  'also where clocks change by half an hour'
);
select is(
  quota.instant_of('2026-11-01 00:00', 'America/Havana'), '2026-11-01 04:00Z'::timestamptz,
  'and where midnight happens twice'
);

-- As whom the views compute periods.
set local role authenticated;
select lives_ok(
  $$select quota.period_of('month', now(), null, 'UTC')$$, 'a reader of the views can compute periods'
);
set local role anon;
select throws_ok(
  $$select quota.period_of('month', now(), null, 'UTC')$$, '42501', null, 'anon cannot'
);
reset role;

select * from finish();
rollback;
