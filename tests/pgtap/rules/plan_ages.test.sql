-- Plans that age: a retired plan keeps its subjects, and its successor takes over by arithmetic.
begin;
select set_config('search_path', 'public, ' || pronamespace::regnamespace, true) from pg_proc where proname = 'pgtap_version';
set local timezone = 'UTC';
select plan(68);

create or replace function quota.clock()
returns timestamptz language plpgsql set search_path = pg_catalog, pg_temp
as $$ begin return current_setting('test.clock', true); end $$;
set local test.clock = '2026-09-15 12:00+00';

create function pg_temp.document(p_pro jsonb) returns jsonb language sql as $$
  select jsonb_build_object(
    'features', '{"ai_generation": {}, "export": {}, "kb_file": {"kind": "gauge"}}'::jsonb,
    'plans', jsonb_build_object(
      'free', '{"default": true, "limits": {"ai_generation": {"month": 5}}}'::jsonb,
      'pro', '{"upgrade_url": "/old", "limits": {"ai_generation": {"month": 100}, "kb_file": {"lifetime": 50}}}'::jsonb || p_pro,
      'pro_2027', '{"upgrade_url": "/new", "limits": {"ai_generation": {"month": 60, "day": 40}, "export": {"month": 9}}}'::jsonb
    )
  )
$$;
create function pg_temp.age(p_pro jsonb) returns text[] language sql as $$
  select array_agg(concat_ws(' ', action, kind, id, detail) order by n)
  from public.apply_plans(pg_temp.document(p_pro)) with ordinality as c (action, kind, id, detail, n)
$$;
create function pg_temp.held(p_subject text) returns text language sql as $$
  select row(plan, used, "limit", upgrade_url)::text
  from public.check_usage('ai_generation', 1, p_subject)
$$;
create function pg_temp.use(p_subject text, p_amount bigint default 1) returns text language sql as $$
  select row(allowed, plan, used, "limit", retry_after)::text
  from public.consume_usage('ai_generation', p_amount, p_subject)
$$;

create function pg_temp.refused(p_document jsonb) returns text language plpgsql as $$
begin
  perform public.apply_plans(p_document, true);
  return null;
exception when sqlstate 'QPLAN' then
  return sqlstate;
end $$;

do $$ begin
  perform pg_temp.age('{}');
  perform set_plan('ada', 'pro');
  perform set_plan('bob', 'pro', '2026-08-20 08:00+00');
  perform set_plan('cy', 'pro', '2026-07-31 00:00+02', 'Europe/Berlin');
  perform set_plan('trial', 'pro', ends_at => '2026-09-25 00:00+00');
  perform set_plan('early', 'pro_2027');
  perform consume_usage('ai_generation', 30, s) from unnest(array['ada', 'bob', 'cy', 'trial', 'early']) as s;
end $$;

-- Retired, with no successor.
select is(
  pg_temp.age('{"retired": true}'),
  array['change plan pro moves: none → "never", retired: none → true'],
  'what ages is said'
);
select is(pg_temp.age('{"retired": true}'), null, 'and is no change the second time');
select is(pg_temp.held('ada'), '(pro,30,100,/old)', 'a retired plan keeps its subjects');
select lives_ok($$select set_plan('ada', 'pro')$$, 'who is on it may be put on it');
select is(pg_temp.held('ada'), '(pro,30,100,/old)', 'and stays');
select throws_ok($$select set_plan('new', 'pro')$$, 'QPLAN', null, 'it takes no subject that was never seen');
select throws_ok($$select set_plan('early', 'pro')$$, 'QPLAN', null, 'nor one from another plan');
select is((select count(*)::integer from quota.subjects where subject_id = 'new'), 0, 'and leaves no row of it');
select is(
  (select array_agg(distinct plan order by plan) from plan_catalog), array['free', 'pro_2027'],
  'visitors are not shown it'
);
select is(
  (select plans from explain_usage('ai_generation', 40, 'new') limit 1), array['pro_2027'],
  'nor is it offered to who was refused'
);
select is(
  (select count(*)::integer from current_usage where subject = 'ada' and plan = 'pro'), 2,
  'its subjects see it'
);

