-- A line is summed up with its use: a refund has the instant, actor and metadata of what it gives back.
-- What a reset has forgiven is left out with what was refunded of it, so reset lines themselves are, too.
create function quota.sums_by_value(
  p_subject_id text,
  p_feature_id text,
  p_key text,
  p_from timestamptz,
  p_until timestamptz,
  p_forgiven_at timestamptz,
  p_at_once jsonb,
  p_by text,
  p_only text
)
returns setof public.usage_share
language plpgsql stable security invoker set search_path = pg_catalog, pg_temp
as $$
declare
  v_called jsonb;
begin
  if p_by = 'feature' then
    v_called := quota.called_features(p_subject_id, p_feature_id, p_from, p_until);
  end if;
  return query
    select v.value,
      greatest(least(sum(e.used_change), 9007199254740991), -9007199254740991)::bigint as used,
      count(*) filter (where e.kind in ('consume', 'commit', 'cost', 'level'))
        + coalesce(sum((e.metadata ->> 'calls')::bigint) filter (where e.kind = 'fold'), 0)::bigint as calls
    from quota.events as e
    left join lateral (
      select n.event_id, n.at, n.kind, n.about_id, n.metadata
      from quota.events as n
      where e.kind = 'refund'
        and n.subject_id = p_subject_id
        and n.event_id = e.about_id
    ) as r on true
    cross join lateral (
      select coalesce(r.event_id, e.event_id) as event_id, coalesce(r.at, e.at) as at,
        coalesce(r.kind, e.kind) as kind, coalesce(r.about_id, e.about_id) as about_id,
        coalesce(r.metadata, e.metadata) as metadata
    ) as u
    -- The hold of a commit, the batch of an item.
    left join lateral (
      select h.metadata
      from quota.events as h
      where u.kind in ('commit', 'cost', 'level')
        and not u.metadata ? p_key
        and h.subject_id = p_subject_id
        and h.about_id = u.about_id
        and h.kind = 'reserve'
      union all
      select b.metadata
      from quota.events as b
      where u.kind = 'consume'
        and not u.metadata ? p_key
        and b.subject_id = p_subject_id
        and b.event_id = u.about_id
    ) as o on true
    cross join lateral (
      select case when u.metadata ? p_key then u.metadata else o.metadata end -> p_key as value
    ) as m
    cross join lateral (
      select case
        when p_by = 'feature' and u.kind = 'cost' then
          coalesce(v_called ->> u.event_id::text, v_called ->> u.about_id::text, p_feature_id)
        when p_by = 'feature' then p_feature_id
        when p_key is null then e.actor
        when jsonb_typeof(m.value) in ('string', 'number', 'boolean') then left(m.value #>> '{}', 255)
      end as value
    ) as v
    where e.subject_id = p_subject_id
      and e.feature_id = p_feature_id
      and e.counts_at >= p_from
      and e.counts_at < p_until
      and e.kind not in ('reset', 'open', 'carry')
      and (e.used_change <> 0 or e.kind in ('consume', 'commit', 'cost', 'level', 'fold'))
      and u.at >= p_forgiven_at
      and not p_at_once ? u.event_id::text
      and (p_only is null or e.actor = p_only)
    group by v.value
    having sum(e.used_change) <> 0
      or count(*) filter (where e.kind in ('consume', 'commit', 'cost', 'level', 'fold')) > 0
    order by used desc, v.value collate "C"
    limit 1000;
end
$$;

comment on function quota.sums_by_value is
  'Sums of the lines of a feature that count in [p_from, p_until), by actor (no key), feature or metadata key, of one actor only or of all, without the uses that a reset at p_forgiven_at has forgiven.';

-- A statement of its own: what was called lies with who called, perhaps with another subject.
create function quota.called_features(
  p_subject_id text,
  p_feature_id text,
  p_from timestamptz,
  p_until timestamptz
)
returns jsonb
language plpgsql stable security invoker set search_path = pg_catalog, pg_temp
as $$
begin
  return (
    select jsonb_object_agg(s.share_id, s.feature_id)
    from quota.shares as s
    where s.share_subject_id = p_subject_id
      and s.share_id = any (array(
        select unnest(array[e.event_id, e.about_id])
        from quota.events as e
        where e.subject_id = p_subject_id
          and e.feature_id = p_feature_id
          and e.counts_at >= p_from
          and e.counts_at < p_until
          and e.kind in ('cost', 'refund')
      ))
  );
end
$$;

comment on function quota.called_features is
  'Of lines that count in [p_from, p_until) and are what a call cost: which feature was called, by the id of the line or of its hold.';
