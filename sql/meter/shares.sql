-- What a call took from other meters than its own: from those of the features that it costs. Each of them
-- has a line, and a hold, of its own, by which it adds up and expires alone; a row here ties one of them to
-- the call, with the price of that moment. Calls that take from one meter have none.
create table quota.shares (
  subject_id text collate "C" not null,
  call_id uuid not null,
  share_subject_id text collate "C" not null,
  share_feature_id text collate "C" not null,
  share_id uuid not null,
  feature_id text collate "C" not null,
  units bigint not null,
  per bigint not null,
  constraint shares_pkey primary key (subject_id, call_id, share_subject_id, share_feature_id)
);

comment on table quota.shares is
  'What a call took from other meters: a row for each of them. Calls that take from one meter have none.';

comment on column quota.shares.call_id is
  'The line that counted the call in its own meter or, of one that was held first, its reservation.';

comment on column quota.shares.share_subject_id is 'Whose other meter it is, and of which feature.';

comment on column quota.shares.share_id is
  'Its line there (kind cost) or, of a hold, the reservation there, which no caller is told of.';

comment on column quota.shares.feature_id is 'The feature that was called.';

comment on column quota.shares.units is
  'With per, the price at that moment: units for per units of the feature, rounded up for the whole call.';

-- Serves "is it a share?" and "what was this line for?".
create index shares_by_share on quota.shares (share_subject_id, share_id);

-- No statistics: estimates would tell of other subjects (see events).
alter table quota.shares
  alter column subject_id set statistics 0,
  alter column call_id set statistics 0,
  alter column share_subject_id set statistics 0,
  alter column share_feature_id set statistics 0,
  alter column share_id set statistics 0,
  alter column feature_id set statistics 0,
  alter column units set statistics 0,
  alter column per set statistics 0;

alter table quota.shares enable row level security;

create policy select_service on quota.shares
  for select to service_role using (true);

-- Withheld: every write.
