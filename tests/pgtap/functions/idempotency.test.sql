-- Idempotency keys: a repeated call is told its first answer and counts nothing.
begin;
select set_config('search_path', 'public, ' || pronamespace::regnamespace, true) from pg_proc where proname = 'pgtap_version';
set local timezone = 'UTC';
select plan(52);

create or replace function quota.clock()
returns timestamptz language plpgsql set search_path = pg_catalog, pg_temp
as $$ begin return current_setting('test.clock', true); end $$;
set local test.clock = '2026-09-15 12:00:00+00';

do $$ begin perform apply_plans('{
  "features": {"ai_generation": {}, "export": {}},
  "plans": {
    "free": {"default": true, "limits": {"ai_generation": {"month": 3}, "export": {"month": 3}}},
    "pro": {"limits": {"ai_generation": {"month": null}, "export": {"month": null}}}
  }
}'); end $$;

create temporary table answers (name text, decision jsonb);
grant all on answers to authenticated, service_role;
create function pg_temp.used(p_feature text, p_subject text) returns bigint language sql
  as $$ select used from public.check_usage(p_feature, 1, p_subject) $$;

set local role authenticated;
set local request.jwt.claims = '{"sub": "ada"}';

-- The same call again.
insert into answers
  select 'first', to_jsonb(d)
  from consume_usage('ai_generation', 2, idempotency_key => 'k1', metadata => '{"try": 1}') as d;
select is(
  (select decision -> 'replayed' from answers where name = 'first'), 'false',
  'the first call with a key is not a replay'
);
select is(
  (select to_jsonb(d) from consume_usage('ai_generation', 2, idempotency_key => 'k1', metadata => '{"try": 1}') as d),
  (select decision || '{"replayed": true}' from answers where name = 'first'),
  'the same call again gets the first answer, marked as replayed'
);
select is(pg_temp.used('ai_generation', 'ada'), 2::bigint, 'a replay counts nothing');
select is(
  (select row(replayed, used)::text
   from consume_usage('ai_generation', 2, idempotency_key => 'k1', metadata => '{"try": 2}')),
  '(t,2)', 'metadata is no part of the arguments: a retry carries another time stamp'
);
select is(
  (select array_agg(metadata) from usage_events), array['{"try": 1}']::jsonb[],
  'the ledger keeps the metadata of the call that counted'
);
select is(
  (select row(replayed, used)::text from consume_usage('ai_generation', 2, 'ada', 'k1')),
  '(t,2)', 'naming the subject or leaving it out is the same call'
);
select is(
  (select idempotency_key from usage_events), 'k1', 'the ledger line shows its key'
);

-- Other arguments.
select throws_ok(
  $$select consume_usage('ai_generation', 1, idempotency_key => 'k1')$$, 'QIDEM', null,
  'the key with another amount is QIDEM'
);
select throws_ok(
  $$select consume_usage('export', 2, idempotency_key => 'k1')$$, 'QIDEM', null,
  'the key with another feature is QIDEM'
);
select is(
  pg_temp.used('ai_generation', 'ada') + pg_temp.used('export', 'ada'), 2::bigint,
  'a key with other arguments counts nothing'
);
select lives_ok(
  $$select consume_usage('ai_generation', 1), consume_usage('export', 1), consume_usage('export', 1)$$,
  'calls without a key are calls of their own'
);
select is(
  (select row(allowed, replayed, used, remaining)::text
   from consume_usage('ai_generation', 2, idempotency_key => 'k1')),
  '(t,t,2,1)', 'a replay shows the first answer, not the state of now'
);
select is(
  (select row(allowed, replayed)::text from enforce_usage('ai_generation', 2, idempotency_key => 'k1')),
  '(t,t)', 'consume and enforce share keys, and a replay is allowed though nothing is left now'
);
select throws_ok(
  $$select enforce_usage('ai_generation', 1, idempotency_key => 'k1')$$, 'QIDEM', null,
  'enforce judges the arguments of a key that consume bound'
);

