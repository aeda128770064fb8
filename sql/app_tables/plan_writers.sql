create function quota.refuse_plan_writers(
  p_table regclass,
  p_subject_column name,
  p_plan_column name
)
returns void
language plpgsql stable security invoker set search_path = pg_catalog, pg_temp
as $$
declare
  v_writers name[] := quota.plan_writers(p_table, p_plan_column);
  v_sources name[];
  v_grantees text;
  v_tables text;
  v_inserts text;
  v_updates text;
begin
  if cardinality(v_writers) = 0 then
    return;
  end if;
  v_sources := quota.plan_sources(p_table, p_plan_column);
  -- The two statements that end it, for this table: whose grants they are, and what may stay.
  select string_agg(distinct c.oid::regclass::text, ', '),
      string_agg(
        distinct case when p.grantee = 0 then 'public' else p.grantee::regrole::text end, ', '
      )
    into v_tables, v_grantees
    from pg_catalog.pg_class as c
    cross join lateral (
      select x.grantee, x.privilege_type from aclexplode(c.relacl) as x
      union all
      select x.grantee, x.privilege_type
      from pg_catalog.pg_attribute as a
      cross join lateral aclexplode(a.attacl) as x
      where a.attrelid = c.oid
        and a.attname = any (v_sources)
    ) as p
    where (
        c.oid = p_table
        or c.oid in (select t.relid from pg_catalog.pg_partition_tree(p_table) as t)
      )
      and p.privilege_type in ('INSERT', 'UPDATE')
      and p.grantee <> c.relowner
      and (
        p.grantee = 0
        or exists (select from unnest(v_writers) as w (name) where pg_has_role(w.name, p.grantee, 'usage'))
      );
  select
      string_agg(quote_ident(a.attname), ', ' order by a.attnum)
        filter (where has_column_privilege('authenticated', p_table, a.attnum, 'insert')),
      string_agg(quote_ident(a.attname), ', ' order by a.attnum)
        filter (where has_column_privilege('authenticated', p_table, a.attnum, 'update')
          and a.attname <> p_subject_column)
    into v_inserts, v_updates
    from pg_catalog.pg_attribute as a
    where a.attrelid = p_table
      and a.attnum > 0
      and not a.attisdropped
      and a.attgenerated = ''
      and a.attname <> all (v_sources);
  raise exception 'follow_plan: % may write column % of %, and would choose their own plan',
    array_to_string(v_writers, ' and '), quote_ident(p_plan_column), p_table
    using errcode = '42501',
      hint = case when v_grantees is null
        then 'they belong to the owner of the table: take them out of that role'
        else concat_ws(' ',
          format('revoke insert, update on %s from %s;', v_tables, v_grantees),
          'grant ' || nullif(concat_ws(', ',
            'insert (' || v_inserts || ')', 'update (' || v_updates || ')'
          ), '') || format(' on %s to authenticated;', p_table),
          'or follow_plan(…, p_users_may_write => true), where they may choose'
        ) end;
end
$$;

comment on function quota.refuse_plan_writers is
  'Errors: 42501 anon or authenticated may write the plan column; the hint has the statements that end it.';

-- Who of the API's users may write what the plan is read from: by a grant on the table or on a column, to
-- them, to public or to a role that they belong to, on the table or on a partition of it.
create function quota.plan_writers(
  p_table regclass,
  p_plan_column name
)
returns name[]
language plpgsql stable security invoker set search_path = pg_catalog, pg_temp
as $$
begin
  return array(
    select r.rolname
    from pg_catalog.pg_roles as r
    where r.rolname in ('anon', 'authenticated')
      and exists (
        select from pg_catalog.pg_class as c
        join pg_catalog.pg_attribute as a on a.attrelid = c.oid
        where (
            c.oid = p_table
            or c.oid in (select t.relid from pg_catalog.pg_partition_tree(p_table) as t)
          )
          and a.attname = any (quota.plan_sources(p_table, p_plan_column))
          and not a.attisdropped
          and has_column_privilege(r.oid, c.oid, a.attnum, 'insert, update')
      )
    order by r.rolname
  );
end
$$;

comment on function quota.plan_writers is
  'Which of anon and authenticated may insert or update the plan column of a table, or a column that it is generated from.';

-- A generated column is written by whoever writes those that it is generated from.
create function quota.plan_sources(
  p_table regclass,
  p_plan_column name
)
returns name[]
language plpgsql stable security invoker set search_path = pg_catalog, pg_temp
as $$
begin
  return array(
    select p_plan_column
    union
    select s.attname
    from pg_catalog.pg_attribute as a
    left join pg_catalog.pg_attrdef as g on g.adrelid = a.attrelid and g.adnum = a.attnum
    join pg_catalog.pg_depend as d on d.refclassid = 'pg_class'::regclass
      and d.refobjid = a.attrelid
      and (
        (d.classid = 'pg_attrdef'::regclass and d.objid = g.oid)
        or (d.classid = 'pg_class'::regclass and d.objid = a.attrelid and d.objsubid = a.attnum)
      )
    join pg_catalog.pg_attribute as s on s.attrelid = a.attrelid and s.attnum = d.refobjsubid
    where a.attrelid = p_table
      and a.attname = p_plan_column
      and a.attgenerated <> ''
  );
end
$$;

comment on function quota.plan_sources is
  'The plan column and, if it is generated, the columns that it is generated from.';

-- For verify_installation(): a right on the table is a right on each column, so it is taken from the table
-- and its partitions, and given for the other columns.
create function quota.plan_statement(
  p_table regclass,
  p_plan_column name
)
returns text
language plpgsql stable security invoker set search_path = pg_catalog, pg_temp
as $$
begin
  return (
    select string_agg(
      concat_ws(
        E'\n',
        format('revoke insert, update on %s from public, anon, authenticated;', c.oid::regclass),
        (
          select string_agg(
            format('grant %s (%s) on %s to %s;', g.privilege, g.columns, c.oid::regclass, g.role), E'\n'
            order by g.role, g.privilege
          )
          from (
            select r.role, x.privilege,
              string_agg(quote_ident(a.attname), ', ' order by a.attnum) as columns
            from (
              select o.rolname as role
              from pg_catalog.pg_roles as o
              where o.rolname in ('anon', 'authenticated')
                and not o.rolsuper
            ) as r
            cross join unnest(array['insert', 'update']) as x (privilege)
            join pg_catalog.pg_attribute as a on a.attrelid = c.oid and a.attnum > 0
            where not a.attisdropped
              and a.attgenerated = ''
              and a.attname <> all (quota.plan_sources(p_table, p_plan_column))
              and has_column_privilege(r.role, c.oid, a.attnum, x.privilege)
            group by r.role, x.privilege
          ) as g
        )
      ), E'\n' order by c.oid::regclass::text collate "C"
    )
    from pg_catalog.pg_class as c
    where c.oid = p_table
      or c.oid in (select t.relid from pg_catalog.pg_partition_tree(p_table) as t)
  );
end
$$;

comment on function quota.plan_statement is
  'SQL text after which users of the API may write every column that they could, but for the plan column.';
