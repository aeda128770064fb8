-- Plans age: a retired plan keeps its subjects, and its successor holds for them from an instant on, by
-- arithmetic. No job moves anybody, so nobody is moved late or twice; what a subject was put on stays in
-- its row. Asked only of plans that move: all others are what the row says.
create function quota.plan_at(
  p_plan_id text,
  p_at timestamptz,
  p_anchor_at timestamptz,
  p_time_zone text,
  out plan_id text,
  out upgrade_url text,
  out changes_at timestamptz
)
language plpgsql stable security invoker set search_path = pg_catalog, pg_temp
as $$
declare
  v_successor_id text := p_plan_id;
begin
  -- A successor may have one itself. The document names no circle.
  loop
    plan_id := v_successor_id;
    select p.upgrade_url, p.successor_id,
        case p.moves
          when 'instant' then p.moves_from
          when 'renewal' then (
            select m.resets_at
            from quota.period_of('month', p.moves_from, p_anchor_at, p_time_zone) as m
          )
        end
      into upgrade_url, v_successor_id, changes_at
      from quota.plans as p
      where p.plan_id = plan_at.plan_id;
    exit when changes_at > p_at is not false or v_successor_id is null;
  end loop;
  if v_successor_id is null then
    changes_at := null;
  end if;
end
$$;

comment on function quota.plan_at is
  'The plan that holds at an instant for a subject that was put on p_plan_id, by its anchor and zone: that one, or from its move on the successor. changes_at: when the next one holds; null for never.';

-- What a payment provider goes on saying of a customer names the plan that it once bought.
create function quota.kept_plan(
  p_subject quota.subjects,
  p_plan_id text,
  p_ends_at timestamptz
)
returns text
language plpgsql stable security invoker set search_path = pg_catalog, pg_temp
as $$
declare
  v_now timestamptz := quota.clock();
  v_plan_id text := p_plan_id;
begin
  while v_plan_id <> p_subject.plan_id loop
    select p.successor_id
      into v_plan_id
      from quota.plans as p
      where p.plan_id = v_plan_id
        and p.moves_from <= v_now;
  end loop;
  if v_plan_id is null or p_subject.plan_id is null then
    raise exception 'set_plan: the plan % is retired, and the subject is not on it',
      quote_literal(left(p_plan_id, 100))
      using errcode = 'QPLAN', hint = 'a retired plan keeps its subjects and takes no new ones; see plan_catalog for those that do';
  end if;
  -- The default plan holds then. To hear once more that the plan has ended brings nobody back.
  if p_subject.plan_ends_at <= v_now and (p_ends_at <= v_now) is not true then
    raise exception 'set_plan: the plan % is retired, and ended for the subject at %',
      quote_literal(left(p_plan_id, 100)), p_subject.plan_ends_at
      using errcode = 'QPLAN', hint = 'a retired plan takes nobody back; extend ends_at before it has passed, or see plan_catalog for other plans';
  end if;
  return (
    select h.plan_id
    from quota.plan_at(v_plan_id, v_now, p_subject.anchor_at, p_subject.time_zone) as h
  );
end
$$;

comment on function quota.kept_plan is
  'Where a subject stays that is put on a retired plan until p_ends_at: on it or, once moved, on what came after it. Errors: QPLAN, the subject came from elsewhere, or its plan has ended.';
