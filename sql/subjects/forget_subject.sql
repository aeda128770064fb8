-- The right to erasure.
create function public.forget_subject(
  subject text
)
returns bigint
language plpgsql volatile security invoker set search_path = pg_catalog, pg_temp
as $$
#variable_conflict error
begin
  return quota.forget_subject(subject);
end
$$;

comment on function public.forget_subject is
  'Erases everything that is known of a subject (plan, counters, grants, memberships, ledger) and returns how many ledger lines that were. The ledgers of organisations for which it acted keep their lines without its name. What rows of limited tables count stays counted while they stand: delete them first, or call it again after. Not to be undone. Errors: QSUBJ; 42501 not a trusted role; 55P03 retry.';

-- The right to erasure. The one way in which ledger lines disappear by themselves, and
-- in which a line changes: one of an organisation forgets who acted.
--
-- What rows of limited tables count stays while the rows stand, as one fresh line per gauge: with it
-- gone, as many rows again would fit.
create function quota.forget_subject(p_subject text)
returns bigint
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp set lock_timeout = '2s'
as $$
declare
  v_caller quota.caller;
  v_member quota.members;
  v_lines bigint;
  v_now timestamptz;
begin
  perform quota.require_trusted();
  v_caller := quota.caller_for(p_subject);
  perform quota.lock_namers(v_caller.subject_id);
  perform quota.lock_subject(v_caller.subject_id, true);
  v_now := quota.lock_meters(v_caller.subject_id, quota.meters_of(v_caller.subject_id));
  delete from quota.events as e where e.subject_id = v_caller.subject_id;
  get diagnostics v_lines = row_count;
  delete from quota.overages as o where o.subject_id = v_caller.subject_id;
  delete from quota.alerts as a where a.subject_id = v_caller.subject_id;
  delete from quota.reservations as r where r.subject_id = v_caller.subject_id;
  delete from quota.shares as s where s.subject_id = v_caller.subject_id;
  delete from quota.grants as g where g.subject_id = v_caller.subject_id;
  delete from quota.exceptions as x where x.subject_id = v_caller.subject_id;
  delete from quota.overrides as o where o.subject_id = v_caller.subject_id;
  delete from quota.counters as c where c.subject_id = v_caller.subject_id;
  delete from quota.keys as k where k.subject_id = v_caller.subject_id;
  -- A membership may be known to an organisation that has no row of its own yet.
  for v_member in
    select m.subject_id, m.user_id
    from quota.members as m
    where m.subject_id = v_caller.subject_id or m.user_id = v_caller.subject_id
    order by m.subject_id, m.user_id
  loop
    perform from quota.members as m
      where m.subject_id = v_member.subject_id
        and m.user_id = v_member.user_id
      for update;
  end loop;
  delete from quota.members as m
    where m.subject_id = v_caller.subject_id or m.user_id = v_caller.subject_id;
  perform quota.forget_actor(v_caller.subject_id);
  perform quota.take_children_off(v_caller.subject_id);
  perform quota.forget_merges(v_caller.subject_id);
  perform quota.forget_caps(quota.caps_below(v_caller.subject_id));
  delete from quota.subjects as s where s.subject_id = v_caller.subject_id;
  delete from quota.meters as m where m.subject_id = v_caller.subject_id and m.rows_used = 0;
  perform quota.keep_rows_used(v_caller.subject_id, v_now);
  return v_lines;
end
$$;

comment on function quota.forget_subject is 'See public.forget_subject.';

-- Of an account its old names, of an old name that it is one: what it used is the account's.
create function quota.forget_merges(p_subject_id text)
returns void
language plpgsql volatile strict security invoker set search_path = pg_catalog, pg_temp
as $$
declare
  v_account_id text := quota.account_of(p_subject_id);
  v_merge_id uuid := quota.merge_id(p_subject_id);
begin
  update quota.events as e
    set metadata = e.metadata - 'from',
        about_id = null
    where e.subject_id = v_account_id
      and e.about_id = v_merge_id;
  -- What was merged into an old name is the account's as well.
  update quota.merges as m
    set account_id = v_account_id
    where m.account_id = p_subject_id
      and v_account_id <> p_subject_id;
  delete from quota.merges as m
    where m.subject_id = p_subject_id or m.account_id = p_subject_id;
