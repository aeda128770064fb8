-- The named sets of limits that customers are put on. Written by apply_plans() alone.
create table quota.plans (
  plan_id text collate "C" not null,
  name text not null,
  is_default boolean not null default false,
  upgrade_url text,
  hidden boolean not null default false,
  constraint plans_pkey primary key (plan_id),
  constraint plans_id_is_1_to_255_characters check (length(plan_id) between 1 and 255)
);

comment on table quota.plans is 'Named sets of limits: one row per plan of the plan document.';

comment on column quota.plans.is_default is
  'True for the one plan of subjects that have none of their own.';

comment on column quota.plans.upgrade_url is
  'Where a refused caller is sent: the decision''s upgrade_url and the HINT of PT402.';

comment on column quota.plans.hidden is
  'True: not in plan_catalog, and not offered by explain_usage().';

-- Serves the look-up of the default plan, and allows only one.
create unique index plans_have_one_default on quota.plans (is_default) where is_default;

alter table quota.plans enable row level security;

create policy select_everyone on quota.plans
  for select to anon, authenticated, service_role using (true);

-- Withheld: insert, update, delete, truncate (see features).
