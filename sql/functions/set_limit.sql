-- Why this exists: one customer's exception to its plan. Holds at once, also for callers that wait.
create function quota.change_limit(
  p_subject text,
  p_feature text,
  p_period text,
  p_limit bigint,
  p_is_cleared boolean
)
returns void
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
set lock_timeout = '2s'
as $$
declare
  v_caller quota.caller;
  v_now timestamptz;
begin
  perform quota.require_trusted();
  v_caller := quota.caller_for(p_subject);
  perform quota.check_feature(p_feature);
  if p_limit is not null then
    perform quota.check_amount(p_limit, 0);
  end if;
  if p_period is null or quota.period_rank(p_period) is null
    or (p_period <> 'lifetime' and exists (
      select from quota.features as f where f.feature_id = p_feature and f.kind = 'gauge'
    ))
  then
    raise exception 'unknown period % for this feature', coalesce(quote_literal(left(p_period, 100)), 'null')
      using errcode = 'QPLAN',
        hint = 'minute, hour, day, week, month, year or lifetime; a gauge has lifetime alone';
  end if;

  v_now := quota.lock_terms(v_caller.subject_id, p_feature);
  if not p_is_cleared and p_limit + quota.most_allowed(
    v_caller.subject_id, p_feature, v_now,
    array(
      select row(
        l.period, l.period_start, l.resets_at, l.source, 0::bigint, l.used, l.reserved, l.drawn,
        l.granted, l.is_counted, l.last_limit, l.alerted, l.passed
      )::quota.limit_state
      from unnest((quota.limits_of(v_caller.subject_id, p_feature, v_now)).limits) as l
      where l.period = p_period
    )
  ) > 9007199254740991 and p_period not in ('minute', 'hour') then
    raise exception 'set_limit: limit % and the open grants together pass 9007199254740991 (2^53 - 1)', p_limit
      using errcode = 'QAMNT', hint = 'null is unlimited';
  end if;
  if p_is_cleared then
    delete from quota.exceptions as x
      where x.subject_id = v_caller.subject_id
        and x.feature_id = p_feature
        and x.period = p_period;
  else
    insert into quota.exceptions (subject_id, feature_id, period, amount)
      values (v_caller.subject_id, p_feature, p_period, p_limit)
      on conflict (subject_id, feature_id, period) do update
        set amount = excluded.amount;
  end if;
  perform quota.record(
    row(
      v_caller.subject_id, quota.new_id(v_now), v_now, 'limit', p_feature, v_now, 0, 0, 0,
      null, null, null, null,
      case
        when p_is_cleared then jsonb_build_object('period', p_period, 'cleared', true)
        else jsonb_build_object('period', p_period, 'limit', p_limit)
      end
    )::quota.events
  );
  perform quota.open_counters(
    v_caller.subject_id, p_feature, v_now,
    (quota.limits_of(v_caller.subject_id, p_feature, v_now)).limits
  );
end
$$;

comment on function quota.change_limit(text, text, text, bigint, boolean) is
  'See public.set_limit and public.clear_limit.';

revoke all on function quota.change_limit(text, text, text, bigint, boolean)
  from public, anon, authenticated, service_role;
grant execute on function quota.change_limit(text, text, text, bigint, boolean) to service_role;
