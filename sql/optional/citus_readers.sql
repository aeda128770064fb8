-- What the views of citus_views.sql ask: part of citus.sql, which runs it. Each runs as the owner and decides
-- for itself who reads. All in one statement of one subject, so that one node answers; but for what is asked
-- of all of them.

create or replace function quota.subjects_shown()
returns setof text
language plpgsql stable rows 3 security definer
set search_path = pg_catalog, pg_temp
as $$
begin
  if quota.is_trusted() is true then
    return query select s.subject_id::text from quota.subjects as s;
  else
    return query
      select distinct o.subject_id
      from quota.subjects_of(quota.user_id()) as o (subject_id)
      where o.subject_id is not null;
  end if;
end
$$;

comment on function quota.subjects_shown is
  'The subjects whose use the reader may see: all that were ever seen for a trusted role, itself and whom it may act for for a user.';

create or replace function quota.features_shown()
returns table (
  feature_id text,
  name text,
  unit text,
  kind text,
  hidden boolean
)
language plpgsql stable rows 10 security definer
set search_path = pg_catalog, pg_temp
as $$
begin
  return query select f.feature_id::text, f.name, f.unit, f.kind, f.hidden from quota.features as f;
end
$$;

comment on function quota.features_shown is 'The catalogue of features, which everybody may read.';

-- What no user is shown, in the views that name a feature.
create or replace function quota.hidden_features()
returns text[]
language plpgsql stable security definer
set search_path = pg_catalog, pg_temp
as $$
begin
  return array(select f.feature_id from quota.features as f where f.hidden);
end
$$;

comment on function quota.hidden_features is 'The features that are in no view of users.';

create or replace function quota.history_shown(p_subject_id text)
returns table (
  feature_id text,
  period text,
  period_start timestamptz,
  period_end timestamptz,
  used bigint,
  last_limit bigint,
  carried bigint,
  over bigint
)
language plpgsql stable strict security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_is_trusted boolean := quota.is_trusted() is true;
  v_hidden text[] := case when v_is_trusted then '{}' else quota.hidden_features() end;
begin
  if not v_is_trusted and quota.may_see(quota.user_id(), p_subject_id) is not true then
    return;
  end if;
  return query
    select c.feature_id::text, c.period, c.period_start, c.period_end,
      coalesce(c.used, m.used - c.used_before), c.last_limit, c.carried, c.over
    from quota.counters as c
    join quota.meters as m
      on m.subject_id = p_subject_id
      and m.feature_id = c.feature_id
    where c.subject_id = p_subject_id
      and (v_is_trusted or c.mode <> 'shadow' and c.feature_id <> all (v_hidden));
end
$$;

comment on function quota.history_shown is
  'The counters of a subject, with what open ones have used so far, for whoever may see it; no rows for everybody else.';

create or replace function quota.events_shown(p_subject_id text)
returns table (
  event_id uuid,
  at timestamptz,
  kind text,
  feature_id text,
  counts_at timestamptz,
  used_change bigint,
  reserved_change bigint,
  drawn_change bigint,
  about_id uuid,
  grant_id uuid,
  actor text,
  idempotency_key text,
  metadata jsonb,
  over jsonb
)
language plpgsql stable strict security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_is_trusted boolean := quota.is_trusted() is true;
  v_hidden text[] := case when v_is_trusted then '{}' else quota.hidden_features() end;
begin
  if not v_is_trusted and quota.may_see(quota.user_id(), p_subject_id) is not true then
    return;
  end if;
  return query
    select e.event_id, e.at, e.kind, e.feature_id::text, e.counts_at, e.used_change, e.reserved_change,
      e.drawn_change, e.about_id, e.grant_id, e.actor, e.idempotency_key::text, e.metadata, o.over
    from quota.events as e
    left join (
      select a.event_id, jsonb_object_agg(a.period, a.units) as over
      from quota.overages as a
      where a.subject_id = p_subject_id
        and (v_is_trusted or a.mode <> 'shadow' and a.feature_id <> all (v_hidden))
      group by a.event_id
    ) as o on o.event_id = case e.kind when 'reserve' then e.about_id else e.event_id end
    where e.subject_id = p_subject_id
      and (
        case e.kind when 'value' then e.metadata ->> 'feature' else e.feature_id end = any (v_hidden)
      ) is not true
      and (e.kind <> 'limit' or e.actor is null or quota.sees_member(p_subject_id, e.actor));
