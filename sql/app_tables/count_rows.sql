create type quota.row_change as (
  subject_id text,
  feature_id text,
  change numeric,
  is_wrong boolean
);

comment on type quota.row_change is 'What a statement did to the rows of one subject, in units of a gauge.';

create function quota.count_rows()
returns trigger
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp set lock_timeout = '2s' set plan_cache_mode = force_generic_plan
as $$
declare
  v_from text := case tg_op
    when 'INSERT' then 'new_rows' when 'TRUNCATE' then tg_relid::regclass::text else 'old_rows'
  end;
  -- By threes, for each gauge: feature, subject column, amount column or nothing.
  v_features text[] := array(select tg_argv[i] from generate_series(0, tg_nargs - 1, 3) as i);
  v_ids text[] := array(select tg_argv[i] from generate_series(1, tg_nargs - 1, 3) as i);
  v_amounts text[] := array(
    select tg_argv[i] from generate_series(2, tg_nargs - 1, 3) as i where tg_argv[i] <> ''
  );
  v_types regtype[];
  v_changes quota.row_change[];
  v_change quota.row_change;
  v_caller quota.caller;
  v_now timestamptz;
begin
  -- Its policies are code of the table's owner as well.
  if tg_op = 'TRUNCATE' and row_security_active(tg_relid) then
    raise exception 'the owner of schema quota cannot read all of %', tg_relid::regclass
      using errcode = '42501', hint = 'do not force row security on it, or call quota.unlimit_table()';
  end if;
  execute quota.types_query(v_from, v_ids || v_amounts) into v_types;
  perform quota.check_ids(tg_relid, v_ids, v_types[:cardinality(v_ids)]);
  perform quota.check_amounts(tg_relid, v_amounts, v_types[cardinality(v_ids) + 1:]);

  -- Subjects in byte order, as everybody locks them.
  execute format(
    'select array_agg(
       row(c.subject_id, c.feature_id, c.change, c.is_wrong)::quota.row_change
       order by c.subject_id collate "C", c.feature_id collate "C"
     )
     from (
       select r.subject_id, r.feature_id, sum(r.change) as change, bool_or(r.is_wrong) as is_wrong
       from (%s) as r
       group by r.subject_id, r.feature_id
       having sum(r.change) <> 0 or bool_or(r.is_wrong)
     ) as c',
    quota.changes_query(tg_op, tg_relid::regclass::text, tg_argv)
  ) into v_changes;
  if v_changes[1].subject_id <> v_changes[cardinality(v_changes)].subject_id then
    perform quota.lock_families(v_changes, v_features);
  end if;
  foreach v_change in array coalesce(v_changes, '{}') loop
    perform quota.check_change(
      tg_relid, v_change.subject_id, v_change.change,
      v_change.is_wrong and tg_op in ('INSERT', 'UPDATE')
    );
    -- A subject that was forgotten stays forgotten when its rows go, too.
    continue when v_change.change < 0 and not exists (
      select from quota.meters as m
      where m.subject_id = v_change.subject_id
        and m.feature_id = v_change.feature_id
    );
    if v_change.subject_id is distinct from v_caller.subject_id then
      v_caller := row(
        v_change.subject_id, true, nullif(quota.user_id(), v_change.subject_id)
      )::quota.caller;
      v_now := null;
      -- All at once: a meter that is made while another is held could meet set_plan() crosswise.
      if cardinality(v_features) > 1 then
        v_now := quota.lock_levels(v_change.subject_id, v_features);
      end if;
    end if;
    perform quota.count_change(
      v_caller, v_change.feature_id, v_change.change::bigint, v_now, tg_relid
    );
  end loop;
  return null;
end
$$;

comment on function quota.count_rows is
  'Trigger of limit_table(): counts the rows of a statement, and raises PT402 when they do not fit. Arguments, for each gauge: feature, subject column, amount column or nothing.';

-- What a statement did to the rows, as a query of amounts by subject and feature.
create function quota.changes_query(
  p_operation text,
  p_table text,
  p_arguments text[]
)
returns text
language plpgsql stable security invoker set search_path = pg_catalog, pg_temp
as $$
begin
  return (
    select string_agg(
      quota.rows_query(
        r.name, r.sign, p_arguments[i], p_arguments[i + 1], nullif(p_arguments[i + 2], '')
      ), ' union all '
    )
    from generate_series(array_lower(p_arguments, 1), array_upper(p_arguments, 1), 3) as i
    -- A truncate is looked at before the rows are gone.
    join (values
      ('UPDATE', 'old_rows', '-'), ('DELETE', 'old_rows', '-'), ('INSERT', 'new_rows', ''),
      ('UPDATE', 'new_rows', ''), ('TRUNCATE', p_table, '-')
    ) as r (operation, name, sign) on r.operation = p_operation
  );
