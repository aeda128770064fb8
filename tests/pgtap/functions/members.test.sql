-- add_member() and remove_member(): who uses and sees on behalf of an organisation; and an app that has
-- its own membership table.
begin;
select set_config('search_path', 'public, ' || pronamespace::regnamespace, true) from pg_proc where proname = 'pgtap_version';
set local timezone = 'UTC';
select plan(48);

create or replace function quota.clock()
returns timestamptz language plpgsql set search_path = pg_catalog, pg_temp
as $$ begin return current_setting('test.clock', true); end $$;
set local test.clock = '2026-01-15 12:00:00+00';

do $$ begin perform apply_plans('{
  "features": {"ai_generation": {}, "export": {}, "scan": {"server_only": true}},
  "plans": {
    "free": {"default": true, "limits": {"ai_generation": {"month": 5}, "export": {"month": 5}, "scan": {"month": 1}}},
    "team": {"limits": {"ai_generation": {"month": 10}}}
  }
}'); end $$;

create function pg_temp.as_user(p_user text) returns void language plpgsql as $$
begin
  perform set_config('role', 'authenticated', true);
  perform set_config('request.jwt.claims', jsonb_build_object('sub', p_user, 'role', 'authenticated')::text, true);
end $$;
create function pg_temp.use(p_amount bigint, p_subject text default null) returns text language sql as $$
  select row(allowed, subject, plan, used, "limit")::text
  from public.consume_usage('ai_generation', p_amount, p_subject)
$$;
create function pg_temp.seen(p_view text) returns text[] language plpgsql as $$
declare
  v_seen text[];
begin
  execute format('select array_agg(distinct subject order by subject) from public.%I', p_view) into v_seen;
  return v_seen;
end $$;

-- Who may change members.
select pg_temp.as_user('ada');
select throws_ok($$select add_member('acme', 'ada')$$, '42501', null, 'a user cannot make itself a member');
select throws_ok($$select add_member('ada', 'bob')$$, '42501', null, 'nor let others use its own allowance');
select throws_ok($$select remove_member('acme', 'bob')$$, '42501', null, 'nor remove a member');
select throws_ok(
  $$select quota.change_member('acme', 'ada', true)$$, '42501', null, 'nor by the private function'
);
select throws_ok(
  $$insert into quota.members (subject_id, user_id) values ('acme', 'ada')$$, '42501', null, 'nor by the table'
);
set local role anon;
select throws_ok($$select add_member('acme', 'ada')$$, '42501', null, 'anon may not call it');
set local role service_role;

-- A member uses for its organisation.
do $$ begin perform set_plan('acme', 'team'); perform consume_usage('ai_generation', 1, 'acme'); end $$;
select lives_ok($$select add_member('acme', 'ada')$$, 'the server makes ada a member');
select lives_ok($$select add_member('acme', 'bob')$$, 'and bob');
select lives_ok($$select add_member('acme', 'bob')$$, 'who can be made one twice');
select pg_temp.as_user('ada');
select is(pg_temp.use(5, 'acme'), '(t,acme,team,6,10)', 'a member uses what its organisation may');
select is(pg_temp.use(2), '(t,ada,free,2,5)', 'its own use and limits stay apart');
select is(pg_temp.use(4), '(f,ada,free,2,5)', 'what its organisation has left is no room of its own');
select pg_temp.as_user('bob');
select is(pg_temp.use(4, 'acme'), '(t,acme,team,10,10)', 'all members share one allowance');
select is(pg_temp.use(1, 'acme'), '(f,acme,team,10,10)', 'to its last unit');
select is(pg_temp.use(1), '(t,bob,free,1,5)', 'and what a member has left is none of the organisation''s');
select is(
  (select array_agg(allowed) from consume_usage_batch('[{"feature": "ai_generation"}]', 'acme')), array[false],
  'a batch is for the organisation, too'
);
select throws_ok(
  $$select enforce_usage('ai_generation', 1, 'acme')$$, 'PT402', null, 'and so is enforce_usage'
);
select throws_ok(
  $$select consume_usage('scan', 1, 'acme')$$, '42501', null, 'a member is no server: a server_only feature is closed'
);
select is((check_usage('ai_generation', 1, 'acme')).used, 10::bigint, 'a member asks for its organisation');
select is(
  (select array_agg(used order by used) from explain_usage('ai_generation', 1, 'acme')), array[10::bigint], 'and why'
);
select is(
  (select array_agg(row(kind, used_change, actor)::text order by used_change, actor)
   from usage_events where subject = 'acme' and kind in ('consume')),
  array['(consume,1,)', '(consume,4,bob)', '(consume,5,ada)'], 'the ledger says who acted'
);
select is(
  (select array_agg(actor) from usage_events where subject = 'bob'), array[null], 'and for itself nobody did'
);

