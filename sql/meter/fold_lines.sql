-- Which lines tidy() folds, and into what.

-- Nothing that may be needed yet, see fold.sql.
create function quota.lines_to_fold(
  p_subject_id text,
  p_feature_id text,
  p_before timestamptz,
  p_until timestamptz,
  p_now timestamptz,
  p_most bigint
)
returns uuid[]
language plpgsql stable security invoker set search_path = pg_catalog, pg_temp
as $$
declare
  v_open uuid[] := array(
    select g.grant_id
    from quota.grants as g
    where g.subject_id = p_subject_id
      and g.feature_id = p_feature_id
      and g.voided_at is null
      and g.expires_at > p_now
      and not g.is_spent
  );
begin
  return array(
    select e.event_id
    from quota.events as e
    where e.subject_id = p_subject_id
      and e.feature_id = p_feature_id
      and e.counts_at < p_until
      and e.at < p_before
      and e.kind = any (quota.kinds_to_fold())
      and not exists (
        select from quota.reservations as r
        where r.subject_id = p_subject_id
          and r.reservation_id = e.about_id
      )
      and not exists (
        select from quota.keys as k
        where k.subject_id = p_subject_id
          and k.idempotency_key = coalesce(
            e.idempotency_key,
            (
              select b.idempotency_key
              from quota.events as b
              where b.subject_id = p_subject_id
                and b.event_id = e.about_id
                and b.kind = 'batch'
            )
          )
          and k.arguments ->> 'call' <> 'import_usage'
      )
      and not exists (
        select from quota.shares as s
        where s.share_subject_id = p_subject_id
          and s.share_id in (e.event_id, e.about_id)
      )
      -- What is about it, or about the same hold: refunds, draws, the end of the hold.
      and not exists (
        select from quota.events as n
        where n.subject_id = p_subject_id
          and n.about_id in (e.event_id, e.about_id)
          and (n.at >= p_before or n.grant_id = any (v_open))
          and n.kind in ('refund', 'commit', 'release', 'expire', 'draw')
      )
      -- A draw goes after what it was for, a refund with its use, or after it: it may have been on its way
      -- when the use was folded.
      and (e.kind not in ('draw', 'refund') or not exists (
        select from quota.events as n
        where n.subject_id = p_subject_id
          and (n.event_id = e.about_id or e.kind = 'draw' and n.about_id = e.about_id)
          and n.kind <> 'draw'
      ))
    order by e.counts_at, e.at
    limit p_most
  );
end
$$;

comment on function quota.lines_to_fold is
  'The oldest lines of a subject and feature that nothing needs one by one.';

create function quota.fold_lines(
  p_subject_id text,
  p_feature_id text,
  p_ids uuid[],
  p_edges timestamptz[],
  p_now timestamptz,
  p_are_all boolean
)
returns bigint
language plpgsql volatile security invoker set search_path = pg_catalog, pg_temp
as $$
declare
  v_from timestamptz;
  v_until timestamptz;
  v_stretches integer[];
  v_calls uuid[];
  v_has_windows boolean := exists (
    select from quota.counters as c
    where c.subject_id = p_subject_id
      and c.feature_id = p_feature_id
      and c.period like '% %'
  );
  v_sum record;
  v_event_id uuid;
  v_folded bigint := 0;
begin
  -- Of a stretch that this is the last of, what was folded may lie after all of these.
  select p_edges[width_bucket(min(e.counts_at), p_edges)],
      case when p_are_all then coalesce(p_edges[width_bucket(max(e.counts_at), p_edges) + 1], 'infinity')
        else max(e.counts_at) end,
      array_agg(distinct width_bucket(e.counts_at, p_edges)),
      array_agg(distinct e.event_id) || array_agg(distinct e.about_id)
    into v_from, v_until, v_stretches, v_calls
    from quota.events as e
    where e.subject_id = p_subject_id
      and e.event_id = any (p_ids);
  for v_sum in
    with gone as (
      delete from quota.events as e
        where e.subject_id = p_subject_id
          and e.feature_id = p_feature_id
          and e.counts_at between v_from and v_until
          and (
            e.event_id = any (p_ids)
            or e.kind = 'refund' and e.about_id = any (p_ids)
            or e.kind = 'fold' and width_bucket(e.counts_at, p_edges) = any (v_stretches)
          )
        returning e.kind, e.at, e.counts_at, e.used_change, e.reserved_change, e.drawn_change, e.grant_id,
          e.metadata
    )
    select g.grant_id, max(g.at) as at,
      -- A window begins with the use that opened it; else as late as it was: never a free unit.
      case when v_has_windows then min(g.counts_at) else max(g.counts_at) end as counts_at,
      sum(g.used_change) as used, sum(g.reserved_change) as reserved, sum(g.drawn_change) as drawn,
      count(*) filter (where g.kind <> 'fold') as lines,
      coalesce(sum((g.metadata ->> 'lines')::bigint) filter (where g.kind = 'fold'), 0) as earlier,
      sum(case g.kind when 'fold' then (g.metadata ->> 'calls')::bigint else 1 end)
        filter (where g.kind in ('fold', 'consume', 'commit', 'cost', 'level')) as calls
    from gone as g
    group by width_bucket(g.counts_at, p_edges), g.grant_id
  loop
    v_event_id := quota.new_id(p_now);
    insert into quota.events (
      subject_id, event_id, at, kind, feature_id, counts_at, used_change, reserved_change, drawn_change,
      grant_id, metadata
    )
    values (
      p_subject_id, v_event_id, v_sum.at, 'fold', p_feature_id, v_sum.counts_at, v_sum.used,
      v_sum.reserved, v_sum.drawn, v_sum.grant_id,
      jsonb_build_object('lines', v_sum.lines + v_sum.earlier, 'calls', coalesce(v_sum.calls, 0))
    );
    v_folded := v_folded + v_sum.lines;
  end loop;
  perform quota.untie(p_subject_id, v_calls);
  return v_folded;
end
$$;

comment on function quota.fold_lines is
  'Puts lines, and those of their refunds, into the one line of each stretch between edges, and returns how many.';

create function quota.untie(
  p_subject_id text,
  p_call_ids uuid[]
)
returns void
language plpgsql volatile security invoker set search_path = pg_catalog, pg_temp
as $$
begin
  delete from quota.shares as s
    where s.subject_id = p_subject_id
      and s.call_id = any (p_call_ids);
  -- The line of a batch goes with the last of its items.
  delete from quota.events as b
    where b.subject_id = p_subject_id
      and b.event_id = any (p_call_ids)
      and b.kind = 'batch'
      and not exists (
        select from quota.events as n
        where n.subject_id = p_subject_id
          and n.about_id = b.event_id
      );
end
$$;

comment on function quota.untie is
  'Takes away what tied calls that were folded to their lines in other meters, and to one another.';
