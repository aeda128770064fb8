-- What our functions need to be asked on any node: part of citus.sql, which runs it.

-- What our functions need there. A plan that is made once for all subjects asks all nodes. Values travel as
-- text, and a session that writes dates the other way round would count in another month. A wait for a row
-- is on the worker, whose session has its settings from its role.
do $$
declare
  v_function record;
  v_owner name := (select r.rolname from pg_namespace as n join pg_roles as r on r.oid = n.nspowner where n.nspname = 'quota');
  v_command text;
begin
  for v_function in
    select p.oid::regprocedure::text as name, p.prosecdef, p.proconfig
    from pg_proc as p
    where p.pronamespace = 'quota'::regnamespace
  loop
    if v_function.proconfig::text like '%plan_cache_mode%' then
      execute format('alter function %s reset plan_cache_mode', v_function.name);
    end if;
    -- What removes a plan or a feature asks all subjects, and follows foreign keys: one node after the other.
    if v_function.prosecdef and v_function.name ~ '^quota\.(apply_plans|forget_subject|import_usage|merge_subjects|tidy)\('
      and v_function.proconfig::text not like '%multi_shard%'
    then
      execute format('alter function %s set citus.multi_shard_modify_mode = sequential', v_function.name);
    end if;
    if v_function.prosecdef and v_function.proconfig::text not like '%datestyle%' then
      execute format('alter function %s set datestyle = %L', v_function.name, 'ISO, MDY');
    end if;
  end loop;
  v_command := format(
    'do $do$ begin perform pg_catalog.set_config(''citus.enable_ddl_propagation'', ''off'', true); alter role %I in database %I set lock_timeout = ''2s''; end $do$',
    v_owner, current_database()
  );
  execute v_command;
  perform pg_temp.on_workers(v_command);
end
$$;

-- What was changed here is so: verify_installation() compares with this instead, which is what the release
-- says in all but what citus.sql is there to change.
do $$
declare
  v_manifest jsonb;
begin
  select jsonb_agg(to_jsonb(i) order by i.kind, i.object collate "C")
    into v_manifest
    from quota.installed_objects() as i
    left join quota.release_manifest() as r on r.kind = i.kind and r.object = i.object
    where r.definition is distinct from i.definition
      and (
        i.kind = 'constraint' and i.object = 'meters_feature_exists on quota.meters'
        or i.kind = 'view' and i.definition - 'query' = r.definition - 'query'
        or i.kind = 'function' and i.definition - 'settings' - 'body' = r.definition - 'settings' - 'body'
          and (
            i.definition -> 'body' = r.definition -> 'body'
            or i.object ~ '^quota\.(acknowledge_alerts|changed_objects|deliver_alerts|hold_features|hold_plans|lines_to_fold|member_uses|write_imports)\('
          )
      );
  execute format(
    'set local role %I; create or replace function quota.spread_manifest() returns setof quota.installed_object language plpgsql stable security invoker set search_path = pg_catalog, pg_temp as %L; revoke all on function quota.spread_manifest from public, anon, authenticated, service_role; reset role',
    (select n.nspowner::regrole::text from pg_namespace as n where n.nspname = 'quota'),
    format(
      'begin return query select o.kind, o.object, o.definition from jsonb_populate_recordset(null::quota.installed_object, %L) as o; end',
      v_manifest
    )
  );
end
$$;

-- The functions, with their rights: any node may be asked.
do $$
declare
  v_function record;
begin
  for v_function in
    select p.oid::regprocedure::text as name
    from pg_proc as p
    where (
        p.pronamespace = 'quota'::regnamespace
        or p.pronamespace = 'public'::regnamespace and p.proname in (
          select split_part(split_part(m.object, '(', 1), '.', 2)
          from quota.release_manifest() as m
          where m.kind = 'function'
        )
      )
      and p.prorettype <> 'trigger'::regtype
      and not exists (
        select from pg_dist_object as d where d.classid = 'pg_proc'::regclass and d.objid = p.oid
      )
    order by p.oid
  loop
    perform create_distributed_function(v_function.name::regprocedure);
  end loop;
end
$$;

-- Who may do what is the same on each node; and which tables there are is not for visitors, who would read
-- it over REST in Citus's own views.
do $$
declare
  v_commands text := '';
  v_object record;
begin
  for v_object in
    select 'function ' || p.oid::regprocedure::text as name, p.proacl as acl, p.proowner as owner
    from pg_proc as p
    join pg_dist_object as d on d.classid = 'pg_proc'::regclass and d.objid = p.oid
    where p.pronamespace in ('quota'::regnamespace, 'public'::regnamespace)
    union all
    select 'table ' || c.oid::regclass::text, c.relacl, c.relowner
    from pg_class as c
    where c.relnamespace = 'public'::regnamespace
      and c.relname in (
        select split_part(m.object, '.', 2) from quota.release_manifest() as m where m.kind = 'view'
      )
  loop
    v_commands := v_commands || format(
      'revoke all on %s from public, anon, authenticated, service_role; ', v_object.name
    );
    v_commands := v_commands || coalesce(
      (
        select string_agg(
          format('grant %s on %s to %s; ', a.privilege_type, v_object.name,
            case a.grantee when 0 then 'public' else a.grantee::regrole::text end),
          '' order by a.grantee, a.privilege_type
        )
        from aclexplode(v_object.acl) as a
        where a.grantee <> v_object.owner
      ), ''
    );
  end loop;
  for v_object in
    select c.oid::regclass::text as name
    from pg_class as c
    join pg_depend as d on d.classid = 'pg_class'::regclass and d.objid = c.oid and d.deptype = 'e'
    join pg_extension as e on e.oid = d.refobjid and e.extname = 'citus'
    where c.relnamespace = 'public'::regnamespace
    order by c.relname
  loop
    execute format('revoke all on %s from public', v_object.name);
    v_commands := v_commands || format('revoke all on %s from public; ', v_object.name);
  end loop;
  perform pg_temp.on_workers(format(
    'do $do$ begin perform pg_catalog.set_config(''citus.enable_ddl_propagation'', ''off'', true); %s end $do$',
    v_commands
  ));
end
$$;
