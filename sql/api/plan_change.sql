-- Why this exists: one line of what apply_plans changes, or would change.
create type public.plan_change as (
  action text,
  kind text,
  id text,
  detail text
);

comment on type public.plan_change is
  'One change that apply_plans makes, or would make.';
comment on column public.plan_change.action is '`add`, `change` or `remove`.';
comment on column public.plan_change.kind is '`feature`, `plan` or `limit`.';
comment on column public.plan_change.id is
  'The id of the feature or plan; of a limit plan/feature/period.';
comment on column public.plan_change.detail is 'What changes, in words: "amount: 50 → 100".';
