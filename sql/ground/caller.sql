-- Who is calling, and for whom. Decided from the role and the claims, never from
-- what the caller says. Inside a security definer function current_user is the owner, so the role
-- setting is read, which PostgREST sets for each request.

create type quota.caller as (
  subject_id text,
  is_trusted boolean,
  actor text
);

comment on type quota.caller is
  'For whom a call is made; whether a trusted role makes it; which user acts, where not for itself.';

create function quota.caller_for(p_subject_id text)
returns quota.caller
language plpgsql stable security invoker set search_path = pg_catalog, pg_temp
as $$
declare
  v_caller quota.caller;
  v_user_id text;
begin
  -- The server's own calls, in one look.
  if current_setting('role', true) = 'service_role' and length(p_subject_id) between 1 and 255
    and strpos(p_subject_id, chr(31)) = 0
  then
    return row(p_subject_id, true, null)::quota.caller;
  end if;
  v_caller.is_trusted := quota.is_trusted() is true;
  if v_caller.is_trusted then
    if p_subject_id is null then
      raise exception 'a trusted role must name the subject'
        using errcode = 'QSUBJ', hint = 'pass subject, the id of the user or organisation';
    end if;
    v_caller.subject_id := p_subject_id;
  else
    v_user_id := quota.user_id();
    if v_user_id is null then
      raise exception 'no identity: the request carries no sub claim'
        using errcode = '42501',
          hint = case
            -- Nobody's request: a login of its own, which was granted service_role at best.
            when coalesce(current_setting('role', true), 'none') in ('', 'none')
              then 'set role service_role first (pgquota/pg: the option role), or set request.jwt.claims'
            else 'sign in, or call from the server as service_role'
          end;
    end if;
    v_caller.subject_id := coalesce(p_subject_id, v_user_id);
    -- The length is looked at first: what is not a subject cannot be someone else's.
    if length(v_caller.subject_id) between 1 and 255 and v_caller.subject_id <> v_user_id then
      -- An app's own function may answer null: for a stranger who is in no row of its table.
      if quota.acts_for(v_user_id, p_subject_id) is not true then
        raise exception 'the subject is not yours'
          using errcode = '42501',
            hint = 'leave subject out to use your own allowance; a server sends the service key alone, '
              'without a user''s Authorization header';
      end if;
      v_caller.actor := v_user_id;
    end if;
  end if;
  if length(v_caller.subject_id) not between 1 and 255 then
    raise exception 'the subject has % characters, 1 to 255 are allowed', length(v_caller.subject_id)
      using errcode = 'QSUBJ', hint = 'pass an id; hash what is longer';
  end if;
  perform quota.check_separator(v_caller.subject_id || coalesce(v_caller.actor, ''));
  return v_caller;
end
$$;

comment on function quota.caller_for is
  'For whom a call that names this subject is made. Errors: 42501 no identity or not yours; QSUBJ missing, empty or over 255 characters.';

-- A server says for which user of an organisation it calls. A user that calls is the actor itself: could
-- it name one, it would use up the share of a colleague.
create function quota.with_actor(
  p_function text,
  p_caller quota.caller,
  p_actor text
)
returns quota.caller
language plpgsql stable security invoker set search_path = pg_catalog, pg_temp
as $$
declare
  v_caller quota.caller := p_caller;
begin
  if p_actor is null then
    return p_caller;
  end if;
  if v_caller.is_trusted is not true then
    raise exception '%: actor is named by a user, which acts as itself', p_function
      using errcode = '42501', hint = 'leave actor out; a server names it, with the service key alone';
  end if;
  if length(p_actor) not between 1 and 255 then
    raise exception '%: the actor has % characters, 1 to 255 are allowed', p_function, length(p_actor)
      using errcode = 'QSUBJ', hint = 'pass the id of the user that acts for the subject, or leave it out';
  end if;
  perform quota.check_separator(p_actor);
  v_caller.actor := nullif(p_actor, v_caller.subject_id);
  return v_caller;
end
$$;

comment on function quota.with_actor is
  'The caller with the user for whom it says that it calls; one that is the subject itself is none. Errors: 42501 named by a user; QSUBJ empty or over 255 characters.';

