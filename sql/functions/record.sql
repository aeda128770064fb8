-- Why this exists: the only writers of ledger and counters. Every verb goes through them, so how a
-- counter is stored is decided here. All of them expect the meter to be locked.

create function quota.new_id(p_at timestamptz)
returns uuid
language plpgsql
volatile
strict
security invoker
set search_path = pg_catalog, pg_temp
as $$
begin
  -- A version 7 uuid (RFC 9562): milliseconds, then randomness, so that index inserts stay together.
  return lpad(to_hex((date_part('epoch', p_at) * 1000)::bigint), 12, '0')
    || '7' || right(gen_random_uuid()::text, 21);
end
$$;

comment on function quota.new_id(timestamptz) is 'A fresh uuid that sorts by time (version 7).';

revoke all on function quota.new_id(timestamptz) from public, anon, authenticated, service_role;

-- The counters of the periods that begin now: a row each, with what the ledger already has for it.
-- Those that exist learn the limit that holds now, when it has changed.
create function quota.open_counters(
  p_subject_id text,
  p_feature_id text,
  p_at timestamptz,
  p_limits quota.limit_state[]
)
returns void
language plpgsql
volatile
security invoker
set search_path = pg_catalog, pg_temp
as $$
declare
  v_limit quota.limit_state;
  v_balance quota.balance;
  v_former quota.counters;
  v_moved bigint;
begin
  foreach v_limit in array coalesce(p_limits, '{}') loop
    if v_limit.is_counted then
      if v_limit.last_limit is distinct from v_limit.amount + v_limit.drawn + v_limit.granted then
        update quota.counters as c
          set last_limit = v_limit.amount + v_limit.drawn + v_limit.granted,
              passed = quota.mark_of(
                c.used, c.reserved, v_limit.amount + v_limit.drawn + v_limit.granted
              )
          where c.subject_id = p_subject_id
            and c.feature_id = p_feature_id
            and c.period = v_limit.period
            and c.period_end = v_limit.resets_at;
      end if;
      continue;
    end if;

    -- A counter is about to be summed up from the ledger, of which the snapshot of a whole transaction
    -- may lack lines. Each of them changed a counter that overlaps the period, or made one and with it
    -- changed the meter (below): so touching those fails with 40001, which Postgres raises, not we.
    if current_setting('transaction_isolation') <> 'read committed' then
      update quota.counters as c
        set used = c.used
        where c.subject_id = p_subject_id
          and c.feature_id = p_feature_id
          and c.period_end > v_limit.period_start
          and c.period_start < v_limit.resets_at;
    end if;
    update quota.meters as m
      set holds_expire_at = m.holds_expire_at
      where m.subject_id = p_subject_id
        and m.feature_id = p_feature_id;

    -- Only a moved anchor or zone leaves a counter that overlaps the new period. It ends where the
    -- new one starts, so that no use shows twice; the lines from there on count in the new one.
    for v_former in
      select c.subject_id, c.feature_id, c.period, c.period_start, c.period_end,
        c.used, c.reserved, c.drawn, c.last_limit
      from quota.counters as c
      where c.subject_id = p_subject_id
        and c.feature_id = p_feature_id
        and c.period = v_limit.period
        and c.period_end > v_limit.period_start
        and c.period_start < v_limit.resets_at
    loop
      delete from quota.counters as c
        where c.subject_id = p_subject_id
          and c.feature_id = p_feature_id
          and c.period = v_limit.period
          and c.period_end = v_former.period_end;
      v_moved := v_former.used;
      if v_former.period_start < v_limit.period_start then
        v_balance := quota.ledger_balance(
          p_subject_id, p_feature_id, v_former.period_start, v_limit.period_start
        );
        v_moved := v_moved - v_balance.used;
        insert into quota.counters (
          subject_id, feature_id, period, period_start, period_end,
          used, reserved, drawn, last_limit
        )
        values (
          p_subject_id, p_feature_id, v_limit.period, v_former.period_start, v_limit.period_start,
          v_balance.used, v_balance.reserved, v_balance.drawn, v_former.last_limit
        );
      end if;
      if v_moved <> 0 then
        perform quota.write_carry(p_subject_id, p_feature_id, p_at, v_former, v_limit, v_moved);
      end if;
    end loop;

    v_balance := quota.ledger_balance(
      p_subject_id, p_feature_id, v_limit.period_start, v_limit.resets_at
    );
    -- on conflict: at repeatable read a counter that this snapshot cannot see raises 40001 here,
    -- where a plain insert would say unique_violation, which no client retries.
    insert into quota.counters (
      subject_id, feature_id, period, period_start, period_end, used, reserved, drawn, last_limit,
      passed
    )
    values (
      p_subject_id, p_feature_id, v_limit.period, v_limit.period_start, v_limit.resets_at,
      v_balance.used, v_balance.reserved, v_balance.drawn,
      v_limit.amount + v_limit.drawn + v_limit.granted,
      -- Most periods begin with nothing used, below any mark of a limit above 0.
      case
        when v_balance.used = 0
          and v_balance.reserved = 0
          and v_limit.amount + v_limit.drawn + v_limit.granted > 0
        then 0
        else quota.mark_of(
          v_balance.used, v_balance.reserved, v_limit.amount + v_limit.drawn + v_limit.granted
        )
      end
    )
    on conflict do nothing;
  end loop;
end
$$;

comment on function quota.open_counters(text, text, timestamptz, quota.limit_state[]) is
  'Makes the counters that limits_of() found missing, from the ledger, and notes the limit in the others.';

revoke all on function quota.open_counters(text, text, timestamptz, quota.limit_state[])
  from public, anon, authenticated, service_role;

