-- The ledger. Append-only; every change of a counter, a hold or a grant has a
-- line, and every counter is the sum of its lines.
--
-- A line says in which instant it counts (counts_at), not in which counters: what a counter says is the
-- sum of the lines whose counts_at lies in its period. So a refund gives back in the period of the use,
-- a commit counts in the period of its hold, and when a plan brings a new period or a billing day
-- moves, the new counter is opened with the sum of the lines that fall into it.
create table quota.events (
  subject_id text collate "C" not null,
  event_id uuid not null,
  at timestamptz not null,
  kind text not null,
  feature_id text collate "C",
  counts_at timestamptz not null,
  used_change bigint not null default 0,
  reserved_change bigint not null default 0,
  drawn_change bigint not null default 0,
  about_id uuid,
  grant_id uuid,
  actor text,
  idempotency_key text collate "C",
  metadata jsonb not null default '{}',
  -- No check constraints: record() is the only writer (see counters for what they cost).
  constraint events_pkey primary key (subject_id, at, event_id)
);

comment on table quota.events is
  'The ledger: one line per change of a counter, hold or grant, and per change of plan. Append-only.';

comment on column quota.events.at is 'When it happened, by quota.clock().';

comment on column quota.events.kind is
  'consume, cost, level, batch, reserve, commit, release, expire, refund, return, reset, open, table, import, grant, void, draw, carry, plan, limit, value, member, parent, merge, or fold: what tidy() made of old ones.';

comment on column quota.events.counts_at is
  'The instant whose periods it counts in: at, or for a refund, commit or release the instant of the use or hold.';

comment on column quota.events.used_change is 'Change of used, in units of the feature.';

comment on column quota.events.reserved_change is 'Change of what is held.';

comment on column quota.events.drawn_change is 'Change of what is drawn from grant_id.';

comment on column quota.events.about_id is 'The event, reservation or grant that this line is about; resets of a feature share an id.';

comment on column quota.events.actor is
  'The user that acted for the subject, or for whom a server did, where it is not the subject itself, or who became a member; null otherwise. Lines of commits, endings and refunds have that of the use.';

comment on column quota.events.idempotency_key is
  'The key of the call that wrote it; what it is bound to stands in quota.keys.';

-- The primary key serves a subject's latest lines (usage_events), and what runs through all of them
-- (forget_subject(), verify_usage()).

-- Serves ledger_balance(): the lines of one feature in one period, at each check and each poll of the
-- bar while the period has no counter. By (subject_id, at) an unused gauge read every line of the
-- subject: 200,013 of them. It costs a call 1 % (10k of 690k instructions).
create index events_by_what_they_count on quota.events (subject_id, feature_id, counts_at);

-- Serves refund_usage(), which is not told the subject. Event ids grow with time: inserts stay at
-- the right edge of the index.
create index events_by_id on quota.events (event_id);

-- Serves "how much of this event was refunded, what did this hold draw?"
create index events_by_what_they_are_about on quota.events (subject_id, about_id)
  where about_id is not null;

-- Serves forget_subject(): where a user acted for others, or became a member.
create index events_by_actor on quota.events (actor) where actor is not null;

-- No statistics, here and in every table with a subject: the planner's estimates are computed without
-- policies, and `Prefer: count=planned` on a view tells them to whoever asks. With the most common
-- values gathered, ?subject=eq.other said how many lines the other has. All that is planned here begins
-- with a subject and an index, which default estimates find as well.
alter table quota.events
  alter column subject_id set statistics 0,
  alter column event_id set statistics 0,
  alter column at set statistics 0,
  alter column kind set statistics 0,
  alter column feature_id set statistics 0,
  alter column counts_at set statistics 0,
  alter column used_change set statistics 0,
  alter column reserved_change set statistics 0,
  alter column drawn_change set statistics 0,
  alter column about_id set statistics 0,
  alter column grant_id set statistics 0,
  alter column actor set statistics 0,
  alter column idempotency_key set statistics 0,
  alter column metadata set statistics 0;

alter table quota.events enable row level security;

-- Not = any (array(…)), as elsewhere: the branches of usage_events name their subjects, so this one need
-- find no lines, only test those found; and it is not evaluated where there is none.
create policy select_own on quota.events
  for select to authenticated
  using (
    subject_id in (
      select o.subject_id
      from quota.subjects_of((select quota.user_id())) as o (subject_id)
    )
    -- Hidden features are in no view of users.
    and (
      case kind when 'value' then metadata ->> 'feature' else feature_id end
        = any (array(select f.feature_id from quota.features as f where f.hidden))
    ) is not true
    -- Nor is the cap that another member was given. (Said so that the planner takes it for most lines.)
    and (kind = 'limit' and actor is not null and not quota.sees_member(subject_id, actor)) is not true
  );

create policy select_service on quota.events
  for select to service_role using (true);

-- Withheld: insert, update, delete, truncate, from service_role too. Lines disappear only through
-- forget_subject() and quota.tidy().
-- No foreign key to features (see counters).
