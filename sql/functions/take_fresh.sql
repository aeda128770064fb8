-- Why this exists: speed. What a call costs is the number of functions, statements and expressions it
-- goes through, since Postgres sets each up anew in every transaction (9 µs for a look-up, 3 for a
-- function, 1 for an assignment). The long way through limits_of(), decide() and record() reached 0.3
-- of a bare update's speed; this one, for the most common call, 0.5.
--
-- It knows nothing of plans: it trusts what the long way found last and left with the meter (see
-- sql/tables/meters.sql for why that is exact), and leaves everything that is not plain to it.

create function quota.remember(
  p_subject_id text,
  p_feature_id text,
  p_at timestamptz,
  p_allowance quota.allowance
)
returns void
language plpgsql
volatile
security invoker
set search_path = pg_catalog, pg_temp
as $$
begin
  update quota.meters as m
    set fresh_from = p_at,
        fresh_until = least(
          p_allowance.changes_at,
          (select min(l.resets_at) from unnest(p_allowance.limits) as l)
        ),
        catalogue_version = p_allowance.catalogue_version,
        plan_id = p_allowance.plan_id,
        upgrade_url = p_allowance.upgrade_url,
        server_only = p_allowance.server_only
    where m.subject_id = p_subject_id
      and m.feature_id = p_feature_id
      and (m.fresh_until <= p_at or m.catalogue_version <> p_allowance.catalogue_version)
      -- An open counter that a former plan left behind would be taken for a limit.
      and cardinality(p_allowance.limits) = (
        select count(*)
        from quota.counters as c
        where c.subject_id = p_subject_id
          and c.feature_id = p_feature_id
          and c.period_end > p_at
          and c.period_start <= p_at
      );
end
$$;

comment on function quota.remember(text, text, timestamptz, quota.allowance) is
  'Leaves a plain allowance, whose counters are open, with its meter.';

revoke all on function quota.remember(text, text, timestamptz, quota.allowance)
  from public, anon, authenticated, service_role;

create function quota.take_fresh(
  p_caller quota.caller,
  p_feature_id text,
  p_amount bigint,
  p_kind text,
  p_metadata jsonb
)
returns public.usage_decision
language plpgsql
volatile
security invoker
set search_path = pg_catalog, pg_temp
as $$
declare
  v_fresh_from timestamptz;
  v_fresh_until timestamptz;
  v_catalogue_version bigint;
  v_plan_id text;
  v_upgrade_url text;
  v_now timestamptz;
  v_period text;
  v_period_start timestamptz;
  v_period_end timestamptz;
  v_limit bigint;
  v_used bigint;
  v_reserved bigint;
  v_is_plain boolean;
  v_event_id uuid;
begin
  select
      m.fresh_from, least(m.fresh_until, m.holds_expire_at), m.catalogue_version, m.plan_id,
      m.upgrade_url
    into v_fresh_from, v_fresh_until, v_catalogue_version, v_plan_id, v_upgrade_url
    from quota.meters as m
    where m.subject_id = p_caller.subject_id
      and m.feature_id = p_feature_id
      and (p_caller.is_trusted or not m.server_only)
    for no key update;
  v_now := quota.clock();
  if (v_now >= v_fresh_from and v_now < v_fresh_until) is not true
    or current_setting('transaction_isolation') <> 'read committed'
  then
    return null;
  end if;

  -- The one with least room, the longest period among equals; but first one that is not plain: full
  -- with this call or before it, or crossing 80 %, since alerts are for the long way. No row: the
  -- catalogue has changed.
  select
      c.period, c.period_start, c.period_end, c.last_limit, c.used + p_amount, c.reserved,
      c.used + c.reserved + p_amount < coalesce(c.last_limit, 9007199254740992)
        and (
          (c.used + c.reserved + p_amount) * 100 < c.last_limit * 80
          or (c.used + c.reserved) * 100 >= c.last_limit * 80
        ) is not false
    into v_period, v_period_start, v_period_end, v_limit, v_used, v_reserved, v_is_plain
    from quota.catalogue as k
    join quota.counters as c
      on c.subject_id = p_caller.subject_id
      and c.feature_id = p_feature_id
      and c.period_end > v_now
      and c.period_start <= v_now
    where k.version = v_catalogue_version
    order by 7, c.last_limit - c.used - c.reserved, c.period_end desc
    limit 1;
  if v_is_plain is not true then
    return null;
  end if;

  v_event_id := quota.new_id(v_now);
  insert into quota.events (
    subject_id, event_id, at, kind, feature_id, counts_at, used_change, actor, metadata
  )
  values (
    p_caller.subject_id, v_event_id, v_now, p_kind, p_feature_id, v_now, p_amount,
    p_caller.actor, p_metadata
  );
  update quota.counters as c
    set used = c.used + p_amount
    where c.subject_id = p_caller.subject_id
      and c.feature_id = p_feature_id
      and c.period_end > v_now
      and c.period_start <= v_now;
  if p_kind = 'table' then
    update quota.meters as m
      set rows_used = m.rows_used + p_amount
      where m.subject_id = p_caller.subject_id
        and m.feature_id = p_feature_id;
  end if;

  return row(
    true, 'ok', p_feature_id, p_caller.subject_id, v_plan_id, p_amount, v_used, v_reserved,
    v_limit, v_limit - v_used - v_reserved, v_limit is null, v_period,
    nullif(v_period_start, '-infinity'), nullif(v_period_end, 'infinity'), null, v_event_id, null,
    false, v_upgrade_url, 0
  )::public.usage_decision;
end
$$;

comment on function quota.take_fresh(quota.caller, text, bigint, text, jsonb) is
  'Locks the meter, and counts if what it remembers holds and there is room. Null: nothing was counted, ask the long way.';

revoke all on function quota.take_fresh(quota.caller, text, bigint, text, jsonb)
  from public, anon, authenticated, service_role;
