-- Why this exists: "what used it up?", answered to the customer from the ledger itself.
create view public.usage_events
with (security_invoker = true)
as
select
  e.subject_id as subject,
  e.event_id,
  e.at,
  e.kind,
  e.feature_id as feature,
  e.counts_at,
  e.used_change,
  e.reserved_change,
  e.drawn_change,
  e.about_id,
  e.grant_id,
  e.actor,
  e.idempotency_key,
  e.metadata
from quota.events as e;

comment on view public.usage_events is
  'The ledger lines of the reader and of the subjects it belongs to, append-only.';
comment on column public.usage_events.subject is 'Whose line it is.';
comment on column public.usage_events.event_id is 'The line, for refund_usage.';
comment on column public.usage_events.at is 'When it happened.';
comment on column public.usage_events.kind is
  '`consume`, `batch`, `reserve`, `commit`, `release`, `expire`, `refund`, `return`, `table`, `import`, `grant`, `void`, `draw`, `carry`, `plan`, `limit` or `member`.';
comment on column public.usage_events.feature is
  'The id of the feature; null for a change of plan or members.';
comment on column public.usage_events.counts_at is 'The instant whose periods the line counts in.';
comment on column public.usage_events.used_change is 'Change of used, in units of the feature.';
comment on column public.usage_events.reserved_change is 'Change of what is held.';
comment on column public.usage_events.drawn_change is 'Change of what is drawn from grant_id.';
comment on column public.usage_events.about_id is
  'The event, reservation or grant that this line is about; null when it stands for itself.';
comment on column public.usage_events.grant_id is 'The grant that it draws from; null without one.';
comment on column public.usage_events.actor is
  'The user that acted for the subject; null where it is the subject itself or a server.';
comment on column public.usage_events.idempotency_key is
  'The key of the call that wrote it; null without one.';
comment on column public.usage_events.metadata is 'What the caller wanted to be kept with it.';

revoke all on public.usage_events from public, anon, authenticated, service_role;
grant select on public.usage_events to authenticated, service_role;
-- Withheld: everything from anon, and every write.
