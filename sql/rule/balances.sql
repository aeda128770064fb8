-- What the ledger says of a period. Read where a counter does not exist yet: in a new period there
-- is nothing to find, and when a plan brings a new period or an anchor moves, the use so far is. Only
-- lines of this feature and period are looked at (an unused gauge beside 200,000 lines: none).
create function quota.ledger_balance(
  p_subject_id text,
  p_feature_id text,
  p_period text,
  p_from timestamptz,
  p_until timestamptz
)
returns quota.balance
language plpgsql stable strict security invoker set search_path = pg_catalog, pg_temp
as $$
declare
  v_subject_id text := p_subject_id;
  v_names text[];
  v_balance quota.balance;
begin
  if strpos(p_subject_id, chr(31)) > 0 then
    v_names := quota.names_counted(p_subject_id, p_feature_id);
    v_subject_id := case when v_names is null then p_subject_id else quota.cap_holder(p_subject_id) end;
  end if;
  -- At most 2^62: a sum that is no bigint would make a view fail for everybody.
  select
    least(coalesce(sum(e.used_change), 0), 4611686018427387904),
    least(coalesce(sum(e.reserved_change), 0), 4611686018427387904),
    -- What was drawn lifts no cap.
    least(coalesce(sum(e.drawn_change) filter (where v_names is null), 0), 4611686018427387904)
  into v_balance.used, v_balance.reserved, v_balance.drawn
  from quota.events as e
  where e.subject_id = v_subject_id
    and e.feature_id = p_feature_id
    and e.counts_at >= p_from
    and e.counts_at < p_until
    and (v_names is null or e.actor = any (v_names))
    -- A reset counts in one period alone.
    and (e.kind <> 'reset' or e.metadata ->> 'period' = p_period);
  return v_balance;
end
$$;

comment on function quota.ledger_balance is
  'Use, holds and draws that the ledger counts in a period, [p_from, p_until).';

-- A cap that no call has met yet is in the lines, and holds, of its organisation.
create function quota.names_counted(
  p_cap_id text,
  p_feature_id text
)
returns text[]
language plpgsql stable strict security invoker set search_path = pg_catalog, pg_temp
as $$
begin
  if exists (
    select from quota.meters as m where m.subject_id = p_cap_id and m.feature_id = p_feature_id
  ) then
    return null;
  end if;
  return quota.names_of(quota.cap_member(p_cap_id));
end
$$;

comment on function quota.names_counted is
  'Whose lines of the organisation say what a cap counts; null: it has lines of its own.';

-- What holds that have expired, and that no call has settled yet, still stand for in a counter.
create function quota.expired_holds(
  p_subject_id text,
  p_feature_id text,
  p_at timestamptz,
  p_from timestamptz,
  p_until timestamptz,
  p_has_draws boolean
)
returns quota.balance
language plpgsql stable strict security invoker set search_path = pg_catalog, pg_temp
as $$
declare
  v_subject_id text := p_subject_id;
  v_names text[];
  v_balance quota.balance;
begin
  if strpos(p_subject_id, chr(31)) > 0 then
    v_names := quota.names_counted(p_subject_id, p_feature_id);
    v_subject_id := case when v_names is null then p_subject_id else quota.cap_holder(p_subject_id) end;
  end if;
  select
    0,
    coalesce(sum(r.amount), 0),
    -- A look-up per hold (10 µs), so only where something was drawn.
    coalesce(sum(case when p_has_draws then (
      select sum(e.drawn_change)
      from quota.events as e
      where e.subject_id = r.subject_id
        and e.about_id = r.reservation_id
    ) end), 0)
  into v_balance.used, v_balance.reserved, v_balance.drawn
  from quota.reservations as r
  where r.subject_id = v_subject_id
    and r.feature_id = p_feature_id
    and r.state = 'open'
    and r.expires_at <= p_at
    and r.reserved_at >= p_from
    and r.reserved_at < p_until
    and (v_names is null or r.actor = any (v_names));
  return v_balance;
end
$$;

comment on function quota.expired_holds is
  'What expired but unsettled holds made in [p_from, p_until) hold and, where asked, have drawn.';
