-- usage_breakdown(): who, or which project, used how much.
begin;
select set_config('search_path', 'public, ' || pronamespace::regnamespace, true) from pg_proc where proname = 'pgtap_version';
set local timezone = 'UTC';
select plan(52);

create or replace function quota.clock()
returns timestamptz language plpgsql set search_path = pg_catalog, pg_temp
as $$ begin return current_setting('test.clock', true); end $$;
set local test.clock = '2026-03-31 12:00:00+00';

do $$ begin perform apply_plans('{
  "features": {"token": {}, "export": {}, "file": {"kind": "gauge"}, "secret": {"hidden": true}, "sso": {"kind": "switch"}},
  "plans": {"free": {"default": true, "limits": {
    "token": {"minute": 100000, "day": 100000, "month": 100000}, "file": {"lifetime": 10000}, "secret": {"month": 10}
  }}}
}'); end $$;
create function pg_temp.later() returns void language sql as $$
  select set_config('test.clock', (current_setting('test.clock')::timestamptz + interval '1 second')::text, true)
$$;
create function pg_temp.shown(
  p_by text default 'actor', p_subject text default 'acme', p_feature text default 'token',
  p_since timestamptz default null, p_until timestamptz default null
) returns text[] language sql as $$
  select coalesce(array_agg(b::text order by b.n), '{}')
  from (select row(value, used, calls)::text as b, n from usage_breakdown(p_feature, p_by, p_subject, p_since, p_until)
    with ordinality as u (value, used, calls, n)) as b (b, n)
$$;
create function pg_temp.adds_up(p_subject text default 'acme', p_feature text default 'token') returns boolean
language sql as $$
  select (select coalesce(sum(used), 0) from usage_breakdown(p_feature, 'actor', p_subject))
      = (select max(used) from current_usage where subject = p_subject and feature = p_feature and period in ('month', 'lifetime'))
    and (select coalesce(sum(used), 0) from usage_breakdown(p_feature, 'metadata.project', p_subject))
      = (select max(used) from current_usage where subject = p_subject and feature = p_feature and period in ('month', 'lifetime'))
$$;
create temporary table ids (name text, id uuid);

select is(pg_temp.shown(), '{}', 'who used nothing has no rows');
select is(pg_temp.shown(p_subject => 'never seen'), '{}', 'nor has who was never seen');

-- A day of March, and April: uses, a batch, a hold, refunds.
do $$ begin
  perform consume_usage('token', 500, 'acme', null, '{"project": "old"}', 'ada');
  perform consume_usage('export', 1, 'acme', actor => 'ada');
  perform pg_temp.later();
  perform consume_usage('token', 1, 'other', null, '{"project": "x"}', 'ada');
  insert into ids select 'march', event_id from consume_usage('token', 7, 'acme', null, '{"project": "old"}', 'bob');
  perform set_config('test.clock', '2026-04-02 12:00:00+00', true);
  perform consume_usage('token', 10, 'acme', null, '{"project": "x"}', 'ada');
  perform pg_temp.later();
  insert into ids select 'use', event_id from consume_usage('token', 30, 'acme', null, '{"project": "y"}', 'bob');
  perform pg_temp.later();
  perform consume_usage('token', 5, 'acme');
  perform pg_temp.later();
  perform consume_usage_batch('[{"feature": "token", "amount": 3}, {"feature": "token"}]', 'acme', null, '{"project": "x"}');
  perform pg_temp.later();
  insert into ids select 'hold', reservation_id
    from reserve_usage('token', 100, 'acme', '1 day', null, '{"project": "y"}', 'cyd');
  perform pg_temp.later();
  perform reserve_usage('token', 1000, 'acme', '1 day', null, '{"project": "held"}', 'dan');
  perform pg_temp.later();
  insert into ids select 'commit', event_id from commit_usage((select id from ids where name = 'hold'), 60, null, '{"model": "m"}');
  perform refund_usage((select id from ids where name = 'use'), 8, 'failed');
  perform refund_usage((select id from ids where name = 'commit'), 5);
  perform refund_usage((select id from ids where name = 'march'));
