-- Called by whatever knows what the customer bought (a payment webhook, an admin page).
create function public.set_plan(
  subject text,
  plan text,
  anchor timestamptz default null,
  time_zone text default null,
  ends_at timestamptz default null,
  reason text default null
)
returns void
language plpgsql volatile security invoker set search_path = pg_catalog, pg_temp
as $$
#variable_conflict error
begin
  perform quota.set_plan(subject, plan, anchor, time_zone, ends_at, reason);
end
$$;

comment on function public.set_plan is
  'Puts a subject on a plan now. Use so far is kept, and the new limits hold at once, also for calls that are waiting. anchor is the start of the billing period (Stripe''s billing_cycle_anchor): days, weeks, months and years count from it on the wall clock of time_zone (an IANA name with a slash, UTC or GMT), month ends clamped; null keeps the present one. A moved anchor or zone starts a new period at once and carries the use that falls into it; a window that is open goes on. From ends_at on the default plan holds; null means no end. reason is kept in the ledger; null is none. A retired plan keeps whoever is on it (or, once moved, on its successor), and takes nobody else, nor back whose plan has ended. Errors: QPLAN unknown plan, or a retired one; QSUBJ; QMETA reason over 8 kB; 22023 unknown time zone, or an anchor or end outside the years 1000 to 9999; 42501 not a trusted role; 55P03 retry.';

create function quota.set_plan(
  p_subject text,
  p_plan text,
  p_anchor timestamptz,
  p_time_zone text,
  p_ends_at timestamptz,
  p_reason text default null
)
returns void
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp set lock_timeout = '2s'
as $$
begin
  perform quota.require_trusted();
  if p_plan is null then
    raise exception 'the plan is null'
      using errcode = 'QPLAN', hint = 'name a plan of plan_catalog';
  end if;
  perform quota.put_on_plan(
    (quota.caller_by_account(p_subject)).subject_id, p_plan, p_anchor, p_time_zone, p_ends_at,
    quota.reason(p_reason)
  );
end
$$;

comment on function quota.set_plan is 'See public.set_plan.';

-- Puts a subject on a plan. The use so far stays, since counters and ledger belong to
-- the subject; the new limits hold at once, also for callers that are waiting, since limits are read
-- under the lock.
create function quota.put_on_plan(
  p_subject_id text,
  p_plan_id text,
  p_anchor_at timestamptz,
  p_time_zone text,
  p_ends_at timestamptz,
  p_reason jsonb default '{}'::jsonb
)
returns void
language plpgsql volatile security invoker set search_path = pg_catalog, pg_temp
as $$
declare
  v_former quota.subjects;
  v_subject quota.subjects;
  v_features text[];
  v_now timestamptz;
begin
  perform quota.hold_plans(array[p_plan_id]);
  perform quota.check_instant('set_plan', 'anchor', p_anchor_at);
  perform quota.check_instant('set_plan', 'ends_at', p_ends_at);

  v_former := quota.lock_subject(p_subject_id);
  v_subject := v_former;
  v_subject.plan_id := case
    when (select p.is_retired from quota.plans as p where p.plan_id = p_plan_id)
    then quota.kept_plan(v_former, p_plan_id, p_ends_at)
    else p_plan_id
  end;
  v_subject.plan_ends_at := p_ends_at;
  v_subject.anchor_at := coalesce(p_anchor_at, v_former.anchor_at);
  v_subject.time_zone := coalesce(p_time_zone, v_former.time_zone);
  -- Asked only when it changes: reading the zone files takes milliseconds.
  if v_subject.time_zone <> v_former.time_zone
    and quota.is_time_zone(v_subject.time_zone) is not true
  then
    raise exception 'set_plan: the time zone is %, the name of a place is expected',
      quote_literal(left(v_subject.time_zone, 100))
      using errcode = '22023',
        hint = 'use an IANA name with a slash such as Europe/Berlin, UTC or GMT; abbreviations (CET, EST) are none';
  end if;

  v_features := quota.meters_of(v_subject.subject_id);
  -- lock_meters() also gives the time; no features, no lock.
  v_now := quota.lock_meters(v_subject.subject_id, v_features);
  perform quota.write_terms(array[v_subject], v_now, p_reason);
  perform quota.begin_periods(v_subject.subject_id, v_features, v_now);
end
$$;

comment on function quota.put_on_plan is 'The work of set_plan(). Errors: QPLAN, 22023.';

-- for key share: apply_plans() does not remove a plan before those that it was given to here are there.
create function quota.hold_plans(p_plan_ids text[])
returns void
language plpgsql volatile security invoker set search_path = pg_catalog, pg_temp
as $$
declare
  v_unknown text;
