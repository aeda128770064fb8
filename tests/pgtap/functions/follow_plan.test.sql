-- follow_plan(): the plan stands in a table of the app, and is followed.
begin;
select set_config('search_path', 'public, ' || pronamespace::regnamespace, true) from pg_proc where proname = 'pgtap_version';
set local timezone = 'UTC';
select plan(71);

create or replace function quota.clock()
returns timestamptz language plpgsql set search_path = pg_catalog, pg_temp
as $$ begin return current_setting('test.clock', true); end $$;
set local test.clock = '2026-09-30 23:00:00+00';

do $$ begin perform apply_plans('{
  "features": {"ai_generation": {}, "export": {}},
  "plans": {
    "free": {"default": true, "limits": {"ai_generation": {"month": 5}}},
    "pro": {"limits": {"ai_generation": {"month": 50}}},
    "Team \"Ä\"": {"limits": {"ai_generation": {"month": 500}}}
  }
}'); end $$;

create table profiles (id text, plan text, seen_at timestamptz);
revoke all on profiles from anon, authenticated;
create function pg_temp.plan_of(p_subject text) returns text language sql
  as $$ select plan from public.check_usage('ai_generation', 1, p_subject) $$;
create function pg_temp.changes(p_subject text) returns bigint language sql
  as $$ select count(*) from public.usage_events where subject = p_subject and kind = 'plan' $$;

-- Arguments.
select throws_ok($$select quota.follow_plan(null, 'id', 'plan')$$, '22023', null, 'no table is 22023');
select throws_ok(
  $$select quota.follow_plan('profiles', null, 'plan')$$, '22023', null, 'no subject column is 22023'
);
select throws_ok($$select quota.follow_plan('profiles', 'id', null)$$, '22023', null, 'no plan column is 22023');
select throws_ok(
  $$select quota.follow_plan('profiles', 'user_id', 'plan')$$, '42703', null, 'an unknown column is 42703'
);
select throws_ok(
  $$select quota.follow_plan('profiles', 'id', 'tier')$$, '42703', null, 'so is an unknown plan column'
);
set local role service_role;
select throws_ok(
  $$select quota.follow_plan('profiles', 'id', 'plan')$$, '42501', null,
  'the server''s role may not follow a table'
);
set local role authenticated;
select throws_ok($$select quota.follow_plan('profiles', 'id', 'plan')$$, '42501', null, 'nor may a user');
reset role;

-- The rows that are there.
insert into profiles values ('ada', 'pro'), ('bob', null), ('cyd', 'free'), (null, 'pro');
do $$ begin
  perform consume_usage('ai_generation', 5, 'ada');
  perform set_plan('ada', 'free', '2026-09-15 00:00+00', 'Europe/Berlin', '2026-12-01 00:00+00');
end $$;
select is(quota.follow_plan('profiles', 'id', 'plan'), 3::bigint, 'it says how many rows it follows');
select is(
  array[pg_temp.plan_of('ada'), pg_temp.plan_of('bob'), pg_temp.plan_of('cyd')], array['pro', 'free', 'free'],
  'subjects are put on the plan that their row names, and on the default plan without one'
);
select is(
  (select row(plan_ends_at, anchor_at, time_zone)::text from quota.subjects where subject_id = 'ada'),
  '(,"2026-09-15 00:00:00+00",Europe/Berlin)', 'anchor and zone are kept, an end is cleared'
);
select is(
  (select row(used, remaining)::text from check_usage('ai_generation', 1, 'ada')), '(5,45)', 'so is the use so far'
);
select is(quota.follow_plan('profiles', 'id', 'plan'), 3::bigint, 'it can be called again');
select is(
  array[pg_temp.changes('ada'), pg_temp.changes('bob'), pg_temp.changes('cyd')], array[2, 0, 1]::bigint[],
  'and writes what changes, nothing else'
);

