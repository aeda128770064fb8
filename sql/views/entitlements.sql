-- "Has this customer SSO, which context size?", read from the browser, under RLS.
--
-- As current_usage: which subjects there are is the reader's to see, and entitlements_shown() asks
-- itself who reads.
create view public.entitlements
with (security_invoker = true)
as
with moment as materialized (
  select quota.clock() as at
),
subjects as (
  select s.subject_id
  from quota.subjects as s
  where (select quota.is_trusted())
  union all
  select o.subject_id
  from quota.subjects_of(quota.user_id()) as o (subject_id)
  where (select quota.is_trusted()) is not true
    and o.subject_id is not null
)
select
  s.subject_id as subject,
  e.feature_id as feature,
  e.kind,
  e.enabled,
  e.value
from moment as m
cross join subjects as s
cross join lateral quota.entitlements_shown(s.subject_id, m.at) as e;

comment on view public.entitlements is
  'Switches and values as they hold now: one row per subject and switch or value of the catalogue, also where the plan lacks it. A signed-in user sees itself and the subjects it belongs to. An override of set_value() that has ended shows no more, without any job having run.';

comment on column public.entitlements.subject is 'Whose it is.';

comment on column public.entitlements.feature is 'The id of the feature.';

comment on column public.entitlements.kind is '`switch` or `value`.';

comment on column public.entitlements.enabled is
  'True for a switch that is on, and for a value that is there.';

comment on column public.entitlements.value is
  'true or false of a switch, any JSON of a value; null when the subject has none. 0, false and "" are values.';

-- Withheld: everything from anon (nobody's), and every write.
