-- What an installation consists of, in a form that is the same on every version of
-- Postgres. npm run build asks it of a fresh installation, and the answer is release_manifest();
-- verify_installation() asks it of the database at hand. What pg_get_viewdef() prints differs from
-- version to version in spaces, brackets and aliases before columns, so a view is compared without.

create function quota.installed_objects()
returns table (kind text, object text, definition jsonb)
language plpgsql stable security invoker set search_path = pg_catalog, pg_temp
as $$
begin
  return query
    select 'schema', 'quota', jsonb_build_object(
      'rights', array(
        select r from quota.rights_in(n.nspacl, n.nspowner) as r order by r collate "C"
      )
    )
    from pg_catalog.pg_namespace as n
    where n.nspname = 'quota'
    union all
    select i.kind, i.object, i.definition from quota.installed_functions() as i
    union all
    select i.kind, i.object, i.definition from quota.installed_relations() as i
    union all
    select i.kind, i.object, i.definition from quota.installed_columns() as i
    union all
    select i.kind, i.object, i.definition from quota.installed_constraints() as i
    union all
    select i.kind, i.object, i.definition from quota.installed_indexes() as i
    union all
    select i.kind, i.object, i.definition from quota.installed_policies() as i
    union all
    select i.kind, i.object, i.definition from quota.installed_triggers() as i;
end
$$;

comment on function quota.installed_objects is
  'What is installed, object by object: bodies, owners, rights, options, definitions.';

create function quota.installed_functions()
returns table (kind text, object text, definition jsonb)
language plpgsql stable security invoker set search_path = pg_catalog, pg_temp
as $$
declare
  v_owner constant oid := (
    select n.nspowner from pg_catalog.pg_namespace as n where n.nspname = 'quota'
  );
begin
  return query
    select
      'function',
      format(
        '%I.%I(%s)', n.nspname, p.proname,
        (
          select string_agg(format_type(u.type_id, null), ', ' order by u.rank)
          from unnest(p.proargtypes) with ordinality as u (type_id, rank)
        )
      ),
      jsonb_build_object(
        'name', format('%I.%I', n.nspname, p.proname),
        -- A checkout on Windows turns line ends. The manifest cannot hold its own body.
        'body', case when p.proname <> 'release_manifest'
          then md5(replace(p.prosrc, E'\r\n', E'\n')) end,
        'signature', format(
          '(%s) returns %s', pg_get_function_arguments(p.oid), pg_get_function_result(p.oid)
        ),
        'language', l.lanname,
        -- As alter function takes them.
        'options', concat_ws(
          ' ',
          case p.provolatile when 'i' then 'immutable' when 's' then 'stable' else 'volatile' end,
          case when p.proisstrict then 'strict' else 'called on null input' end,
          case when p.prosecdef then 'security definer' else 'security invoker' end,
          case when p.proleakproof then 'leakproof' else 'not leakproof' end,
          case p.proparallel
            when 's' then 'parallel safe' when 'r' then 'parallel restricted' else 'parallel unsafe'
          end,
          'cost ' || p.procost,
          case when p.proretset then 'rows ' || p.prorows end
        ),
        'settings', array(select u.s from unnest(p.proconfig) as u (s) order by u.s collate "C"),
        'is_owned', p.proowner = v_owner,
        'rights', array(
          select r
          from quota.rights_in(coalesce(p.proacl, acldefault('f', p.proowner)), p.proowner) as r
          order by r collate "C"
        )
      )
    from pg_catalog.pg_proc as p
    join pg_catalog.pg_namespace as n on n.oid = p.pronamespace
    join pg_catalog.pg_language as l on l.oid = p.prolang
    where n.nspname in ('quota', 'public')
      and p.prokind in ('f', 'p');
end
$$;

comment on function quota.installed_functions is
  'Functions of both schemas.';

create function quota.installed_relations()
returns table (kind text, object text, definition jsonb)
language plpgsql stable security invoker set search_path = pg_catalog, pg_temp
as $$
declare
  v_owner constant oid := (
    select n.nspowner from pg_catalog.pg_namespace as n where n.nspname = 'quota'
  );
