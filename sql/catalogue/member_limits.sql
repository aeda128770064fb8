-- Plan × feature × period → how much each member of an organisation on it may take of what the
-- organisation has. Written by apply_plans() alone.
create table quota.member_limits (
  plan_id text collate "C" not null,
  feature_id text collate "C" not null,
  period text not null,
  amount bigint,
  constraint member_limits_pkey primary key (plan_id, feature_id, period),
  constraint member_limits_plan_exists
    foreign key (plan_id) references quota.plans (plan_id) on delete cascade,
  constraint member_limits_feature_exists
    foreign key (feature_id) references quota.features (feature_id),
  constraint member_limits_period_is_known
    check (
      period in ('minute', 'hour', 'day', 'week', 'month', 'year', 'lifetime')
      -- A window (see quota.period_rank()).
      or period ~ '^[1-9][0-9]{0,3} (minute|hour|day|week|month)s?$'
    ),
  constraint member_limits_amount_is_0_to_9007199254740991
    check (amount between 0 and 9007199254740991)
);

comment on table quota.member_limits is
  'Caps: how much of a feature each user that acts for a subject on the plan may take in a period, beside the limits of the subject.';

comment on column quota.member_limits.amount is 'Units per period; null is unlimited.';

-- Serves the foreign key to features (removing a feature).
create index member_limits_by_feature on quota.member_limits (feature_id);

alter table quota.member_limits enable row level security;

create policy select_service on quota.member_limits
  for select to service_role using (true);

-- Withheld: insert, update, delete, truncate (see features); a member reads its caps in current_usage.

-- The part of check_plans() that judges `per_member`.
create function quota.check_per_member(
  p_place text,
  p_caps jsonb,
  p_features jsonb
)
returns void
language plpgsql immutable security invoker set search_path = pg_catalog, pg_temp
as $$
declare
  v_feature_id text;
  v_caps jsonb;
  v_period text;
  v_cap jsonb;
begin
  if p_caps is null then
    return;
  end if;
  perform quota.check_plan_object(p_place, p_caps, null);
  for v_feature_id, v_caps in select key, value from jsonb_each(p_caps) loop
    -- What a gauge counts is nobody's: any member may delete a file.
    if not p_features ? v_feature_id
      or coalesce(p_features -> v_feature_id ->> 'kind', 'metered') <> 'metered'
    then
      perform quota.reject_plans(
        p_place || '.' || v_feature_id, to_jsonb(v_feature_id), 'a metered feature of this document'
      );
    end if;
    perform quota.check_plan_object(p_place || '.' || v_feature_id, v_caps, null);
    if v_caps = '{}' then
      perform quota.reject_plans(
        p_place || '.' || v_feature_id, v_caps, 'at least one period; leave the feature out for no cap'
      );
    end if;
    for v_period, v_cap in select key, value from jsonb_each(v_caps) loop
      if quota.period_rank(v_period) is null then
        perform quota.reject_plans(
          p_place || '.' || v_feature_id, to_jsonb(v_period),
          'one of the keys minute, hour, day, week, month, year, lifetime, or a window as in "5 hours", "1 day"'
        );
      end if;
      perform quota.check_plan_amount(
        p_place || '.' || v_feature_id || '.' || v_period, v_cap, 'null for unlimited'
      );
    end loop;
  end loop;
end
$$;

comment on function quota.check_per_member is 'Judges the caps of a plan; null is none. Errors: QPLAN.';

create function quota.write_member_limits(p_plans jsonb)
returns void
language plpgsql volatile security invoker set search_path = pg_catalog, pg_temp
as $$
begin
  insert into quota.member_limits (plan_id, feature_id, period, amount)
    select p.key, c.key, a.key, (a.value #>> '{}')::numeric
    from jsonb_each(p_plans -> 'plans') as p
    cross join lateral jsonb_each(p.value -> 'per_member') as c
    cross join lateral jsonb_each(c.value) as a
    on conflict (plan_id, feature_id, period) do update
      set amount = excluded.amount;
end
$$;

comment on function quota.write_member_limits is
  'The caps of the document; those that it has not are gone before.';
