-- One subject's own switch or value, in place of its plan's.
create table quota.overrides (
  subject_id text collate "C" not null,
  feature_id text collate "C" not null,
  value jsonb not null,
  ends_at timestamptz not null default 'infinity',
  constraint overrides_pkey primary key (subject_id, feature_id),
  -- One that has ended goes with its feature; apply_plans() looks for those that hold.
  constraint overrides_feature_exists
    foreign key (feature_id) references quota.features (feature_id) on delete cascade
);

comment on table quota.overrides is
  'One subject''s own switch or value; it takes the place of the plan''s, and gives what the plan lacks.';

comment on column quota.overrides.ends_at is
  'From this instant on the plan''s value holds, by arithmetic; no job runs.';

-- Serves the foreign key to features (removing a feature).
create index overrides_by_feature on quota.overrides (feature_id);

-- No statistics: estimates would tell of other subjects (see events).
alter table quota.overrides
  alter column subject_id set statistics 0,
  alter column feature_id set statistics 0,
  alter column value set statistics 0,
  alter column ends_at set statistics 0;

alter table quota.overrides enable row level security;

create policy select_service on quota.overrides
  for select to service_role using (true);

-- Withheld: everything from authenticated, which reads the view entitlements; and every write:
-- set_value() is for service_role.

-- One customer's own switch or value.
create function public.set_value(
  subject text,
  feature text,
  value jsonb,
  ends_at timestamptz default null
)
returns void
language plpgsql volatile security invoker set search_path = pg_catalog, pg_temp
as $$
#variable_conflict error
-- The names are keys of JSON, reserved words or not. @plpgsql_check_options: other_warnings = false
begin
  perform quota.set_value(subject, feature, value, ends_at);
end
$$;

comment on function public.set_value is
  'Gives one subject its own switch or value, in place of its plan''s; it also gives what the plan lacks. Holds at once, and until ends_at, by itself; ends_at null is no end. value null takes it off: the plan''s holds again. 0, false and "" are values. Errors: QFEAT unknown feature, or one that is counted; 22023 a switch is true or false, a value any JSON of at most 8 kB with numbers up to 9007199254740991; 22023 ends_at in the past, infinite or after the year 9999; QSUBJ; 42501 not a trusted role; 55P03 retry.';

create function quota.set_value(
  p_subject text,
  p_feature text,
  p_value jsonb,
  p_ends_at timestamptz
)
returns void
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp set lock_timeout = '2s'
as $$
declare
  v_caller quota.caller;
  v_value jsonb := nullif(p_value, 'null');
  v_kind text;
  v_now timestamptz;
begin
  perform quota.require_trusted();
  v_caller := quota.caller_by_account(p_subject);
  perform quota.check_instant('set_value', 'ends_at', p_ends_at);
  -- for key share: apply_plans() neither removes the feature nor makes it another before this has ended.
  select f.kind into v_kind from quota.features as f where f.feature_id = p_feature for key share;
  perform quota.check_known(p_feature);
  if v_kind not in ('switch', 'value') then
    raise exception 'set_value: feature % is a %, a switch or value is expected',
      quote_literal(left(p_feature, 100)), v_kind
      using errcode = 'QFEAT', hint = 'what is counted has limits: set_limit()';
  end if;
  if quota.is_value(v_kind, v_value) is false then
    raise exception 'set_value: value is %, expected is %',
      left(v_value::text, 100), quota.value_expected(v_kind)
      using errcode = '22023', hint = 'null takes the override off';
  end if;

  perform quota.lock_subject(v_caller.subject_id);
  v_now := quota.clock();
  if p_ends_at <= v_now then
    raise exception 'set_value: ends_at is %, an instant to come is expected', p_ends_at
      using errcode = '22023', hint = 'null for no end; value null takes the override off now';
  end if;
  if v_value is null then
    delete from quota.overrides as o
      where o.subject_id = v_caller.subject_id
        and o.feature_id = p_feature;
  else
    insert into quota.overrides (subject_id, feature_id, value, ends_at)
      values (v_caller.subject_id, p_feature, v_value, coalesce(p_ends_at, 'infinity'))
      on conflict (subject_id, feature_id) do update
        set value = excluded.value,
            ends_at = excluded.ends_at;
  end if;
  if found then
    -- A line of no meter: nothing of it is counted.
    perform quota.record(
      row(
        v_caller.subject_id, quota.new_id(v_now), v_now, 'value', null, v_now, 0, 0, 0, null, null, null,
        null, jsonb_build_object('feature', p_feature, 'value', v_value, 'ends_at', p_ends_at)
      )::quota.events
    );
  end if;
end
$$;

comment on function quota.set_value is 'See public.set_value.';
