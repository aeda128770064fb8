-- What differs in tables, views and types, their columns, and what hangs on them.

create function quota.other_relation(
  p_object text,
  p_key text,
  p_wanted jsonb
)
returns quota.finding
language plpgsql stable security invoker set search_path = pg_catalog, pg_temp
as $$
begin
  return case p_key
    when 'settings' then row(
      40, null,
      'it lost security_invoker, or has another option: it shows everybody''s rows to every reader',
      format(
        E'alter view %1$s reset (security_barrier, security_invoker, check_option);\nalter view %1$s set (%2$s);',
        p_object,
        (select string_agg(s, ', ') from jsonb_array_elements_text(p_wanted -> p_key) as s)
      ), false
    )::quota.finding
    when 'query' then row(
      25, null, format('its query is not that of release %s', quota.version()), null, false
    )::quota.finding
    when 'is_secured' then row(
      20, null, 'row level security is off: every reader sees everybody''s rows',
      format('alter table %s enable row level security;', p_object), false
    )::quota.finding
    when 'is_logged' then row(
      20, null, 'it is unlogged: a crash empties it',
      format('alter table %s set logged;', p_object), false
    )::quota.finding
    when 'is_checked' then row(
      20, null, 'the triggers of its foreign keys are disabled',
      format('alter table %s enable trigger all;', p_object), false
    )::quota.finding
  end;
end
$$;

comment on function quota.other_relation is 'Options, query or state of a table, view or type.';

create function quota.other_column(
  p_key text,
  p_wanted jsonb,
  p_found jsonb
)
returns quota.finding
language plpgsql stable security invoker set search_path = pg_catalog, pg_temp
as $$
declare
  v_column constant text := format('alter table %s alter column %s ', p_wanted ->> 'on', p_wanted ->> 'name');
begin
  return case p_key
    when 'is_required' then row(
      20, null,
      case when (p_wanted ->> p_key)::boolean
        then 'it may be null, and should not' else 'it may not be null, and should' end,
      v_column || case when (p_wanted ->> p_key)::boolean then 'set' else 'drop' end || ' not null;',
      false
    )::quota.finding
    when 'default' then row(
      20, null,
      format(
        'its default is %s, and should be %s',
        coalesce(p_found ->> p_key, 'none'), coalesce(p_wanted ->> p_key, 'none')
      ),
      v_column || coalesce('set default ' || (p_wanted ->> p_key), 'drop default') || ';', false
    )::quota.finding
    when 'type' then row(
      20, null, format('its type is %s, and should be %s', p_found ->> p_key, p_wanted ->> p_key), null,
      false
    )::quota.finding
  end;
end
$$;

comment on function quota.other_column is 'Type, default or not null of a column.';

create function quota.other_attachment(
  p_kind text,
  p_object text,
  p_key text,
  p_wanted jsonb,
  p_found jsonb
)
returns quota.finding
language plpgsql stable security invoker set search_path = pg_catalog, pg_temp
as $$
declare
  v_differs constant text := format('it is %s, and should be %s', p_found ->> p_key, p_wanted ->> p_key);
begin
  return case
    when p_kind = 'constraint' and p_key = 'text' then row(
      13, null, v_differs,
      format(
        E'alter table %1$s drop constraint %2$s;\nalter table %1$s add constraint %2$s %3$s;',
        p_wanted ->> 'on', p_wanted ->> 'name', p_wanted ->> p_key
      ), false
    )::quota.finding
    when p_kind = 'index' and p_key in ('text', 'is_valid') then row(
      14, null,
      case p_key when 'text' then v_differs else 'it is not valid: a build of it failed' end,
      format(E'drop index %s;\n%s;', p_object, p_wanted ->> 'text'), false
    )::quota.finding
    when p_kind = 'policy' and p_key = 'text' then row(
      20, null, v_differs,
      format(
        E'drop policy %1$s on %2$s;\ncreate policy %1$s on %2$s %3$s;',
        p_wanted ->> 'name', p_wanted ->> 'on', p_wanted ->> p_key
      ), false
    )::quota.finding
  end;
end
$$;

comment on function quota.other_attachment is 'The text of a constraint, index or policy.';
