-- Who may do what: the whole list, asked of pg_catalog. What is not on it, nobody may.
begin;
-- pgTAP in schema public would be taken for ours: it moves aside until the rollback.
do $$ begin
  if (select extnamespace from pg_extension where extname = 'pgtap') = 'public'::regnamespace then
    create schema pgtap_aside;
    grant usage on schema pgtap_aside to public;
    alter extension pgtap set schema pgtap_aside;
  end if;
end $$;
select set_config('search_path', 'public, ' || pronamespace::regnamespace, true) from pg_proc where proname = 'pgtap_version';
select plan(16);

-- Every privilege on every object of ours that somebody other than its owner has.
create temporary view held as
  select 'function' as kind, p.pronamespace::regnamespace::text as schema, p.proname::text as name,
    a.grantee, a.privilege_type as privilege, a.is_grantable
  from pg_proc as p
  cross join lateral aclexplode(coalesce(p.proacl, acldefault('f', p.proowner))) as a
  where p.pronamespace in ('public'::regnamespace, 'quota'::regnamespace) and a.grantee <> p.proowner
  union all
  select case c.relkind when 'v' then 'view' when 'S' then 'sequence' else 'table' end,
    c.relnamespace::regnamespace::text, c.relname::text, a.grantee, a.privilege_type, a.is_grantable
  from pg_class as c
  cross join lateral aclexplode(coalesce(c.relacl, acldefault('r', c.relowner))) as a
  where c.relnamespace in ('public'::regnamespace, 'quota'::regnamespace)
    and c.relkind in ('r', 'p', 'v', 'm', 'f', 'S')
    and a.grantee <> c.relowner
  union all
  select 'column', c.relnamespace::regnamespace::text, c.relname || '.' || t.attname,
    a.grantee, a.privilege_type, a.is_grantable
  from pg_attribute as t
  join pg_class as c on c.oid = t.attrelid
  cross join lateral aclexplode(t.attacl) as a
  where c.relnamespace in ('public'::regnamespace, 'quota'::regnamespace)
  union all
  select 'type', t.typnamespace::regnamespace::text, t.typname::text, a.grantee, a.privilege_type,
    a.is_grantable
  from pg_type as t
  cross join lateral aclexplode(coalesce(t.typacl, acldefault('T', t.typowner))) as a
  where t.typnamespace in ('public'::regnamespace, 'quota'::regnamespace) and a.grantee <> t.typowner
  union all
  select 'schema', n.nspname::text, n.nspname::text, a.grantee, a.privilege_type, a.is_grantable
  from pg_namespace as n
  cross join lateral aclexplode(coalesce(n.nspacl, acldefault('n', n.nspowner))) as a
  where n.nspname = 'quota' and a.grantee <> n.nspowner;

create function pg_temp.holders(p_kind text, p_schema text) returns table (name text, privilege text, roles text)
language sql as $$
  select h.name, h.privilege,
    string_agg(coalesce(r.rolname, 'public'), ', ' order by coalesce(r.rolname, 'public') collate "C")
  from pg_temp.held as h
  left join pg_roles as r on r.oid = h.grantee
  where h.kind = p_kind and h.schema = p_schema
  group by h.name, h.privilege
$$;

