-- A hold on an amount while work runs. It ends once: committed, released or
-- expired.
create table quota.reservations (
  subject_id text collate "C" not null,
  reservation_id uuid not null,
  feature_id text collate "C" not null,
  amount bigint not null,
  reserved_at timestamptz not null,
  expires_at timestamptz not null,
  state text not null default 'open',
  answer quota.kept_answer,
  is_plain boolean not null default true,
  actor text,
  -- No check constraints: Postgres sets each up anew in every call. Two took 86k of a reserve's 802k instructions.
  constraint reservations_pkey primary key (subject_id, reservation_id)
);

comment on table quota.reservations is
  'Holds on an amount. An open one counts against every limit of its feature until expires_at.';

comment on column quota.reservations.state is
  'open, expired (its hold was given back; a late commit is still possible), committed or released.';

comment on column quota.reservations.answer is
  'What ended it was told this; the same ending repeated is told it again.';

comment on column quota.reservations.is_plain is
  'False where its end must be looked at: it was past a limit when it was made (quota.overages says how far), or its call holds in several meters (quota.shares).';

comment on column quota.reservations.actor is
  'The user for whom it was made, where it is not the subject itself; the lines of its end have it, too.';

-- Serves commit and release, which are not told the subject.
create index reservations_by_id on quota.reservations (reservation_id);

-- Serves the look for expired holds. Small: settled reservations are not in it.
create index reservations_open on quota.reservations (subject_id, feature_id, expires_at)
  where state = 'open';

-- No statistics: estimates would tell of other subjects (see events).
alter table quota.reservations
  alter column subject_id set statistics 0,
  alter column reservation_id set statistics 0,
  alter column feature_id set statistics 0,
  alter column amount set statistics 0,
  alter column reserved_at set statistics 0,
  alter column expires_at set statistics 0,
  alter column state set statistics 0,
  alter column answer set statistics 0,
  alter column is_plain set statistics 0,
  alter column actor set statistics 0;

alter table quota.reservations enable row level security;

create policy select_own on quota.reservations
  for select to authenticated
  using (subject_id = any (array(select quota.subjects_of((select quota.user_id())))));

create policy select_service on quota.reservations
  for select to service_role using (true);

-- Withheld: every write; reserve, commit and release are for service_role.
