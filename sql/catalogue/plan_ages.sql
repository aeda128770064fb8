-- Plans that age, as the document says it: retired, successor, moves.
create function quota.check_plan_age(
  p_plans jsonb,
  p_plan_id text,
  p_plan jsonb
)
returns void
language plpgsql immutable security invoker set search_path = pg_catalog, pg_temp
as $$
declare
  v_place text := 'plans.' || p_plan_id;
  v_moves text := p_plan ->> 'moves';
  v_next text;
begin
  if jsonb_typeof(p_plan -> 'retired') <> 'boolean' then
    perform quota.reject_plans(v_place || '.retired', p_plan -> 'retired', 'true or false');
  end if;
  if p_plan -> 'retired' = 'true' and p_plan -> 'default' = 'true' then
    perform quota.reject_plans(
      v_place || '.retired', p_plan -> 'retired', 'another default plan: a retired one takes no new subjects'
    );
  end if;
  if p_plan ? 'successor' then
    if jsonb_typeof(p_plan -> 'successor') <> 'string'
      or not p_plans -> 'plans' ? (p_plan ->> 'successor')
    then
      perform quota.reject_plans(v_place || '.successor', p_plan -> 'successor', 'a plan of this document');
    end if;
    if p_plan -> 'retired' is distinct from 'true' then
      perform quota.reject_plans(
        v_place || '.successor', p_plan -> 'successor', '"retired": true beside it: only a retired plan has a successor'
      );
    end if;
    v_next := p_plan ->> 'successor';
    for i in 1 .. (select count(*) from jsonb_object_keys(p_plans -> 'plans')) loop
      if v_next = p_plan_id then
        perform quota.reject_plans(
          v_place || '.successor', p_plan -> 'successor', 'a plan whose successors do not lead back here'
        );
      end if;
      v_next := p_plans -> 'plans' -> v_next ->> 'successor';
    end loop;
  end if;
  if p_plan ? 'moves' then
    if jsonb_typeof(p_plan -> 'moves') <> 'string'
      or v_moves not in ('never', 'renewal') and quota.instant_from(v_moves) is null
    then
      perform quota.reject_plans(
        v_place || '.moves', p_plan -> 'moves',
        '"never", "renewal" or an instant, as in "2027-01-01T00:00:00Z"'
      );
    end if;
    if not p_plan ? 'successor' then
      perform quota.reject_plans(v_place || '.moves', p_plan -> 'moves', 'a successor beside it');
    end if;
  end if;
end
$$;

comment on function quota.check_plan_age is
  'Judges retired, successor and moves of one plan of the document. Errors: QPLAN.';

create type quota.plan_age as (
  plan_id text,
  is_retired boolean,
  successor_id text,
  moves text,
  moves_from timestamptz
);

comment on type quota.plan_age is 'What the document says of the age of a plan, as quota.plans keeps it.';

-- A renewal counts from when the document came to say so, however often it is applied since.
create function quota.plan_ages(
  p_plans jsonb,
  p_at timestamptz
)
returns setof quota.plan_age
language plpgsql stable security invoker set search_path = pg_catalog, pg_temp
as $$
begin
  return query
    select d.plan_id, d.is_retired, d.successor_id, d.moves,
      case d.moves
        when 'instant' then quota.instant_from(d.said)
        when 'renewal' then
          case when p.moves = 'renewal' and p.successor_id = d.successor_id then p.moves_from else p_at end
      end
    from (
      select e.key as plan_id,
        coalesce((e.value ->> 'retired')::boolean, false) as is_retired,
        e.value ->> 'successor' as successor_id,
        e.value ->> 'moves' as said,
        case
          when coalesce(e.value ->> 'moves', 'never') in ('never', 'renewal')
          then coalesce(e.value ->> 'moves', 'never')
          else 'instant'
        end as moves
      from jsonb_each(p_plans -> 'plans') as e
    ) as d
    left join quota.plans as p on p.plan_id = d.plan_id;
end
$$;

comment on function quota.plan_ages is 'The ages of the plans of a document that is applied at an instant.';

-- Left out of a plan that does not age, which most are.
create function quota.age_content(
  p_is_retired boolean,
  p_successor_id text,
  p_moves text,
  p_moves_from timestamptz
)
returns jsonb
language plpgsql immutable security invoker set search_path = pg_catalog, pg_temp
as $$
begin
  if not p_is_retired then
    return '{}'::jsonb;
  end if;
  return jsonb_build_object(
    'retired', true, 'successor', p_successor_id,
    'moves', case p_moves
      when 'instant' then (to_jsonb(p_moves_from at time zone 'UTC') #>> '{}') || 'Z'
      else p_moves
    end
  );
end
$$;

comment on function quota.age_content is 'The age of a plan, as plan_changes() compares and shows it.';
