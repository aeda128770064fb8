-- One subject's own limit, in place of its plan's.
create table quota.exceptions (
  subject_id text collate "C" not null,
  feature_id text collate "C" not null,
  period text not null,
  amount bigint,
  ends_at timestamptz not null default 'infinity',
  constraint exceptions_pkey primary key (subject_id, feature_id, period),
  constraint exceptions_feature_exists
    foreign key (feature_id) references quota.features (feature_id),
  constraint exceptions_period_is_known
    check (
      period in ('minute', 'hour', 'day', 'week', 'month', 'year', 'lifetime')
      -- A window (see quota.period_rank()).
      or period ~ '^[1-9][0-9]{0,3} (minute|hour|day|week|month)s?$'
    ),
  constraint exceptions_amount_is_0_to_9007199254740991
    check (amount between 0 and 9007199254740991)
);

comment on table quota.exceptions is
  'One subject''s own limit for a feature and period; it takes the place of the plan''s, and opens a feature that the plan lacks.';

comment on column quota.exceptions.amount is 'Units per period; null is unlimited.';

comment on column quota.exceptions.ends_at is
  'From this instant on the plan''s limit holds again, with no job that takes the row away.';

-- Serves the foreign key to features (removing a feature).
create index exceptions_by_feature on quota.exceptions (feature_id);

-- No statistics: estimates would tell of other subjects (see events).
alter table quota.exceptions
  alter column subject_id set statistics 0,
  alter column feature_id set statistics 0,
  alter column period set statistics 0,
  alter column amount set statistics 0,
  alter column ends_at set statistics 0;

alter table quota.exceptions enable row level security;

create policy select_own on quota.exceptions
  for select to authenticated
  using (subject_id = any (array(select quota.subjects_of((select quota.user_id())))));

create policy select_service on quota.exceptions
  for select to service_role using (true);

-- Withheld: every write; set_limit() and clear_limit() are for service_role.

-- One customer's exception to its plan.
create function public.set_limit(
  subject text,
  feature text,
  period text,
  "limit" bigint,
  ends_at timestamptz default null,
  member text default null,
  reason text default null
)
returns void
language plpgsql volatile security invoker set search_path = pg_catalog, pg_temp
as $$
#variable_conflict error
-- The names are keys of JSON, reserved words or not. @plpgsql_check_options: other_warnings = false
begin
  perform quota.change_limit(subject, feature, period, "limit", ends_at, false, member, reason);
end
$$;

comment on function public.set_limit is
  'Gives one subject its own limit for a feature and period, in place of its plan''s; it also opens a feature that the plan lacks. limit is in units of the feature per period (also a window, as in ''5 hours''), null is unlimited. Holds at once, also for calls that are waiting, until ends_at (null: until clear_limit), when the plan''s limit holds again by itself. member gives that user a cap of its own in what the organisation has, in place of the plan''s per_member. reason is kept in the ledger; null is none. Errors: QAMNT limit below 0 or too large; QFEAT unknown feature; QPLAN unknown period, or a gauge with member; 22023 ends_at in the past, infinite or after the year 9999; QSUBJ subject missing, it or member empty or over 255 characters, or member the subject itself; QMETA reason over 8 kB; 42501 not a trusted role; 55P03 retry.';

-- Ends one customer's exception; its plan's limit holds again.
create function public.clear_limit(
  subject text,
  feature text,
  period text,
  member text default null,
  reason text default null
)
returns void
language plpgsql volatile security invoker set search_path = pg_catalog, pg_temp
as $$
#variable_conflict error
begin
  perform quota.change_limit(subject, feature, period, null, null, true, member, reason);
end
$$;

comment on function public.clear_limit is
  'Takes an exception away: the plan''s limit holds again, at once; of a member the plan''s per_member. Nothing happens when there is none. reason is kept in the ledger; null is none. Errors: QFEAT unknown feature; QPLAN unknown period; QSUBJ; QMETA reason over 8 kB; 42501 not a trusted role; 55P03 retry.';

-- One customer's exception to its plan. Holds at once, also for callers that wait.
create function quota.change_limit(
  p_subject text,
  p_feature text,
  p_period text,
  p_limit bigint,
  p_ends_at timestamptz,
  p_is_cleared boolean,
  p_member text,
  p_reason text default null
)
returns void
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp set lock_timeout = '2s'
as $$
declare
  v_caller quota.caller;
  -- The subject or, of a member, its cap.
  v_limited_id text;
  v_reason jsonb := quota.reason(p_reason);
  v_now timestamptz;
