-- Who is calling, and for whom: decided from the role and the claims, never from what the caller says.
begin;
select set_config('search_path', 'public, ' || pronamespace::regnamespace, true) from pg_proc where proname = 'pgtap_version';
select plan(41);

do $$ begin perform apply_plans('{
  "features": {"ai_generation": {}},
  "plans": {"free": {"default": true, "limits": {"ai_generation": {"month": 50}}}}
}'); end $$;
insert into quota.members (subject_id, user_id) values ('acme', 'ada'), ('acme', 'bob'), ('other', 'bob');

-- The subject that a call counts for, or the code it raises.
create function pg_temp.subject(p_role text, p_claims text, p_subject text default null) returns text
language plpgsql as $$
declare
  v_subject text;
begin
  perform set_config('role', p_role, true), set_config('request.jwt.claims', p_claims, true);
  v_subject := (public.check_usage('ai_generation', 1, p_subject)).subject;
  reset role;
  return v_subject;
exception when others then
  return sqlstate;
end $$;

-- user_id().
create function pg_temp.user_id(p_claims text) returns text language sql as $$
  select set_config('request.jwt.claims', p_claims, true);
  select quota.user_id();
$$;
select is(pg_temp.user_id('{"sub": "ada"}'), 'ada', 'the user is sub of the claims');
select is(
  pg_temp.user_id('{"sub": "auth0|5f7c8ec7c33c6c004bbafe82"}'), 'auth0|5f7c8ec7c33c6c004bbafe82',
  'ids of third-party auth are no uuids'
);
select is(pg_temp.user_id('{"sub": 42}'), '42', 'and may be numbers');
select is(pg_temp.user_id('{"sub": ""}'), null, 'an empty sub is nobody');
select is(pg_temp.user_id('{"sub": null}'), null, 'a sub of null is nobody');
select is(pg_temp.user_id('{}'), null, 'claims without sub are nobody');
select is(pg_temp.user_id(''), null, 'claims that a former transaction left empty are nobody');
select is(pg_temp.user_id('null'), null, 'claims of null are nobody');
select set_config('request.jwt.claims', '', true), set_config('request.jwt.claim.sub', 'ada', true);
select is(quota.user_id(), null, 'the claims of former versions of PostgREST are not read');

-- A user.
select is(pg_temp.subject('authenticated', '{"sub": "ada"}'), 'ada', 'without a subject a user is its own');
select is(pg_temp.subject('authenticated', '{"sub": "ada"}', 'ada'), 'ada', 'a user may name itself');
select is(pg_temp.subject('authenticated', '{"sub": "ada"}', 'bob'), '42501', 'and nobody else');
select is(pg_temp.subject('authenticated', '{"sub": "ada"}', 'Ada'), '42501', 'ids are compared exactly');
select is(pg_temp.subject('authenticated', '{"sub": "ada"}', 'acme'), 'acme', 'a member may name its organisation');
select is(pg_temp.subject('authenticated', '{"sub": "ada"}', 'other'), '42501', 'but no other');
select is(pg_temp.subject('authenticated', '{"sub": "acme"}', 'ada'), '42501', 'an organisation does not act for its members');
select is(pg_temp.subject('authenticated', '{"sub": "ada"}', ''), 'QSUBJ', 'an empty subject is none');
select is(
  pg_temp.subject('authenticated', '{"sub": "ada", "role": "service_role"}', 'bob'), '42501',
  'a role in the claims is not the role of the session'
);
select is(
  pg_temp.subject('authenticated', '{"sub": "ada", "subject": "bob", "is_trusted": true}', 'bob'), '42501',
  'nor is anything else that stands there'
);
select is(pg_temp.subject('authenticated', '{}', 'ada'), '42501', 'without a sub nobody can be named');
delete from quota.members where subject_id = 'acme' and user_id = 'ada';
select is(pg_temp.subject('authenticated', '{"sub": "ada"}', 'acme'), '42501', 'who is no member any more may not');

