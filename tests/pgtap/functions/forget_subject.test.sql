-- forget_subject(): erases everything that is known of a subject.
begin;
select set_config('search_path', 'public, ' || pronamespace::regnamespace, true) from pg_proc where proname = 'pgtap_version';
set local timezone = 'UTC';
select plan(25);

create or replace function quota.clock()
returns timestamptz language plpgsql set search_path = pg_catalog, pg_temp
as $$ begin return current_setting('test.clock', true); end $$;
set local test.clock = '2026-01-15 12:00:00+00';

do $$ begin perform apply_plans('{
  "features": {"ai_generation": {}, "export": {}, "sso": {"kind": "switch"}},
  "plans": {
    "free": {"default": true, "limits": {"ai_generation": {"minute": 5, "month": 5}, "export": {"month": 5}}},
    "pro": {"limits": {"ai_generation": {"month": 10}, "export": {"month": 5}}}
  }
}'); end $$;

create temporary table ids (name text primary key, id uuid);
grant all on ids to service_role, authenticated;
create function pg_temp.id(p_name text) returns uuid
language sql as $$ select id from ids where name = p_name $$;

-- In which tables a subject is named, anywhere in a row.
create function pg_temp.traces(p_name text) returns text[] language plpgsql as $$
declare
  v_table regclass;
  v_found boolean;
  v_traces text[] := '{}';
begin
  for v_table in
    select c.oid::regclass from pg_catalog.pg_class as c
    where c.relnamespace = 'quota'::regnamespace and c.relkind in ('r', 'p') order by c.relname collate "C"
  loop
    execute format('select exists (select from %s as t where t::text ~ $1)', v_table)
      into v_found using '\m' || p_name || '\M';
    if v_found then
      v_traces := v_traces || replace(v_table::text, 'quota.', '');
    end if;
  end loop;
  return v_traces;
end $$;

-- Everything that can be known of somebody.
do $$
declare
  v_subject text;
begin
  foreach v_subject in array array['ada', 'bob'] loop
    perform set_plan(v_subject, 'pro', '2026-01-10 08:00+00', 'Asia/Tokyo');
    perform consume_usage('ai_generation', 8, v_subject, 'k1');
    perform set_limit(v_subject, 'export', 'day', 3);
    perform set_value(v_subject, 'sso', 'true');
    insert into ids select v_subject || ' grant', grant_usage('export', 5, v_subject);
    insert into ids select v_subject || ' hold', reservation_id from reserve_usage('export', 4, v_subject, '1 day');
    insert into ids select v_subject || ' use', event_id from consume_usage('ai_generation', 1, v_subject);
    perform add_member('acme', v_subject);
    perform add_member(v_subject, 'friend');
  end loop;
end $$;
set local role authenticated;
set local request.jwt.claims = '{"sub": "ada", "role": "authenticated"}';
do $$ begin perform consume_usage('ai_generation', 2, 'acme'); end $$;
reset role;
set local request.jwt.claims = '';
select is(
  pg_temp.traces('ada'),
  array['alerts', 'counters', 'events', 'exceptions', 'grants', 'keys', 'members', 'meters', 'overrides', 'reservations', 'subjects'],
  'a subject is known in many tables'
);
create temporary table lines as
  select count(*) as n from quota.events where subject_id = 'ada';
grant select on lines to service_role;

-- Who may.
set local role authenticated;
set local request.jwt.claims = '{"sub": "ada", "role": "authenticated"}';
select throws_ok($$select forget_subject('ada')$$, '42501', null, 'a user cannot make itself forgotten: it would start anew');
select throws_ok($$select quota.forget_subject('ada')$$, '42501', null, 'nor by the private function');
set local role anon;
select throws_ok($$select forget_subject('ada')$$, '42501', null, 'anon may not call it');
set local role service_role;
select throws_ok($$select forget_subject(null)$$, 'QSUBJ', null, 'no subject is QSUBJ');
select throws_ok($$select forget_subject('')$$, 'QSUBJ', null, 'an empty subject is QSUBJ');
reset role;
select is(
  (select count(*) from quota.events where subject_id = 'ada'), (select n from lines), 'none of these has forgotten anything'
);

set local role service_role;
select is(forget_subject('ada'), (select n from lines), 'it returns how many lines of the ledger it removed');
reset role;
select is(pg_temp.traces('ada'), '{}', 'and no table names the subject any more');
select is(
  pg_temp.traces('bob'),
  array['alerts', 'counters', 'events', 'exceptions', 'grants', 'keys', 'members', 'meters', 'overrides', 'reservations', 'subjects'],
  'nobody else is forgotten'
);
select is(
  (select array_agg(row(kind, used_change, actor, metadata)::text order by kind collate "C", metadata ->> 'user_id' nulls first)
   from quota.events where subject_id = 'acme'),
  array[
    '(consume,2,,{})', '(member,0,,"{""is_member"": true}")', '(member,0,bob,"{""user_id"": ""bob"", ""is_member"": true}")'
  ],
  'an organisation keeps its lines, without the name of who acted'
);
select is(
  (select row(used, remaining)::text from check_usage('ai_generation', 1, 'acme')), '(2,3)', 'and its numbers'
);
select is(
  (select row(used, "limit", plan)::text from check_usage('ai_generation', 1, 'bob')), '(9,10,pro)', 'as everybody does'
);

-- What was known is unknown.
set local role service_role;
select is(forget_subject('ada'), 0::bigint, 'a second time there is nothing to remove');
select is(forget_subject('never seen'), 0::bigint, 'nor of somebody who was never seen');
select is(
  (select count(*) from quota.subjects where subject_id in ('ada', 'never seen')), 0::bigint,
  'and nobody is made by it'
);
select throws_ok($$select commit_usage(pg_temp.id('ada hold'))$$, 'QRSRV', null, 'a hold is QRSRV');
select throws_ok($$select refund_usage(pg_temp.id('ada use'))$$, 'QRSRV', null, 'a use is QRSRV');
select is(void_grant(pg_temp.id('ada grant')), 0::bigint, 'a grant is nothing to void');
select is(
  (select row(plan, used, "limit", period_start)::text from check_usage('ai_generation', 1, 'ada')),
  '(free,0,5,"2026-01-01 00:00:00+00")', 'the subject has the default plan and the calendar'
);
select is(
  (select row(allowed, replayed, used)::text from consume_usage('ai_generation', 1, 'ada', 'k1')), '(t,f,1)',
  'its keys are free'
);
set local role authenticated;
set local request.jwt.claims = '{"sub": "ada", "role": "authenticated"}';
select throws_ok($$select consume_usage('ai_generation', 1, 'acme')$$, '42501', null, 'it acts for nobody');
set local request.jwt.claims = '{"sub": "friend", "role": "authenticated"}';
select throws_ok($$select consume_usage('ai_generation', 1, 'ada')$$, '42501', null, 'and nobody for it');
reset role;
set local request.jwt.claims = '';

do $$ begin perform forget_subject('acme'); end $$;
select is(pg_temp.traces('acme'), '{}', 'an organisation is forgotten with its members');
select is_empty($$select * from verify_usage()$$, 'every number is proved by the ledger');

select * from finish();
rollback;
