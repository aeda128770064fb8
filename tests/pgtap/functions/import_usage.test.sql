-- import_usage(): the counts that an app kept before become lines of the ledger.
begin;
select set_config('search_path', 'public, ' || pronamespace::regnamespace, true) from pg_proc where proname = 'pgtap_version';
set local timezone = 'Asia/Tokyo';
select plan(57);

create or replace function quota.clock()
returns timestamptz language plpgsql set search_path = pg_catalog, pg_temp
as $$ begin return current_setting('test.clock', true); end $$;
set local test.clock = '2026-11-20 12:00:00+00';

do $$ begin perform apply_plans('{
  "features": {"ai_generation": {}, "export": {}, "kb_file": {"kind": "gauge"}, "beta": {}, "token": {}, "sso": {"kind": "switch"}},
  "plans": {
    "free": {"default": true, "limits": {
      "ai_generation": {"day": 20, "month": 50}, "export": {"month": 5}, "kb_file": {"lifetime": 10},
      "token": {"month": 50}}},
    "trial": {"limits": {"token": {"year": 40}}}
  }
}'); end $$;

create function pg_temp.used(p_feature text, p_subject text, p_period text) returns bigint language sql as $$
  select used from public.current_usage where feature = p_feature and subject = p_subject and period = p_period
$$;
create function pg_temp.history(p_subject text) returns text[] language sql as $$
  select array_agg(
    concat_ws(' ', feature, period, to_char(period_start at time zone 'UTC', 'MM-DD HH24:MI'), used)
    order by feature, period, period_start
  )
  from public.usage_history where subject = p_subject
$$;
-- One row that is brought in: what became of it.
create function pg_temp.bring(p_row jsonb, p_dry_run boolean default false) returns text language sql as $$
  select concat_ws(' ', action, case when problem is not null then '!' end)
  from quota.import_usage(jsonb_build_array(p_row), p_dry_run)
$$;
create function pg_temp.row_of(p_subject text, p_feature text, p_amount jsonb, p_start text) returns jsonb language sql as $$
  select jsonb_build_object('subject', p_subject, 'feature', p_feature, 'amount', p_amount, 'period_start', p_start)
$$;

-- Who may, and what is no array.
set local role service_role;
select throws_ok($$select quota.import_usage('[]')$$, '42501', null, 'the server''s role may not import');
set local role authenticated;
select throws_ok($$select quota.import_usage('[]')$$, '42501', null, 'nor may a user');
reset role;
select throws_ok($$select quota.import_usage(null)$$, '22023', null, 'no rows are 22023');
select throws_ok($$select quota.import_usage('{}')$$, '22023', null, 'an object is 22023');
select is_empty($$select * from quota.import_usage('[]')$$, 'an empty array is nothing to do');

-- A dry run.
create temporary table document as select '[
  {"subject": "ada", "feature": "ai_generation", "amount": 60, "period_start": "2026-11-01T00:00:00Z",
   "metadata": {"from": "usage_tracking"}},
  {"subject": "ada", "feature": "ai_generation", "amount": 41, "period_start": "2026-10-01"},
  {"subject": "ada", "feature": "ai_generation", "amount": 7, "period_start": "2026-09-30 23:59:59.5+00:00"},
  {"subject": "bob", "feature": "export", "amount": 3, "period_start": "2026-11-01"},
  {"subject": "ada", "feature": "export", "amount": 0, "period_start": "2026-11-01"},
  {"subject": "bob", "feature": "export", "amount": 3, "period_start": "2026-11-01T00:00Z"},
  {"subject": "bob", "feature": "export", "amount": 4, "period_start": "2026-11-01"},
  {"subject": "bob", "feature": "nothing", "amount": 4, "period_start": "2026-11-01"}
]'::jsonb as rows;
create temporary table dry as select d.* from document, quota.import_usage(rows, true) as d;
select is(
  (select array_agg(action order by "row") from dry),
  array['import', 'import', 'import', 'import', 'skip', 'skip', 'reject', 'reject'],
  'a dry run says what would become of each row, also of those that a row before them makes superfluous'
);
select is(
  (select array_agg("row" order by "row") from dry where problem is not null), array[7, 8],
  'and what is wrong with those that do not fit'
);
select is(
  (select count(*) from quota.subjects) + (select count(*) from quota.events) + (select count(*) from quota.meters),
  0::bigint, 'it writes nothing'
);

