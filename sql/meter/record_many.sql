-- Lines of many subjects in one statement. Expects their meters to be locked.

-- Lines alone, of meters that the caller moves itself. No line lies before the instant it counts in (see
-- record()).
create function quota.write_lines(p_events quota.events[])
returns void
language plpgsql volatile security invoker set search_path = pg_catalog, pg_temp
as $$
begin
  insert into quota.events (
    subject_id, event_id, at, kind, feature_id, counts_at,
    used_change, reserved_change, drawn_change, about_id, grant_id, actor, idempotency_key, metadata
  )
    select e.subject_id, e.event_id, greatest(e.at, e.counts_at), e.kind, e.feature_id, e.counts_at,
      e.used_change, e.reserved_change, e.drawn_change, e.about_id, e.grant_id, e.actor,
      e.idempotency_key, e.metadata
    from unnest(p_events) as e;
end
$$;

comment on function quota.write_lines is
  'Writes lines, of many subjects in one statement, and moves no meter.';

-- As record(), of lines that rows of a table are. A gauge has one period, which never ends: so no counter changes.
create function quota.record_rows(p_events quota.events[])
returns void
language plpgsql volatile security invoker set search_path = pg_catalog, pg_temp
as $$
begin
  perform quota.write_lines(p_events);
  update quota.meters as m
    set used = m.used + e.used_change,
        rows_used = m.rows_used + e.used_change,
        counted_until = greatest(m.counted_until, e.counts_at)
    from unnest(p_events) as e
    where m.subject_id = e.subject_id
      and m.feature_id = e.feature_id;
end
$$;

comment on function quota.record_rows is
  'Writes lines of kind table, one per subject and gauge, and moves the meters by them.';

-- Of many rows that came just now Postgres knows nothing: it plans with what it saw last, in the worst
-- case an empty table, and then every statement walks over all of it for each row. (A recount's
-- verify_usage() took minutes, not 1 s; an import of 2,000 subjects 40 s.)
create function quota.note_sizes(p_rows bigint)
returns void
language plpgsql volatile strict security invoker set search_path = pg_catalog, pg_temp
as $$
begin
  if p_rows > 1000 then
    analyze quota.subjects, quota.meters, quota.counters, quota.events, quota.keys;
  end if;
end
$$;

comment on function quota.note_sizes is
  'Tells the planner that thousands of rows have come. For what DBAs do: until it commits, nobody else can analyze.';

-- No number that is shown passes it, also that of a counter that is no limit of the present plan.
create function quota.check_reading(
  p_event quota.events,
  p_reading bigint
)
returns void
language plpgsql stable security invoker set search_path = pg_catalog, pg_temp
as $$
begin
  perform from quota.counters as c
    where c.subject_id = p_event.subject_id
      and c.feature_id = p_event.feature_id
      and c.period_end > p_event.counts_at
      and c.period_start <= p_event.counts_at
      and coalesce(c.used + c.reserved, p_reading - c.used_before - c.reserved_before)
        > 9007199254740991;
  if found or p_reading > 4611686018427387904 then
    raise exception 'a counter would pass 9007199254740991 (2^53 - 1)'
      using errcode = 'QAMNT', hint = 'count in a larger unit';
  end if;
end
$$;

comment on function quota.check_reading is
  'Whether a line, after which the meter shows this reading, leaves every counter at 2^53 - 1 at most. Errors: QAMNT.';
