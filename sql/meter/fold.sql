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

-- Each subject says from when on it may have lines to fold (subjects.fold_from, an instant in which lines
-- count): who has none is not looked at again before the lines of today are that old, what stays because its
-- period runs before that ends, and what is tied to something else for a day, once a call found nothing
-- to do.
create type quota.folded as (
  lines bigint,
  next_at timestamptz,
  if_quiet timestamptz
);

comment on type quota.folded is
  'How many lines were folded, and from when on there may be more: if this call folded any, and if it did not. -infinity: at once.';

create function quota.fold_ledger(
  p_keep interval,
  p_now timestamptz
)
returns bigint
language plpgsql volatile security invoker set search_path = pg_catalog, pg_temp
as $$
declare
  v_before timestamptz;
  v_due record;
  v_did quota.folded;
  v_folded bigint := 0;
  v_subjects integer := 0;
  v_seen text[] := '{}'::text[];
  v_next_at timestamptz[] := '{}'::timestamptz[];
  v_if_quiet timestamptz[] := '{}'::timestamptz[];
begin
  if p_keep is null or p_keep < interval '0' then
    raise exception 'tidy: keep is %, a length of time from 0 on is expected', coalesce(p_keep::text, 'null')
      using errcode = '22023', hint = 'for example 90 days; left out, the ledger stays whole';
  end if;
  if p_keep > interval '1000 years' then
    return 0;
  end if;
  v_before := p_now - p_keep;
  for v_due in
    select s.subject_id, o.counts_at, exists (
        select from quota.caps as c where c.subject_id = s.subject_id
      ) as has_caps
    from quota.subjects as s
    left join lateral (
      select min(l.counts_at) as counts_at
      from quota.meters as m
      join quota.features as f on f.feature_id = m.feature_id and f.kind = 'metered'
      cross join lateral (
        select e.counts_at
        from quota.events as e
        where e.subject_id = s.subject_id
          and e.feature_id = m.feature_id
          and e.kind = any (quota.kinds_to_fold())
        order by e.counts_at
        limit 1
      ) as l
      where m.subject_id = s.subject_id
    ) as o on true
    where s.fold_from >= '-infinity'
      and s.fold_from < v_before
    order by s.fold_from
  loop
    -- A step: what waits for a subject's row meanwhile waits for so long. Where nothing was found it goes
    -- on: 0 means that nothing is left.
    exit when v_folded >= 10000 or v_subjects >= 500 or v_folded > 0 and cardinality(v_seen) >= 10000;
    if v_due.counts_at < v_before or v_due.has_caps then
      v_did := quota.fold_subject(v_due.subject_id, v_before, p_now, 10000 - v_folded);
    else
      v_did := row(
        0, coalesce(v_due.counts_at, p_now), coalesce(v_due.counts_at, p_now)
      )::quota.folded;
    end if;
    v_folded := v_folded + v_did.lines;
    v_subjects := v_subjects + (v_did.lines > 0)::integer;
    if cardinality(v_seen) < 10000 then
      v_seen := v_seen || v_due.subject_id::text;
      v_next_at := v_next_at || v_did.next_at;
      v_if_quiet := v_if_quiet || v_did.if_quiet;
    end if;
  end loop;
  perform quota.look_later(v_seen, case when v_folded = 0 then v_if_quiet else v_next_at end);
  return v_folded;
end
$$;

comment on function quota.fold_ledger is
  'Folds lines that happened longer ago than p_keep, about 10,000 or those of 500 subjects at most, and returns how many. Errors: 22023.';

-- The rows are locked at the end and not waited for: who is missed is looked at once more.
create function quota.look_later(
  p_subject_ids text[],
  p_next_at timestamptz[]
)
returns void
language plpgsql volatile security invoker set search_path = pg_catalog, pg_temp
as $$
declare
  v_subject_id text;
  v_next_at timestamptz;
begin
  for v_subject_id, v_next_at in
    select u.subject_id, u.next_at
    from unnest(p_subject_ids, p_next_at) as u (subject_id, next_at)
    where u.next_at > '-infinity'
    order by u.subject_id collate "C"
  loop
    update quota.subjects as s
      set fold_from = v_next_at
      where s.subject_id = v_subject_id
        and s.subject_id = (
          select f.subject_id
          from quota.subjects as f
          where f.subject_id = v_subject_id
          for no key update skip locked
        );
  end loop;
end
$$;

comment on function quota.look_later is
  'Notes of subjects from when on there may be lines to fold; -infinity: as before.';

create function quota.fold_subject(
  p_subject_id text,
  p_before timestamptz,
  p_now timestamptz,
  p_most bigint
)
returns quota.folded
language plpgsql volatile security invoker set search_path = pg_catalog, pg_temp
as $$
declare
  v_limited_id text;
  v_feature_id text;
  v_did quota.folded;
  v_all quota.folded := row(0, p_now, p_now)::quota.folded;
begin
  -- Of members after the organisation: what they took goes after its calls.
  foreach v_limited_id in array p_subject_id || quota.caps_below(p_subject_id) loop
    foreach v_feature_id in array array(
      select m.feature_id
      from quota.meters as m
      join quota.features as f on f.feature_id = m.feature_id and f.kind = 'metered'
      where m.subject_id = v_limited_id
      order by m.feature_id
    ) loop
      v_did := quota.fold_meter(v_limited_id, v_feature_id, p_before, p_now, p_most - v_all.lines);
      v_all := row(
        v_all.lines + v_did.lines, least(v_all.next_at, v_did.next_at),
        least(v_all.if_quiet, v_did.if_quiet)
      )::quota.folded;
    end loop;
  end loop;
  return v_all;
end
$$;

comment on function quota.fold_subject is
  'Folds lines of a subject and of the caps of its members.';
