-- Whoever writes here has no right to, and is told so: without a trigger Postgres would say first, as
-- for any such view, that it cannot be written (55000).
create function quota.refuse_writing()
returns trigger
language plpgsql volatile security invoker set search_path = pg_catalog, pg_temp
as $$
begin
  raise exception 'the ledger is append-only: % on usage_events is nobody''s right', tg_op
    using errcode = '42501', hint = 'call consume_usage(), or refund_usage() for what was counted';
end
$$;

comment on function quota.refuse_writing is
  'Trigger of usage_events: reading is all that anybody may do there. Errors: 42501.';

-- "what used it up?", answered to the customer from the ledger itself.
--
-- "My latest 50 lines" reads about 50 lines, whatever the ledger holds. Of a list of subjects no index
-- gives the lines in the order of at; of one subject the primary key does. So the reader, and each of
-- the first four organisations, has a branch of its own: an index scan backwards, which Postgres merges
-- with the others and which ends with the limit. What lies beyond them is read and sorted.
--
-- Which lines are whose is not decided here: the policy of quota.events holds in each branch. is_all is
-- the branch of those for whom it leaves nothing out, or does not hold.
--
-- The traps: (a) no with: Postgres plans such a view apart from the order that its reader asks for.
-- (b) The order by of a branch is the only way to tell it there. (c) The two between are true of every
-- line. Without statistics (see events) Postgres takes a subject for a 200th of the ledger and sorts
-- rather than follows the index; they make it expect few lines.
create view public.usage_events
with (security_invoker = true)
as
select
  l.subject_id as subject,
  l.event_id,
  l.at,
  l.kind,
  l.feature_id as feature,
  l.counts_at,
  l.used_change,
  l.reserved_change,
  l.drawn_change,
  l.about_id,
  l.grant_id,
  l.actor,
  l.idempotency_key,
  l.metadata,
  (
    select jsonb_object_agg(o.period, o.units)
    from quota.overages as o
    where o.subject_id = l.subject_id
      and o.event_id = case l.kind when 'reserve' then l.about_id else l.event_id end
  ) as over
from (
  select
    true as is_all,
    e.subject_id, e.event_id, e.at, e.kind, e.feature_id, e.counts_at,
    e.used_change, e.reserved_change, e.drawn_change,
    e.about_id, e.grant_id, e.actor, e.idempotency_key, e.metadata
  from quota.events as e
  union all
  (select
    false as is_all,
    e.subject_id, e.event_id, e.at, e.kind, e.feature_id, e.counts_at,
    e.used_change, e.reserved_change, e.drawn_change,
    e.about_id, e.grant_id, e.actor, e.idempotency_key, e.metadata
  from quota.events as e
  where e.subject_id = (select quota.user_id())
    and e.at between '-infinity' and 'infinity'
    and e.event_id between '00000000-0000-0000-0000-000000000000'
      and 'ffffffff-ffff-ffff-ffff-ffffffffffff'
  order by e.at desc)
  union all
  (select
    false as is_all,
    e.subject_id, e.event_id, e.at, e.kind, e.feature_id, e.counts_at,
    e.used_change, e.reserved_change, e.drawn_change,
    e.about_id, e.grant_id, e.actor, e.idempotency_key, e.metadata
  from quota.events as e
  where e.subject_id = (select (quota.organisations_of(quota.user_id()))[1])
    and e.at between '-infinity' and 'infinity'
    and e.event_id between '00000000-0000-0000-0000-000000000000'
      and 'ffffffff-ffff-ffff-ffff-ffffffffffff'
  order by e.at desc)
  union all
  (select
    false as is_all,
    e.subject_id, e.event_id, e.at, e.kind, e.feature_id, e.counts_at,
    e.used_change, e.reserved_change, e.drawn_change,
    e.about_id, e.grant_id, e.actor, e.idempotency_key, e.metadata
  from quota.events as e
  where e.subject_id = (select (quota.organisations_of(quota.user_id()))[2])
    and e.at between '-infinity' and 'infinity'
    and e.event_id between '00000000-0000-0000-0000-000000000000'
      and 'ffffffff-ffff-ffff-ffff-ffffffffffff'
  order by e.at desc)
  union all
  (select
    false as is_all,
    e.subject_id, e.event_id, e.at, e.kind, e.feature_id, e.counts_at,
    e.used_change, e.reserved_change, e.drawn_change,
    e.about_id, e.grant_id, e.actor, e.idempotency_key, e.metadata
  from quota.events as e
  where e.subject_id = (select (quota.organisations_of(quota.user_id()))[3])
    and e.at between '-infinity' and 'infinity'
    and e.event_id between '00000000-0000-0000-0000-000000000000'
      and 'ffffffff-ffff-ffff-ffff-ffffffffffff'
  order by e.at desc)
  union all
  (select
    false as is_all,
    e.subject_id, e.event_id, e.at, e.kind, e.feature_id, e.counts_at,
    e.used_change, e.reserved_change, e.drawn_change,
    e.about_id, e.grant_id, e.actor, e.idempotency_key, e.metadata
  from quota.events as e
  where e.subject_id = (select (quota.organisations_of(quota.user_id()))[4])
    and e.at between '-infinity' and 'infinity'
    and e.event_id between '00000000-0000-0000-0000-000000000000'
      and 'ffffffff-ffff-ffff-ffff-ffffffffffff'
  order by e.at desc)
  union all
  select
    false as is_all,
    e.subject_id, e.event_id, e.at, e.kind, e.feature_id, e.counts_at,
    e.used_change, e.reserved_change, e.drawn_change,
    e.about_id, e.grant_id, e.actor, e.idempotency_key, e.metadata
  from quota.events as e
  where e.subject_id = any ((select (quota.organisations_of(quota.user_id()))[5:])::text[])
) as l
where l.is_all = (
  select quota.is_trusted() is true or not row_security_active('quota.events'::regclass)
)
  -- What caps of members count stands in the organisation's lines, too. Here, since a branch with a condition
  -- and no order is sorted; and said so that the planner takes it for most lines, as it is.
  and (strpos(l.subject_id, chr(31)) > 0) is not true;

