-- per_member and set_limit(… member): what one user may take of what its organisation has.
begin;
select set_config('search_path', 'public, ' || pronamespace::regnamespace, true) from pg_proc where proname = 'pgtap_version';
set local timezone = 'UTC';
select plan(86);

create or replace function quota.clock()
returns timestamptz language plpgsql set search_path = pg_catalog, pg_temp
as $$ begin return current_setting('test.clock', true); end $$;
set local test.clock = '2026-09-15 12:00:00+00';

do $$ begin perform apply_plans('{
  "features": {
    "image": {"costs": {"credit": 10}},
    "export": {}, "file": {"kind": "gauge"}, "credit": {}
  },
  "plans": {
    "solo": {"default": true, "limits": {"export": {"month": 100}}},
    "team": {"upgrade_url": "/up", "limits": {
      "credit": {"month": 1000}, "export": {"month": 20, "minute": 8}, "file": {"lifetime": 5}
    }, "per_member": {"credit": {"month": 300}, "export": {"month": 5, "day": 4}}},
    "large": {"limits": {"credit": {"month": 5000}, "export": {"month": null}, "file": {"lifetime": 5}}}
  }
}'); end $$;
create function pg_temp.told(p public.usage_decision)
returns text language sql as $$
  select row(
    p.allowed, p.reason, p.amount, p.limiting_feature, p.limiting_subject, p.limiting_member, p.used,
    p."limit", p.remaining, p.period
  )::text
$$;
create function pg_temp.used(p_subject text)
returns text language plpgsql as $$ begin
  return (select string_agg(
    concat_ws(' ', nullif(split_part(subject_id, chr(31), 2), ''), feature_id, used) || case when reserved > 0 then '+' || reserved else '' end,
    ', ' order by subject_id, feature_id
  )
  from quota.meters where split_part(subject_id, chr(31), 1) = p_subject and used + reserved > 0);
end $$;
create function pg_temp.consumed(p_feature text, p_amount bigint, p_actor text, p_subject text default 'acme')
returns text language sql as $$
  select pg_temp.told(consume_usage(p_feature, p_amount, p_subject, actor => p_actor))
$$;
grant usage on schema quota to service_role;

do $$ begin
  perform set_plan('acme', 'team');
  perform add_member('acme', u) from unnest(array['ada', 'bob', 'eve']) as u;
end $$;
set local role service_role;

select is(pg_temp.consumed('export', 3, 'ada'), '(t,ok,3,export,acme,ada,3,4,1,day)', 'a cap is shown where it has least room');
select is(pg_temp.consumed('export', 2, 'ada'), '(f,limit_reached,2,export,acme,ada,3,4,1,day)', 'and refuses');
select is(pg_temp.used('acme'), 'export 3, ada export 3', 'what it refuses counts nowhere');
select is(pg_temp.consumed('export', 4, 'bob'), '(t,ok,4,export,acme,bob,4,4,0,day)', 'each member has its own');
select is(pg_temp.consumed('export', 2, null), '(f,limit_reached,2,export,acme,,7,8,1,minute)', 'a server that names nobody meets the organisation''s limits alone');
set local test.clock = '2026-09-16 12:00:00+00';
select is(pg_temp.consumed('export', 7, null), '(t,ok,7,export,acme,,7,8,1,minute)', 'and no cap');
set local test.clock = '2026-09-16 12:01:00+00';
select is(pg_temp.consumed('export', 2, 'ada'), '(t,ok,2,export,acme,ada,5,5,0,month)', 'every cap has room, or nothing is counted');
select is(
  (consume_usage('export', 1, 'acme', actor => 'ada')).retry_after, 14 * 86400 + 43140 , 'and says how long to wait'
);
select is((consume_usage('export', 1, 'acme', actor => 'ada')).upgrade_url, '/up', 'with the plan''s upgrade_url');
select is(pg_temp.consumed('export', 9, 'zoe', 'zoe'), '(t,ok,9,export,zoe,,9,100,91,month)', 'who acts for itself has none');
select is(pg_temp.consumed('export', 1, 'guest'), '(t,ok,1,export,acme,,17,20,3,month)', 'an actor need not be a member, and of equals the longest period is shown');
set local test.clock = '2026-09-17 12:00:00+00';
select is(pg_temp.consumed('export', 4, 'eve'), '(f,limit_reached,4,export,acme,,17,20,3,month)', 'the organisation''s last units are for whoever comes first');
select is(pg_temp.told(consume_usage('export', 4, 'acme', actor => 'eve', partial => true)), '(t,ok,3,export,acme,,20,20,0,month)', 'partial takes what both have room for');
select is_empty($$ select * from verify_usage() $$, 'all of it is proved');

