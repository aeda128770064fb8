-- Rows that are brought in become lines of the ledger, for all subjects in a few statements, holding
-- their meters. What record() and open_counters() do for one line, this does for a set of them that
-- count in the past: the periods of the history get their counters, readings move, closed counters that
-- hold an instant grow, and the starts of open ones that begin later move along.

create function quota.write_imports(
  p_rows quota.import_row[],
  p_at timestamptz
)
returns void
language plpgsql volatile security invoker set search_path = pg_catalog, pg_temp
as $$
declare
  v_lines quota.events[];
begin
  v_lines := array(
    select row(
      r.subject_id, quota.new_id(p_at), greatest(p_at, r.counts_at), 'import', r.feature_id, r.counts_at,
      r.amount, 0, 0, null, null, r.actor, r.idempotency_key, r.metadata
    )::quota.events
    from unnest(p_rows) as r
  );
  perform quota.open_many(v_lines, p_at);
  insert into quota.keys (subject_id, owner_id, idempotency_key, bound_at, arguments, answers)
    select r.subject_id, '', r.idempotency_key, p_at,
      jsonb_build_object('call', 'import_usage', 'amount', r.amount),
      '{}'
    from unnest(p_rows) as r;
  perform quota.write_lines(v_lines);
  perform quota.note_sizes(cardinality(v_lines));
  perform quota.move_counters(v_lines);
  perform quota.move_meters(v_lines);
  perform quota.check_sums(v_lines);
  perform quota.alert_imports(v_lines, p_at);
  perform quota.renew_caps(v_lines);
end
$$;

comment on function quota.write_imports is
  'Writes the lines of rows that are brought in, and what follows from them. Errors: QAMNT.';

-- As rewrite_counters() does it for one line. Lines are in order of time: an open counter that ends
-- before one of them is closed by it.
create function quota.move_counters(p_lines quota.events[])
returns void
language plpgsql volatile security invoker set search_path = pg_catalog, pg_temp
as $$
begin
  update quota.counters as c
    set used_before = c.used_before + case when c.used is null then n.earlier else 0 end,
        used = case
          when n.is_over and c.used is null then n.used - c.used_before + n.within
          else c.used + n.within
        end,
        reserved = case
          when n.is_over and c.used is null then n.reserved - c.reserved_before else c.reserved
        end,
        drawn = case when n.is_over and c.used is null then n.drawn - c.drawn_before else c.drawn end
    from (
      select k.subject_id, k.feature_id, k.period, k.period_end, m.used, m.reserved, m.drawn,
        sum(case when l.counts_at < k.period_start then l.used_change else 0 end) as earlier,
        sum(
          case
            when l.counts_at >= k.period_start and l.counts_at < k.period_end then l.used_change
            else 0
          end
        ) as within,
        bool_or(l.counts_at >= k.period_end) as is_over
      from unnest(p_lines) as l
      join quota.meters as m on m.subject_id = l.subject_id and m.feature_id = l.feature_id
      join quota.counters as k
        on k.subject_id = l.subject_id
        and k.feature_id = l.feature_id
        and k.period_end >= least(m.open_until, l.counts_at)
        and (k.used is null or k.period_start <= l.counts_at)
      group by k.subject_id, k.feature_id, k.period, k.period_end, m.used, m.reserved, m.drawn
    ) as n
    where c.subject_id = n.subject_id
      and c.feature_id = n.feature_id
      and c.period_end = n.period_end
      and c.period = n.period;
end
$$;

comment on function quota.move_counters is
  'What the counters have written down, after lines that count in the past.';

