-- Everything that decides and counts lives in schema quota, which REST never
-- exposes. What callers may touch stands in schema public.

-- Refuse early and in words: half an installation is worse than none.
do $$
declare
  v_missing text;
begin
  if pg_catalog.current_setting('server_version_num')::integer < 150000 then
    raise exception 'pgquota needs Postgres 15 or newer, this server is %',
      pg_catalog.current_setting('server_version')
      using hint = 'security_invoker views, which carry the access rules, came with Postgres 15';
  end if;
  select pg_catalog.string_agg(role_name, ', ')
    into v_missing
    from pg_catalog.unnest(array['anon', 'authenticated', 'service_role']) as role_name
    where not exists (select from pg_catalog.pg_roles where rolname = role_name);
  if v_missing is not null then
    raise exception 'pgquota needs the roles anon, authenticated and service_role; missing: %',
      v_missing
      using errcode = '42704',
        hint = 'a Supabase project has them; on plain Postgres run sql/roles.sql first';
  end if;
end
$$;

create schema quota;

comment on schema quota is
  'pgquota: plans, counters and the ledger of usage limits. Not exposed over REST; callers use the functions and views in schema public.';
