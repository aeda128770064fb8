-- The short way of a call answers as the long way does: the same limit is shown, the same code raised,
-- and a clock that was set back over a change of plan leaves nothing behind that it trusts.
begin;
select set_config('search_path', 'public, ' || pronamespace::regnamespace, true) from pg_proc where proname = 'pgtap_version';
set local timezone = 'UTC';
select plan(12);

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

select is_empty($$select * from verify_usage()$$, 'every number is proved by the ledger');

select * from finish();
rollback;
