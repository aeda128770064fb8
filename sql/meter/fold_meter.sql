-- One meter's part of what tidy() folds: what stands still meanwhile, what may be folded, when to look again.

create function quota.fold_meter(
  p_subject_id text,
  p_feature_id text,
  p_before timestamptz,
  p_now timestamptz,
  p_most bigint
)
returns quota.folded
language plpgsql volatile security invoker set search_path = pg_catalog, pg_temp
as $$
declare
  v_oldest timestamptz := quota.oldest_to_fold(p_subject_id, p_feature_id);
  v_until timestamptz;
  v_ends_at timestamptz;
  v_edges timestamptz[];
  v_folded bigint := 0;
  v_wanted uuid[];
  v_ids uuid[];
begin
  if v_oldest is null or v_oldest >= p_before then
    return quota.next_look(0, v_oldest, p_before, p_now);
  end if;
  if p_most <= 0 or not quota.hold_still(p_subject_id, p_feature_id) then
    return row(0, '-infinity', '-infinity')::quota.folded;
  end if;
  -- Nothing of a period that runs, whether it has a counter or not.
  select least(p_before, min(c.period_start)), least(min(c.period_end), p_now + interval '30 days')
    into v_until, v_ends_at
    from quota.counters as c
    where c.subject_id = p_subject_id
      and c.feature_id = p_feature_id
      and c.period_end > p_now;
  if v_until > '-infinity' then
    v_until := least(v_until, quota.running_since(p_subject_id, p_feature_id, p_now));
  end if;
  v_edges := array(
    select '-infinity'::timestamptz
    union
    select b.at
    from quota.counters as c
    cross join lateral (values (c.period_start), (c.period_end)) as b (at)
    where c.subject_id = p_subject_id
      and c.feature_id = p_feature_id
      and b.at <= v_until
    order by 1
  );
  while v_folded < p_most and v_oldest < v_until loop
    v_wanted := quota.lines_to_fold(
      p_subject_id, p_feature_id, p_before, v_until, p_now, p_most - v_folded
    );
    -- A refund holds the use that it gives back of: that stays until the next time.
    v_ids := array(
      select e.event_id
      from quota.events as e
      where e.subject_id = p_subject_id
        and e.event_id = any (v_wanted)
      for update skip locked
    );
    exit when cardinality(v_ids) = 0;
    v_folded := v_folded + quota.fold_lines(
      p_subject_id, p_feature_id, v_ids, v_edges, p_now,
      cardinality(v_wanted) < p_most - v_folded
    );
  end loop;
  if v_folded >= p_most then
    return row(v_folded, '-infinity', '-infinity')::quota.folded;
  end if;
  return quota.next_look(
    v_folded, quota.oldest_to_fold(p_subject_id, p_feature_id), p_before, p_now, v_until, v_ends_at
  );
end
$$;

comment on function quota.fold_meter is
  'Folds lines of a subject and feature; none where the subject''s row is locked.';

create function quota.next_look(
  p_lines bigint,
  p_oldest timestamptz,
  p_before timestamptz,
  p_now timestamptz,
  p_until timestamptz default null,
  p_ends_at timestamptz default null
)
returns quota.folded
language plpgsql stable security invoker set search_path = pg_catalog, pg_temp
as $$
declare
  v_next_at timestamptz := case
    when p_oldest < p_before then p_before + (coalesce(p_ends_at, p_now + interval '1 day') - p_now)
    else coalesce(p_oldest, p_now)
  end;
begin
  -- A key, a hold, a grant, another meter, somebody's refund: folding may end that.
  if p_oldest < least(p_before, p_until) then
    return row(p_lines, '-infinity', p_before + interval '1 day')::quota.folded;
  end if;
  return row(p_lines, v_next_at, v_next_at)::quota.folded;
end
$$;

comment on function quota.next_look is
  'What fold_meter() says, given the oldest line that is left, where running periods begin and when the first of them ends.';

create function quota.oldest_to_fold(
  p_subject_id text,
  p_feature_id text
)
returns timestamptz
language plpgsql stable security invoker set search_path = pg_catalog, pg_temp
as $$
begin
  return (
    select e.counts_at
    from quota.events as e
    where e.subject_id = p_subject_id
      and e.feature_id = p_feature_id
      and e.kind = any (quota.kinds_to_fold())
    order by e.counts_at
    limit 1
  );
end
$$;

comment on function quota.oldest_to_fold is
  'In which instant the first of the lines counts that are folded once nothing needs them.';

create function quota.hold_still(
  p_subject_id text,
  p_feature_id text
)
returns boolean
language plpgsql volatile security invoker set search_path = pg_catalog, pg_temp
as $$
begin
  -- A member's cap is no subject; what takes it away holds its meter.
  if strpos(p_subject_id, chr(31)) > 0 then
    perform from quota.meters as m
      where m.subject_id = p_subject_id
        and m.feature_id = p_feature_id
      for no key update skip locked;
  else
    perform from quota.subjects as s where s.subject_id = p_subject_id for no key update skip locked;
  end if;
  return found;
end
$$;

comment on function quota.hold_still is
  'Keeps others from moving or forgetting lines of a subject; false: somebody is at it.';

-- Of caps, too: one that begins is the sum of what the organisation's lines say of its member.
create function quota.running_since(
  p_subject_id text,
  p_feature_id text,
  p_now timestamptz
)
returns timestamptz
language plpgsql stable security invoker set search_path = pg_catalog, pg_temp
as $$
declare
  v_since timestamptz;
  v_id text;
begin
  for v_id in
    select p_subject_id
    union
    select quota.cap_id(p_subject_id, c.member)
    from (
      select 'anybody' as member from quota.member_limits
      union
      select k.member
      from quota.caps as k
      where k.subject_id = p_subject_id
        and k.feature_id = p_feature_id
        and k.is_set
    ) as c
    where strpos(p_subject_id, chr(31)) = 0
  loop
    select least(v_since, min(l.period_start))
      into v_since
      from unnest((quota.limits_of(v_id, p_feature_id, p_now)).limits) as l;
  end loop;
  return v_since;
end
$$;

comment on function quota.running_since is
  'The start of the longest period that runs, of any limit of a subject or its members; null: there is none.';

create function quota.kinds_to_fold()
returns text[]
language plpgsql immutable security invoker set search_path = pg_catalog, pg_temp
as $$
begin
  return '{consume,cost,level,import,reserve,commit,release,expire,draw,refund}'::text[];
end
$$;

comment on function quota.kinds_to_fold is
  'The kinds of lines that are folded.';
