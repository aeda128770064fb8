-- Extra allowance outside the plan (a top-up, a promotion). Used after the plan's
-- allowance, soonest to expire first; survives resets and plan changes.
create table quota.grants (
  subject_id text collate "C" not null,
  grant_id uuid not null,
  feature_id text collate "C" not null,
  amount bigint not null,
  drawn bigint not null default 0,
  granted_at timestamptz not null,
  expires_at timestamptz not null default 'infinity',
  voided_at timestamptz,
  metadata jsonb not null default '{}',
  is_spent boolean not null default false,
  constraint grants_pkey primary key (subject_id, grant_id),
  constraint grants_feature_exists
    foreign key (feature_id) references quota.features (feature_id),
  constraint grants_amount_is_1_to_9007199254740991
    check (amount between 1 and 9007199254740991),
  constraint grants_drawn_is_within_the_amount check (drawn between 0 and amount),
  constraint grants_spent_is_drawn_in_full check (not is_spent or drawn = amount)
);

comment on table quota.grants is
  'Extra allowance outside the plan. What is left of it is amount - drawn, until expires_at.';

comment on column quota.grants.drawn is
  'How much calls have taken from it; every change has a draw line in the ledger.';

comment on column quota.grants.is_spent is
  'Nothing is left of it, and no open hold has drawn from it: it has nothing to give until a refund. One that is drawn in full and not spent yet is open.';

-- Serves limits_of() and draw(): the open grants of a subject and feature, soonest to expire first. A
-- customer who buys a top-up a day has thousands that are spent, expired or void, and no call walks
-- over them. drawn is in no index, so that drawing stays a HOT update.
create index grants_open on quota.grants (subject_id, feature_id, expires_at, grant_id)
  where not is_spent and voided_at is null;

-- Serves the foreign key to features, and void_grant() without a subject.
create index grants_by_feature on quota.grants (feature_id);

create index grants_by_id on quota.grants (grant_id);

-- No statistics: estimates would tell of other subjects (see events).
alter table quota.grants
  alter column subject_id set statistics 0,
  alter column grant_id set statistics 0,
  alter column feature_id set statistics 0,
  alter column amount set statistics 0,
  alter column drawn set statistics 0,
  alter column granted_at set statistics 0,
  alter column expires_at set statistics 0,
  alter column voided_at set statistics 0,
  alter column metadata set statistics 0,
  alter column is_spent set statistics 0;

alter table quota.grants enable row level security;

create policy select_own on quota.grants
  for select to authenticated
  using (subject_id = any (array(select quota.subjects_of((select quota.user_id())))));

create policy select_service on quota.grants
  for select to service_role using (true);

-- Withheld: every write. A user that could insert here would mint credits.
