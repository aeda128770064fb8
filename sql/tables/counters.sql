-- Why this exists: how much of a feature a subject has used in one period. A counter is a sum of
-- the ledger kept at hand: it equals the lines whose counts_at lies in [period_start, period_end).

create table quota.counters (
  subject_id text collate "C" not null,
  feature_id text collate "C" not null,
  period text not null,
  period_start timestamptz not null,
  period_end timestamptz not null,
  used bigint not null,
  reserved bigint not null,
  drawn bigint not null,
  last_limit bigint,
  alerted bigint not null default 0,
  passed bigint not null default 0,
  -- The end stands in the key, and before the period: open periods are those with
  -- period_end > now, found without walking over the closed ones (20,000 closed minutes).
  constraint counters_pkey primary key (subject_id, feature_id, period_end, period),
  -- The one check that is worth its price: Postgres parses a check constraint anew in every
  -- statement (seven of them on counters and events cost 18 µs of a call's 100).
  constraint counters_are_not_negative check (least(used, reserved, drawn) >= 0)
) with (fillfactor = 70);

comment on table quota.counters is
  'Use of one subject and feature in one period. Periods of a kind never overlap.';
comment on column quota.counters.period_end is
  'Exclusive. When a subject''s anchor moves, the running period ends where the new one starts.';
comment on column quota.counters.reserved is
  'Held by reservations: an upper bound, expired holds are subtracted when it is read.';
comment on column quota.counters.drawn is 'How much of the use was taken from grants.';
comment on column quota.counters.last_limit is
  'The limit at the period''s last call, for usage_history; null is unlimited.';
comment on column quota.counters.alerted is
  'The highest threshold of alerts that use has passed and was told of: 0, 80 or 100 percent.';

comment on column quota.counters.passed is
  'The highest threshold that use had reached when the limit or the threshold last changed: 0, 80 or 100 percent. Use may have fallen since, never risen past it.';

-- Serves usage_overview: who is near a limit, in a running period. passed changes twice in a period at
-- most, and the other columns of a call are in no index, so that counting stays a HOT update. Asked
-- as a range: without statistics the planner takes that for 1 row in 200, and a single comparison for
-- every third row, which it would rather find by reading the whole table.
create index counters_near_the_limit on quota.counters (period_end, subject_id)
  where passed between 80 and 100;

-- used, reserved and drawn are in no index and the pages keep room, so that counting is a HOT
-- update (an index on a column that every call changes took HOT updates from 100 % to 0 %).

-- No statistics: estimates would tell of other subjects (see events).
alter table quota.counters
  alter column subject_id set statistics 0,
  alter column feature_id set statistics 0,
  alter column period set statistics 0,
  alter column period_start set statistics 0,
  alter column period_end set statistics 0,
  alter column used set statistics 0,
  alter column reserved set statistics 0,
  alter column drawn set statistics 0,
  alter column last_limit set statistics 0,
  alter column alerted set statistics 0,
  alter column passed set statistics 0;

alter table quota.counters enable row level security;

create policy select_own on quota.counters
  for select to authenticated
  using (subject_id = any (array(select quota.subjects_of((select quota.user_id())))));
create policy select_service on quota.counters
  for select to service_role using (true);

revoke all on quota.counters from public, anon, authenticated, service_role;
grant select on quota.counters to authenticated, service_role;
-- Withheld: every write, also from service_role: a counter changes only together with the ledger.
-- No foreign key to features: its row lock would be shared by every caller of the server.
