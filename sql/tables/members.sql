-- Why this exists: who may act for an organisation. An app that has such a table of its own
-- replaces quota.acts_for() and quota.subjects_of() and leaves this one empty.

create table quota.members (
  subject_id text collate "C" not null,
  user_id text collate "C" not null,
  constraint members_pkey primary key (subject_id, user_id),
  constraint members_ids_are_1_to_255_characters
    check (
      -- Not between: its brackets are others after a restore, and the comparison would call it changed.
      length(subject_id) >= 1 and length(subject_id) <= 255
      and length(user_id) >= 1 and length(user_id) <= 255
    )
);

comment on table quota.members is 'user_id may use and see on behalf of subject_id.';

-- Serves quota.subjects_of(): for whom may this user act?
create index members_by_user on quota.members (user_id, subject_id);

-- No statistics: estimates would tell of other subjects (see events).
alter table quota.members
  alter column subject_id set statistics 0,
  alter column user_id set statistics 0;

alter table quota.members enable row level security;

create policy select_own on quota.members
  for select to authenticated using (user_id = (select quota.user_id()));
create policy select_service on quota.members
  for select to service_role using (true);

revoke all on quota.members from public, anon, authenticated, service_role;
grant select on quota.members to authenticated, service_role;
-- Withheld: every write. Membership is permission to spend; add_member() and remove_member() are
-- for service_role.
