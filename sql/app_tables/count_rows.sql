create function quota.count_rows()
returns trigger
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp set lock_timeout = '2s' set plan_cache_mode = force_generic_plan
as $$
declare
  v_queries text[] := '{}';
  v_features text[] := '{}';
  v_subject_columns text[] := '{}';
  v_amount_columns text[] := '{}';
  v_from text := case tg_op
    when 'INSERT' then 'new_rows' when 'TRUNCATE' then tg_relid::regclass::text else 'old_rows'
  end;
  v_types regtype[];
  v_amount_column text;
  v_subject_id text;
  v_feature_id text;
  v_change numeric;
  v_is_wrong boolean;
  v_caller quota.caller;
  v_now timestamptz;
  v_decision public.usage_decision;
  v_metadata jsonb;
begin
  for i in 0 .. tg_nargs - 1 by 3 loop
    v_features := v_features || tg_argv[i];
    v_amount_column := nullif(tg_argv[i + 2], '');
    v_subject_columns := v_subject_columns || tg_argv[i + 1];
    v_amount_columns := array_remove(v_amount_columns || v_amount_column, null);
    if tg_op in ('UPDATE', 'DELETE') then
      v_queries := v_queries || quota.rows_query(
        'old_rows', '-', tg_argv[i], tg_argv[i + 1], v_amount_column
      );
    end if;
    if tg_op in ('INSERT', 'UPDATE') then
      v_queries := v_queries || quota.rows_query(
        'new_rows', '', tg_argv[i], tg_argv[i + 1], v_amount_column
      );
    end if;
    if tg_op = 'TRUNCATE' then
      -- Before the rows are gone.
      v_queries := v_queries || quota.rows_query(
        tg_relid::regclass::text, '-', tg_argv[i], tg_argv[i + 1], v_amount_column
      );
    end if;
  end loop;

  -- Its policies are code of the table's owner as well.
  if tg_op = 'TRUNCATE' and row_security_active(tg_relid) then
    raise exception 'the owner of schema quota cannot read all of %', tg_relid::regclass
      using errcode = '42501', hint = 'do not force row security on it, or call quota.unlimit_table()';
  end if;
  execute quota.types_query(v_from, v_subject_columns || v_amount_columns) into v_types;
  perform quota.check_ids(
    tg_relid, v_subject_columns, v_types[:cardinality(v_subject_columns)]
  );
  perform quota.check_amounts(
    tg_relid, v_amount_columns, v_types[cardinality(v_subject_columns) + 1:]
  );

  -- Subjects in byte order, as everybody locks them.
  for v_subject_id, v_feature_id, v_change, v_is_wrong in execute format(
    'select r.subject_id, r.feature_id, sum(r.change), bool_or(r.is_wrong)
     from (%s) as r
     group by r.subject_id, r.feature_id
     having sum(r.change) <> 0 or bool_or(r.is_wrong)
     order by r.subject_id collate "C", r.feature_id collate "C"',
    array_to_string(v_queries, ' union all ')
  ) loop
    if v_is_wrong and tg_op in ('INSERT', 'UPDATE')
      or abs(v_change) > 9007199254740991
    then
      raise exception 'the amount column of % holds what is not a whole number from 0 to 9007199254740991',
        tg_relid::regclass
        using errcode = 'QAMNT', hint = 'count fractional amounts in micro-units';
    end if;
    if length(v_subject_id) not between 1 and 255 then
      raise exception 'the subject column of % holds an id of % characters, 1 to 255 are allowed',
        tg_relid::regclass, length(v_subject_id)
        using errcode = 'QSUBJ', hint = 'null is a row that counts for nobody';
    end if;
    -- A subject that was forgotten stays forgotten when its rows go, too.
    continue when v_change < 0 and not exists (
      select from quota.meters as m
      where m.subject_id = v_subject_id
        and m.feature_id = v_feature_id
    );

    v_metadata := coalesce(v_metadata, jsonb_build_object('table', tg_relid::regclass::text));
    if v_subject_id is distinct from v_caller.subject_id then
      v_caller := row(v_subject_id, true, nullif(quota.user_id(), v_subject_id))::quota.caller;
      v_now := null;
      -- All at once: a meter that is made while another is held could meet set_plan() crosswise.
      if cardinality(v_features) > 1 then
        v_now := quota.lock_meters(v_subject_id, v_features);
      end if;
    end if;
    if v_change > 0 then
      v_decision := quota.take_plainly(
        v_caller, v_feature_id, v_change::bigint, 'table', null, null, v_metadata
      );
      if v_decision.allowed is not null then
        perform quota.enforce(v_decision);
        continue;
      end if;
    end if;
    v_now := coalesce(v_now, quota.lock_meter(v_subject_id, v_feature_id));
    if v_change > 0 then
      perform quota.enforce(
        quota.take(
          v_caller, v_feature_id, v_change::bigint, v_now, 'table', null, null, null,
          v_metadata
        )
      );
    else
      perform quota.put_back(
        v_caller, v_feature_id, -v_change::bigint, v_now, 'table', null, null, v_metadata
      );
    end if;
  end loop;
  return null;
end
$$;

comment on function quota.count_rows is
  'Trigger of limit_table(): counts the rows of a statement, and raises PT402 when they do not fit. Arguments, for each gauge: feature, subject column, amount column or nothing.';
