-- Called by whatever knows what the customer bought (a payment webhook, an admin page).
create function public.set_plan(
  subject text,
  plan text,
  anchor timestamptz default null,
  time_zone text default null,
  ends_at timestamptz default null
)
returns void
language plpgsql volatile security invoker set search_path = pg_catalog, pg_temp
as $$
#variable_conflict error
begin
  perform quota.set_plan(subject, plan, anchor, time_zone, ends_at);
end
$$;

comment on function public.set_plan is
  'Puts a subject on a plan now. Use so far is kept, and the new limits hold at once, also for calls that are waiting. anchor is the start of the billing period (Stripe''s billing_cycle_anchor): days, weeks, months and years count from it on the wall clock of time_zone (an IANA name with a slash, UTC or GMT), month ends clamped; null keeps the present one. A moved anchor or zone starts a new period at once and carries the use that falls into it. From ends_at on the default plan holds; null means no end. Errors: QPLAN unknown plan; QSUBJ; 22023 unknown time zone, or an anchor or end outside the years 1000 to 9999; 42501 not a trusted role; 55P03 retry.';

create function quota.set_plan(
  p_subject text,
  p_plan text,
  p_anchor timestamptz,
  p_time_zone text,
  p_ends_at timestamptz
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
    (quota.caller_for(p_subject)).subject_id, p_plan, p_anchor, p_time_zone, p_ends_at
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
  p_anchor_at timestamptz default null,
  p_time_zone text default null,
  p_ends_at timestamptz default null
)
returns void
language plpgsql volatile security invoker set search_path = pg_catalog, pg_temp
as $$
declare
  v_former quota.subjects;
  v_subject quota.subjects;
  v_features text[];
  v_feature_id text;
  v_now timestamptz;
begin
  -- for key share: apply_plans() does not remove the plan before this has ended.
  perform from quota.plans as p where p.plan_id = p_plan_id for key share;
  if not found and p_plan_id is not null then
    raise exception 'unknown plan %', quote_literal(left(p_plan_id, 100))
      using errcode = 'QPLAN', hint = 'plans come from the plan document; see plan_catalog';
  end if;
  perform quota.check_instant('set_plan', 'anchor', p_anchor_at);
  perform quota.check_instant('set_plan', 'ends_at', p_ends_at);

  v_former := quota.lock_subject(p_subject_id);
  v_subject.subject_id := v_former.subject_id;
  v_subject.plan_id := p_plan_id;
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

  update quota.subjects as s
    set plan_id = v_subject.plan_id,
        plan_ends_at = v_subject.plan_ends_at,
        anchor_at = v_subject.anchor_at,
        time_zone = v_subject.time_zone
    where s.subject_id = v_subject.subject_id;

  v_features := quota.meters_of(v_subject.subject_id);
  -- lock_meters() also gives the time; no features, no lock.
  v_now := quota.lock_meters(v_subject.subject_id, v_features);
  perform quota.record(
    row(
      v_subject.subject_id, quota.new_id(v_now), v_now, 'plan', null, v_now, 0, 0, 0, null, null, null,
      null,
      jsonb_build_object(
        'from', to_jsonb(v_former) - 'subject_id' - 'has_extras',
        'to', to_jsonb(v_subject) - 'subject_id' - 'has_extras'
      )
    )::quota.events
  );

  update quota.meters as m
    set fresh_from = 'infinity'
    where m.subject_id = v_subject.subject_id;

  -- New periods begin here and now, with the use that falls into them: those of counters that the
  -- moved anchor or zone leaves behind (also of periods that only a former plan had), and those that
  -- the new plan brings.
  foreach v_feature_id in array v_features loop
    perform quota.open_counters(
      v_subject.subject_id, v_feature_id, v_now,
      array(
        select row(
          c.period, p.period_start, p.resets_at, 'plan', c.last_limit, 0, 0, 0, 0, false, null, 0, 0
        )::quota.limit_state
        from quota.counters as c
        cross join lateral quota.period_of(
          c.period, v_now, v_subject.anchor_at, v_subject.time_zone
        ) as p
        where c.subject_id = v_subject.subject_id
          and c.feature_id = v_feature_id
          and c.period_end > v_now
          and c.period_start <= v_now
          and (c.period_start, c.period_end) <> (p.period_start, p.resets_at)
      )
    );
    perform quota.open_counters(
      v_subject.subject_id, v_feature_id, v_now,
      (quota.limits_of(v_subject.subject_id, v_feature_id, v_now)).limits
    );
  end loop;
end
$$;

comment on function quota.put_on_plan is
  'The work of set_plan(); a null plan is the default plan. Errors: QPLAN, 22023.';