end
$$;

comment on function quota.forget_merges is 'Takes a subject out of what is known of merged ones.';

-- What it did for others stays, and loses the name. The lines lead to the holds and keys that have it,
-- so all of it is found by events_by_actor. Nobody else changes a line, the actor of a hold or the
-- arguments of a key, and who waits here for one holds nothing that this waits for: it needs no meter
-- of the organisation.
create function quota.forget_actor(p_user_id text)
returns void
language plpgsql volatile strict security invoker set search_path = pg_catalog, pg_temp
as $$
declare
  v_caps text[] := array(
    select quota.cap_id(quota.cap_holder(e.subject_id), p_user_id)
    from quota.events as e
    where e.actor = p_user_id
    group by 1
  );
  v_batches uuid[];
begin
  perform quota.forget_caps(v_caps);
  delete from quota.keys as k
    using quota.events as e
    where e.actor = p_user_id
      and k.subject_id = e.subject_id
      and k.owner_id = p_user_id
      and k.idempotency_key = e.idempotency_key;
  update quota.keys as k
    set arguments = case
          when k.arguments ->> 'actor' = p_user_id then k.arguments - 'actor' else k.arguments
        end,
        answers = quota.without_member_each(k.answers, p_user_id)
    from quota.events as e
    where e.actor = p_user_id
      and k.subject_id = e.subject_id
      and k.idempotency_key = e.idempotency_key;
  -- Of an item the key stands in the line of its batch, which may be another subject's.
  v_batches := array(
    select e.about_id
    from quota.events as e
    where e.actor = p_user_id
      and e.kind = 'consume'
      and e.about_id is not null
    group by 1
  );
  update quota.keys as k
    set arguments = case
          when k.arguments ->> 'actor' = p_user_id then k.arguments - 'actor' else k.arguments
        end,
        answers = quota.without_member_each(k.answers, p_user_id)
    from quota.events as b
    where b.event_id = any (v_batches)
      and b.kind = 'batch'
      and k.subject_id = b.subject_id
      and k.idempotency_key = b.idempotency_key;
  update quota.reservations as r
    set actor = null,
        answer = quota.without_member(r.answer, p_user_id)
    from quota.events as e
    where e.actor = p_user_id
      and e.kind = 'reserve'
      and r.subject_id = e.subject_id
      and r.reservation_id = e.about_id
      and r.actor = p_user_id;
  update quota.events as e
    set actor = null,
        metadata = case when e.kind = 'member' then e.metadata - 'user_id' else e.metadata end
    where e.actor = p_user_id;
end
$$;

comment on function quota.forget_actor is
  'Takes the name of a user off the lines, holds and keys of organisations for which it acted.';

create function quota.keep_rows_used(
  p_subject_id text,
  p_at timestamptz
)
returns void
language plpgsql volatile security invoker set search_path = pg_catalog, pg_temp
as $$
declare
  v_feature_id text;
  v_rows_used bigint;
begin
  for v_feature_id, v_rows_used in
    select m.feature_id, m.rows_used
    from quota.meters as m
    where m.subject_id = p_subject_id
    order by m.feature_id
  loop
    insert into quota.subjects (subject_id)
      values (p_subject_id)
      on conflict do nothing;
    update quota.meters as m
      set used = 0,
          reserved = 0,
          drawn = 0,
          rows_used = 0,
          counted_until = '-infinity',
          holds_expire_at = 'infinity',
          open_from = '-infinity',
          open_until = 'infinity',
          minute_until = '-infinity',
          hour_until = '-infinity',
          fresh_from = 'infinity'
      where m.subject_id = p_subject_id
        and m.feature_id = v_feature_id;
    perform quota.record(
      row(
        p_subject_id, quota.new_id(p_at), p_at, 'table', v_feature_id, p_at, v_rows_used,
        0, 0, null, null, null, null, '{"recount": true}'
      )::quota.events
    );
  end loop;
end
$$;

comment on function quota.keep_rows_used is
  'Sets what meters are left of a forgotten subject to what rows of limited tables count, with a line each.';
