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
  v_parent_id text;
  v_moves_from timestamptz;
begin
  select s.plan_id, s.plan_ends_at, s.anchor_at, s.time_zone, s.has_extras, s.terms_changed_at,
      s.parent_id
    into plan_id, changes_at, anchor_at, time_zone, has_extras, changed_at, v_parent_id
    from quota.subjects as s
    where s.subject_id = p_subject_id;
  if not found then
    time_zone := 'UTC';
    has_extras := false;
  elsif changes_at <= p_at then
    plan_id := null;
    changed_at := changes_at;
    changes_at := null;
  end if;
  if p_plan_id is not null then
    plan_id := p_plan_id;
    changed_at := 'infinity';
  end if;
  -- Who has others above it has the plan alone that it was put on.
  if plan_id is not null or v_parent_id is not null then
    select p.plan_id, p.upgrade_url, p.moves_from
      into plan_id, upgrade_url, v_moves_from
      from quota.plans as p
      where p.plan_id = terms_of.plan_id;
  else
    select p.plan_id, p.upgrade_url, p.moves_from
      into plan_id, upgrade_url, v_moves_from
      from quota.plans as p
      where p.is_default;
  end if;
  if v_moves_from is not null and p_plan_id is null then
    select h.plan_id, h.upgrade_url, least(terms_of.changes_at, h.changes_at)
      into plan_id, upgrade_url, changes_at
      from quota.plan_at(terms_of.plan_id, p_at, terms_of.anchor_at, terms_of.time_zone) as h;
  end if;
end
$$;

comment on function quota.terms_of is
  'Plan, the instant at which it changes by itself, anchor, zone, whether there are exceptions or grants, and when these terms began (null: never changed).';
