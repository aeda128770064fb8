-- What current_usage shows of one subject. Read as the owner: as the reader, each statement
-- of limits_of() would ask its policy for the list of subjects again (100 organisations 0.2 s, 400 2.7).
-- So it is asked here who reads, once a call. A merged subject has nothing of its own.
create function quota.limits_shown(p_subject_id text, p_at timestamptz)
returns setof quota.allowance
language plpgsql stable strict rows 5 security definer
set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan
as $$
declare
  v_terms record;
  v_allowance quota.allowance;
  v_remembered text[] := '{}'::text[];
  v_feature_id text;
begin
  -- Most look at themselves: that is seen without another call.
  if quota.is_trusted() is not true
    and (p_subject_id = quota.user_id() or quota.may_see(quota.user_id(), p_subject_id)) is not true
  then
    return;
  end if;
  v_terms := quota.terms_of(split_part(p_subject_id, chr(31), 1), p_at, null);
  for v_allowance in
    select r.kind, r.server_only, r.plan_id, r.upgrade_url, r.changes_at, r.limits, r.is_plain,
      r.catalogue_version, v_terms.time_zone, r.feature_id, r.opens
    from quota.remembered_limits(p_subject_id, v_terms.plan_id, p_at) as r
  loop
    v_remembered := v_remembered || v_allowance.feature_id;
    return next v_allowance;
  end loop;
  -- A subject that was merged into another has no meter.
  if v_remembered = '{}' and quota.account_of(p_subject_id) <> p_subject_id then
    return;
  end if;
  for v_feature_id in
    select distinct l.feature_id
    from unnest(
      quota.named_limits(p_subject_id, null, v_terms.plan_id, v_terms.has_extras, p_at)
    ) as l
    where l.feature_id <> all (v_remembered)
  loop
    return next quota.limits_of(p_subject_id, v_feature_id, p_at);
  end loop;
end
$$;

comment on function quota.limits_shown is
  'limits_of() of every feature that is limited, for whoever may see the subject: a trusted role, the subject itself, and who belongs to it; no rows for everybody else.';

-- As look_plainly(), of all that was used: where one limit of a day and longer was remembered, it, the minute and
-- the hour are all there are. Limits in shadow are not remembered.
create function quota.remembered_limits(p_subject_id text, p_plan_id text, p_at timestamptz)
returns setof quota.allowance
language plpgsql stable rows 5 security invoker set search_path = pg_catalog, pg_temp
as $$
begin
  return query
    select null::text, m.server_only, m.plan_id, m.upgrade_url, nullif(m.plan_ends_at, 'infinity'),
      case
        when m.long_limits = 0 then '{}'::quota.limit_state[]
        else array[row(
          m.long_period, m.long_start, m.long_end, null, m.long_allowed - m.long_granted,
          m.used - m.long_used_before, m.reserved - m.long_reserved_before, 0, m.long_granted, true,
          null, 0, 0, null, m.long_carried, null, 0, null, 'hard', 'hard'
        )::quota.limit_state]
      end
        || case when m.hour_limit is not null then array[row(
          'hour', date_trunc('hour', p_at, 'UTC'), date_trunc('hour', p_at, 'UTC') + interval '1 hour',
          null, nullif(m.hour_limit, -1),
          case when p_at < m.hour_until then m.used - m.hour_used_before else 0 end,
          case when p_at < m.hour_until then m.reserved - m.hour_reserved_before else 0 end, 0, 0, true,
          null, 0, 0, null, 0, null, 0, null, 'hard', 'hard'
        )::quota.limit_state] end
        || case when m.minute_limit is not null then array[row(
          'minute', date_trunc('minute', p_at, 'UTC'),
          date_trunc('minute', p_at, 'UTC') + interval '1 minute', null, nullif(m.minute_limit, -1),
          case when p_at < m.minute_until then m.used - m.minute_used_before else 0 end,
          case when p_at < m.minute_until then m.reserved - m.minute_reserved_before else 0 end, 0, 0,
          true, null, 0, 0, null, 0, null, 0, null, 'hard', 'hard'
        )::quota.limit_state] end,
      true, m.catalogue_version, null::text, m.feature_id, false
    from quota.meters as m
    join quota.catalogue as k on k.version = m.catalogue_version
    where m.subject_id = p_subject_id
      -- Whose parent was forgotten has a plan of its own from then on, and its meter knows nothing of that.
      and m.plan_id is not distinct from p_plan_id
      and m.fresh_from <= p_at
      and m.long_until > p_at
      and m.holds_expire_at > p_at
      and m.long_limits <= 1
      and not exists (
        select from quota.plan_limits as n
        where n.plan_id = m.plan_id
          and n.feature_id = m.feature_id
          and n.mode = 'shadow'
      );
end
$$;

comment on function quota.remembered_limits is
  'limits_of() of the features whose meter remembers all of their limits, as far as a view shows them.';
