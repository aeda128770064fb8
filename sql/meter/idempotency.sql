-- A call that is repeated with its key is told its first answer and counts nothing.
-- Asked after the meter is locked (so the first call has committed or has gone), and again when the
-- key turns out to be taken by a call that ran under another feature's meter.
--
-- An answer is told again only while it is true: the key of a hold that was released, has expired
-- uncommitted or was committed with nothing, or of a use that was refunded in full, is free, and the
-- call decides afresh.

create function quota.replay(
  p_caller quota.caller,
  p_idempotency_key text,
  p_arguments jsonb,
  p_at timestamptz
)
returns quota.kept_answer[]
language plpgsql stable security invoker set search_path = pg_catalog, pg_temp
as $$
declare
  v_owner_id text := case when p_caller.is_trusted then '' else coalesce(p_caller.actor, p_caller.subject_id) end;
  v_arguments jsonb;
  v_answers quota.kept_answer[];
begin
  select k.arguments, k.answers
    into v_arguments, v_answers
    from quota.keys as k
    where k.subject_id = p_caller.subject_id
      and k.owner_id = v_owner_id
      and k.idempotency_key = p_idempotency_key;
  if not found
    or quota.still_counts(p_caller.subject_id, v_arguments ->> 'call', v_answers, p_at) is not true
  then
    return null;
  end if;
  if v_arguments <> p_arguments then
    raise exception 'this idempotency key was used with other arguments: %',
      v_arguments - 'actor'
      using errcode = 'QIDEM', hint = 'use a fresh key for a new call';
  end if;
  return v_answers;
end
$$;

comment on function quota.replay is
  'What the call that bound a key was told; null if the key is free. Errors: QIDEM, other arguments.';

-- With another actor or without partial it is another call. Only where there is one of them: what calls
-- without were bound to stays what it was.
create function quota.further_arguments(
  p_actor text,
  p_partial boolean
)
returns jsonb
language plpgsql immutable security invoker set search_path = pg_catalog, pg_temp
as $$
begin
  return jsonb_strip_nulls(
    jsonb_build_object('actor', p_actor, 'partial', nullif(p_partial, false))
  );
end
$$;

comment on function quota.further_arguments is
  'What a key is bound to beside feature and amount: the actor, and that partial was asked for.';

create function quota.replay_taken(
  p_caller quota.caller,
  p_idempotency_key text,
  p_arguments jsonb,
  p_at timestamptz
)
returns quota.kept_answer[]
language plpgsql stable security invoker set search_path = pg_catalog, pg_temp
as $$
declare
  v_answers quota.kept_answer[] := quota.replay(p_caller, p_idempotency_key, p_arguments, p_at);
begin
  if v_answers is null then
    raise exception 'the idempotency key was taken by a call that was given back since'
      using errcode = '55P03', hint = 'call again with the same key';
  end if;
  return v_answers;
end
$$;

comment on function quota.replay_taken is
  'What the call that bound a key was told, where bind_key() found it taken. Errors: QIDEM, other arguments; 55P03, it is free again: nothing was counted.';

create function quota.replayed(p_answer quota.kept_answer)
returns public.usage_decision
language plpgsql immutable security invoker set search_path = pg_catalog, pg_temp
as $$
declare
  v_decision public.usage_decision := p_answer;
begin
  v_decision.replayed := true;
  return v_decision;
end
$$;

comment on function quota.replayed is 'An answer that is given again, marked as replayed.';

-- Does what the answer speaks of still count?
create function quota.still_counts(
  p_subject_id text,
  p_call text,
  p_answers quota.kept_answer[],
  p_at timestamptz
)
returns boolean
language plpgsql stable security invoker set search_path = pg_catalog, pg_temp
as $$
declare
  v_reservation_id uuid;
  v_state text;
  v_expires_at timestamptz;
  v_uses uuid[];
  v_used bigint;