-- In earnest.
select set_eq(
  $$select d."row", d.subject, d.feature, d.amount, d.action, d.problem from document, quota.import_usage(rows) as d$$,
  $$select "row", subject, feature, amount, action, problem from dry$$,
  'an import does what its dry run said'
);
select is(pg_temp.used('ai_generation', 'ada', 'month'), 60::bigint, 'use of the open period may exceed the limit');
select is(
  (select row(allowed, used, "limit")::text from consume_usage('ai_generation', 1, 'ada')), '(f,60,50)',
  'which then binds'
);
select is(pg_temp.used('ai_generation', 'ada', 'day'), 0::bigint, 'it counts in the day that it names, not today');
select is(
  pg_temp.history('ada'),
  array[
    'ai_generation day 09-30 00:00 7', 'ai_generation day 10-01 00:00 41', 'ai_generation day 11-01 00:00 60',
    'ai_generation month 09-01 00:00 7', 'ai_generation month 10-01 00:00 41', 'ai_generation month 11-01 00:00 60'
  ],
  'closed periods appear in usage_history, an instant without offset is UTC whatever the session''s zone'
);
select is(
  (select array_agg(row(e.kind, e.used_change, e.at at time zone 'UTC', e.counts_at at time zone 'UTC', e.metadata)::text order by e.counts_at desc)
   from quota.events as e where e.subject_id = 'ada' and e.used_change > 40),
  array[
    '(import,60,"2026-11-20 12:00:00","2026-11-01 00:00:00","{""from"": ""usage_tracking""}")',
    '(import,41,"2026-11-20 12:00:00","2026-10-01 00:00:00",{})'
  ],
  'each row is a line of its own kind, with its metadata'
);
select is(
  (select row(allowed, used)::text from consume_usage('export', 2, 'bob')), '(t,5)', 'counting goes on from there'
);

-- Again.
select is(
  (select array_agg(distinct d.action order by d.action) from document, quota.import_usage(rows) as d),
  array['reject', 'skip'], 'a second run counts nothing twice'
);
select is(
  (select count(*) from quota.events where kind = 'import'), 4::bigint, 'and writes nothing'
);
select is(
  pg_temp.bring(pg_temp.row_of('ada', 'ai_generation', '61', '2026-11-01')), 'reject !',
  'a row that comes again with another amount is listed'
);
select is(
  pg_temp.bring(pg_temp.row_of('ada', 'ai_generation', '61', '2026-11-01'), true), 'reject !', 'by a dry run, too'
);
select matches(
  (select problem from quota.import_usage(jsonb_build_array(pg_temp.row_of('ada', 'ai_generation', '61', '2026-11-01')))),
  '60', 'with the amount that it had'
);
select is(pg_temp.used('ai_generation', 'ada', 'month'), 60::bigint, 'and not counted');
select is(
  pg_temp.bring(pg_temp.row_of('ada', 'ai_generation', '1', '2026-11-02')), 'import',
  'another instant of the same period is another row'
);
do $$ begin perform consume_usage('export', 1, 'eve', 'import/export/1793491200.000000'); end $$;
select is(
  pg_temp.bring(pg_temp.row_of('eve', 'export', '4', '2026-11-01')), 'import',
  'no key that a caller chose can keep a row out'
);

-- Rows that do not fit do not hinder the others.
create function pg_temp.rejected(p_row text) returns text language sql
  as $$ select pg_temp.bring(p_row::jsonb) $$;
