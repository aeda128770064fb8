-- What is moved when a subject becomes an account. Expects both, and all their meters, to be locked.

-- Everything that is no sum. What both have stays the account's: a key that both bound, a member of both.
create function quota.move_belongings(
  p_from text,
  p_into text
)
returns void
language plpgsql volatile security invoker set search_path = pg_catalog, pg_temp
as $$
begin
  update quota.subjects as s
    set has_extras = s.has_extras
          or exists (select from quota.grants as g where g.subject_id = p_from),
        fold_from = '-infinity'
    where s.subject_id = p_into;
  update quota.grants as g set subject_id = p_into where g.subject_id = p_from;
  update quota.reservations as r set subject_id = p_into where r.subject_id = p_from;
  update quota.shares as s set subject_id = p_into where s.subject_id = p_from;
  update quota.shares as s set share_subject_id = p_into where s.share_subject_id = p_from;
  update quota.overages as o set subject_id = p_into where o.subject_id = p_from;
  -- Its own keys are the account's own.
  insert into quota.keys (subject_id, owner_id, idempotency_key, bound_at, arguments, answers)
    select p_into, case k.owner_id when p_from then p_into else k.owner_id end, k.idempotency_key,
      k.bound_at, k.arguments, k.answers
    from quota.keys as k
    where k.subject_id = p_from
    on conflict do nothing;
  insert into quota.members (subject_id, user_id)
    select p_into, m.user_id
    from quota.members as m
    where m.subject_id = p_from
      and m.user_id <> p_into
    on conflict do nothing;
  insert into quota.members (subject_id, user_id)
    select m.subject_id, p_into
    from quota.members as m
    where m.user_id = p_from
      and m.subject_id <> p_into
    on conflict do nothing;
  delete from quota.keys as k where k.subject_id = p_from;
  delete from quota.members as m where m.subject_id = p_from or m.user_id = p_from;
  -- Its own terms end, and what was told of its periods.
  delete from quota.exceptions as x where x.subject_id = p_from;
  delete from quota.overrides as o where o.subject_id = p_from;
  delete from quota.alerts as a where a.subject_id = p_from;
  update quota.meters as m set fresh_from = 'infinity' where m.subject_id = p_into;
  -- The lines of rows of limited tables stay: only the rows give back what they are. A reset was of a period
  -- of its own: its line stays to be read, and counts in no period.
  update quota.events as e
    set about_id = null,
        metadata = e.metadata - 'period'
          || jsonb_build_object('former_period', e.metadata -> 'period')
    where e.subject_id = p_from
      and e.kind = 'reset'
      and e.metadata ? 'period';
  update quota.events as e
    set subject_id = p_into
    where e.subject_id = p_from
      and e.kind <> 'table';
end
$$;

comment on function quota.move_belongings is
  'Grants, holds, keys, members and ledger lines of a subject become another''s; exceptions, overrides and alerts end.';

-- The readings: what moved is all but what rows of limited tables are. What the account''s counters say
-- is summed up again from its ledger, closed ones too: each line counts where its instant lies.
create function quota.move_use(
  p_from text,
  p_into text,
  p_feature_id text,
  p_at timestamptz
)
returns void
language plpgsql volatile security invoker set search_path = pg_catalog, pg_temp
as $$
declare
  v_former quota.meters;
  v_most bigint;
