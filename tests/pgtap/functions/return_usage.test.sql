-- return_usage(): a gauge that the app counts by hand goes down.
begin;
select set_config('search_path', 'public, ' || pronamespace::regnamespace, true) from pg_proc where proname = 'pgtap_version';
set local timezone = 'UTC';
select plan(38);

create or replace function quota.clock()
returns timestamptz language plpgsql set search_path = pg_catalog, pg_temp
as $$ begin return current_setting('test.clock', true); end $$;
set local test.clock = '2026-09-30 23:00:00+00';

do $$ begin perform apply_plans('{
  "features": {"ai_generation": {}, "kb_file": {"kind": "gauge"}, "seat": {"kind": "gauge", "server_only": true}},
  "plans": {
    "free": {"default": true, "upgrade_url": "/up", "limits": {
      "ai_generation": {"month": 5}, "kb_file": {"lifetime": 5}, "seat": {"lifetime": 3}}},
    "pro": {"limits": {"kb_file": {"lifetime": null}}},
    "none": {"limits": {}}
  }
}'); end $$;

create function pg_temp.used(p_feature text, p_subject text) returns bigint language sql
  as $$ select used from public.current_usage where feature = p_feature and subject = p_subject $$;

-- Who may.
set local role authenticated;
set local request.jwt.claims = '{"sub": "ada"}';
do $$ begin perform consume_usage('kb_file', 5); end $$;
select throws_ok(
  $$select return_usage('kb_file', 1, 'ada')$$, '42501', null, 'a user cannot lower its gauge'
);
select throws_ok(
  $$select quota.return_usage('kb_file', 1, 'ada', null, '{}')$$, '42501', null, 'nor by the private function'
);
set local role anon;
select throws_ok($$select return_usage('kb_file', 1, 'ada')$$, '42501', null, 'anon may not call it');
set local role service_role;
set local request.jwt.claims = '{"role": "service_role"}';

-- What it does.
select is(
  (select row(allowed, used)::text from consume_usage('kb_file', 1, 'ada')), '(f,5)', 'a gauge that is full'
);
select is(
  (select to_jsonb(d) - 'event_id' from return_usage('kb_file', 2, 'ada') as d),
  '{"allowed": true, "reason": "ok", "feature": "kb_file", "subject": "ada", "plan": "free",
    "amount": 2, "used": 3, "reserved": 0, "limit": 5, "remaining": 2, "unlimited": false,
    "period": "lifetime", "period_start": null, "resets_at": null, "retry_after": null,
    "reservation_id": null, "replayed": false, "upgrade_url": "/up", "granted": 0,
    "carried": 0, "limiting_feature": "kb_file", "limiting_subject": "ada", "limiting_member": null}',
  'goes down, and the answer shows the state after it'
);
select is(
  (select row(kind, used_change, metadata)::text from usage_events where kind = 'return'),
  '(return,-2,{})', 'the ledger has a line'
);
select is(
  (select row(allowed, used)::text from consume_usage('kb_file', 2, 'ada')), '(t,5)',
  'what was returned can be used again'
);
select is(
  (select row(allowed, reason, amount, used)::text from return_usage('kb_file', 9, 'ada')), '(t,ok,5,0)',
  'it never goes below zero: it returns what there is, and says how much'
);
select is(
  (select row(allowed, amount, used)::text from return_usage('kb_file', 1, 'ada')), '(t,0,0)',
  'of nothing it returns nothing'
);
select is(
  (select row(allowed, amount, used, subject)::text from return_usage('kb_file', 1, 'new')), '(t,0,0,new)',
  'so it does for a subject that was never seen'
);
do $$ begin perform return_usage('kb_file', 1, 'ada', null, '{"why": "deleted"}'); end $$;
select is(
  (select count(*) from usage_events where kind = 'return' and metadata = '{"why": "deleted"}'), 1::bigint,
  'metadata is kept'
);

