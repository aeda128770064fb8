-- Caps are sums of what the organisation's own lines say: the next call that meets one begins it anew. So what
-- is forgotten, or merged, need only take them away.
create function quota.forget_caps(p_cap_ids text[])
returns void
language plpgsql volatile security invoker set search_path = pg_catalog, pg_temp
as $$
declare
  v_cap_ids text[] := array(select c collate "C" from unnest(p_cap_ids) as c order by 1);
  v_cap_id text;
begin
  -- First, and in byte order, as calls lock them: who forgets a user has no meter of the organisation.
  foreach v_cap_id in array v_cap_ids loop
    perform from quota.meters as m
      where m.subject_id = v_cap_id
      order by m.feature_id
      for update;
  end loop;
  foreach v_cap_id in array v_cap_ids loop
    perform quota.end_exceptions(quota.cap_holder(v_cap_id), quota.cap_member(v_cap_id));
  end loop;
  perform quota.end_caps(p_cap_ids);
end
$$;

comment on function quota.forget_caps is 'Erases caps and their exceptions.';

create function quota.end_caps(p_cap_ids text[])
returns void
language plpgsql volatile security invoker set search_path = pg_catalog, pg_temp
as $$
begin
  delete from quota.shares as s where s.share_subject_id = any (p_cap_ids);
  delete from quota.reservations as r where r.subject_id = any (p_cap_ids);
  delete from quota.overages as o where o.subject_id = any (p_cap_ids);
  delete from quota.events as e where e.subject_id = any (p_cap_ids);
  delete from quota.counters as c where c.subject_id = any (p_cap_ids);
  delete from quota.meters as m where m.subject_id = any (p_cap_ids);
end
$$;

comment on function quota.end_caps is 'Takes away what caps have counted; expects their meters to be locked.';

-- Those that limit nothing any more cost the calls of their organisation a second meter, and the long way. Should
-- a limit come back, they are begun anew.
create function quota.end_idle_caps(p_at timestamptz)
returns bigint
language plpgsql volatile security invoker set search_path = pg_catalog, pg_temp
as $$
declare
  v_cap quota.caps;
  v_ended bigint := 0;
begin
  for v_cap in
    select c.subject_id, c.feature_id, c.member, c.is_set
    from quota.caps as c
    order by c.subject_id, c.feature_id, c.member
  loop
    continue when quota.is_capped(v_cap.subject_id, v_cap.feature_id, v_cap.member, p_at);
    -- A cap is touched under its organisation's meter alone. It waits for nobody.
    perform from quota.meters as m
      where m.subject_id = v_cap.subject_id
        and m.feature_id = v_cap.feature_id
      for no key update skip locked;
    if found and not quota.is_capped(v_cap.subject_id, v_cap.feature_id, v_cap.member, p_at) then
      perform quota.end_cap(v_cap);
      v_ended := v_ended + 1;
    end if;
  end loop;
  return v_ended;
end
$$;

comment on function quota.end_idle_caps is 'Takes away caps that limit nothing any more, and returns how many. For tidy().';

-- What was used elsewhere counts for caps as well: the next call that meets one finds it, by begin_cap().
create function quota.renew_caps(p_lines quota.events[])
returns void
language plpgsql volatile security invoker set search_path = pg_catalog, pg_temp
as $$
declare
  v_line record;
begin
  for v_line in
    select l.subject_id, l.feature_id, quota.account_of(l.actor) as member
    from unnest(p_lines) as l
    where l.actor is not null
    group by l.subject_id, l.feature_id, l.actor
    order by l.subject_id, l.feature_id, l.actor
  loop
    perform quota.clear_cap(v_line.subject_id, v_line.feature_id, v_line.member);
  end loop;
end
$$;

comment on function quota.renew_caps is
  'The caps of those who act in lines that are brought in are begun anew by their next call. Expects the meters to be locked.';

