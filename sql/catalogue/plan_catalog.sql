-- The pricing page reads what the database enforces, so the two cannot differ.
create view public.plan_catalog
with (security_invoker = true)
as
select
  p.plan_id as plan,
  p.name as plan_name,
  p.is_default,
  p.upgrade_url,
  f.feature_id as feature,
  f.name as feature_name,
  f.unit,
  f.kind,
  l.period,
  l.amount as "limit",
  l.amount is null and l.value is null as unlimited,
  l.value,
  l.rollover,
  l.mode,
  l.ceiling
from quota.plans as p
join (
  select n.plan_id, n.feature_id, n.period, n.amount, null::jsonb as value, n.rollover, n.mode, n.ceiling
  from quota.plan_limits as n
  where n.mode <> 'shadow'
  union all
  -- A limit in shadow is for nobody; where there is no other, the feature is unlimited.
  select n.plan_id, n.feature_id, n.period, null::bigint as amount, null::jsonb as value,
    null::bigint as rollover, 'hard'::text as mode, null::bigint as ceiling
  from quota.plan_limits as n
  where n.mode = 'shadow'
    and not exists (
      select from quota.plan_limits as o
      where o.plan_id = n.plan_id
        and o.feature_id = n.feature_id
        and o.mode <> 'shadow'
    )
  union all
  select v.plan_id, v.feature_id, null::text as period, null::bigint as amount, v.value,
    null::bigint as rollover, null::text as mode, null::bigint as ceiling
  from quota.plan_values as v
) as l on l.plan_id = p.plan_id
join quota.features as f on f.feature_id = l.feature_id
where not p.hidden
  and not p.is_retired
  and not f.hidden;

comment on view public.plan_catalog is
  'Plans, what they allow and what they have: one row per plan, feature and period, and one per plan and switch or value. Hidden plans and features and retired plans are left out. Readable by everybody.';

comment on column public.plan_catalog.plan is 'The id of the plan.';

comment on column public.plan_catalog.plan_name is 'What the plan is called, for people.';

comment on column public.plan_catalog.is_default is 'True for the plan of subjects that have none.';

comment on column public.plan_catalog.upgrade_url is
  'Where the plan sends who wants more; null when it says nothing.';

comment on column public.plan_catalog.feature is 'The id of the feature.';

comment on column public.plan_catalog.feature_name is 'What the feature is called, for people.';

comment on column public.plan_catalog.unit is 'What one of it is called, for people.';

comment on column public.plan_catalog.kind is
  '`metered`: starts again each period. `gauge`: goes up and down (files, seats). `switch` and `value`: not counted, see value.';

comment on column public.plan_catalog.period is
  '`minute`, `hour`, `day`, `week`, `month`, `year`, `lifetime`, or a window as in 5 hours; null for a switch or value.';

comment on column public.plan_catalog."limit" is 'Units per period; null when unlimited, and for a switch or value.';

comment on column public.plan_catalog.unlimited is 'True when there is no limit.';

comment on column public.plan_catalog.value is
  'true or false of a switch, any JSON of a value; null for a limit.';

comment on column public.plan_catalog.rollover is
  'How much of what a period left stays for the next one at most; null for nothing.';

comment on column public.plan_catalog.mode is
  '`hard`: what passes the limit is refused. `soft`: it is allowed, up to ceiling, and counted as overage. Null for a switch or value.';

comment on column public.plan_catalog.ceiling is 'Where a soft limit ends; null for nowhere.';

-- Withheld: every write; the catalogue changes through apply_plans().
