-- What was past a limit when it was taken: what a business bills of a soft limit, and whom a limit in
-- shadow would have refused ("how often, per plan": count them by plan_id). A ledger line of its own
-- sort: only calls that pass a limit write here, so that all others stay as cheap as they are.
create table quota.overages (
  subject_id text collate "C" not null,
  event_id uuid not null,
  period text not null,
  feature_id text collate "C" not null,
  plan_id text collate "C",
  counts_at timestamptz not null,
  mode text not null,
  units bigint not null,
  is_held boolean not null default false,
  constraint overages_pkey primary key (subject_id, event_id, period),
  constraint overages_mode_is_known check (mode in ('hard', 'soft', 'shadow'))
);

comment on table quota.overages is
  'How far a line of the ledger went past a limit: one row per line and period. The sum over a period, without holds and shadows, is its counter''s over.';

comment on column quota.overages.event_id is 'The line that took it; of a hold, the reservation.';

comment on column quota.overages.plan_id is 'The plan whose limit it was.';

comment on column quota.overages.mode is
  'soft; hard (in its grace, or a commit of more than was held); shadow (would have been refused).';

comment on column quota.overages.units is
  'Units past the limit; below zero where a refund or a reset takes them off again.';

comment on column quota.overages.is_held is
  'Of a hold: not used yet. Its commit writes what it comes to.';

-- Serves what a counter is opened with, and its proof.
create index overages_by_time on quota.overages (subject_id, feature_id, counts_at);

-- No statistics: estimates would tell of other subjects (see events).
alter table quota.overages
  alter column subject_id set statistics 0,
  alter column event_id set statistics 0,
  alter column period set statistics 0,
  alter column feature_id set statistics 0,
  alter column plan_id set statistics 0,
  alter column counts_at set statistics 0,
  alter column mode set statistics 0,
  alter column units set statistics 0,
  alter column is_held set statistics 0;

alter table quota.overages enable row level security;

create policy select_own on quota.overages
  for select to authenticated
  using (
    subject_id = any (array(select quota.subjects_of((select quota.user_id()))))
    -- Hidden features and limits in shadow are in no view of users.
    and mode <> 'shadow'
    and not feature_id = any (array(select f.feature_id from quota.features as f where f.hidden))
  );

create policy select_service on quota.overages
  for select to service_role using (true);

-- Withheld: every write: it changes only together with the ledger.