create function quota.end_cap(p_cap quota.caps)
returns void
language plpgsql volatile security invoker set search_path = pg_catalog, pg_temp
as $$
begin
  perform quota.clear_cap(p_cap.subject_id, p_cap.feature_id, p_cap.member);
  delete from quota.caps as c
    where c.subject_id = p_cap.subject_id
      and c.feature_id = p_cap.feature_id
      and c.member = p_cap.member;
  -- Nobody need look for it any more.
  perform quota.forget_limits(array[p_cap.subject_id], p_cap.feature_id);
end
$$;

comment on function quota.end_cap is 'Takes a cap away, holding its organisation''s meter.';

create function quota.clear_cap(
  p_subject_id text,
  p_feature_id text,
  p_member text
)
returns void
language plpgsql volatile security invoker set search_path = pg_catalog, pg_temp
as $$
declare
  v_cap_id text := quota.cap_id(p_subject_id, p_member);
begin
  delete from quota.shares as s
    where s.share_subject_id = v_cap_id and s.share_feature_id = p_feature_id;
  delete from quota.reservations as r where r.subject_id = v_cap_id and r.feature_id = p_feature_id;
  delete from quota.overages as o where o.subject_id = v_cap_id and o.feature_id = p_feature_id;
  delete from quota.events as e where e.subject_id = v_cap_id and e.feature_id = p_feature_id;
  delete from quota.counters as c where c.subject_id = v_cap_id and c.feature_id = p_feature_id;
  delete from quota.meters as m where m.subject_id = v_cap_id and m.feature_id = p_feature_id;
end
$$;

comment on function quota.clear_cap is
  'Takes away what one cap has counted, so that its next call begins it anew; holding its organisation''s meter.';

create function quota.caps_to_merge(
  p_from text,
  p_into text
)
returns text[]
language plpgsql volatile security invoker set search_path = pg_catalog, pg_temp
as $$
declare
  v_own text[] := quota.caps_below(p_from);
  v_holders text[] := quota.holders_of(p_from, p_into);
begin
  -- Also where the old name was counted by no cap: what it used is in that of the account from now on.
  perform quota.end_exceptions(h, p_from) from unnest(v_holders) as h;
  perform quota.end_exceptions(p_from, quota.cap_member(c)) from unnest(v_own) as c;
  return array(
    select c from unnest(v_own) as c
    union
    select quota.cap_id(p_into, quota.cap_member(c)) from unnest(v_own) as c
    union
    select quota.cap_id(h, n) from unnest(v_holders) as h cross join unnest(array[p_from, p_into]) as n
  );
end
$$;

comment on function quota.caps_to_merge is
  'The caps that a merge changes, of the members of both and of both as members; exceptions of the old name end. Expects lock_all_to_merge().';

create function quota.end_exceptions(
  p_subject_id text,
  p_member text
)
returns void
language plpgsql volatile security invoker set search_path = pg_catalog, pg_temp
as $$
declare
  v_cap_id text := quota.cap_id(p_subject_id, p_member);
begin
  delete from quota.exceptions as x where x.subject_id = v_cap_id;
  delete from quota.caps as c where c.subject_id = p_subject_id and c.member = p_member;
  delete from quota.alerts as a where a.subject_id = p_subject_id and a.member = p_member;
end
$$;

comment on function quota.end_exceptions is 'Takes the exceptions and alerts of a member, whose cap ends, away.';

-- What calls were told.
create function quota.without_member(
  p_answer quota.kept_answer,
  p_member text
)
returns quota.kept_answer
language plpgsql immutable security invoker set search_path = pg_catalog, pg_temp
as $$
declare
  v_answer quota.kept_answer := p_answer;
begin
  if v_answer.limiting_member = p_member then
    v_answer.limiting_member := null;
  end if;
  return v_answer;
end
$$;

comment on function quota.without_member is 'An answer without the name of a member.';

create function quota.without_member_each(
  p_answers quota.kept_answer[],
  p_member text
)
returns quota.kept_answer[]
language plpgsql immutable security invoker set search_path = pg_catalog, pg_temp
as $$
declare
  v_answers quota.kept_answer[] := p_answers;
begin
  for i in 1 .. cardinality(v_answers) loop
    v_answers[i] := quota.without_member(v_answers[i], p_member);
  end loop;
  return v_answers;
end
$$;

comment on function quota.without_member_each is 'Answers without the name of a member.';
