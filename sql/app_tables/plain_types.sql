-- What an app's table holds is read and turned into text with the rights of the owner of schema quota,
-- and its own owner may change a column's type at any time. A cast from a type of theirs is a function
-- of theirs: so the types are asked for first, at each reading. By the parser, which knows the table as
-- it is now; a snapshot of the catalogue may be older than that. Nothing of the columns is evaluated.
create function quota.types_query(
  p_from text,
  p_columns text[]
)
returns text
language plpgsql immutable security invoker set search_path = pg_catalog, pg_temp
as $$
begin
  return format(
    'select array[%s]::regtype[] from (values (1)) as one (n) left join %s as t on false',
    (
      select string_agg(format('pg_typeof(t.%I)', c.name), ', ' order by c.ordinality)
      from unnest(p_columns) with ordinality as c (name, ordinality)
    ),
    p_from
  );
end
$$;

comment on function quota.types_query is 'SQL text: the types of these columns, one array.';

-- Equal values have to have one spelling, too: 7 and 7.0, 'a' and 'A' of citext would each have a limit
-- of its own.
create function quota.has_plain_types(
  p_table regclass,
  p_columns text[],
  p_types regtype[]
)
returns boolean
language plpgsql stable security invoker set search_path = pg_catalog, pg_temp
as $$
begin
  return p_types <@ array[
      'text', 'character varying', 'uuid', 'smallint', 'integer', 'bigint'
    ]::regtype[]
    and not exists (
      select from pg_catalog.pg_attribute as a
      join pg_catalog.pg_collation as c on c.oid = a.attcollation
      where a.attrelid = p_table
        and a.attname = any (p_columns)
        and not c.collisdeterministic
    );
end
$$;

comment on function quota.has_plain_types is
  'True for columns of built-in types whose equal values have one spelling.';

create function quota.check_ids(
  p_table regclass,
  p_columns text[],
  p_types regtype[]
)
returns void
language plpgsql stable security invoker set search_path = pg_catalog, pg_temp
as $$
begin
  if quota.has_plain_types(p_table, p_columns, p_types) is not true then
    raise exception 'a column of % cannot hold ids: % of type %',
      p_table, array_to_string(p_columns, ', '), array_to_string(p_types, ', ')
      using errcode = '22023',
        hint = 'text, varchar, uuid, smallint, integer or bigint can, with a deterministic collation; another type becomes text in a stored generated column';
  end if;
end
$$;

comment on function quota.check_ids is
  'Errors: 22023 a type of somebody''s own, or one whose equal values have several spellings.';

create function quota.has_number_types(p_types regtype[])
returns boolean
language plpgsql immutable security invoker set search_path = pg_catalog, pg_temp
as $$
begin
  return p_types <@ array['smallint', 'integer', 'bigint', 'numeric']::regtype[];
end
$$;

comment on function quota.has_number_types is 'True for built-in types of whole amounts.';

create function quota.check_amounts(
  p_table regclass,
  p_columns text[],
  p_types regtype[]
)
returns void
language plpgsql stable security invoker set search_path = pg_catalog, pg_temp
as $$
begin
  if quota.has_number_types(p_types) is not true then
    raise exception 'an amount column of % is not a whole number: % of type %',
      p_table, array_to_string(p_columns, ', '), array_to_string(p_types, ', ')
      using errcode = '22023', hint = 'an amount is smallint, integer, bigint or numeric';
  end if;
end
$$;

comment on function quota.check_amounts is 'Errors: 22023 a type of somebody''s own, or no number.';

-- The query for subject, gauge, signed change and whether the amount is none, of each row.
create function quota.rows_query(
  p_from text,
  p_sign text,
  p_feature_id text,
  p_subject_column text,
  p_amount_column text
)
returns text
language plpgsql immutable security invoker set search_path = pg_catalog, pg_temp
as $$
begin
  return format(
    case when p_amount_column is null
      then 'select %1$I::text collate "C" as subject_id, %2$L as feature_id, %3$s1 as change, false as is_wrong'
      else 'select %1$I::text collate "C" as subject_id, %2$L as feature_id, %3$scoalesce(%4$I, 0) as change, %4$I < 0 or %4$I %% 1 <> 0 as is_wrong'
    end || ' from %5$s where %1$I is not null',
    p_subject_column, p_feature_id, p_sign, p_amount_column, p_from
  );
end
$$;

comment on function quota.rows_query is
  'SQL text: subject_id, feature_id, signed change and is_wrong (negative or a fraction) of each row that has a subject.';
