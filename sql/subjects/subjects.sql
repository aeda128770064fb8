-- Which plan a subject is on, and where its periods begin. A subject without a
-- row has the default plan and the UTC calendar; the first use makes the row.
create table quota.subjects (
  subject_id text collate "C" not null,
  plan_id text collate "C",
  plan_ends_at timestamptz,
  anchor_at timestamptz,
  time_zone text not null default 'UTC',
  has_extras boolean not null default false,
  terms_changed_at timestamptz,
  parent_id text collate "C",
  fold_from timestamptz not null default '-infinity',
  constraint subjects_pkey primary key (subject_id),
  -- No check constraints, as in reservations: whoever names a subject or an anchor looks at it (61k of a first use).
  constraint subjects_plan_exists foreign key (plan_id) references quota.plans (plan_id)
);

comment on table quota.subjects is
  'Who is limited: users, organisations, API keys. One row per subject that was ever seen.';

comment on column quota.subjects.plan_id is 'The plan it was put on: null is the default plan; a retired one may have a successor that holds (quota.plan_at()).';

comment on column quota.subjects.plan_ends_at is
  'From this instant on the default plan holds, by arithmetic; no job runs.';

comment on column quota.subjects.anchor_at is
  'Billing day: days, weeks, months and years count from it. Null: the calendar.';

comment on column quota.subjects.time_zone is 'IANA name; the wall clock that periods follow.';

comment on column quota.subjects.has_extras is
  'True once the subject was given an exception or a grant: the others need no look for them.';

comment on column quota.subjects.terms_changed_at is
  'When plan, anchor or zone last changed: nothing is carried over from before. Null: never.';

comment on column quota.subjects.parent_id is
  'The subject above it, for which its use counts, too; null: none.';

comment on column quota.subjects.fold_from is
  'What tidy() could fold of its lines, but has not, counts in this instant or later: it need not look before it folds what is younger.';

-- Serves set_parent() and forget_subject(): who is below?
create index subjects_by_parent on quota.subjects (parent_id)
  where parent_id is not null;

-- Serves "is anybody on this plan?" before a plan is removed, and the foreign key.
create index subjects_by_plan on quota.subjects (plan_id);

-- Serves fold_ledger(): whose lines may be folded? Asked as a range, as counters_near_the_limit is.
create index subjects_by_what_to_fold on quota.subjects (fold_from);

-- No statistics: estimates would tell of other subjects (see events).
alter table quota.subjects
  alter column subject_id set statistics 0,
  alter column plan_id set statistics 0,
  alter column plan_ends_at set statistics 0,
  alter column anchor_at set statistics 0,
  alter column time_zone set statistics 0,
  alter column has_extras set statistics 0,
  alter column parent_id set statistics 0,
  alter column terms_changed_at set statistics 0,
  alter column fold_from set statistics 0;

alter table quota.subjects enable row level security;

create policy select_own on quota.subjects
  for select to authenticated
  using (subject_id = any (array(select quota.subjects_of((select quota.user_id())))));

create policy select_service on quota.subjects
  for select to service_role using (true);

-- Withheld: every write. A user that could update its row would choose its own plan; even
-- service_role goes through set_plan(), which keeps periods and ledger in step.
