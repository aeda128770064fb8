-- Retention: what quota.tidy() is told to keep no longer becomes one line per stretch. A stretch lies
-- between two edges of the periods that are kept, so that each period is still the sum of its lines, to
-- the unit; what is lost is which call it was.
--
-- It locks no meter (but a member's cap), so no call waits for it: what anybody reads of old lines are
-- sums, one statement each, and those are the same before and after; a refund, which is several, holds
-- the line of its use. It holds the subject's row, against what moves or forgets lines (merge_subjects,
-- forget_subject) and against a second tidy().
--
-- What a line may yet be needed for stays as it is: running periods; holds, until tidy() has removed
-- them; a key that may be repeated; draws from a grant that is still open; what a call took from other
-- meters, until the call itself is folded; resets and openings of windows, which name a period.

create function quota.fold_ledger(
  p_keep interval,
  p_now timestamptz
)
returns bigint
language plpgsql volatile security invoker set search_path = pg_catalog, pg_temp
as $$
declare
  v_before timestamptz;
  v_subject_id text;
  v_feature_id text;
  v_folded bigint := 0;
begin
  if p_keep is null or p_keep < interval '0' then
    raise exception 'tidy: keep is %, a length of time from 0 on is expected', coalesce(p_keep::text, 'null')
      using errcode = '22023', hint = 'for example 90 days; left out, the ledger stays whole';
  end if;
  if p_keep > interval '1000 years' then
    return 0;
  end if;
  v_before := p_now - p_keep;
  for v_subject_id, v_feature_id in
    select m.subject_id, m.feature_id
    from quota.meters as m
    join quota.features as f on f.feature_id = m.feature_id and f.kind = 'metered'
    where exists (
      select from quota.events as e
      where e.subject_id = m.subject_id
        and e.feature_id = m.feature_id
        and e.counts_at < v_before
        and e.kind = any (quota.kinds_to_fold())
    )
  loop
    -- A step: what waits for the subject's row meanwhile waits for so long.
    exit when v_folded >= 10000;
    v_folded := v_folded + quota.fold_meter(
      v_subject_id, v_feature_id, v_before, p_now, 10000 - v_folded
    );
  end loop;
  return v_folded;
end
$$;

comment on function quota.fold_ledger is
  'Folds at most about 10,000 lines that happened longer ago than p_keep, and returns how many. Errors: 22023.';

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

create function quota.fold_meter(
  p_subject_id text,
  p_feature_id text,
  p_before timestamptz,
  p_now timestamptz,
  p_most bigint
)
returns bigint
language plpgsql volatile security invoker set search_path = pg_catalog, pg_temp
as $$
declare
  v_until timestamptz;
  v_edges timestamptz[];
  v_folded bigint := 0;
  v_wanted uuid[];
  v_ids uuid[];
begin
  if not quota.hold_still(p_subject_id, p_feature_id) then
    return 0;
  end if;
  -- Nothing of a period that runs, whether it has a counter or not.
  select least(p_before, min(c.period_start))
    into v_until
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
  while v_folded < p_most and v_until > '-infinity' loop
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
      cardinality(v_ids) = cardinality(v_wanted) and cardinality(v_ids) < p_most - v_folded
    );
  end loop;
  return v_folded;
end
$$;

comment on function quota.fold_meter is
  'Folds lines of a subject and feature, and returns how many; 0 where the subject''s row is locked.';

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
      select 'anybody' as member
      union all
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
