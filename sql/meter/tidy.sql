-- Takes away what nothing needs any more. Safe at any time, and safe never to run: no
-- answer depends on it. The ledger itself it leaves whole, unless it is told how long to keep it.
--
-- An ending, and a key, can be repeated for 31 days: a key is promised for 30.
create function quota.tidy(keep interval default null)
returns bigint
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp set jit = off
as $$
declare
  v_now timestamptz := quota.clock();
  v_subject_id text;
  v_feature_id text;
  v_rows bigint;
  v_removed bigint;
begin
  perform quota.require_trusted();
  -- skip locked: it waits for nobody.
  delete from quota.keys as k
    where (k.subject_id, k.owner_id, k.idempotency_key) in (
      select d.subject_id, d.owner_id, d.idempotency_key
      from quota.keys as d
      where d.bound_at < v_now - interval '31 days'
        -- An import is brought in once, however much later it is repeated.
        and d.arguments ->> 'call' <> 'import_usage'
      for update skip locked
    );
  get diagnostics v_removed = row_count;
  -- Holds that expired, and that no call has met since, get their expire lines.
  for v_subject_id, v_feature_id in
    select m.subject_id, m.feature_id
    from quota.meters as m
    -- The cap of a member is touched under its organisation's meter alone.
    join quota.meters as h
      on h.subject_id = split_part(m.subject_id, chr(31), 1)
      and h.feature_id = m.feature_id
    where m.holds_expire_at < v_now - interval '31 days'
    order by m.subject_id, m.feature_id
    for no key update skip locked
  loop
    perform quota.settle_expired(v_subject_id, v_feature_id, v_now);
  end loop;
  with ended as (
    delete from quota.reservations as r
      where (r.subject_id, r.reservation_id) in (
        select d.subject_id, d.reservation_id
        from quota.reservations as d
        where d.state in ('committed', 'released', 'expired')
          and d.expires_at < v_now - interval '31 days'
        for update skip locked
      )
      returning r.subject_id, r.reservation_id, r.state
  ),
  unused as (
    -- What was committed may be refunded yet.
    delete from quota.shares as s
      using ended as e
      where s.subject_id = e.subject_id
        and s.call_id = e.reservation_id
        and e.state <> 'committed'
  )
  select count(*) into v_rows from ended;
  v_removed := v_removed + v_rows;
  -- One that nobody acknowledged may yet be delivered.
  delete from quota.alerts as a
    where (a.subject_id, a.alert_id) in (
      select d.subject_id, d.alert_id
      from quota.alerts as d
      where d.acknowledged_at < v_now - interval '31 days'
      for update skip locked
    );
  get diagnostics v_rows = row_count;
  v_removed := v_removed + v_rows + quota.tidy_terms(v_now) + quota.end_idle_caps(v_now);
  -- After what it waits for: keys and holds.
  if keep is not null then
    v_removed := v_removed + quota.fold_ledger(keep, v_now);
  end if;
  return v_removed;
end
$$;

comment on function quota.tidy is
  'Removes idempotency keys, ended or expired reservations, acknowledged alerts, ended overrides and exceptions after 31 days (an exception for a month or year after two of them), and returns how many rows that were. Given how long to keep ledger lines one by one, it also folds older ones (about 10,000 a call, so call it until it returns 0) into one line of kind fold per subject, feature and stretch between the edges of its periods, with their number in metadata; a use that was folded can be refunded no more. Lines of running periods (a lifetime limit''s never ends), of gauges, of holds and keys that may be repeated, and of grants that are open stay. Errors: 42501 not a DBA; 22023 keep is below 0. For DBAs; run it daily, at any time, or never.';

-- A subject's own limits and values. They ended by arithmetic; nobody waits for their rows to go.
create function quota.tidy_terms(p_now timestamptz)
returns bigint
language plpgsql volatile security invoker set search_path = pg_catalog, pg_temp
as $$
declare
  v_rows bigint;
  v_removed bigint;
begin
  -- Long after: a clock may be set back, and what held in the period before says what was left of it.
  delete from quota.exceptions as x
    where (x.subject_id, x.feature_id, x.period) in (
      select d.subject_id, d.feature_id, d.period
      from quota.exceptions as d
      where d.ends_at < p_now - case d.period
        when 'year' then interval '732 days'
        when 'month' then interval '62 days'
        else interval '31 days'
      end
      for update skip locked
    );
  get diagnostics v_removed = row_count;
  delete from quota.overrides as o
    where (o.subject_id, o.feature_id) in (
      select d.subject_id, d.feature_id
      from quota.overrides as d
      where d.ends_at < p_now - interval '31 days'
      for update skip locked
    );
  get diagnostics v_rows = row_count;
  return v_removed + v_rows;
end
$$;

comment on function quota.tidy_terms is
  'Removes exceptions and overrides that ended long ago, and returns how many. For tidy().';
