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
  v_removed bigint;
begin
  perform quota.require_trusted();
  v_removed := quota.tidy_keys(v_now);
  perform quota.settle_forgotten(v_now);
  v_removed := v_removed + quota.tidy_holds(v_now) + quota.tidy_alerts(v_now) + quota.tidy_terms(v_now)
    + quota.end_idle_caps(v_now);
  -- After what it waits for: keys and holds.
  if keep is not null then
    v_removed := v_removed + quota.fold_ledger(keep, v_now);
  end if;
  return v_removed;
end
$$;

comment on function quota.tidy is
  'Removes idempotency keys, ended or expired reservations, acknowledged alerts, ended overrides and exceptions after 31 days (an exception for a month or year after two of them), and returns how many rows that were. Given how long to keep ledger lines one by one, it also folds older ones (about 10,000 a call, or those of 500 subjects, so call it until it returns 0) into one line of kind fold per subject, feature and stretch between the edges of its periods, with their number in metadata; a use that was folded can be refunded no more. Lines of running periods (a lifetime limit''s never ends), of gauges, of holds and keys that may be repeated, and of grants that are open stay. Errors: 42501 not a DBA; 22023 keep is below 0. For DBAs; run it daily, at any time, or never.';

create function quota.tidy_keys(p_now timestamptz)
returns bigint
language plpgsql volatile security invoker set search_path = pg_catalog, pg_temp
as $$
declare
  v_subject_id text;
  v_rows bigint;
  v_removed bigint := 0;
begin
  for v_subject_id in
    select k.subject_id
    from quota.keys as k
    where k.bound_at < p_now - interval '31 days'
      -- An import is brought in once, however much later it is repeated.
      and k.arguments ->> 'call' <> 'import_usage'
    group by k.subject_id
    order by k.subject_id
  loop
    -- skip locked, here and below: it waits for nobody.
    delete from quota.keys as k
      where k.subject_id = v_subject_id
        and (k.owner_id, k.idempotency_key) in (
          select d.owner_id, d.idempotency_key
          from quota.keys as d
          where d.subject_id = v_subject_id
            and d.bound_at < p_now - interval '31 days'
            and d.arguments ->> 'call' <> 'import_usage'
          for update skip locked
        );
    get diagnostics v_rows = row_count;
    v_removed := v_removed + v_rows;
  end loop;
  return v_removed;
end
$$;

comment on function quota.tidy_keys is
  'Removes keys that are repeated no more, and returns how many. For tidy().';

-- Holds that expired, and that no call has met since, get their expire lines.
create function quota.settle_forgotten(p_now timestamptz)
returns void
language plpgsql volatile security invoker set search_path = pg_catalog, pg_temp
as $$
declare
  v_subject_id text;
  v_feature_id text;
begin
  for v_subject_id, v_feature_id in
    select r.subject_id, r.feature_id
    from quota.reservations as r
    where r.state = 'open'
      and r.expires_at between '-infinity' and p_now - interval '31 days'
    group by r.subject_id, r.feature_id
    order by r.subject_id, r.feature_id
  loop
    -- The cap of a member is touched under its organisation's meter alone.
    perform from quota.meters as m
      where m.subject_id = split_part(v_subject_id, chr(31), 1)
        and m.feature_id = v_feature_id
      for no key update skip locked;
    if found then
      perform from quota.meters as m
        where m.subject_id = v_subject_id
          and m.feature_id = v_feature_id
        for no key update;
      perform quota.settle_expired(v_subject_id, v_feature_id, p_now);
    end if;
  end loop;
end
$$;

comment on function quota.settle_forgotten is
  'Ends holds that expired long ago. For tidy().';

create function quota.tidy_holds(p_now timestamptz)
returns bigint
language plpgsql volatile security invoker set search_path = pg_catalog, pg_temp
as $$
declare
  v_subject_id text;
  v_ended uuid[];
  v_removed bigint := 0;