begin
  if p_call = 'reserve_usage' then
    v_reservation_id := (p_answers[1]).reservation_id;
    select r.state, r.expires_at
      into v_state, v_expires_at
      from quota.reservations as r
      where r.subject_id = p_subject_id
        and r.reservation_id = v_reservation_id;
    if v_state = 'open' then
      return v_expires_at > p_at;
    end if;
    if v_state is distinct from 'committed' then
      return false;
    end if;
    v_uses := array(
      select e.event_id
      from quota.events as e
      where e.subject_id = p_subject_id
        and e.about_id = v_reservation_id
        and e.kind = 'commit'
    );
  elsif p_call in ('consume_usage', 'consume_usage_batch') then
    v_uses := array(select a.event_id from unnest(p_answers) as a);
  else
    -- A refund, a return or a grant happened, whatever came after: a webhook that comes again gives
    -- nothing twice.
    return true;
  end if;

  select sum(u.used_change)
    into v_used
    from (
      select e.used_change
      from quota.events as e
      where e.subject_id = p_subject_id
        and e.event_id = any (v_uses)
      union all
      select r.used_change
      from quota.events as r
      where r.subject_id = p_subject_id
        and r.about_id = any (v_uses)
        and r.kind = 'refund'
    ) as u;
  return v_used is distinct from 0;
end
$$;

comment on function quota.still_counts is
  'Whether what a call was told is still true at an instant: its hold is open or was committed, its use was not refunded in full.';

-- Before the lines of the call are written: when the key turns out to be taken, nothing was counted.
create function quota.bind_key(
  p_caller quota.caller,
  p_idempotency_key text,
  p_arguments jsonb,
  p_answers public.usage_decision[],
  p_at timestamptz
)
returns boolean
language plpgsql volatile security invoker set search_path = pg_catalog, pg_temp
as $$
declare
  v_owner_id text := case when p_caller.is_trusted then '' else coalesce(p_caller.actor, p_caller.subject_id) end;
  v_answers quota.kept_answer[];
  v_former quota.keys;
begin
  for i in 1 .. cardinality(p_answers) loop
    v_answers[i] := quota.kept(p_answers[i]);
  end loop;
  loop
    insert into quota.keys (
      subject_id, owner_id, idempotency_key, bound_at, arguments, answers
    )
    values (
      p_caller.subject_id, v_owner_id, p_idempotency_key, p_at, p_arguments, v_answers
    )
    on conflict do nothing;
    if found then
      return true;
    end if;
    -- A new statement: it sees the call that was waited for.
    select k.subject_id, k.owner_id, k.idempotency_key, k.bound_at, k.arguments, k.answers
      into v_former
      from quota.keys as k
      where k.subject_id = p_caller.subject_id
        and k.owner_id = v_owner_id
        and k.idempotency_key = p_idempotency_key;
    if found and quota.still_counts(
      p_caller.subject_id, v_former.arguments ->> 'call', v_former.answers, p_at
    ) then
      return false;
    end if;
    -- Of two that find it free, one takes this row away and binds the key.
    delete from quota.keys as k
      where k.subject_id = p_caller.subject_id
        and k.owner_id = v_owner_id
        and k.idempotency_key = p_idempotency_key
        and k.answers = v_former.answers;
  end loop;
  return null; -- never reached; plpgsql_check wants it
end
$$;

comment on function quota.bind_key is
  'Binds a key to a call and its answers. False: a call in flight took it.';

create function quota.free_key(
  p_caller quota.caller,
  p_idempotency_key text
)
returns void
language plpgsql volatile security invoker set search_path = pg_catalog, pg_temp
as $$
begin
  delete from quota.keys as k
    where k.subject_id = p_caller.subject_id
      and k.owner_id = case when p_caller.is_trusted then '' else coalesce(p_caller.actor, p_caller.subject_id) end
      and k.idempotency_key = p_idempotency_key;
end
$$;

comment on function quota.free_key is 'Takes back what bind_key() has just bound.';
