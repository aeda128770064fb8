-- The views of schema public for an installation that is spread over nodes: part of citus.sql, which runs it.
--
-- Those of sql/views/ read tables with their reader's rights. On Citus a worker would be asked by a session of
-- that reader, who has no login there, and whose claims stay behind. So these ask the functions of
-- citus_readers.sql. Columns, types and comments are the same, and so is what they show: the tests of the
-- views pass with both. Of filters they hand on subject = … alone: subjects come first, and what else is asked
-- for is looked up in all that those have.

create or replace view public.current_usage
with (security_invoker = true)
as
with moment as materialized (
  select quota.clock() as at, quota.is_trusted() as is_trusted
)
select
  s.subject_id collate "C" as subject,
  f.feature_id collate "C" as feature,
  f.name as feature_name,
  f.unit,
  f.kind,
  l.plan_id as plan,
  l.period,
  l.used,
  l.reserved,
  l.allowed as "limit",
  greatest(l.allowed - l.used - l.reserved, case when l.allowed is not null then 0 end) as remaining,
  l.allowed is null as unlimited,
  case
    when l.allowed = 0 then 100
    else (l.used + l.reserved) * 100 / l.allowed
  end as percent_used,
  nullif(l.period_start, '-infinity') as period_start,
  nullif(l.resets_at, 'infinity') as resets_at,
  case
    when l.used + l.reserved > l.allowed then 'over_limit'
    when l.used + l.reserved = l.allowed then 'at_limit'
    when (l.used + l.reserved) * 100 >= l.allowed * 80 then 'warning'
    else 'ok'
  end as status,
  l.granted,
  l.time_zone,
  l.carried,
  w.projected,
  w.exhausted_at,
  l.member
from moment as m
cross join quota.subjects_shown() as s (subject_id)
cross join lateral quota.usage_shown(s.subject_id, m.at) as l
join quota.features_shown() as f on f.feature_id = l.feature_id
left join lateral (
  select f.projected, f.exhausted_at
  from quota.forecast(l.used, l.allowed - l.used - l.reserved, l.period_start, l.resets_at, m.at) as f
  where l.used >= 5
) as w on true
where m.is_trusted or not f.hidden and not l.is_shadow;

create or replace view public.entitlements
with (security_invoker = true)
as
with moment as materialized (
  select quota.clock() as at
)
select
  s.subject_id collate "C" as subject,
  e.feature_id as feature,
  e.kind,
  e.enabled,
  e.value
from moment as m
cross join quota.subjects_shown() as s (subject_id)
cross join lateral quota.entitlements_shown(s.subject_id, m.at) as e;

create or replace view public.usage_history
with (security_invoker = true)
as
select
  s.subject_id collate "C" as subject,
  c.feature_id collate "C" as feature,
  c.period,
  nullif(c.period_start, '-infinity') as period_start,
  nullif(c.period_end, 'infinity') as period_end,
  least(c.used + coalesce(b.used, 0), 9007199254740991) as used,
  c.last_limit as "limit",
  c.carried,
  c.over
from quota.subjects_shown() as s (subject_id)
cross join lateral quota.history_shown(s.subject_id) as c
left join lateral (
  select n.used from quota.below_shown(s.subject_id, c.feature_id) as n where c.period = 'lifetime'
) as b on true;

create or replace view public.usage_events
with (security_invoker = true)
as
select
  s.subject_id collate "C" as subject,
  l.event_id,
  l.at,
  l.kind,
  l.feature_id collate "C" as feature,
  l.counts_at,
  l.used_change,
  l.reserved_change,
  l.drawn_change,
  l.about_id,
  l.grant_id,
  l.actor,
  l.idempotency_key collate "C" as idempotency_key,
  l.metadata,
  l.over
from quota.subjects_shown() as s (subject_id)
cross join lateral quota.events_shown(s.subject_id) as l;

create or replace view public.usage_alerts
with (security_invoker = true)
as
select
  s.subject_id collate "C" as subject,
  a.feature_id collate "C" as feature,
  a.period,
  nullif(a.period_start, '-infinity') as period_start,
  a.threshold,
  a.at,
  a.used,
  a.amount as "limit",
  a.alert_id,
  a.member collate "C" as member
from quota.subjects_shown() as s (subject_id)
cross join lateral quota.alerts_shown(s.subject_id) as a;

create or replace view public.usage_overview
with (security_invoker = true)
as
select
  o.subject_id collate "C" as subject,
  o.feature_id collate "C" as feature,
  o.period,
  o.used,
  o.reserved,
  o.allowed as "limit",
  case when o.allowed is not null then greatest(o.allowed - o.used - o.reserved, 0) end as remaining,
  o.allowed is null as unlimited,
  case
    when o.allowed = 0 then 100
    else (o.used + o.reserved) * 100 / o.allowed
  end as percent_used,
  nullif(o.period_start, '-infinity') as period_start,
  nullif(o.period_end, 'infinity') as resets_at,
  case
    when o.used + o.reserved > o.allowed then 'over_limit'
    when o.used + o.reserved = o.allowed then 'at_limit'
    when (o.used + o.reserved) * 100 >= o.allowed * 80 then 'warning'
    else 'ok'
  end as status
from (
  select
    p.subject_id, p.feature_id, p.period, p.period_start, p.period_end, p.allowed,
    least(p.used + coalesce(b.used, 0), 9007199254740991) as used,
    least(p.reserved + coalesce(b.reserved, 0), 9007199254740991) as reserved
  from quota.overview_shown() as p
  left join lateral (
    select n.used, n.reserved
    from quota.below_shown(p.subject_id, p.feature_id) as n
    where p.period = 'lifetime'
  ) as b on true
) as o;
