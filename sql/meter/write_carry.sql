-- The pair of lines that says use moved from one counter to another. Both count in the same instant,
-- so together they change no sum: the lines of the use itself fall into the new period.
create function quota.write_carry(
  p_subject_id text,
  p_feature_id text,
  p_at timestamptz,
  p_period text,
  p_period_start timestamptz,
  p_limit quota.limit_state,
  p_moved bigint
)
returns void
language plpgsql volatile security invoker set search_path = pg_catalog, pg_temp
as $$
declare
  v_from_id uuid := quota.new_id(p_at);
  v_to_id uuid := quota.new_id(p_at);
begin
  perform quota.record(
    row(
      p_subject_id, v_from_id, p_at, 'carry', p_feature_id, p_at, -p_moved, 0, 0, v_to_id, null, null,
      null, jsonb_build_object('period', p_period, 'period_start', p_period_start)
    )::quota.events
  );
  perform quota.record(
    row(
      p_subject_id, v_to_id, p_at, 'carry', p_feature_id, p_at, p_moved, 0, 0, v_from_id, null, null,
      null, jsonb_build_object('period', p_limit.period, 'period_start', p_limit.period_start)
    )::quota.events
  );
end
$$;

comment on function quota.write_carry is
  'Notes in the ledger that use moved from the former counter to the period of the limit.';
