-- Why this exists: proves every number. One statement, so one snapshot: it never cries wolf while
-- others work.

create function quota.verify_usage(p_subject text)
returns setof public.usage_mismatch
language plpgsql
stable
security definer
set search_path = pg_catalog, pg_temp
set jit = off
as $$
begin
  perform quota.require_trusted();
  return query
    with counters as (
      select c.subject_id, c.feature_id, c.period, c.period_start, c.period_end,
        c.used, c.reserved, c.drawn, l.used as ledger_used, l.reserved as ledger_reserved,
        l.drawn as ledger_drawn
      from quota.counters as c
      cross join lateral (
        select
          least(coalesce(sum(e.used_change), 0), 4611686018427387904)::bigint as used,
          least(coalesce(sum(e.reserved_change), 0), 4611686018427387904)::bigint as reserved,
          least(coalesce(sum(e.drawn_change), 0), 4611686018427387904)::bigint as drawn
        from quota.events as e
        where e.subject_id = c.subject_id
          and e.feature_id = c.feature_id
          and e.at >= c.period_start
          and e.counts_at >= c.period_start
          and e.counts_at < c.period_end
      ) as l
      where p_subject is null or c.subject_id = p_subject
    ),
    holds as (
      select c.subject_id, c.feature_id, c.period_start, c.reserved,
        (
          select coalesce(sum(r.amount), 0)::bigint
          from quota.reservations as r
          where r.subject_id = c.subject_id
            and r.feature_id = c.feature_id
            and r.state = 'open'
            and r.reserved_at >= c.period_start
            and r.reserved_at < c.period_end
        ) as open_holds
      from counters as c
    ),
    draws as (
      select g.subject_id, g.feature_id, g.granted_at, g.drawn,
        (
          select coalesce(sum(e.drawn_change), 0)::bigint
          from quota.events as e
          where e.subject_id = g.subject_id
            and e.grant_id = g.grant_id
        ) as ledger
      from quota.grants as g
      where p_subject is null or g.subject_id = p_subject
    )
    select c.subject_id, c.feature_id, c.period, nullif(c.period_start, '-infinity'),
      c.used, c.ledger_used
    from counters as c
    where c.used <> c.ledger_used
    union all
    select c.subject_id, c.feature_id, 'reserved', nullif(c.period_start, '-infinity'),
      c.reserved, c.ledger_reserved
    from counters as c
    where c.reserved <> c.ledger_reserved
    union all
    select h.subject_id, h.feature_id, 'reserved', nullif(h.period_start, '-infinity'),
      h.reserved, h.open_holds
    from holds as h
    where h.reserved <> h.open_holds
    union all
    select c.subject_id, c.feature_id, 'granted', nullif(c.period_start, '-infinity'),
      c.drawn, c.ledger_drawn
    from counters as c
    where c.drawn <> c.ledger_drawn
    union all
    select d.subject_id, d.feature_id, 'granted', d.granted_at, d.drawn, d.ledger
    from draws as d
    where d.drawn <> d.ledger
    union all
    select t.subject_id, t.feature_id, 'lifetime', null, sum(t.counted)::bigint, sum(t.rows)::bigint
    from (
      select e.subject_id, e.feature_id, e.used_change as counted, 0 as rows
      from quota.events as e
      where e.kind = 'table'
        and (p_subject is null or e.subject_id = p_subject)
      union all
      select r.subject_id, f.feature_id, 0, r.amount
      from (select distinct l.feature_id from quota.limited_tables as l) as f
      cross join lateral quota.rows_in_tables(f.feature_id, p_subject) as r
    ) as t
    group by t.subject_id, t.feature_id
    having sum(t.counted) <> sum(t.rows);
end
$$;

comment on function quota.verify_usage(text) is 'See public.verify_usage.';

revoke all on function quota.verify_usage(text) from public, anon, authenticated, service_role;
grant execute on function quota.verify_usage(text) to service_role;