-- anon.
select is(pg_temp.subject('anon', '{"sub": "ada"}'), '42501', 'anon may call nothing');
select is(pg_temp.subject('anon', '{"sub": "ada"}', 'ada'), '42501', 'whatever it names');

-- The server.
select is(pg_temp.subject('service_role', '{}', 'bob'), 'bob', 'the server names the subject');
select is(pg_temp.subject('service_role', '{}'), 'QSUBJ', 'and must');
select is(pg_temp.subject('service_role', '{"sub": "ada"}'), 'QSUBJ', 'also with a sub in its claims');
select is(pg_temp.subject('service_role', '{"sub": "ada"}', 'bob'), 'bob', 'which does not bind it');

-- The owner and its members, as in the SQL editor.
select is(pg_temp.subject('none', '', 'bob'), 'bob', 'the owner of the private schema is trusted too');
select is(pg_temp.subject('none', ''), 'QSUBJ', 'and has to name the subject');
select lives_ok($$
  do $do$ begin
    execute 'create role pgquota_test_dba noinherit';
    execute format('grant %I to pgquota_test_dba', (select nspowner::regrole::name from pg_namespace where nspname = 'quota'));
    execute 'grant usage on schema quota to pgquota_test_dba';
    execute 'grant execute on function public.check_usage(text, bigint, text), quota.check_usage(text, bigint, text) to pgquota_test_dba';
    execute 'create role pgquota_test_app noinherit';
    execute 'grant authenticated to pgquota_test_app';
    execute 'grant usage on schema quota to pgquota_test_app';
    execute 'grant execute on function public.check_usage(text, bigint, text), quota.check_usage(text, bigint, text), public.set_plan, quota.set_plan to pgquota_test_app';
  end $do$
$$, 'two more roles');
select is(pg_temp.subject('pgquota_test_dba', '', 'bob'), 'bob', 'a member of the owner is trusted');
select is(
  pg_temp.subject('pgquota_test_app', '{"sub": "ada"}', 'bob'), '42501',
  'any other role is treated like a user, whoever gave it the right to call'
);
select is(pg_temp.subject('pgquota_test_app', '{"sub": "ada"}'), 'ada', 'and is the user of its claims');
select is(pg_temp.subject('pgquota_test_app', ''), '42501', 'or nobody');
set local role pgquota_test_app;
select throws_ok(
  $$select public.set_plan('ada', 'free')$$, '42501', null,
  'what is for the server stays so, even if the right to call it was given away by mistake'
);
reset role;

-- Replaced by an app that has its own table of memberships.
create table public.team (id text, owner text);
insert into public.team values ('team-1', 'ada'), ('team-2', 'bob');
create or replace function quota.acts_for(p_user_id text, p_subject_id text) returns boolean
language plpgsql stable security invoker set search_path = pg_catalog, pg_temp as $$
begin
  return exists (select from public.team as t where t.id = p_subject_id and t.owner = p_user_id);
end $$;
create or replace function quota.subjects_of(p_user_id text) returns setof text
language plpgsql stable security definer set search_path = pg_catalog, pg_temp as $$
begin
  return query select p_user_id where p_user_id is not null
    union select t.id from public.team as t where t.owner = p_user_id;
end $$;
select is(pg_temp.subject('authenticated', '{"sub": "ada"}', 'team-1'), 'team-1', 'an app may say itself who acts for whom');
select is(pg_temp.subject('authenticated', '{"sub": "ada"}', 'team-2'), '42501', 'and who does not');
select is(pg_temp.subject('authenticated', '{"sub": "bob"}', 'acme'), '42501', 'its word holds in place of the members');
set local role authenticated;
set local request.jwt.claims = '{"sub": "ada"}';
select is(
  (select array_agg(subject order by subject) from current_usage), array['ada', 'team-1'], 'the views follow it'
);
select is(
  (select row(allowed, subject)::text from consume_usage('ai_generation', 1, 'team-1')), '(t,team-1)',
  'and so do calls that count'
);
select is(
  (select array_agg(row(subject, actor)::text) from usage_events), array['(team-1,ada)'],
  'with the acting user in the ledger'
);

select * from finish();
rollback;