-- What it costs has a cap as well.
select is(pg_temp.consumed('image', 25, 'ada'), '(t,ok,25,credit,acme,ada,250,300,50,month)', 'a price counts for the member');
select is(pg_temp.consumed('image', 6, 'ada'), '(f,limit_reached,6,credit,acme,ada,250,300,50,month)', 'and its cap refuses, in units of what it costs');

-- Holds, commits, refunds.
create temporary table held as select reserve_usage('image', 5, 'acme', actor => 'ada') as d;
select is(pg_temp.told((select d from held)), '(t,ok,5,credit,acme,ada,250,300,0,month)', 'a hold counts against a cap');
select is(pg_temp.used('acme'), 'credit 250+50, export 20, image 25+5, ada credit 250+50, ada export 5, bob export 4, eve export 3, guest export 1', 'in all meters');
select is((extend_usage((select (d).reservation_id from held), '1 hour')).allowed, true, 'it can be extended');
select is(pg_temp.told(commit_usage((select (d).reservation_id from held), 2)), '(t,ok,2,credit,acme,ada,270,300,30,month)', 'a commit of less gives the member back the rest');
create temporary table refunded as
  select event_id from usage_events where feature = 'image' and kind = 'commit';
select is(pg_temp.told(refund_usage((select event_id from refunded), 1)), '(t,ok,1,credit,acme,ada,260,300,40,month)', 'so does a refund');
create temporary table released as select * from reserve_usage('image', 4, 'acme', actor => 'ada');
select is(pg_temp.told(release_usage((select reservation_id from released))), '(t,ok,4,credit,acme,ada,260,300,40,month)', 'and a release');
create temporary table expiring as select * from reserve_usage('image', 4, 'acme', '1 minute', actor => 'ada');
select is(pg_temp.consumed('image', 1, 'ada'), '(f,limit_reached,1,credit,acme,ada,260,300,0,month)', 'what is held is not there');
set local test.clock = '2026-09-17 12:01:01+00';
select is(pg_temp.consumed('image', 1, 'ada'), '(t,ok,1,credit,acme,ada,270,300,30,month)', 'until it expires');
select is(
  (select string_agg(concat_ws(' ', m.allowed, m.reason, m.limiting_member, m.remaining), ', ')
   from consume_usage_many(jsonb_build_array('{"feature": "image", "amount": 4, "actor": "ada"}'::jsonb, jsonb_build_object('feature', 'export', 'actor', 'a' || chr(31))), 'acme') as m),
  'f limit_reached ada 30, f QSUBJ', 'calls of many are each under their caps'
);
select is_empty($$ select * from verify_usage() $$, 'holds are proved, too');
select is_empty($$ select * from verify_usage('acme') $$, 'of the organisation alone as well');

-- Batches.
reset role;

