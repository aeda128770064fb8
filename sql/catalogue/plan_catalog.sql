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
  l.amount is null as unlimited
from quota.plans as p
join quota.plan_limits as l on l.plan_id = p.plan_id
join quota.features as f on f.feature_id = l.feature_id;

comment on view public.plan_catalog is
  'Plans and their limits: one row per plan, feature and period. Readable by everybody.';

comment on column public.plan_catalog.plan is 'The id of the plan.';

comment on column public.plan_catalog.plan_name is 'What the plan is called, for people.';

comment on column public.plan_catalog.is_default is 'True for the plan of subjects that have none.';

comment on column public.plan_catalog.upgrade_url is
  'Where the plan sends who wants more; null when it says nothing.';

comment on column public.plan_catalog.feature is 'The id of the feature.';

comment on column public.plan_catalog.feature_name is 'What the feature is called, for people.';

comment on column public.plan_catalog.unit is 'What one of it is called, for people.';

comment on column public.plan_catalog.kind is
  '`metered`: starts again each period. `gauge`: goes up and down (files, seats).';

comment on column public.plan_catalog.period is
  '`minute`, `hour`, `day`, `week`, `month`, `year` or `lifetime`.';

comment on column public.plan_catalog."limit" is 'Units per period; null when unlimited.';

comment on column public.plan_catalog.unlimited is 'True when there is no limit.';

-- Withheld: every write; the catalogue changes through apply_plans().
