-- A Supabase project has these three roles, a plain Postgres server has not.
-- Run it once, before the migration, as a role that may create roles. It changes nothing that exists.
--
-- PostgREST connects with a login role of yours and switches to one of them for each request:
--   create role authenticator login noinherit password '…';
--   grant anon, authenticated, service_role to authenticator;

do $$
declare
  v_role text;
begin
  foreach v_role in array array['anon', 'authenticated', 'service_role'] loop
    if not exists (select from pg_catalog.pg_roles where rolname = v_role) then
      begin
        execute pg_catalog.format('create role %I nologin noinherit', v_role);
      exception when duplicate_object or unique_violation then
        -- Two installations on one server at once: the other one created it.
        null;
      end;
    end if;
  end loop;
end
$$;
