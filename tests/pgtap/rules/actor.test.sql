-- actor: the user that acts for an organisation, kept with what it used; named by servers alone.
begin;
select set_config('search_path', 'public, ' || pronamespace::regnamespace, true) from pg_proc where proname = 'pgtap_version';
set local timezone = 'UTC';
select plan(35);

create or replace function quota.clock()
returns timestamptz language plpgsql set search_path = pg_catalog, pg_temp
as $$ begin return current_setting('test.clock', true); end $$;
set local test.clock = '2026-01-15 12:00:00+00';

do $$ begin
  perform apply_plans('{
    "features": {"token": {}, "file": {"kind": "gauge"}, "secret": {"server_only": true}},
    "plans": {"free": {"default": true, "limits": {"token": {"month": 1000}, "file": {"lifetime": 10}, "secret": {"month": 5}}}}
  }');
  perform add_member('acme', 'ada');
  perform add_member('acme', 'bob');
end $$;
create function pg_temp.lines(p_subject text) returns setof text language plpgsql as $$ begin
  return query select row(e.kind, e.used_change, e.reserved_change, e.actor)::text
  from quota.events as e
  where e.subject_id = p_subject and e.kind <> 'member'
  order by e.at, e.event_id;
end $$;
create function pg_temp.later() returns void language sql as $$
  select set_config('test.clock', (current_setting('test.clock')::timestamptz + interval '1 minute')::text, true)
$$;
grant execute on function pg_temp.later() to service_role;

-- A server names whom it is for: the long way, the plain way, with a key, in error form.
set local role service_role;
do $$ begin
  perform consume_usage('token', 1, 'acme', actor => 'ada');
  perform pg_temp.later();
  perform consume_usage('token', 2, 'acme', actor => 'bob');
  perform pg_temp.later();
  perform enforce_usage('token', 3, 'acme', 'k1', '{"project": "x"}', 'ada', true);
  perform pg_temp.later();
  perform consume_usage('token', 4, 'acme');
  perform pg_temp.later();
  perform consume_usage('token', 5, 'acme', actor => 'acme');
end $$;
reset role;
select is(
  array(select pg_temp.lines('acme')),
  array['(consume,1,0,ada)', '(consume,2,0,bob)', '(consume,3,0,ada)', '(consume,4,0,)', '(consume,5,0,)'],
  'the line has the actor; who is not named or is the subject itself is none'
);
set local role service_role;
select is(
  (select array_agg(actor order by actor) from usage_events where subject = 'acme' and actor is not null and kind = 'consume'),
  array['ada', 'ada', 'bob'], 'the view shows it'
);
select lives_ok($$select consume_usage('token', 1, 'other', actor => 'stranger')$$, 'an actor needs not be a member');
select lives_ok($$select consume_usage('token', 1, 'other', actor => repeat('x', 255))$$, 'of at most 255 characters');
select throws_ok($$select consume_usage('token', 1, 'acme', actor => '')$$, 'QSUBJ', null, 'empty is no actor');
select throws_ok($$select enforce_usage('token', 1, 'acme', actor => repeat('x', 256))$$, 'QSUBJ', null, 'nor 256 characters');
select throws_ok($$select reserve_usage('token', 1, 'acme', actor => '')$$, 'QSUBJ', null, 'nor in reserve');
select throws_ok($$select reserve_usage('token', 1, 'acme', actor => repeat('x', 256))$$, 'QSUBJ', null, 'of any length');

-- A key is bound to the actor.
select is((consume_usage('token', 3, 'acme', 'k1', actor => 'ada', partial => true)).replayed, true, 'a repetition for the same');
select throws_ok(
  $$select consume_usage('token', 3, 'acme', 'k1', actor => 'bob', partial => true)$$, 'QIDEM', null, 'with another actor it is another call'
);
select throws_ok($$select consume_usage('token', 3, 'acme', 'k1', partial => true)$$, 'QIDEM', null, 'and without');
reset role;
create function pg_temp.told(p_sql text) returns text language plpgsql as $$
begin execute p_sql; return null; exception when sqlstate 'QIDEM' then return sqlerrm; end $$;
grant execute on function pg_temp.told(text) to service_role, authenticated;
select unalike(
  pg_temp.told($$select consume_usage('token', 9, 'acme', 'k1')$$), '%ada%', 'the error does not say whose key it is'
);