-- What is written from then on.
insert into profiles values ('dan', 'pro'), ('eve', null), (null, 'pro');
select is(
  array[pg_temp.plan_of('dan'), pg_temp.plan_of('eve')], array['pro', 'free'], 'an insert is followed'
);
select is_empty(
  $$select * from quota.subjects where subject_id = 'eve'$$,
  'a subject that was never seen is not made for the default plan'
);
update profiles set plan = 'Team "Ä"' where id = 'dan';
select is(pg_temp.plan_of('dan'), 'Team "Ä"', 'so is an update, to a plan of any name');
update profiles set seen_at = '2026-09-30 23:00+00', plan = plan;
select is(pg_temp.changes('dan'), 2::bigint, 'one that leaves the plan writes nothing');
update profiles set plan = null where id = 'dan';
select is(pg_temp.plan_of('dan'), 'free', 'null is the default plan');
update profiles set plan = 'pro' where id in ('dan', 'eve', 'bob');
select is(
  array[pg_temp.plan_of('dan'), pg_temp.plan_of('eve'), pg_temp.plan_of('bob')], array['pro', 'pro', 'pro'],
  'an update of many rows is followed for each'
);
delete from profiles where id = 'bob';
select is(pg_temp.plan_of('bob'), 'free', 'a row that is deleted leaves the default plan');

-- The subject changes.
update profiles set id = 'fay' where id = 'dan';
select is(
  array[pg_temp.plan_of('dan'), pg_temp.plan_of('fay')], array['free', 'pro'],
  'a row that gets another subject takes the plan from the former'
);
update profiles set id = 'abe', plan = 'Team "Ä"' where id = 'fay';
select is(
  array[pg_temp.plan_of('fay'), pg_temp.plan_of('abe')], array['free', 'Team "Ä"'], 'also together with the plan'
);
update profiles set id = null where id = 'abe';
select is(pg_temp.plan_of('abe'), 'free', 'a row that loses its subject takes the plan from it');
update profiles set id = 'gil' where plan = 'Team "Ä"';
select is(pg_temp.plan_of('gil'), 'Team "Ä"', 'a row that gets one gives it the plan');

-- What is refused.
select throws_ok(
  $$insert into profiles values ('hal', 'gold')$$, 'QPLAN', null, 'a plan that is not in the catalogue refuses the row'
);
select throws_ok(
  $$update profiles set plan = '' where id = 'eve'$$, 'QPLAN', null, 'so does an empty one'
);
select throws_ok($$insert into profiles values ('', 'pro')$$, 'QSUBJ', null, 'so does an empty subject');
select throws_ok(
  $$insert into profiles values (repeat('x', 256), 'pro')$$, 'QSUBJ', null, 'and one of 256 characters'
);
select is_empty(
  $$select * from profiles where id in ('hal', '') or plan in ('', 'gold') or length(id) > 255$$,
  'and nothing is written'
);
select is(pg_temp.plan_of('eve'), 'pro', 'the plan stays');

-- Merge, upsert, with.
create unique index on profiles (id);
insert into profiles values ('eve', 'free'), ('ida', 'pro') on conflict (id) do update set plan = excluded.plan;
select is(
  array[pg_temp.plan_of('eve'), pg_temp.plan_of('ida')], array['free', 'pro'], 'an upsert is followed'
);
merge into profiles as p using (values ('eve', 'pro'), ('kim', 'pro'), ('ida', null)) as n (id, plan) on p.id = n.id
  when matched and n.plan is null then delete
  when matched then update set plan = n.plan
  when not matched then insert (id, plan) values (n.id, n.plan);
select is(
  array[pg_temp.plan_of('eve'), pg_temp.plan_of('kim'), pg_temp.plan_of('ida')], array['pro', 'pro', 'free'],
  'so is a merge'
);

-- Written by a user under row level security, who has no right on schema quota.
alter table profiles enable row level security;
create policy own_profile on profiles to authenticated using (id = quota.user_id()) with check (id = quota.user_id());
grant select, insert, update, delete on profiles to authenticated;
set local role authenticated;
set local request.jwt.claims = '{"sub": "lea"}';
select lives_ok(
  $$insert into profiles values ('lea', 'pro')$$,
  'whoever may write the row chooses the plan: a column that users may write has no place here'
);
select is(pg_temp.plan_of('lea'), 'pro', 'and has it');
select throws_ok($$insert into profiles values ('mia', 'pro')$$, '42501', null, 'a row of another subject');
select throws_ok(
  $$update profiles set id = 'mia' where id = 'lea'$$, '42501', null, 'and one that becomes it'
);
reset role;
select is(pg_temp.plan_of('mia'), 'free', 'is refused by the app''s policy, and not followed');

