-- A meter reads as an electricity meter does: it shows a running total and only ever adds. What a period
-- used is the reading now less the reading at its start, which stands in quota.counters. So one call is
-- one update of one row, whatever the number of its limits, and one line of the ledger.
--
-- The row is also the lock: whoever has updated or locked it is alone with the counters, holds and
-- grants of that subject and feature until its transaction ends.
--
-- And it remembers what the last look at the limits found. Since the rooms of all running periods shrink
-- in step, one number covers every limit: the reading up to which a call is plainly allowed (ceiling).
-- The memory is exact because (a) it is used under the lock, and only for the edition of the catalogue
-- that it was read from, looked at in a statement after the lock; (b) whoever changes the terms of the
-- subject locks the meter, too, and makes it forget; (c) it ends at the next instant at which time
-- changes something. Of minutes and hours, which are in no history, the reading at the start stands here,
-- too, so that one that begins costs no more than another update.

create table quota.meters (
  subject_id text collate "C" not null,
  feature_id text collate "C" not null,
  used bigint not null default 0,
  reserved bigint not null default 0,
  drawn bigint not null default 0,
  rows_used bigint not null default 0,
  counted_until timestamptz not null default '-infinity',
  holds_expire_at timestamptz not null default 'infinity',
  open_from timestamptz not null default '-infinity',
  open_until timestamptz not null default 'infinity',
  minute_until timestamptz not null default '-infinity',
  minute_used_before bigint not null default 0,
  minute_reserved_before bigint not null default 0,
  minute_alerted bigint not null default 0,
  hour_until timestamptz not null default '-infinity',
  hour_used_before bigint not null default 0,
  hour_reserved_before bigint not null default 0,
  hour_alerted bigint not null default 0,
  fresh_from timestamptz not null default 'infinity',
  fresh_until timestamptz not null default '-infinity',
  catalogue_version bigint not null default 0,
  floor bigint not null default 0,
  ceiling bigint,
  period text,
  period_start timestamptz,
  period_end timestamptz,
  allowed bigint,
  granted bigint not null default 0,
  used_before bigint not null default 0,
  reserved_before bigint not null default 0,
  minute_limit bigint,
  hour_limit bigint,
  hour_ceiling bigint,
  long_limits bigint not null default 0,
  long_until timestamptz not null default '-infinity',
  long_ceiling bigint,
  long_period text,
  long_start timestamptz,
  long_end timestamptz,
  long_allowed bigint,
  long_granted bigint not null default 0,
  long_used_before bigint not null default 0,
  long_reserved_before bigint not null default 0,
  plan_ends_at timestamptz not null default 'infinity',
  plan_id text collate "C",
  upgrade_url text,
  server_only boolean not null default false,
  first_mark bigint not null default 80,
  refuses boolean not null default true,
  long_carried bigint not null default 0,
  joint_ceiling bigint,
  has_caps boolean not null default false,
  levels text[],
  ways text[],
  units bigint[],
  pers bigint[],
  lock_order bigint[],
  constraint meters_pkey primary key (subject_id, feature_id)
) with (fillfactor = 70);

comment on table quota.meters is
  'One row per subject and feature: the running totals of its ledger lines, the lock, and what the last look at the limits found.';

comment on column quota.meters.used is
  'The sum of all its lines: a reading. reserved and drawn are two more.';

comment on column quota.meters.rows_used is
  'How much of a gauge the rows of limited tables are: only they give it back.';

comment on column quota.meters.counted_until is
  'No line counts in a later instant, but for plain calls, which count before fresh_until.';

comment on column quota.meters.holds_expire_at is
  'No open hold expires before this instant: most calls need not look for expired ones.';

comment on column quota.meters.open_from is
  'The latest start of an open counter, or end of a closed one. What counts in an instant of [open_from, open_until) changes no counter.';

comment on column quota.meters.open_until is 'The first end of an open counter.';

comment on column quota.meters.minute_until is
  'The end of the minute that the other minute columns are of.';

comment on column quota.meters.minute_used_before is 'The reading at the start of that minute.';

comment on column quota.meters.minute_alerted is
  'The highest threshold of alerts that this minute has passed and was told of: 0 or a percent.';

comment on column quota.meters.fresh_from is
  'When the rest was remembered: a clock that was set back behind it finds other periods. infinity: forgotten.';

comment on column quota.meters.fresh_until is 'When time changes something.';

comment on column quota.meters.floor is
  'Below this reading (used and reserved) an alert could be told again: ask properly.';

comment on column quota.meters.ceiling is
  'Up to this reading a call is allowed by every limit, and crosses no mark of an alert; null where no call takes from this meter alone, or none may.';

