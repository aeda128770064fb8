-- Notices that use crosses a mark of its feature (80 % and 100 % of a limit, or what the plan document
-- says): once per crossing. A counter keeps
-- which thresholds it was told of; those that use has fallen below since (by a refund, a grant, a larger
-- plan, a gauge that went down) can be crossed again, and what a smaller limit crosses is told by the
-- next call. The cap of a member is told as a limit of its organisation, with the member named. Sends nothing: NOTIFY takes one lock of the whole server at commit (560 calls/s became 117),
-- so deliver_alerts() hands the rows out afterwards.

create function quota.write_alerts(
  p_subject_id text,
  p_feature_id text,
  p_at timestamptz,
  p_before quota.limit_state[],
  p_after quota.limit_state[]
)
returns void
language plpgsql volatile security invoker set search_path = pg_catalog, pg_temp
as $$
declare
  v_limit quota.limit_state;
  v_former quota.limit_state;
  v_told bigint;
  v_passed bigint;
  v_threshold bigint;
  v_alert_id uuid;
begin
  foreach v_limit in array coalesce(p_after, '{}') loop
    -- Nothing is crossed in a window that is closed.
    continue when v_limit.period_start is null;
    -- Most are below any mark, and never were past one: seen without a call.
    continue when v_limit.alerted = 0 and v_limit.passed = 0
      and v_limit.used + v_limit.reserved
        < least(v_limit.amount + v_limit.drawn + v_limit.granted, 90071992547409) * v_limit.marks[1] / 100;
    v_passed := quota.passed_mark(v_limit);
    continue when v_passed = 0 and v_limit.alerted = 0 and v_limit.passed = 0;
    foreach v_former in array p_before loop
      exit when v_former.period = v_limit.period;
    end loop;
    v_told := quota.passed_mark(v_former);
    -- What a minute was told of stands with the meter, which knows the running one alone.
    if v_former.is_counted or v_limit.period not in ('minute', 'hour') then
      v_told := least(v_told, v_former.alerted);
    end if;
    foreach v_threshold in array v_limit.marks loop
      -- 80 and 100 are noted in any case, for usage_overview; told is what the feature says.
      if v_threshold > v_told and v_threshold <= v_passed and exists (
        select from quota.features as f where f.feature_id = p_feature_id and v_threshold = any (f.alerts)
      ) then
        v_alert_id := quota.new_id(p_at);
        insert into quota.alerts (
          subject_id, feature_id, period, period_start, threshold, at, used, amount, alert_id, member
        )
        values (
          quota.cap_holder(p_subject_id), p_feature_id, v_limit.period, v_limit.period_start, v_threshold, p_at,
          v_limit.used + v_limit.reserved,
          least(v_limit.amount + v_limit.drawn + v_limit.granted, 9007199254740991), v_alert_id,
          quota.cap_member(p_subject_id)
        );
      end if;
    end loop;
    if v_limit.period = 'minute' then
      update quota.meters as m
        set minute_alerted = v_passed
        where m.subject_id = p_subject_id
          and m.feature_id = p_feature_id
          and m.minute_until = v_limit.resets_at;
    elsif v_limit.period = 'hour' then
      update quota.meters as m
        set hour_alerted = v_passed
        where m.subject_id = p_subject_id
          and m.feature_id = p_feature_id
          and m.hour_until = v_limit.resets_at;
    elsif v_passed <> v_limit.alerted or v_passed <> v_limit.passed then
      update quota.counters as c
        set alerted = v_passed,
            passed = v_passed
        where c.subject_id = p_subject_id
          and c.feature_id = p_feature_id
          and c.period_end = v_limit.resets_at
          and c.period = v_limit.period;
    end if;
  end loop;
end
$$;

comment on function quota.write_alerts is
  'Writes an alert for each mark of the feature that use has come to since it was last told, and notes it with the limit.';

create function quota.mark_of(
  p_used bigint,
  p_reserved bigint,
  p_limit bigint,
  p_marks bigint[]
)
returns bigint
language plpgsql immutable security invoker set search_path = pg_catalog, pg_temp
as $$
declare
  v_used numeric := p_used::numeric + p_reserved;
begin
  return case
    when v_used >= p_limit then 100
    when v_used > 0 and v_used < p_limit
    then coalesce(p_marks[width_bucket(div(v_used * 100, p_limit)::bigint, p_marks)], 0)
    else 0
  end;
end
$$;

comment on function quota.mark_of is
  'The highest of these marks, of which 100 is the last, that used and reserved together have reached of a limit, else 0; unlimited (null) has none.';

create function quota.passed_mark(p_limit quota.limit_state)
returns bigint
language plpgsql immutable security invoker set search_path = pg_catalog, pg_temp
as $$
begin
  return quota.mark_of(
    p_limit.used, p_limit.reserved, p_limit.amount + p_limit.drawn + p_limit.granted, p_limit.marks
  );
end
$$;

comment on function quota.passed_mark is 'The mark of a limit as it stands.';
