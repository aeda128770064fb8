-- Why this exists: one line of what apply_plans changes, or would change.
create type public.plan_change as (
  action text,
  kind text,
  id text,
  detail text
);

comment on type public.plan_change is
  'What apply_plans changes. action: add, change, remove. kind: feature, plan, limit. id: of a limit plan/feature/period.';
