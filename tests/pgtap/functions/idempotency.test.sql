-- Idempotency keys: a repeated call is told its first answer and counts nothing.
begin;
set local search_path = public, extensions;
set local timezone = 'UTC';
select plan(34);

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
set local role authenticated;
set local request.jwt.claims = '{"sub": "ada"}';
select is(
  (select row(subject, replayed, used)::text from consume_usage('ai_generation', 1, 'acme', 'k1')),
  '(acme,f,1)', 'an organisation has keys of its own'
);
set local request.jwt.claims = '{"sub": "bob"}';
select is(
  (select row(subject, replayed, used)::text from consume_usage('ai_generation', 1, 'acme', 'k1')),
  '(acme,t,1)', 'which its members share'
);
set local role service_role;
select is(
  (select row(replayed, used)::text from consume_usage('ai_generation', 1, 'bob', 'k1')),
  '(t,1)', 'a key that the user bound is bound for the server too'
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
select is(
  (select to_jsonb(d) from consume_usage('ai_generation', 2, 'ada', 'k1') as d),
  (select decision || '{"replayed": true}' from answers where name = 'first'),
  'after more than 30 days, in another period and under another anchor, a key still replays'
);
select is(pg_temp.used('ai_generation', 'ada'), 0::bigint, 'and counts nothing in the new period');
do $$ begin perform apply_plans('{
  "features": {"ai_generation": {}, "export": {}},
  "plans": {
    "free": {"default": true, "limits": {"export": {"month": 3}}},
    "pro": {"limits": {"ai_generation": {"month": null}, "export": {"month": null}}}
  }
}'); end $$;
select is(
  (select row(allowed, reason, replayed)::text from enforce_usage('ai_generation', 2, 'ada', 'k1')),
  '(t,ok,t)', 'a key replays also when the plan no longer has the feature'
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
