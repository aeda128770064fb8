-- One number that its ledger does not prove.
create type public.usage_mismatch as (
  subject text,
  feature text,
  period text,
  period_start timestamptz,
  counted bigint,
  ledger bigint
);

comment on type public.usage_mismatch is
  'A number that its ledger does not prove.';

comment on column public.usage_mismatch.subject is 'Whose number it is.';

comment on column public.usage_mismatch.feature is 'The feature it counts.';

comment on column public.usage_mismatch.period is
  'The counter''s period; reserved where holds differ from open reservations, granted where a grant''s draws do, over where what was used past a limit does, rows where what a meter remembers of the rows of limited tables does, window (1 or 0) where one is open that no use and no line has opened, or the other way. Of a member''s cap it says whose, as in month of ada.';

comment on column public.usage_mismatch.period_start is
  'When the period began or the grant was made; null for lifetime.';

comment on column public.usage_mismatch.counted is 'The number that is kept.';

comment on column public.usage_mismatch.ledger is 'The number that the ledger proves.';

-- The proof. Run it in tests, in monitoring, after an incident.
create function public.verify_usage(
  subject text default null
)
returns setof public.usage_mismatch
language plpgsql stable security invoker set search_path = pg_catalog, pg_temp
as $$
#variable_conflict error
begin
  return query
    select r.subject, r.feature, r.period, r.period_start, r.counted, r.ledger
    from quota.verify_usage(verify_usage.subject) as r;
end
$$;

comment on function public.verify_usage is
  'Compares every counter with its ledger, holds with open reservations, grants with their draws and gauges with the rows of limited tables, of one subject or of all (null). No rows: every number is proved. Each row (subject, feature, period, period_start, counted, ledger) is a number that is not. Reads only. Errors: 42501 not a trusted role.';

-- Proves every number. One statement, so one snapshot: it never cries wolf while
-- others work.
create function quota.verify_usage(p_subject text)
returns setof public.usage_mismatch
language plpgsql stable security definer
set search_path = pg_catalog, pg_temp set plan_cache_mode = force_custom_plan set jit = off
as $$
declare
  -- And the caps of its members.
  v_scopes text[] := p_subject || quota.caps_below(p_subject);
begin
  perform quota.require_trusted();
  return query
    with mismatches as (
      select c.subject, c.feature, c.period, c.period_start, c.counted, c.ledger
      from unnest(v_scopes) as s (subject)
      cross join lateral quota.unproved_counters(s.subject) as c
      union
      select g.subject, g.feature, g.period, g.period_start, g.counted, g.ledger
      from quota.unproved_grants(p_subject) as g
      union
      select r.subject, r.feature, r.period, r.period_start, r.counted, r.ledger
      from quota.unproved_rows(p_subject) as r
      union
      select o.subject, o.feature, o.period, o.period_start, o.counted, o.ledger
      from unnest(v_scopes) as s (subject)
      cross join lateral quota.unproved_overages(s.subject) as o
      union
      select w.subject, w.feature, w.period, w.period_start, w.counted, w.ledger
      from unnest(v_scopes) as s (subject)
      cross join lateral quota.unproved_windows(s.subject) as w
    )
    select quota.cap_holder(m.subject), m.feature,
      m.period || coalesce(' of ' || quota.cap_member(m.subject), ''), m.period_start, m.counted, m.ledger
    from mismatches as m;
end
$$;

comment on function quota.verify_usage is 'See public.verify_usage.';

create function quota.unproved_overages(p_subject text)
returns setof public.usage_mismatch
language plpgsql stable security invoker set search_path = pg_catalog, pg_temp
as $$
begin
  return query
    select c.subject_id, c.feature_id, 'over', nullif(c.period_start, '-infinity'), c.over,
      coalesce(o.units, 0)::bigint
    from quota.counters as c
    left join lateral (
      select sum(v.units) as units
      from quota.overages as v
      where v.subject_id = c.subject_id
        and v.feature_id = c.feature_id
        and v.period = c.period
        and v.counts_at >= c.period_start
        and v.counts_at < c.period_end
        and v.mode <> 'shadow'
        and not v.is_held
    ) as o on true
    where (p_subject is null or c.subject_id = p_subject)
      and c.over <> coalesce(o.units, 0);
end
$$;

comment on function quota.unproved_overages is
  'Counters whose overage is not the sum of what their lines took past the limit.';
