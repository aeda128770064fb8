-- Who may act for an organisation. An app that has such a table of its own
-- replaces quota.acts_for() and quota.subjects_of() and leaves this one empty.
create table quota.members (
  subject_id text collate "C" not null,
  user_id text collate "C" not null,
  constraint members_pkey primary key (subject_id, user_id),
  constraint members_ids_are_1_to_255_characters
    check (
      -- Not between: its brackets are others after a restore, and the comparison would call it changed.
      length(subject_id) >= 1 and length(subject_id) <= 255
      and length(user_id) >= 1 and length(user_id) <= 255
    )
);

comment on table quota.members is 'user_id may use and see on behalf of subject_id.';

-- Serves quota.subjects_of(): for whom may this user act?
create index members_by_user on quota.members (user_id, subject_id);

-- No statistics: estimates would tell of other subjects (see events).
alter table quota.members
  alter column subject_id set statistics 0,
  alter column user_id set statistics 0;

alter table quota.members enable row level security;

create policy select_own on quota.members
  for select to authenticated using (user_id = (select quota.user_id()));

create policy select_service on quota.members
  for select to service_role using (true);

-- Withheld: every write. Membership is permission to spend; add_member() and remove_member() are
-- for service_role.

-- Lets a user act for an organisation.
create function public.add_member(
  subject text,
  user_id text
)
returns void
language plpgsql volatile security invoker set search_path = pg_catalog, pg_temp
as $$
#variable_conflict error
begin
  perform quota.change_member(subject, user_id, true);
end
$$;

comment on function public.add_member is
  'Lets a user use and see on behalf of a subject, beside its own allowance. Apps that have a membership table of their own replace quota.acts_for() and quota.subjects_of() instead. Errors: QSUBJ subject or user missing, empty or over 255 characters; 42501 not a trusted role; 55P03 retry.';

-- Ends it.
create function public.remove_member(
  subject text,
  user_id text
)
returns void
language plpgsql volatile security invoker set search_path = pg_catalog, pg_temp
as $$
#variable_conflict error
begin
  perform quota.change_member(subject, user_id, false);
end
$$;

comment on function public.remove_member is
  'Ends it: from the next call on the user is refused with 42501. Nothing happens when it was no member. Errors: QSUBJ subject or user missing, empty or over 255 characters; 42501 not a trusted role; 55P03 retry.';

-- Who may act for an organisation, with a ledger line for each change: membership is
-- permission to spend.
create function quota.change_member(
  p_subject text,
  p_user_id text,
  p_is_member boolean
)
returns void
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp set lock_timeout = '2s'
as $$
declare
  v_caller quota.caller;
  v_now timestamptz;
begin
  perform quota.require_trusted();
  v_caller := quota.caller_by_account(p_subject);
  if p_user_id is null or length(p_user_id) not between 1 and 255 then
    raise exception 'the user id is missing, empty or over 255 characters'
      using errcode = 'QSUBJ', hint = 'pass the sub of the user''s JWT';
  end if;
  perform quota.check_separator(p_user_id);
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
        p_user_id, null, jsonb_build_object('user_id', p_user_id, 'is_member', p_is_member)
      )::quota.events
    );
  end if;
end
$$;

comment on function quota.change_member is 'See public.add_member and public.remove_member.';