-- A member sees its own.
set local role authenticated;
set local request.jwt.claims = '{"sub": "ada", "role": "authenticated"}';
select is(
  (select string_agg(concat_ws(' ', feature, member, period, used, "limit", remaining), ', ' order by feature, member nulls first, period)
   from current_usage where subject = 'acme'),
  'credit month 270 1000 730, credit ada month 270 300 30, export minute 0 8 8, export month 20 20 0, export ada day 0 4 4, export ada month 5 5 0, file lifetime 0 5 5',
  'current_usage shows a member its cap beside the organisation''s limits'
);
select is(pg_temp.told(check_usage('image', 4, 'acme')), '(f,limit_reached,4,credit,acme,ada,270,300,30,month)', 'check_usage counts it');
select is(
  (select string_agg(concat_ws(' ', feature, member, period, "limit", remaining, refuses, top_up), ', ') from explain_usage('image', 4, 'acme')),
  'credit month 1000 730 f, credit ada month 300 30 t', 'explain_usage shows it'
);
select is(pg_temp.told(consume_usage('image', 3, 'acme')), '(t,ok,3,credit,acme,ada,300,300,0,month)', 'who signs in is the actor');
select is(
  (select string_agg(concat_ws(' ', b.allowed, b.reason, b.limiting_member, b.limiting_feature, b.remaining), ', ')
   from consume_usage_batch('[{"feature": "credit"}, {"feature": "file"}]', 'acme') as b),
  'f limit_reached ada credit 0, f not_taken file 5', 'in a batch, too'
);
set local request.jwt.claims = '{"sub": "bob", "role": "authenticated"}';
select is(
  (select string_agg(concat_ws(' ', feature, member, period, used), ', ' order by feature, period) from current_usage where member is not null),
  'credit bob month 0, export bob day 0, export bob month 4', 'nobody sees another''s'
);
reset role;
create or replace function quota.sees_members(p_user_id text, p_subject_id text)
returns boolean language plpgsql stable set search_path = pg_catalog, pg_temp
as $$ begin return p_user_id = 'bob' and p_subject_id = 'acme'; end $$;
set local role authenticated;
select is(
  (select string_agg(concat_ws(' ', member, used), ', ' order by member) from current_usage where member is not null and feature = 'credit'),
  'ada 300, bob 0, eve 0, guest 0', 'an owner, as the app says, sees all members'
);
reset role;
set local role service_role;

-- An exception of one member.
do $$ begin perform set_limit('acme', 'credit', 'month', 310, member => 'ada'); end $$;
select is(pg_temp.consumed('image', 1, 'ada'), '(t,ok,1,credit,acme,ada,310,310,0,month)', 'an exception takes the place of the plan''s cap');
select is(pg_temp.consumed('image', 1, 'bob'), '(t,ok,1,credit,acme,bob,10,300,290,month)', 'for that member alone');
do $$ begin perform clear_limit('acme', 'credit', 'month', member => 'ada'); end $$;
select is(pg_temp.consumed('image', 1, 'ada'), '(f,limit_reached,1,credit,acme,ada,310,300,0,month)', 'until it is cleared');
do $$ begin perform set_limit('acme', 'credit', 'month', null, member => 'ada'); end $$;
select is(pg_temp.consumed('image', 1, 'ada'), '(t,ok,1,credit,acme,,330,1000,670,month)', 'null is no cap for that member');
do $$ begin perform grant_usage('credit', 500, 'acme'); end $$;
select is(pg_temp.consumed('image', 30, 'bob'), '(f,limit_reached,30,credit,acme,bob,10,300,290,month)', 'a top-up of the organisation lifts no cap');

-- Caps that come later find what was used.
do $$ begin
  perform set_plan('corp', 'large', '2026-09-02 00:00+00');
  perform consume_usage('image', 7, 'corp', actor => 'ada', idempotency_key => 'k1');
  perform consume_usage('credit', 5, 'corp', actor => 'ada');
  perform consume_usage('credit', 100, 'corp', actor => 'bob');
  perform consume_usage('credit', 100, 'corp');
