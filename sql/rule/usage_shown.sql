-- What current_usage shows of one subject. Read as the owner: as the reader, each statement
-- of limits_of() would ask its policy for the list of subjects again (100 organisations 0.2 s, 400 2.7).
-- So it is asked here who reads, once a call.
create type quota.shown_limit as (
  feature_id text,
  plan_id text,
  time_zone text,
  member text,
  period text,
  period_start timestamptz,
  resets_at timestamptz,
  allowed bigint,
  used bigint,
  reserved bigint,
  granted bigint,
  carried bigint,
  is_shadow boolean
);

comment on type quota.shown_limit is
  'A limit as the usage bar shows it. allowed: open grants included, null is unlimited. is_shadow: for nobody but trusted roles.';

create function quota.usage_shown(p_subject_id text, p_at timestamptz)
returns setof quota.shown_limit
language plpgsql stable strict rows 5 security definer
set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan
as $$
declare
  v_time_zone text;
  v_has_parent boolean;
  v_has_extras boolean;
  v_may_have_caps boolean;
  v_cap record;
begin
  -- Most look at themselves: that is seen without another call.
  if quota.is_trusted() is not true
    and (p_subject_id = quota.user_id() or quota.may_see(quota.user_id(), p_subject_id)) is not true
  then
    return;
  end if;
  select s.time_zone, s.parent_id is not null, s.has_extras,
      exists (select from quota.caps as c where c.subject_id = p_subject_id)
        or exists (select from quota.member_limits)
    into v_time_zone, v_has_parent, v_has_extras, v_may_have_caps
    from quota.subjects as s
    where s.subject_id = p_subject_id;
  return query
    select l.feature_id, l.plan_id, l.time_zone, l.member, l.period, l.period_start, l.resets_at, l.allowed,
      l.used, l.reserved, l.granted, l.carried, l.is_shadow
    from quota.limits_shown(p_subject_id, null, v_time_zone, v_has_parent, v_has_extras, p_at) as l;
  if v_may_have_caps is false then
    return;
  end if;
  for v_cap in
    select c.cap_id, c.member from quota.caps_shown(p_subject_id) as c
  loop
    return query
      select l.feature_id, l.plan_id, l.time_zone, l.member, l.period, l.period_start, l.resets_at, l.allowed,
        l.used, l.reserved, l.granted, l.carried, l.is_shadow
      from quota.limits_shown(
        v_cap.cap_id, v_cap.member, v_time_zone, v_has_parent, v_has_extras, p_at
      ) as l;
  end loop;
end
$$;

comment on function quota.usage_shown is
  'The limits of a subject and of its members, for whoever may see them: a trusted role, the subject itself, and who belongs to it; no rows for everybody else.';

-- As look_plainly(), of all that was used: where one limit of a day and longer was remembered, it, the minute and
-- the hour are all there are. Limits in shadow are not remembered. What is not remembered is asked for.
create function quota.limits_shown(
  p_subject_id text,
  p_member text,
  p_time_zone text,
  p_has_parent boolean,
  p_has_extras boolean,
  p_at timestamptz
)
returns setof quota.shown_limit
language plpgsql stable rows 5 security invoker set search_path = pg_catalog, pg_temp
as $$
declare
  v_limit quota.shown_limit;
  v_remembered text[] := '{}'::text[];
begin
  for v_limit in
    select m.feature_id, m.plan_id, p_time_zone, p_member, l.period, l.period_start, l.resets_at, l.allowed,
      l.used, l.reserved, l.granted, l.carried, false
    from quota.meters as m
    cross join lateral (
      select m.long_period as period, m.long_start as period_start, m.long_end as resets_at,
        m.long_allowed as allowed, m.used - m.long_used_before as used,
        m.reserved - m.long_reserved_before as reserved, m.long_granted as granted,
        m.long_carried as carried
      where m.long_limits = 1
      union all
      select 'hour', date_trunc('hour', p_at, 'UTC'),
        date_trunc('hour', p_at, 'UTC') + interval '1 hour', nullif(m.hour_limit, -1),
        case when p_at < m.hour_until then m.used - m.hour_used_before else 0 end,
        case when p_at < m.hour_until then m.reserved - m.hour_reserved_before else 0 end, 0, 0
      where m.hour_limit is not null
      union all
      select 'minute', date_trunc('minute', p_at, 'UTC'),
        date_trunc('minute', p_at, 'UTC') + interval '1 minute', nullif(m.minute_limit, -1),
        case when p_at < m.minute_until then m.used - m.minute_used_before else 0 end,
        case when p_at < m.minute_until then m.reserved - m.minute_reserved_before else 0 end, 0, 0
      where m.minute_limit is not null
    ) as l
    where m.subject_id = p_subject_id
      and m.catalogue_version = (select k.version from quota.catalogue as k)
      -- Whose parent was forgotten has a plan of its own from then on, and its meter knows nothing of that.
      and (p_has_parent or cardinality(m.levels) = 1)
      and m.fresh_from <= p_at
      and m.long_until > p_at
      and m.holds_expire_at > p_at
      and m.long_limits <= 1
      and (m.plan_id, m.feature_id) not in (
        select n.plan_id, n.feature_id from quota.plan_limits as n where n.mode = 'shadow'
      )
  loop
    v_remembered := v_remembered || v_limit.feature_id;
    return next v_limit;
  end loop;
  if v_remembered = '{}' or p_has_extras or p_member is not null or exists (
    select from quota.plan_limits as n
    where n.plan_id = v_limit.plan_id
      and n.feature_id <> all (v_remembered)
  ) then
    return query
      select o.feature_id, o.plan_id, o.time_zone, p_member, o.period, o.period_start, o.resets_at, o.allowed,
        o.used, o.reserved, o.granted, o.carried, o.is_shadow
      from quota.other_limits(p_subject_id, v_remembered, p_at) as o;
  end if;
end
$$;

comment on function quota.limits_shown is
  'The limits of a subject, or of a member''s cap, as the bar shows them: those that its meters remember, and the others.';

create function quota.other_limits(
  p_subject_id text,
  p_remembered text[],
  p_at timestamptz
)
returns setof quota.shown_limit
language plpgsql stable rows 5 security invoker set search_path = pg_catalog, pg_temp
as $$
declare
  v_terms record;
  v_allowance quota.allowance;
  v_feature_id text;
begin
  -- A subject that was merged into another has no meter, and nothing of its own.
  if p_remembered = '{}' and quota.account_of(p_subject_id) <> p_subject_id then
    return;
  end if;
  v_terms := quota.terms_of(split_part(p_subject_id, chr(31), 1), p_at, null);
  for v_feature_id in
    select distinct l.feature_id
    from unnest(
      quota.named_limits(p_subject_id, null, v_terms.plan_id, v_terms.has_extras, p_at)
    ) as l
    where l.feature_id <> all (p_remembered)
  loop
    v_allowance := quota.limits_of(p_subject_id, v_feature_id, p_at);
    return query
      select v_feature_id, v_allowance.plan_id, v_allowance.time_zone, null::text, l.period, l.period_start,
        l.resets_at, l.amount + l.drawn + l.granted, l.used, l.reserved, l.granted, coalesce(l.carried, 0),
        -- Where there is no other, the feature is unlimited.
        l.trial is not null and exists (select from unnest(v_allowance.limits) as o where o.trial is null)
      from unnest(v_allowance.limits) as l;
  end loop;
end
$$;

comment on function quota.other_limits is
  'limits_of() of every feature that is limited, but of those that were shown already.';
