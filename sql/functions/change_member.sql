-- Why this exists: who may act for an organisation, with a ledger line for each change: membership is
-- permission to spend.
create function quota.change_member(
  p_subject text,
  p_user_id text,
  p_is_member boolean
)
returns void
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
set lock_timeout = '2s'
as $$
declare
  v_caller quota.caller;
  v_now timestamptz;
begin
  perform quota.require_trusted();
  v_caller := quota.caller_for(p_subject);
  if p_user_id is null or length(p_user_id) not between 1 and 255 then
    raise exception 'the user id is missing, empty or over 255 characters'
      using errcode = 'QSUBJ', hint = 'pass the sub of the user''s JWT';
  end if;
  perform quota.lock_subject(v_caller.subject_id);
  if p_is_member then
    insert into quota.members (subject_id, user_id)
      values (v_caller.subject_id, p_user_id)
      on conflict do nothing;
  else
    delete from quota.members as m
      where m.subject_id = v_caller.subject_id
        and m.user_id = p_user_id;
  end if;
  if found then
    v_now := quota.clock();
    perform quota.record(
      row(
        v_caller.subject_id, quota.new_id(v_now), v_now, 'member', null, v_now, 0, 0, 0, null, null,
        null, null, jsonb_build_object('user_id', p_user_id, 'is_member', p_is_member)
      )::quota.events
    );
  end if;
end
$$;

comment on function quota.change_member(text, text, boolean) is
  'See public.add_member and public.remove_member.';

revoke all on function quota.change_member(text, text, boolean)
  from public, anon, authenticated, service_role;
grant execute on function quota.change_member(text, text, boolean) to service_role;
