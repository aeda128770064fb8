-- What an idempotency key is bound to, and what the call that bound it was told. Apart
-- from the ledger, so that only calls with a key pay for it, and so that a key can become free again.
create table quota.keys (
  subject_id text collate "C" not null,
  owner_id text collate "C" not null,
  idempotency_key text collate "C" not null,
  bound_at timestamptz not null,
  arguments jsonb not null,
  answers quota.kept_answer[] not null,
  -- The guarantee: two calls with a key at once cannot both count.
  constraint keys_pkey primary key (subject_id, owner_id, idempotency_key)
);

comment on table quota.keys is
  'Idempotency keys: one row per subject, key and user that bound it. tidy() ends them after 31 days.';

comment on column quota.keys.owner_id is
  'Whose key it is: the user that called, or '''' for trusted roles. A colleague''s key gives neither its answer nor a free use, and nobody can take the key of another, or the server''s';

comment on column quota.keys.arguments is 'The call and its arguments: with others the key is QIDEM.';

comment on column quota.keys.answers is
  'What the call was told (a batch: of each item), and is told again while what it counted or held still does. Of a grant event_id is its id; of a row of import_usage there is none.';

-- Serves tidy().
create index keys_by_age on quota.keys (bound_at);

alter table quota.keys enable row level security;

create policy select_service on quota.keys
  for select to service_role using (true);

-- Withheld: everything from authenticated: a key is a secret between its caller and the answer.
