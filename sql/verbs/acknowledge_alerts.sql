-- The other half of deliver_alerts(): only what has arrived is not sent again.
create function public.acknowledge_alerts(
  ids uuid[]
)
returns bigint
language plpgsql volatile security invoker set search_path = pg_catalog, pg_temp
as $$
#variable_conflict error
begin
  return quota.acknowledge_alerts(ids);
end
$$;

comment on function public.acknowledge_alerts is
  'Says that these alerts have arrived (ids are their alert_id): they are not handed out again. Returns how many were acknowledged now; unknown ones and those acknowledged before are passed over. Errors: 22023 no array; 42501 not a trusted role.';

create function quota.acknowledge_alerts(p_ids uuid[])
returns bigint
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp set lock_timeout = '2s'
as $$
declare
  v_now timestamptz := quota.clock();
  v_acknowledged bigint;
begin
  perform quota.require_trusted();
  if p_ids is null then
    raise exception 'acknowledge_alerts: ids is null, the alert_id of each alert that arrived is expected'
      using errcode = '22023', hint = 'an empty array acknowledges none';
  end if;
  -- skip locked: who holds one is forgetting it, acknowledging it, or handing it out once more. It
  -- waits for nobody, so it deadlocks with nobody; at worst an alert arrives twice.
  with arrived as (
    select a.subject_id, a.alert_id
    from quota.alerts as a
    where a.alert_id = any (p_ids)
      and a.acknowledged_at is null
    for update skip locked
  )
  update quota.alerts as a
    set acknowledged_at = v_now
    from arrived as r
    where a.subject_id = r.subject_id
      and a.alert_id = r.alert_id;
  get diagnostics v_acknowledged = row_count;
  return v_acknowledged;
end
$$;

comment on function quota.acknowledge_alerts is 'See public.acknowledge_alerts.';