end
$$;

comment on function quota.changes_query is
  'SQL text for the changes that a statement makes. Arguments: those of count_rows().';

create function quota.check_change(
  p_table regclass,
  p_subject_id text,
  p_change numeric,
  p_is_wrong boolean
)
returns void
language plpgsql immutable security invoker set search_path = pg_catalog, pg_temp
as $$
begin
  if p_is_wrong or abs(p_change) > 9007199254740991 then
    raise exception 'the amount column of % holds what is not a whole number from 0 to 9007199254740991',
      p_table
      using errcode = 'QAMNT', hint = 'count fractional amounts in micro-units';
  end if;
  if length(p_subject_id) not between 1 and 255 then
    raise exception 'the subject column of % holds an id of % characters, 1 to 255 are allowed',
      p_table, length(p_subject_id)
      using errcode = 'QSUBJ', hint = 'null is a row that counts for nobody';
  end if;
end
$$;

comment on function quota.check_change is 'Errors: QAMNT, QSUBJ.';

-- As a call would: plainly where that is possible, else properly, under the lock.
create function quota.count_change(
  p_caller quota.caller,
  p_feature_id text,
  p_change bigint,
  p_locked_at timestamptz,
  p_table regclass
)
returns void
language plpgsql volatile security invoker set search_path = pg_catalog, pg_temp
as $$
declare
  v_metadata constant jsonb := jsonb_build_object('table', p_table::text);
  v_parts quota.part[];
  v_now timestamptz;
begin
  if p_change > 0 and quota.count_plainly(p_caller, p_feature_id, p_change, v_metadata) then
    return;
  end if;
  v_now := coalesce(p_locked_at, quota.lock_levels(p_caller.subject_id, array[p_feature_id]));
  if p_change > 0 and quota.account_of(p_caller.subject_id) <> p_caller.subject_id then
    -- What was merged has no allowance: a row of the account has its name.
    perform quota.enforce(
      quota.decision(
        p_caller.subject_id, p_feature_id, p_change, null, null, 'feature_not_in_plan'
      )
    );
  elsif p_change > 0 then
    v_parts := quota.parts_of(p_caller.subject_id, p_feature_id);
    if v_parts is null then
      perform quota.enforce(
        quota.take(p_caller, p_feature_id, p_change, v_now, 'table', null, null, null, v_metadata)
      );
    else
      perform quota.enforce(
        quota.take_parts(p_caller, p_feature_id, p_change, v_now, 'table', null, null, v_metadata, v_parts)
      );
    end if;
  else
    perform quota.put_back(
      p_caller, p_feature_id, -p_change, v_now, 'table', null, null, v_metadata
    );
  end if;
end
$$;

comment on function quota.count_change is
  'Takes what came, or gives back what went. Errors: PT402, and those of a call.';

-- The plain way of consume_usage(), as short as a gauge's can be: it has no minutes, and nobody is answered.
create function quota.count_plainly(
  p_caller quota.caller,
  p_feature_id text,
  p_amount bigint,
  p_metadata jsonb
)
returns boolean
language plpgsql volatile security invoker set search_path = pg_catalog, pg_temp
as $$
declare
  v_meter record;
  v_now timestamptz;
  v_event_id uuid;
begin
  if current_setting('transaction_isolation') <> 'read committed' then
    return false;
  end if;
  update quota.meters as m
    set used = m.used + p_amount,
        rows_used = m.rows_used + p_amount
    where m.subject_id = p_caller.subject_id
      and m.feature_id = p_feature_id
      and m.fresh_from < 'infinity'
      and m.used + m.reserved >= m.floor
      and m.used + m.reserved + p_amount <= m.ceiling
    returning m.fresh_from, least(m.fresh_until, m.holds_expire_at) as fresh_until, m.catalogue_version
    into v_meter;
  if not found then
    return false;
  end if;
  v_now := quota.clock();
  if v_now >= v_meter.fresh_from and v_now < v_meter.fresh_until then
    v_event_id := quota.new_id(v_now);
    insert into quota.events (
      subject_id, event_id, at, kind, feature_id, counts_at, used_change, actor, metadata
    )
      select
        p_caller.subject_id, v_event_id, v_now, 'table', p_feature_id, v_now, p_amount, p_caller.actor,
        p_metadata
      from quota.catalogue as k
      where k.version = v_meter.catalogue_version;
    if found then
      return true;
    end if;
  end if;
  perform quota.take_back(p_caller.subject_id, p_feature_id, p_amount, 0, p_amount);
  return false;
end
$$;

comment on function quota.count_plainly is
  'Counts rows in one step, if what the meter remembers says that there is room. False: nothing was counted, ask properly.';
