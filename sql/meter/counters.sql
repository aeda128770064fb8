-- A row per period of a day and longer: the meter's readings at its start. While the period runs no call
-- changes it: its use is the meter's reading less this one. When it has ended, the next call that asks
-- properly writes down what it was, and it is a plain number from then on.

create table quota.counters (
  subject_id text collate "C" not null,
  feature_id text collate "C" not null,
  period text not null,
  period_start timestamptz not null,
  period_end timestamptz not null,
  used_before bigint not null,
  reserved_before bigint not null,
  drawn_before bigint not null,
  used bigint,
  reserved bigint,
  drawn bigint,
  last_limit bigint,
  alerted bigint not null default 0,
  passed bigint not null default 0,
  own bigint,
  carried bigint not null default 0,
  over bigint not null default 0,
  crossed_at timestamptz,
  mode text not null default 'hard',
  rollover bigint,
  -- The end stands in the key, and before the period: open periods are those with
  -- period_end > now, found without walking over the closed ones.
  constraint counters_pkey primary key (subject_id, feature_id, period_end, period)
) with (fillfactor = 80);

comment on table quota.counters is
  'Use of one subject and feature in one period of a day and longer. Periods of a kind never overlap.';

comment on column quota.counters.period_end is
  'Exclusive. When a subject''s anchor moves, the running period ends where the new one starts.';

comment on column quota.counters.used_before is
  'The meter''s reading when the period began; moved along when a line counts before it later.';

comment on column quota.counters.used is
  'Null while the counter is open: it is the meter''s reading less that at the start. A number once it is closed.';

comment on column quota.counters.reserved is
  'The same of holds: an upper bound, expired ones are subtracted when it is read.';

comment on column quota.counters.drawn is 'The same of what was taken from grants.';

comment on column quota.counters.last_limit is
  'The limit at the period''s last look, for usage_history; null is unlimited.';

comment on column quota.counters.alerted is
  'The highest threshold of alerts that use has passed and was told of: 0 or a percent.';

comment on column quota.counters.passed is
  'The highest threshold that use had reached when the limit or the threshold last changed: 0 or a percent. Use may have fallen since, never risen past it.';

comment on column quota.counters.own is
  'last_limit without what is carried and granted: what the plan, or the exception, allowed at the last look.';

comment on column quota.counters.carried is 'How much of last_limit was left of the period before.';

comment on column quota.counters.over is
  'What was past the limit when it was used, less what was refunded of that: the sum of quota.overages.';

comment on column quota.counters.crossed_at is
  'When use or a hold first went past the limit: grace runs from here.';

comment on column quota.counters.mode is 'The limit''s mode at the last look; one in shadow is not for users.';

comment on column quota.counters.rollover is
  'How much could be carried into this period at most; null: nothing, also where its terms were new.';

-- Serves usage_overview: who is near a limit, in a running period. Asked as a range: without statistics
-- the planner takes that for 1 row in 200, and a single comparison for every third row, which it would
-- rather find by reading the whole table.
create index counters_near_the_limit on quota.counters (period_end, subject_id)
  where passed between 80 and 100;

-- No statistics: estimates would tell of other subjects (see events).
alter table quota.counters
  alter column subject_id set statistics 0,
  alter column feature_id set statistics 0,
  alter column period set statistics 0,
  alter column period_start set statistics 0,
  alter column period_end set statistics 0,
  alter column used_before set statistics 0,
  alter column reserved_before set statistics 0,
  alter column drawn_before set statistics 0,
  alter column used set statistics 0,
  alter column reserved set statistics 0,
  alter column drawn set statistics 0,
  alter column last_limit set statistics 0,
  alter column alerted set statistics 0,
  alter column passed set statistics 0,
  alter column own set statistics 0,
  alter column carried set statistics 0,
  alter column over set statistics 0,
  alter column crossed_at set statistics 0,
  alter column mode set statistics 0,
  alter column rollover set statistics 0;

alter table quota.counters enable row level security;

create policy select_own on quota.counters
  for select to authenticated
  using (
    subject_id = any (array(select quota.subjects_of((select quota.user_id()))))
    -- Hidden features and limits in shadow are in no view of users.
    and mode <> 'shadow'
    and not feature_id = any (array(select f.feature_id from quota.features as f where f.hidden))
  );

create policy select_service on quota.counters
  for select to service_role using (true);

-- Withheld: every write, also from service_role: a counter changes only together with the ledger.
-- No foreign key to features: its row lock would be shared by every caller of the server.