end $$;
create temporary table corp_held as select * from reserve_usage('image', 2, 'corp', '1 hour', actor => 'ada');
create temporary table corp_plain as select * from reserve_usage('credit', 3, 'corp', '1 hour', actor => 'ada');
do $$ begin perform set_limit('corp', 'credit', 'month', 120, member => 'ada'); end $$;
reset role;
set local role authenticated;
set local request.jwt.claims = '{"sub": "ada", "role": "authenticated"}';
reset role;
do $$ begin perform add_member('corp', 'ada'); end $$;
set local role authenticated;
select is(
  (select string_agg(concat_ws(' ', used, reserved, "limit", remaining), ', ') from current_usage where subject = 'corp' and member = 'ada'),
  '75 23 120 22', 'before any call meets it, it shows what the member has used and holds'
);
select is(pg_temp.told(check_usage('image', 3, 'corp')), '(f,limit_reached,3,credit,corp,ada,75,120,22,month)', 'a check says so');
reset role;
set local role service_role;
select is(pg_temp.consumed('image', 3, 'ada', 'corp'), '(f,limit_reached,3,credit,corp,ada,75,120,22,month)', 'and a call');
select is(pg_temp.consumed('image', 2, 'ada', 'corp'), '(t,ok,2,credit,corp,ada,95,120,2,month)', 'which takes what is left');
select is(pg_temp.told(commit_usage((select reservation_id from corp_held), 1)), '(t,ok,1,credit,corp,ada,105,120,12,month)', 'a hold of before is committed in it');
select is(pg_temp.told(release_usage((select reservation_id from corp_plain))), '(t,ok,3,credit,corp,ada,105,120,15,month)', 'or released');
select is(
  pg_temp.told(refund_usage((select event_id from usage_events where subject = 'corp' and idempotency_key = 'k1'), 2)),
  '(t,ok,2,credit,corp,ada,85,120,35,month)', 'and a use of before is refunded'
);
select is_empty($$ select * from verify_usage() $$, 'all of it is proved');

-- A moved billing day takes the caps along.
do $$ begin perform set_plan('corp', 'team', '2026-09-17 12:01:01+00'); end $$;
select is_empty($$ select * from verify_usage() $$, 'and stays proved');

-- Arguments.
select throws_ok($$ select set_limit('acme', 'file', 'lifetime', 3, member => 'ada') $$, 'QPLAN', null, 'a gauge has no caps');
select throws_ok($$ select set_limit('acme', 'credit', 'month', 3, member => '') $$, 'QSUBJ', null, 'a member has a name');
select throws_ok($$ select set_limit('acme', 'credit', 'month', 3, member => 'acme') $$, 'QSUBJ', null, 'and is not the subject');
select throws_ok($$ select consume_usage('credit', 1, 'acme' || chr(31) || 'ada') $$, 'QSUBJ', null, 'what stands for a cap is no subject');
select throws_ok($$ select check_usage('credit', 1, 'acme' || chr(31) || 'ada') $$, 'QSUBJ', null, 'for a check');
select throws_ok($$ select reserve_usage('credit', 1, 'acme' || chr(31) || 'ada') $$, 'QSUBJ', null, 'for a hold');
select throws_ok($$ select consume_usage('credit', 1, 'acme', actor => 'a' || chr(31)) $$, 'QSUBJ', null, 'nor is it in an actor');
select throws_ok($$ select apply_plans('{"features": {"f": {"kind": "gauge"}}, "plans": {"p": {"limits": {"f": {"lifetime": 1}}, "per_member": {"f": {"lifetime": 1}}}}}') $$, 'QPLAN', null, 'in the document, too');

-- Batches with items of several.
create function pg_temp.batch(p_items jsonb, p_subject text default null, p_key text default null)
returns text language sql as $$
  select string_agg(concat_ws(' ', b.allowed, b.reason, b.subject, b.limiting_member, b.limiting_feature, b.remaining, b.replayed), ', ')
  from consume_usage_batch(p_items, p_subject, p_key) as b
$$;
do $$ begin
  perform set_plan('beta', 'team');
  perform set_plan('beta/dev', 'large');
  perform set_parent('beta/dev', 'beta');
