-- Fresh starts by hand. A line counts in all periods that hold its instant, and a reset in one alone: so
-- it does not move the meter, whose reading all share, but the reading at that period's start; and its
-- line names the period (metadata), which whoever sums up the ledger looks at.
--
-- What was used before a reset is forgiven in that period. Given back later (a refund) it counts less
-- everywhere else, and there not a second time: the refund brings a reset line of the opposite sign.

-- Resets of a feature are found by this id, where a line says what it is about: without an index of their
-- own, which each insert of a plain call would have to look at.
create function quota.reset_id(p_feature_id text)
returns uuid
language plpgsql immutable strict security invoker set search_path = pg_catalog, pg_temp
as $$
begin
  return md5('reset_usage ' || p_feature_id)::uuid;
end
$$;

comment on function quota.reset_id is 'What the resets of a feature are about.';

-- The lines that bring a feature's running periods to 0: those of its limits, and those that a former
-- plan has left behind. The meter is locked, its counters are there.
create function quota.reset_lines(
  p_event quota.events,
  p_period text,
  p_limits quota.limit_state[]
)
returns setof quota.events
language plpgsql volatile security invoker set search_path = pg_catalog, pg_temp
as $$
declare
  v_limit quota.limit_state;
  v_held quota.balance;
  v_at_once jsonb := quota.used_at_once(p_event.subject_id, p_event.feature_id, p_event.at);
begin
  for v_limit.period, v_limit.period_start, v_limit.resets_at, v_limit.used, v_limit.drawn in
    select c.period, c.period_start, c.period_end, coalesce(c.used, m.used - c.used_before),
      coalesce(c.drawn, m.drawn - c.drawn_before)
    from quota.counters as c
    join quota.meters as m on m.subject_id = c.subject_id and m.feature_id = c.feature_id
    where c.subject_id = p_event.subject_id
      and c.feature_id = p_event.feature_id
      and c.period_end > p_event.at
      and c.period_start <= p_event.at
      and (p_period is null or c.period = p_period)
    union all
    select l.period, l.period_start, l.resets_at, l.used, 0
    from unnest(p_limits) as l
    where l.period in ('minute', 'hour')
      and (p_period is null or l.period = p_period)
    order by 3, 2 desc
  loop
    v_held.drawn := 0;
    if v_limit.drawn > 0 then
      -- What open holds have drawn comes back when they end, so it stays drawn.
      v_held := quota.expired_holds(
        p_event.subject_id, p_event.feature_id, 'infinity', v_limit.period_start, v_limit.resets_at, true
      );
    end if;
    return next row(
      p_event.subject_id, quota.new_id(p_event.at), p_event.at, 'reset', p_event.feature_id, p_event.at,
      -v_limit.used, 0, v_held.drawn - v_limit.drawn, quota.reset_id(p_event.feature_id), null, null,
      p_event.idempotency_key,
      p_event.metadata || v_at_once
        || jsonb_build_object('period', v_limit.period, 'period_start', v_limit.period_start)
    )::quota.events;
  end loop;
end
$$;

comment on function quota.reset_lines is
  'The lines of a reset (its instant, subject, feature, key and metadata are given) of one running period, or of all, the longest last.';

-- Told apart by name where time does not.
create function quota.used_at_once(
  p_subject_id text,
  p_feature_id text,
  p_at timestamptz
)
returns jsonb
language plpgsql stable strict security invoker set search_path = pg_catalog, pg_temp
as $$
begin
  return jsonb_strip_nulls(jsonb_build_object('at_once', (
    select jsonb_agg(e.event_id)
    from quota.events as e
    where e.subject_id = p_subject_id
      and e.at >= p_at
      and e.feature_id = p_feature_id
      and e.used_change > 0
  )));
end
$$;

comment on function quota.used_at_once is
  'What was used at the very instant of a reset, or later by a clock that was set back: part of its metadata.';

create function quota.record_reset(p_event quota.events)
returns void
language plpgsql volatile security invoker set search_path = pg_catalog, pg_temp
as $$
declare
  v_period text := p_event.metadata ->> 'period';
  v_next_minute timestamptz := p_event.counts_at + interval '1 minute';
  v_next_hour timestamptz := p_event.counts_at + interval '1 hour';
begin
  perform quota.write_lines(array[p_event]);
  update quota.counters as c
    set used = c.used + p_event.used_change,
        drawn = c.drawn + p_event.drawn_change,
        used_before = c.used_before - p_event.used_change,
        drawn_before = c.drawn_before - p_event.drawn_change
    where c.subject_id = p_event.subject_id
      and c.feature_id = p_event.feature_id
      and c.period = v_period
      and c.period_end > p_event.counts_at
      and c.period_start <= p_event.counts_at;
  -- The meter in any case: it remembers no limit that was reset, and a call whose snapshot lacks this
  -- line must fail with 40001.
  update quota.meters as m
    set fresh_from = 'infinity',
        counted_until = greatest(m.counted_until, p_event.counts_at),
        minute_used_before = m.minute_used_before - case
          when v_period = 'minute' and v_next_minute >= m.minute_until
            and p_event.counts_at < m.minute_until
          then p_event.used_change
          else 0
        end,
        hour_used_before = m.hour_used_before - case
          when v_period = 'hour' and v_next_hour >= m.hour_until
            and p_event.counts_at < m.hour_until
          then p_event.used_change
          else 0
        end
    where m.subject_id = p_event.subject_id
      and m.feature_id = p_event.feature_id;
