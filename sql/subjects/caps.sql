-- Caps: how much one member may take of what an organisation has. A cap is a meter beside the organisation's,
-- of a subject that is the organisation's id, a unit separator (chr(31), which no other subject has) and the
-- member's. A call takes from it as from any other part; it is touched under the organisation's meter of that
-- feature alone, so it needs no place in the lock order, and it has no row in subjects: its terms are
-- the organisation's. Who has no cap, has no such meter.
create table quota.caps (
  subject_id text collate "C" not null,
  feature_id text collate "C" not null,
  member text collate "C" not null,
  is_set boolean not null default false,
  constraint caps_pkey primary key (subject_id, feature_id, member)
);

comment on table quota.caps is
  'Which members of a subject have caps that a call has met, or that were set for them.';

comment on column quota.caps.is_set is
  'True where it has an exception (quota.exceptions, of quota.cap_id()).';

-- Serves merge_subjects(): where is it a member under a cap?
create index caps_by_member on quota.caps (member, subject_id);

-- No statistics: estimates would tell of other subjects (see events).
alter table quota.caps
  alter column subject_id set statistics 0,
  alter column feature_id set statistics 0,
  alter column member set statistics 0,
  alter column is_set set statistics 0;

alter table quota.caps enable row level security;

create policy select_service on quota.caps
  for select to service_role using (true);

-- Withheld: everything from authenticated; current_usage shows a member its own.

create function quota.cap_id(
  p_subject_id text,
  p_member text
)
returns text
language plpgsql immutable strict security invoker set search_path = pg_catalog, pg_temp
as $$
begin
  return p_subject_id || chr(31) || p_member;
end
$$;

comment on function quota.cap_id is 'What stands for a member of a subject where subjects stand.';

create function quota.cap_holder(p_subject_id text)
returns text
language plpgsql immutable strict security invoker set search_path = pg_catalog, pg_temp
as $$
begin
  return split_part(p_subject_id, chr(31), 1);
end
$$;

comment on function quota.cap_holder is 'Whose member a cap is of; what is no cap is its own.';

create function quota.cap_member(p_subject_id text)
returns text
language plpgsql immutable strict security invoker set search_path = pg_catalog, pg_temp
as $$
begin
  return nullif(split_part(p_subject_id, chr(31), 2), '');
end
$$;

comment on function quota.cap_member is 'The member whose cap it is; null: it is none.';

-- A cap that is begun counts what was used under former names as well.
create function quota.names_of(p_user_id text)
returns text[]
language plpgsql stable security invoker set search_path = pg_catalog, pg_temp
as $$
declare
  v_names text[] := array[p_user_id];
  v_more text[];
begin
  loop
    v_more := array(
      select m.subject_id
      from quota.merges as m
      where m.account_id = any (v_names)
        and m.subject_id <> all (v_names)
    );
    exit when v_more = '{}';
    v_names := v_names || v_more;
  end loop;
  return v_names;
end
$$;

comment on function quota.names_of is 'A user and the names that were merged into it.';

create function quota.caps_below(p_subject_id text)
returns text[]
language plpgsql stable security invoker set search_path = pg_catalog, pg_temp
as $$
begin
  return array(
    select quota.cap_id(c.subject_id, c.member)
    from quota.caps as c
    where c.subject_id = p_subject_id
    group by c.subject_id, c.member
    order by c.member
  );
end
$$;

comment on function quota.caps_below is
  'The caps of members of a subject that were met by a call, or set.';

-- An owner may see what each member has used; who else sees that, an app says.
create function quota.sees_members(
  p_user_id text,
  p_subject_id text
)
returns boolean
language plpgsql stable security invoker set search_path = pg_catalog, pg_temp
as $$
begin
  return p_user_id = p_subject_id;
end
$$;

comment on function quota.sees_members is
  'May this user see the caps and use of all members of this subject? Default: nobody but the subject itself. Replace it when your app knows owners; null means no.';

-- For policies, which read as the reader: what an app put in place of sees_members() reads its own tables.
-- cost 1: it is asked of few lines, and a page of the ledger that seems dear is sorted.
create function quota.sees_member(
  p_subject_id text,
  p_member text
)
returns boolean
language plpgsql stable cost 1 security definer set search_path = pg_catalog, pg_temp
as $$
begin
  return quota.is_trusted() is true
    or quota.may_see(quota.user_id(), quota.cap_id(p_subject_id, p_member)) is true;
end
$$;

comment on function quota.sees_member is
  'May the reader see the caps of this member of a subject? Its own, and where it sees those of all.';

-- Read as the owner, who asks who reads. Of a trusted role all that were met or set; of a user its own,
-- also where nothing was used yet.
create function quota.caps_shown(p_subject_id text)
returns table (cap_id text, member text)
language plpgsql stable strict rows 2 security invoker set search_path = pg_catalog, pg_temp
as $$
declare
  v_has_caps boolean;
  v_has_members boolean;
  v_caps text[];
  v_members text[];
  v_user_id text;
begin
  -- Many have none: nobody but the subject itself uses it. With a column each: members lie by user, and
  -- Citus cannot carry out a part of many shards without one.
  select
      exists (select c.subject_id from quota.caps as c where c.subject_id = p_subject_id),
      exists (
        select n.user_id from quota.members as n where n.subject_id = p_subject_id and n.user_id <> p_subject_id
      )
    into v_has_caps, v_has_members;
  if not v_has_caps and not v_has_members and (quota.is_trusted() is true or p_subject_id = quota.user_id()) then
    return;
  end if;
  v_caps := quota.caps_below(p_subject_id);
  if quota.is_trusted() is not true then
    v_user_id := quota.user_id();
    if quota.sees_members(v_user_id, p_subject_id) is not true then
      return query select quota.cap_id(p_subject_id, v_user_id), v_user_id;
      return;
    end if;
  end if;
  v_members := array(
    select n.user_id
    from quota.members as n
    where n.subject_id = p_subject_id
      and n.user_id <> p_subject_id
  );
  return query
    select quota.cap_id(p_subject_id, u.member), u.member
    from (
      select quota.cap_member(c) as member from unnest(v_caps) as c
      union
      select n from unnest(v_members) as n
    ) as u
    order by u.member;
end
$$;

comment on function quota.caps_shown is
  'The caps of a subject''s members that a reader of the subject may see, for usage_shown(), which has asked whether it is one; of some there may be no limit.';
