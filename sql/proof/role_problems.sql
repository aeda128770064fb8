-- Rights mean nothing to a superuser, to a role that passes by row level security, or to the owner.
create function quota.role_problems()
returns setof quota.finding
language plpgsql stable security invoker set search_path = pg_catalog, pg_temp
as $$
declare
  v_owner constant oid := (
    select n.nspowner from pg_catalog.pg_namespace as n where n.nspname = 'quota'
  );
begin
  return query
    select 80, 'role ' || r.rolname,
      case when r.rolsuper then 'it is a superuser: every request may do everything'
        else 'it passes by row level security: every reader sees everybody''s rows' end,
      concat_ws(
        E'\n',
        case when r.rolsuper then format('alter role %I nosuperuser;', r.rolname) end,
        case when r.rolbypassrls and r.rolname <> 'service_role'
          then format('alter role %I nobypassrls;', r.rolname) end
      ), false
    from pg_catalog.pg_roles as r
    where r.rolname in ('anon', 'authenticated', 'service_role')
      and (r.rolsuper or r.rolbypassrls and r.rolname <> 'service_role')
      and r.oid <> v_owner
    union all
    select 80, 'role ' || r.rolname,
      format(
        'it is a member of %s%s, which may do what users must not',
        g.rolname,
        (
          select ' and so of ' || string_agg(x.rolname, ', ' order by x.rolname)
          from unnest(p.powers) as u (id)
          join pg_catalog.pg_roles as x on x.oid = u.id
          where u.id <> g.oid
        )
      ),
      format('revoke %I from %I;', g.rolname, r.rolname), false
    from pg_catalog.pg_auth_members as m
    join pg_catalog.pg_roles as r on r.oid = m.member
    join pg_catalog.pg_roles as g on g.oid = m.roleid
    cross join lateral (
      select array_agg(x.oid) as powers
      from pg_catalog.pg_roles as x
      where pg_has_role(g.oid, x.oid, 'member')
        and (
          x.rolsuper or x.rolbypassrls or x.oid = v_owner
          or x.rolname in (
            'service_role', 'pg_read_all_data', 'pg_write_all_data', 'pg_read_server_files',
            'pg_write_server_files', 'pg_execute_server_program'
          )
          or x.rolname = 'authenticated' and r.rolname = 'anon'
        )
    ) as p
    where r.rolname in ('anon', 'authenticated')
      and p.powers is not null
    union all
    select 80, 'role service_role',
      format('it is a member of %s, the owner of schema quota: it may write past the functions', g.rolname),
      format('revoke %I from service_role;', g.rolname), false
    from pg_catalog.pg_auth_members as m
    join pg_catalog.pg_roles as r on r.oid = m.member
    join pg_catalog.pg_roles as g on g.oid = m.roleid
    where r.rolname = 'service_role'
      and pg_has_role(g.oid, v_owner, 'member');
end
$$;

comment on function quota.role_problems is 'Roles of the API that rights and policies do not bind.';
