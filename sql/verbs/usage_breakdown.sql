-- "Who of us used it up?", "which project?". Summed up from the ledger when asked: no table of sums that
-- every call would have to keep, and so any key of the metadata will do.
create type public.usage_share as (
  value text,
  used bigint,
  calls bigint
);

comment on type public.usage_share is 'What one user, or one value of a metadata key, has used.';

comment on column public.usage_share.value is
  'The actor, or the value of the metadata key as text, its first 255 characters; null for what has none, or an object or array there.';

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
  'What a subject has used of a feature, by the user that acted (by = actor) or by a metadata key (by = metadata.project): largest first, at most 1,000 rows. Without since and until: the running period of its longest limit (the month, where the feature is not in the plan), since its last fresh start by hand, and the rows add up to used in current_usage. since (included, default: the start of that period) and until (excluded, default: now on) ask for another time, whatever was reset. A refund counts in the time of its use and for its actor and key; a commit has the metadata of its hold, and an item that of its batch, where it has not the key itself. subject defaults to the signed-in user; who may act for an organisation may ask. Features that are hidden have no rows for users. Reads the lines of that feature and time alone. Errors: 42501 no identity or a subject that is not yours; QFEAT unknown feature, or a switch or value; 22023 by is neither, since or until is infinite, or since is not before until; QSUBJ subject missing (trusted callers), empty or over 255 characters.';

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
begin
  perform quota.check_feature(p_feature);
  perform quota.check_instant('usage_breakdown', 'since', p_since);
  perform quota.check_instant('usage_breakdown', 'until', p_until);
  if v_caller.is_trusted is not true and exists (
    select from quota.features as f where f.feature_id = p_feature and f.hidden
  ) then
    return;
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
      coalesce(v_forgiven_at, '-infinity'), coalesce(v_at_once, '[]')
    ) as s;
end
$$;

comment on function quota.usage_breakdown is 'See public.usage_breakdown.';

create function quota.breakdown_key(p_by text)
returns text
language plpgsql immutable security invoker set search_path = pg_catalog, pg_temp
as $$
begin
  if p_by = 'actor' then
    return null;
  end if;
  if p_by like 'metadata._%' and length(p_by) <= 264 then
    return substr(p_by, 10);
  end if;
  raise exception 'usage_breakdown: by is %, actor or metadata and a key is expected',
    coalesce(quote_literal(left(p_by, 100)), 'null')
    using errcode = '22023',
      hint = 'for example metadata.project; a key has at most 255 characters and is taken as it is, dots too';
end
$$;

comment on function quota.breakdown_key is 'The metadata key to sum up by; null for the actor. Errors: 22023.';

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

-- A line is summed up with its use: a refund has the instant, actor and metadata of what it gives back.
-- What a reset has forgiven is left out with what was refunded of it, so reset lines themselves are, too.
create function quota.sums_by_value(
  p_subject_id text,
  p_feature_id text,
  p_key text,
  p_from timestamptz,
  p_until timestamptz,
  p_forgiven_at timestamptz,
  p_at_once jsonb
)
returns setof public.usage_share
language plpgsql stable security invoker set search_path = pg_catalog, pg_temp
as $$
begin
  return query
    select v.value,
      greatest(least(sum(e.used_change), 9007199254740991), -9007199254740991)::bigint as used,
      count(*) filter (where e.kind in ('consume', 'commit')) as calls
    from quota.events as e
    left join lateral (
      select n.event_id, n.at, n.kind, n.about_id, n.metadata
      from quota.events as n
      where e.kind = 'refund'
        and n.subject_id = p_subject_id
        and n.event_id = e.about_id
    ) as r on true
    cross join lateral (
      select coalesce(r.event_id, e.event_id) as event_id, coalesce(r.at, e.at) as at,
        coalesce(r.kind, e.kind) as kind, coalesce(r.about_id, e.about_id) as about_id,
        coalesce(r.metadata, e.metadata) as metadata
    ) as u
    -- The hold of a commit, the batch of an item.
    left join lateral (
      select h.metadata
      from quota.events as h
      where u.kind = 'commit'
        and not u.metadata ? p_key
        and h.subject_id = p_subject_id
        and h.about_id = u.about_id
        and h.kind = 'reserve'
      union all
      select b.metadata
      from quota.events as b
      where u.kind = 'consume'
        and not u.metadata ? p_key
        and b.subject_id = p_subject_id
        and b.event_id = u.about_id
    ) as o on true
    cross join lateral (
      select case when u.metadata ? p_key then u.metadata else o.metadata end -> p_key as value
    ) as m
    cross join lateral (
      select case
        when p_key is null then e.actor
        when jsonb_typeof(m.value) in ('string', 'number', 'boolean') then left(m.value #>> '{}', 255)
      end as value
    ) as v
    where e.subject_id = p_subject_id
      and e.feature_id = p_feature_id
      and e.counts_at >= p_from
      and e.counts_at < p_until
      and e.kind not in ('reset', 'open', 'carry')
      and (e.used_change <> 0 or e.kind in ('consume', 'commit'))
      and u.at >= p_forgiven_at
      and not p_at_once ? u.event_id::text
    group by v.value
    having sum(e.used_change) <> 0
      or count(*) filter (where e.kind in ('consume', 'commit')) > 0
    order by used desc, v.value collate "C"
    limit 1000;
end
$$;

comment on function quota.sums_by_value is
  'Sums of the lines of a feature that count in [p_from, p_until), by actor (no key) or metadata key, without the uses that a reset at p_forgiven_at has forgiven.';