end $$;
select is(
  pg_temp.shown(), array['(cyd,55,1)', '(bob,22,1)', '(ada,10,1)', '(,9,3)'],
  'by actor, the largest first: this month''s uses less their refunds, and nothing that is only held'
);
select is(
  pg_temp.shown('metadata.project'), array['(y,77,2)', '(x,14,3)', '(,5,1)'],
  'by a key: refunds go with their use, commits with the key of their hold, items with that of their batch'
);
select is(
  pg_temp.shown('metadata.model'), array['(m,55,1)', '(,41,5)'], 'a commit''s own keys, and what has none'
);
select ok(pg_temp.adds_up(), 'it adds up to current_usage');
select is(
  pg_temp.shown(p_since => '2026-03-01Z', p_until => '2026-04-01Z'), array['(ada,500,1)', '(bob,0,1)'],
  'another month, with a refund that came later'
);
select is(pg_temp.shown(p_since => '2026-04-02 12:00:01Z'), array['(cyd,55,1)', '(bob,22,1)', '(,9,3)'], 'since is included');
select is(
  pg_temp.shown(p_until => '2026-04-02 12:00:02Z'), array['(bob,22,1)', '(ada,10,1)'],
  'until is not, and without since it is the running period'
);
select is(pg_temp.shown(p_since => '2026-03-31Z'), array['(ada,510,2)', '(cyd,55,1)', '(bob,22,2)', '(,9,3)'], 'both months');
select is(pg_temp.shown(p_since => '2030-01-01Z'), '{}', 'what lies ahead is empty');
select is(pg_temp.shown(p_subject => 'other', p_since => '2026-03-01Z'), array['(ada,1,1)'], 'each subject has its own');

-- Fresh starts by hand, and refunds of what was used before.
do $$ begin
  perform pg_temp.later();
  perform reset_usage('token', 'acme');
end $$;
select is(pg_temp.shown(), '{}', 'after a fresh start by hand nothing was used');
select ok(pg_temp.adds_up(), 'as current_usage says');
do $$ begin
  perform pg_temp.later();
  perform consume_usage('token', 4, 'acme', null, '{"project": "x"}', 'bob');
  perform refund_usage((select id from ids where name = 'use'), 2);
  perform reset_usage('token', 'acme', 'day');
end $$;
select is(pg_temp.shown(), array['(bob,4,1)'], 'then what came after it, but for refunds of before; another period''s is its own');
select ok(pg_temp.adds_up(), 'as current_usage says');
select is(
  pg_temp.shown(p_since => '2026-04-01Z'), array['(cyd,55,1)', '(bob,24,2)', '(ada,10,1)', '(,9,3)'],
  'a time that is named shows what was used'
);
do $$ begin
  perform pg_temp.later();
  perform reset_usage('token', 'acme');
  perform consume_usage('token', 6, 'acme', actor => 'eve');
end $$;
select is(pg_temp.shown(), array['(eve,6,1)'], 'uses of the very instant of a reset, after it');
select ok(pg_temp.adds_up(), 'as current_usage says');

-- A plan that brings a longer period; a billing day that moves; a feature that is in no plan.
do $$ begin
  perform set_plan('acme', 'free', '2026-04-02 12:00:00Z');
end $$;
select ok(pg_temp.adds_up(), 'after the billing day moved it adds up again');
select is(
  (select array_agg(row(value, used, calls)::text) from usage_breakdown('export', subject => 'acme', since => '2026-03-01Z')),
  null, 'what is in no plan was refused'
);
do $$ begin perform set_limit('acme', 'export', 'year', 5); perform consume_usage('export', 2, 'acme', actor => 'ada');
  perform clear_limit('acme', 'export', 'year'); end $$;
select is(pg_temp.shown(p_feature => 'export'), array['(ada,2,1)'], 'and of what was in one once it is the month');

-- Gauges, imports, tables: use without calls.
do $$ begin
  perform consume_usage('file', 3, 'acme', actor => 'ada');
  perform return_usage('file', 1, 'acme');
end $$;
select is(pg_temp.shown(p_feature => 'file'), array['(ada,3,1)', '(,-1,0)'], 'what was given back by nobody is nobody''s');
select ok(pg_temp.adds_up(p_feature => 'file'), 'and the level is the sum');

-- Odd keys and values.
do $$ begin
  perform set_config('test.clock', '2026-06-02 12:00:00+00', true);
  perform consume_usage('token', 1, 'odd', null, '{"a.b": "dot", "it''s": 1, "\"q\"": true, "": "empty", "ä %_": 1.50}');
  perform consume_usage('token', 2, 'odd', null, '{"a": {"b": "dot"}, "it''s": "1", "\"q\"": null, "ä %_": [1]}');
  perform consume_usage('token', 4, 'odd', null, jsonb_build_object('a.b', repeat('x', 300), 'it''s', ''));
  perform consume_usage('token', 8, 'odd', null, jsonb_build_object('a.b', repeat('x', 301)));