end $$;
select is(
  pg_temp.batch('[
    {"feature": "export", "amount": 2, "subject": "beta", "actor": "ada"}, {"feature": "export", "amount": 2, "subject": "beta/dev", "actor": "ada"},
    {"feature": "export", "amount": 1, "subject": "zoe"}, {"feature": "export", "amount": 1, "subject": "beta/dev", "actor": "ada"}
  ]'),
  'f not_taken beta ada export 4 f, f not_taken beta/dev ada export 4 f, f not_taken zoe export 91 f, f limit_reached beta/dev ada export 4 f',
  'what one acts for at several levels counts in one cap, beside one another'
);
select is(
  pg_temp.batch('[
    {"feature": "export", "amount": 2, "subject": "beta", "actor": "ada"}, {"feature": "export", "amount": 2, "subject": "beta/dev", "actor": "ada"},
    {"feature": "export", "subject": "zoe"}, {"feature": "export", "subject": "beta", "actor": "bob"}
  ]', null, 'key 1'),
  't ok beta ada export 2 f, t ok beta/dev ada export 0 f, t ok zoe export 90 f, t ok beta bob export 3 f', 'all of them, in one step'
);
select is(pg_temp.used('beta'), 'export 5, ada export 4, bob export 1', 'counted where it counts');
select is(
  pg_temp.batch('[
    {"feature": "export", "amount": 2, "subject": "beta", "actor": "ada"}, {"feature": "export", "amount": 2, "subject": "beta/dev", "actor": "ada"},
    {"feature": "export", "subject": "zoe"}, {"feature": "export", "subject": "beta", "actor": "bob"}
  ]', 'beta', 'key 1'),
  't ok beta ada export 2 t, t ok beta/dev ada export 0 t, t ok zoe export 90 t, t ok beta bob export 3 t', 'the key is of the first subject, where the call names none'
);
select throws_ok(
  $$ select consume_usage_batch('[{"feature": "export", "subject": "beta", "actor": "eve"}]', null, 'key 1') $$, 'QIDEM', null, 'and bound to whom it was for'
);
select throws_ok($$ select consume_usage_batch('[{"feature": "export", "subject": "beta"}, {"feature": "export"}]') $$, 'QSUBJ', null, 'every item has a subject');
select throws_ok($$ select consume_usage_batch('[{"feature": "export", "subject": 1}]', 'beta') $$, '22023', null, 'which is text');
select throws_ok($$ select consume_usage_batch('[{"feature": "export", "actor": ""}]', 'beta') $$, 'QSUBJ', null, 'as is its actor');
select is_empty($$ select * from verify_usage() $$, 'all of it is proved');
reset role;
set local role authenticated;
set local request.jwt.claims = '{"sub": "ada", "role": "authenticated"}';
select throws_ok($$ select consume_usage_batch('[{"feature": "export", "subject": "ada"}]') $$, '42501', null, 'a user names no subject in an item');
select throws_ok($$ select consume_usage_batch('[{"feature": "export", "actor": "bob"}]', 'acme') $$, '42501', null, 'and no actor');

-- What did the credits go for?
select is(
  (select string_agg(concat_ws(' ', value, used), ', ' order by value) from usage_breakdown('credit', 'feature', 'acme')),
  'image 320', 'a member under a cap sees what it has used itself'
);
select is((select string_agg(concat_ws(' ', value, used, calls), ', ') from usage_breakdown('credit', 'actor', 'acme')), 'ada 320 6', 'by actor, too');
set local request.jwt.claims = '{"sub": "bob", "role": "authenticated"}';
select is((select string_agg(concat_ws(' ', value, used), ', ') from usage_breakdown('credit', 'actor', 'acme')), 'ada 320, bob 10', 'who sees members sees all');
reset role;
set local role service_role;
do $$ begin perform consume_usage('credit', 7, 'acme', actor => 'bob'); end $$;
select is(
  (select string_agg(concat_ws(' ', value, used, calls), ', ') from usage_breakdown('credit', 'feature', 'acme')), 'image 330 7, credit 7 1',
  'by feature: what each called cost, and what was used by itself'
);
select is(
  (select used from current_usage where subject = 'acme' and feature = 'credit' and member is null),
  (select sum(used)::bigint from usage_breakdown('credit', 'feature', 'acme')), 'which adds up'
);

