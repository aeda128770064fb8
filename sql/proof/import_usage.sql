-- Taking over the counts that an app kept before, of the open period and of closed ones.
-- What was used was used: an import may exceed the limit. A row is known by its subject, feature, period_start
-- and actor, so running it again counts nothing twice.

-- What became of one row that was brought in. Fields are only ever added at the end.
create type public.import_result as (
  "row" integer,
  subject text,
  feature text,
  amount bigint,
  action text,
  problem text
);

comment on type public.import_result is 'What quota.import_usage() did, or would do, with one row.';

comment on column public.import_result."row" is 'Which row of the document, from 1.';

comment on column public.import_result.subject is 'Who used it; null when the row does not say.';

comment on column public.import_result.feature is 'What was used; null when the row does not say.';

comment on column public.import_result.amount is 'Units; null when the row does not say.';

comment on column public.import_result.action is
  '`import`; `skip` (it was brought in before, or is 0); `reject` (see problem).';

comment on column public.import_result.problem is 'Why it was rejected; null when it was not.';

-- A row of the document while it is judged. idempotency_key: by which it is known when it comes again.
create type quota.import_row as (
  place integer,
  subject_id text,
  feature_id text,
  amount bigint,
  counts_at timestamptz,
  metadata jsonb,
  idempotency_key text,
  action text,
  problem text,
  actor text
);

comment on type quota.import_row is
  'A row that is brought in. action: import, skip or reject; amount is null when the row is none.';

-- In sets: 10,000 rows are a few statements. Only the locks are taken one after the other, in the order
-- in which everybody takes them.
create function quota.import_usage(
  p_rows jsonb,
  p_dry_run boolean default false
)
returns setof public.import_result
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp set lock_timeout = '2s'
as $$
declare
  v_rows quota.import_row[];
begin
  perform quota.require_trusted();
  perform quota.check_flag('import_usage', 'p_dry_run', p_dry_run);
  if p_rows is null or jsonb_typeof(p_rows) <> 'array' then
    raise exception 'import_usage: p_rows is %, an array of rows is expected',
      coalesce('a JSON ' || jsonb_typeof(p_rows), 'null (jsonb_agg of no rows is null)')
      using errcode = '22023',
        hint = '[{"subject": "…", "feature": "…", "amount": 3, "period_start": "2026-11-01T00:00:00Z"}]';
  end if;
  v_rows := array(select r from quota.import_rows(p_rows, quota.clock()) as r);
  if p_dry_run is false then
    perform quota.lock_imports(v_rows);
    perform quota.note_sizes(cardinality(v_rows));
  end if;
  v_rows := array(select r from quota.fresh_imports(v_rows) as r);
  v_rows := quota.fitting_imports(v_rows);
  if p_dry_run is false then
    perform quota.write_imports(
      array(select r from unnest(v_rows) as r where r.action = 'import'), quota.clock()
    );
  end if;
  return query
    select r.place, r.subject_id, r.feature_id, r.amount, r.action, r.problem from unnest(v_rows) as r;
end
$$;

comment on function quota.import_usage is
  'Brings in use that was counted elsewhere: rows of subject, feature, amount, period_start (an instant in the past; the use counts in the periods that hold it, so set plan and anchor first), period (optional, such as month: a row whose period_start begins none of the subject''s is rejected), metadata, and actor (optional: the user that used it for the subject, under whose cap it counts). A gauge that limit_table() counts is rejected. Each becomes a ledger line of kind import, may exceed the limit, and is counted once however often it is brought in. Returns a row per row: import, skip or reject with the problem; rejected rows do not hinder the others. p_dry_run writes nothing. For DBAs, not over REST. Errors: 22023 p_rows is not an array, or p_dry_run is null; 42501 not a trusted role; 55P03 retry.';

-- A subject that is not there yet is seen by nobody before this commits, and its meters with it: they need
-- no lock. (lock_meters() alone would be five statements more for each.)
create function quota.lock_imports(p_rows quota.import_row[])
returns void
language plpgsql volatile security invoker
-- Planning what lock_meters() asks, anew for each subject, took ten times as long as asking it.
set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan
as $$
declare
  v_subject_id text;
  v_feature_ids text[];
  v_is_new boolean;
  v_is_counted boolean;
