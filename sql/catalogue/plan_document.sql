create function quota.check_plans(p_plans jsonb)
returns void
language plpgsql immutable security invoker set search_path = pg_catalog, pg_temp
as $$
declare
  v_id text;
  v_item jsonb;
  v_place text;
  v_default_id text;
begin
  perform quota.check_plan_object('top level', p_plans, array['$schema', 'features', 'plans']);
  perform quota.check_plan_object('features', p_plans -> 'features', null);
  perform quota.check_plan_object('plans', p_plans -> 'plans', null);

  for v_id, v_item in select key, value from jsonb_each(p_plans -> 'features') loop
    v_place := 'features.' || v_id;
    perform quota.check_plan_object(
      v_place, v_item, array['name', 'unit', 'kind', 'server_only', 'hidden', 'alerts', 'costs']
    );
    perform quota.check_plan_text(v_place || '.name', v_item -> 'name');
    perform quota.check_plan_text(v_place || '.unit', v_item -> 'unit');
    if v_item -> 'kind' not in ('"metered"', '"gauge"', '"switch"', '"value"') then
      perform quota.reject_plans(
        v_place || '.kind', v_item -> 'kind', '"metered", "gauge", "switch" or "value"'
      );
    end if;
    perform quota.check_plan_flag(v_place || '.hidden', v_item -> 'hidden');
    if jsonb_typeof(v_item -> 'server_only') <> 'boolean' then
      perform quota.reject_plans(v_place || '.server_only', v_item -> 'server_only', 'true or false');
    end if;
    perform quota.check_plan_alerts(v_place || '.alerts', v_item -> 'alerts');
    perform quota.check_plan_costs(v_place || '.costs', v_item, p_plans -> 'features');
  end loop;

  for v_id, v_item in select key, value from jsonb_each(p_plans -> 'plans') loop
    v_place := 'plans.' || v_id;
    perform quota.check_plan_object(
      v_place, v_item,
      array[
        'name', 'default', 'upgrade_url', 'limits', 'values', 'hidden', 'retired', 'successor', 'moves',
        'per_member'
      ]
    );
    perform quota.check_plan_text(v_place || '.name', v_item -> 'name');
    perform quota.check_plan_text(v_place || '.upgrade_url', v_item -> 'upgrade_url');
    if jsonb_typeof(v_item -> 'default') <> 'boolean' then
      perform quota.reject_plans(v_place || '.default', v_item -> 'default', 'true or false');
    end if;
    if v_item -> 'default' = 'true' then
      if v_default_id is not null then
        perform quota.reject_plans(
          v_place || '.default', v_item -> 'default',
          'one default plan, and ' || v_default_id || ' is it already'
        );
      end if;
      v_default_id := v_id;
    end if;
    perform quota.check_plan_flag(v_place || '.hidden', v_item -> 'hidden');
    perform quota.check_plan_values(v_place || '.values', v_item -> 'values', p_plans -> 'features');
    perform quota.check_plan_age(p_plans, v_id, v_item);
    perform quota.check_plan_limits(p_plans, v_id, v_item -> 'limits');
    perform quota.check_per_member(
      v_place || '.per_member', v_item -> 'per_member', p_plans -> 'features'
    );
  end loop;
end
$$;

comment on function quota.check_plans is
  'Judges a plan document. Errors: QPLAN with the place, what was found and what was expected.';

create function quota.check_plan_limits(
  p_plans jsonb,
  p_plan_id text,
  p_limits jsonb
)
returns void
language plpgsql immutable security invoker set search_path = pg_catalog, pg_temp
as $$
declare
  v_place text;
  v_feature_id text;
  v_limits jsonb;
  v_period text;
  v_limit jsonb;