select is(pg_temp.rejected('3'), 'reject !', 'a number is no row');
select is(pg_temp.rejected('null'), 'reject !', 'nor is null');
select is(pg_temp.rejected('["ada"]'), 'reject !', 'nor an array');
select is(pg_temp.rejected('{}'), 'reject !', 'nor an object without anything');
select is(
  pg_temp.bring(pg_temp.row_of('ada', 'export', '1', '2026-11-03') || '{"count": 1}'), 'reject !', 'an unknown key'
);
select is(pg_temp.bring(pg_temp.row_of('ada', 'sso', '1', '2026-11-03')), 'reject !', 'a switch, which is not counted');
select is(pg_temp.bring(pg_temp.row_of('', 'export', '1', '2026-11-03')), 'reject !', 'an empty subject');
select is(pg_temp.bring(pg_temp.row_of(null, 'export', '1', '2026-11-03')), 'reject !', 'no subject');
select is(
  pg_temp.bring(pg_temp.row_of(repeat('x', 256), 'export', '1', '2026-11-03')), 'reject !', 'a subject that is too long'
);
select is(
  pg_temp.bring(pg_temp.row_of('ada', 'export', '1', '2026-11-03') || '{"subject": {"id": 1}}'), 'reject !',
  'a subject that is an object'
);
select is(
  pg_temp.bring(pg_temp.row_of('ada', 'export', '1', '2026-11-03') || '{"subject": 42}'), 'import',
  'one that is a number is its text'
);
select is(
  array(
    select pg_temp.bring(pg_temp.row_of('ada', 'export', amount::jsonb, '2026-11-03'))
    from unnest(array['-1', '1.5', '9007199254740992', '1e300', 'null', '"1"', 'true', '[]']) as amount
  ),
  array_fill('reject !'::text, array[8]), 'amounts that are no whole number from 0 to 2^53 - 1'
);
select is(
  array(
    select pg_temp.bring(pg_temp.row_of('ada', 'export', '1', start))
    from unnest(array[
      null, '', 'now', 'infinity', '-infinity', 'epoch', '2026', '2026-11', '01/11/2026', '2026-02-30', '2026-11-01T25:00',
      '2026-11-01T00:00+99:99', '2026-11-01T00:00:00 Europe/Berlin', '2026-11-21', '0000-01-01'
    ]) as start
  ),
  array_fill('reject !'::text, array[15]), 'a period_start that is no instant, or lies in the future'
);
select is(
  pg_temp.bring(pg_temp.row_of('ada', 'export', '1', '2026-11-03') || '{"metadata": []}'), 'reject !',
  'metadata that is no object'
);
select is(
  pg_temp.bring(
    pg_temp.row_of('ada', 'export', '1', '2026-11-03') || jsonb_build_object('metadata', jsonb_build_object('x', repeat('x', 9000)))
  ),
  'reject !', 'metadata of 9 kB'
);
select is(pg_temp.used('export', 'ada', 'month'), 0::bigint, 'none of these has counted anything');
select is(
  pg_temp.bring(pg_temp.row_of('max', 'export', '9007199254740991', '2026-11-03')), 'import', 'the largest amount'
);
select is(
  pg_temp.bring(pg_temp.row_of('max', 'export', '1', '2026-11-04')), 'reject !',
  'a counter that would pass 2^53 - 1'
);

-- Plan and anchor decide in which period an instant counts.
do $$ begin perform set_plan('cyd', 'free', '2026-08-15 00:00+02', 'Europe/Berlin'); end $$;
do $$ begin
  perform quota.import_usage(jsonb_build_array(
    pg_temp.row_of('cyd', 'export', '1', '2026-10-14T21:59:59Z'), pg_temp.row_of('cyd', 'export', '2', '2026-10-14T22:00:00Z'),
    pg_temp.row_of('cyd', 'export', '3', '2026-11-14T22:59:59Z'), pg_temp.row_of('cyd', 'export', '4', '2026-11-14T23:00:00Z')
  ));
end $$;
select is(
  pg_temp.history('cyd'),
  array['export month 09-14 22:00 1', 'export month 10-14 22:00 5', 'export month 11-14 23:00 4'],
  'periods are those of the subject''s anchor and zone'
);
select is(pg_temp.used('export', 'cyd', 'month'), 4::bigint, 'the open one counts against the limit');
do $$ begin
  perform set_plan('dan', 'trial', ends_at => '2026-11-10 00:00+00');
  perform consume_usage('token', 1, 'dan');
  perform consume_usage('token', 1, 'dan');
  perform quota.import_usage(jsonb_build_array(pg_temp.row_of('dan', 'token', '7', '2026-11-05')));