-- The pair of lines that says use moved from one counter to another. Both count in the same instant,
-- so together they change no sum: the lines of the use itself fall into the new period.
create function quota.write_carry(
  p_subject_id text,
  p_feature_id text,
  p_at timestamptz,
  p_former quota.counters,
  p_limit quota.limit_state,
  p_moved bigint
)
returns void
language plpgsql
volatile
security invoker
set search_path = pg_catalog, pg_temp
as $$
declare
  v_from_id uuid := quota.new_id(p_at);
  v_to_id uuid := quota.new_id(p_at);
begin
  insert into quota.events (
    subject_id, event_id, at, kind, feature_id, counts_at, used_change, about_id, metadata
  )
  values
    (
      p_subject_id, v_from_id, p_at, 'carry', p_feature_id, p_at, -p_moved, v_to_id,
      jsonb_build_object('period', p_former.period, 'period_start', p_former.period_start)
    ),
    (
      p_subject_id, v_to_id, p_at, 'carry', p_feature_id, p_at, p_moved, v_from_id,
      jsonb_build_object('period', p_limit.period, 'period_start', p_limit.period_start)
    );
end
$$;

comment on function quota.write_carry(
  text, text, timestamptz, quota.counters, quota.limit_state, bigint
) is 'Notes in the ledger that use moved from the former counter to the period of the limit.';

revoke all on function quota.write_carry(
  text, text, timestamptz, quota.counters, quota.limit_state, bigint
) from public, anon, authenticated, service_role;

-- The writer of ledger lines and counters. It adds to every counter whose period holds the instant:
-- those of the plan, and those that a former plan left open, so that every counter equals its ledger
-- at any time.
create function quota.record(p_event quota.events)
returns void
language plpgsql
volatile
security invoker
set search_path = pg_catalog, pg_temp
as $$
declare
  v_counters integer;
  v_sum bigint;
begin
  insert into quota.events (
    subject_id, event_id, at, kind, feature_id, counts_at,
    used_change, reserved_change, drawn_change, about_id, grant_id, actor, idempotency_key, metadata
  )
  values (
    p_event.subject_id, p_event.event_id,
    -- No line lies before the instant it counts in, also when the clock was set back since: what sums
    -- up a period begins to read at its start.
    greatest(p_event.at, p_event.counts_at),
    p_event.kind, p_event.feature_id, p_event.counts_at,
    p_event.used_change, p_event.reserved_change, p_event.drawn_change,
    p_event.about_id, p_event.grant_id, p_event.actor, p_event.idempotency_key, p_event.metadata
  );
  if p_event.feature_id is null then
    return;
  end if;
  -- Also by nothing: the answer to an ending that changes no number shows the counters, and a snapshot
  -- that lacks their last change must fail with 40001.
  with counted as (
    update quota.counters as c
      set used = c.used + p_event.used_change,
          reserved = c.reserved + p_event.reserved_change,
          drawn = c.drawn + p_event.drawn_change
      where c.subject_id = p_event.subject_id
        and c.feature_id = p_event.feature_id
        and c.period_end > p_event.counts_at
        and c.period_start <= p_event.counts_at
      returning c.used + c.reserved as sum
  )
  select count(*), max(c.sum) into v_counters, v_sum from counted as c;
  -- Also of a counter that is no limit of the present plan: no number that is shown passes it.
  if v_sum > 9007199254740991 and p_event.used_change + p_event.reserved_change > 0 then
    raise exception 'a counter would pass 9007199254740991 (2^53 - 1)'
      using errcode = 'QAMNT', hint = 'count in a larger unit';
  end if;
  -- A line that meets no counter changes the meter: a call whose snapshot lacks the line, and which
  -- would sum up the ledger without it, must fail with 40001. So do rows of a limited table.
  if v_counters = 0 or p_event.kind = 'table' then
    update quota.meters as m
      set rows_used = m.rows_used
            + case when p_event.kind = 'table' then p_event.used_change else 0 end
      where m.subject_id = p_event.subject_id
        and m.feature_id = p_event.feature_id;
  end if;
end
$$;

comment on function quota.record(quota.events) is
  'Writes a line and adds it to the counters it counts in.';

revoke all on function quota.record(quota.events) from public, anon, authenticated, service_role;

-- What a line will do to limits, so that an answer can be written together with its line.
create function quota.after_event(
  p_limits quota.limit_state[],
  p_event quota.events,
  p_drawn bigint default 0
)
returns quota.limit_state[]
language plpgsql
immutable
security invoker
set search_path = pg_catalog, pg_temp
as $$
declare
  v_limits quota.limit_state[] := '{}';
  v_limit quota.limit_state;
begin
  foreach v_limit in array coalesce(p_limits, '{}') loop
    if p_event.counts_at >= v_limit.period_start and p_event.counts_at < v_limit.resets_at then
      v_limit.used := v_limit.used + p_event.used_change;
      v_limit.reserved := v_limit.reserved + p_event.reserved_change;
      if v_limit.period not in ('minute', 'hour') then
        v_limit.drawn := v_limit.drawn + p_drawn;
      end if;
    end if;
    if v_limit.period not in ('minute', 'hour') then
      v_limit.granted := v_limit.granted - p_drawn;
    end if;
    v_limits := v_limits || v_limit;
  end loop;
  return v_limits;
end
$$;

comment on function quota.after_event(quota.limit_state[], quota.events, bigint) is
  'The limits as they stand after the line is recorded and an amount drawn from grants.';

revoke all on function quota.after_event(quota.limit_state[], quota.events, bigint)
  from public, anon, authenticated, service_role;
