create function quota.write_catalogue(p_plans jsonb)
returns void
language plpgsql volatile security invoker set search_path = pg_catalog, pg_temp
as $$
declare
  v_version bigint;
begin
  -- What meters remember is of the last edition. A copy of the schema alone has none.
  if not exists (select from quota.catalogue) then
    select coalesce(max(m.catalogue_version), 0) into v_version from quota.meters as m;
    insert into quota.catalogue (version)
      values (v_version)
      on conflict do nothing;
  end if;
  update quota.catalogue as k set version = k.version + 1;
  delete from quota.plan_limits as l
    where p_plans #> array['plans', l.plan_id, 'limits', l.feature_id, l.period] is null;
  delete from quota.member_limits as c
    where p_plans #> array['plans', c.plan_id, 'per_member', c.feature_id, c.period] is null;
  delete from quota.plans as p
    where not p_plans -> 'plans' ? p.plan_id;
  perform quota.write_costs(p_plans, false);
  delete from quota.features as f
    where not p_plans -> 'features' ? f.feature_id;

  insert into quota.features (feature_id, name, unit, kind, server_only, hidden, alerts, marks)
    select
      f.key,
      coalesce(f.value ->> 'name', f.key),
      coalesce(f.value ->> 'unit', 'unit'),
      coalesce(f.value ->> 'kind', 'metered'),
      coalesce((f.value ->> 'server_only')::boolean, false),
      coalesce((f.value ->> 'hidden')::boolean, false),
      quota.alerts_of(f.value),
      array(
        select distinct m.mark from unnest(quota.alerts_of(f.value) || '{80, 100}') as m (mark) order by 1
      )
    from jsonb_each(p_plans -> 'features') as f
    on conflict (feature_id) do update
      set name = excluded.name,
          unit = excluded.unit,
          kind = excluded.kind,
          server_only = excluded.server_only,
          hidden = excluded.hidden,
          alerts = excluded.alerts,
          marks = excluded.marks;

  perform quota.write_costs(p_plans, true);
  perform quota.write_plans(p_plans);

  insert into quota.plan_limits (
    plan_id, feature_id, period, amount, rollover, mode, ceiling, grace
  )
    select p.key, l.key, a.key, t.amount, t.rollover, t.mode, t.ceiling, t.grace
    from jsonb_each(p_plans -> 'plans') as p
    cross join lateral jsonb_each(p.value -> 'limits') as l
    cross join lateral jsonb_each(l.value) as a
    cross join lateral quota.limit_terms(a.value) as t
    on conflict (plan_id, feature_id, period) do update
      set amount = excluded.amount,
          rollover = excluded.rollover,
          mode = excluded.mode,
          ceiling = excluded.ceiling,
          grace = excluded.grace;
  perform quota.write_plan_values(p_plans);
  perform quota.write_member_limits(p_plans);
end
$$;

comment on function quota.write_catalogue is 'Makes the catalogue what the document says, as a new edition.';

create function quota.write_plans(p_plans jsonb)
returns void
language plpgsql volatile security invoker set search_path = pg_catalog, pg_temp
as $$
declare
  v_now timestamptz := quota.clock();
begin
  -- The former default first: the index allows one at a time.
  update quota.plans as p
    set is_default = false
    where p.is_default
      and not coalesce((p_plans -> 'plans' -> p.plan_id ->> 'default')::boolean, false);
  insert into quota.plans (
    plan_id, name, is_default, upgrade_url, hidden, is_retired, successor_id, moves, moves_from
  )
    select
      p.key,
      coalesce(p.value ->> 'name', p.key),
      coalesce((p.value ->> 'default')::boolean, false),
      p.value ->> 'upgrade_url',
      coalesce((p.value ->> 'hidden')::boolean, false),
      a.is_retired,
      a.successor_id,
      a.moves,
      a.moves_from
    from jsonb_each(p_plans -> 'plans') as p
    join quota.plan_ages(p_plans, v_now) as a on a.plan_id = p.key
    on conflict (plan_id) do update
      set name = excluded.name,
          is_default = excluded.is_default,
          upgrade_url = excluded.upgrade_url,
          hidden = excluded.hidden,
          is_retired = excluded.is_retired,
          successor_id = excluded.successor_id,
          moves = excluded.moves,
          moves_from = excluded.moves_from;
end
$$;

comment on function quota.write_plans is 'The plans of the document, without their limits.';