begin
  perform quota.require_trusted();
  v_caller := quota.caller_by_account(p_subject);
  perform quota.check_exception(v_caller.subject_id, p_feature, p_period, p_limit, p_member);
  perform quota.check_instant('set_limit', 'ends_at', p_ends_at);
  v_limited_id := coalesce(quota.cap_id(v_caller.subject_id, p_member), v_caller.subject_id);

  v_now := quota.lock_terms(v_caller.subject_id, p_feature);
  if p_ends_at <= v_now then
    raise exception 'set_limit: the exception would have ended at %', p_ends_at
      using errcode = '22023', hint = 'ends_at lies in the future, or is null for until clear_limit';
  end if;
  if not p_is_cleared and p_member is null and p_limit + quota.most_allowed(
    v_caller.subject_id, p_feature, v_now,
    array(
      select row(
        l.period, l.period_start, l.resets_at, l.source, 0::bigint, l.used, l.reserved, l.drawn,
        l.granted, l.is_counted, l.last_limit, l.alerted, l.passed,
        l.marks, l.carried, l.rollover, l.slack, l.trial, l.mode, l.last_mode
      )::quota.limit_state
      from unnest((quota.limits_of(v_caller.subject_id, p_feature, v_now)).limits) as l
      where l.period = p_period
    )
  ) > 9007199254740991 and p_period !~ 'minute|hour' then
    raise exception 'set_limit: limit % and the open grants together pass 9007199254740991 (2^53 - 1)', p_limit
      using errcode = 'QAMNT', hint = 'null is unlimited';
  end if;
  if p_is_cleared then
    delete from quota.exceptions as x
      where x.subject_id = v_limited_id
        and x.feature_id = p_feature
        and x.period = p_period;
  else
    insert into quota.exceptions (subject_id, feature_id, period, amount, ends_at)
      values (v_limited_id, p_feature, p_period, p_limit, coalesce(p_ends_at, 'infinity'))
      on conflict (subject_id, feature_id, period) do update
        set amount = excluded.amount,
            ends_at = excluded.ends_at;
  end if;
  perform quota.record(
    row(
      v_caller.subject_id, quota.new_id(v_now), v_now, 'limit', p_feature, v_now, 0, 0, 0,
      null, null, p_member, null,
      case
        when p_is_cleared then jsonb_build_object('period', p_period, 'cleared', true)
        when p_ends_at is null then jsonb_build_object('period', p_period, 'limit', p_limit)
        else jsonb_build_object('period', p_period, 'limit', p_limit, 'ends_at', p_ends_at)
      end || v_reason
    )::quota.events
  );
  -- A cap that no call has met yet has no meter, and so no counters.
  if p_member is null or quota.note_exception(v_caller.subject_id, p_feature, p_member) then
    perform quota.open_counters(
      v_limited_id, p_feature, v_now, (quota.limits_of(v_limited_id, p_feature, v_now)).limits
    );
  end if;
end
$$;

comment on function quota.change_limit is 'See public.set_limit and public.clear_limit.';

create function quota.check_exception(
  p_subject_id text,
  p_feature text,
  p_period text,
  p_limit bigint,
  p_member text
)
returns void
language plpgsql stable security invoker set search_path = pg_catalog, pg_temp
as $$
declare
  v_is_gauge boolean;
begin
  perform quota.check_feature(p_feature);
  if p_limit is not null then
    perform quota.check_amount(p_limit, 0);
  end if;
  select f.kind = 'gauge' into v_is_gauge from quota.features as f where f.feature_id = p_feature;
  if p_period is null or quota.period_rank(p_period) is null or p_period <> 'lifetime' and v_is_gauge then
    raise exception 'unknown period % for this feature', coalesce(quote_literal(left(p_period, 100)), 'null')
      using errcode = 'QPLAN',
        hint = 'minute, hour, day, week, month, year, lifetime, or a window as in ''5 hours'', ''1 day''; a gauge has lifetime alone';
  end if;
  if p_member is null then
    return;
  end if;
  if length(p_member) not between 1 and 255 or p_member = p_subject_id then
    raise exception 'set_limit: the member is %, a user that acts for the subject is expected',
      quote_literal(left(p_member, 100))
      using errcode = 'QSUBJ', hint = 'pass the id of the user, of 1 to 255 characters, or leave member out';
  end if;
  perform quota.check_separator(p_member);
  if v_is_gauge then
    raise exception 'set_limit: % is a gauge, of which members have no caps', quote_literal(left(p_feature, 100))
      using errcode = 'QPLAN', hint = 'what a gauge counts is nobody''s: any member may delete a file';
  end if;
end
$$;

comment on function quota.check_exception is
  'The arguments of set_limit(). Errors: QFEAT, QAMNT, QPLAN, QSUBJ.';

create function quota.note_exception(
  p_subject_id text,
  p_feature_id text,
  p_member text
)
returns boolean
language plpgsql volatile security invoker set search_path = pg_catalog, pg_temp
as $$
declare
  v_cap_id text := quota.cap_id(p_subject_id, p_member);
  v_is_set boolean := exists (
    select from quota.exceptions as x where x.subject_id = v_cap_id and x.feature_id = p_feature_id
  );
begin
  insert into quota.caps (subject_id, feature_id, member, is_set)
    values (p_subject_id, p_feature_id, p_member, v_is_set)
    on conflict (subject_id, feature_id, member) do update
      set is_set = excluded.is_set;
  if not quota.is_begun(p_subject_id, p_feature_id, p_member) then
    -- One that no call has met is forgotten with its exception.
    delete from quota.caps as c
      where c.subject_id = p_subject_id
        and c.feature_id = p_feature_id
        and c.member = p_member
        and not c.is_set;
    return false;
  end if;
  return true;
end
$$;

comment on function quota.note_exception is
  'Notes whether a member has an exception, and returns whether its cap has a meter.';
