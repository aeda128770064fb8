-- void_grant(): ends a grant; what is left of it is gone, what was drawn stays drawn.
begin;
select set_config('search_path', 'public, ' || pronamespace::regnamespace, true) from pg_proc where proname = 'pgtap_version';
set local timezone = 'UTC';
select plan(40);

create or replace function quota.clock()
returns timestamptz language plpgsql set search_path = pg_catalog, pg_temp
as $$ begin return current_setting('test.clock', true); end $$;
set local test.clock = '2026-01-15 12:00:00+00';

do $$ begin perform apply_plans('{
  "features": {"pack": {}, "file": {"kind": "gauge"}},
  "plans": {"free": {"default": true, "limits": {"pack": {"month": 2}, "file": {"lifetime": 1}}}}
}'); end $$;

create temporary table ids (name text primary key, id uuid);
grant all on ids to service_role, authenticated;
create function pg_temp.id(p_name text) returns uuid
language sql as $$ select id from ids where name = p_name $$;
create function pg_temp.state(p_subject text, p_feature text default 'pack') returns text
language sql as $$
  select row(used, "limit", remaining, granted)::text from public.check_usage(p_feature, 1, p_subject)
$$;
insert into ids
  select g.name, grant_usage(g.feature, g.amount, g.subject, g.expires_at::timestamptz)
  from (values
    ('one', 'pack', 10, 'ada', null), ('two', 'pack', 5, 'ada', '2026-02-01 00:00+00'),
    ('bob', 'pack', 10, 'bob', null), ('files', 'file', 3, 'cyd', null),
    ('expired', 'pack', 5, 'dan', '2026-01-16 00:00+00')
  ) as g (name, feature, amount, subject, expires_at);

-- Who may.
set local role authenticated;
set local request.jwt.claims = '{"sub": "ada", "role": "authenticated"}';
select throws_ok($$select void_grant(pg_temp.id('bob'))$$, '42501', null, 'a user cannot end a grant');
select throws_ok(
  $$select quota.void_grant(pg_temp.id('bob'), null, null)$$, '42501', null, 'nor by the private function'
);
set local role anon;
select throws_ok($$select void_grant(null)$$, '42501', null, 'anon may not call it');
set local role service_role;

insert into ids select 'use', event_id from consume_usage('pack', 9, 'ada');
select is(pg_temp.state('ada'), '(9,17,8,8)', 'two of the plan, five and two of the grants are used');
select is(void_grant(pg_temp.id('one')), 8::bigint, 'a grant that was open is ended, and eight of it were left');
select is(
  pg_temp.state('ada'), '(9,9,0,0)', 'what was left of it is gone; what was drawn stays drawn'
);
select is((consume_usage('pack', 1, 'ada')).allowed, false, 'at once');
select is(void_grant(pg_temp.id('one')), 0::bigint, 'a second time there is nothing to end');
select is(
  (select array_agg(kind order by kind) from usage_events where about_id = (select id from ids where name = 'one')),
  array['grant', 'void'], 'the ledger has one line for the end'
);
do $$ begin perform refund_usage(pg_temp.id('use'), 3); end $$;
select is(
  pg_temp.state('ada'), '(6,7,1,1)',
  'a refund gives back to both grants, the voided one first; what is given back to that stays ended'
);
select is(
  (select array_agg(row(name, drawn)::text order by name) from ids join quota.grants on grant_id = id where subject_id = 'ada'),
  array['(one,0)', '(two,4)'], 'as the grants say'
);

-- Which grant.
select throws_ok($$select void_grant(null)$$, '22023', null, 'no grant is 22023');
select is(void_grant('00000000-0000-0000-0000-000000000000'), 0::bigint, 'nor is an unknown one');
select is(void_grant(pg_temp.id('bob'), 'ada'), 0::bigint, 'nor one of another subject than the named');
select is(void_grant(pg_temp.id('bob'), ''), 0::bigint, 'nor with an empty subject');
select is(pg_temp.state('bob'), '(0,12,12,10)', 'none of these has ended anything');
select is(void_grant(pg_temp.id('bob'), 'bob'), 10::bigint, 'the subject can be named');
select is(pg_temp.state('bob'), '(0,2,2,0)', 'and only the plan is left');

