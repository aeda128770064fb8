-- The hold of a gauge is committed: what stands there since is in the limits of all above, which have no share of it.

create function quota.gauge_levels(
  p_subject_id text,
  p_feature_id text
)
returns text[]
language plpgsql stable security invoker set search_path = pg_catalog, pg_temp
as $$
declare
  v_levels text[] := quota.levels_of(p_subject_id);
begin
  return case
    when cardinality(v_levels) > 1 and exists (
      select from quota.features as f where f.feature_id = p_feature_id and f.kind = 'gauge'
    )
    then v_levels
  end;
end
$$;

comment on function quota.gauge_levels is
  'A subject and those above it, from the top down, for a gauge; null: it is none, or there is nobody above.';

create function quota.commit_levels(
  p_hold quota.reservations,
  p_amount bigint,
  p_at timestamptz,
  p_levels text[],
  p_own public.usage_decision
)
returns public.usage_decision
language plpgsql volatile security invoker set search_path = pg_catalog, pg_temp
as $$
declare
  v_held bigint := case when p_hold.state = 'open' then p_hold.amount else 0 end;
  v_level text;
  v_allowance quota.allowance;
  v_before quota.limit_state[];
  v_is_over boolean;
  v_parts quota.part[] := quota.parts_of_shares(p_hold.subject_id, p_hold.feature_id, null);
  v_decisions public.usage_decision[] := array[p_own];
  v_decision public.usage_decision;
begin
  foreach v_level in array p_levels loop
    continue when v_level = p_hold.subject_id;
    v_allowance := quota.limits_of(v_level, p_hold.feature_id, p_at, p_is_settled => true);
    v_before := coalesce(v_allowance.limits, '{}');
    for i in 1 .. cardinality(v_before) loop
      v_before[i].used := (v_before[i]).used - p_amount;
      v_before[i].reserved := (v_before[i]).reserved + v_held;
    end loop;
    perform quota.open_counters(v_level, p_hold.feature_id, p_at, v_allowance.limits);
    perform quota.write_alerts(v_level, p_hold.feature_id, p_at, v_before, v_allowance.limits);
    v_is_over := p_amount > v_held
      and exists (select from unnest(v_allowance.limits) as l where quota.room(l) < 0);
    v_parts := v_parts || row(v_level, p_hold.feature_id, 1, 1, false)::quota.part;
    v_decisions := v_decisions || quota.decision(
      v_level, p_hold.feature_id, p_amount, v_allowance,
      (quota.decide(v_allowance.limits, 0)).shown,
      case when v_is_over then 'over_limit' else 'ok' end
    );
  end loop;
  v_decision := quota.joint_decision(
    p_hold.subject_id, p_hold.feature_id, p_amount, v_parts, v_decisions
  );
  perform quota.close_hold(p_hold, 'committed', v_decision);
  return v_decision;
end
$$;

comment on function quota.commit_levels is
  'Says over_limit also where a level above has less room than was used, writes its alerts, and answers for all of them.';
