-- Where a call counts beside the meter that remembers: read under its lock, as everything that it remembers.

create function quota.company_of(
  p_subject_id text,
  p_feature_id text,
  p_allowance quota.allowance,
  out is_alone boolean,
  out has_caps boolean,
  out levels text[],
  out lock_order bigint[],
  out ways text[],
  out units bigint[],
  out pers bigint[]
)
language plpgsql stable security invoker set search_path = pg_catalog, pg_temp
as $$
begin
  is_alone := false;
  has_caps := false;
  -- Nobody calls a cap by its name.
  if strpos(p_subject_id, chr(31)) > 0 then
    return;
  end if;
  levels := quota.levels_of(p_subject_id);
  ways := array[p_feature_id];
  units := array[1];
  pers := array[1];
  if exists (select from quota.feature_costs as c where c.feature_id = p_feature_id) then
    select array_agg(c.cost_id order by c.cost_id), array_agg(c.units order by c.cost_id),
        array_agg(c.per order by c.cost_id)
      into ways, units, pers
      from (
        select c.cost_id, c.units, c.per from quota.feature_costs as c where c.feature_id = p_feature_id
        union all
        select p_feature_id collate "C", 1, 1
      ) as c;
  end if;
  has_caps := exists (
      select from quota.member_limits as l
      where l.plan_id = p_allowance.plan_id
        and l.feature_id = p_feature_id
    )
    or exists (
      select from quota.caps as c
      where c.subject_id = p_subject_id
        and c.feature_id = p_feature_id
    );
  if cardinality(levels) * cardinality(ways) = 1 and not has_caps then
    is_alone := p_allowance.limits <> '{}'
      and (p_allowance.kind <> 'gauge' or quota.below(array[p_subject_id]) = '{}');
    ways := null;
  elsif cardinality(levels) > 1 then
    lock_order := array(
      select row_number() over (order by l.n, w.n)
      from unnest(levels) with ordinality as l (subject_id, n)
      cross join unnest(ways) with ordinality as w (feature_id, n)
      order by l.subject_id collate "C", w.n
    );
  end if;
end
$$;

comment on function quota.company_of is
  'Whether a call may take from this meter alone; whether members may have caps of it; and what a call of it takes from, else.';
