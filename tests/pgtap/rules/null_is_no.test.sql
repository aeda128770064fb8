-- Who may act for whom is asked of functions that apps replace. Whatever they answer but true is no.
begin;
select set_config('search_path', 'public, ' || pronamespace::regnamespace, true) from pg_proc where proname = 'pgtap_version';
set local timezone = 'UTC';
select plan(39);

do $$ begin perform apply_plans('{
  "features": {"ai_generation": {}, "kb_file": {"kind": "gauge"}},
  "plans": {"free": {"default": true, "limits": {"ai_generation": {"month": 50}, "kb_file": {"lifetime": 5}}}}
}'); end $$;

-- What there is to see and to take of somebody else.
do $$ begin
  perform consume_usage('ai_generation', 45, 'team-1');
  perform consume_usage('ai_generation', 1, 'stranger');
  perform grant_usage('ai_generation', 5, 'team-1');
  perform reserve_usage('ai_generation', 1, 'team-1');
  perform set_limit('team-1', 'ai_generation', 'day', 100);
end $$;

-- The code of a call that a user makes for a team, or what it answered.
create function pg_temp.outcome(p_call text) returns text
language plpgsql as $$
declare
  v_answer text;
begin
  perform set_config('role', 'authenticated', true),
    set_config('request.jwt.claims', '{"sub": "stranger"}', true);
  execute p_call into v_answer;
  reset role;
  return coalesce(v_answer, 'no answer');
exception when others then
  return sqlstate;
end $$;

-- A stranger is in no row: neither true nor false comes of it.
create table public.team_members (team text, user_id text, role text);
alter table public.team_members enable row level security;
insert into public.team_members values ('team-1', 'viewer', 'viewer'), ('team-1', 'writer', 'member');

prepare verbs (text) as
  select c.name, pg_temp.outcome(c.call) as outcome, $1
  from (values
    ('check_usage', $$select check_usage('ai_generation', 1, 'team-1')$$),
    ('consume_usage', $$select consume_usage('ai_generation', 1, 'team-1')$$),
    ('consume_usage with a key', $$select consume_usage('ai_generation', 1, 'team-1', 'k')$$),
    ('consume_usage of a gauge', $$select consume_usage('kb_file', 1, 'team-1')$$),
    ('enforce_usage', $$select enforce_usage('ai_generation', 1, 'team-1')$$),
    ('consume_usage_batch', $$select consume_usage_batch('[{"feature": "ai_generation"}]', 'team-1')$$),
    ('explain_usage', $$select explain_usage('ai_generation', 1, 'team-1')$$)
  ) as c (name, call);

create function pg_temp.refuses(p_how text) returns setof text
language plpgsql as $$
declare
  v_verb record;
  v_view text;
begin
  for v_verb in execute format('execute verbs(%L)', p_how) loop
    return next is(v_verb.outcome, '42501', v_verb.name || ' is refused by ' || p_how);
  end loop;
  foreach v_view in array array['current_usage', 'usage_history', 'usage_events', 'usage_alerts'] loop
    return next is(
      pg_temp.outcome(format(
        'select string_agg(distinct subject, '','') from %I where subject is distinct from ''stranger''', v_view
      )),
      'no answer', v_view || ' shows nobody else''s to a stranger beside ' || p_how
    );
  end loop;
end $$;

create or replace function quota.acts_for(p_user_id text, p_subject_id text) returns boolean
language sql stable security definer set search_path = pg_catalog, pg_temp as $$
  select m.role <> 'viewer' from public.team_members as m
  where m.team = p_subject_id and m.user_id = p_user_id
$$;
create or replace function quota.subjects_of(p_user_id text) returns setof text
language sql stable security definer set search_path = pg_catalog, pg_temp as $$
  select p_user_id
  union all
  select (select m.team from public.team_members as m where m.user_id = p_user_id)
$$;
select * from pg_temp.refuses('a helper that finds no row');

create or replace function quota.acts_for(p_user_id text, p_subject_id text) returns boolean
language plpgsql stable security invoker set search_path = pg_catalog, pg_temp as $$ begin return null; end $$;
create or replace function quota.subjects_of(p_user_id text) returns setof text
language plpgsql stable security invoker set search_path = pg_catalog, pg_temp as $$
begin
  return query values (null::text), (null::text), (p_user_id);
end $$;
select * from pg_temp.refuses('a helper that answers null');

-- All that a policy hides, tables too: the helper alone decides there.
select is_empty(
  $$select c.relname, p.polname
    from pg_policy as p
    join pg_class as c on c.oid = p.polrelid
    where c.relnamespace = 'quota'::regnamespace
      and pg_get_expr(p.polqual, p.polrelid) like '%subjects_of%'
      and pg_get_expr(p.polqual, p.polrelid) !~ 'subject_id (= ANY|IN) \('$$,
  'policies compare with what subjects_of() names, and a comparison with null shows nothing'
);
create function pg_temp.foreign_rows() returns setof text
language plpgsql as $$
declare
  v_table text;
begin
  for v_table in
    select c.relname
    from pg_class as c
    join pg_attribute as a on a.attrelid = c.oid and a.attname = 'subject_id'
    where c.relnamespace = 'quota'::regnamespace
      and c.relkind = 'r'
      and has_table_privilege('authenticated', c.oid, 'select')
    order by c.relname collate "C"
  loop
    return next is(
      pg_temp.outcome(format(
        'select string_agg(subject_id, '','') from quota.%I where subject_id is distinct from ''stranger''', v_table
      )),
      'no answer', 'quota.' || v_table || ' shows nothing else'
    );
  end loop;
end $$;
select * from pg_temp.foreign_rows();

-- And nobody at all, where no one is signed in.
select is(
  (select array_agg(s) from quota.subjects_of(null) as s), array[null, null, null]::text[],
  'for nobody these helpers name nobody'
);
set local role authenticated;
set local request.jwt.claims = '{}';
select is_empty('select * from current_usage', 'which is no one''s use');
select throws_ok($$select consume_usage('ai_generation', 1, 'team-1')$$, '42501', null, 'and pays for nothing');
reset role;

-- Who is a member may still act, and a viewer may not.
create or replace function quota.acts_for(p_user_id text, p_subject_id text) returns boolean
language sql stable security definer set search_path = pg_catalog, pg_temp as $$
  select m.role <> 'viewer' from public.team_members as m
  where m.team = p_subject_id and m.user_id = p_user_id
$$;
set local role authenticated;
set local request.jwt.claims = '{"sub": "viewer"}';
select throws_ok($$select consume_usage('ai_generation', 1, 'team-1')$$, '42501', null, 'false is no');
set local request.jwt.claims = '{"sub": "writer"}';
select is((consume_usage('ai_generation', 1, 'team-1')).allowed, true, 'true is yes');
reset role;
select is(
  (select sum(used_change)::integer from quota.events where subject_id = 'team-1' and kind = 'consume'), 46,
  'and nothing else was counted'
);

select * from finish();
rollback;
