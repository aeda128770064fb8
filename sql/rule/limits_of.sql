-- The one place that knows what limits a subject has at an instant, and how full
-- they are: plan, exceptions, grants, holds, counters. Deciding, explaining, the views and the wait
-- until something is free again (asked for a later instant) all read it.
--
-- Takes no lock. A caller that writes holds the meter, and calls this in a statement of its own
-- after that: a limit that was lowered and committed meanwhile is then seen. Runs with the owner's
-- rights, inside the verbs and inside usage_shown(), which the views ask.

create type quota.limit_state as (
  period text,
  period_start timestamptz,
  resets_at timestamptz,
  source text,
  amount bigint,
  used bigint,
  reserved bigint,
  drawn bigint,
  granted bigint,
  is_counted boolean,
  last_limit bigint,
  alerted bigint,
  passed bigint,
  marks bigint[],
  carried bigint,
  rollover bigint,
  slack bigint,
  trial bigint,
  mode text,
  last_mode text
);

comment on type quota.limit_state is
  'One limit at one instant. The limit is amount (of the plan or exception; null is unlimited) + drawn (from grants in this period) + granted (open grants). is_counted: the reading at its start stands in a counter, or of a minute and hour in the meter; last_limit, alerted and passed are what stands there, too. marks: the percents to note, of the feature. carried: how much of amount was left of the period before, at most rollover. slack: how far past the limit use may go. trial: the limit of one in shadow, whose amount is null. mode is of the plan, last_mode what stands in the counter.';

create type quota.named_limit as (
  feature_id text,
  period text,
  amount bigint,
  source text,
  ends_at timestamptz,
  rollover bigint,
  mode text,
  grace interval,
  headroom bigint,
  trial bigint
);

comment on type quota.named_limit is
  'A limit as plan or exception name it. headroom: how far past it a soft one goes, null is any; trial: the amount of one in shadow, whose amount is null.';

create type quota.allowance as (
  kind text,
  server_only boolean,
  plan_id text,
  upgrade_url text,
  changes_at timestamptz,
  limits quota.limit_state[],
  is_plain boolean,
  catalogue_version bigint,
  time_zone text,
  feature_id text,
  opens boolean
);

comment on type quota.allowance is
  'What a subject may use of a feature at an instant: the feature''s kind and server_only, the plan, when another plan holds or an exception ends by itself (changes_at), and the limits, null when the feature is not in the plan. is_plain: the subject never had exceptions or grants. catalogue_version: the edition that was read. time_zone: whose wall clock the periods follow. opens: a window is closed, and a use would open it.';

create type quota.balance as (
  used bigint,
  reserved bigint,
  drawn bigint
);

comment on type quota.balance is 'The three sums of the ledger over a period.';

-- In statements of few tables and columns: Postgres sets up each of them anew in every transaction.
-- An open counter is the current one: set_plan() closes those that a moved anchor leaves behind. One that no
-- plan watched may have passed 2^53 - 1; as a full one it refuses, and breaks no view. There is no edition
-- after a copy of the schema alone: then nothing is remembered for good.
create function quota.limits_of(
  p_subject_id text,
  p_feature_id text,
  p_at timestamptz,
  p_plan_id text default null,
  p_is_settled boolean default false
)
returns quota.allowance
language plpgsql stable security invoker set search_path = pg_catalog, pg_temp
as $$
declare
  v_allowance quota.allowance;
  v_counted_before timestamptz := case -- Until a cap has a meter, its organisation's lines say what was used.
    when strpos(p_subject_id, chr(31)) > 0 then timestamptz 'infinity' else '-infinity'
  end;
  v_marks bigint[];
  v_terms record;
  v_named quota.named_limit[];
  v_meter quota.meters;
  v_needs_details boolean;
begin
  select f.kind, f.server_only, f.feature_id, f.marks,
      coalesce((select k.version from quota.catalogue as k), 0)
    into v_allowance.kind, v_allowance.server_only, v_allowance.feature_id, v_marks,
      v_allowance.catalogue_version
    from quota.features as f
    where f.feature_id = p_feature_id;
  if not found then
    return v_allowance;
  end if;
  -- The subject, then its plan's limits (perhaps on another node). A cap has its holder's terms.
  v_terms := quota.terms_of(split_part(p_subject_id, chr(31), 1), p_at, p_plan_id);
  v_named := quota.named_limits(p_subject_id, p_feature_id, v_terms.plan_id, v_terms.has_extras, p_at);
  select m.used, m.reserved, m.drawn,
      greatest(m.counted_until + interval '1 microsecond', m.fresh_until)
    into v_meter.used, v_meter.reserved, v_meter.drawn, v_meter.counted_until
    from quota.meters as m
    where m.subject_id = p_subject_id
      and m.feature_id = p_feature_id;
  select
      array_agg(row(
        l.period, c.period_start, c.period_end, l.source, l.amount,
        least(coalesce(c.used, v_meter.used - c.used_before, 0), 9007199254740991),
        coalesce(c.reserved, v_meter.reserved - c.reserved_before, 0),
        coalesce(c.drawn, v_meter.drawn - c.drawn_before, 0) * (l.period !~ 'minute|hour')::integer,
        0, c.period_end is not null, c.last_limit, coalesce(c.alerted, 0), coalesce(c.passed, 0), v_marks,
        0, l.rollover,
        case
          when l.mode = 'soft' or coalesce(p_at < c.crossed_at + l.grace, l.grace is not null)
          then coalesce(l.headroom, 9007199254740991)
          else 0
        end,
        l.trial, l.mode, c.mode
      )::quota.limit_state),
      bool_or(c.period_end is null or l.rollover is not null),
      bool_or(c.period_end is null and l.period like '% %'), least(v_terms.changes_at, min(l.ends_at))
    into v_allowance.limits, v_needs_details, v_allowance.opens, v_allowance.changes_at
    from unnest(v_named) as l
    left join quota.counters as c
      on c.subject_id = p_subject_id
      and c.feature_id = p_feature_id
      and c.period_end > p_at
      and c.period_start <= p_at
      and c.period = l.period;
  v_allowance.plan_id := v_terms.plan_id;
  v_allowance.upgrade_url := v_terms.upgrade_url;
  v_allowance.is_plain := not v_terms.has_extras;
  v_allowance.time_zone := v_terms.time_zone;
  if v_needs_details or v_terms.has_extras or not p_is_settled and v_meter.reserved > 0 then
    v_allowance.limits := quota.with_details(
      v_allowance.limits, p_subject_id, p_feature_id, p_at,
      coalesce(v_meter.counted_until, v_counted_before), v_terms.anchor_at, v_terms.time_zone,
      v_allowance.is_plain, p_is_settled, v_terms.changed_at
    );
  end if;
  if v_allowance.kind = 'gauge' then
    v_allowance.limits := quota.with_below(v_allowance.limits, p_subject_id, p_feature_id, p_at);
  end if;
  return v_allowance;
end
$$;

comment on function quota.limits_of is
  'The plan and every limit that applies to a subject and feature at an instant, with what is used, held, drawn and granted; or what they would be on another plan. p_is_settled: asked under the lock, where no hold has expired that is not settled. Limits come in no order. All null: there is no such feature.';