end
$$;

comment on function quota.events_shown is
  'The ledger lines of a subject, and how far each went past limits, for whoever may see it; no rows for everybody else.';

create or replace function quota.alerts_shown(p_subject_id text)
returns table (
  feature_id text,
  period text,
  period_start timestamptz,
  threshold bigint,
  at timestamptz,
  used bigint,
  amount bigint,
  alert_id uuid,
  member text
)
language plpgsql stable strict security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_is_trusted boolean := quota.is_trusted() is true;
  v_hidden text[] := case when v_is_trusted then '{}' else quota.hidden_features() end;
begin
  if not v_is_trusted and quota.may_see(quota.user_id(), p_subject_id) is not true then
    return;
  end if;
  return query
    select a.feature_id::text, a.period, a.period_start, a.threshold, a.at, a.used, a.amount, a.alert_id,
      a.member::text
    from quota.alerts as a
    where a.subject_id = p_subject_id
      and a.feature_id <> all (v_hidden)
      and (a.member is null or quota.sees_member(p_subject_id, a.member));
end
$$;

comment on function quota.alerts_shown is
  'The alerts of a subject, for whoever may see it; no rows for everybody else.';

-- All subjects at once: who is near a limit is asked of all of them.
create or replace function quota.overview_shown()
returns table (
  subject_id text,
  feature_id text,
  period text,
  period_start timestamptz,
  period_end timestamptz,
  used bigint,
  reserved bigint,
  allowed bigint
)
language plpgsql stable security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_at timestamptz := quota.clock();
begin
  if quota.is_trusted() is not true then
    return;
  end if;
  return query
    select c.subject_id::text, c.feature_id::text, c.period, c.period_start, c.period_end,
      least(coalesce(c.used, m.used - c.used_before), 9007199254740991),
      least(coalesce(c.reserved, m.reserved - c.reserved_before), 9007199254740991),
      c.last_limit
    from quota.counters as c
    join quota.meters as m on m.subject_id = c.subject_id and m.feature_id = c.feature_id
    where c.period_end > v_at
      -- Caps of members are in no list.
      and strpos(c.subject_id, chr(31)) = 0;
  return query
    select m.subject_id::text, m.feature_id::text, 'minute', m.minute_until - interval '1 minute',
      m.minute_until, m.used - m.minute_used_before, m.reserved - m.minute_reserved_before,
      nullif(m.minute_limit, -1)
    from quota.meters as m
    where m.minute_until > v_at
      and strpos(m.subject_id, chr(31)) = 0;
  return query
    select m.subject_id::text, m.feature_id::text, 'hour', m.hour_until - interval '1 hour',
      m.hour_until, m.used - m.hour_used_before, m.reserved - m.hour_reserved_before,
      nullif(m.hour_limit, -1)
    from quota.meters as m
    where m.hour_until > v_at
      and strpos(m.subject_id, chr(31)) = 0;
end
$$;

comment on function quota.overview_shown is
  'What stands in counters and meters of all running periods, for trusted roles; no rows for everybody else.';

revoke all on function
  quota.subjects_shown, quota.features_shown, quota.hidden_features, quota.history_shown,
  quota.events_shown, quota.alerts_shown, quota.overview_shown
  from public, anon, authenticated, service_role;

grant execute on function
  quota.subjects_shown, quota.features_shown, quota.history_shown, quota.events_shown,
  quota.alerts_shown
  to authenticated, service_role;

grant execute on function quota.overview_shown to service_role;