select set_eq(
  $$select name, privilege, roles from pg_temp.holders('function', 'public')$$,
  $$select name, 'EXECUTE' as privilege, roles
    from (values
      ('check_usage', 'authenticated, service_role'),
      ('consume_usage', 'authenticated, service_role'),
      ('enforce_usage', 'authenticated, service_role'),
      ('consume_usage_batch', 'authenticated, service_role'),
      ('explain_usage', 'authenticated, service_role'),
      ('usage_breakdown', 'authenticated, service_role'),
      ('merge_subjects', 'service_role'),
      ('consume_usage_many', 'service_role'),
      ('reserve_usage', 'service_role'),
      ('extend_usage', 'service_role'),
      ('commit_usage', 'service_role'),
      ('release_usage', 'service_role'),
      ('refund_usage', 'service_role'),
      ('grant_usage', 'service_role'),
      ('void_grant', 'service_role'),
      ('set_plan', 'service_role'),
      ('set_limit', 'service_role'),
      ('clear_limit', 'service_role'),
      ('set_value', 'service_role'),
      ('set_parent', 'service_role'),
      ('add_member', 'service_role'),
      ('remove_member', 'service_role'),
      ('return_usage', 'service_role'),
      ('reset_usage', 'service_role'),
      ('apply_plans', 'service_role'),
      ('forget_subject', 'service_role'),
      ('deliver_alerts', 'service_role'),
      ('acknowledge_alerts', 'service_role'),
      ('verify_usage', 'service_role'),
      ('verify_installation', 'service_role')
    ) as may (name, roles)$$,
  'who may call which function of the API'
);
select set_eq(
  $$select name, privilege, roles from pg_temp.holders('function', 'quota')
    where to_regproc('public.' || name) is null$$,
  $$values
    -- What npx pgquota plans --impact asks.
    ('plan_impact', 'EXECUTE', 'service_role'),
    -- What the views compute as their reader.
    ('clock', 'EXECUTE', 'authenticated, service_role'),
    ('entitlements_shown', 'EXECUTE', 'authenticated, service_role'),
    ('sees_member', 'EXECUTE', 'authenticated, service_role'),
    ('below_shown', 'EXECUTE', 'authenticated, service_role'),
    ('forecast', 'EXECUTE', 'authenticated, service_role'),
    ('instant_of', 'EXECUTE', 'authenticated, service_role'),
    ('is_trusted', 'EXECUTE', 'authenticated, service_role'),
    ('usage_shown', 'EXECUTE', 'authenticated, service_role'),
    ('organisations_of', 'EXECUTE', 'authenticated, service_role'),
    ('period_of', 'EXECUTE', 'authenticated, service_role'),
    ('period_rank', 'EXECUTE', 'authenticated, service_role'),
    ('subjects_of', 'EXECUTE', 'authenticated, service_role'),
    ('user_id', 'EXECUTE', 'authenticated, service_role'),
    -- What enforce_usage() raises with, as its caller.
    ('enforce', 'EXECUTE', 'authenticated, service_role'),
    -- Behind set_limit() and clear_limit(), add_member() and remove_member().
    ('change_limit', 'EXECUTE', 'service_role'),
    ('change_member', 'EXECUTE', 'service_role'),
    ('version', 'EXECUTE', 'service_role')$$,
  'who may run which private function; those for DBAs are for their owner alone'
);
select is_empty(
  $$select name, quota.roles as private, public.roles as api
    from pg_temp.holders('function', 'quota') as quota
    join pg_temp.holders('function', 'public') as public using (name)
    where quota.roles <> public.roles$$,
  'the private half of a function may be run by those who may call it'
);
select set_eq(
  $$select name, privilege, roles from pg_temp.holders('view', 'public')$$,
  $$values
    ('current_usage', 'SELECT', 'authenticated, service_role'),
    ('entitlements', 'SELECT', 'authenticated, service_role'),
    ('usage_overview', 'SELECT', 'service_role'),
    ('usage_history', 'SELECT', 'authenticated, service_role'),
    ('usage_events', 'SELECT', 'authenticated, service_role'),
    ('usage_alerts', 'SELECT', 'authenticated, service_role'),
    ('plan_catalog', 'SELECT', 'anon, authenticated, service_role')$$,
  'who may read which view; nobody may write through one'
);
select set_eq(
  $$select name, privilege, roles from pg_temp.holders('table', 'quota')$$,
  $$values
    ('catalogue', 'SELECT', 'authenticated, service_role'),
    ('features', 'SELECT', 'anon, authenticated, service_role'),
    ('plans', 'SELECT', 'anon, authenticated, service_role'),
    ('plan_limits', 'SELECT', 'anon, authenticated, service_role'),
    ('plan_values', 'SELECT', 'anon, authenticated, service_role'),
    ('feature_costs', 'SELECT', 'anon, authenticated, service_role'),
    ('subjects', 'SELECT', 'authenticated, service_role'),
    ('members', 'SELECT', 'authenticated, service_role'),
    ('exceptions', 'SELECT', 'authenticated, service_role'),
    ('grants', 'SELECT', 'authenticated, service_role'),
    ('counters', 'SELECT', 'authenticated, service_role'),
    ('events', 'SELECT', 'authenticated, service_role'),
    ('reservations', 'SELECT', 'authenticated, service_role'),
    ('alerts', 'SELECT', 'authenticated, service_role'),
    ('keys', 'SELECT', 'service_role'),
    ('shares', 'SELECT', 'service_role'),
    ('overages', 'SELECT', 'authenticated, service_role'),
    ('overrides', 'SELECT', 'service_role'),
    ('merges', 'SELECT', 'service_role'),
    ('caps', 'SELECT', 'service_role'),
    ('member_limits', 'SELECT', 'service_role'),
    ('limited_tables', 'SELECT', 'service_role'),
    ('followed_tables', 'SELECT', 'service_role'),
    ('meters', 'SELECT', 'authenticated, service_role')$$,
  'who may read which table; nobody may insert, update, delete, truncate, refer to one or add a trigger'
);
select is_empty(
  $$select * from held where kind in ('column', 'sequence')$$,
  'nobody has a privilege on a column or a sequence'
);
select is_empty(
  $$select * from held where kind = 'table' and schema = 'public'$$, 'there is no table in the API'
);
select is_empty(
  $$select * from held where kind = 'type' and privilege <> 'USAGE'$$, 'types can be used, no more'
);
select set_eq(
  $$select name, privilege, roles from pg_temp.holders('schema', 'quota')$$,
  $$values ('quota', 'USAGE', 'anon, authenticated, service_role')$$,
  'the private schema can be looked into, and nobody can create in it'
);
select is_empty(
  $$select * from held
    where kind <> 'type' and grantee not in ('anon'::regrole, 'authenticated'::regrole, 'service_role'::regrole)$$,
  'no role but the three of the API has a privilege, and public has none'
);
select is_empty('select * from held where is_grantable', 'nobody can pass a privilege on');

