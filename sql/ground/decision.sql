-- The answer to every call, one object for rpc(). Fields are only ever added at the
-- end: sessions that are open during an upgrade keep working.
--
-- The comments become the types of the client: a field is null only where its comment speaks of null,
-- and a text that starts with `values` in backquotes has only those.
create type public.usage_decision as (
  allowed boolean,
  reason text,
  feature text,
  subject text,
  plan text,
  amount bigint,
  used bigint,
  reserved bigint,
  "limit" bigint,
  remaining bigint,
  unlimited boolean,
  period text,
  period_start timestamptz,
  resets_at timestamptz,
  retry_after integer,
  event_id uuid,
  reservation_id uuid,
  replayed boolean,
  upgrade_url text,
  granted bigint,
  carried bigint,
  limiting_feature text,
  limiting_subject text,
  limiting_member text
);

comment on type public.usage_decision is
  'The answer to a call. With several limits the fields show the one that refused, else the one with least room.';

comment on column public.usage_decision.allowed is 'Whether the amount was (or, for check_usage, would be) taken.';

comment on column public.usage_decision.reason is
  '`ok`; `limit_reached`; `feature_not_in_plan`; `not_taken` (another item of the batch was refused); `over_limit` (allowed, and past a limit: a soft one, one in its grace, or by a commit of more than was held). Of consume_usage_many alone, the code of the error that this call would have had: QAMNT, QFEAT, QIDEM, QMETA, QSUBJ, 22023 or 55P03.';

comment on column public.usage_decision.feature is 'The feature asked for.';

comment on column public.usage_decision.subject is 'Who is limited.';

comment on column public.usage_decision.plan is
  'The plan that holds now; null when the subject has none and there is no default plan.';

comment on column public.usage_decision.amount is 'Units that this call moved, or asked for when it is refused: less than asked for where partial took what fitted.';

comment on column public.usage_decision.used is 'Units used in the period, after the call.';

comment on column public.usage_decision.reserved is 'Units held by open reservations, after the call.';

comment on column public.usage_decision."limit" is
  'Units allowed in the period, open grants included; null when unlimited, 0 when the feature is not in the plan.';

comment on column public.usage_decision.remaining is
  'Units left, never negative; null when unlimited.';

comment on column public.usage_decision.unlimited is 'True when the shown limit is none.';

comment on column public.usage_decision.period is
  '`minute`, `hour`, `day`, `week`, `month`, `year`, `lifetime`, or a window as in 5 hours; null when the feature is not in the plan.';

comment on column public.usage_decision.period_start is
  'When the period began; null for lifetime, for a window that no use has opened, and when the feature is not in the plan.';

comment on column public.usage_decision.resets_at is
  'When the period ends and used starts again at 0; null for lifetime, for a window that no use has opened, and when the feature is not in the plan.';

comment on column public.usage_decision.retry_after is
  'Whole seconds, rounded up and at least 1, until time alone would allow the amount; null when allowed or never.';

comment on column public.usage_decision.event_id is
  'The ledger line of the call: what counted it, for refund_usage, or a refund''s, return''s or release''s own; null for a refusal, a check, a reservation and its extension.';

comment on column public.usage_decision.reservation_id is
  'The hold, for extend_usage, commit_usage and release_usage; null when the call made, extended or ended none.';

comment on column public.usage_decision.replayed is
  'True when the idempotency key was used before: this is the first answer, nothing was counted again.';

comment on column public.usage_decision.upgrade_url is
  'Where the plan sends who wants more; null when it says nothing.';

comment on column public.usage_decision.granted is
  'How much of the limit is open grants: extra that does not reset.';

comment on column public.usage_decision.carried is
  'How much of the limit was left of the period before: it is used first.';

comment on column public.usage_decision.limiting_feature is
  'Whose units used, reserved, limit, remaining and granted are: the feature asked for or, where that has least room or refuses, one that it costs.';

comment on column public.usage_decision.limiting_subject is
  'Whose limit is shown: the subject, or one above it.';

comment on column public.usage_decision.limiting_member is
  'The member whose own cap is shown; null where it is none.';

-- The same, as keys and holds keep it. A type of columns: it stays as it is, so that the rows that one release
-- dumped can be read by the next. What a later one adds to usage_decision it keeps in a column of its own.
create type quota.kept_answer as (
  allowed boolean,
  reason text,
  feature text,
  subject text,
  plan text,
  amount bigint,
  used bigint,
  reserved bigint,
  "limit" bigint,
  remaining bigint,
  unlimited boolean,
  period text,
  period_start timestamptz,
  resets_at timestamptz,
  retry_after integer,
  event_id uuid,
  reservation_id uuid,
  replayed boolean,
  upgrade_url text,
  granted bigint,
  carried bigint,
  limiting_feature text,
  limiting_subject text,
  limiting_member text
);

comment on type quota.kept_answer is
  'What a call was told, as it will be told again.';

create function quota.kept(p_decision public.usage_decision)
returns quota.kept_answer
language plpgsql immutable security invoker set search_path = pg_catalog, pg_temp
as $$
declare
  v_answer quota.kept_answer := p_decision;
begin
  return v_answer;
end
$$;

comment on function quota.kept is 'An answer as it is kept.';