begin
  perform from quota.plans as p
    where p.plan_id = any (p_plan_ids)
    order by p.plan_id
    for key share;
  select min(u.plan_id)
    into v_unknown
    from unnest(p_plan_ids) as u (plan_id)
    where not exists (select from quota.plans as p where p.plan_id = u.plan_id);
  if v_unknown is not null then
    raise exception 'unknown plan %', quote_literal(left(v_unknown, 100))
      using errcode = 'QPLAN', hint = 'plans come from the plan document; see plan_catalog';
  end if;
end
$$;

comment on function quota.hold_plans is
  'Keeps plans from being removed while this transaction runs; a null one is the default plan. Errors: QPLAN unknown plan.';

-- Plan, end, anchor and zone of subjects as they are from now on, with a ledger line each that has both
-- what was and what is. Their meters forget what they remember of the limits.
create function quota.write_terms(
  p_subjects quota.subjects[],
  p_at timestamptz,
  p_reason jsonb default '{}'::jsonb
)
returns void
language plpgsql volatile security invoker set search_path = pg_catalog, pg_temp
as $$
declare
  v_lines quota.events[];
  -- What is of a subject, but none of its terms.
  v_others text[] := '{subject_id,has_extras,terms_changed_at,parent_id,fold_from}'::text[];
begin
  v_lines := array(
    select row(
      n.subject_id, quota.new_id(p_at), p_at, 'plan', null, p_at, 0, 0, 0, null, null, null, null,
      jsonb_build_object(
        'from', to_jsonb(s) - v_others,
        'to', to_jsonb(n) - v_others
      ) || p_reason
    )::quota.events
    from unnest(p_subjects) as n
    join quota.subjects as s on s.subject_id = n.subject_id
  );
  update quota.subjects as s
    set plan_id = n.plan_id,
        plan_ends_at = n.plan_ends_at,
        anchor_at = n.anchor_at,
        time_zone = n.time_zone,
        terms_changed_at = case
          when (s.plan_id, s.anchor_at, s.time_zone) is distinct from (n.plan_id, n.anchor_at, n.time_zone)
            or s.plan_ends_at <= p_at
          then p_at
          else s.terms_changed_at
        end
    from unnest(p_subjects) as n
    where s.subject_id = n.subject_id;
  perform quota.write_lines(v_lines);
  perform quota.forget_limits(array(select n.subject_id from unnest(p_subjects) as n));
end
$$;

comment on function quota.write_terms is
  'Writes the terms of subjects whose rows and meters are locked.';

-- New periods begin here and now, with the use that falls into them: those of counters that a moved
-- anchor or zone leaves behind (also of periods that only a former plan had), and those that the new
-- plan brings.
create function quota.begin_periods(
  p_subject_id text,
  p_feature_ids text[],
  p_at timestamptz
)
returns void
language plpgsql volatile security invoker set search_path = pg_catalog, pg_temp
as $$
declare
  v_anchor_at timestamptz;
  v_time_zone text;
  v_caps text[] := quota.caps_below(p_subject_id);
  v_limited_id text;
  v_feature_id text;
  v_marks bigint[];
  v_limits quota.limit_state[];
begin
  select s.anchor_at, s.time_zone
    into v_anchor_at, v_time_zone
    from quota.subjects as s
    where s.subject_id = p_subject_id;
  -- And the caps of its members, whose periods are its own.
  foreach v_limited_id in array p_subject_id || v_caps loop
    foreach v_feature_id in array
      case
        when v_limited_id = p_subject_id then p_feature_ids
        else array(select m.feature_id from quota.meters as m where m.subject_id = v_limited_id)
      end
    loop
      select f.marks into v_marks from quota.features as f where f.feature_id = v_feature_id;
      select array_agg(
          row(
            c.period, p.period_start, p.resets_at, 'plan', c.last_limit, 0, 0, 0, 0, false, null, 0, 0,
            v_marks, 0, null, 0, null, c.mode, c.mode
          )::quota.limit_state
        )
        into v_limits
        from quota.counters as c
        cross join lateral quota.period_of(c.period, p_at, v_anchor_at, v_time_zone) as p
        where c.subject_id = v_limited_id
          and c.feature_id = v_feature_id
          and c.period_end > p_at
          and c.period_start <= p_at
          and c.period not like '% %'
          and (c.period_start, c.period_end) <> (p.period_start, p.resets_at);
      perform quota.open_counters(v_limited_id, v_feature_id, p_at, v_limits);
      perform quota.open_counters(
        v_limited_id, v_feature_id, p_at, (quota.limits_of(v_limited_id, v_feature_id, p_at)).limits
      );
    end loop;
  end loop;
end
$$;

comment on function quota.begin_periods is
  'Opens the counters of the periods that a subject''s terms have now.';