create function quota.require_trusted()
returns void
language plpgsql stable security invoker set search_path = pg_catalog, pg_temp
as $$
begin
  if quota.is_trusted() is not true then
    raise exception 'this function is for the server'
      using errcode = '42501',
        hint = case
          when coalesce(current_setting('role', true), 'none') in ('', 'none')
            then 'set role service_role first (pgquota/pg: the option role)'
          else 'call it with the service key alone, without a user''s Authorization header'
        end;
  end if;
end
$$;

comment on function quota.require_trusted is
  'The second bolt behind the missing execute right. Errors: 42501.';

create function quota.is_trusted()
returns boolean
language plpgsql stable security invoker set search_path = pg_catalog, pg_temp
as $$
declare
  v_role name := coalesce(nullif(current_setting('role', true), 'none'), session_user::text);
begin
  if v_role = 'service_role' then
    return true;
  end if;
  if v_role in ('authenticated', 'anon') then
    return false;
  end if;
  return pg_has_role(
    v_role,
    (select n.nspowner from pg_catalog.pg_namespace as n where n.nspname = 'quota'),
    'member'
  );
end
$$;

comment on function quota.is_trusted is
  'True for service_role and for members of the role that owns schema quota: they name the subject.';

create function quota.user_id()
returns text
language plpgsql stable security invoker set search_path = pg_catalog, pg_temp
as $$
begin
  -- Not auth.uid(): it casts to uuid, and ids of third-party auth are none. Not the legacy
  -- request.jwt.claim.sub: it bled from one client to the next on pooled connections. The claims
  -- are '' after a transaction that had them.
  return nullif(
    nullif(current_setting('request.jwt.claims', true), '')::jsonb ->> 'sub',
    ''
  );
end
$$;

comment on function quota.user_id is 'The signed-in user: sub of the JWT; null without one.';

create function quota.acts_for(
  p_user_id text,
  p_subject_id text
)
returns boolean
language plpgsql stable security invoker set search_path = pg_catalog, pg_temp
as $$
begin
  return exists (
    select from quota.members as m
    where m.subject_id = p_subject_id
      and m.user_id = p_user_id
  );
end
$$;

comment on function quota.acts_for is
  'May this user act for this subject? True is yes; false and null are no. Replace it, together with quota.subjects_of(), when your app has a membership table of its own.';

create function quota.subjects_of(p_user_id text)
returns setof text
language plpgsql stable rows 3 security invoker set search_path = pg_catalog, pg_temp
as $$
begin
  if p_user_id is null then
    return;
  end if;
  return next p_user_id;
  return query
    select m.subject_id
    from quota.members as m
    where m.user_id = p_user_id
      and m.subject_id <> p_user_id;
end
$$;

comment on function quota.subjects_of is
  'The subjects whose use this user may see: itself, and those it may act for; a null among them is nobody. Replace it together with quota.acts_for().';

-- Whoever may act for a subject may see it (check_usage() says as much); an app's subjects_of() may show
-- more, and is asked where acts_for() says no.
create function quota.may_see(
  p_user_id text,
  p_subject_id text
)
returns boolean
language plpgsql stable strict security invoker set search_path = pg_catalog, pg_temp
as $$
begin
  if strpos(p_subject_id, chr(31)) > 0 then
    return quota.may_see(p_user_id, quota.cap_holder(p_subject_id))
      and (
        quota.cap_member(p_subject_id) = p_user_id
        or quota.sees_members(p_user_id, quota.cap_holder(p_subject_id)) is true
      );
  end if;
  return p_subject_id = p_user_id
    or quota.acts_for(p_user_id, p_subject_id) is true
    or exists (
      select from quota.subjects_of(p_user_id) as o (subject_id)
      where o.subject_id = p_subject_id
    );
end
$$;

comment on function quota.may_see is 'May this user see what this subject has used and may use? Null is no.';

create function quota.organisations_of(p_user_id text)
returns text[]
language plpgsql stable security invoker set search_path = pg_catalog, pg_temp
as $$
begin
  return array(
    select o.subject_id
    from quota.subjects_of(p_user_id) as o (subject_id)
    where o.subject_id <> p_user_id
    group by o.subject_id
    order by o.subject_id
  );
end
$$;

comment on function quota.organisations_of is
  'Whose use this user may see beside its own: quota.subjects_of() without itself, each once, in order.';
