-- release_usage(): the work failed or was abandoned, and costs nothing.
begin;
select set_config('search_path', 'public, ' || pronamespace::regnamespace, true) from pg_proc where proname = 'pgtap_version';
set local timezone = 'UTC';
select plan(29);

create or replace function quota.clock()
returns timestamptz language plpgsql set search_path = pg_catalog, pg_temp
as $$ begin return current_setting('test.clock', true); end $$;
set local test.clock = '2026-09-15 12:00:00+00';

do $$ begin perform apply_plans('{
  "features": {"ai_generation": {}, "pack": {}, "seat": {"kind": "gauge"}},
  "plans": {
    "free": {"default": true, "upgrade_url": "/up", "limits": {
      "ai_generation": {"month": 10}, "pack": {"month": 1}, "seat": {"lifetime": 3}
    }},
    "none": {"limits": {}}
  }
}'); end $$;

create temporary table holds (name text primary key, id uuid);
grant all on holds to service_role, authenticated;
create function pg_temp.id(p_name text) returns uuid
language sql as $$ select id from holds where name = p_name $$;
create function pg_temp.state(p_subject text, p_feature text default 'ai_generation') returns text
language sql as $$
  select row(used, reserved, "limit", remaining)::text from public.check_usage(p_feature, 1, p_subject)
$$;
create function pg_temp.lines(p_name text) returns text[] language sql as $$
  select array_agg(row(kind, reserved_change, drawn_change)::text order by at, kind, reserved_change, drawn_change)
  from public.usage_events where about_id = pg_temp.id(p_name)
$$;

insert into holds
  select h.name, r.reservation_id
  from (values ('one', 'ada', 4), ('two', 'ada', 3), ('three', 'ada', 2), ('committed', 'bob', 2)) as h (name, subject, amount)
  cross join lateral reserve_usage('ai_generation', h.amount, h.subject) as r;

-- Who may.
set local role authenticated;
set local request.jwt.claims = '{"sub": "ada", "role": "authenticated"}';
select throws_ok(
  $$select release_usage(pg_temp.id('one'))$$, '42501', null, 'a user cannot release its own hold'
);
select throws_ok(
  $$select quota.release_usage(pg_temp.id('one'), null)$$, '42501', null, 'nor by the private function'
);
set local role anon;
select throws_ok($$select release_usage(null)$$, '42501', null, 'anon may not call it');
set local role service_role;

select is(pg_temp.state('ada'), '(0,9,10,1)', 'three holds');
create temporary table answer as
  select to_jsonb(d) as told from release_usage(pg_temp.id('one')) as d;
select is(
  (select told - 'event_id' from answer),
  jsonb_build_object('reservation_id', pg_temp.id('one')) ||
  '{"allowed": true, "reason": "ok", "feature": "ai_generation", "subject": "ada", "plan": "free",
    "amount": 4, "used": 0, "reserved": 5, "limit": 10, "remaining": 5, "unlimited": false,
    "period": "month", "period_start": "2026-09-01T00:00:00+00:00",
    "resets_at": "2026-10-01T00:00:00+00:00", "retry_after": null, "replayed": false,
    "upgrade_url": "/up", "granted": 0,
    "carried": 0, "limiting_feature": "ai_generation", "limiting_subject": "ada", "limiting_member": null}',
  'a release gives the hold back, and only this one'
);
select is(
  pg_temp.lines('one'), array['(release,-4,0)', '(reserve,4,0)'], 'the ledger has a line for it'
);
select is(
  (select to_jsonb(d) from release_usage(pg_temp.id('one'), 'ada') as d),
  (select told || '{"replayed": true}' from answer), 'the same release again gives the first answer'
);
select throws_ok(
  $$select commit_usage(pg_temp.id('one'))$$, 'QRSRV', null, 'a commit after the release is QRSRV'
);
select throws_ok(
  $$select commit_usage(pg_temp.id('one'), 0)$$, 'QRSRV', null, 'also one of 0'
);
select is(pg_temp.state('ada'), '(0,5,10,5)', 'none of these has given anything back again');
select throws_ok(
  $$select refund_usage((select (told ->> 'event_id')::uuid from answer))$$, 'QRSRV', null,
  'a release is no use, and cannot be refunded'
);

