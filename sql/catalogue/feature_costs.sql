-- What a use costs: a call of an image also takes 10 credits, or nothing is taken. Written by
-- apply_plans() alone.
create table quota.feature_costs (
  feature_id text collate "C" not null,
  cost_id text collate "C" not null,
  units bigint not null,
  per bigint not null,
  constraint feature_costs_pkey primary key (feature_id, cost_id),
  constraint feature_costs_feature_exists
    foreign key (feature_id) references quota.features (feature_id),
  constraint feature_costs_cost_exists foreign key (cost_id) references quota.features (feature_id),
  constraint feature_costs_units_is_1_to_9007199254740991
    check (units between 1 and 9007199254740991),
  constraint feature_costs_per_is_1_to_9007199254740991 check (per between 1 and 9007199254740991)
);

comment on table quota.feature_costs is
  'What a use of a feature takes from other features: units of cost_id for per units of it, rounded up per call.';

comment on column quota.feature_costs.cost_id is 'The feature that pays: one that costs nothing itself.';

comment on column quota.feature_costs.units is 'With per, a price in its lowest terms: 10 is 10 / 1.';

-- Serves the foreign key to features (removing a feature).
create index feature_costs_by_cost on quota.feature_costs (cost_id);

alter table quota.feature_costs enable row level security;

-- A price list is public.
create policy select_everyone on quota.feature_costs
  for select to anon, authenticated, service_role using (true);

-- Withheld: insert, update, delete, truncate (see features).

-- The part of check_plans() that judges `costs`.
create function quota.check_plan_costs(
  p_place text,
  p_feature jsonb,
  p_features jsonb
)
returns void
language plpgsql immutable security invoker set search_path = pg_catalog, pg_temp
as $$
declare
  v_cost_id text;
  v_price jsonb;
  v_cost jsonb;
begin
  if not p_feature ? 'costs' then
    return;
  end if;
  perform quota.check_plan_object(p_place, p_feature -> 'costs', null);
  if coalesce(p_feature ->> 'kind', 'metered') <> 'metered' then
    perform quota.reject_plans(
      p_place, p_feature -> 'kind', 'costs of a metered feature alone'
    );
  end if;
  for v_cost_id, v_price in select key, value from jsonb_each(p_feature -> 'costs') loop
    v_cost := p_features -> v_cost_id;
    if v_cost is null
      or coalesce(v_cost ->> 'kind', 'metered') <> 'metered'
      -- No chains, and no circle.
      or v_cost -> 'costs' <> '{}'
    then
      perform quota.reject_plans(
        p_place || '.' || v_cost_id, to_jsonb(v_cost_id),
        'a metered feature of this document that costs nothing itself'
      );
    end if;
    if quota.price_of(v_price) is null then
      perform quota.reject_plans(
        p_place || '.' || v_cost_id, v_price,
        'a whole number from 1 to 9007199254740991, or a fraction as text such as "1/1000"'
      );
    end if;
  end loop;
end
$$;

comment on function quota.check_plan_costs is 'No costs are none. Errors: QPLAN.';

-- "1/1000", or a whole number; in its lowest terms, so that alike is alike.
create function quota.price_of(p_price jsonb)
returns bigint[]
language plpgsql immutable security invoker set search_path = pg_catalog, pg_temp
as $$
declare
  v_units numeric;
  v_per numeric := 1;
begin
  if quota.is_whole(p_price, 1) then
    v_units := (p_price #>> '{}')::numeric;
  elsif jsonb_typeof(p_price) = 'string' and p_price #>> '{}' ~ '^[1-9][0-9]{0,15}/[1-9][0-9]{0,15}$' then
    v_units := split_part(p_price #>> '{}', '/', 1)::numeric;
    v_per := split_part(p_price #>> '{}', '/', 2)::numeric;
  end if;
  if greatest(v_units, v_per) > 9007199254740991 or v_units is null then
    return null;
  end if;
  return array[trunc(v_units / gcd(v_units, v_per)), v_per / gcd(v_units, v_per)]::bigint[];
end
$$;

comment on function quota.price_of is
  'A price of the document as units and per; null where it is none.';

-- What costs nothing need not say so.
create function quota.costs_content(p_costs jsonb)
returns jsonb
language plpgsql immutable security invoker set search_path = pg_catalog, pg_temp
as $$
begin
  return case
    when coalesce(p_costs, '{}') = '{}' then '{}'::jsonb
    else jsonb_build_object(
      'costs',
      (
        select jsonb_object_agg(
          c.key,
          case when p.price[2] = 1 then to_jsonb(p.price[1]) else to_jsonb(p.price[1] || '/' || p.price[2]) end
        )
        from jsonb_each(p_costs) as c
        cross join lateral quota.price_of(c.value) as p (price)
      )
    )
  end;
end
$$;

comment on function quota.costs_content is 'costs, as it stands in what is compared.';

create function quota.costs_of(p_feature_id text)
returns jsonb
language plpgsql stable security invoker set search_path = pg_catalog, pg_temp
as $$
begin
  return (
    select jsonb_object_agg(c.cost_id, c.units || '/' || c.per)
    from quota.feature_costs as c
    where c.feature_id = p_feature_id
  );
end
$$;

comment on function quota.costs_of is 'What a feature costs, as a document could say it; null for nothing.';

-- The part of apply_plans() that writes them. Asked twice: what goes before features go, what comes after
-- they have come.
create function quota.write_costs(
  p_plans jsonb,
  p_are_features_there boolean
)
returns void
language plpgsql volatile security invoker set search_path = pg_catalog, pg_temp
as $$
begin
  if not p_are_features_there then
    delete from quota.feature_costs as c
      where p_plans #> array['features', c.feature_id, 'costs', c.cost_id] is null;
    return;
  end if;
  insert into quota.feature_costs (feature_id, cost_id, units, per)
    select f.key, c.key, (quota.price_of(c.value))[1], (quota.price_of(c.value))[2]
    from jsonb_each(p_plans -> 'features') as f
    cross join lateral jsonb_each(f.value -> 'costs') as c
    on conflict (feature_id, cost_id) do update
      set units = excluded.units,
          per = excluded.per;
end
$$;

comment on function quota.write_costs is
  'Makes the costs of features equal to the document: takes away (features are not there yet), or writes.';
