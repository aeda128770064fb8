-- Why this exists: which application tables say who is on which plan. Written by follow_plan() and
-- unfollow_plan() alone; a trigger that somebody dropped is missed, since the row here expects it.

create table quota.followed_tables (
  table_id regclass not null,
  subject_column name not null,
  plan_column name not null,
  users_may_write boolean not null default false,
  constraint followed_tables_pkey primary key (table_id)
);

comment on table quota.followed_tables is
  'Tables whose plan column is followed: one row per table.';
comment on column quota.followed_tables.users_may_write is
  'Whether it is meant that users of the API may write the plan column.';

alter table quota.followed_tables enable row level security;

create policy select_service on quota.followed_tables
  for select to service_role using (true);

revoke all on quota.followed_tables from public, anon, authenticated, service_role;
grant select on quota.followed_tables to service_role;
-- Withheld: every write; follow_plan() is for DBAs, since it makes triggers.