-- Holds: the ends have the actor of the hold, the refund that of the use.
create temporary table ids (name text, id uuid);
grant all on ids to service_role;
set local role service_role;
do $$
declare v_use uuid;
begin
  perform pg_temp.later();
  insert into ids select 'commit', reservation_id from reserve_usage('token', 10, 'beta', '1 day', actor => 'ada');
  perform pg_temp.later();
  insert into ids select 'release', reservation_id from reserve_usage('token', 20, 'beta', '1 day', 'hold', actor => 'bob');
  perform pg_temp.later();
  perform reserve_usage('token', 30, 'beta', '2 minutes', actor => 'cyd');
  perform pg_temp.later();
  v_use := (commit_usage((select id from ids where name = 'commit'), 7)).event_id;
  perform pg_temp.later();
  perform refund_usage(v_use, 2);
  perform pg_temp.later();
  perform release_usage((select id from ids where name = 'release'));
end $$;
reset role;
select is(
  array(select pg_temp.lines('beta') order by 1),
  array[
    '(commit,7,-10,ada)', '(expire,0,-30,cyd)', '(refund,-2,0,ada)', '(release,0,-20,bob)',
    '(reserve,0,10,ada)', '(reserve,0,20,bob)', '(reserve,0,30,cyd)'
  ],
  'commit, release, expire and refund have the actor of the use'
);
select is(
  (select array_agg(row(actor, state)::text order by amount) from quota.reservations where subject_id = 'beta'),
  array['(ada,committed)', '(bob,released)', '(cyd,expired)'], 'and so has the hold'
);

-- A signed-in user is the actor, and names none.
set local role authenticated;
set local request.jwt.claims = '{"sub": "bob"}';
select lives_ok($$select consume_usage('token', 1, 'acme', 'mine')$$, 'a member calls');
select throws_ok($$select consume_usage('token', 1, 'acme', actor => 'ada')$$, '42501', null, 'in the name of no other');
select throws_ok($$select consume_usage('token', 1, 'acme', actor => 'bob')$$, '42501', null, 'nor in its own');
select throws_ok($$select consume_usage('token', 1, actor => 'acme')$$, '42501', null, 'nor for itself');
select throws_ok($$select consume_usage('token', 1, actor => 'bob')$$, '42501', null, 'as itself');
select throws_ok($$select consume_usage('token', 1, 'acme', actor => '')$$, '42501', null, 'nor an empty one');
select throws_ok($$select enforce_usage('token', 1, 'acme', actor => 'ada')$$, '42501', null, 'nor by enforce');
select throws_ok($$select reserve_usage('token', 1, 'acme', actor => 'ada')$$, '42501', null, 'nor a hold');
select throws_ok(
  $$select quota.consume_usage('token', 1, 'acme', null, '{}', 'ada', false)$$, '42501', null, 'nor by the private function'
);
select is(
  (select array_agg(actor) from usage_events where idempotency_key = 'mine'), array['bob'], 'its line says that it was it'
);
select is((consume_usage('token', 1, 'acme', 'mine')).replayed, true, 'its key is its own');
set local request.jwt.claims = '{"sub": "ada"}';
select is(
  (consume_usage('token', 1, 'acme', 'mine')).replayed, false, 'a colleague with it gets neither its answer nor a free use'
);
select throws_ok(
  $$select consume_usage_batch('[{"feature": "token"}]', 'acme', 'mine')$$, 'QIDEM', null, 'and has it bound for itself'
);
set local role anon;
select throws_ok($$select consume_usage('token', 1, 'acme', actor => 'ada')$$, '42501', null, 'anon may not call at all');
reset role;

-- Who is forgotten is in no line, hold or key of the organisation, whose numbers stay.
do $$ begin
  perform pg_temp.later();
  perform consume_usage('token', 1, 'acme', 'for ada', actor => 'ada');
  perform pg_temp.later();
  perform reserve_usage('token', 2, 'acme', '1 day', 'hold for ada', actor => 'ada');
end $$;
create temporary table before as select used, reserved from quota.meters where subject_id = 'acme';
select is(forget_subject('ada'), 0::bigint, 'ada has no lines of its own');
select is(
  (select count(*) from quota.events where actor = 'ada')
    + (select count(*) from quota.reservations where actor = 'ada')
    + (select count(*) from quota.keys where arguments::text ~ '\mada\M' or answers::text ~ '\mada\M'), 0::bigint,
  'its name is in no line, hold or key'
);
select is(
  (select row(m.used, m.reserved)::text from quota.meters as m where m.subject_id = 'acme'),
  (select row(used, reserved)::text from before), 'nothing was given back'
);
select ok(
  exists (select from quota.keys where subject_id = 'acme' and idempotency_key = 'for ada'), 'its keys stay bound'
);
select is((select count(*) from quota.events where actor = 'bob'), 5::bigint, 'the names of others stay');
select ok(
  exists (select from quota.keys where subject_id = 'acme' and arguments ->> 'actor' = 'bob'), 'also in keys'
);
select is_empty('select * from verify_usage()', 'every number is proved');

select * from finish();
rollback;
