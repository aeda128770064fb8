-- Why this exists: the row that every writing call locks, one per subject and feature. Whoever
-- holds it is alone with the counters, holds and grants of that subject and feature, so all that
-- follows is plain reading and writing. Locking it writes no new row version.
--
-- It also remembers what limits_of() said last, so that most calls need not ask again (0.3 of a bare
-- update's speed without, 0.5 with). The memory is exact because (a) it is used under the lock and
-- only for the edition of the catalogue that it was read from, looked at again in a statement after
-- the lock; (b) set_plan(), set_limit() and grants lock the meter too and make it forget; (c) it ends
-- at the next instant at which time changes something. Of a minute or an hour that begins, the limit is
-- remembered, too, so that a user's usual call, some minutes after the last, is not a long one.

create table quota.meters (
  subject_id text collate "C" not null,
  feature_id text collate "C" not null,
  holds_expire_at timestamptz not null default 'infinity',
  fresh_from timestamptz not null default 'infinity',
  fresh_until timestamptz not null default '-infinity',
  long_until timestamptz not null default '-infinity',
  plan_ends_at timestamptz not null default 'infinity',
  minute_limit bigint,
  hour_limit bigint,
  is_full boolean not null default false,
  catalogue_version bigint not null default 0,
  plan_id text collate "C",
  upgrade_url text,
  server_only boolean not null default false,
  rows_used bigint not null default 0,
  constraint meters_pkey primary key (subject_id, feature_id)
) with (fillfactor = 80);

comment on table quota.meters is
  'The lock of one subject and feature. A call locks it first and reads everything else after.';
comment on column quota.meters.holds_expire_at is
  'No open hold expires before this instant: most calls need not look for expired ones.';
comment on column quota.meters.fresh_from is
  'When it was remembered: a clock that was set back behind it finds other counters open. infinity: forgotten.';
comment on column quota.meters.fresh_until is
  'Until then the open counters are all the limits there are, and their last_limit is the limit; long_until to is_full are what else is remembered.';
comment on column quota.meters.long_until is 'Until then only minutes and hours end.';
comment on column quota.meters.plan_ends_at is 'When the plan ends by itself; infinity: never.';
comment on column quota.meters.minute_limit is
  'The limit of a minute that begins: -1 is unlimited, null is no limit of that period.';
comment on column quota.meters.hour_limit is 'The same of an hour.';
comment on column quota.meters.is_full is
  'The last use left no room under a limit: the next call looks before it locks.';
comment on column quota.meters.rows_used is
  'How much of a gauge the rows of limited tables are: only they give it back.';

alter table quota.meters enable row level security;

create policy select_service on quota.meters
  for select to service_role using (true);

revoke all on quota.meters from public, anon, authenticated, service_role;
grant select on quota.meters to service_role;
-- Withheld: everything from authenticated, also select: who can select for share can hold a lock.
-- No foreign key to subjects or features: it would take a second lock in each first call.
