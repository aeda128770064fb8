-- Which limits a subject has: those of its plan and its exceptions; a cap those of members. Most subjects have a
-- plan alone, and are asked nothing else: a branch of a statement is set up also where it finds nothing.
create function quota.named_limits(
  p_subject_id text,
  p_feature_id text,
  p_plan_id text,
  p_has_extras boolean,
  p_at timestamptz
)
returns quota.named_limit[]
language plpgsql stable security invoker set search_path = pg_catalog, pg_temp
as $$
declare
  v_limits quota.named_limit[];
begin
  if strpos(p_subject_id, chr(31)) = 0 then
    v_limits := array(
      select row(
        n.feature_id, n.period, case when n.mode <> 'shadow' then n.amount end, 'plan', null, n.rollover,
        n.mode, n.grace, n.ceiling - n.amount, case when n.mode = 'shadow' then n.amount end
      )::quota.named_limit
      from quota.plan_limits as n
      where n.plan_id = p_plan_id
        and (p_feature_id is null or n.feature_id = p_feature_id)
    );
  else
    v_limits := array(
      select row(
        c.feature_id, c.period, c.amount, 'plan', null, null, 'hard', null, null, null
      )::quota.named_limit
      from quota.member_limits as c
      where c.plan_id = p_plan_id
        and (p_feature_id is null or c.feature_id = p_feature_id)
    );
  end if;
  if p_has_extras then
    return quota.with_exceptions(v_limits, p_subject_id, p_feature_id, p_at);
  end if;
  return v_limits;
end
$$;

comment on function quota.named_limits is
  'The limits of a subject, of one feature or (null) of all, that its plan and exceptions name; of a cap, those of members.';

create function quota.with_exceptions(
  p_limits quota.named_limit[],
  p_subject_id text,
  p_feature_id text,
  p_at timestamptz
)
returns quota.named_limit[]
language plpgsql stable security invoker set search_path = pg_catalog, pg_temp
as $$
begin
  return array(
    select row(
      x.feature_id, x.period, case when n.mode = 'shadow' then null else x.amount end, 'exception',
      nullif(x.ends_at, 'infinity'), n.rollover, coalesce(n.mode, 'hard'), n.grace, n.headroom,
      case when n.mode = 'shadow' then x.amount end
    )::quota.named_limit
    from quota.exceptions as x
    left join unnest(p_limits) as n
      on n.feature_id = x.feature_id
      and n.period = x.period
    where x.subject_id = p_subject_id
      and (p_feature_id is null or x.feature_id = p_feature_id)
      and x.ends_at > p_at
  ) || array(
    select n
    from unnest(p_limits) as n
    where not exists (
      select from quota.exceptions as x
      where x.subject_id = p_subject_id
        and x.feature_id = n.feature_id
        and x.period = n.period
        and x.ends_at > p_at
    )
  );
end
$$;

comment on function quota.with_exceptions is
  'The limits with the exceptions to them, which keep the mode, and those that the plan does not name.';