end
$$;

comment on function quota.record_reset is
  'Writes a line of kind reset, and moves the start of the one period that it names (metadata) in which it counts. Expects the meter to be locked.';

-- Beside a refund, before its line: the periods in which the use was forgiven since get it back.
create function quota.keep_forgiven(
  p_refund quota.events,
  p_drawn bigint
)
returns void
language plpgsql volatile security invoker set search_path = pg_catalog, pg_temp
as $$
declare
  v_reset_id uuid := quota.reset_id(p_refund.feature_id);
  v_period text;
begin
  for v_period in
    select distinct r.metadata ->> 'period'
    from quota.events as r
    join quota.events as u
      on u.subject_id = r.subject_id
      and u.event_id = p_refund.about_id
    where r.subject_id = p_refund.subject_id
      and r.about_id = v_reset_id
      and r.kind = 'reset'
      and u.counts_at >= (r.metadata ->> 'period_start')::timestamptz
      and (u.at < r.at or r.metadata -> 'at_once' ? u.event_id::text)
  loop
    perform quota.record_reset(
      row(
        p_refund.subject_id, quota.new_id(p_refund.at), p_refund.at, 'reset', p_refund.feature_id,
        p_refund.counts_at, -p_refund.used_change, 0, p_drawn, p_refund.event_id, null, null, null,
        jsonb_build_object('period', v_period)
      )::quota.events
    );
  end loop;
end
$$;

comment on function quota.keep_forgiven is
  'What a refund gives back (and, to grants, p_drawn of it) it does not give back in periods that were reset since the use.';

-- A moved anchor or zone cuts a period in two where a new one starts. Its last reset may lie in the later
-- part: what that has forgiven of the earlier part counts there. A pair of lines says so, which together
-- change no sum.
create function quota.earlier_part(
  p_subject_id text,
  p_feature_id text,
  p_at timestamptz,
  p_limit quota.limit_state,
  p_from timestamptz,
  p_until timestamptz
)
returns quota.balance
language plpgsql volatile security invoker set search_path = pg_catalog, pg_temp
as $$
declare
  v_reset_id uuid := quota.reset_id(p_feature_id);
  v_reset quota.events;
  v_forgiven quota.balance;
  v_earlier_id uuid := quota.new_id(p_at);
  v_later_id uuid := quota.new_id(p_at);
begin
  select r.at, r.counts_at
    into v_reset.at, v_reset.counts_at
    from quota.events as r
    where r.subject_id = p_subject_id
      and r.about_id = v_reset_id
      and r.kind = 'reset'
      and r.metadata ->> 'period' = p_limit.period
      and r.counts_at >= p_limit.period_start
      and r.counts_at < p_until
    order by r.at desc
    limit 1;
  select coalesce(sum(e.used_change), 0), coalesce(sum(e.drawn_change), 0)
    into v_forgiven.used, v_forgiven.drawn
    from quota.events as e
    where e.subject_id = p_subject_id
      and e.feature_id = p_feature_id
      and e.counts_at >= p_from
      and e.counts_at < p_limit.period_start
      and e.at <= v_reset.at
      and (e.kind <> 'reset' or e.metadata ->> 'period' = p_limit.period);
  if v_forgiven.used = 0 and v_forgiven.drawn = 0 then
    return quota.ledger_balance(
      p_subject_id, p_feature_id, p_limit.period, p_from, p_limit.period_start
    );
  end if;
  perform quota.record_reset(
    row(
      p_subject_id, v_earlier_id, p_at, 'reset', p_feature_id,
      p_limit.period_start - interval '1 microsecond',
      -v_forgiven.used, 0, -v_forgiven.drawn, v_later_id, null, null, null,
      jsonb_build_object('period', p_limit.period)
    )::quota.events
  );
  perform quota.record_reset(
    row(
      p_subject_id, v_later_id, p_at, 'reset', p_feature_id, v_reset.counts_at,
      v_forgiven.used, 0, v_forgiven.drawn, v_earlier_id, null, null, null,
      jsonb_build_object('period', p_limit.period)
    )::quota.events
  );
  return quota.ledger_balance(
    p_subject_id, p_feature_id, p_limit.period, p_from, p_limit.period_start
  );
end
$$;

comment on function quota.earlier_part is
  'What counts from p_from to the start of a limit, in a period that went on to p_until and whose counter is gone.';
