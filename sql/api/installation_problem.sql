-- Why this exists: one thing that is not as this release made it.
create type public.installation_problem as (
  object text,
  problem text,
  statement text
);

comment on type public.installation_problem is
  'One thing that is not as this release made it.';
comment on column public.installation_problem.object is
  'What it is, for example: policy select_own on quota.events.';
comment on column public.installation_problem.problem is 'What is wrong with it.';
comment on column public.installation_problem.statement is
  'SQL that puts it right; null where a person has to choose, or where the text is in the migration (npx pgquota doctor --sql prints it).';
