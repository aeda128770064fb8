-- Alerts at marks of a feature's own, as the document says it.
create function quota.check_plan_alerts(
  p_place text,
  p_value jsonb
)
returns void
language plpgsql immutable security invoker set search_path = pg_catalog, pg_temp
as $$
begin
  if jsonb_typeof(p_value) <> 'array'
    or jsonb_array_length(p_value) > 100
    or exists (
      select from jsonb_array_elements(p_value) as e (mark)
      where case when quota.is_whole(e.mark, 1) then (e.mark #>> '{}')::numeric > 100 else true end
    )
    or (select count(*) <> count(distinct e.mark) from jsonb_array_elements(p_value) as e (mark))
  then
    perform quota.reject_plans(
      p_place, p_value, 'a list of different whole numbers from 1 to 100, as in [50, 80, 100]; [] is no alert'
    );
  end if;
end
$$;

comment on function quota.check_plan_alerts is 'Null is left out. Errors: QPLAN.';

create function quota.alerts_of(p_feature jsonb)
returns bigint[]
language plpgsql immutable security invoker set search_path = pg_catalog, pg_temp
as $$
begin
  if not p_feature ? 'alerts' then
    return '{80, 100}'::bigint[];
  end if;
  return array(
    select (e.mark #>> '{}')::numeric::bigint as mark
    from jsonb_array_elements(p_feature -> 'alerts') as e (mark)
    order by 1
  );
end
$$;

comment on function quota.alerts_of is 'The marks of alerts of a feature of the document, in order.';

-- Left out where it is what it is without a word.
create function quota.alerts_content(p_alerts bigint[])
returns jsonb
language plpgsql immutable security invoker set search_path = pg_catalog, pg_temp
as $$
begin
  return case
    when p_alerts = '{80, 100}' then '{}'::jsonb
    else jsonb_build_object('alerts', to_jsonb(p_alerts))
  end;
end
$$;

comment on function quota.alerts_content is
  'The marks of a feature, as plan_changes() compares and shows them.';
