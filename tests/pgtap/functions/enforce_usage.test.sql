-- enforce_usage(): as consume_usage(), but a refusal is an error.
begin;
select set_config('search_path', 'public, ' || pronamespace::regnamespace, true) from pg_proc where proname = 'pgtap_version';
set local timezone = 'UTC';
select plan(27);

create or replace function quota.clock()
returns timestamptz language plpgsql set search_path = pg_catalog, pg_temp
as $$ begin return current_setting('test.clock', true); end $$;
set local test.clock = '2026-09-15 12:00:30+00';

do $$ begin perform apply_plans('{
  "features": {"ai_generation": {}, "burst": {}, "hourly": {}, "export": {}, "scan": {"server_only": true}},
  "plans": {
    "free": {"default": true, "upgrade_url": "/up", "limits": {
      "ai_generation": {"month": 1}, "burst": {"minute": 2, "month": 3}, "hourly": {"hour": 1}}},
    "mute": {"limits": {"ai_generation": {"month": 1}, "burst": {"minute": 1}}}
  }
}'); end $$;

-- What a statement raises, as a client sees it.
create function pg_temp.raised(
  p_sql text, out code text, out message text, out detail jsonb, out hint text
) language plpgsql as $$
declare
  v_detail text;
begin
  execute p_sql;
exception when others then
  get stacked diagnostics
    code = returned_sqlstate, message = message_text, v_detail = pg_exception_detail,
    hint = pg_exception_hint;
  detail := nullif(v_detail, '');
end $$;

set local role authenticated;
set local request.jwt.claims = '{"sub": "ada"}';

select is(
  (select row(allowed, used, remaining, replayed)::text from enforce_usage('ai_generation')),
  '(t,1,0,f)', 'an allowed call is answered as by consume_usage'
);
select throws_ok(
  $$select enforce_usage('ai_generation')$$, 'PT402', null,
  'a month that is used up raises PT402'
);
select is(
  (select detail from pg_temp.raised($$select enforce_usage('ai_generation')$$)),
  (select to_jsonb(d) from consume_usage('ai_generation') as d),
  'DETAIL is the decision as JSON'
);
select is(
  (select hint from pg_temp.raised($$select enforce_usage('ai_generation')$$)), '/up',
  'HINT is the upgrade url'
);
select ok(
  (select message ~ '^[ -~]+$' from pg_temp.raised($$select enforce_usage('ai_generation')$$)),
  'MESSAGE is printable ASCII, since it becomes the HTTP status line'
);
select is(
  (select count(distinct message) from (values
    ($$select enforce_usage('ai_generation')$$), ($$select enforce_usage('burst', 9)$$),
    ($$select enforce_usage('export')$$)
  ) as c (sql) cross join pg_temp.raised(c.sql)), 1::bigint,
  'MESSAGE is one constant, which no name can enter'
);
select is(
  (select array_agg(kind) from usage_events), array['consume'],
  'a refused call counts nothing'
);

-- PT429 or PT402.
select lives_ok($$select enforce_usage('burst', 2)$$, 'a minute can be used up');
select is(
  (select row(code, detail ->> 'retry_after')::text from pg_temp.raised($$select enforce_usage('burst')$$)),
  '(PT429,30)', 'a minute that is used up raises PT429 with the wait'
);
select throws_ok(
  $$select enforce_usage('burst', 3)$$, 'PT402', null,
  'an amount above the limit of the minute raises PT402: waiting does not help'
);
select lives_ok($$select enforce_usage('hourly')$$, 'an hour can be used up');
select throws_ok(
  $$select enforce_usage('hourly')$$, 'PT429', null, 'an hour that is used up raises PT429'
);
select throws_ok(
  $$select enforce_usage('burst', 2)$$, 'PT402', null,
  'when minute and month refuse, the longer wait of the month makes it PT402'
);
select throws_ok(
  $$select enforce_usage('export')$$, 'PT402', null, 'a feature that the plan lacks raises PT402'
);

-- Through PostgREST.
set local request.method = 'POST';
select is(
  (select row(code, message::jsonb - 'details', detail)::text
   from pg_temp.raised($$select enforce_usage('burst')$$)),
  row('PGRST', '{"code": "PT429", "hint": "/up", "message": "usage limit reached"}'::jsonb,
    '{"status": 429, "headers": {"Retry-After": "30"}}'::jsonb)::text,
  'over HTTP the answer is 429 with a Retry-After header, and the code stays in the body'
);
select is(
  (select (message::jsonb ->> 'details')::jsonb from pg_temp.raised($$select enforce_usage('ai_generation')$$)),
  (select to_jsonb(d) from consume_usage('ai_generation') as d),
  'over HTTP the details are the decision'
);
select is(
  (select detail from pg_temp.raised($$select enforce_usage('ai_generation')$$)),
  '{"status": 402, "headers": {"Retry-After": "1339170"}}'::jsonb,
  'over HTTP a month that is used up is 402, with its wait'
);
select is(
  (select row(message::jsonb ->> 'code', detail)::text
   from pg_temp.raised($$select enforce_usage('export')$$)),
  row('PT402', '{"status": 402, "headers": {}}'::jsonb)::text,
  'over HTTP there is no Retry-After where no wait helps'
);
set local request.method = '';

-- No upgrade url.
reset role;
do $$ begin perform set_plan('mute', 'mute'); perform consume_usage('ai_generation', 1, 'mute'); end $$;
set local role service_role;
select is(
  (select row(code, hint)::text from pg_temp.raised($$select enforce_usage('ai_generation', 1, 'mute')$$)),
  '(PT402,"")', 'a plan without an upgrade url gives an empty hint'
);

-- In the caller's transaction.
do $$
begin
  perform consume_usage('burst', 1, 'mute');
  perform enforce_usage('burst', 1, 'mute');
exception when sqlstate 'PT429' then
  null;
end $$;
select is(
  (select row(allowed, used)::text from consume_usage('burst', 1, 'mute')), '(t,1)',
  'work that the refusal rolls back is not counted'
);

-- The errors that are none of the limit's.
set local role authenticated;
select throws_ok(
  $$select enforce_usage('video')$$, 'QFEAT', null, 'an unknown feature stays QFEAT'
);
select throws_ok(
  $$select enforce_usage('burst', 0)$$, 'QAMNT', null, 'a wrong amount stays QAMNT'
);
select throws_ok(
  $$select enforce_usage('burst', 1, 'mute')$$, '42501', null, 'another subject stays 42501'
);
select throws_ok(
  $$select enforce_usage('scan')$$, '42501', null, 'a server_only feature stays 42501 for users'
);
set local role anon;
select throws_ok($$select enforce_usage('burst')$$, '42501', null, 'anon may not call it');

reset role;
select is(
  (select count(*) from quota.events where kind = 'consume' and used_change = 0), 0::bigint,
  'no line is written for a refusal'
);
select is_empty($$select * from verify_usage()$$, 'every number is proved by the ledger');

select * from finish();
rollback;