-- Wrong arguments.
select throws_ok(
  $$select return_usage('ai_generation', 1, 'ada')$$, 'QFEAT', null,
  'a metered feature is QFEAT: what was used is used'
);
select throws_ok($$select return_usage('nothing', 1, 'ada')$$, 'QFEAT', null, 'an unknown feature is QFEAT');
select throws_ok($$select return_usage(null, 1, 'ada')$$, 'QFEAT', null, 'no feature is QFEAT');
select throws_ok($$select return_usage('kb_file', 0, 'ada')$$, 'QAMNT', null, 'amount 0 is QAMNT');
select throws_ok(
  $$select return_usage('kb_file', -1, 'ada')$$, 'QAMNT', null, 'a negative amount is QAMNT: it would be a use'
);
select throws_ok($$select return_usage('kb_file', null, 'ada')$$, 'QAMNT', null, 'no amount is QAMNT');
select throws_ok(
  $$select return_usage('kb_file', 9007199254740992, 'ada')$$, 'QAMNT', null, 'amount 2^53 is QAMNT'
);
select throws_ok($$select return_usage('kb_file', 1, null)$$, 'QSUBJ', null, 'no subject is QSUBJ');
select throws_ok($$select return_usage('kb_file', 1, '')$$, 'QSUBJ', null, 'an empty subject is QSUBJ');
select throws_ok(
  $$select return_usage('kb_file', 1, 'ada', '')$$, 'QIDEM', null, 'an empty key is QIDEM'
);
select throws_ok(
  $$select return_usage('kb_file', 1, 'ada', null, '[]')$$, 'QMETA', null, 'metadata that is no object is QMETA'
);

-- Keys.
do $$ begin perform consume_usage('kb_file', 5, 'bob', 'use'); end $$;
select is(
  (select row(replayed, amount, used)::text from return_usage('kb_file', 2, 'bob', 'k1')), '(f,2,3)',
  'a return can carry a key'
);
select is(
  (select row(replayed, amount, used)::text from return_usage('kb_file', 2, 'bob', 'k1', '{"try": 2}')),
  '(t,2,3)', 'repeated with its key it returns nothing again'
);
select throws_ok(
  $$select return_usage('kb_file', 1, 'bob', 'k1')$$, 'QIDEM', null, 'the key with another amount is QIDEM'
);
select throws_ok(
  $$select return_usage('seat', 2, 'bob', 'k1')$$, 'QIDEM', null, 'so it is with another feature'
);
select throws_ok(
  $$select return_usage('kb_file', 5, 'bob', 'use')$$, 'QIDEM', null, 'the key of a use is none of a return'
);
select is(
  (select row(replayed, amount, used)::text from return_usage('kb_file', 2, 'cyd', 'k1')), '(f,0,0)',
  'another subject''s key is its own'
);

-- Whatever the plan is now.
do $$ begin perform set_plan('bob', 'none'); end $$;
select is(
  (select row(allowed, amount, plan, period, "limit")::text from return_usage('kb_file', 1, 'bob')),
  '(t,1,none,,0)', 'a gauge that the plan lacks goes down'
);
do $$ begin perform set_plan('bob', 'pro'); end $$;
select is(
  (select row(allowed, amount, used, unlimited)::text from return_usage('kb_file', 1, 'bob')), '(t,1,1,t)',
  'so does one without a limit'
);
select is(
  (select row(allowed, used)::text from consume_usage('seat', 2, 'bob')), '(f,0)', 'a feature that pro lacks'
);
do $$ begin perform set_plan('bob', 'free'); perform consume_usage('seat', 2, 'bob'); end $$;
select is(
  (select row(allowed, used)::text from return_usage('seat', 1, 'bob')), '(t,1)', 'a server_only gauge goes down'
);

-- Holds are not touched.
do $$ begin perform reserve_usage('kb_file', 3, 'bob'); end $$;
select is(
  (select row(amount, used, reserved, remaining)::text from return_usage('kb_file', 4, 'bob')), '(1,0,3,2)',
  'what is held is not returned'
);

-- A gauge that a table fills, too.
reset role;
create table files (user_id text);
insert into files values ('eve'), ('eve'), ('eve');
do $$ begin
  perform consume_usage('kb_file', 2, 'eve');
  perform quota.limit_table('files', 'kb_file', 'user_id');
end $$;
set local role service_role;
select is(
  (select row(amount, used)::text from return_usage('kb_file', 5, 'eve')), '(2,3)',
  'what the rows of a limited table count goes with the rows'
);
select is(
  (select row(amount, used)::text from return_usage('kb_file', 1, 'eve')), '(0,3)', 'and never by hand'
);
reset role;
delete from files;
select is(pg_temp.used('kb_file', 'eve'), 0::bigint, 'so that they can give it back themselves');
do $$ begin perform consume_usage('kb_file', 2, 'ida'); perform return_usage('kb_file', 1, 'ida'); end $$;
select throws_ok(
  $$select refund_usage((select event_id from usage_events where subject = 'ida' and kind = 'consume'), 2)$$,
  'QAMNT', null, 'a refund gives back no more than a lowered gauge still shows'
);
select is_empty($$select * from verify_usage()$$, 'every number is proved by the ledger');

select * from finish();
rollback;
