-- Why this exists: the row that every writing call locks, one per subject and feature. Whoever
-- holds it is alone with the counters, holds and grants of that subject and feature, so all that
-- follows is plain reading and writing. Locking it writes no new row version.

create table quota.meters (
  subject_id text collate "C" not null,
  feature_id text collate "C" not null,
  holds_expire_at timestamptz not null default 'infinity',
  constraint meters_pkey primary key (subject_id, feature_id)
);

comment on table quota.meters is
  'The lock of one subject and feature. A call locks it first and reads everything else after.';
comment on column quota.meters.holds_expire_at is
  'No open hold expires before this instant: most calls need not look for expired ones.';

alter table quota.meters enable row level security;

create policy select_service on quota.meters
  for select to service_role using (true);

revoke all on quota.meters from public, anon, authenticated, service_role;
grant select on quota.meters to service_role;
-- Withheld: everything from authenticated, also select: who can select for share can hold a lock.
-- No foreign key to subjects or features: it would take a second lock in each first call.
