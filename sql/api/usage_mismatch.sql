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
  'A number that its ledger does not prove. period is reserved where holds differ from open reservations, granted where a grant''s draws do.';
