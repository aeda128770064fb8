-- "who is near the limit?", asked by the operator over all subjects. current_usage
-- computes every limit of every subject for that (20,000 subjects: 10 s); this reads the numbers that
-- calls left in the counters.
--
-- Two halves. The first is what has passed a mark, found by an index that holds nothing else; its
-- status is computed, since use may have fallen again. The second has not, so its status is a
-- constant: a query for other statuses leaves it out while it is planned, and never touches it.
create view public.usage_overview
with (security_invoker = true)
as
with moment as materialized (
  select quota.clock() as at
)
select
  c.subject_id as subject,
  c.feature_id as feature,
  c.period,
  n.used,
  n.reserved,
  c.last_limit as "limit",
  case when c.last_limit is not null then greatest(c.last_limit - n.used - n.reserved, 0) end as remaining,
  c.last_limit is null as unlimited,
  case
    when c.last_limit = 0 then 100
    else (n.used + n.reserved) * 100 / c.last_limit
  end as percent_used,
  nullif(c.period_start, '-infinity') as period_start,
  nullif(c.period_end, 'infinity') as resets_at,
  case
    when n.used + n.reserved > c.last_limit then 'over_limit'
    when n.used + n.reserved = c.last_limit then 'at_limit'
    when (n.used + n.reserved) * 100 >= c.last_limit * 80 then 'warning'
    else 'ok'
  end as status
from quota.counters as c
join quota.meters as m on m.subject_id = c.subject_id and m.feature_id = c.feature_id
left join lateral (
  select o.used, o.reserved
  from quota.below_shown(c.subject_id, c.feature_id) as o
  where c.period = 'lifetime'
) as b on true
cross join lateral (
  select
    least(coalesce(c.used, m.used - c.used_before) + coalesce(b.used, 0), 9007199254740991) as used,
    least(
      coalesce(c.reserved, m.reserved - c.reserved_before) + coalesce(b.reserved, 0), 9007199254740991
    ) as reserved
) as n
where strpos(c.subject_id, chr(31)) = 0
  and c.passed between 80 and 100
  and c.period_end > (select m.at from moment as m)
union all
select
  c.subject_id,
  c.feature_id,
  c.period,
  n.used,
  n.reserved,
  c.last_limit,
  case when c.last_limit is not null then greatest(c.last_limit - n.used - n.reserved, 0) end,
  c.last_limit is null,
  (n.used + n.reserved) * 100 / nullif(c.last_limit, 0),
  nullif(c.period_start, '-infinity'),
  nullif(c.period_end, 'infinity'),
  'ok'
from quota.counters as c
join quota.meters as m on m.subject_id = c.subject_id and m.feature_id = c.feature_id
left join lateral (
  select o.used, o.reserved
  from quota.below_shown(c.subject_id, c.feature_id) as o
  where c.period = 'lifetime'
) as b on true
cross join lateral (
  select
    least(coalesce(c.used, m.used - c.used_before) + coalesce(b.used, 0), 9007199254740991) as used,
    least(
      coalesce(c.reserved, m.reserved - c.reserved_before) + coalesce(b.reserved, 0), 9007199254740991
    ) as reserved
) as n
where strpos(c.subject_id, chr(31)) = 0
  and c.passed not between 80 and 100
  and c.period_end > (select m.at from moment as m)
-- Minutes and hours stand with the meter; the same two halves.
union all
select
  m.subject_id,
  m.feature_id,
  w.period,
  w.used,
  w.reserved,
  w.allowed,
  case when w.allowed is not null then greatest(w.allowed - w.used - w.reserved, 0) end,
  w.allowed is null,
  case
    when w.allowed = 0 then 100
    else (w.used + w.reserved) * 100 / w.allowed
  end,
  w.period_end - w.length,
  w.period_end,
  case
    when w.used + w.reserved > w.allowed then 'over_limit'
    when w.used + w.reserved = w.allowed then 'at_limit'
    when (w.used + w.reserved) * 100 >= w.allowed * 80 then 'warning'
    else 'ok'
  end
from quota.meters as m
cross join lateral (values
  (
    'minute', m.minute_until, interval '1 minute', m.used - m.minute_used_before,
    m.reserved - m.minute_reserved_before, nullif(m.minute_limit, -1)
  ),
  (
    'hour', m.hour_until, interval '1 hour', m.used - m.hour_used_before,
    m.reserved - m.hour_reserved_before, nullif(m.hour_limit, -1)
  )
) as w (period, period_end, length, used, reserved, allowed)
where strpos(m.subject_id, chr(31)) = 0
  and greatest(m.minute_alerted, m.hour_alerted) between 80 and 100
  and w.period_end > (select m.at from moment as m)
union all
select
  m.subject_id,
  m.feature_id,
  w.period,
  w.used,
  w.reserved,
  w.allowed,
  case when w.allowed is not null then greatest(w.allowed - w.used - w.reserved, 0) end,
  w.allowed is null,
  (w.used + w.reserved) * 100 / nullif(w.allowed, 0),
  w.period_end - w.length,
  w.period_end,
  'ok'
from quota.meters as m
cross join lateral (values
  (
    'minute', m.minute_until, interval '1 minute', m.used - m.minute_used_before,
    m.reserved - m.minute_reserved_before, nullif(m.minute_limit, -1)
  ),
  (
    'hour', m.hour_until, interval '1 hour', m.used - m.hour_used_before,
    m.reserved - m.hour_reserved_before, nullif(m.hour_limit, -1)
  )
) as w (period, period_end, length, used, reserved, allowed)
where strpos(m.subject_id, chr(31)) = 0
  and greatest(m.minute_alerted, m.hour_alerted) not between 80 and 100
  and w.period_end > (select m.at from moment as m);

comment on view public.usage_overview is
  'The operator''s list: one row per subject, feature and running period that has been used, from stored numbers alone. Who is near a limit, over any number of subjects: where status in (''warning'', ''at_limit'', ''over_limit'') order by percent_used desc limit 50. A limit that changed since the subject''s last call shows with its next one (set_plan and set_limit show at once), and an expired hold counts until then; current_usage of that subject is exact at any time. For the server.';

comment on column public.usage_overview.subject is 'Who is limited.';

comment on column public.usage_overview.feature is 'The id of the feature.';

comment on column public.usage_overview.period is
  '`minute`, `hour`, `day`, `week`, `month`, `year`, `lifetime`, or a window as in 5 hours.';

comment on column public.usage_overview.used is 'Units used in the period; of a gauge what the subject has, and those below it.';

comment on column public.usage_overview.reserved is
  'Units held by reservations, also by expired ones that no call has met since.';

comment on column public.usage_overview."limit" is
  'Units allowed at the period''s last call, open grants included; null when unlimited. Over REST filter it with and=(limit.gte.10): ?limit= is paging.';

comment on column public.usage_overview.remaining is 'Units left, never negative; null when unlimited.';

comment on column public.usage_overview.unlimited is 'True when there is no limit: still counted.';

comment on column public.usage_overview.percent_used is
  'Used and reserved as a percentage of the limit, rounded down; 100 for a limit of 0; null when unlimited.';

comment on column public.usage_overview.period_start is
  'When the period began; null for lifetime.';

comment on column public.usage_overview.resets_at is 'When used starts again at 0; null for lifetime.';

comment on column public.usage_overview.status is
  '`ok`; `warning` from 80 %; `at_limit`; `over_limit`.';

-- Withheld: everything from users (current_usage is theirs), and every write.
