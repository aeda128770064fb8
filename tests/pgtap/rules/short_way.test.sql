-- The short way of a call answers as the long way does: the same limit is shown, the same code raised,
-- and a clock that was set back over a change of plan leaves nothing behind that it trusts.
begin;
select set_config('search_path', 'public, ' || pronamespace::regnamespace, true) from pg_proc where proname = 'pgtap_version';
set local timezone = 'UTC';
select plan(15);

create or replace function quota.clock()
returns timestamptz language plpgsql set search_path = pg_catalog, pg_temp
as $$ begin return current_setting('test.clock', true); end $$;
set local test.clock = '2026-11-30 12:00:00+00';

create function pg_temp.apply(p_limits text) returns void language sql as $$
  select from public.apply_plans(
    format('{"features": {"text": {}}, "plans": {"free": {"default": true, "limits": {"text": %s}}}}', p_limits)::jsonb
  )
$$;

-- Ties of least room show the longest period, also where a shorter one ends later or at the same instant.
do $$ begin perform pg_temp.apply('{"week": 50, "month": 50}'); end $$;
select is((consume_usage('text', 1, 'ada')).period, 'month', 'the long way shows the month');
select is((consume_usage('text', 1, 'ada')).period, 'month', 'so does the short way, though the week ends later');
do $$ begin perform pg_temp.apply('{"week": null, "month": null}'); end $$;
select is((consume_usage('text', 1, 'ada')).period, 'month', 'unlimited, the long way');
select is((consume_usage('text', 1, 'ada')).period, 'month', 'unlimited, the short way');

-- In the last minute of a month both end at once.
do $$ begin perform pg_temp.apply('{"minute": 2, "month": 4}'); end $$;
set local test.clock = '2026-11-30 23:58:00+00';
do $$ begin perform consume_usage('text', 1, 'bob'), consume_usage('text', 1, 'bob'); end $$;
set local test.clock = '2026-11-30 23:59:00+00';
do $$ begin perform consume_usage('text', 1, 'bob'), consume_usage('text', 1, 'bob'); end $$;
select is((consume_usage('text', 1, 'bob')).period, 'month', 'a plain refusal shows the month');
select is(
  to_jsonb(consume_usage('text', 1, 'bob')), to_jsonb(consume_usage('text', 1, 'bob', 'k1')),
  'as the long way does, field by field'
);
select throws_ok($$select enforce_usage('text', 1, 'bob')$$, 'PT402', null, 'and is no matter of a minute');

-- A clock set back, and a smaller limit of the minute meanwhile.
do $$ begin perform pg_temp.apply('{"minute": 10, "month": 100}'); end $$;
set local test.clock = '2026-12-01 12:01:00+00';
do $$ begin perform consume_usage('text', 5, 'cyd'); end $$;
set local test.clock = '2026-12-01 12:00:50+00';
do $$ begin
  perform pg_temp.apply('{"minute": 3, "month": 100}');
  perform consume_usage('text', 1, 'cyd'), consume_usage('text', 1, 'cyd');
end $$;
set local test.clock = '2026-12-01 12:01:10+00';
select is((consume_usage('text', 1, 'cyd')).allowed, false, 'the minute that was begun before has the new limit');

-- And a minute that no plan watched.
do $$ begin perform pg_temp.apply('{"month": 100}'); end $$;
set local test.clock = '2026-12-01 13:01:00+00';
do $$ begin perform consume_usage('text', 5, 'dan'); end $$;
set local test.clock = '2026-12-01 13:00:50+00';
do $$ begin
  perform pg_temp.apply('{"minute": 6, "month": 100}');
  perform consume_usage('text', 1, 'dan'), consume_usage('text', 1, 'dan');
end $$;
set local test.clock = '2026-12-01 13:01:10+00';
select is((consume_usage('text', 1, 'dan')).used, 6::bigint, 'finds the lines that count in it');
select is((consume_usage('text', 1, 'dan')).allowed, false, 'and is full with them');
set local test.clock = '2026-12-01 13:02:00+00';
select is((consume_usage('text', 1, 'dan')).used, 1::bigint, 'the next one begins with nothing');

-- More than a minute ever allows, and a lifetime that has less left: both refuse for ever, the longest is shown.
do $$ begin perform pg_temp.apply('{"minute": 8, "lifetime": 18}'); end $$;
set local test.clock = '2026-12-02 12:00:00+00';
do $$ begin perform consume_usage('text', 8, 'eve'); end $$;
set local test.clock = '2026-12-02 12:01:00+00';
do $$ begin perform consume_usage('text', 4, 'eve'), consume_usage('text', 1, 'eve'); end $$;
select is(
  to_jsonb(check_usage('text', 9, 'eve')), to_jsonb(consume_usage('text', 9, 'eve', 'k2')),
  'a check for more than both shows the lifetime, as a use does'
);

set local test.clock = '2026-12-02 12:02:00+00';
do $$ begin perform pg_temp.apply('{"minute": 3, "lifetime": 18}'); end $$;
do $$ begin perform consume_usage('text', 1, 'eve'); end $$;
set local test.clock = '2026-12-02 12:03:00+00';
select is((check_usage('text', 1, 'eve')).period, 'minute', 'what fits is shown under the limit with least room, never of a lifetime alone');

-- A line of an hour in which nothing was remembered: the hour that begins with the next plain call has it.
do $$ begin perform pg_temp.apply('{"hour": 10, "month": 100}'); end $$;
do $$ begin perform consume_usage('text', 1, 'flo'), consume_usage('text', 1, 'flo'); end $$;
set local test.clock = '2026-12-02 14:10:00+00';
do $$
declare
  v_line quota.events;
begin
  v_line.subject_id := 'flo';
  v_line.event_id := quota.new_id(quota.clock());
  v_line.at := quota.clock();
  v_line.counts_at := quota.clock();
  v_line.kind := 'consume';
  v_line.feature_id := 'text';
  v_line.used_change := 3;
  v_line.reserved_change := 0;
  v_line.drawn_change := 0;
  v_line.metadata := '{}';
  perform quota.lock_meter('flo', 'text');
  perform quota.record(v_line);
  perform consume_usage('text', 1, 'flo');
end $$;
select results_eq(
  $$select used from current_usage where subject = 'flo' and period = 'hour'$$, array[4::bigint],
  'the hour that begins has what was written in it before'
);

select is_empty($$select * from verify_usage()$$, 'every number is proved by the ledger');

select * from finish();
rollback;
