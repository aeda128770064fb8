-- extend_usage(): the heartbeat of a long job. An open hold ends later, or sooner, and counts as before.
begin;
select set_config('search_path', 'public, ' || pronamespace::regnamespace, true) from pg_proc where proname = 'pgtap_version';
set local timezone = 'Europe/Berlin';
select plan(29);

create or replace function quota.clock()
returns timestamptz language plpgsql set search_path = pg_catalog, pg_temp
as $$ begin return current_setting('test.clock', true); end $$;
set local test.clock = '2026-10-24 12:00:00+00';

do $$ begin perform apply_plans('{
  "features": {"ai_generation": {}, "export_slot": {"kind": "gauge"}},
  "plans": {
    "free": {"default": true, "upgrade_url": "/up", "limits": {"ai_generation": {"month": 10}, "export_slot": {"lifetime": 3}}},
    "none": {"limits": {}}
  }
}'); end $$;

create temporary table holds (name text primary key, id uuid);
grant all on holds to service_role, authenticated;
create function pg_temp.id(p_name text) returns uuid
language sql as $$ select id from holds where name = p_name $$;
create function pg_temp.slots(p_subject text default 'ada') returns text language sql as $$
  select row(allowed, reserved, retry_after)::text from public.check_usage('export_slot', 1, p_subject)
$$;

insert into holds
  select h.name, r.reservation_id
  from (values ('one', 'ada', 1), ('two', 'ada', 2), ('bob', 'bob', 1)) as h (name, subject, amount)
  cross join lateral reserve_usage('export_slot', h.amount, h.subject, '30 seconds') as r;

-- Who may.
set local role authenticated;
set local request.jwt.claims = '{"sub": "ada", "role": "authenticated"}';
select throws_ok(
  $$select extend_usage(pg_temp.id('one'))$$, '42501', null, 'a user cannot extend its own hold'
);
select throws_ok(
  $$select quota.extend_usage(pg_temp.id('one'), '1 hour', null)$$, '42501', null,
  'nor by the private function'
);
set local role anon;
select throws_ok($$select extend_usage(null)$$, '42501', null, 'anon may not call it');
set local role service_role;

-- What it does.
select is(pg_temp.slots(), '(f,3,30)', 'three slots are taken, and the first to end makes room');
set local test.clock = '2026-10-24 12:00:20+00';
select is(
  (select to_jsonb(d) from extend_usage(pg_temp.id('two'), '30 seconds') as d),
  jsonb_build_object('reservation_id', pg_temp.id('two')) ||
  '{"allowed": true, "reason": "ok", "feature": "export_slot", "subject": "ada", "plan": "free",
    "amount": 2, "used": 0, "reserved": 3, "limit": 3, "remaining": 0, "unlimited": false,
    "period": "lifetime", "period_start": null, "resets_at": null, "retry_after": null,
    "event_id": null, "replayed": false, "upgrade_url": "/up", "granted": 0,
    "carried": 0, "limiting_feature": "export_slot", "limiting_subject": "ada", "limiting_member": null}',
  'an extension is told what is held, and how things stand'
);
select is(pg_temp.slots(), '(f,3,10)', 'the other hold ends when it did');
set local test.clock = '2026-10-24 12:00:49+00';
select is(pg_temp.slots(), '(t,2,)', 'a hold that was extended outlives its first ttl, and one that was not does not');
select is((reserve_usage('export_slot', 2, 'ada')).allowed, false, 'a call that counts sees the same');
select is(
  (select holds_expire_at from quota.meters where subject_id = 'ada'),
  '2026-10-24 12:00:50+00', 'the meter knows when the first of its holds ends'
);
set local test.clock = '2026-10-24 12:00:50+00';
select is(pg_temp.slots(), '(t,0,)', 'it ends ttl after the last beat');

-- Only what is open.
select throws_ok(
  $$select extend_usage(pg_temp.id('two'), '1 hour')$$, 'QRSRV', null, 'what has expired is gone'
);
select is(pg_temp.slots(), '(t,0,)', 'and takes nobody''s room again');
set local test.clock = '2026-10-24 12:00:00+00';
insert into holds
  select n, (reserve_usage('ai_generation', 1, 'eve', idempotency_key => n)).reservation_id
  from unnest(array['released', 'committed', 'beating']) as n;
do $$ begin
  perform release_usage(pg_temp.id('released'));
  perform commit_usage(pg_temp.id('committed'));
