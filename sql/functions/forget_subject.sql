-- Why this exists: the right to erasure. The one way in which ledger lines disappear by themselves, and
-- in which a line changes: one of an organisation forgets who acted.
create function quota.forget_subject(p_subject text)
returns bigint
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
set lock_timeout = '2s'
as $$
declare
  v_caller quota.caller;
  v_lines bigint;
begin
  perform quota.require_trusted();
  v_caller := quota.caller_for(p_subject);
  perform quota.lock_subject(v_caller.subject_id);
  perform quota.lock_meters(v_caller.subject_id, quota.meters_of(v_caller.subject_id));
  delete from quota.events as e where e.subject_id = v_caller.subject_id;
  get diagnostics v_lines = row_count;
  delete from quota.alerts as a where a.subject_id = v_caller.subject_id;
  delete from quota.reservations as r where r.subject_id = v_caller.subject_id;
  delete from quota.grants as g where g.subject_id = v_caller.subject_id;
  delete from quota.exceptions as x where x.subject_id = v_caller.subject_id;
  delete from quota.counters as c where c.subject_id = v_caller.subject_id;
  delete from quota.members as m
    where m.subject_id = v_caller.subject_id or m.user_id = v_caller.subject_id;
  -- The ledger of an organisation keeps its lines and loses the name. Nobody else changes a line, so
  -- this needs no meter of the organisation.
  update quota.events as e
    set actor = null,
        metadata = case when e.kind = 'member' then e.metadata - 'user_id' else e.metadata end
    where (e.actor is not null or e.kind = 'member')
      and coalesce(e.actor, e.metadata ->> 'user_id') = v_caller.subject_id;
  delete from quota.meters as m where m.subject_id = v_caller.subject_id;
  delete from quota.subjects as s where s.subject_id = v_caller.subject_id;
  return v_lines;
end
$$;

comment on function quota.forget_subject(text) is 'See public.forget_subject.';

revoke all on function quota.forget_subject(text) from public, anon, authenticated, service_role;
grant execute on function quota.forget_subject(text) to service_role;
