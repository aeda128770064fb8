-- The use of past periods, for a chart or an invoice.
create view public.usage_history
with (security_invoker = true)
as
select
  c.subject_id as subject,
  c.feature_id as feature,
  c.period,
  nullif(c.period_start, '-infinity') as period_start,
  nullif(c.period_end, 'infinity') as period_end,
  least(coalesce(c.used, m.used - c.used_before) + coalesce(b.used, 0), 9007199254740991) as used,
  c.last_limit as "limit",
  c.carried,
  c.over
from quota.counters as c
join quota.meters as m on m.subject_id = c.subject_id and m.feature_id = c.feature_id
-- A gauge has lifetime alone.
left join lateral (
  select n.used from quota.below_shown(c.subject_id, c.feature_id) as n where c.period = 'lifetime'
) as b on true
-- Caps of members: see current_usage and usage_breakdown().
where strpos(c.subject_id, chr(31)) = 0;

comment on view public.usage_history is
  'Use per period, closed and open ones, minutes and hours left out, windows not. A period in which nothing was used has no row. Periods of a kind never overlap.';

comment on column public.usage_history.subject is 'Who used it.';

comment on column public.usage_history.feature is 'The id of the feature.';

comment on column public.usage_history.period is '`day`, `week`, `month`, `year`, `lifetime`, or a window as in 5 hours.';

comment on column public.usage_history.period_start is
  'When the period began; null for lifetime.';

comment on column public.usage_history.period_end is 'Exclusive; null for lifetime.';

comment on column public.usage_history.used is 'Units used in the period; of a gauge what the subject has, and those below it.';

comment on column public.usage_history."limit" is
  'The limit at the period''s last call; null when it was unlimited.';

comment on column public.usage_history.carried is
  'How much of the limit was left of the period before.';

comment on column public.usage_history.over is
  'Units that were past the limit when they were used, less what was refunded of them: what a soft limit is billed for.';

-- Withheld: everything from anon, and every write.
