-- A top-up that was paid back, a promotion that ended early.
create function public.void_grant(
  grant_id uuid,
  subject text default null
)
returns boolean
language plpgsql volatile security invoker set search_path = pg_catalog, pg_temp
as $$
#variable_conflict error
begin
  return quota.void_grant(grant_id, subject);
end
$$;

comment on function public.void_grant is
  'Ends a grant: what is left of it is gone, what was drawn stays drawn. Returns true when it was open until now, false when there is no such grant, it was voided before, or it is not the named subject''s. Errors: 22023 no grant_id; 42501 not a trusted role; 55P03 retry.';

create function quota.void_grant(
  p_grant_id uuid,
  p_subject text
)
returns boolean
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp set lock_timeout = '2s'
as $$
declare
  v_grant quota.grants;
  v_now timestamptz;
begin
  perform quota.require_trusted();
  if p_grant_id is null then
    raise exception 'void_grant: grant_id is null, the id that grant_usage gave is expected'
      using errcode = '22023', hint = 'usage_events has it as grant_id of the grant line';
  end if;
  select g.subject_id, g.feature_id
    into v_grant.subject_id, v_grant.feature_id
    from quota.grants as g
    where g.grant_id = p_grant_id;
  if not found or v_grant.subject_id <> p_subject then
    return false;
  end if;
  -- Or forget_subject() was faster: then the subject is not to be made again.
  perform from quota.subjects as s where s.subject_id = v_grant.subject_id for no key update;
  if not found then
    return false;
  end if;
  v_now := quota.lock_terms(v_grant.subject_id, v_grant.feature_id);
  update quota.grants as g
    set voided_at = v_now
    where g.subject_id = v_grant.subject_id
      and g.grant_id = p_grant_id
      and g.voided_at is null;
  if not found then
    return false;
  end if;
  perform quota.record(
    row(
      v_grant.subject_id, quota.new_id(v_now), v_now, 'void', v_grant.feature_id, v_now, 0, 0, 0,
      p_grant_id, p_grant_id, null, null, '{}'
    )::quota.events
  );
  return true;
end
$$;

comment on function quota.void_grant is 'See public.void_grant.';