-- An app's own table.
create table public.profiles (id text primary key, plan text);
revoke all on public.profiles from anon, authenticated;
insert into public.profiles values ('ada', 'pro');
select is(quota.follow_plan('public.profiles', 'id', 'plan'), 1::bigint, 'a table may name it for who is on it');
select throws_ok($$insert into public.profiles values ('new', 'pro')$$, 'QPLAN', null, 'and not for anybody else');
select lives_ok($$insert into public.profiles values ('new', 'free')$$, 'who is put on another');
select throws_ok(
  $$update public.profiles set plan = 'pro' where id = 'new'$$, 'QPLAN', null, 'does not come to it later, either'
);
select lives_ok($$update public.profiles set plan = 'free' where id = 'ada'$$, 'who leaves');
select throws_ok(
  $$update public.profiles set plan = 'pro' where id = 'ada'$$, 'QPLAN', null, 'does not come back'
);
do $$ begin
  perform pg_temp.age('{}');
  update public.profiles set plan = 'pro' where id = 'ada';
  perform quota.unfollow_plan('public.profiles');
end $$;
select is(pg_temp.held('ada'), '(pro,30,100,/old)', 'until the plan is retired no more');

-- A successor that never takes over.
do $$ begin perform pg_temp.age('{"retired": true, "successor": "pro_2027"}'); end $$;
set local test.clock = '2028-09-15 12:00+00';
select is(pg_temp.held('ada'), '(pro,0,100,/old)', 'without moves the plan holds for good');
set local test.clock = '2026-09-15 12:00+00';
select throws_ok($$select set_plan('early', 'pro')$$, 'QPLAN', null, 'and who is on the successor came from elsewhere');

-- At an instant.
select is(
  pg_temp.age('{"retired": true, "successor": "pro_2027", "moves": "2026-09-16T00:00:00+02:00"}'),
  array['change plan pro moves: "never" → "2026-09-15T22:00:00Z" (subjects that move: 4, 2026-09-15T22:00:00Z; over a new limit: 0)'],
  'the instant is shown in UTC'
);
select is(
  pg_temp.age('{"retired": true, "successor": "pro_2027", "moves": "2026-09-15T22:00:00Z"}'),
  null, 'and is the same instant in another spelling'
);
select is(
  (select changes_at from quota.limits_of('ada', 'ai_generation', quota.clock())), '2026-09-15 22:00+00'::timestamptz,
  'it is when the plan changes'
);
select is(pg_temp.use('ada'), '(t,pro,31,100,)', 'before it the plan holds');
set local test.clock = '2026-09-15 21:59:59.999999+00';
select is(pg_temp.use('ada', 80), '(f,pro,31,100,)', 'to its last microsecond');
set local test.clock = '2026-09-15 22:00+00';
select is(
  pg_temp.held('ada'), '(pro_2027,31,40,/new)', 'from it on the successor, with the use so far, in a period that it brings, too'
);
select is(pg_temp.use('ada', 9), '(t,pro_2027,40,40,)', 'which holds for calls');
select is(pg_temp.use('ada'), '(f,pro_2027,40,40,7200)', 'and refuses by its limits');
select is(
  (select reason from check_usage('kb_file', 1, 'ada')), 'feature_not_in_plan', 'what the successor lacks is gone'
);
select is((select allowed from check_usage('export', 1, 'ada')), true, 'and what it brings is there');
select is(
  (select count(*)::integer from current_usage where subject = 'ada' and plan = 'pro_2027'), 3, 'the bar says so'
);
select is(pg_temp.held('bob'), '(pro_2027,30,40,/new)', 'it is the same instant for everybody');
set local test.clock = '2026-09-25 00:00+00';
select is(pg_temp.held('trial'), '(free,30,5,)', 'the end of a plan ends its successor');
set local test.clock = '2026-09-15 12:00+00';
select is(pg_temp.held('bob'), '(pro,30,100,/old)', 'a clock that is set back finds the former plan');

