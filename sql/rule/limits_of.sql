-- The one place that knows what limits a subject has at an instant, and how full
-- they are: plan, exceptions, grants, holds, counters. Deciding, explaining, the views and the wait
-- until something is free again (asked for a later instant) all read it.
--
-- Takes no lock. A caller that writes holds the meter, and calls this in a statement of its own
-- after that: a limit that was lowered and committed meanwhile is then seen. Runs with the owner's
-- rights, inside the verbs and inside limits_shown(), which the views ask.

create type quota.limit_state as (
  period text,
  period_start timestamptz,
  resets_at timestamptz,
  source text,
  amount bigint,
  used bigint,
  reserved bigint,
  drawn bigint,
  granted bigint,
  is_counted boolean,
  last_limit bigint,
  alerted bigint,
  passed bigint,
  marks bigint[],
  carried bigint,
  rollover bigint,
  slack bigint,
  trial bigint,
  mode text,
  last_mode text
);

comment on type quota.limit_state is
  'One limit at one instant. The limit is amount (of the plan or exception; null is unlimited) + drawn (from grants in this period) + granted (open grants). is_counted: the reading at its start stands in a counter, or of a minute and hour in the meter; last_limit, alerted and passed are what stands there, too. marks: the percents to note, of the feature. carried: how much of amount was left of the period before, at most rollover. slack: how far past the limit use may go. trial: the limit of one in shadow, whose amount is null. mode is of the plan, last_mode what stands in the counter.';

create type quota.allowance as (
  kind text,
  server_only boolean,
  plan_id text,
  upgrade_url text,
  changes_at timestamptz,
  limits quota.limit_state[],
  is_plain boolean,
  catalogue_version bigint,
  time_zone text,
  feature_id text,
  opens boolean
);

comment on type quota.allowance is
  'What a subject may use of a feature at an instant: the feature''s kind and server_only, the plan, when another plan holds or an exception ends by itself (changes_at), and the limits, null when the feature is not in the plan. is_plain: the subject never had exceptions or grants. catalogue_version: the edition that was read. time_zone: whose wall clock the periods follow. opens: a window is closed, and a use would open it.';

create type quota.balance as (
  used bigint,
  reserved bigint,
  drawn bigint
);

comment on type quota.balance is 'The three sums of the ledger over a period.';

create function quota.limits_of(
  p_subject_id text,
  p_feature_id text,
  p_at timestamptz,
  p_plan_id text default null,
  p_is_settled boolean default false
)
returns quota.allowance
language plpgsql stable security invoker set search_path = pg_catalog, pg_temp
as $$
declare
  v_allowance quota.allowance;
begin
  select a.kind, a.server_only, a.plan_id, a.upgrade_url, a.changes_at, a.limits, a.is_plain,
      a.catalogue_version, a.time_zone, a.feature_id, a.opens
    into v_allowance
    from quota.allowances_of(p_subject_id, p_feature_id, p_at, p_plan_id, p_is_settled) as a;
  return v_allowance;
end
$$;

comment on function quota.limits_of is
  'The plan and every limit that applies to a subject and feature at an instant, with what is used, held, drawn and granted; or what they would be on another plan. p_is_settled: asked under the lock, where no hold has expired that is not settled. Limits come in no order.';

-- What current_usage shows of one subject. Read as the owner: as the reader, each statement
-- of limits_of() would ask its policy for the list of subjects again (100 organisations 0.2 s, 400 2.7).
-- So it is asked here who reads, once a call. A merged subject has nothing of its own.
create function quota.limits_shown(p_subject_id text, p_at timestamptz)
returns setof quota.allowance
language plpgsql stable strict rows 5 security definer
set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan
as $$
begin
  -- Most look at themselves: that is seen without another call.
  if quota.is_trusted() is not true
    and (p_subject_id = quota.user_id() or quota.may_see(quota.user_id(), p_subject_id)) is not true
  then
    return;
  end if;
  return query
    select a.kind, a.server_only, a.plan_id, a.upgrade_url, a.changes_at, a.limits, a.is_plain,
      a.catalogue_version, a.time_zone, a.feature_id, a.opens
    from quota.allowances_of(p_subject_id, null, p_at, null, false) as a
    where quota.account_of(p_subject_id) = p_subject_id;