begin
  perform quota.check_plan_object('plans.' || p_plan_id || '.limits', p_limits, null);
  for v_feature_id, v_limits in select key, value from jsonb_each(p_limits) loop
    v_place := 'plans.' || p_plan_id || '.limits.' || v_feature_id;
    if not p_plans -> 'features' ? v_feature_id then
      perform quota.reject_plans(v_place, to_jsonb(v_feature_id), 'a feature of this document');
    end if;
    if p_plans -> 'features' -> v_feature_id ->> 'kind' in ('switch', 'value') then
      perform quota.reject_plans(
        v_place, to_jsonb(v_feature_id), 'a feature that is counted; a switch or value stands in values'
      );
    end if;
    if p_plans -> 'features' -> v_feature_id ->> 'kind' = 'gauge' then
      perform quota.check_plan_object(v_place, v_limits, array['lifetime']);
    else
      perform quota.check_plan_object(v_place, v_limits, null);
    end if;
    if v_limits = '{}' then
      perform quota.reject_plans(v_place, v_limits, 'at least one period; leave the feature out to refuse it');
    end if;
    for v_period, v_limit in select key, value from jsonb_each(v_limits) loop
      if quota.period_rank(v_period) is null then
        perform quota.reject_plans(
          v_place, to_jsonb(v_period),
          'one of the keys minute, hour, day, week, month, year, lifetime, or a window as in "5 hours", "1 day"'
        );
      end if;
      perform quota.check_plan_limit(v_place || '.' || v_period, v_period, v_limit);
    end loop;
  end loop;
end
$$;

comment on function quota.check_plan_limits is 'Judges the limits of a plan. Errors: QPLAN.';

-- An object of the document with known keys, all of them ids or names without control characters.
create function quota.check_plan_object(
  p_place text,
  p_object jsonb,
  p_keys text[]
)
returns void
language plpgsql immutable security invoker set search_path = pg_catalog, pg_temp
as $$
declare
  v_key text;
begin
  if p_object is null or jsonb_typeof(p_object) <> 'object' then
    perform quota.reject_plans(p_place, p_object, 'an object');
  end if;
  for v_key in select jsonb_object_keys(p_object) loop
    if p_keys is not null and v_key <> all (p_keys) then
      perform quota.reject_plans(
        p_place, to_jsonb(v_key), 'one of the keys ' || array_to_string(p_keys, ', ')
      );
    end if;
    if length(v_key) not between 1 and 255 or v_key ~ '[\u0001-\u001f\u007f-\u009f]' then
      perform quota.reject_plans(
        p_place, to_jsonb(v_key), 'an id of 1 to 255 characters without control characters'
      );
    end if;
  end loop;
end
$$;

comment on function quota.check_plan_object is 'Null keys: any id will do. Errors: QPLAN.';

create function quota.check_plan_text(
  p_place text,
  p_value jsonb
)
returns void
language plpgsql immutable security invoker set search_path = pg_catalog, pg_temp
as $$
begin
  if jsonb_typeof(p_value) <> 'string'
    or length(p_value #>> '{}') not between 1 and 2000
    or p_value #>> '{}' ~ '[\u0001-\u001f\u007f-\u009f]'
  then
    perform quota.reject_plans(
      p_place, p_value, 'text of 1 to 2000 characters without control characters'
    );
  end if;
end
$$;

comment on function quota.check_plan_text is 'Null is left out. Errors: QPLAN.';

create function quota.check_plan_flag(
  p_place text,
  p_value jsonb
)
returns void
language plpgsql immutable security invoker set search_path = pg_catalog, pg_temp
as $$
begin
  if jsonb_typeof(p_value) <> 'boolean' then
    perform quota.reject_plans(p_place, p_value, 'true or false');
  end if;
end
$$;

comment on function quota.check_plan_flag is 'Null is left out. Errors: QPLAN.';

create function quota.reject_plans(
  p_place text,
  p_found jsonb,
  p_expected text
)
returns void
language plpgsql immutable security invoker set search_path = pg_catalog, pg_temp
as $$
begin
  raise exception 'plan document, %: found %, expected %',
    p_place, coalesce(left(p_found::text, 100), 'nothing'), p_expected
    using errcode = 'QPLAN', hint = 'nothing was changed';
end
$$;

comment on function quota.reject_plans is 'Says where a plan document is wrong. Errors: QPLAN.';
