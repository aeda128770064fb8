-- Taking over the counts that an app kept before, of the open period and of closed ones.
-- What was used was used: an import may exceed the limit. A row is known by its subject, feature and
-- period_start, so running it again counts nothing twice.

-- What became of one row that was brought in. Fields are only ever added at the end.
create type public.import_result as (
  "row" integer,
  subject text,
  feature text,
  amount bigint,
  action text,
  problem text
);

comment on type public.import_result is 'What quota.import_usage() did, or would do, with one row.';

comment on column public.import_result."row" is 'Which row of the document, from 1.';

comment on column public.import_result.subject is 'Who used it; null when the row does not say.';

comment on column public.import_result.feature is 'What was used; null when the row does not say.';

comment on column public.import_result.amount is 'Units; null when the row does not say.';

comment on column public.import_result.action is
  '`import`; `skip` (it was brought in before, or is 0); `reject` (see problem).';

comment on column public.import_result.problem is 'Why it was rejected; null when it was not.';

create function quota.import_usage(
  p_rows jsonb,
  p_dry_run boolean default false
)
returns setof public.import_result
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp set lock_timeout = '2s'
as $$
declare
  v_item record;
  v_result public.import_result;
  v_event quota.events;
  v_caller quota.caller;
  v_arguments jsonb;
  v_former quota.events;
  v_former_arguments jsonb;
  v_limits quota.limit_state[];
  v_found jsonb;
  v_now timestamptz;
  v_period_start timestamptz;
