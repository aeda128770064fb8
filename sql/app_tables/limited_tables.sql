-- Which application tables enforce a gauge themselves. Written by limit_table() and
-- unlimit_table() alone.
create table quota.limited_tables (
  table_id regclass not null,
  feature_id text collate "C" not null,
  subject_column name not null,
  amount_column name,
  constraint limited_tables_pkey primary key (table_id, feature_id),
  constraint limited_tables_feature_exists
    foreign key (feature_id) references quota.features (feature_id)
);

comment on table quota.limited_tables is
  'Tables whose rows count against a gauge: one row per table and feature.';

comment on column quota.limited_tables.amount_column is
  'How much a row counts; null: one each.';

-- Serves "which tables feed this gauge?", and the foreign key.
create index limited_tables_by_feature on quota.limited_tables (feature_id);

alter table quota.limited_tables enable row level security;

create policy select_service on quota.limited_tables
  for select to service_role using (true);

-- Withheld: every write; limit_table() is for DBAs, since it makes triggers.
