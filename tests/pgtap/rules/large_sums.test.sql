-- No number that is shown passes 2^53 - 1, and one subject's numbers break no view for the others.
begin;
select set_config('search_path', 'public, ' || pronamespace::regnamespace, true) from pg_proc where proname = 'pgtap_version';
select plan(16);

create or replace function quota.clock()
returns timestamptz language plpgsql set search_path = pg_catalog, pg_temp
as $$ begin return current_setting('test.clock', true); end $$;
set local test.clock = '2026-11-20 12:00:00+00';
create function pg_temp.plans(p_limit text) returns jsonb language sql as $$
  select format('{"features": {"export": {}}, "plans": {
    "free": {"default": true, "limits": {"export": {"month": %s}}},
    "year": {"limits": {"export": {"year": 100}}},
    "minutes": {"limits": {"export": {"minute": null}}}}}', p_limit)::jsonb
$$;
do $$ begin perform apply_plans(pg_temp.plans('50')); end $$;

-- Limits and grants.
do $$ begin perform set_limit('ada', 'export', 'month', 9007199254740991 - 100); end $$;
select lives_ok($$select grant_usage('export', 100, 'ada')$$, 'a grant up to 2^53 - 1 fits');
select throws_ok($$select grant_usage('export', 1, 'ada')$$, 'QAMNT', null, 'a unit more is QAMNT');
select is(
  (select "limit" from current_usage where subject = 'ada'), 9007199254740991, 'the limit shown is 2^53 - 1'
);
select throws_ok(
  $$select set_limit('ada', 'export', 'month', 9007199254740991 - 99)$$, 'QAMNT', null,
  'a limit that passes it together with the grants is QAMNT'
);
select lives_ok($$select set_limit('ada', 'export', 'month', null)$$, 'none is no sum');
select lives_ok(
  $$select set_limit('ada', 'export', 'minute', 9007199254740991)$$, 'grants do not lift a limit per minute'
);
do $$ begin perform grant_usage('export', 1000, 'bob'); end $$;
select throws_ok(
  $$select apply_plans(pg_temp.plans('9007199254740000'))$$, 'QPLAN', null,
  'a plan''s limit that passes it with a subject''s grants is QPLAN'
);
select throws_ok(
  $$select apply_plans(pg_temp.plans('9007199254740000'), dry_run => true)$$, 'QPLAN', null,
  'a dry run says so'
);
select lives_ok($$select apply_plans(pg_temp.plans('9007199254739991'))$$, 'one that just fits does not');
-- What no call can refuse: a plan that ends.
do $$ begin
  perform set_plan('bob', 'year', ends_at => '2026-12-01Z');
  perform apply_plans(pg_temp.plans('9007199254740991'));
end $$;
set local test.clock = '2026-12-02 12:00:00+00';
select is(
  (select row("limit", remaining)::text from current_usage where subject = 'bob'),
  '(9007199254740991,9007199254740991)', 'a plan that ends leaves no limit above it'
);

-- Sums that no limit watches.
do $$ begin
  perform set_plan('eve', 'minutes');
  for i in 1 .. 3 loop
    perform set_config('test.clock', format('2026-12-02 12:%s:00+00', 10 + i), true);
    perform consume_usage('export', 9007199254740991, 'eve');
  end loop;
  perform set_plan('eve', 'year');
end $$;
select is(
  (select row(used, percent_used > 100, status)::text from current_usage where subject = 'eve'),
  '(9007199254740991,t,over_limit)', 'what was used without a limit shows as at most 2^53 - 1'
);
-- As an old release or a hand may have left it.
update quota.counters set used = 9000000000000000000 where subject_id = 'eve' and period = 'year';
select is(
  (select count(*) from current_usage where subject in ('ada', 'bob', 'eve')), 4::bigint,
  'and the view does not fail for the others'
);
select is((check_usage('export', 1, 'eve')).allowed, false, 'nor does a decision');
select ok(
  (select max(used) from usage_history where subject = 'eve') <= 9007199254740991, 'the history shows no more'
);
insert into quota.events (subject_id, event_id, at, kind, feature_id, counts_at, used_change)
  select 'mallory', gen_random_uuid(), '2026-12-02Z', 'consume', 'export', '2026-12-02Z', 9007199254740991
  from generate_series(1, 1100);
insert into quota.subjects (subject_id) values ('mallory');
select lives_ok('select * from current_usage', 'a sum that is no bigint breaks no view');
select lives_ok('select * from verify_usage()', 'nor verify_usage()');
select * from finish();
rollback;