begin
  perform quota.require_trusted();
  perform quota.check_flag('import_usage', 'p_dry_run', p_dry_run);
  if p_rows is null or jsonb_typeof(p_rows) <> 'array' then
    raise exception 'import_usage: p_rows is %, an array of rows is expected',
      coalesce('a JSON ' || jsonb_typeof(p_rows), 'null (jsonb_agg of no rows is null)')
      using errcode = '22023',
        hint = '[{"subject": "…", "feature": "…", "amount": 3, "period_start": "2026-11-01T00:00:00Z"}]';
  end if;
  -- In lock order, so that two imports do not meet crosswise.
  for v_item in
    select i.value, i.ordinality
    from jsonb_array_elements(p_rows) with ordinality as i
    order by i.value ->> 'subject' collate "C", i.value ->> 'feature' collate "C",
      quota.instant_from(i.value ->> 'period_start'), i.ordinality
  loop
    v_result := row(
      v_item.ordinality, v_item.value ->> 'subject', v_item.value ->> 'feature', null, 'reject', null
    )::public.import_result;
    v_event.counts_at := quota.instant_from(v_item.value ->> 'period_start');
    v_event.metadata := coalesce(nullif(v_item.value -> 'metadata', 'null'), '{}');
    v_now := quota.clock();
    v_result.problem := case
      when jsonb_typeof(v_item.value) <> 'object'
        then 'not an object'
      when v_item.value - array['subject', 'feature', 'amount', 'period', 'period_start', 'metadata'] <> '{}'
        then 'other keys than subject, feature, amount, period, period_start and metadata'
      when jsonb_typeof(v_item.value -> 'subject') not in ('string', 'number')
          or coalesce(length(v_result.subject), 0) not between 1 and 255
        then 'subject is missing, empty, over 255 characters or no text'
      when not exists (select from quota.features as f where f.feature_id = v_result.feature)
        then 'unknown feature; features come from the plan document'
      when not quota.is_whole(v_item.value -> 'amount', 0)
        then 'amount is not a whole number from 0 to 9007199254740991'
      when v_event.counts_at is null
        then 'period_start is not an instant such as 2026-11-01T00:00:00Z'
      when v_event.counts_at > v_now
        then 'period_start lies in the future'
      when v_event.counts_at < '1000-01-01 00:00+00'
        then 'period_start lies before the year 1000'
      when v_item.value ? 'period'
        and (quota.period_rank(v_item.value ->> 'period') is null or v_item.value ->> 'period' = 'lifetime')
        then 'period is not minute, hour, day, week, month or year'
      when exists (
        select from quota.limited_tables as t where t.feature_id = v_result.feature
      )
        then 'rows of a table limited by limit_table() count this gauge already'
      when jsonb_typeof(v_event.metadata) <> 'object' or octet_length(v_event.metadata::text) > 8192
        then 'metadata is not an object, or over 8 kB'
    end;

    -- A month of the old table that is none of the subject's would land in two of its months, or another.
    if v_result.problem is null and v_item.value ? 'period' then
      select p.period_start
        into v_period_start
        from (values (v_result.subject)) as i (subject_id)
        left join quota.subjects as s on s.subject_id = i.subject_id
        cross join lateral quota.period_of(
          v_item.value ->> 'period', v_event.counts_at, s.anchor_at, coalesce(s.time_zone, 'UTC')
        ) as p;
      if v_period_start <> v_event.counts_at then
        v_result.problem := format(
          'no %s of this subject begins at period_start; the one that holds it begins at %s; set its anchor and zone with set_plan first, or leave period out',
          v_item.value ->> 'period',
          to_char(v_period_start at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"Z"')
        );
      end if;
    end if;

    if v_result.problem is null then
      v_result.amount := (v_item.value ->> 'amount')::numeric;
      v_event.subject_id := v_result.subject;
      v_event.feature_id := v_result.feature;
      -- Longer than a caller's key may be, so that nobody can take it before. A long feature is hashed:
      -- rpad would cut what follows it, and with it the month.
      v_event.idempotency_key := concat_ws(
        '/', 'import',
        case
          when length(v_result.feature) <= 150 then v_result.feature
          else encode(sha256(convert_to(v_result.feature, 'UTF8')), 'hex')
        end,
        extract(epoch from v_event.counts_at)
      );
      v_event.idempotency_key := rpad(v_event.idempotency_key, 256, '/');
      v_caller := row(v_event.subject_id, true, null)::quota.caller;
      v_arguments := jsonb_build_object('call', 'import_usage', 'amount', v_result.amount);
      if p_dry_run is not true and v_result.amount > 0 then
        v_event.at := quota.lock_meter(v_event.subject_id, v_event.feature_id);
      end if;
      select k.arguments
        into v_found
        from quota.keys as k
        where k.subject_id = v_event.subject_id
          and k.is_server
          and k.idempotency_key = v_event.idempotency_key;
      if (v_former.subject_id, v_former.idempotency_key) = (v_event.subject_id, v_event.idempotency_key) then
        -- A row above, which a dry run has not written.
        v_found := v_former_arguments;
      end if;
      if v_found <> v_arguments then
        v_result.problem := 'brought in before with another amount: ' || (v_found ->> 'amount');
      elsif v_found is not null or v_result.amount = 0 then
        v_result.action := 'skip';
      else
        v_limits := (
          quota.limits_of(v_event.subject_id, v_event.feature_id, v_event.counts_at)
        ).limits;
        if exists (
          select from unnest(v_limits) as l
          where l.used + l.reserved + v_result.amount > 9007199254740991
        ) then
          v_result.problem := 'a counter would pass 9007199254740991 (2^53 - 1)';
        else
          v_result.action := 'import';
          v_former := v_event;
          v_former_arguments := v_arguments;
        end if;
      end if;
    end if;

    if v_result.action = 'import' and p_dry_run is not true then
      v_event.event_id := quota.new_id(v_event.at);
      v_event.kind := 'import';
      v_event.used_change := v_result.amount;
      v_event.reserved_change := 0;
      v_event.drawn_change := 0;
      perform quota.bind_key(
        v_caller, v_event.idempotency_key, v_arguments, to_jsonb(v_result), v_event.at
      );
      perform quota.open_counters(v_event.subject_id, v_event.feature_id, v_event.at, v_limits);
      perform quota.record(v_event);
      if exists (select from unnest(v_limits) as l where l.resets_at > v_event.at) then
        perform quota.write_alerts(
          v_event.subject_id, v_event.feature_id, v_event.at,
          array(select l from unnest(v_limits) as l where l.resets_at > v_event.at),
          (quota.limits_of(v_event.subject_id, v_event.feature_id, v_event.at)).limits
        );
      end if;
      -- A counter that a former plan would count in is no limit of the present one.
      update quota.meters as m
        set fresh_from = 'infinity'
        where m.subject_id = v_event.subject_id
          and m.feature_id = v_event.feature_id;
    end if;
    return next v_result;
  end loop;
end
$$;

comment on function quota.import_usage is
  'Brings in use that was counted elsewhere: rows of subject, feature, amount, period_start (an instant in the past; the use counts in the periods that hold it, so set plan and anchor first), period (optional, such as month: a row whose period_start begins none of the subject''s is rejected) and metadata. A gauge that limit_table() counts is rejected. Each becomes a ledger line of kind import, may exceed the limit, and is counted once however often it is brought in. Returns a row per row: import, skip or reject with the problem; rejected rows do not hinder the others. p_dry_run writes nothing. For DBAs, not over REST. Errors: 22023 p_rows is not an array, or p_dry_run is null; 42501 not a trusted role; 55P03 retry.';

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