-- At the renewal of each.
do $$ begin perform pg_temp.age('{"retired": true, "successor": "pro_2027", "moves": "renewal"}'); end $$;
select is(
  (select array_agg(row(s, (quota.limits_of(s, 'ai_generation', quota.clock())).changes_at)::text order by s)
   from unnest(array['ada', 'bob', 'cy', 'trial', 'early']) as s),
  array['(ada,"2026-10-01 00:00:00+00")', '(bob,"2026-09-20 08:00:00+00")', '(cy,"2026-09-29 22:00:00+00")',
    '(early,)', '(trial,"2026-09-25 00:00:00+00")'],
  'the next month of each: the calendar''s, that of its billing day, on the clock of its zone; or the end of its plan'
);
set local test.clock = '2026-09-18 12:00+00';
select is(
  pg_temp.age('{"name": "Pro", "retired": true, "successor": "pro_2027", "moves": "renewal"}'),
  array['change plan pro name: "pro" → "Pro"'], 'a document that says it again'
);
select is(
  (quota.limits_of('bob', 'ai_generation', quota.clock())).changes_at, '2026-09-20 08:00+00'::timestamptz,
  'moves no renewal'
);
select is(
  (select retry_after from consume_usage('ai_generation', 80, 'bob')), null,
  'what the successor has no room for has nothing to wait for'
);
select is(pg_temp.use('bob', 1), '(t,pro,31,100,)', 'a call on the day before');
set local test.clock = '2026-09-20 07:59:59.999999+00';
select is(pg_temp.use('bob', 69), '(t,pro,100,100,)', 'the last month ends as it began');
set local test.clock = '2026-09-20 08:00+00';
select is(pg_temp.use('bob', 40), '(t,pro_2027,40,40,)', 'the next begins with the successor');
select is(pg_temp.held('cy'), '(pro,30,100,/old)', 'while others wait for theirs');
select lives_ok($$select set_plan('bob', 'pro')$$, 'who is put on the plan that it came from');
select is(pg_temp.held('bob'), '(pro_2027,40,40,/new)', 'stays where it is');
select lives_ok($$select set_plan('bob', 'pro', '2026-12-01 00:00+00')$$, 'also with another billing day');
select is(
  (select plan from check_usage('ai_generation', 1, 'bob')), 'pro_2027', 'which does not take it back'
);
select lives_ok($$select set_plan('bob', 'pro')$$, 'and again');
select is(
  (select plan from check_usage('ai_generation', 1, 'bob')), 'pro_2027', 'it stays'
);
select throws_ok($$select set_plan('new', 'pro')$$, 'QPLAN', null, 'who never was on it does not come by that way');

-- Many rows at once find the limits of the successor.
do $$ begin
  update public.profiles set plan = 'pro_2027' where id = 'ada';
  insert into public.profiles values ('bob', 'pro'), ('cy', 'pro');
end $$;
delete from quota.counters where subject_id = 'bob';
update quota.meters set fresh_from = 'infinity' where subject_id = 'bob';
do $$ begin perform set_plan('cy', 'pro'), quota.follow_plan('public.profiles', 'id', 'plan'), quota.unfollow_plan('public.profiles'); end $$;
select is(
  (select array_agg(c.last_limit order by c.period) from quota.counters as c
   where c.subject_id = 'bob' and c.feature_id = 'ai_generation' and c.period_end > quota.clock()),
  array[40, 60]::bigint[], 'a table that names the former plan opens the periods of the successor'
);

