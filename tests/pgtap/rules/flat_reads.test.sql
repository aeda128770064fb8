-- Reads that do not grow: who is shown what by usage_shown(), which reads as the owner, and by the
-- branches of usage_events. (How many rows they read: tests/flat.)
begin;
select set_config('search_path', 'public, ' || pronamespace::regnamespace, true) from pg_proc where proname = 'pgtap_version';
set local timezone = 'UTC';
select plan(17);

create or replace function quota.clock()
returns timestamptz language plpgsql set search_path = pg_catalog, pg_temp
as $$ begin return current_setting('test.clock', true); end $$;
set local test.clock = '2026-09-15 12:00:00+00';

do $$ begin perform apply_plans('{
  "features": {"ai_generation": {}},
  "plans": {"free": {"default": true, "limits": {"ai_generation": {"month": 50}}}}
}'); end $$;

-- Ada belongs to seven organisations: more than have a branch of their own.
insert into quota.members (subject_id, user_id) select 'org-' || n, 'ada' from generate_series(1, 7) as n;
do $$ begin
  for i in 1 .. 9 loop
    perform set_config('test.clock', format('2026-09-15 12:00:0%s+00', i), true);
    perform consume_usage('ai_generation', i, case when i = 9 then 'ada' else 'org-' || i end);
  end loop;
end $$;

set local role authenticated;
set local request.jwt.claims = '{"sub": "ada"}';
select is(
  (select array_agg(used_change) from (
    select used_change from usage_events order by at desc
  ) as e),
  array[9, 7, 6, 5, 4, 3, 2, 1]::bigint[],
  'a user sees its own lines and those of each of its organisations once, in order'
);
select is(
  (select count(*) from usage_events), 8::bigint, 'also where no order is asked for'
);
select is(
  (select array_agg(used_change order by used_change) from usage_events where subject in ('org-2', 'org-7', 'org-8', 'ada')),
  array[2, 7, 9]::bigint[],
  'a filter by subject reaches those with a branch and those without'
);
select is(
  (select array_agg(subject order by subject) from current_usage where used > 0),
  array['ada', 'org-1', 'org-2', 'org-3', 'org-4', 'org-5', 'org-6', 'org-7'],
  'and the bar of each'
);
select is(
  (select a.plan_id from quota.usage_shown('org-7', now()) as a where a.feature_id = 'ai_generation'), 'free',
  'usage_shown() answers for an organisation of the user'
);
select is_empty(
  $$select * from quota.usage_shown('org-8', now())$$, 'for another it answers nothing'
);
select is_empty(
  $$select * from quota.usage_shown('bob', now())$$, 'nor for another user');

-- A user that is a subject and a member of nothing.
set local request.jwt.claims = '{"sub": "org-8"}';
select is(
  (select array_agg(used_change) from usage_events), array[8]::bigint[],
  'a subject sees its own lines'
);
set local request.jwt.claims = '';
select is_empty(
  $$select * from quota.usage_shown('org-8', now())$$, 'without an identity there is nothing'
);
select is_empty('select * from usage_events', 'and there are no lines');

-- Claims are no trust, and a trusted role's lines come once.
set local request.jwt.claims = '{"sub": "ada", "role": "service_role"}';
select is((select count(*) from usage_events), 8::bigint, 'a role in the claims changes nothing');
select is_empty(
  $$select * from quota.usage_shown('org-8', now())$$, 'nor does it for usage_shown()'
);
set local role service_role;
select is(
  (select count(*) from usage_events), 9::bigint,
  'the server sees every line once, also when the claims name a user'
);
select is(
  (select a.plan_id from quota.usage_shown('org-8', now()) as a where a.feature_id = 'ai_generation'), 'free', 'and every limit'
);
set local role anon;
select throws_ok(
  $$select quota.usage_shown('ada', now())$$, '42501', null,
  'anon may not ask'
);
reset role;

-- An app's own list may name subjects twice, null, and ones the user may see but not act for.
create or replace function quota.subjects_of(p_user_id text) returns setof text
language plpgsql stable rows 3 security invoker set search_path = pg_catalog, pg_temp as $$
begin
  return query values (p_user_id), ('org-8'), (null), ('org-8'), (p_user_id);
end $$;
set local role authenticated;
set local request.jwt.claims = '{"sub": "eve"}';
select is(
  (select array_agg(used_change) from usage_events), array[8]::bigint[],
  'a list of the app''s that names a subject twice, and null, shows its lines once'
);
select isnt_empty(
  $$select * from current_usage where subject = 'org-8' and used = 8$$,
  'what it lets the user see shows in the bar, also where the user may not act'
);

select * from finish();
rollback;
