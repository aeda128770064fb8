-- Why this exists: one limit, and what would allow the amount. Fields are only ever added at the end.
create type public.usage_explanation as (
  feature text,
  subject text,
  plan text,
  period text,
  source text,
  "limit" bigint,
  used bigint,
  reserved bigint,
  remaining bigint,
  unlimited boolean,
  granted bigint,
  resets_at timestamptz,
  refuses boolean,
  retry_after integer,
  top_up bigint,
  plans text[],
  upgrade_url text
);

comment on type public.usage_explanation is
  'One limit that applies, or one open grant, and what would allow the amount.';
comment on column public.usage_explanation.feature is 'The feature asked for.';
comment on column public.usage_explanation.subject is 'Who is limited.';
comment on column public.usage_explanation.plan is
  'The plan that holds now; null when the subject has none and there is no default plan.';
comment on column public.usage_explanation.period is
  '`minute`, `hour`, `day`, `week`, `month`, `year` or `lifetime`; null for a grant, and when the feature is not in the plan.';
comment on column public.usage_explanation.source is
  '`plan`, `exception` or `grant`: where it comes from.';
comment on column public.usage_explanation."limit" is
  'Units allowed in the period, open grants included, or units granted; null when unlimited, 0 when the feature is not in the plan.';
comment on column public.usage_explanation.used is 'Units used in the period, or drawn from the grant.';
comment on column public.usage_explanation.reserved is 'Units held by open reservations.';
comment on column public.usage_explanation.remaining is
  'Units left, never negative; null when unlimited.';
comment on column public.usage_explanation.unlimited is 'True when this limit is none.';
comment on column public.usage_explanation.granted is 'How much of the limit is open grants.';
comment on column public.usage_explanation.resets_at is
  'When the period ends, or the grant expires; null for never.';
comment on column public.usage_explanation.refuses is 'True when this limit has no room for the amount.';
comment on column public.usage_explanation.retry_after is
  'Whole seconds until time alone allows the amount under all limits; null when it is allowed now, or never.';
comment on column public.usage_explanation.top_up is
  'The smallest grant that would make room under this limit; null when none is needed, or grants do not lift it.';
comment on column public.usage_explanation.plans is
  'The other plans that would allow the amount now, smallest first; null when it is allowed already.';
comment on column public.usage_explanation.upgrade_url is
  'Where the plan sends who wants more; null when it says nothing.';