begin
  select m.used - m.rows_used, m.reserved, m.drawn, m.rows_used, m.holds_expire_at,
      greatest(
        p_at, m.counted_until,
        (
          select max(e.counts_at)
          from quota.events as e
          where e.subject_id = p_into
            and e.feature_id = p_feature_id
        )
      )
    into v_former.used, v_former.reserved, v_former.drawn, v_former.rows_used,
      v_former.holds_expire_at, v_former.counted_until
    from quota.meters as m
    where m.subject_id = p_from
      and m.feature_id = p_feature_id;
  update quota.meters as m
    set used = m.used + v_former.used,
        reserved = m.reserved + v_former.reserved,
        drawn = m.drawn + v_former.drawn,
        counted_until = greatest(m.counted_until, v_former.counted_until),
        holds_expire_at = least(m.holds_expire_at, v_former.holds_expire_at),
        minute_until = '-infinity',
        hour_until = '-infinity',
        fresh_from = 'infinity'
    where m.subject_id = p_into
      and m.feature_id = p_feature_id
    returning m.used + m.reserved
    into v_most;
  if v_most > 9007199254740991 then
    raise exception 'merge_subjects: a counter would pass 9007199254740991 (2^53 - 1)'
      using errcode = 'QAMNT', hint = 'count in a larger unit';
  end if;
  perform quota.note_open_span(p_into, p_feature_id, '-infinity');
  perform quota.sum_counters_up(p_into, p_feature_id);
  delete from quota.counters as c where c.subject_id = p_from and c.feature_id = p_feature_id;
  delete from quota.meters as m
    where m.subject_id = p_from
      and m.feature_id = p_feature_id
      and m.rows_used = 0;
  update quota.meters as m
    set used = m.rows_used,
        reserved = 0,
        drawn = 0,
        holds_expire_at = 'infinity',
        open_from = '-infinity',
        open_until = 'infinity',
        fresh_from = 'infinity'
    where m.subject_id = p_from
      and m.feature_id = p_feature_id;
end
$$;

comment on function quota.move_use is
  'Adds the readings of a subject''s meter to another''s, and counts the lines that moved where their instants lie. Errors: QAMNT.';

-- Closed ones, too.
create function quota.sum_counters_up(
  p_subject_id text,
  p_feature_id text
)
returns void
language plpgsql volatile security invoker set search_path = pg_catalog, pg_temp
as $$
declare
  v_meter quota.meters;
  v_counter record;
  v_balance quota.balance;
  v_over bigint;
begin
  select m.used, m.reserved, m.drawn
    into v_meter.used, v_meter.reserved, v_meter.drawn
    from quota.meters as m
    where m.subject_id = p_subject_id
      and m.feature_id = p_feature_id;
  for v_counter in
    select c.period, c.period_start, c.period_end, c.used is null as is_open
    from quota.counters as c
    where c.subject_id = p_subject_id
      and c.feature_id = p_feature_id
  loop
    v_balance := quota.ledger_balance(
      p_subject_id, p_feature_id, v_counter.period, v_counter.period_start, v_counter.period_end
    );
    v_over := quota.overage_in(
      p_subject_id, p_feature_id, v_counter.period, v_counter.period_start, v_counter.period_end
    );
    update quota.counters as c
      set used_before = case when v_counter.is_open then v_meter.used - v_balance.used else 0 end,
          reserved_before = case
            when v_counter.is_open then v_meter.reserved - v_balance.reserved else 0
          end,
          drawn_before = case when v_counter.is_open then v_meter.drawn - v_balance.drawn else 0 end,
          used = case when not v_counter.is_open then v_balance.used end,
          reserved = case when not v_counter.is_open then v_balance.reserved end,
          drawn = case when not v_counter.is_open then v_balance.drawn end,
          over = v_over,
          crossed_at = coalesce(
            c.crossed_at,
            (
              select min(o.counts_at)
              from quota.overages as o
              where v_over > 0
                and o.subject_id = p_subject_id
                and o.feature_id = p_feature_id
                and o.period = v_counter.period
                and o.counts_at >= v_counter.period_start
                and o.counts_at < v_counter.period_end
                and o.mode <> 'shadow'
            )
          )
      where c.subject_id = p_subject_id
        and c.feature_id = p_feature_id
        and c.period = v_counter.period
        and c.period_end = v_counter.period_end;
  end loop;
end
$$;

comment on function quota.sum_counters_up is
  'Sets the counters of a meter to what its ledger says of their periods.';
