-- Why this exists: takes away what nothing needs any more. Safe at any time, and safe never to run: no
-- answer depends on it. The ledger itself it leaves whole.
create function quota.tidy()
returns bigint
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_now timestamptz := quota.clock();
  v_rows bigint;
  v_removed bigint;
begin
  perform quota.require_trusted();
  -- Minutes and hours are in no history. skip locked: it waits for nobody.
  delete from quota.counters as c
    where (c.subject_id, c.feature_id, c.period_end, c.period) in (
      select d.subject_id, d.feature_id, d.period_end, d.period
      from quota.counters as d
      where d.period in ('minute', 'hour')
        and d.period_end < v_now - interval '2 days'
      for update skip locked
    );
  get diagnostics v_removed = row_count;
  -- An ending can be repeated for as long as an idempotency key is good.
  delete from quota.reservations as r
    where (r.subject_id, r.reservation_id) in (
      select d.subject_id, d.reservation_id
      from quota.reservations as d
      where d.state in ('committed', 'released')
        and d.expires_at < v_now - interval '31 days'
      for update skip locked
    );
  get diagnostics v_rows = row_count;
  return v_removed + v_rows;
end
$$;

comment on function quota.tidy() is
  'Removes closed minute and hour counters after 2 days and ended reservations after 31, and returns how many rows that were. For DBAs; run it daily, at any time, or never.';

revoke all on function quota.tidy() from public, anon, authenticated, service_role;