-- And sees for it.
select is(pg_temp.seen('current_usage'), array['acme', 'bob'], 'a member sees its organisation and itself in current_usage');
select is(pg_temp.seen('usage_history'), array['acme', 'bob'], 'in usage_history');
select is(pg_temp.seen('usage_events'), array['acme', 'bob'], 'in usage_events');
select is(pg_temp.seen('usage_alerts'), array['acme'], 'and in usage_alerts');
select pg_temp.as_user('eve');
select is(pg_temp.seen('current_usage'), array['eve'], 'somebody else sees none of them');
select is(pg_temp.seen('usage_events'), null, 'nor their ledger');
select throws_ok($$select consume_usage('ai_generation', 1, 'acme')$$, '42501', null, 'and uses nothing of theirs');
select pg_temp.as_user('acme');
select is(pg_temp.seen('current_usage'), array['acme'], 'an organisation does not see its members');
select throws_ok($$select consume_usage('ai_generation', 1, 'ada')$$, '42501', null, 'and does not act for them');

-- Not by the way of another.
reset role;
do $$ begin perform add_member('umbrella', 'acme'); end $$;
select pg_temp.as_user('ada');
select throws_ok(
  $$select consume_usage('ai_generation', 1, 'umbrella')$$, '42501', null,
  'a member of a member is none: organisations do not nest'
);
select is(pg_temp.seen('current_usage'), array['acme', 'ada'], 'and sees no further');

-- Removed.
set local role service_role;
select lives_ok($$select remove_member('acme', 'ada')$$, 'a member can be removed');
select lives_ok($$select remove_member('acme', 'ada')$$, 'also twice, or who is none');
select pg_temp.as_user('ada');
select throws_ok($$select consume_usage('ai_generation', 1, 'acme')$$, '42501', null, 'then it uses nothing more');
select is(pg_temp.seen('current_usage'), array['ada'], 'and sees nothing more');
select is(pg_temp.use(1), '(t,ada,free,3,5)', 'its own allowance is as it was');
reset role;
select is(
  (select array_agg(row(metadata ->> 'user_id', metadata ->> 'is_member')::text order by metadata ->> 'user_id', metadata ->> 'is_member') from quota.events
   where kind = 'member' and subject_id = 'acme'),
  array['(ada,false)', '(ada,true)', '(bob,true)'], 'the ledger has a line for each change, and for nothing else'
);

-- Wrong arguments.
set local role service_role;
select throws_ok($$select add_member(null, 'ada')$$, 'QSUBJ', null, 'no subject is QSUBJ');
select throws_ok($$select add_member('acme', null)$$, 'QSUBJ', null, 'no user is QSUBJ');
select throws_ok($$select add_member('acme', '')$$, 'QSUBJ', null, 'an empty user is QSUBJ');
select throws_ok($$select add_member('acme', repeat('u', 256))$$, 'QSUBJ', null, 'a user of 256 characters is QSUBJ');
select throws_ok($$select remove_member('acme', null)$$, 'QSUBJ', null, 'so it is where one is removed');
reset role;

-- An app with a table of its own.
create table public.staff (company text, person text);
insert into public.staff values ('initech', 'peter');
create or replace function quota.acts_for(p_user_id text, p_subject_id text)
returns boolean language plpgsql stable set search_path = pg_catalog, pg_temp
as $$ begin
  return exists (select from public.staff as s where s.company = p_subject_id and s.person = p_user_id);
end $$;
create or replace function quota.subjects_of(p_user_id text)
returns setof text language plpgsql stable rows 3 security definer set search_path = pg_catalog, pg_temp
as $$ begin
  return query select p_user_id where p_user_id is not null
    union select s.company from public.staff as s where s.person = p_user_id;
end $$;
select pg_temp.as_user('peter');
select is(pg_temp.use(1, 'initech'), '(t,initech,free,1,5)', 'acts_for() can be replaced: the app''s own table decides');
select is(pg_temp.seen('current_usage'), array['initech', 'peter'], 'subjects_of() with it: who sees whom');
select pg_temp.as_user('bob');
select throws_ok($$select consume_usage('ai_generation', 1, 'acme')$$, '42501', null, 'the members of ours are none then');

reset role;
select is_empty($$select * from verify_usage()$$, 'every number is proved by the ledger');

select * from finish();
rollback;
