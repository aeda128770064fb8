-- Why this exists: one number that its ledger does not prove.
create type public.usage_mismatch as (
  subject text,
  feature text,
  period text,
  period_start timestamptz,
  counted bigint,
  ledger bigint
);

comment on type public.usage_mismatch is
  'A number that its ledger does not prove.';
comment on column public.usage_mismatch.subject is 'Whose number it is.';
comment on column public.usage_mismatch.feature is 'The feature it counts.';
comment on column public.usage_mismatch.period is
  'The counter''s period; reserved where holds differ from open reservations, granted where a grant''s draws do, rows where what a meter remembers of the rows of limited tables does.';
comment on column public.usage_mismatch.period_start is
  'When the period began or the grant was made; null for lifetime.';
comment on column public.usage_mismatch.counted is 'The number that is kept.';
comment on column public.usage_mismatch.ledger is 'The number that the ledger proves.';