-- Which hold.
do $$ begin perform commit_usage(pg_temp.id('committed')); end $$;
select throws_ok(
  $$select release_usage(pg_temp.id('committed'))$$, 'QRSRV', null, 'a hold that was committed is QRSRV'
);
select throws_ok($$select release_usage(null)$$, 'QRSRV', null, 'no reservation is QRSRV');
select throws_ok(
  $$select release_usage('00000000-0000-0000-0000-000000000000')$$, 'QRSRV', null,
  'an unknown reservation is QRSRV'
);
select throws_ok(
  $$select release_usage(pg_temp.id('two'), 'bob')$$, 'QRSRV', null, 'a subject that is given and wrong is QRSRV'
);
select throws_ok(
  $$select release_usage(pg_temp.id('two'), '')$$, 'QRSRV', null, 'an empty subject is a wrong one'
);
select is(pg_temp.state('ada'), '(0,5,10,5)', 'none of these has released anything');

-- After its end.
set local test.clock = '2026-09-15 12:15:00+00';
select is(
  (select row(allowed, amount, used, reserved, replayed)::text from release_usage(pg_temp.id('two'))),
  '(t,3,0,0,f)', 'a hold that has expired can be released'
);
select is(
  pg_temp.lines('two'), array['(reserve,3,0)', '(expire,-3,0)', '(release,0,0)'],
  'which gives nothing back a second time'
);
select throws_ok(
  $$select commit_usage(pg_temp.id('two'))$$, 'QRSRV', null, 'and rules out a late commit'
);
select is(
  (select row(reason, used)::text from commit_usage(pg_temp.id('three'))), '(ok,2)',
  'which the hold beside it still gets'
);
set local test.clock = '2026-10-01 00:00:00+00';
select is(
  (select row(replayed, reserved)::text from release_usage(pg_temp.id('one'))), '(t,5)',
  'the first answer is the answer in the next month, too'
);

-- In the period of the hold.
insert into holds select 'october', reservation_id from reserve_usage('ai_generation', 4, 'eve', '7 days');
set local test.clock = '2026-10-31 23:00:00+00';
insert into holds select 'late', reservation_id from reserve_usage('ai_generation', 5, 'eve', '7 days');
set local test.clock = '2026-11-01 00:00:00+00';
select is(
  (select row(allowed, amount, used, reserved, period_start)::text from release_usage(pg_temp.id('late'))),
  '(t,5,0,0,"2026-11-01 00:00:00+00")', 'a release in the next month shows the state of now'
);
select is(
  (select array_agg(row(c.period_start, coalesce(c.used, m.used - c.used_before),
    coalesce(c.reserved, m.reserved - c.reserved_before))::text)
   from quota.counters as c join quota.meters as m using (subject_id, feature_id) where subject_id = 'eve'),
  array['("2026-10-01 00:00:00+00",0,0)'], 'and gives back in the month of the hold'
);

-- What the hold drew from grants.
do $$ begin perform grant_usage('pack', 5, 'fay'); end $$;
insert into holds select 'drawn', reservation_id from reserve_usage('pack', 4, 'fay');
select is(pg_temp.state('fay', 'pack'), '(0,4,6,2)', 'a hold of 4 with a plan of 1 draws 3');
select is(
  (select row(reserved, remaining, granted)::text from release_usage(pg_temp.id('drawn'))), '(0,6,5)',
  'a release gives back to the grant what was drawn from it'
);
select is(
  pg_temp.lines('drawn'), array['(draw,0,-3)', '(draw,0,3)', '(release,-4,0)', '(reserve,4,0)'],
  'with a line that says so'
);

-- Without the feature.
insert into holds select 'lost', reservation_id from reserve_usage('seat', 2, 'gus');
do $$ begin perform set_plan('gus', 'none'); end $$;
select is(
  (select row(allowed, plan, period, "limit")::text from release_usage(pg_temp.id('lost'))), '(t,none,,0)',
  'a hold of a feature that the plan has lost can be released'
);

reset role;
select is_empty($$select * from verify_usage()$$, 'every number is proved by the ledger');

select * from finish();
rollback;
