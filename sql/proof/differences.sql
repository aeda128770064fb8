-- What differs in an object that the release has and the database has too.
create function quota.differences(
  p_kind text,
  p_object text,
  p_wanted jsonb,
  p_found jsonb
)
returns setof quota.finding
language plpgsql stable security invoker set search_path = pg_catalog, pg_temp
as $$
declare
  -- Of the app, when it has a membership table of its own; its search path and rights are looked at.
  v_is_own constant boolean := p_wanted ->> 'name' in (
    'quota.acts_for', 'quota.subjects_of', 'quota.sees_members'
  );
  v_key text;
  v_finding quota.finding;
begin
  for v_key in
    select k from jsonb_object_keys(p_wanted) as k
    where p_wanted -> k is distinct from p_found -> k
    order by k = 'rights', k
  loop
    continue when v_is_own and (
      v_key not in ('rights', 'settings', 'signature')
      or v_key = 'settings' and p_found ->> 'settings' like '%"search\_path=%'
    );
    v_finding := case
      when v_key = 'rights' then quota.other_rights(p_kind, p_object, p_wanted, p_found)
      when v_key = 'is_owned' then quota.other_owner(p_kind, p_object)
      when p_kind = 'function' and v_is_own and v_key = 'settings' then quota.no_search_path(p_object)
      when p_kind = 'function' then quota.other_function(p_object, v_key, p_wanted, p_found)
      when p_kind = 'column' then quota.other_column(v_key, p_wanted, p_found)
      when p_kind in ('constraint', 'index', 'policy')
        then quota.other_attachment(p_kind, p_object, v_key, p_wanted, p_found)
      else quota.other_relation(p_object, v_key, p_wanted)
    end;
    if v_finding.problem is not null then
      v_finding.object := concat_ws(' ', p_kind, p_object);
      return next v_finding;
    end if;
  end loop;
end
$$;

comment on function quota.differences is
  'What is wrong with an object, given what the release says of it and what the database does.';

create function quota.other_rights(
  p_kind text,
  p_object text,
  p_wanted jsonb,
  p_found jsonb
)
returns quota.finding
language plpgsql stable security invoker set search_path = pg_catalog, pg_temp
as $$
begin
  return row(
    60, null,
    'its rights are not those of the release: ' || concat_ws(
      '; ',
      (
        select string_agg(r, ', ') || ' should not be'
        from jsonb_array_elements_text(p_found -> 'rights') as r
        where not p_wanted -> 'rights' ? r
      ),
      (
        select string_agg(r, ', ') || ' is lacking'
        from jsonb_array_elements_text(p_wanted -> 'rights') as r
        where not p_found -> 'rights' ? r
      )
    ),
    quota.rights_statement(p_kind, p_object, p_wanted -> 'rights'), true
  )::quota.finding;
end
$$;

comment on function quota.other_rights is 'Rights too many, or too few.';

create function quota.other_owner(
  p_kind text,
  p_object text
)
returns quota.finding
language plpgsql stable security invoker set search_path = pg_catalog, pg_temp
as $$
declare
  v_owner constant regrole := (
    select n.nspowner from pg_catalog.pg_namespace as n where n.nspname = 'quota'
  );
begin
  return row(
    50, null, format('it belongs to another role than %s, the owner of schema quota', v_owner),
    format('alter %s %s owner to %s;', p_kind, p_object, v_owner), false
  )::quota.finding;
end
$$;

comment on function quota.other_owner is 'It does not belong to the owner of schema quota.';

-- Of a function that the app has put in our place.
create function quota.no_search_path(p_object text)
returns quota.finding
language plpgsql stable security invoker set search_path = pg_catalog, pg_temp
as $$
begin
  return row(
    20, null, 'it has no search_path: objects of a caller may stand in for those it means',
    format('alter function %s set search_path = pg_catalog, pg_temp;', p_object), false
  )::quota.finding;
end
$$;

comment on function quota.no_search_path is 'A function of the app that a caller could mislead.';

create function quota.other_function(
  p_object text,
  p_key text,
  p_wanted jsonb,
  p_found jsonb
)
returns quota.finding
language plpgsql stable security invoker set search_path = pg_catalog, pg_temp
as $$
declare
  v_release constant text := quota.version();
begin
  return case
    when p_key = 'body' then row(
      20, null, format('its body is not that of release %s', v_release), null, false
    )::quota.finding
    when p_key in ('signature', 'language') then row(
      20, null,
      format('it is %s, in release %s it is %s', p_found ->> p_key, v_release, p_wanted ->> p_key),
      null, false
    )::quota.finding
    when p_key = 'options' then row(
      30, null, format('it is %s, and should be %s', p_found ->> p_key, p_wanted ->> p_key),
      format('alter function %s %s;', p_object, p_wanted ->> p_key), false
    )::quota.finding
    when p_key = 'settings' then row(
      30, null, format('its settings are %s, and should be %s', p_found -> p_key, p_wanted -> p_key),
      (
        select format('alter function %s reset all;', p_object) || string_agg(
          format(
            E'\nalter function %s set %s = %s;', p_object, split_part(s, '=', 1),
            case when s like 'search\_path=%'
              then split_part(s, '=', 2) else quote_literal(split_part(s, '=', 2)) end
          ), ''
        )
        from jsonb_array_elements_text(p_wanted -> p_key) as s
      ), false
    )::quota.finding
  end;
end
$$;

comment on function quota.other_function is 'Body, signature, options or settings of a function.';