-- The same as the server judges it, with roles that inherit from others.
select is_empty(
  $$select oid::regprocedure from pg_proc
    where pronamespace in ('public'::regnamespace, 'quota'::regnamespace)
      and has_function_privilege('anon', oid, 'execute')$$,
  'anon can run nothing'
);
select is_empty(
  $$select c.oid::regclass, role_name, privilege
    from pg_class as c
    cross join unnest(array['anon', 'authenticated', 'service_role']) as role_name
    cross join unnest(array['insert', 'update', 'delete', 'truncate', 'references', 'trigger']) as privilege
    where c.relnamespace in ('public'::regnamespace, 'quota'::regnamespace)
      and c.relkind in ('r', 'p', 'v', 'm', 'f')
      and has_table_privilege(role_name, c.oid, privilege)$$,
  'no role of the API can write to any table or view, not even service_role'
);
select is_empty(
  $$select role_name from unnest(array['anon', 'authenticated', 'service_role']) as role_name
    where has_schema_privilege(role_name, 'quota', 'create')$$,
  'no role of the API can create in the private schema'
);

-- Owners: security definer means their rights.
select is_empty(
  $$select 'function' as kind, oid::regprocedure::text as name from pg_proc
    where pronamespace in ('public'::regnamespace, 'quota'::regnamespace)
      and proowner <> (select nspowner from pg_namespace where nspname = 'quota')
    union all
    select 'relation', oid::regclass::text from pg_class
    where relnamespace in ('public'::regnamespace, 'quota'::regnamespace)
      and relowner <> (select nspowner from pg_namespace where nspname = 'quota')$$,
  'everything belongs to the owner of the private schema'
);
select is_empty(
  $$select role_name from unnest(array['anon', 'authenticated', 'service_role']) as role_name
    where pg_has_role(role_name, (select nspowner from pg_namespace where nspname = 'quota'), 'member')$$,
  'of which no role of the API is a member'
);

select * from finish();
rollback;