begin
  return query
    select
      case c.relkind when 'v' then 'view' when 'c' then 'type' else 'table' end,
      format('%I.%I', n.nspname, c.relname),
      jsonb_strip_nulls(jsonb_build_object(
        'is_owned', c.relowner = v_owner,
        'is_secured', case when c.relkind <> 'v' then c.relrowsecurity end,
        'is_logged', case when c.relkind <> 'v' then c.relpersistence = 'p' end,
        'is_checked', not exists (
          select from pg_catalog.pg_trigger as t
          where t.tgrelid = c.oid
            and t.tgisinternal
            and t.tgenabled not in ('O', 'A')
        ),
        'settings', case when c.relkind = 'v' then to_jsonb(array(
          select u.s from unnest(c.reloptions) as u (s) order by u.s collate "C"
        )) end,
        'query', case when c.relkind = 'v' then md5(regexp_replace(
          lower(pg_get_viewdef(c.oid)), '[\s()]|\m(?!quota\.|public\.)[a-z_]\w*\.', '', 'g'
        )) end,
        'rights', case when c.relkind <> 'c' then to_jsonb(array(
          select r
          from (
            select t.r
            from quota.rights_in(coalesce(c.relacl, acldefault('r', c.relowner)), c.relowner) as t (r)
            union all
            select x.r
            from pg_catalog.pg_attribute as a
            cross join lateral quota.rights_in(a.attacl, c.relowner, a.attname) as x (r)
            where a.attrelid = c.oid
              and a.attacl is not null
          ) as u (r)
          order by r collate "C"
        )) end
      ))
    from pg_catalog.pg_class as c
    join pg_catalog.pg_namespace as n on n.oid = c.relnamespace
    where n.nspname = 'quota' and c.relkind in ('r', 'p', 'v', 'm', 'f', 'c')
      or n.nspname = 'public' and c.relkind in ('v', 'c');
end
$$;

comment on function quota.installed_relations is
  'Tables, views and types.';

create function quota.installed_columns()
returns table (kind text, object text, definition jsonb)
language plpgsql stable security invoker set search_path = pg_catalog, pg_temp
as $$
begin
  return query
    select 'column', format('%I.%I.%I', n.nspname, c.relname, a.attname), jsonb_build_object(
      'on', format('%I.%I', n.nspname, c.relname),
      'of', case c.relkind when 'c' then 'type' else 'table' end,
      'name', quote_ident(a.attname),
      'type', concat_ws(
        ' ', format_type(a.atttypid, a.atttypmod),
        case when a.attcollation <> t.typcollation then 'collate ' || a.attcollation::regcollation end,
        case when a.attgenerated <> '' then 'generated' when a.attidentity <> '' then 'identity' end
      ),
      'is_required', a.attnotnull,
      'default', pg_get_expr(d.adbin, d.adrelid)
    )
    from pg_catalog.pg_attribute as a
    join pg_catalog.pg_class as c on c.oid = a.attrelid
    join pg_catalog.pg_namespace as n on n.oid = c.relnamespace
    join pg_catalog.pg_type as t on t.oid = a.atttypid
    left join pg_catalog.pg_attrdef as d on d.adrelid = a.attrelid and d.adnum = a.attnum
    where a.attnum > 0
      and not a.attisdropped
      and (
        n.nspname = 'quota' and c.relkind in ('r', 'p', 'c') or n.nspname = 'public' and c.relkind = 'c'
      );
end
$$;

comment on function quota.installed_columns is
  'Columns of tables, and fields of types.';

-- The rights that others than the owner have on an object, as 'anon EXECUTE'.
create function quota.rights_in(
  p_rights aclitem[],
  p_owner oid,
  p_column text default null
)
returns setof text
language plpgsql stable security invoker set search_path = pg_catalog, pg_temp
as $$
begin
  return query
    select concat_ws(
        ' ',
        case when a.grantee = 0 then 'public' else a.grantee::regrole::text end,
        a.privilege_type,
        '(' || p_column || ')',
        case when a.is_grantable then 'with grant option' end
      )
    from aclexplode(p_rights) as a
    where a.grantee <> p_owner
      and (a.grantee = 0 or a.grantee::regrole::text in ('anon', 'authenticated', 'service_role'));
end
$$;

comment on function quota.rights_in is
  'What public and the roles of the API may do, one text per right.';
