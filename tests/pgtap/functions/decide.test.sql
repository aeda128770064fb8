-- decide(): the rule itself, on limits that no table holds.
begin;
select set_config('search_path', 'public, ' || pronamespace::regnamespace, true) from pg_proc where proname = 'pgtap_version';
select plan(24);

-- A limit: period, amount, used, reserved, drawn from grants in this period, open grants.
create function pg_temp.l(
  p_period text, p_amount bigint, p_used bigint, p_reserved bigint default 0, p_drawn bigint default 0,
  p_granted bigint default 0
) returns quota.limit_state language sql as $$
  select row(p_period, null, null, 'plan', p_amount, p_used, p_reserved, p_drawn, p_granted, true, p_amount, 0, 0, null, 0, null, 0, null, 'hard', 'hard')::quota.limit_state
$$;
-- "yes or no, the period shown, what is drawn from grants, who refuses"
create function pg_temp.verdict(p_amount bigint, variadic p_limits quota.limit_state[]) returns text
language sql as $$
  select concat_ws(' ',
    case when v.is_allowed then 'yes' else 'no' end, (v.shown).period, v.drawn,
    (select string_agg(r, '+' order by quota.period_rank(r)) from unnest(v.refusing) as r))
  from quota.decide(p_limits, p_amount) as v
$$;

-- One limit.
select is(pg_temp.verdict(1, pg_temp.l('month', 5, 4)), 'yes month 0', 'the last unit is allowed');
select is(pg_temp.verdict(1, pg_temp.l('month', 5, 5)), 'no month 0 month', 'one more is not');
select is(pg_temp.verdict(2, pg_temp.l('month', 5, 4)), 'no month 0 month', 'nor an amount that fits in part');
select is(pg_temp.verdict(1, pg_temp.l('month', 5, 3, 2)), 'no month 0 month', 'what is held is taken');
select is(pg_temp.verdict(1, pg_temp.l('month', 5, 9)), 'no month 0 month', 'over the limit nothing is allowed');
select is(pg_temp.verdict(1, pg_temp.l('month', 0, 0)), 'no month 0 month', 'a limit of 0 allows nothing');
select is(pg_temp.verdict(1000000, pg_temp.l('month', null, 7)), 'yes month 0', 'unlimited allows');
select is(
  (select row(is_allowed, shown is null, refusing)::text from quota.decide(null, 1)), '(f,t,)',
  'no limits at all refuse: the feature is not in the plan'
);
select is(pg_temp.verdict(0, pg_temp.l('month', 5, 5)), 'yes month 0', 'nothing always fits, as after a refund');

-- Several.
select is(
  pg_temp.verdict(1, pg_temp.l('minute', 2, 0), pg_temp.l('month', 9, 8)), 'yes month 0', 'the one with least room is shown'
);
select is(
  pg_temp.verdict(1, pg_temp.l('month', 9, 8), pg_temp.l('minute', 2, 1)), 'yes month 0',
  'of equals the longest period, in whatever order they come'
);
select is(
  pg_temp.verdict(1, pg_temp.l('minute', 2, 1), pg_temp.l('lifetime', 9, 8), pg_temp.l('month', 9, 8)), 'yes lifetime 0',
  'the lifetime is the longest of all'
);
select is(
  pg_temp.verdict(1, pg_temp.l('month', null, 500), pg_temp.l('day', 9, 0)), 'yes day 0', 'a limit has less room than none'
);
select is(
  pg_temp.verdict(1, pg_temp.l('year', null, 0), pg_temp.l('month', null, 500), pg_temp.l('day', null, 0)), 'yes year 0',
  'of several that are unlimited the longest period is shown'
);
select is(
  pg_temp.verdict(2, pg_temp.l('minute', 2, 1), pg_temp.l('day', 9, 0), pg_temp.l('month', 9, 8)), 'no month 0 minute+month',
  'all that refuse are named'
);

-- Grants.
select is(
  pg_temp.verdict(3, pg_temp.l('month', 5, 2, 0, 0, 10)), 'yes month 0', 'the plan''s allowance comes before grants'
);
select is(
  pg_temp.verdict(3, pg_temp.l('month', 5, 4, 0, 0, 10)), 'yes month 2', 'grants give what it lacks'
);
select is(
  pg_temp.verdict(3, pg_temp.l('month', 5, 9, 0, 4, 10)), 'yes month 3', 'what was drawn before does not count against the plan'
);
select is(
  pg_temp.verdict(3, pg_temp.l('month', 5, 50, 0, 0, 100)), 'yes month 3', 'after a downgrade no more is drawn than the amount'
);
select is(
  pg_temp.verdict(3, pg_temp.l('day', 5, 3, 0, 0, 10), pg_temp.l('month', 5, 4, 0, 0, 10)), 'yes month 2',
  'of several shortfalls the largest is drawn'
);
select is(
  pg_temp.verdict(3, pg_temp.l('month', 5, 5, 0, 0, 2)), 'no month 2 month', 'grants that are too small refuse'
);

-- Overflow.
select is(
  pg_temp.verdict(1, pg_temp.l('month', null, 9007199254740990)), 'yes month 0', 'unlimited goes up to 2^53 - 1'
);
select throws_ok(
  $$select pg_temp.verdict(2, pg_temp.l('month', null, 9007199254740989, 1))$$, 'QAMNT', null, 'and not past it'
);
select throws_ok(
  $$select pg_temp.verdict(2, pg_temp.l('month', 9007199254740991, 9007199254740990, 0, 0, 10))$$, 'QAMNT', null,
  'nor do grants lift a counter past it'
);

select * from finish();
rollback;