-- Whose key.
set local request.jwt.claims = '{"sub": "bob"}';
select is(
  (select row(subject, allowed, replayed, used)::text
   from consume_usage('ai_generation', 1, idempotency_key => 'k1')),
  '(bob,t,f,1)', 'the same key of another subject is another key'
);
reset role;
insert into quota.members (subject_id, user_id) values ('acme', 'ada'), ('acme', 'bob');
do $$ begin perform set_limit('acme', 'ai_generation', 'month', 9); end $$;
set local role authenticated;
set local request.jwt.claims = '{"sub": "ada"}';
select is(
  (select row(subject, replayed, used)::text from consume_usage('ai_generation', 1, 'acme', 'k1')),
  '(acme,f,1)', 'an organisation has keys of its own'
);
set local request.jwt.claims = '{"sub": "bob"}';
select is(
  (select row(subject, replayed, used)::text from consume_usage('ai_generation', 1, 'acme', 'k1')),
  '(acme,f,2)', 'and each of its members has its own there'
);
set local role service_role;
select is(
  (select row(replayed, used)::text from consume_usage('ai_generation', 1, 'bob', 'k1')),
  '(f,2)', 'the server has keys of its own'
);
select is(
  (select row(replayed, used)::text from consume_usage('ai_generation', 1, 'bob', 'k1')),
  '(t,2)', 'which it repeats'
);
set local role authenticated;
set local request.jwt.claims = '{"sub": "bob"}';
select is(
  (select row(replayed, used)::text from consume_usage('ai_generation', 1, 'bob', 'k1')),
  '(t,1)', 'and the user its own'
);
set local role service_role;
select is(
  (select replayed from consume_usage('ai_generation', 1, 'acme', 'order-7')), false,
  'the server may bind a key for an organisation'
);
set local role authenticated;
select is(
  (select row(replayed, used)::text from consume_usage('ai_generation', 1, 'acme', 'order-7')),
  '(f,4)', 'a member that guesses it is told nothing of the answer, and pays'
);
set local role service_role;
select is(
  (select row(replayed, used)::text from consume_usage('ai_generation', 1, 'acme', 'order-7')),
  '(t,3)', 'nor has it taken the key'
);

-- A refusal binds nothing.
select is(
  (select row(allowed, replayed)::text from consume_usage('ai_generation', 4, 'cora', 'k2')),
  '(f,f)', 'a call with a key can be refused'
);
select throws_ok(
  $$select enforce_usage('ai_generation', 4, 'cora', 'k2')$$, 'PT402', null,
  'and is refused again when it is repeated'
);
do $$ begin perform set_plan('cora', 'pro'); end $$;
select is(
  (select row(allowed, replayed, used)::text from consume_usage('ai_generation', 4, 'cora', 'k2')),
  '(t,f,4)', 'after an upgrade the same call with the same key counts'
);
select is(
  (select row(allowed, replayed)::text from consume_usage('export', 4, 'dora', 'k3')), '(f,f)',
  'a refusal does not bind the arguments'
);
select is(
  (select row(allowed, replayed)::text from consume_usage('ai_generation', 1, 'dora', 'k3')), '(t,f)',
  'so that the key is free for another call'
);

-- Rolled back work.
do $$
begin
  perform consume_usage('export', 1, 'dora', 'k4');
  raise sqlstate 'P0001';
exception when sqlstate 'P0001' then
  null;
end $$;
select is(
  (select row(allowed, replayed, used)::text from consume_usage('export', 2, 'dora', 'k4')),
  '(t,f,2)', 'the key of a call that was rolled back is free'
);

-- How long.
set local test.clock = '2026-11-01 00:00:00+00';
do $$ begin perform set_plan('ada', 'free', anchor => '2026-10-31 00:00+00'); end $$;
set local role authenticated;
set local request.jwt.claims = '{"sub": "ada"}';
select is(
  (select to_jsonb(d) from consume_usage('ai_generation', 2, 'ada', 'k1') as d),
  (select decision || '{"replayed": true}' from answers where name = 'first'),
  'after more than 30 days, in another period and under another anchor, a key still replays'
);
select is(pg_temp.used('ai_generation', 'ada'), 0::bigint, 'and counts nothing in the new period');
set local role service_role;
do $$ begin perform apply_plans('{
  "features": {"ai_generation": {}, "export": {}},
  "plans": {
    "free": {"default": true, "limits": {"export": {"month": 3}}},
    "pro": {"limits": {"ai_generation": {"month": null}, "export": {"month": null}}}
  }
}'); end $$;
select is(
  (select row(allowed, reason, replayed)::text from enforce_usage('ai_generation', 1, 'bob', 'k1')),
  '(t,ok,t)', 'a key replays also when the plan no longer has the feature'
);

-- An answer is told again only while it is true.
do $$ begin perform apply_plans('{
  "features": {"ai_generation": {}, "export": {}},
  "plans": {
    "free": {"default": true, "limits": {"ai_generation": {"month": 10}, "export": {"month": 10}}},
    "pro": {"limits": {"ai_generation": {"month": null}, "export": {"month": null}}}
  }
}'); end $$;
create temporary table ids (name text, id uuid);
grant all on ids to service_role;
create function pg_temp.id(p_name text) returns uuid language sql
  as $$ select id from ids where name = p_name $$;