begin
  -- for key share, as create_meters() does it.
  perform from quota.features as f
    where f.feature_id in (select r.feature_id from unnest(p_rows) as r)
    order by f.feature_id
    for key share;
  for v_subject_id, v_feature_ids, v_is_new, v_is_counted in
    select r.subject_id, array_agg(distinct r.feature_id), bool_and(s.subject_id is null),
      bool_and(m.subject_id is not null)
    from unnest(p_rows) as r
    left join quota.subjects as s on s.subject_id = r.subject_id
    left join quota.meters as m on m.subject_id = r.subject_id and m.feature_id = r.feature_id
    where r.problem is null
      and r.amount > 0
    group by r.subject_id
    order by r.subject_id collate "C"
  loop
    if v_is_new then
      insert into quota.subjects (subject_id)
        values (v_subject_id)
        on conflict do nothing;
    elsif not v_is_counted then
      perform from quota.subjects as s where s.subject_id = v_subject_id for share;
    end if;
    if not v_is_counted and found then
      insert into quota.meters (subject_id, feature_id)
        select v_subject_id, f.feature_id
        from unnest(v_feature_ids) as f (feature_id)
        order by f.feature_id collate "C"
        on conflict do nothing;
    end if;
    if not v_is_new or not found then
      perform quota.lock_meters(v_subject_id, v_feature_ids);
      if quota.account_of(v_subject_id) <> v_subject_id then
        raise exception 'import_usage: a subject was merged into an account meanwhile'
          using errcode = '55P03', hint = 'call again';
      end if;
    end if;
  end loop;
end
$$;

comment on function quota.lock_imports is
  'Makes and locks the meters of all rows, in lock order.';

-- Those that were brought in before, and those that a row above them brings in.
create function quota.fresh_imports(p_rows quota.import_row[])
returns setof quota.import_row
language plpgsql stable security invoker set search_path = pg_catalog, pg_temp
as $$
begin
  return query
    with known as (
      select r.place, r.subject_id, r.feature_id, r.amount, r.counts_at, r.metadata,
        r.idempotency_key, r.action, r.problem, r.actor, r.rank,
        coalesce(
          (k.arguments ->> 'amount')::bigint,
          -- The first that counts something is the one.
          first_value(r.amount) over (
            partition by r.subject_id, r.idempotency_key, r.problem
            order by r.amount > 0 desc, r.rank
          )
        ) as former,
        k.arguments is not null
          or bool_or(r.amount > 0) over (
            partition by r.subject_id, r.idempotency_key, r.problem
            order by r.rank rows between unbounded preceding and 1 preceding
          ) is true as is_known
      from unnest(p_rows) with ordinality as r (
        place, subject_id, feature_id, amount, counts_at, metadata, idempotency_key, action, problem,
        actor, rank
      )
      left join quota.keys as k
        on k.subject_id = r.subject_id
        and k.owner_id = ''
        and k.idempotency_key = r.idempotency_key
    )
    select k.place, k.subject_id, k.feature_id, k.amount, k.counts_at, k.metadata, k.idempotency_key,
      case
        when k.problem is not null or k.is_known and k.former <> k.amount then 'reject'
        when k.is_known or k.amount = 0 then 'skip'
        else 'import'
      end,
      case
        when k.problem is null and k.is_known and k.former <> k.amount
          then 'brought in before with another amount: ' || k.former
        else k.problem
      end,
      k.actor
    from known as k
    order by k.rank;
end
$$;

comment on function quota.fresh_imports is
  'The rows with what is to become of them, by what was brought in before.';

-- No number that is shown passes 2^53 - 1. Looked at limit by limit only where a meter comes near it.
create function quota.fitting_imports(p_rows quota.import_row[])
returns quota.import_row[]
language plpgsql stable security invoker set search_path = pg_catalog, pg_temp
as $$
declare
  v_rows quota.import_row[] := p_rows;
  v_row quota.import_row;
  v_place bigint;
  v_limits quota.limit_state[];
begin
  for v_place in
    select r.rank
    from unnest(p_rows) with ordinality as r (
      place, subject_id, feature_id, amount, counts_at, metadata, idempotency_key, action, problem, actor,
      rank
    )
    join (
      select i.subject_id, i.feature_id
      from unnest(p_rows) as i
      left join quota.meters as m on m.subject_id = i.subject_id and m.feature_id = i.feature_id
      where i.action = 'import'
      group by i.subject_id, i.feature_id, m.used, m.reserved
      having sum(i.amount) + coalesce(m.used + m.reserved, 0) > 9007199254740991
    ) as n on n.subject_id = r.subject_id and n.feature_id = r.feature_id
    where r.action = 'import'
    order by r.rank
  loop
    v_row := v_rows[v_place];
    v_limits := (quota.limits_of(v_row.subject_id, v_row.feature_id, v_row.counts_at)).limits;
    if exists (
      select from unnest(v_limits) as l
      where l.used + l.reserved + v_row.amount + (
        select coalesce(sum(b.amount), 0)
        from unnest(v_rows[:v_place - 1]) as b
        where b.subject_id = v_row.subject_id
          and b.feature_id = v_row.feature_id
          and b.action = 'import'
          and b.counts_at >= l.period_start
          and b.counts_at < l.resets_at
      ) > 9007199254740991
    ) then
      v_row.action := 'reject';
      v_row.problem := 'a counter would pass 9007199254740991 (2^53 - 1)';
      v_rows[v_place] := v_row;
    end if;
  end loop;
  return v_rows;
end
$$;

comment on function quota.fitting_imports is 'The rows, without those that would make a number too large.';