-- Whose plan has ended is not on it, whatever the webhook that comes late says.
set local test.clock = '2026-09-24 12:00+00';
select lives_ok(
  $$select set_plan('trial', 'pro', ends_at => '2026-09-26 00:00+00')$$, 'a retired plan goes on for whom it is prolonged in time'
);
set local test.clock = '2026-09-26 00:00+00';
select is((select plan from check_usage('ai_generation', 1, 'trial')), 'free', 'and ends when it ends');
select throws_ok(
  $$select set_plan('trial', 'pro', ends_at => '2026-10-26 00:00+00')$$, 'QPLAN', null, 'whose plan has ended does not come back by a longer one'
);
select throws_ok($$select set_plan('trial', 'pro')$$, 'QPLAN', null, 'nor by one without an end');
select throws_ok(
  $$insert into public.profiles values ('trial', 'pro'); select quota.follow_plan('public.profiles', 'id', 'plan')$$,
  'QPLAN', null, 'nor by a table'
);
select lives_ok(
  $$select set_plan('trial', 'pro', ends_at => '2026-09-25 00:00+00')$$, 'to hear once more that it has ended is no error'
);
select is((select plan from check_usage('ai_generation', 1, 'trial')), 'free', 'and brings nobody back');
select lives_ok($$select set_plan('trial', 'pro_2027')$$, 'the successor may be bought');

-- A successor that ages itself.
do $$ begin
  perform apply_plans(jsonb_set(jsonb_set(
    pg_temp.document('{"retired": true, "successor": "pro_2027", "moves": "renewal"}'),
    '{plans,pro_2028}', '{"limits": {"ai_generation": {"month": 7}}}'
  ), '{plans,pro_2027}', '{"retired": true, "successor": "pro_2028", "moves": "2026-10-15T00:00:00Z",
    "limits": {"ai_generation": {"month": 60}}}'));
end $$;
set local test.clock = '2026-10-02 12:00+00';
select is(pg_temp.held('ada'), '(pro_2027,0,60,)', 'a successor holds');
select is(
  (quota.limits_of('ada', 'ai_generation', quota.clock())).changes_at, '2026-10-15 00:00+00'::timestamptz,
  'until its own successor does'
);
set local test.clock = '2026-10-15 00:00+00';
select is(pg_temp.held('ada'), '(pro_2028,0,7,)', 'for who was moved');
select is(pg_temp.held('early'), '(pro_2028,0,7,)', 'and for who was put there');
select lives_ok($$select set_plan('ada', 'pro')$$, 'the plan of long ago');
select is(pg_temp.held('ada'), '(pro_2028,0,7,)', 'is still known to have led here');

-- A plan that subjects were put on is in use, also when all have moved; after set_plan() it is not.
select throws_ok(
  $$select apply_plans(pg_temp.document('{"retired": true, "successor": "pro_2027", "moves": "renewal"}') #- '{plans,pro}')$$,
  'QPLAN', null, 'a plan that subjects were put on stays in the document'
);

-- Wrong documents.
select is(
  (select array_agg(age::text)
   from unnest(array[
     '{"retired": "yes"}', '{"retired": null}', '{"successor": "pro_2027"}', '{"retired": true, "successor": "gold"}',
     '{"retired": true, "successor": "pro"}', '{"retired": true, "successor": null}', '{"retired": true, "moves": "renewal"}',
     '{"retired": true, "successor": "pro_2027", "moves": "soon"}',
     '{"retired": true, "successor": "pro_2027", "moves": "tomorrow"}',
     '{"retired": true, "successor": "pro_2027", "moves": "2027-02-30T00:00:00Z"}',
     '{"retired": true, "successor": "pro_2027", "moves": "2027-1-1"}',
     '{"retired": true, "successor": "pro_2027", "moves": null}',
     '{"retired": true, "default": true}'
   ]::jsonb[]) as age
   where (select true from pg_temp.refused(pg_temp.document(age)) as r where r is distinct from 'QPLAN')),
  null, 'each is QPLAN'
);
select throws_ok(
  $$select apply_plans(jsonb_set(pg_temp.document('{"retired": true, "successor": "pro_2027"}'),
    '{plans,pro_2027}', '{"retired": true, "successor": "pro", "limits": {}}'))$$,
  'QPLAN', null, 'two that succeed each other'
);
select is((select count(*)::integer from verify_usage()), 0, 'every counter equals its ledger');

select * from finish();
rollback;
