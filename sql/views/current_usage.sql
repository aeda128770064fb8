-- What the usage bar reads, directly from the browser, under RLS.
--
-- security_invoker: the reader's own rights and policies hold. Clock and role are read once, in a
-- materialized step. Which subjects: for trusted roles those ever seen, for everybody else the user
-- and whom it may act for, without a scan. What limits them: usage_shown(), which asks itself who
-- reads, and reads as the owner, so that n organisations cost n times as much as one. Set-returning
-- functions stand in from (in the select list of a union they cost 44 ms instead of 1).
create view public.current_usage
with (security_invoker = true)
as
with moment as materialized (
  select quota.clock() as at, quota.is_trusted() as is_trusted
),
subjects as (
  select s.subject_id
  from quota.subjects as s
  where (select m.is_trusted from moment as m)
  union all
  select o.subject_id
  from quota.subjects_of(quota.user_id()) as o (subject_id)
  where (select m.is_trusted from moment as m) is not true
    and o.subject_id is not null
)
select
  s.subject_id as subject,
  f.feature_id as feature,
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
cross join subjects as s
cross join lateral quota.usage_shown(s.subject_id, m.at) as l
join quota.features as f on f.feature_id = l.feature_id
-- Not asked where too little was used for a pace.
left join lateral (
  select f.projected, f.exhausted_at
  from quota.forecast(l.used, l.allowed - l.used - l.reserved, l.period_start, l.resets_at, m.at) as f
  where l.used >= 5
) as w on true
where m.is_trusted or not f.hidden and not l.is_shadow;

comment on view public.current_usage is
  'Use of the running periods: one row per subject, feature and period of the subject''s plan, also where nothing was used yet. A signed-in user sees itself and the subjects it belongs to. An ended period shows as 0 without any job having run.';

comment on column public.current_usage.subject is 'Who is limited.';

comment on column public.current_usage.feature is 'The id of the feature.';

comment on column public.current_usage.feature_name is 'What the feature is called, for people.';

comment on column public.current_usage.unit is 'What one of it is called, for people.';

comment on column public.current_usage.kind is
  '`metered`: starts again each period. `gauge`: goes up and down (files, seats).';

comment on column public.current_usage.plan is
  'The plan that holds now; null when the subject has none and an exception allows the feature.';

comment on column public.current_usage.period is
  '`minute`, `hour`, `day`, `week`, `month`, `year`, `lifetime`, or a window as in 5 hours.';

comment on column public.current_usage.used is 'Units used in the period.';

comment on column public.current_usage.reserved is 'Units held by open reservations.';

comment on column public.current_usage."limit" is
  'Units allowed in the period, open grants included; null when unlimited. Over REST filter it with and=(limit.gte.10): ?limit= is paging.';

comment on column public.current_usage.remaining is 'Units left, never negative; null when unlimited.';

comment on column public.current_usage.unlimited is 'True when there is no limit: still counted.';

comment on column public.current_usage.percent_used is
  'Used and reserved as a percentage of the limit, rounded down; 100 for a limit of 0; null when unlimited.';

comment on column public.current_usage.period_start is
  'When the period began; null for lifetime, and for a window that no use has opened.';

comment on column public.current_usage.resets_at is 'When used starts again at 0; null for lifetime, and for a window that no use has opened.';

comment on column public.current_usage.status is
  '`ok`; `warning` from 80 %; `at_limit`; `over_limit` (past a soft limit or in a grace, after a downgrade, or by a commit of more than was held).';

comment on column public.current_usage.granted is
  'How much of the limit is open grants: extra that does not reset.';

comment on column public.current_usage.time_zone is 'The IANA zone whose wall clock the periods follow.';

comment on column public.current_usage.carried is
  'How much of the limit was left of the period before: it is used first.';

comment on column public.current_usage.projected is
  'Units used at the end of the period, at the pace so far; null before a tenth of the period has passed and 5 units are used, and for lifetime.';

comment on column public.current_usage.exhausted_at is
  'When nothing is left at that pace, held units included (now, where nothing is); null where the limit lasts until the reset, and where projected is null.';

comment on column public.current_usage.member is
  'The member whose own cap this row is, within what the organisation has; null where it is none. A user sees its own, and where quota.sees_members() says so those of all.';

-- Withheld: everything from anon (nobody's usage), and every write.
