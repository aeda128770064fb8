-- "Who of us used it up?", "which project?". Summed up from the ledger when asked: no table of sums that
-- every call would have to keep, and so any key of the metadata will do.
create type public.usage_share as (
  value text,
  used bigint,
  calls bigint
);

comment on type public.usage_share is 'What one user, or one value of a metadata key, has used.';

comment on column public.usage_share.value is
  'The actor, the feature that was called, or the value of the metadata key as text, its first 255 characters; null for what has none, or an object or array there.';

comment on column public.usage_share.used is
  'Units used in the time asked for, less what was refunded of them since, whenever that was.';

comment on column public.usage_share.calls is
  'How many calls counted them, also those that were refunded since; rows of limited tables and imports are none.';

-- What a bill to a team, or a page for its owner, lists.
create function public.usage_breakdown(
  feature text,
  "by" text default 'actor',
  subject text default null,
  since timestamptz default null,
  until timestamptz default null
)
returns setof public.usage_share
language plpgsql stable security invoker set search_path = pg_catalog, pg_temp
as $$
#variable_conflict error
-- The names are keys of JSON, reserved words or not. @plpgsql_check_options: other_warnings = false
begin
  return query
    select * from quota.usage_breakdown(feature, "by", subject, since, until);
end
$$;

comment on function public.usage_breakdown is
  'What a subject has used of a feature, by the user that acted (by = actor), by a metadata key (by = metadata.project) or by the feature that was called (by = feature: what credits went for): largest first, at most 1,000 rows. Without since and until: the running period of its longest limit (the month, where the feature is not in the plan), since its last fresh start by hand, and the rows add up to used in current_usage. since (included, default: the start of that period) and until (excluded, default: now on) ask for another time, whatever was reset. A refund counts in the time of its use and for its actor and key; a commit has the metadata of its hold, and an item that of its batch, where it has not the key itself. subject defaults to the signed-in user; who may act for an organisation may ask, and under a cap sees its own sums alone, unless quota.sees_members() says that it sees all. Features that are hidden have no rows for users. Reads the lines of that feature and time alone. Errors: 42501 no identity or a subject that is not yours; QFEAT unknown feature, or a switch or value; 22023 by is none of these, since or until is infinite, or since is not before until; QSUBJ subject missing (trusted callers), empty or over 255 characters.';

create function quota.usage_breakdown(
  p_feature text,
  p_by text,
  p_subject text,
  p_since timestamptz,
  p_until timestamptz
)
returns setof public.usage_share
language plpgsql stable security definer set search_path = pg_catalog, pg_temp
as $$
declare
  v_caller quota.caller := quota.caller_by_account(p_subject);
  v_key text := quota.breakdown_key(p_by);
  v_period record;
  v_forgiven_at timestamptz := '-infinity'::timestamptz;
  v_at_once jsonb;
  -- Of a member under a cap, what it has used itself.
  v_only text;
begin
  perform quota.check_feature(p_feature);
  perform quota.check_instant('usage_breakdown', 'since', p_since);
  perform quota.check_instant('usage_breakdown', 'until', p_until);
  if v_caller.is_trusted is not true and exists (
    select from quota.features as f where f.feature_id = p_feature and f.hidden
  ) then
    return;
  end if;
  if v_caller.is_trusted is not true
    and quota.is_capped(v_caller.subject_id, p_feature, v_caller.actor, quota.clock())
    and quota.sees_members(v_caller.actor, v_caller.subject_id) is not true
  then
    v_only := v_caller.actor;
  end if;
  v_period := quota.breakdown_period(v_caller.subject_id, p_feature);
  if p_since is null and p_until is null then
    select r.at, r.metadata -> 'at_once'
      into v_forgiven_at, v_at_once
      from quota.last_reset(
        v_caller.subject_id, p_feature, v_period.period, v_period.period_start
      ) as r;
  elsif coalesce(p_since, v_period.period_start) >= p_until then
    raise exception 'usage_breakdown: since is %, which is not before until, %',
      coalesce(p_since, v_period.period_start), p_until
      using errcode = '22023', hint = 'since is included, until is not; left out, they are the running period';
  end if;
  return query
    select s.value, s.used, s.calls
    from quota.sums_by_value(
      v_caller.subject_id, p_feature, v_key, coalesce(p_since, v_period.period_start),
      coalesce(p_until, case when p_since is null then v_period.resets_at end, 'infinity'),
      coalesce(v_forgiven_at, '-infinity'), coalesce(v_at_once, '[]'), p_by, v_only
    ) as s;
end
$$;

comment on function quota.usage_breakdown is 'See public.usage_breakdown.';

create function quota.breakdown_key(p_by text)
returns text
language plpgsql immutable security invoker set search_path = pg_catalog, pg_temp
as $$
begin
  if p_by in ('actor', 'feature') then
    return null;
  end if;
  if p_by like 'metadata._%' and length(p_by) <= 264 then
    return substr(p_by, 10);
  end if;
  raise exception 'usage_breakdown: by is %, actor, feature or metadata and a key is expected',
    coalesce(quote_literal(left(p_by, 100)), 'null')
    using errcode = '22023',
      hint = 'for example metadata.project; a key has at most 255 characters and is taken as it is, dots too';
end
$$;

comment on function quota.breakdown_key is 'The metadata key to sum up by; null for the actor or feature. Errors: 22023.';

-- Of what is not in the plan any more something may have been used all the same: the month of it.
create function quota.breakdown_period(
  p_subject_id text,
  p_feature_id text,
  out period text, out period_start timestamptz, out resets_at timestamptz
)
language plpgsql stable security invoker set search_path = pg_catalog, pg_temp
as $$
declare
  v_now timestamptz := quota.clock();
  v_limits quota.limit_state[] := (quota.limits_of(p_subject_id, p_feature_id, v_now)).limits;
  v_anchor_at timestamptz;
  v_time_zone text;
begin
  select l.period, l.period_start, l.resets_at
    into period, period_start, resets_at
    from unnest(v_limits) as l
    order by quota.period_rank(l.period) desc
    limit 1;
  if not found then
    select s.anchor_at, s.time_zone
      into v_anchor_at, v_time_zone
      from quota.subjects as s
      where s.subject_id = p_subject_id;
    period := 'month';
    select p.period_start, p.resets_at
      into period_start, resets_at
      from quota.period_of('month', v_now, v_anchor_at, coalesce(v_time_zone, 'UTC')) as p;
  end if;
end
$$;

comment on function quota.breakdown_period is
  'The running period of the longest limit of a subject and feature; its month where it has none.';

create function quota.last_reset(
  p_subject_id text,
  p_feature_id text,
  p_period text,
  p_from timestamptz,
  out at timestamptz, out metadata jsonb
)
language plpgsql stable security invoker set search_path = pg_catalog, pg_temp
as $$
declare
  v_reset_id uuid := quota.reset_id(p_feature_id);
begin
  select r.at, r.metadata
    into last_reset.at, last_reset.metadata
    from quota.events as r
    where r.subject_id = p_subject_id
      and r.about_id = v_reset_id
      and r.kind = 'reset'
      and r.counts_at >= p_from
      and r.metadata ->> 'period' = p_period
    order by r.at desc, r.event_id desc
    limit 1;
end
$$;

comment on function quota.last_reset is
  'The line that last brought a period to 0 by hand, in or after the instant p_from; null without one.';