set local test.clock = '2026-12-01 00:00:00+00';
insert into ids select 'held', reservation_id from reserve_usage('export', 4, 'kim', '1 hour', 'h1');
select is(
  (select row(replayed, reservation_id)::text from reserve_usage('export', 4, 'kim', '1 hour', 'h1')),
  (select row(true, pg_temp.id('held'))::text), 'the key of an open hold gives the hold again'
);
do $$ begin perform release_usage(pg_temp.id('held')); end $$;
select is(
  (select row(replayed, reserved)::text from reserve_usage('export', 4, 'kim', '1 hour', 'h1')),
  '(f,4)', 'the key of a hold that was released is free'
);
select isnt(
  (select reservation_id from reserve_usage('export', 4, 'kim', '1 hour', 'h1')), pg_temp.id('held'),
  'and bound to the new hold'
);
set local test.clock = '2026-12-01 01:00:00+00';
insert into ids select 'again', reservation_id from reserve_usage('export', 6, 'kim', '1 hour', 'h1');
select is(
  (select reserved from check_usage('export', 1, 'kim')), 6::bigint,
  'so is that of a hold that has expired, also for other arguments'
);
do $$ begin perform commit_usage(pg_temp.id('again'), 5); end $$;
select is(
  (select row(replayed, reservation_id)::text from reserve_usage('export', 6, 'kim', '1 hour', 'h1')),
  (select row(true, pg_temp.id('again'))::text), 'the key of a hold that was committed stays bound'
);
select throws_ok(
  $$select reserve_usage('export', 1, 'kim', '1 hour', 'h1')$$, 'QIDEM', null, 'to its arguments'
);
do $$
begin
  perform refund_usage(e.event_id) from usage_events as e where e.subject = 'kim' and e.kind = 'commit';
end $$;
select is(
  (select row(allowed, replayed)::text from reserve_usage('export', 1, 'kim', '1 hour', 'h1')), '(t,f)',
  'until what it counted was refunded in full'
);
insert into ids select 'nothing', reservation_id from reserve_usage('export', 1, 'kim', '1 hour', 'h2');
do $$ begin perform commit_usage(pg_temp.id('nothing'), 0); end $$;
select is(
  (select replayed from reserve_usage('export', 1, 'kim', '1 hour', 'h2')), false,
  'the key of a hold that was committed with nothing is free'
);
insert into ids select 'use', event_id from consume_usage('ai_generation', 3, 'kim', 'c1');
do $$ begin perform refund_usage(pg_temp.id('use'), 2); end $$;
select is(
  (select row(replayed, used)::text from consume_usage('ai_generation', 3, 'kim', 'c1')), '(t,3)',
  'the key of a use stays bound while a part of it counts'
);
do $$ begin perform refund_usage(pg_temp.id('use'), 1); end $$;
do $$ begin for i in 1 .. 3 loop
  insert into ids select 'use' || i, event_id from consume_usage('ai_generation', 3, 'kim', 'c1');
  perform refund_usage(pg_temp.id('use' || i));
end loop; end $$;
select is(
  (select row(replayed, used)::text from consume_usage('ai_generation', 3, 'kim', 'c1')), '(f,3)',
  'an answer that says allowed counts, however often it was refunded before'
);
create temporary table batches as
  select d.* from consume_usage_batch('[{"feature": "export"}, {"feature": "ai_generation"}]', 'kim', 'b1') as d;
do $$ begin perform refund_usage(event_id) from batches where feature = 'export'; end $$;
select is(
  (select array_agg(replayed) from consume_usage_batch('[{"feature": "export"}, {"feature": "ai_generation"}]', 'kim', 'b1')),
  array[true, true], 'a batch replays while one of its items counts'
);
do $$ begin perform refund_usage(event_id) from batches where feature = 'ai_generation'; end $$;
select is(
  (select array_agg(replayed) from consume_usage_batch('[{"feature": "export"}, {"feature": "ai_generation"}]', 'kim', 'b1')),
  array[false, false], 'and then counts again'
);
insert into ids select 'grant', grant_usage('export', 5, 'kim', idempotency_key => 'g1');
do $$ begin perform void_grant(pg_temp.id('grant')); end $$;
select is(
  grant_usage('export', 5, 'kim', idempotency_key => 'g1'), pg_temp.id('grant'),
  'the key of a grant stays bound after a void: a webhook that comes again buys nothing'
);

-- What a key may be.
select is(
  (select row(allowed, replayed)::text from consume_usage('export', 1, 'eve', repeat('k', 255))),
  '(t,f)', 'a key has up to 255 characters'
);
select is(
  (select row(allowed, replayed)::text from consume_usage('export', 1, 'eve', repeat('ü', 255))),
  '(t,f)', 'characters, not bytes'
);
select throws_ok(
  $$select consume_usage('export', 1, 'eve', repeat('k', 256))$$, 'QIDEM', null,
  'a longer key is QIDEM'
);
select throws_ok(
  $$select consume_usage('export', 1, 'eve', '')$$, 'QIDEM', null, 'an empty key is QIDEM'
);
select is(
  (select row(allowed, replayed)::text from consume_usage('export', 1, 'eve', ' ')), '(t,f)',
  'a blank is a key like any other'
);
select is(
  (select row(allowed, replayed)::text from consume_usage('export', 1, 'dora', 'K4')), '(t,f)',
  'keys are compared exactly: upper and lower case differ'
);

reset role;
select is_empty($$select * from verify_usage()$$, 'every number is proved by the ledger');

select * from finish();
rollback;