-- The limits of the new plan hold at once.
do $$ begin perform consume_usage('ai_generation', 20, 'lea'); end $$;
update profiles set plan = 'free' where id = 'lea';
select is(
  (select row(allowed, used, "limit")::text from consume_usage('ai_generation', 1, 'lea')), '(f,20,5)',
  'a downgrade binds the next call'
);

-- A subject that was forgotten.
do $$ begin perform forget_subject('lea'); end $$;
delete from profiles where id = 'lea';
select is_empty(
  $$select subject_id from quota.subjects where subject_id = 'lea'
    union all select subject_id from quota.events where subject_id = 'lea'$$,
  'who was forgotten is not written of again when its row goes'
);
insert into profiles values ('lea', 'pro');
do $$ begin perform forget_subject('lea'); end $$;
update profiles set id = 'lea2' where id = 'lea';
select is_empty($$select subject_id from quota.subjects where subject_id = 'lea'$$, 'nor when it gets another subject');

-- A column is renamed.
alter table profiles rename column plan to tier;
select throws_ok(
  $$update profiles set tier = 'free' where id = 'kim'$$, '42703', null,
  'after the plan column was renamed the table refuses changes, instead of taking every plan for null'
);
select throws_ok($$delete from profiles where id = 'kim'$$, '42703', null, 'of any kind');
select lives_ok($$update profiles set seen_at = null$$, 'others are none of its business');
select throws_ok(
  $$select quota.follow_plan('profiles', 'id', 'tier')$$, '42501', null, 'a column that users may write by now is refused again'
);
select is(
  quota.follow_plan('profiles', 'id', 'tier', p_users_may_write => true), 6::bigint,
  'until the new name is given, and that they may'
);
update profiles set tier = 'free' where id = 'kim';
select is(pg_temp.plan_of('kim'), 'free', 'and followed');

-- Several rows of one subject.
create table subscriptions (customer uuid, price text);
revoke all on subscriptions from anon, authenticated;
insert into subscriptions values
  ('00000000-0000-0000-0000-00000000000a', 'pro'), ('00000000-0000-0000-0000-00000000000a', 'free');
select throws_ok(
  $$select quota.follow_plan('subscriptions', 'customer', 'price')$$, '21000', null,
  'rows that name different plans for one subject are refused'
);
delete from subscriptions where price = 'free';
select is(quota.follow_plan('subscriptions', 'customer', 'price'), 1::bigint, 'ids can be of any type');
select is(pg_temp.plan_of('00000000-0000-0000-0000-00000000000a'), 'pro', 'and are followed as text');

-- Partitions.
create table tenants (id integer, region text, "Plan %" text) partition by list (region);
revoke all on tenants from anon, authenticated;
create table tenants_eu partition of tenants for values in ('eu');
revoke all on tenants_eu from anon, authenticated;
insert into tenants values (1, 'eu', 'pro');
select is(quota.follow_plan('tenants', 'id', 'Plan %'), 1::bigint, 'a partitioned table is followed');
create table tenants_us partition of tenants for values in ('us');
insert into tenants_us values (2, 'us', 'pro');
select is(
  array[pg_temp.plan_of('1'), pg_temp.plan_of('2')], array['pro', 'pro'],
  'in partitions that come later, too, and written directly'
);
update tenants set region = 'us' where id = 1;
select is(pg_temp.plan_of('1'), 'pro', 'a row that moves keeps its plan');

-- Who may write the plan column.
create function pg_temp.follows(p_grant text, p_column text default 'plan') returns text
language plpgsql as $$
declare
  v_hint text;
  v_statements text[];