-- Two users become one: what either has used counts.
do $$ begin perform merge_subjects('bob', 'eve'); end $$;
select is(pg_temp.consumed('credit', 290, 'bob'), '(f,limit_reached,290,credit,acme,eve,17,300,283,month)', 'the cap is of both');
select is(pg_temp.consumed('export', 1, 'eve', 'beta'), '(t,ok,1,export,beta,eve,2,4,2,day)', 'wherever it acts');
select is_empty($$ select * from verify_usage() $$, 'all of it is proved');
-- Two organisations, as well.
do $$ begin
  perform set_plan('gamma', 'team');
  perform consume_usage('export', 3, 'gamma', actor => 'ada');
  perform consume_usage('export', 1, 'delta', actor => 'ada');
end $$;
create temporary table moved as select reserve_usage('export', 1, 'gamma', actor => 'ada') as d;
do $$ begin perform set_plan('delta', 'team'); perform merge_subjects('gamma', 'delta'); end $$;
select is(pg_temp.consumed('export', 1, 'ada', 'gamma'), '(f,limit_reached,1,export,delta,ada,4,4,0,day)', 'members keep what they have used');
select is(pg_temp.told(commit_usage((select (d).reservation_id from moved), 0)), '(t,ok,0,export,delta,ada,4,4,0,day)', 'and hold');
select is_empty($$ select * from verify_usage() $$, 'all of it is proved');

-- Forgotten: a member's name is nowhere, and the numbers stay.
do $$ begin
  perform set_limit('acme', 'export', 'month', 50, member => 'eve');
  perform consume_usage('export', 1, 'acme', actor => 'eve', idempotency_key => 'of eve');
end $$;
create temporary table held_by_eve as select reserve_usage('image', 1, 'acme', actor => 'eve') as d;
create temporary table numbers as select pg_temp.used('acme') as before;
do $$ begin perform forget_subject('eve'); end $$;
reset role;
create function pg_temp.rows_with(p_pattern text)
returns text language plpgsql as $$
declare v_table text; v_rows bigint; v_all text := '';
begin
  for v_table in select c.relname from pg_class as c where c.relnamespace = 'quota'::regnamespace and c.relkind = 'r' loop
    execute format('select count(*) from quota.%I as t where t::text ~ $1', v_table) into v_rows using p_pattern;
    if v_rows > 0 then v_all := v_all || v_table || ' ' || v_rows || ' '; end if;
  end loop;
  return v_all;
end $$;
select is(pg_temp.rows_with('\meve\M'), '', 'no row has the name of a user that was forgotten');
set local role service_role;
select is((commit_usage((select (d).reservation_id from held_by_eve))).allowed, true, 'a hold of its is committed all the same');
select is_empty($$ select * from verify_usage() $$, 'all of it is proved');
do $$ begin perform forget_subject('acme'); perform forget_subject('delta'); perform forget_subject('gamma'); end $$;
reset role;
select is(pg_temp.rows_with('\m(acme|delta|gamma)\M'), '', 'nor has any that of an organisation');
select is_empty($$ select * from verify_usage() $$, 'and stays proved');
select throws_ok($$ select apply_plans('{"features": {"f": {}}, "plans": {"p": {"limits": {"f": {"month": 1}}, "per_member": {"f": {"month": -1}}}}}') $$, 'QPLAN', null, 'a cap is a whole number');
select throws_ok($$ select apply_plans('{"features": {"f": {}}, "plans": {"p": {"limits": {"f": {"month": 1}}, "per_member": {"f": {"decade": 1}}}}}') $$, 'QPLAN', null, 'of a period');
select throws_ok($$ select apply_plans('{"features": {"f": {}}, "plans": {"p": {"limits": {"f": {"month": 1}}, "per_member": {"g": {"month": 1}}}}}') $$, 'QPLAN', null, 'of a feature');
select * from finish();
rollback;
