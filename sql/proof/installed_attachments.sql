-- What hangs on our tables: constraints, indexes, policies, triggers and rules.

-- Not null is looked at with the columns; Postgres 18 has constraints of it.
create function quota.installed_constraints()
returns table (kind text, object text, definition jsonb)
language plpgsql stable security invoker set search_path = pg_catalog, pg_temp
as $$
begin
  return query
    select
      'constraint',
      format('%I on %s', o.conname, o.conrelid::regclass),
      jsonb_build_object(
        'on', o.conrelid::regclass::text,
        'name', quote_ident(o.conname),
        'text', pg_get_constraintdef(o.oid)
      )
    from pg_catalog.pg_constraint as o
    join pg_catalog.pg_class as c on c.oid = o.conrelid
    where c.relnamespace = 'quota'::regnamespace
      and c.relkind in ('r', 'p')
      and o.contype in ('c', 'f', 'p', 'u', 'x');
end
$$;

comment on function quota.installed_constraints is
  'Constraints of our tables.';

create function quota.installed_indexes()
returns table (kind text, object text, definition jsonb)
language plpgsql stable security invoker set search_path = pg_catalog, pg_temp
as $$
begin
  return query
    select 'index', i.indexrelid::regclass::text, jsonb_build_object(
      'on', i.indrelid::regclass::text,
      'is_unique', i.indisunique,
      'is_valid', i.indisvalid and i.indisready and i.indislive,
      'text', pg_get_indexdef(i.indexrelid)
    )
    from pg_catalog.pg_index as i
    join pg_catalog.pg_class as c on c.oid = i.indrelid
    where c.relnamespace = 'quota'::regnamespace
      and c.relkind in ('r', 'p')
      and not exists (select from pg_catalog.pg_constraint as o where o.conindid = i.indexrelid);
end
$$;

comment on function quota.installed_indexes is
  'Indexes that no constraint made.';

create function quota.installed_policies()
returns table (kind text, object text, definition jsonb)
language plpgsql stable security invoker set search_path = pg_catalog, pg_temp
as $$
begin
  return query
    select
      'policy',
      format('%I on %s', y.polname, y.polrelid::regclass),
      jsonb_build_object(
        'on', y.polrelid::regclass::text,
        'name', quote_ident(y.polname),
        'text', concat_ws(
          ' ',
          'as', case when y.polpermissive then 'permissive' else 'restrictive' end,
          'for', case y.polcmd
            when 'r' then 'select' when 'a' then 'insert' when 'w' then 'update' when 'd' then 'delete'
            else 'all'
          end,
          'to', (
            select string_agg(
              case u.id when 0 then 'public' else u.id::regrole::text end, ', '
              order by u.id::regrole::text collate "C"
            )
            from unnest(y.polroles) as u (id)
          ),
          'using (' || pg_get_expr(y.polqual, y.polrelid) || ')',
          'with check (' || pg_get_expr(y.polwithcheck, y.polrelid) || ')'
        )
      )
    from pg_catalog.pg_policy as y
    join pg_catalog.pg_class as c on c.oid = y.polrelid
    where c.relnamespace = 'quota'::regnamespace;
end
$$;

comment on function quota.installed_policies is
  'Policies of our tables.';

-- We have none on our own tables.
create function quota.installed_triggers()
returns table (kind text, object text, definition jsonb)
language plpgsql stable security invoker set search_path = pg_catalog, pg_temp
as $$
begin
  return query
    select 'trigger', format('%I on %s', t.tgname, t.tgrelid::regclass), jsonb_build_object(
      'on', t.tgrelid::regclass::text
    )
    from pg_catalog.pg_trigger as t
    join pg_catalog.pg_class as c on c.oid = t.tgrelid
    where c.relnamespace = 'quota'::regnamespace
      and not t.tgisinternal
    union all
    select 'rule', format('%I on %s', w.rulename, w.ev_class::regclass), jsonb_build_object(
      'on', w.ev_class::regclass::text
    )
    from pg_catalog.pg_rewrite as w
    join pg_catalog.pg_class as c on c.oid = w.ev_class
    where c.relnamespace = 'quota'::regnamespace
      and w.rulename <> '_RETURN';
end
$$;

comment on function quota.installed_triggers is
  'Triggers and rules on our tables.';