begin
  drop table if exists public.accounts;
  create table public.accounts (
    id text primary key, username text, plan text, lower_plan text generated always as (lower(plan)) stored
  );
  revoke all on public.accounts from anon, authenticated;
  execute p_grant;
  perform quota.follow_plan('public.accounts', 'id', p_column);
  return 'ok';
exception when sqlstate '42501' then
  get stacked diagnostics v_hint = pg_exception_hint;
  -- The block above is undone: the table is made again, and the hint is followed to the letter.
  drop table if exists public.accounts;
  create table public.accounts (
    id text primary key, username text, plan text, lower_plan text generated always as (lower(plan)) stored
  );
  revoke all on public.accounts from anon, authenticated;
  execute p_grant;
  v_statements := array(select m[1] from regexp_matches(v_hint, '((?:revoke|grant) [^;]+);', 'g') as m);
  for i in 1 .. cardinality(v_statements) loop
    execute v_statements[i];
  end loop;
  perform quota.follow_plan('public.accounts', 'id', p_column);
  return 'refused' || case when has_column_privilege('authenticated', 'public.accounts', 'username', 'update')
    then ', the name may still be written' else '' end;
end $$;
select is(pg_temp.follows('grant select, delete on public.accounts to anon, authenticated'), 'ok', 'a table that users only read is followed');
select is(
  pg_temp.follows('grant all on public.accounts to anon, authenticated'), 'refused, the name may still be written',
  'one that they may write is not, until the two statements of the hint have run'
);
drop table accounts;
select is(
  pg_temp.follows('grant update on public.accounts to authenticated'), 'refused, the name may still be written',
  'nor one that a user may update'
);
drop table accounts;
select is(pg_temp.follows('grant insert on public.accounts to anon'), 'refused', 'nor one into which anon may insert');
drop table accounts;
select is(pg_temp.follows('grant update (plan) on public.accounts to authenticated'), 'refused', 'a grant on the column');
drop table accounts;
select is(pg_temp.follows('grant insert (id, plan) on public.accounts to authenticated'), 'refused', 'to insert, too');
drop table accounts;
select is(pg_temp.follows('grant update on public.accounts to public'), 'refused, the name may still be written', 'a grant to everybody');
drop table accounts;
select lives_ok('create role pgquota_test_editors', 'a role of the app');
alter role authenticated inherit;
do $$ begin grant pgquota_test_editors to authenticated; end $$;
select is(
  pg_temp.follows('grant update on public.accounts to pgquota_test_editors'), 'refused, the name may still be written',
  'a grant to a role that users belong to'
);
drop table accounts;
select is(
  pg_temp.follows('grant update (plan) on public.accounts to authenticated', 'lower_plan'), 'refused',
  'a grant on what the plan is generated from'
);
drop table accounts;
select is(
  pg_temp.follows('grant update (username) on public.accounts to authenticated'), 'ok', 'a grant on another column is none of it'
);
grant update (plan) on accounts to authenticated;
select is(quota.plan_writers('accounts', 'plan'), array['authenticated']::name[], 'who may write it can be asked at any time');
select throws_ok(
  $$select quota.follow_plan('accounts', 'id', 'plan', p_users_may_write => null)$$, '22023', null, 'null is no answer'
);
select is(
  quota.follow_plan('accounts', 'id', 'plan', p_users_may_write => true), 0::bigint, 'users may write it where that is meant'
);
select is(
  (select count(*) from pg_trigger
   where tgrelid = 'accounts'::regclass and tgnargs = 3 and tgname like 'pgquota_follow_plan%'), 2::bigint,
  'which the triggers remember'
);
grant update on tenants_us to authenticated;
select throws_ok(
  $$select quota.follow_plan('tenants', 'id', 'Plan %')$$, '42501', null, 'a partition that users may write is a way, too'
);

-- The end of it.
select lives_ok($$select quota.unfollow_plan('profiles')$$, 'a table need not be followed for ever');
update profiles set tier = 'pro' where id = 'kim';
select is(pg_temp.plan_of('kim'), 'free', 'then it is not followed');
select is_empty($$select * from verify_usage()$$, 'every number is proved by the ledger');

select * from finish();
rollback;