begin
  for v_subject_id in
    select r.subject_id
    from quota.reservations as r
    where r.state in ('committed', 'released', 'expired')
      and r.expires_at < p_now - interval '31 days'
    group by r.subject_id
    order by r.subject_id
  loop
    v_ended := array(
      select r.reservation_id
      from quota.reservations as r
      where r.subject_id = v_subject_id
        and r.state in ('committed', 'released', 'expired')
        and r.expires_at < p_now - interval '31 days'
      for update skip locked
    );
    -- What was committed may be refunded yet.
    delete from quota.shares as s
      where s.subject_id = v_subject_id
        and s.call_id in (
          select r.reservation_id
          from quota.reservations as r
          where r.subject_id = v_subject_id
            and r.reservation_id = any (v_ended)
            and r.state <> 'committed'
        );
    delete from quota.reservations as r
      where r.subject_id = v_subject_id
        and r.reservation_id = any (v_ended);
    v_removed := v_removed + cardinality(v_ended);
  end loop;
  return v_removed;
end
$$;

comment on function quota.tidy_holds is
  'Removes holds that ended long ago, and returns how many. For tidy().';

create function quota.tidy_alerts(p_now timestamptz)
returns bigint
language plpgsql volatile security invoker set search_path = pg_catalog, pg_temp
as $$
declare
  v_subject_id text;
  v_rows bigint;
  v_removed bigint := 0;
begin
  -- One that nobody acknowledged may yet be delivered.
  for v_subject_id in
    select a.subject_id
    from quota.alerts as a
    where a.acknowledged_at < p_now - interval '31 days'
    group by a.subject_id
    order by a.subject_id
  loop
    delete from quota.alerts as a
      where a.subject_id = v_subject_id
        and a.alert_id in (
          select d.alert_id
          from quota.alerts as d
          where d.subject_id = v_subject_id
            and d.acknowledged_at < p_now - interval '31 days'
          for update skip locked
        );
    get diagnostics v_rows = row_count;
    v_removed := v_removed + v_rows;
  end loop;
  return v_removed;
end
$$;

comment on function quota.tidy_alerts is
  'Removes alerts that arrived long ago, and returns how many. For tidy().';

-- A subject's own limits and values. They ended by arithmetic; nobody waits for their rows to go.
create function quota.tidy_terms(p_now timestamptz)
returns bigint
language plpgsql volatile security invoker set search_path = pg_catalog, pg_temp
as $$
declare
  v_subject_id text;
  v_rows bigint;
  v_removed bigint := 0;
begin
  for v_subject_id in
    select x.subject_id
    from quota.exceptions as x
    where x.ends_at < p_now - interval '31 days'
    union
    select o.subject_id
    from quota.overrides as o
    where o.ends_at < p_now - interval '31 days'
    order by 1
  loop
    -- Long after: a clock may be set back, and what held in the period before says what was left of it.
    delete from quota.exceptions as x
      where x.subject_id = v_subject_id
        and (x.feature_id, x.period) in (
          select d.feature_id, d.period
          from quota.exceptions as d
          where d.subject_id = v_subject_id
            and d.ends_at < p_now - case
              when d.period = 'year' then interval '732 days'
              when d.period = 'month' then interval '62 days'
              else interval '31 days'
            end
          for update skip locked
        );
    get diagnostics v_rows = row_count;
    v_removed := v_removed + v_rows;
    delete from quota.overrides as o
      where o.subject_id = v_subject_id
        and o.feature_id in (
          select d.feature_id
          from quota.overrides as d
          where d.subject_id = v_subject_id
            and d.ends_at < p_now - interval '31 days'
          for update skip locked
        );
    get diagnostics v_rows = row_count;
    v_removed := v_removed + v_rows;
  end loop;
  return v_removed;
end
$$;

comment on function quota.tidy_terms is
  'Removes exceptions and overrides that ended long ago, and returns how many. For tidy().';
