-- Why this exists: one subject's own limit, in place of its plan's.

create table quota.exceptions (
  subject_id text collate "C" not null,
  feature_id text collate "C" not null,
  period text not null,
  amount bigint,
  constraint exceptions_pkey primary key (subject_id, feature_id, period),
  constraint exceptions_feature_exists
    foreign key (feature_id) references quota.features (feature_id),
  constraint exceptions_period_is_known
    check (period in ('minute', 'hour', 'day', 'week', 'month', 'year', 'lifetime')),
  constraint exceptions_amount_is_0_to_9007199254740991
    check (amount between 0 and 9007199254740991)
);

comment on table quota.exceptions is
  'One subject''s own limit for a feature and period; it takes the place of the plan''s, and opens a feature that the plan lacks.';
comment on column quota.exceptions.amount is 'Units per period; null is unlimited.';

-- Serves the foreign key to features (removing a feature).
create index exceptions_by_feature on quota.exceptions (feature_id);

-- No statistics: estimates would tell of other subjects (see events).
alter table quota.exceptions
  alter column subject_id set statistics 0,
  alter column feature_id set statistics 0,
  alter column period set statistics 0,
  alter column amount set statistics 0;

alter table quota.exceptions enable row level security;

create policy select_own on quota.exceptions
  for select to authenticated
  using (subject_id = any (array(select quota.subjects_of((select quota.user_id())))));
create policy select_service on quota.exceptions
  for select to service_role using (true);

revoke all on quota.exceptions from public, anon, authenticated, service_role;
grant select on quota.exceptions to authenticated, service_role;
-- Withheld: every write; set_limit() and clear_limit() are for service_role.