end $$;
select is(
  (select row(allowed, period, used, "limit")::text from consume_usage('token', 1, 'dan')), '(t,month,10,50)',
  'a period that only a former plan had is no limit now'
);

-- Other kinds of feature.
select is(
  pg_temp.bring(pg_temp.row_of('ada', 'kb_file', '4', '2026-11-20T12:00:00Z')), 'import', 'a gauge is brought in as of now'
);
select is(pg_temp.used('kb_file', 'ada', 'lifetime'), 4::bigint, 'and shows it');
select is(
  (select row(amount, used)::text from return_usage('kb_file', 1, 'ada')), '(1,3)', 'what goes is returned'
);
select is(
  pg_temp.bring(pg_temp.row_of('ada', 'beta', '4', '2026-11-01')), 'import',
  'use of a feature that the plan lacks is kept in the ledger'
);
create function pg_temp.imported(p_subject text) returns uuid language plpgsql as $$ begin
  return (select event_id from quota.events where subject_id = p_subject and kind = 'import');
end $$;
select is(
  (select row(amount, used)::text from refund_usage(pg_temp.imported('bob'), 1)), '(1,4)',
  'imported use can be refunded'
);

-- Many.
select is(
  (select array_agg(distinct action) from quota.import_usage((
    select jsonb_agg(pg_temp.row_of('u' || i % 50, 'ai_generation', '1', (timestamp '2026-06-01' + i * interval '1 hour')::text))
    from generate_series(1, 300) as i
  ))),
  array['import'], 'an import can have many rows'
);
select is(
  (select sum(used) from usage_history where subject ~ '^u\d' and period = 'month'), 300::numeric,
  'which are all in the history'
);
select is_empty($$select * from verify_usage()$$, 'every number is proved by the ledger');

-- Numbers as other tables write them, long ids, gauges that rows count, months that are not the subject's.
select is(
  (select array_agg(pg_temp.bring(pg_temp.row_of('numeric', 'export', a::jsonb, '2026-11-01')) order by a)
   from unnest(array['5.0', '5.00', '5.5', '5e0']) as a),
  array['import', 'skip', 'reject !', 'skip'], 'a whole number may be written with a fraction of nothing'
);
do $$ begin perform apply_plans(jsonb_build_object(
  'features', (select jsonb_object_agg(feature_id, jsonb_build_object('kind', kind)) from quota.features)
    || jsonb_build_object(repeat('f', 250), '{}'::jsonb),
  'plans', (
    select jsonb_object_agg(p.plan_id, jsonb_build_object('default', p.is_default, 'limits', (
      select jsonb_object_agg(f.feature_id, f.limits) from (
        select l.feature_id, jsonb_object_agg(l.period, l.amount) as limits
        from quota.plan_limits as l where l.plan_id = p.plan_id group by l.feature_id
      ) as f
    ))) from quota.plans as p
  )
)); end $$;
select is(
  (select array_agg(action) from quota.import_usage((
    select jsonb_agg(pg_temp.row_of('long', repeat('f', 250), '7', format('2026-0%s-01', m)))
    from generate_series(1, 3) as m
  ))),
  array['import', 'import', 'import'], 'the months of a feature with a long name are each their own'
);
create table public.limited_files (owner text);
do $$ begin perform quota.limit_table('public.limited_files', 'kb_file', 'owner'); end $$;
select is(
  pg_temp.bring(pg_temp.row_of('rows', 'kb_file', '3', '2026-11-01')), 'reject !',
  'a gauge that rows of a table count is not counted a second time'
);
do $$ begin perform set_plan('billed', 'free', '2026-01-10Z'); end $$;
select is(
  pg_temp.bring(pg_temp.row_of('billed', 'export', '3', '2026-11-01') || '{"period": "month"}'), 'reject !',
  'a month that is none of the subject''s is rejected'
);
select is(
  pg_temp.bring(pg_temp.row_of('billed', 'export', '3', '2026-11-10') || '{"period": "month"}'), 'import',
  'its own comes in'
);
select * from finish();
rollback;
