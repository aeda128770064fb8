-- Why this exists: what became of one row that was brought in. Fields are only ever added at the end.
create type public.import_result as (
  "row" integer,
  subject text,
  feature text,
  amount bigint,
  action text,
  problem text
);

comment on type public.import_result is 'What quota.import_usage() did, or would do, with one row.';
comment on column public.import_result."row" is 'Which row of the document, from 1.';
comment on column public.import_result.subject is 'Who used it; null when the row does not say.';
comment on column public.import_result.feature is 'What was used; null when the row does not say.';
comment on column public.import_result.amount is 'Units; null when the row does not say.';
comment on column public.import_result.action is
  '`import`; `skip` (it was brought in before, or is 0); `reject` (see problem).';
comment on column public.import_result.problem is 'Why it was rejected; null when it was not.';