end
$$;

comment on function quota.limits_shown is
  'limits_of() of every feature for whoever may see the subject: a trusted role, the subject itself, and who belongs to it; no rows for everybody else.';

-- Of one feature, or (null) of all, in few statements: Postgres sets up each anew in every transaction.
create function quota.allowances_of(
  p_subject_id text,
  p_feature_id text,
  p_at timestamptz,
  p_plan_id text,
  p_is_settled boolean
)
returns setof quota.allowance
language plpgsql stable rows 5 security invoker set search_path = pg_catalog, pg_temp
as $$
declare
  v_plan_id text;
  v_upgrade_url text;
  v_changes_at timestamptz;
  v_anchor_at timestamptz;
  v_time_zone text;
  v_has_extras boolean;
  v_catalogue_version bigint;
  v_terms_changed_at timestamptz;
  v_allowance quota.allowance;
  v_counted_before timestamptz;
  v_needs_details boolean;
  v_cap_plan_id text;
begin
  -- The subject, then its plan's limits: they may live on another node. A cap has its holder's terms.
  select t.plan_id, t.upgrade_url, t.changes_at, t.anchor_at, t.time_zone, t.has_extras, t.changed_at,
      -- None after a copy of the schema alone: then nothing is remembered for good.
      coalesce((select k.version from quota.catalogue as k), 0)
    into v_plan_id, v_upgrade_url, v_changes_at, v_anchor_at, v_time_zone, v_has_extras,
      v_terms_changed_at, v_catalogue_version
    from quota.terms_of(split_part(p_subject_id, chr(31), 1), p_at, p_plan_id) as t;
  if strpos(p_subject_id, chr(31)) > 0 then
    v_cap_plan_id := coalesce(v_plan_id, '');
    v_plan_id := null;
  end if;

  -- An open counter is the current one: set_plan() closes those that a moved anchor leaves behind. One
  -- that no plan watched may have passed 2^53 - 1; as a full one it refuses, and breaks no view.
  for v_allowance.feature_id, v_allowance.kind, v_allowance.server_only, v_allowance.limits,
    v_counted_before, v_needs_details, v_allowance.opens, v_allowance.changes_at
  in
    select f.feature_id, f.kind, f.server_only,
      array_agg(
        row(
          l.period, c.period_start, c.period_end, l.source, l.amount,
          least(coalesce(c.used, 0), 9007199254740991), coalesce(c.reserved, 0),
          case when l.period ~ 'minute|hour' then 0 else coalesce(c.drawn, 0) end,
          0, c.period_end is not null, c.last_limit, coalesce(c.alerted, 0), coalesce(c.passed, 0),
          f.marks, 0, l.rollover,
          case
            when l.mode = 'soft'
              or l.grace is not null and (c.crossed_at is null or p_at < c.crossed_at + l.grace)
            then coalesce(l.headroom, 9007199254740991)
            else 0
          end,
          l.trial, l.mode, c.mode
        )::quota.limit_state
      ) filter (where l.period is not null),
      coalesce(
        greatest(m.counted_until + interval '1 microsecond', m.fresh_until),
        -- Until its meter is made the organisation's lines say what a member has used.
        case when v_cap_plan_id is null then '-infinity' else 'infinity'::timestamptz end
      ),
      bool_or(c.period_end is null or c.reserved > 0 and not p_is_settled or l.rollover is not null),
      bool_or(c.period_end is null and l.period like '% %'), min(l.ends_at)
    from quota.features as f
    left join quota.meters as m
      on m.subject_id = p_subject_id
      and m.feature_id = f.feature_id
    left join lateral (
      select n.period, case when n.mode <> 'shadow' then n.amount end as amount, 'plan' as source,
        null::timestamptz as ends_at, n.rollover, n.mode, n.grace, n.ceiling - n.amount as headroom,
        case when n.mode = 'shadow' then n.amount end as trial
      from quota.plan_limits as n
      where n.plan_id = v_plan_id
        and n.feature_id = f.feature_id
        and (not v_has_extras or not exists (
          select from quota.exceptions as x
          where x.subject_id = p_subject_id
            and x.feature_id = f.feature_id
            and x.period = n.period
            and x.ends_at > p_at
        ))
      union all
      select x.period, case when n.mode = 'shadow' then null else x.amount end, 'exception',
        nullif(x.ends_at, 'infinity'), n.rollover, coalesce(n.mode, 'hard'), n.grace,
        n.ceiling - n.amount, case when n.mode = 'shadow' then x.amount end
      from quota.exceptions as x
      left join quota.plan_limits as n
        on n.plan_id = v_plan_id
        and n.feature_id = x.feature_id
        and n.period = x.period
      where v_has_extras
        and x.subject_id = p_subject_id
        and x.feature_id = f.feature_id
        and x.ends_at > p_at
      union all
      select c.period, c.amount, 'plan', null, null, 'hard', null, null, null
      from quota.member_limits as c
      where c.plan_id = v_cap_plan_id
        and c.feature_id = f.feature_id
        and not exists (
          select from quota.exceptions as x
          where x.subject_id = p_subject_id
            and x.feature_id = f.feature_id
            and x.period = c.period
            and x.ends_at > p_at
        )
    ) as l on true
    left join lateral (
      select c.period_start, c.period_end, coalesce(c.used, m.used - c.used_before) as used,
        coalesce(c.reserved, m.reserved - c.reserved_before) as reserved,
        coalesce(c.drawn, m.drawn - c.drawn_before) as drawn, c.last_limit, c.alerted, c.passed,
        c.crossed_at, c.mode
      from quota.counters as c
      where c.subject_id = p_subject_id
        and c.feature_id = f.feature_id
        and c.period_end > p_at
        and c.period_start <= p_at
        and c.period = l.period
      union all
      select w.period_end - w.length, w.period_end, w.used, w.reserved, 0, null, w.alerted, w.alerted,
        null, null
      from (values
        (
          'minute', m.minute_until, interval '1 minute', m.used - m.minute_used_before,
          m.reserved - m.minute_reserved_before, m.minute_alerted
        ),
        (
          'hour', m.hour_until, interval '1 hour', m.used - m.hour_used_before,
          m.reserved - m.hour_reserved_before, m.hour_alerted
        )
      ) as w (period, period_end, length, used, reserved, alerted)
      where w.period = l.period
        and w.period_end > p_at
        and w.period_end - w.length <= p_at
    ) as c on true
    where f.feature_id = p_feature_id
      or p_feature_id is null and f.kind in ('metered', 'gauge')
    group by f.feature_id, m.counted_until, m.fresh_until
  loop
    v_allowance.plan_id := coalesce(v_plan_id, nullif(v_cap_plan_id, ''));
    v_allowance.upgrade_url := v_upgrade_url;
    v_allowance.changes_at := least(v_changes_at, v_allowance.changes_at);
    v_allowance.is_plain := not v_has_extras;
    v_allowance.catalogue_version := v_catalogue_version;
    v_allowance.time_zone := v_time_zone;
    if v_needs_details or v_has_extras then
      v_allowance.limits := quota.with_details(
        v_allowance.limits, p_subject_id, v_allowance.feature_id, p_at, v_counted_before, v_anchor_at,
        v_time_zone, v_allowance.is_plain, p_is_settled, v_terms_changed_at
      );
    end if;
    if v_allowance.kind = 'gauge' then
      v_allowance.limits := quota.with_below(
        v_allowance.limits, p_subject_id, v_allowance.feature_id, p_at
      );
    end if;
    return next v_allowance;
  end loop;
end
$$;

comment on function quota.allowances_of is 'limits_of() for one feature, or for all (null).';