comment on view public.usage_events is
  'The ledger lines of the reader and of the subjects it belongs to, append-only.';

comment on column public.usage_events.subject is 'Whose line it is.';

comment on column public.usage_events.event_id is 'The line, for refund_usage.';

comment on column public.usage_events.at is 'When it happened.';

comment on column public.usage_events.kind is
  '`consume`, `cost` (what a use costs of another feature), `level` (what a subject below used), `batch`, `reserve`, `commit`, `release`, `expire`, `refund`, `return`, `reset`, `open`, `table`, `import`, `grant`, `void`, `draw`, `carry`, `plan`, `limit`, `value`, `member`, `parent`, `merge` or `fold` (old lines of a stretch between periods, as one; metadata says how many).';

comment on column public.usage_events.feature is
  'The id of the feature; null for a merge, a change of plan, members, or a switch or value (metadata names it).';

comment on column public.usage_events.counts_at is 'The instant whose periods the line counts in.';

comment on column public.usage_events.used_change is 'Change of used, in units of the feature.';

comment on column public.usage_events.reserved_change is 'Change of what is held.';

comment on column public.usage_events.drawn_change is 'Change of what is drawn from grant_id.';

comment on column public.usage_events.about_id is
  'The event, reservation or grant that this line is about, or the id that resets of a feature share; null when it stands for itself.';

comment on column public.usage_events.grant_id is 'The grant that it draws from; null without one.';

comment on column public.usage_events.actor is
  'The user that acted for the subject, or that a server named, also on the lines of the end of its holds and of refunds, or whose membership or cap changed; null where it is the subject itself, a server that named none, or a user that was forgotten.';

comment on column public.usage_events.idempotency_key is
  'The key of the call that wrote it; null without one.';

comment on column public.usage_events.metadata is 'What the caller wanted to be kept with it.';

comment on column public.usage_events.over is
  'How far the line went past limits, in units by period, as in {"month": 3}; null: past none. A server sees limits in shadow, too: what they would have refused.';

create trigger refuse_writing
  instead of insert or update or delete on public.usage_events
  for each row execute function quota.refuse_writing();

-- Withheld: everything from anon, and every write.
