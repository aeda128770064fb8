-- projected and exhausted_at: use at the pace so far, and nothing where there is too little to say.
begin;
select set_config('search_path', 'public, ' || pronamespace::regnamespace, true) from pg_proc where proname = 'pgtap_version';
set local timezone = 'UTC';
select plan(21);

create or replace function quota.clock()
returns timestamptz language plpgsql set search_path = pg_catalog, pg_temp
as $$ begin return current_setting('test.clock', true); end $$;
-- September has 30 days: a tenth of it ends with the third.
set local test.clock = '2026-09-01 00:00+00';

do $$ begin perform apply_plans('{
  "features": {"text": {}, "open": {}, "seat": {"kind": "gauge"}, "quick": {}},
  "plans": {"free": {"default": true, "limits": {
    "text": {"month": 100}, "open": {"month": null}, "seat": {"lifetime": 10}, "quick": {"minute": 60}}}}
}'); end $$;

create function pg_temp.shown(p_subject text, p_feature text default 'text') returns text language sql as $$
  select concat_ws(' ', coalesce(projected::text, '-'), coalesce(to_char(exhausted_at, 'MM-DD HH24:MI:SS'), '-'))
  from current_usage where subject = p_subject and feature = p_feature
$$;

do $$ begin
  perform consume_usage('text', 20, 'ada'), consume_usage('text', 4, 'bob'), consume_usage('text', 5, 'cy'),
    consume_usage('text', 100, 'dan'), consume_usage('open', 1000, 'ada'), consume_usage('seat', 9, 'ada'),
    consume_usage('text', 10, 'eve'), reserve_usage('text', 80, 'eve', '7 days');
end $$;
select is(pg_temp.shown('ada'), '- -', 'at the first moment there is nothing to say');
set local test.clock = '2026-09-03 23:59:59+00';
select is(pg_temp.shown('ada'), '- -', 'nor before a tenth of the period');
set local test.clock = '2026-09-04 00:00:00+00';
select is(pg_temp.shown('ada'), '200 09-16 00:00:00', '20 in 3 days: 200 in 30, and 100 after 15');
select is(pg_temp.shown('bob'), '- -', 'four units are no pace');
select is(pg_temp.shown('cy'), '50 -', 'five are; what lasts is not exhausted');
select is(pg_temp.shown('ada', 'open'), '10000 -', 'unlimited is projected, and never exhausted');
select is(pg_temp.shown('ada', 'seat'), '- -', 'a lifetime has no pace');
select is(pg_temp.shown('dan'), '1000 09-04 00:00:00', 'what is used up is exhausted now');
select is(pg_temp.shown('eve'), '100 09-07 00:00:00', 'held units are no pace, and leave less room');
select is(
  (select array_agg(concat_ws(' ', source, projected, exhausted_at)) from explain_usage('text', 1, 'ada')),
  array['plan 200 2026-09-16 00:00:00+00'], 'explain_usage says the same'
);
select is(
  (select array_agg(concat_ws(' ', source, projected, exhausted_at)) from explain_usage('text', 1, 'bob')),
  array['plan'], 'and as little'
);
do $$ begin perform grant_usage('text', 100, 'ada'); end $$;
select is(pg_temp.shown('ada'), '200 -', 'a top-up of as much makes it last to the end');
select is(
  (select array_agg(concat_ws(' ', source, projected, exhausted_at) order by source) from explain_usage('text', 1, 'ada')),
  array['grant', 'plan 200'], 'a grant has no pace of its own'
);
set local test.clock = '2026-09-16 00:00:00+00';
select is(pg_temp.shown('cy'), '10 -', 'a pace that slackens');
set local test.clock = '2026-09-30 23:59:59.999999+00';
select is(pg_temp.shown('ada'), '20 -', 'at the last moment it is what was used');
set local test.clock = '2026-10-01 00:00:00+00';
select is(pg_temp.shown('ada'), '- -', 'a new period begins with nothing');

-- A minute, an anchored month, and numbers at the edge.
set local test.clock = '2026-10-01 12:00:10+00';
do $$ begin perform consume_usage('quick', 30, 'ada'); end $$;
select is(pg_temp.shown('ada', 'quick'), '180 10-01 12:00:20', '30 in 10 seconds of a minute');
do $$ begin
  perform set_plan('fay', 'free', '2026-09-11 00:00+00');
  perform consume_usage('text', 40, 'fay');
end $$;
select is(pg_temp.shown('fay'), '59 -', 'a month of its own: 40 in 20.5 days of 30');
do $$ begin perform consume_usage('open', 9007199254740991, 'gil'); end $$;
set local test.clock = '2026-10-04 12:00:00+00';
select is(pg_temp.shown('gil', 'open'), '9007199254740991 -', 'no number passes 2^53 - 1');

-- Its own reader.
set local role authenticated;
set local request.jwt.claims = '{"sub": "fay"}';
select is(pg_temp.shown('fay'), '51 -', 'a user sees its own');
select is(
  (select array_agg(projected) from explain_usage('text', 1)), array[51::bigint], 'and is told it'
);

select * from finish();
rollback;