-- Holds and gauges.
insert into ids select 'again', grant_usage('pack', 5, 'bob');
insert into ids select 'hold', reservation_id from reserve_usage('pack', 6, 'bob');
do $$ begin perform void_grant(pg_temp.id('again')); end $$;
select is(
  (select row(reason, used, "limit", remaining)::text from commit_usage(pg_temp.id('hold'))), '(ok,6,6,0)',
  'a hold keeps what it drew from a grant that was ended meanwhile'
);
do $$ begin perform consume_usage('file', 4, 'cyd'); end $$;
select is(void_grant(pg_temp.id('files')), 3::bigint, 'a grant on a gauge can be ended');
select is(
  (select row(used, "limit", status)::text from current_usage where subject = 'cyd' and feature = 'file'),
  '(4,1,over_limit)', 'which leaves the gauge over its limit'
);

-- After the end.
set local test.clock = '2026-01-16 00:00:00+00';
select is(void_grant(pg_temp.id('expired')), 0::bigint, 'of a grant that has expired nothing is left');
select is(pg_temp.state('dan'), '(0,2,2,0)', 'which changes nothing');

-- A part of it.
set local test.clock = '2026-01-20 00:00:00+00';
insert into ids select 'part', grant_usage('pack', 10, 'eve');
insert into ids select 'five', event_id from consume_usage('pack', 5, 'eve');
select is(void_grant(pg_temp.id('part'), null, 4), 4::bigint, 'a part of what is left is taken back');
select is(pg_temp.state('eve'), '(5,8,3,3)', 'and the rest can be used');
select is(
  (select metadata from usage_events where about_id = (select id from ids where name = 'part') and kind = 'void'), '{"amount": 4, "ended": false}',
  'a line says how much'
);
select is((consume_usage('pack', 4, 'eve')).allowed, false, 'no more than that, at once');
select is(void_grant(pg_temp.id('part'), 'eve', 9), 3::bigint, 'of more than is left what is left');
select is(pg_temp.state('eve'), '(5,5,0,0)', 'what was drawn stays drawn');
select is(void_grant(pg_temp.id('part'), 'eve', 9), 0::bigint, 'then nothing is left');
select is(
  (select is_spent from quota.grants where grant_id = (select id from ids where name = 'part')), true,
  'which no call looks at any more'
);
do $$ begin perform refund_usage(pg_temp.id('five'), 1); end $$;
select is(
  pg_temp.state('eve'), '(4,5,1,1)', 'what is given back to it later was not taken back, and can be used again'
);
select is(void_grant(pg_temp.id('part')), 1::bigint, 'and taken back');
insert into ids select 'held', grant_usage('pack', 4, 'fay');
insert into ids select 'draws', reservation_id from reserve_usage('pack', 5, 'fay', '1 minute');
select is(void_grant(pg_temp.id('held'), amount => 4), 1::bigint, 'what a hold has drawn is not left');
set local test.clock = '2026-01-20 00:01:00+00';
select is(pg_temp.state('fay'), '(0,5,5,3)', 'and comes back when it ends');
select is(void_grant(pg_temp.id('held'), amount => 4), 3::bigint, 'then it can be taken back');
insert into ids select 'whole', grant_usage('pack', 4, 'fay');
select is(void_grant(pg_temp.id('whole'), amount => 4), 4::bigint, 'all of one that nothing was drawn from');
select is(
  (select voided_at is not null and amount = 4 from quota.grants where grant_id = (select id from ids where name = 'whole')), true,
  'is its end'
);
select is(pg_temp.state('fay'), '(0,2,2,0)', 'and only the plan is left again');

reset role;
select is_empty($$select * from verify_usage()$$, 'every number is proved by the ledger');

select * from finish();
rollback;
