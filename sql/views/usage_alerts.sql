-- "you have used 80 %", read by its owner. Servers are told by deliver_alerts().
create view public.usage_alerts
with (security_invoker = true)
as
select
  a.subject_id as subject,
  a.feature_id as feature,
  a.period,
  nullif(a.period_start, '-infinity') as period_start,
  a.threshold,
  a.at,
  a.used,
  a.amount as "limit",
  a.alert_id,
  a.member
from quota.alerts as a;

comment on view public.usage_alerts is
  'Limits of which a mark was crossed (80 % and 100 %, or the alerts of the feature in the plan document): one row per subject, feature, period and threshold, written by the call that crossed it, again after a reset. deliver_alerts() hands them out, npx pgquota alerts sends them to a webhook.';

comment on column public.usage_alerts.subject is 'Who is limited.';

comment on column public.usage_alerts.feature is 'The id of the feature.';

comment on column public.usage_alerts.period is
  '`minute`, `hour`, `day`, `week`, `month`, `year`, `lifetime`, or a window as in 5 hours.';

comment on column public.usage_alerts.period_start is 'When the period began; null for lifetime.';

comment on column public.usage_alerts.threshold is 'Per cent of the limit: 80 or 100, or what the plan document says.';

comment on column public.usage_alerts.at is 'When it was crossed.';

comment on column public.usage_alerts.used is 'Used and reserved units, after the crossing call.';

comment on column public.usage_alerts."limit" is 'The limit at that moment.';

comment on column public.usage_alerts.alert_id is
  'Which alert it is: the same in each delivery, and what acknowledge_alerts() is told.';

comment on column public.usage_alerts.member is
  'The member whose own cap it is, within what the organisation (subject) has; null where it is none. A user sees its own, and where quota.sees_members() says so those of all.';

-- Withheld: everything from anon, and every write.