end $$;
select is(
  pg_temp.shown('metadata.a.b', 'odd'), array[format('(%s,12,2)', repeat('x', 255)), '(,2,1)', '(dot,1,1)'],
  'a key is taken as it is, dots too; of long values the first 255 characters count'
);
select is(pg_temp.shown('metadata.it''s', 'odd'), array['(,8,1)', '("",4,1)', '(1,3,2)'], 'a number and its text are one; empty is a value');
select is(pg_temp.shown('metadata."q"', 'odd'), array['(,14,3)', '(true,1,1)'], 'null is none');
select is(pg_temp.shown('metadata.ä %_', 'odd'), array['(,14,3)', '(1.50,1,1)'], 'nor is an array one');
select is(pg_temp.shown('metadata.a', 'odd'), array['(,15,4)'], 'or an object');
select is(pg_temp.shown('metadata.''; drop table x; --', 'odd'), array['(,15,4)'], 'a key is data');
do $$ begin
  for i in 1 .. 1005 loop perform consume_usage('token', 1 + i / 1005, 'many', actor => 'user-' || lpad(i::text, 4, '0')); end loop;
end $$;
select is(
  (select row(count(*), min(value), max(used))::text from usage_breakdown('token', subject => 'many')), '(1000,user-0001,2)',
  'at most 1,000 rows, the largest'
);
select is(
  (select value from usage_breakdown('token', subject => 'many') limit 1), 'user-1005', 'first; ties by value'
);

-- Bad arguments.
select throws_ok(format($f$select usage_breakdown('token', %L, 'acme')$f$, by), '22023', null, format('by %s is none', by))
  from unnest(array['', 'user', 'metadata', 'metadata.', 'Actor', 'metadata.' || repeat('x', 256)]) as by;
select throws_ok($$select usage_breakdown('nothing', subject => 'acme')$$, 'QFEAT', null, 'an unknown feature');
select throws_ok($$select usage_breakdown('sso', subject => 'acme')$$, 'QFEAT', null, 'a switch');
select throws_ok($$select usage_breakdown('token', subject => 'acme', since => 'infinity')$$, '22023', null, 'no end of time');
select throws_ok(
  $$select usage_breakdown('token', subject => 'acme', since => '2026-01-02Z', until => '2026-01-02Z')$$, '22023', null,
  'since is before until'
);

-- Who may ask.
do $$ begin
  perform add_member('acme', 'ada');
  perform consume_usage('secret', 1, 'acme', actor => 'ada');
  perform set_config('test.clock', '2026-04-03 12:00:00+00', true);
end $$;
set local role authenticated;
set local request.jwt.claims = '{"sub": "ada"}';
select is(pg_temp.shown(p_since => '2026-04-02 12:00:09Z'), array['(eve,6,1)'], 'a member of the organisation');
select is(
  (select array_agg(row(value, used)::text) from usage_breakdown('token')), null, 'a user of itself, which is not its organisation'
);
select throws_ok($$select usage_breakdown('token', subject => 'other')$$, '42501', null, 'nobody else');
select throws_ok($$select quota.usage_breakdown('token', 'actor', 'other', null, null)$$, '42501', null, 'nor by the private function');
select throws_ok(
  $$select quota.sums_by_value('other', 'token', null, '-infinity', 'infinity', '-infinity', '[]', 'actor', null)$$, '42501', null, 'nor its brick'
);
select is(pg_temp.shown(p_feature => 'secret', p_since => '2026-01-01Z'), '{}', 'a hidden feature has no rows for users');
set local request.jwt.claims = '{}';
select throws_ok($$select usage_breakdown('token', subject => 'acme')$$, '42501', null, 'without an identity nobody');
set local role anon;
select throws_ok($$select usage_breakdown('token', subject => 'acme')$$, '42501', null, 'anon may not call it');
set local role service_role;
select is(pg_temp.shown(p_feature => 'secret', p_since => '2026-01-01Z'), array['(ada,1,1)'], 'the server sees it');
select throws_ok($$select usage_breakdown('token')$$, 'QSUBJ', null, 'and names the subject');
reset role;

select * from finish();
rollback;