comment on column quota.meters.joint_ceiling is
  'As ceiling, for a part of a call that takes from other meters, too (quota.take_together()).';

comment on column quota.meters.has_caps is
  'Whether members may have caps of it: who acts then takes from its own, too.';

comment on column quota.meters.levels is
  'The subject and those above it, from the top down. ways: the features that a call of it takes from at each, in byte order; null where it is this meter alone. lock_order: which of all these meters is locked first.';

comment on column quota.meters.units is
  'Of each way, with pers, its price: units for pers units of the feature; 1 for 1 of the feature itself.';

comment on column quota.meters.period is
  'The limit with least room: it stays that, since all shrink in step. period_start to reserved_before are of it.';

comment on column quota.meters.allowed is 'Its limit, open grants included; null is unlimited.';

comment on column quota.meters.minute_limit is
  'The limit of any minute: -1 is unlimited, null is no limit of that period.';

comment on column quota.meters.first_mark is
  'The lowest percent of a limit that is noted: how far a minute or an hour that begins may go plainly.';

comment on column quota.meters.refuses is
  'Whether what does not fit is refused, and fits when its limit starts again: false while one is soft, rolls over, or was drawn on grants.';

comment on column quota.meters.long_limits is 'How many limits of a day and longer there are.';

comment on column quota.meters.long_until is
  'As fresh_until, of these alone, and so are long_ceiling to long_reserved_before: what holds on when a minute or an hour begins.';

comment on column quota.meters.long_granted is
  'Open grants. They lift no window of minutes or hours, also where that is long_period.';

comment on column quota.meters.plan_ends_at is 'When the plan, or an exception to it, ends by itself; infinity: never.';

-- Serves usage_overview: whose minute or hour is near its limit. These change with an alert alone, so
-- counting stays a HOT update.
create index meters_near_a_short_limit on quota.meters (subject_id, feature_id)
  where greatest(minute_alerted, hour_alerted) between 80 and 100;

-- No statistics: estimates would tell of other subjects (see events).
alter table quota.meters
  alter column subject_id set statistics 0,
  alter column feature_id set statistics 0,
  alter column used set statistics 0,
  alter column reserved set statistics 0,
  alter column drawn set statistics 0,
  alter column rows_used set statistics 0,
  alter column counted_until set statistics 0,
  alter column holds_expire_at set statistics 0,
  alter column open_from set statistics 0,
  alter column open_until set statistics 0,
  alter column minute_until set statistics 0,
  alter column minute_used_before set statistics 0,
  alter column minute_reserved_before set statistics 0,
  alter column minute_alerted set statistics 0,
  alter column hour_until set statistics 0,
  alter column hour_used_before set statistics 0,
  alter column hour_reserved_before set statistics 0,
  alter column hour_alerted set statistics 0,
  alter column fresh_from set statistics 0,
  alter column fresh_until set statistics 0,
  alter column catalogue_version set statistics 0,
  alter column floor set statistics 0,
  alter column ceiling set statistics 0,
  alter column period set statistics 0,
  alter column period_start set statistics 0,
  alter column period_end set statistics 0,
  alter column allowed set statistics 0,
  alter column granted set statistics 0,
  alter column used_before set statistics 0,
  alter column reserved_before set statistics 0,
  alter column minute_limit set statistics 0,
  alter column hour_limit set statistics 0,
  alter column hour_ceiling set statistics 0,
  alter column long_limits set statistics 0,
  alter column long_until set statistics 0,
  alter column long_ceiling set statistics 0,
  alter column long_period set statistics 0,
  alter column long_start set statistics 0,
  alter column long_end set statistics 0,
  alter column long_allowed set statistics 0,
  alter column long_granted set statistics 0,
  alter column long_used_before set statistics 0,
  alter column long_reserved_before set statistics 0,
  alter column plan_ends_at set statistics 0,
  alter column plan_id set statistics 0,
  alter column upgrade_url set statistics 0,
  alter column server_only set statistics 0,
  alter column first_mark set statistics 0,
  alter column refuses set statistics 0,
  alter column long_carried set statistics 0,
  alter column joint_ceiling set statistics 0,
  alter column has_caps set statistics 0,
  alter column levels set statistics 0,
  alter column ways set statistics 0,
  alter column units set statistics 0,
  alter column pers set statistics 0,
  alter column lock_order set statistics 0;

alter table quota.meters enable row level security;

create policy select_own on quota.meters
  for select to authenticated
  using (subject_id = any (array(select quota.subjects_of((select quota.user_id())))));

create policy select_service on quota.meters
  for select to service_role using (true);

-- Withheld: every write, and with it every lock: whoever may select alone cannot select for share.
-- No foreign key to subjects or features: it would take a second lock in each first call.
