-- Which plan a subject is on at an instant, and since when on these terms; or (p_plan_id) as if it came to
-- be on another one.
create function quota.terms_of(
  p_subject_id text,
  p_at timestamptz,
  p_plan_id text,
  out plan_id text,
  out upgrade_url text,
  out changes_at timestamptz,
  out anchor_at timestamptz,
  out time_zone text,
  out has_extras boolean,
  out changed_at timestamptz
)
language plpgsql stable security invoker set search_path = pg_catalog, pg_temp
as $$
declare
  v_moves_from timestamptz;
begin
  select
    case when s.plan_ends_at > p_at then s.plan_ends_at end,
    p.plan_id,
    p.upgrade_url,
    s.anchor_at,
    coalesce(s.time_zone, 'UTC'),
    coalesce(s.has_extras, false),
    case when p_plan_id is null then p.moves_from end,
    case
      when p_plan_id is not null then 'infinity'
      when s.plan_ends_at <= p_at then s.plan_ends_at
      else s.terms_changed_at
    end
  into changes_at, plan_id, upgrade_url, anchor_at, time_zone, has_extras, v_moves_from, changed_at
  from (values (1)) as one (n)
  left join quota.subjects as s on s.subject_id = p_subject_id
  left join quota.plans as p on p.plan_id = coalesce(
    p_plan_id,
    case when s.plan_ends_at <= p_at then null else s.plan_id end,
    case
      when s.parent_id is null then (select d.plan_id from quota.plans as d where d.is_default)
    end
  );
  if v_moves_from is not null then
    select h.plan_id, h.upgrade_url, least(terms_of.changes_at, h.changes_at)
      into plan_id, upgrade_url, changes_at
      from quota.plan_at(terms_of.plan_id, p_at, terms_of.anchor_at, terms_of.time_zone) as h;
  end if;
end
$$;

comment on function quota.terms_of is
  'Plan, the instant at which it changes by itself, anchor, zone, whether there are exceptions or grants, and when these terms began (null: never changed).';
