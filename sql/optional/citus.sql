-- Spreads a populated installation over the nodes of a Citus cluster, by subject. Not part of the migration.
-- As a superuser, on the coordinator, with the workers added (citus_add_node), in psql:
--
--   psql -v ON_ERROR_STOP=1 -f node_modules/pgquota/sql/optional/citus.sql
--
-- Run it again after each upgrade of pgquota, and after a worker was added: it does what is missing, and
-- nothing where nothing is. docs/scaling.md says when this pays, and what is different afterwards.
-- Citus is a product of its own (AGPL-3.0); nothing of it is here.

\set ON_ERROR_STOP on
set client_min_messages = warning;
set search_path = pg_catalog, pg_temp;
-- Foreign keys and the tables that they are between are made over one connection to each node.
set citus.multi_shard_modify_mode = 'sequential';

-- What must be there.
do $$
declare
  v_owner name := (
    select r.rolname from pg_namespace as n join pg_roles as r on r.oid = n.nspowner where n.nspname = 'quota'
  );
begin
  if v_owner is null then
    raise exception 'citus.sql: there is no schema quota in database %', current_database()
      using hint = 'install pgquota first, on the coordinator alone';
  end if;
  if not exists (select from pg_extension where extname = 'citus') then
    raise exception 'citus.sql: the extension citus is not in database %', current_database()
      using hint = 'shared_preload_libraries = ''citus'', a restart, then create extension citus, here and on each worker';
  end if;
  if not citus_is_coordinator() then
    raise exception 'citus.sql: this node is a worker' using hint = 'run it on the coordinator';
  end if;
  if not exists (select from pg_dist_node where groupid <> 0 and isactive) then
    raise exception 'citus.sql: the cluster has no worker'
      using hint = 'select citus_set_coordinator_host(''…'', 5432); select citus_add_node(''…'', 5432);';
  end if;
  if not (select rolsuper from pg_roles where rolname = current_user) then
    raise exception 'citus.sql: % is no superuser', current_user
      using hint = 'it makes roles and takes rights on other nodes';
  end if;
  -- A worker is asked by a session of the owner of what runs: the functions are security definer.
  if not (select rolcanlogin from pg_roles where rolname = v_owner) then
    raise exception 'citus.sql: the owner of schema quota, %, cannot log in, and so cannot ask a worker', v_owner
      using hint = format('alter role %I login; and let the nodes trust it (pg_hba.conf, or pg_dist_authinfo)', v_owner);
  end if;
end
$$;

-- The views leave the tables alone, here first; the workers get them below.
set citus.enable_ddl_propagation = off;
select format('set role %I', n.nspowner::regrole::text) from pg_namespace as n where n.nspname = 'quota' \gexec
\ir citus_readers.sql
\ir citus_views.sql
reset role;

-- On a connection of its own to each: what is to be seen there is committed.
create or replace function pg_temp.on_workers(p_command text)
returns void
language plpgsql
as $$
declare
  v_failed text;
begin
  select string_agg(r.nodename || ':' || r.nodeport || ': ' || r.result, E'\n')
    into v_failed
    from run_command_on_workers(p_command) as r
    where not r.success;
  if v_failed is not null then
    raise exception 'citus.sql: % failed: %', p_command, v_failed;
  end if;
end
$$;

set citus.enable_ddl_propagation = on;

\ir citus_tables.sql

-- Roles and types that functions name. Citus sends types along, but not those behind an array.
do $$
declare
  v_command text;
begin
  for v_command in
    select format(
        'do $do$ begin perform pg_catalog.set_config(''citus.enable_ddl_propagation'', ''off'', true); if not exists (select from pg_catalog.pg_roles where rolname = %L) then create role %I nologin noinherit; end if; end $do$',
        r.rolname, r.rolname
      )
    from pg_roles as r
    where r.rolname in ('anon', 'authenticated', 'service_role')
  loop
    perform pg_temp.on_workers(v_command);
  end loop;
  for v_command in
    select format(
        'do $do$ begin perform pg_catalog.set_config(''citus.enable_ddl_propagation'', ''off'', true); if pg_catalog.to_regtype(%1$L) is null then create type %2$s as (%3$s); alter type %2$s owner to %4$I; end if; end $do$',
        t.oid::regtype::text, t.oid::regtype::text,
        (
          select string_agg(
            format('%I %s', a.attname, format_type(a.atttypid, a.atttypmod)), ', ' order by a.attnum
          )
          from pg_attribute as a
          where a.attrelid = t.typrelid and a.attnum > 0 and not a.attisdropped
        ),
        t.typowner::regrole::text
      )
    from pg_type as t
    join pg_class as c on c.oid = t.typrelid
    where c.relkind = 'c'
      and (t.typnamespace = 'quota'::regnamespace or t.oid = to_regtype('public.usage_decision'))
    order by t.oid
  loop
    perform pg_temp.on_workers(v_command);
  end loop;
end
$$;

-- The views again, now for the workers, too.
select format('set role %I', n.nspowner::regrole::text) from pg_namespace as n where n.nspname = 'quota' \gexec
\ir citus_readers.sql
\ir citus_views.sql
\ir citus_functions.sql
\ir citus_sets.sql
reset role;

\ir citus_nodes.sql
