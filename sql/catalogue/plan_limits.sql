-- Plan × feature × period → how much. Written by apply_plans() alone.
create table quota.plan_limits (
  plan_id text collate "C" not null,
  feature_id text collate "C" not null,
  period text not null,
  amount bigint,
  rollover bigint,
  mode text not null default 'hard',
  ceiling bigint,
  grace interval,
  constraint plan_limits_pkey primary key (plan_id, feature_id, period),
  constraint plan_limits_plan_exists
    foreign key (plan_id) references quota.plans (plan_id) on delete cascade,
  constraint plan_limits_feature_exists
    foreign key (feature_id) references quota.features (feature_id),
  constraint plan_limits_period_is_known
    check (
      period in ('minute', 'hour', 'day', 'week', 'month', 'year', 'lifetime')
      -- A window (see quota.period_rank()).
      or period ~ '^[1-9][0-9]{0,3} (minute|hour|day|week|month)s?$'
    ),
  -- 2^53 - 1: every JSON client reads the number exactly.
  constraint plan_limits_amount_is_0_to_9007199254740991
    check (amount between 0 and 9007199254740991),
  constraint plan_limits_mode_is_known check (mode in ('hard', 'soft', 'shadow')),
  constraint plan_limits_ceiling_is_no_less_than_amount check (ceiling >= amount)
);

comment on table quota.plan_limits is
  'How much a plan allows of a feature in a period. No row: the feature is not in the plan.';

comment on column quota.plan_limits.amount is 'Units per period; null is unlimited (still counted).';

comment on column quota.plan_limits.rollover is
  'At most so much of what a period left of it stays for the next one; null is nothing.';

comment on column quota.plan_limits.mode is
  'hard refuses; soft allows what passes the limit, up to ceiling; shadow allows everything and notes what hard would have refused.';

comment on column quota.plan_limits.ceiling is
  'Where soft, or hard while grace lasts, ends; null is nowhere.';

comment on column quota.plan_limits.grace is
  'How long a hard limit is soft from its first crossing in a period on; null is not at all.';

-- Serves the foreign key to features (removing a feature).
create index plan_limits_by_feature on quota.plan_limits (feature_id);

alter table quota.plan_limits enable row level security;

create policy select_everyone on quota.plan_limits
  for select to anon, authenticated, service_role using (true);

-- Withheld: insert, update, delete, truncate (see features).