create function quota.move_meters(p_lines quota.events[])
returns void
language plpgsql volatile security invoker set search_path = pg_catalog, pg_temp
as $$
begin
  update quota.meters as m
    set used = m.used + n.used,
        counted_until = greatest(m.counted_until, n.last_at),
        -- A counter that a former plan would count in is no limit of the present one.
        fresh_from = 'infinity',
        -- A line after the minute: that one is over.
        minute_until = case when n.last_at >= m.minute_until then '-infinity' else m.minute_until end,
        minute_used_before = m.minute_used_before + n.before_minute,
        hour_until = case when n.last_at >= m.hour_until then '-infinity' else m.hour_until end,
        hour_used_before = m.hour_used_before + n.before_hour,
        open_from = greatest(m.open_from, o.open_from),
        open_until = o.open_until
    from (
      select l.subject_id, l.feature_id, max(l.counts_at) as last_at, sum(l.used_change) as used,
        sum(case when l.counts_at < k.minute_until - interval '1 minute' then l.used_change else 0 end)
          as before_minute,
        sum(case when l.counts_at < k.hour_until - interval '1 hour' then l.used_change else 0 end)
          as before_hour
      from unnest(p_lines) as l
      join quota.meters as k on k.subject_id = l.subject_id and k.feature_id = l.feature_id
      group by l.subject_id, l.feature_id
    ) as n
    join quota.open_spans(p_lines) as o on o.subject_id = n.subject_id and o.feature_id = n.feature_id
    where m.subject_id = n.subject_id
      and m.feature_id = n.feature_id;
end
$$;

comment on function quota.move_meters is 'The readings, after lines that count in the past.';

-- Also of counters that are no limit of the present plan.
create function quota.check_sums(p_lines quota.events[])
returns void
language plpgsql stable security invoker set search_path = pg_catalog, pg_temp
as $$
begin
  if exists (
    select from quota.meters as m
    where (m.subject_id, m.feature_id) in (
        select l.subject_id, l.feature_id from unnest(p_lines) as l
      )
      and m.used + m.reserved > 9007199254740991
      and (
        m.used + m.reserved > 4611686018427387904
        or exists (
          select from quota.counters as c
          where c.subject_id = m.subject_id
            and c.feature_id = m.feature_id
            and coalesce(c.used + c.reserved, m.used + m.reserved - c.used_before - c.reserved_before)
              > 9007199254740991
        )
      )
  ) then
    raise exception 'import_usage: a counter would pass 9007199254740991 (2^53 - 1)'
      using errcode = 'QAMNT', hint = 'count in a larger unit';
  end if;
end
$$;

comment on function quota.check_sums is
  'No number that is shown passes 2^53 - 1. Errors: QAMNT.';

-- Where use of a running period has come to a mark. What was used before is what is used now without
-- the lines.
create function quota.alert_imports(
  p_lines quota.events[],
  p_at timestamptz
)
returns void
language plpgsql volatile security invoker set search_path = pg_catalog, pg_temp
as $$
declare
  v_subject_id text;
  v_feature_id text;
  v_lines quota.events[];
  v_line quota.events;
  v_before quota.limit_state[];
  v_after quota.limit_state[];
begin
  for v_subject_id, v_feature_id, v_lines in
    select g.subject_id, g.feature_id, g.lines
    from (
      select l.subject_id, l.feature_id, max(l.counts_at) as last_at, array_agg(l) as lines
      from unnest(p_lines) as l
      group by l.subject_id, l.feature_id
    ) as g
    join quota.meters as m on m.subject_id = g.subject_id and m.feature_id = g.feature_id
    where exists (
        select from quota.counters as c
        where c.subject_id = g.subject_id
          and c.feature_id = g.feature_id
          and c.period_end > p_at
          and c.period_start <= g.last_at
          and (
            c.alerted > 0
            or c.passed > 0
            or quota.mark_of(
              coalesce(c.used, m.used - c.used_before),
              coalesce(c.reserved, m.reserved - c.reserved_before), c.last_limit,
              (select f.marks from quota.features as f where f.feature_id = c.feature_id)
            ) > 0
          )
      )
      -- Of a minute or an hour the meter knows no limit.
      or g.last_at > p_at - interval '1 hour'
    order by g.subject_id, g.feature_id
  loop
    v_after := (quota.limits_of(v_subject_id, v_feature_id, p_at)).limits;
    v_before := v_after;
    foreach v_line in array v_lines loop
      v_line.used_change := -v_line.used_change;
      v_before := quota.after_event(v_before, v_line);
    end loop;
    perform quota.write_alerts(v_subject_id, v_feature_id, p_at, v_before, v_after);
  end loop;
end
$$;

comment on function quota.alert_imports is
  'Tells of the marks that imports have crossed in periods that run.';
