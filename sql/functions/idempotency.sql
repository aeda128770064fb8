-- Why this exists: a call that is repeated with its key is told its first answer and counts
-- nothing. Asked after the meter is locked (so the first call has committed or has gone), and again
-- when the insert of a line meets the key of a call that ran under another feature's meter.
create function quota.replay(
  p_subject_id text,
  p_idempotency_key text,
  p_arguments jsonb
)
returns jsonb
language plpgsql
stable
strict
security invoker
set search_path = pg_catalog, pg_temp
as $$
declare
  v_arguments jsonb;
  v_answer jsonb;
begin
  select e.arguments, e.answer
    into v_arguments, v_answer
    from quota.events as e
    where e.subject_id = p_subject_id
      and e.idempotency_key = p_idempotency_key;
  if v_arguments <> p_arguments then
    raise exception 'this idempotency key was used with other arguments: %', v_arguments
      using errcode = 'QIDEM', hint = 'use a fresh key for a new call';
  end if;
  return v_answer;
end
$$;

comment on function quota.replay(text, text, jsonb) is
  'The first answer of a key, null if it is free. Errors: QIDEM, other arguments.';

revoke all on function quota.replay(text, text, jsonb)
  from public, anon, authenticated, service_role;

create function quota.replayed(p_answer jsonb)
returns public.usage_decision
language plpgsql
immutable
security invoker
set search_path = pg_catalog, pg_temp
as $$
declare
  v_decision public.usage_decision := jsonb_populate_record(
    null::public.usage_decision, p_answer
  );
begin
  v_decision.replayed := true;
  return v_decision;
end
$$;

comment on function quota.replayed(jsonb) is 'A stored answer, marked as replayed.';

revoke all on function quota.replayed(jsonb) from public, anon, authenticated, service_role;
