-- Plan × feature → what is not counted: a switch that is on, a size. Written by apply_plans() alone.
create table quota.plan_values (
  plan_id text collate "C" not null,
  feature_id text collate "C" not null,
  value jsonb not null,
  constraint plan_values_pkey primary key (plan_id, feature_id),
  constraint plan_values_plan_exists
    foreign key (plan_id) references quota.plans (plan_id) on delete cascade,
  constraint plan_values_feature_exists
    foreign key (feature_id) references quota.features (feature_id) on delete cascade
);

comment on table quota.plan_values is
  'What a plan says of a switch or value. No row: it is not in the plan.';

comment on column quota.plan_values.value is
  'true or false of a switch; any JSON but null of a value. 0, false and "" are values.';

-- Serves the foreign key to features (removing a feature).
create index plan_values_by_feature on quota.plan_values (feature_id);

alter table quota.plan_values enable row level security;

create policy select_everyone on quota.plan_values
  for select to anon, authenticated, service_role using (true);

-- Withheld: insert, update, delete, truncate (see features).

-- The part of apply_plans() that writes them. Values of plans and features that are gone went with them.
create function quota.write_plan_values(p_plans jsonb)
returns void
language plpgsql volatile security invoker set search_path = pg_catalog, pg_temp
as $$
begin
  delete from quota.plan_values as v
    where p_plans #> array['plans', v.plan_id, 'values', v.feature_id] is null;
  insert into quota.plan_values (plan_id, feature_id, value)
    select p.key, v.key, v.value
    from jsonb_each(p_plans -> 'plans') as p
    cross join lateral jsonb_each(p.value -> 'values') as v
    on conflict (plan_id, feature_id) do update
      set value = excluded.value;
end
$$;

comment on function quota.write_plan_values is 'Makes the values of plans equal to the document.';

-- The part of check_plans() that judges `values`.
create function quota.check_plan_values(
  p_place text,
  p_values jsonb,
  p_features jsonb
)
returns void
language plpgsql immutable security invoker set search_path = pg_catalog, pg_temp
as $$
declare
  v_feature_id text;
  v_value jsonb;
begin
  if p_values is null then
    return;
  end if;
  perform quota.check_plan_object(p_place, p_values, null);
  for v_feature_id, v_value in select key, value from jsonb_each(p_values) loop
    if not p_features ? v_feature_id then
      perform quota.reject_plans(
        p_place || '.' || v_feature_id, to_jsonb(v_feature_id), 'a feature of this document'
      );
    end if;
    if coalesce(p_features -> v_feature_id ->> 'kind', 'metered') not in ('switch', 'value') then
      perform quota.reject_plans(
        p_place || '.' || v_feature_id, to_jsonb(v_feature_id),
        'a switch or value; what is counted stands in limits'
      );
    end if;
    if not quota.is_value(p_features -> v_feature_id ->> 'kind', v_value) then
      perform quota.reject_plans(
        p_place || '.' || v_feature_id, v_value, quota.value_expected(p_features -> v_feature_id ->> 'kind')
      );
    end if;
  end loop;
end
$$;

comment on function quota.check_plan_values is 'Null is none. Errors: QPLAN.';

create function quota.is_value(
  p_kind text,
  p_value jsonb
)
returns boolean
language plpgsql immutable security invoker set search_path = pg_catalog, pg_temp
as $$
begin
  if p_kind = 'switch' then
    return jsonb_typeof(p_value) = 'boolean';
  end if;
  -- Every JSON client reads a number up to 2^53 - 1 exactly.
  return jsonb_typeof(p_value) <> 'null'
    and octet_length(p_value::text) <= 8192
    and (
      jsonb_typeof(p_value) <> 'number'
      or abs((p_value #>> '{}')::numeric) <= 9007199254740991
    );
end
$$;

comment on function quota.is_value is 'Whether a feature of this kind can have this value; null for no JSON.';

create function quota.value_expected(p_kind text)
returns text
language plpgsql immutable security invoker set search_path = pg_catalog, pg_temp
as $$
begin
  return case
    when p_kind = 'switch' then 'true or false'
    else 'any JSON but null, numbers up to 9007199254740991, at most 8 kB'
  end;
end
$$;

comment on function quota.value_expected is 'What is_value() wants, in words.';
