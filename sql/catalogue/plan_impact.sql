-- Whom a document meets, before it is applied: which plan will hold for whom and when, and who has used
-- more than the new limit allows. Reads only, and nothing of it is looked at by a call.
create type quota.plan_step as (
  subject_id text,
  has_extras boolean,
  former_id text,
  plan_id text,
  at timestamptz
);

comment on type quota.plan_step is
  'A plan that will hold for a subject from an instant on; former_id is the one that holds now.';

-- Moves of the document are walked here as quota.plan_at() walks those of the catalogue.
create function quota.plan_steps(
  p_plans jsonb,
  p_at timestamptz
)
returns setof quota.plan_step
language plpgsql stable security invoker set search_path = pg_catalog, pg_temp
as $$
declare
  v_default_id text := (select d.plan_id from quota.plans as d where d.is_default);
  v_new_default_id text := (
    select d.key from jsonb_each(p_plans -> 'plans') as d where (d.value ->> 'default')::boolean
  );
begin
  return query
    with recursive ages as materialized (
      select a.plan_id, a.successor_id, a.moves, a.moves_from
      from quota.plan_ages(p_plans, p_at) as a
    ),
    steps as (
      select s.subject_id, s.has_extras, s.anchor_at, s.time_zone, s.plan_ends_at, 1 as n,
        coalesce(n.plan_id, v_new_default_id) as plan_id, p_at as at,
        coalesce(
          case when p.moves_from is null then n.plan_id
          else (quota.plan_at(n.plan_id, p_at, s.anchor_at, s.time_zone)).plan_id end,
          v_default_id
        ) as former_id
      from quota.subjects as s
      cross join lateral (
        select case when s.plan_ends_at <= p_at then null else s.plan_id end as plan_id
      ) as n
      left join quota.plans as p on p.plan_id = n.plan_id
      union all
      select t.subject_id, t.has_extras, t.anchor_at, t.time_zone, t.plan_ends_at, t.n + 1, a.successor_id,
        greatest(t.at, case a.moves
          when 'renewal' then (
            quota.period_of('month', a.moves_from, t.anchor_at, t.time_zone)
          ).resets_at
          else a.moves_from
        end),
        t.former_id
      from steps as t
      join ages as a on a.plan_id = t.plan_id
      where a.moves <> 'never'
    )
    -- Of several at one instant the last; none after the end of the plan.
    select distinct on (t.subject_id, t.at) t.subject_id, t.has_extras, t.former_id, t.plan_id, t.at
    from steps as t
    where t.plan_ends_at <= p_at is true
      or t.plan_ends_at > t.at is not false
    order by t.subject_id, t.at, t.n desc;
end
$$;

comment on function quota.plan_steps is
  'Which plan holds for each subject once the document is applied, now and after each move.';

create type quota.plan_impact as (
  subject text,
  former_plan text,
  plan text,
  at timestamptz,
  feature text,
  period text,
  used bigint,
  "limit" bigint,
  over bigint
);

comment on type quota.plan_impact is
  'A subject that has used more in a running period than a new limit allows it.';

comment on column quota.plan_impact.at is
  'From when on that limit holds: now, or the move to the successor.';

comment on column quota.plan_impact.used is 'Used and held units of the period that runs now.';

comment on column quota.plan_impact."limit" is
  'The new limit, with the grants of the subject; 0 where the plan has not the feature.';

create function quota.plan_impact(p_plans jsonb)
returns setof quota.plan_impact
language plpgsql stable security definer
set search_path = pg_catalog, pg_temp set jit = off
as $$
declare
  v_now timestamptz := quota.clock();
