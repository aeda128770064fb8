-- Why this exists: "you have used 80 %", read by its owner; servers may listen to the channel
-- usage_alert instead.
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
  a.amount as "limit"
from quota.alerts as a;

comment on view public.usage_alerts is
  'Limits of which 80 % or 100 % was crossed: one row per subject, feature, period and threshold, written by the call that crossed it, again after a reset. Each is also sent to the channel usage_alert (pg_notify) as JSON.';
comment on column public.usage_alerts.subject is 'Who is limited.';
comment on column public.usage_alerts.feature is 'The id of the feature.';
comment on column public.usage_alerts.period is
  '`minute`, `hour`, `day`, `week`, `month`, `year` or `lifetime`.';
comment on column public.usage_alerts.period_start is 'When the period began; null for lifetime.';
comment on column public.usage_alerts.threshold is '80 or 100: per cent of the limit.';
comment on column public.usage_alerts.at is 'When it was crossed.';
comment on column public.usage_alerts.used is 'Used and reserved units, after the crossing call.';
comment on column public.usage_alerts."limit" is 'The limit at that moment.';

revoke all on public.usage_alerts from public, anon, authenticated, service_role;
grant select on public.usage_alerts to authenticated, service_role;
-- Withheld: everything from anon, and every write.
