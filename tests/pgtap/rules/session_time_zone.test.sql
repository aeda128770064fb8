-- Nothing depends on the time zone of the session, which a REST caller can choose.
begin;
select set_config('search_path', 'public, ' || pronamespace::regnamespace, true) from pg_proc where proname = 'pgtap_version';
set local timezone = 'UTC';
select plan(9);

create or replace function quota.clock()
returns timestamptz language plpgsql set search_path = pg_catalog, pg_temp
as $$ begin return current_setting('test.clock', true); end $$;
-- In Kiritimati it is already 1 November, in Los Angeles still 31 October.
set local test.clock = '2026-10-31 23:30:00.5+00';

do $$ begin perform apply_plans('{
  "features": {"ai_generation": {}, "token": {}},
  "plans": {"free": {"default": true, "limits": {
    "ai_generation": {"minute": 3, "hour": 4, "day": 5, "week": 6, "month": 7, "year": 8, "lifetime": 90},
    "token": {"month": null}}}}
}'); end $$;

-- All that a subject is told, in one text without a zone, under each session zone in turn.
create function pg_temp.told(p_zone text, p_subject text, p_settings text[]) returns jsonb language plpgsql as $$
declare
  v_told jsonb;
  v_event_id uuid;
begin
  perform set_config('timezone', p_zone, true), set_config('datestyle', p_settings[1], true),
    set_config('intervalstyle', p_settings[2], true);
  begin
    perform public.set_plan(p_subject, 'free', '2026-01-31 12:15:00+00', 'America/Havana');
    v_event_id := (public.consume_usage('ai_generation', 2, p_subject, 'key')).event_id;
    select jsonb_build_object(
      'consumed', (select to_jsonb(d) from public.consume_usage('ai_generation', 1, p_subject) as d),
      'refused', (select to_jsonb(d) from public.consume_usage('ai_generation', 2, p_subject) as d),
      'replayed', (select to_jsonb(d) from public.consume_usage('ai_generation', 2, p_subject, 'key') as d),
      'refunded', (select to_jsonb(d) from public.refund_usage(v_event_id, 1, null, null) as d),
      'checked', (select to_jsonb(d) from public.check_usage('ai_generation', 1, p_subject) as d),
      'current', (select jsonb_agg(to_jsonb(u) order by u.feature, u.period) from public.current_usage as u where u.subject = p_subject),
      'history', (select jsonb_agg(to_jsonb(h) order by h.feature, h.period) from public.usage_history as h where h.subject = p_subject),
      'mismatches', (select count(*) from public.verify_usage(p_subject))
    ) into v_told;
    -- Times as instants, ids left out: jsonb writes times in the zone of the session.
    raise sqlstate 'UNDO1' using message = v_told::text;
  exception when sqlstate 'UNDO1' then
    v_told := sqlerrm::jsonb;
  end;
  return v_told;
end $$;
create function pg_temp.normal(p_value jsonb) returns jsonb language sql as $$
  select case jsonb_typeof(p_value)
    when 'object' then (
      select jsonb_object_agg(key, pg_temp.normal(value)) from jsonb_each(p_value) where key <> 'event_id'
    )
    when 'array' then (select jsonb_agg(pg_temp.normal(value)) from jsonb_array_elements(p_value))
    when 'string' then
      case when p_value #>> '{}' ~ '^\d{4}-\d\d-\d\dT' then to_jsonb(extract(epoch from (p_value #>> '{}')::timestamptz)) else p_value end
    else p_value
  end
$$;

create temporary table answers as
  select zone, style, pg_temp.normal(pg_temp.told(zone, 'ada', style)) as told
  from unnest(array[
    'UTC', 'America/Los_Angeles', 'America/New_York', 'America/Havana', 'America/St_Johns', 'Atlantic/Azores',
    'Europe/London', 'Europe/Berlin', 'Africa/Cairo', 'Asia/Kolkata', 'Asia/Kathmandu', 'Asia/Tokyo',
    'Australia/Lord_Howe', 'Pacific/Auckland', 'Pacific/Apia', 'Pacific/Kiritimati', '<-13:30>+13:30'
  ]) as zone
  cross join (values
    (array['ISO, MDY', 'postgres']), (array['German, DMY', 'sql_standard']), (array['SQL, DMY', 'iso_8601'])
  ) as styles (style);
set local timezone = 'UTC';
set local datestyle = 'ISO, MDY';

select is((select count(*) from answers), 51::bigint, '17 session zones in three styles of dates were asked');
select is((select count(distinct told) from answers), 1::bigint, 'and all are told the same');
create temporary view one as select told from answers where zone = 'UTC' limit 1;
select is(
  (select told #>> '{consumed,period}' || ' ' || (told #>> '{consumed,remaining}') from one), 'minute 0',
  'which is what should be told'
);
select is(
  (select (told #> '{consumed,resets_at}') from one), to_jsonb(extract(epoch from timestamptz '2026-10-31 23:31:00+00')),
  'a minute ends with the minute'
);
select is(
  (select array_agg(concat(
      u ->> 'period', ' ',
      to_char(to_timestamp((u ->> 'period_start')::numeric) at time zone 'UTC', 'YYYY-MM-DD HH24:MI')) order by u ->> 'period')
   from one cross join jsonb_array_elements(told -> 'current') as u where u ->> 'feature' = 'ai_generation'),
  array['day 2026-10-31 11:15', 'hour 2026-10-31 23:00', 'lifetime ', 'minute 2026-10-31 23:30',
    'month 2026-10-31 11:15', 'week 2026-10-31 11:15', 'year 2026-01-31 12:15'],
  'the others begin at their anchor, on the clock of the subject''s own zone'
);
select is((select told ->> 'mismatches' from one), '0', 'every number is proved');
select is(
  (select told #> '{refused,retry_after}' from one), '1800', 'the wait is that of the hour, which is the longer one'
);

-- The zone of a former call leaves nothing behind.
set local timezone = 'Pacific/Kiritimati';
do $$ begin perform consume_usage('token', 1, 'bob'); end $$;
set local timezone = 'America/Los_Angeles';
do $$ begin perform consume_usage('token', 1, 'bob'); end $$;
set local timezone = 'UTC';
select is(
  (select array_agg(row(period_start, period_end, used)::text) from usage_history where subject = 'bob'),
  array['("2026-10-01 00:00:00+00","2026-11-01 00:00:00+00",2)'],
  'calls from two zones count in one month'
);
select is_empty('select * from verify_usage()', 'every number is proved by the ledger');

select * from finish();
rollback;
