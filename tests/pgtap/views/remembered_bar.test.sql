-- current_usage shows what a meter remembers, where that is all: the same as asking anew what limits the subject.
begin;
select set_config('search_path', 'public, ' || pronamespace::regnamespace, true) from pg_proc where proname = 'pgtap_version';
set local timezone = 'UTC';
select plan(10);

create or replace function quota.clock()
returns timestamptz language plpgsql set search_path = pg_catalog, pg_temp
as $$ begin return current_setting('test.clock', true); end $$;
set local test.clock = '2026-09-15 12:00:20+00';

do $$ begin perform apply_plans('{
  "features": {"call": {}, "image": {"costs": {"credit": 2}}, "credit": {}, "file": {"kind": "gauge"}, "export": {}, "idle": {}},
  "plans": {
    "free": {"default": true, "limits": {
      "call": {"month": 50, "hour": 20, "minute": 10}, "file": {"lifetime": 10}, "export": {"day": 3, "month": 9},
      "idle": {"month": 7}, "credit": {"month": 100}}},
    "open": {"limits": {"call": {"month": null, "minute": null}, "export": {"5 hours": 4}, "file": {"lifetime": null}}},
    "lax": {"limits": {
      "call": {"month": {"limit": 3, "mode": "soft"}}, "export": {"month": {"limit": 2, "mode": "shadow"}},
      "credit": {"month": {"limit": 9, "grace": "1 day"}, "minute": {"limit": 1, "mode": "shadow"}},
      "idle": {"month": {"limit": 8, "rollover": 4}}}}
  }
}'); end $$;

-- The bar of everybody, as it is shown and after all meters have forgotten.
create function pg_temp.shown() returns text language sql as $$
  select string_agg(to_jsonb(u)::text, E'\n' order by u.subject, u.feature, u.period, u.member)
  from public.current_usage as u
$$;
create function pg_temp.anew() returns text language plpgsql as $$
declare
  v_shown text;
begin
  update quota.meters set fresh_from = 'infinity';
  v_shown := pg_temp.shown();
  raise exception using errcode = 'P0001', message = v_shown;
exception when sqlstate 'P0001' then
  return sqlerrm;
end
$$;
create function pg_temp.remembered() returns bigint language sql as $$
  select count(*)
  from quota.meters as m
  where quota.clock() >= m.fresh_from and quota.clock() < m.long_until and m.long_limits <= 1
$$;

do $$ begin
  perform set_plan('olga', 'open'), set_plan('lars', 'lax'), set_plan('zoe', 'free', time_zone => 'Asia/Tokyo');
  perform grant_usage('call', 30, 'gus'), set_limit('ida', 'call', 'month', 12), set_limit('ida', 'idle', 'day', 2);
  perform set_limit('lars', 'export', 'month', 1), set_parent('below', 'above');
  perform consume_usage(f, 2, s)
    from unnest(array['ada', 'olga', 'lars', 'zoe', 'gus', 'ida', 'above', 'below']) as s
    cross join unnest(array['call', 'file', 'export', 'credit', 'image']) as f;
  perform reserve_usage('call', 1, 'ada', '2 minutes'), consume_usage('call', 7, 'gus');
end $$;

select cmp_ok(pg_temp.remembered(), '>', 12::bigint, 'what was used is remembered');
select is(pg_temp.shown(), pg_temp.anew(), 'what is remembered is shown as it would be if it were asked for');
select cmp_ok(pg_temp.remembered(), '>', 12::bigint, 'and asking anew has changed nothing');
set local test.clock = '2026-09-15 12:01:40+00';
select is(pg_temp.shown(), pg_temp.anew(), 'in the next minute');
set local test.clock = '2026-09-15 13:00:00+00';
select is(pg_temp.shown(), pg_temp.anew(), 'in the next hour, after a hold has expired');
do $$ begin
  perform consume_usage(f, 1, s)
    from unnest(array['ada', 'olga', 'lars', 'zoe', 'gus', 'ida']) as s cross join unnest(array['call', 'export']) as f;
end $$;
select is(pg_temp.shown(), pg_temp.anew(), 'after more use');
set local test.clock = '2026-09-15 12:00:10+00';
select is(pg_temp.shown(), pg_temp.anew(), 'by a clock that was set back');
set local test.clock = '2026-09-15 18:00:00+00';
select is(pg_temp.shown(), pg_temp.anew(), 'when a window has ended, and in Tokyo the day');
set local test.clock = '2026-10-02 18:00:00+00';
select is(pg_temp.shown(), pg_temp.anew(), 'and the month');

set local test.clock = '2026-09-15 13:10:00+00';
set local role authenticated;
set local request.jwt.claims = '{"sub": "lars"}';
select is(
  (select array_agg(feature || ' ' || period order by feature, period) from current_usage),
  array['call month', 'credit month', 'export month', 'idle month'],
  'a limit in shadow beside others is shown to nobody, remembered or not'
);

select * from finish();
rollback;
