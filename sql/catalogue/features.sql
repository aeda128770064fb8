-- The catalogue of what can be used. Written by apply_plans() alone.
create table quota.features (
  feature_id text collate "C" not null,
  name text not null,
  unit text not null,
  kind text not null default 'metered',
  server_only boolean not null default false,
  hidden boolean not null default false,
  constraint features_pkey primary key (feature_id),
  constraint features_kind_is_known check (kind in ('metered', 'gauge', 'switch', 'value')),
  constraint features_id_is_1_to_255_characters check (length(feature_id) between 1 and 255)
);

comment on table quota.features is 'What can be used: one row per feature of the plan document.';

comment on column quota.features.unit is 'What one of it is called, for people: "generation".';

comment on column quota.features.kind is
  'metered: starts again each period. gauge: goes up and down (files, seats), period lifetime only. switch and value: never counted, see plan_values.';

comment on column quota.features.server_only is
  'True: only trusted roles may use it; a signed-in user is refused with 42501.';

comment on column quota.features.hidden is
  'True: in no view of users and not in plan_catalog. Its use counts all the same.';

alter table quota.features enable row level security;

-- A pricing page is public: names and limits are for everybody.
create policy select_everyone on quota.features
  for select to anon, authenticated, service_role using (true);

-- Withheld: insert, update, delete, truncate. The catalogue changes through apply_plans(), which
-- sees the document as a whole.