end $$;
select throws_ok(
  $$select extend_usage(pg_temp.id('released'))$$, 'QRSRV', null, 'a hold that was released is QRSRV'
);
select throws_ok(
  $$select extend_usage(pg_temp.id('committed'))$$, 'QRSRV', null, 'so is one that was committed'
);
select throws_ok(
  $$select extend_usage(pg_temp.id('bob'), '1 hour', 'ada')$$, 'QRSRV', null,
  'a subject that is given and wrong is QRSRV'
);
select is(
  (extend_usage(pg_temp.id('bob'), '1 hour', 'bob')).amount, 1::bigint, 'and one that is right is none'
);
select is(
  (extend_usage(pg_temp.id('bob'))).reserved, 1::bigint, 'the ttl is 15 minutes where none is given'
);

-- The ttl is in seconds: a day has 24 hours, also when the clocks change.
do $$ begin perform extend_usage(pg_temp.id('beating'), '1 day'); end $$;
select is(
  (select expires_at from quota.reservations where reservation_id = (select id from holds where name = 'beating')),
  '2026-10-25 12:00:00+00', 'a day is 24 hours'
);
do $$ begin perform extend_usage(pg_temp.id('beating'), '10 seconds'); end $$;
select is(
  (select holds_expire_at from quota.meters where subject_id = 'eve'),
  '2026-10-24 12:00:10+00', 'a hold may end sooner, too, and the meter knows'
);
set local test.clock = '2026-10-24 12:00:10+00';
select is(
  (select row(used, reserved)::text from check_usage('ai_generation', 1, 'eve')), '(1,0)',
  'and ends then'
);

-- Over the end of a period, and of its plan.
set local test.clock = '2026-10-31 23:50:00+00';
insert into holds
  select 'long', (reserve_usage('ai_generation', 4, 'eve', idempotency_key => 'long')).reservation_id;
set local test.clock = '2026-11-01 00:04:00+00';
select is(
  (select row(amount, used, reserved, period_start)::text from extend_usage(pg_temp.id('long'))),
  '(4,0,0,"2026-11-01 01:00:00+01")', 'in the next month it shows the state of now'
);
set local test.clock = '2026-11-01 00:14:00+00';
select is(
  (select row(reservation_id = pg_temp.id('long'), replayed)::text
    from reserve_usage('ai_generation', 4, 'eve', idempotency_key => 'long')),
  '(t,t)', 'the key of a hold that lives on is bound to it'
);
do $$ begin
  perform consume_usage('ai_generation', 10, 'eve');
  perform set_plan('eve', 'none');
end $$;
select is(
  (select row(allowed, reason, "limit")::text from extend_usage(pg_temp.id('long'))), '(t,ok,0)',
  'it asks no limit again, also where the plan has none any more'
);
set local test.clock = '2026-11-01 00:28:00+00';
select is(
  (select row(reason, period_start is null)::text from commit_usage(pg_temp.id('long'), 3)), '(ok,t)',
  'its commit is not late'
);
select is(
  (select array_agg(row(kind, used_change, reserved_change, counts_at)::text order by at) from usage_events
    where about_id = (select id from holds where name = 'long')),
  array['(reserve,0,4,"2026-11-01 00:50:00+01")', '(commit,3,-4,"2026-11-01 00:50:00+01")'],
  'and counts in the month of the hold; the beats have no lines, since they change no sum'
);

-- Draws of a hold that lives on stay drawn.
do $$ begin
  perform grant_usage('ai_generation', 5, 'gus', '2026-11-01 01:00:00+00');
  perform consume_usage('ai_generation', 8, 'gus');
end $$;
insert into holds
  select 'drawing', (reserve_usage('ai_generation', 4, 'gus', '1 minute')).reservation_id;
do $$ begin perform extend_usage(pg_temp.id('drawing'), '10 minutes'); end $$;
set local test.clock = '2026-11-01 00:33:00+00';
select is(
  (select row(reserved, "limit", remaining, granted)::text from check_usage('ai_generation', 1, 'gus')),
  '(4,15,3,3)', 'what it has drawn from a grant stays drawn'
);
set local test.clock = '2026-11-01 00:38:00+00';
select is(
  (select row(reserved, "limit", remaining, granted)::text from check_usage('ai_generation', 1, 'gus')),
  '(0,15,7,5)', 'and comes back when it ends'
);
select is_empty('select * from verify_usage()', 'every number is proved');
reset role;
select is(
  (select count(*) from quota.reservations where state = 'open' and expires_at > quota.clock()),
  0::bigint, 'and no hold is left'
);

select * from finish();
rollback;
