-- What a document of use that was counted elsewhere says, row by row, and what is wrong with it.

create function quota.import_rows(
  p_rows jsonb,
  p_at timestamptz
)
returns setof quota.import_row
language plpgsql stable security invoker set search_path = pg_catalog, pg_temp
as $$
declare
  v_in_tables text[] := array(select t.feature_id from quota.limited_tables as t);
  v_named text[] := array(
    select distinct d.value ->> 'subject' from jsonb_array_elements(p_rows) as d (value)
  );
  v_merged text[] := array(
    select g.subject_id from quota.merges as g where g.subject_id = any (v_named)
  );
  v_subject_ids text[];
  v_anchors timestamptz[];
  v_zones text[];
begin
  select array_agg(s.subject_id), array_agg(s.anchor_at), array_agg(s.time_zone)
    into v_subject_ids, v_anchors, v_zones
    from quota.subjects as s
    where s.subject_id = any (v_named);
  -- In lock order, so that two imports do not meet crosswise.
  return query
    select
      i.place::integer, i.subject_id, i.feature_id,
      case when p.problem is null then (i.value ->> 'amount')::numeric::bigint end,
      i.counts_at, i.metadata,
      quota.import_key(i.feature_id, i.counts_at, i.actor),
      case when p.problem is not null then 'reject' end,
      p.problem, i.actor
    from (
      select d.place, d.value, d.value ->> 'subject' as subject_id, d.value ->> 'feature' as feature_id,
        quota.instant_from(d.value ->> 'period_start') as counts_at,
        coalesce(nullif(d.value -> 'metadata', 'null'), '{}') as metadata,
        nullif(d.value ->> 'actor', d.value ->> 'subject') as actor
      from jsonb_array_elements(p_rows) with ordinality as d (value, place)
      offset 0
    ) as i
    left join unnest(v_subject_ids, v_anchors, v_zones) as s (subject_id, anchor_at, time_zone)
      on s.subject_id = i.subject_id
    left join quota.features as f on f.feature_id = i.feature_id
    cross join lateral (
      select coalesce(
        quota.import_problem(i.value, i.counts_at, i.metadata, p_at),
        case
          when i.subject_id = any (v_merged)
            then 'the subject was merged into an account: name that one'
          when f.feature_id is null
            then 'unknown feature; features come from the plan document'
          when f.kind in ('switch', 'value')
            then 'a switch or value, which is not counted'
          when f.feature_id = any (v_in_tables)
            then 'rows of a table limited by limit_table() count this gauge already'
          when i.value ? 'period'
            then quota.period_problem(
              i.value ->> 'period', i.counts_at, s.anchor_at, coalesce(s.time_zone, 'UTC')
            )
        end
      ) as problem
      -- Else it would be asked three times.
      offset 0
    ) as p
    order by i.subject_id collate "C", i.feature_id collate "C", i.counts_at, i.place;
end
$$;

comment on function quota.import_rows is
  'The rows of the document in lock order, each with its problem or null.';

create function quota.import_problem(
  p_row jsonb,
  p_counts_at timestamptz,
  p_metadata jsonb,
  p_at timestamptz
)
returns text
language plpgsql immutable security invoker set search_path = pg_catalog, pg_temp
as $$
begin
  return case
    when jsonb_typeof(p_row) <> 'object'
      then 'not an object'
    when p_row - array['subject', 'feature', 'amount', 'period', 'period_start', 'metadata', 'actor'] <> '{}'
      then 'other keys than subject, feature, amount, period, period_start, metadata and actor'
    when jsonb_typeof(p_row -> 'subject') not in ('string', 'number')
        or coalesce(length(p_row ->> 'subject'), 0) not between 1 and 255
        or strpos(p_row ->> 'subject', chr(31)) > 0
      then 'subject is missing, empty, over 255 characters or no text, or has a unit separator in it'
    when jsonb_typeof(p_row -> 'actor') not in ('string', 'number', 'null')
        or length(p_row ->> 'actor') not between 1 and 255
        or strpos(p_row ->> 'actor', chr(31)) > 0
      then 'actor is empty, over 255 characters or no text, or has a unit separator in it'
    when not quota.is_whole(p_row -> 'amount', 0)
      then 'amount is not a whole number from 0 to 9007199254740991'
    when p_counts_at is null
      then 'period_start is not an instant such as 2026-11-01T00:00:00Z'
    when p_counts_at > p_at
      then 'period_start lies in the future'
    when p_counts_at < '1000-01-01 00:00+00'
      then 'period_start lies before the year 1000'
    when p_row ? 'period'
      and (
        quota.period_rank(p_row ->> 'period') is null
        or p_row ->> 'period' = 'lifetime'
        or p_row ->> 'period' like '% %'
      )
      then 'period is not minute, hour, day, week, month or year'
    when jsonb_typeof(p_metadata) <> 'object' or octet_length(p_metadata::text) > 8192
      then 'metadata is not an object, or over 8 kB'
  end;
end
$$;

comment on function quota.import_problem is 'What is wrong with a row, whatever the catalogue says.';

-- A month of the old table that is none of the subject's would land in two of its months, or another.
create function quota.period_problem(
  p_period text,
  p_counts_at timestamptz,
  p_anchor_at timestamptz,
  p_time_zone text
)
returns text
language plpgsql stable security invoker set search_path = pg_catalog, pg_temp
as $$
declare
  v_period_start constant timestamptz := (
    quota.period_of(p_period, p_counts_at, p_anchor_at, p_time_zone)
  ).period_start;
begin
  if v_period_start = p_counts_at then
    return null;
  end if;
  return format(
    'no %s of this subject begins at period_start; the one that holds it begins at %s; set its anchor and zone with set_plan first, or leave period out',
    p_period, to_char(v_period_start at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"Z"')
  );
end
$$;

comment on function quota.period_problem is
  'Null: a period of the subject begins at this instant.';

-- Longer than a caller's key may be, so that nobody can take it before. A long feature is hashed: rpad
-- would cut what follows it, and with it the month.
create function quota.import_key(
  p_feature_id text,
  p_counts_at timestamptz,
  p_actor text
)
returns text
language plpgsql immutable security invoker set search_path = pg_catalog, pg_temp
as $$
begin
  return rpad(
    concat_ws(
      '/', 'import',
      case
        when length(p_feature_id) <= 150 then p_feature_id
        else encode(sha256(convert_to(p_feature_id, 'UTF8')), 'hex')
      end,
      extract(epoch from p_counts_at),
      -- Not by its name, which may have to be forgotten.
      encode(sha256(convert_to(p_actor, 'UTF8')), 'hex')
    ),
    256, '/'
  );
end
$$;

comment on function quota.import_key is
  'The key by which a row is known when it is brought in again.';

create function quota.instant_from(p_text text)
returns timestamptz
language plpgsql immutable strict security invoker
set search_path = pg_catalog, pg_temp set timezone = 'UTC'
as $$
begin
  if p_text !~ '^\d{4}-\d\d-\d\d([T ]\d\d:\d\d(:\d\d(\.\d+)?)?(Z|[+-]\d\d(:?\d\d)?)?)?$' then
    return null;
  end if;
  return p_text::timestamptz;
exception
  when datetime_field_overflow or invalid_datetime_format or invalid_time_zone_displacement_value then
    return null;
end
$$;

comment on function quota.instant_from is
  'The instant of an ISO 8601 text, in UTC where it names no offset; null when it is none.';