begin
  perform quota.require_trusted();
  perform quota.check_plans(p_plans);
  return query
    select u.subject_id, u.former_id, u.plan_id, u.at, u.feature_id, u.period, u.used, u.allowed,
      u.used - u.allowed
    from (
      select t.subject_id, t.former_id, t.plan_id, t.at, c.feature_id, c.period, n.used,
        -- With what was drawn, as the plan's limit alone stands in the document.
        (l.amount #>> '{}')::numeric::bigint + n.drawn
          + case when t.has_extras then quota.granted_to(t.subject_id, c.feature_id, v_now) else 0 end
          as allowed
      from quota.plan_steps(p_plans, v_now) as t
      join quota.counters as c on c.subject_id = t.subject_id
      join quota.meters as m on m.subject_id = c.subject_id and m.feature_id = c.feature_id
      cross join lateral (
        select coalesce(c.used + c.reserved, m.used - c.used_before + m.reserved - c.reserved_before) as used,
          coalesce(c.drawn, m.drawn - c.drawn_before) as drawn
      ) as n
      cross join lateral (
        select p_plans #> array['plans', t.plan_id, 'limits', c.feature_id] as limits
      ) as f
      cross join lateral (
        select case
          when f.limits is null then '0'
          when jsonb_typeof(f.limits -> c.period) = 'object' then f.limits -> c.period -> 'limit'
          else f.limits -> c.period
        end as amount
      ) as l
      cross join lateral (
        select case
          when count(*) = 0 then '0'
          else to_jsonb(max(h.amount) filter (where h.period = c.period))
        end as amount
        from quota.plan_limits as h
        where h.plan_id = t.former_id
          and h.feature_id = c.feature_id
      ) as k
      where c.period_end > v_now
        and c.period_start <= v_now
        and jsonb_typeof(l.amount) = 'number'
        -- What the plan allows now is no news.
        and (t.at > v_now or k.amount is distinct from l.amount)
        and not exists (
          select from quota.exceptions as x
          where t.has_extras
            and x.subject_id = c.subject_id
            and x.feature_id = c.feature_id
            and x.period = c.period
            and x.ends_at > t.at
        )
    ) as u
    where u.used > u.allowed
    order by u.used - u.allowed desc, u.at, u.subject_id, u.feature_id, u.period;
end
$$;

comment on function quota.plan_impact is
  'Who has used more in a running period than the document would allow from now on, or from a move to a successor on: the furthest over first. Changes nothing. For DBAs, not over REST; npx pgquota plans --impact shows it. Errors: QPLAN; 42501 not a trusted role.';

-- For how many subjects a change of a plan's age matters, and when.
create function quota.moves_note(
  p_plans jsonb,
  p_plan_id text
)
returns text
language plpgsql stable security invoker set search_path = pg_catalog, pg_temp
as $$
declare
  v_now timestamptz := quota.clock();
  v_moves record;
  v_over bigint;
begin
  select count(*) as subjects, min(t.at) as first_at, max(t.at) as last_at,
      array_agg(t.subject_id) as subject_ids
    into v_moves
    from quota.plan_steps(p_plans, v_now) as t
    where t.former_id = p_plan_id
      and t.plan_id = p_plans #>> array['plans', p_plan_id, 'successor'];
  if v_moves.subjects = 0 then
    return '';
  end if;
  select count(distinct i.subject)
    into v_over
    from quota.plan_impact(p_plans) as i
    where i.former_plan = p_plan_id
      and i.plan = p_plans #>> array['plans', p_plan_id, 'successor'];
  return format(
    ' (subjects that move: %s, %s; over a new limit: %s)', v_moves.subjects,
    concat_ws(
      ' to ', quota.shown_instant(v_moves.first_at),
      case when v_moves.last_at > v_moves.first_at then quota.shown_instant(v_moves.last_at) end
    ),
    v_over
  );
end
$$;

comment on function quota.moves_note is
  'How many subjects of a plan move to its successor, when the first and the last do, and how many have used more than it allows.';

create function quota.shown_instant(p_at timestamptz)
returns text
language plpgsql immutable strict security invoker set search_path = pg_catalog, pg_temp
as $$
begin
  return (to_jsonb(date_trunc('second', p_at at time zone 'UTC')) #>> '{}') || 'Z';
end
$$;

comment on function quota.shown_instant is 'An instant in UTC, as the document writes it.';
