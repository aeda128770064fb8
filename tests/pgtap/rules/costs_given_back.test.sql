-- What a costed use took elsewhere comes back with it: refunds, holds and their ends, batches.
begin;
select set_config('search_path', 'public, ' || pronamespace::regnamespace, true) from pg_proc where proname = 'pgtap_version';
set local timezone = 'UTC';
select plan(38);

create or replace function quota.clock()
returns timestamptz language plpgsql set search_path = pg_catalog, pg_temp
as $$ begin return current_setting('test.clock', true); end $$;
set local test.clock = '2026-09-15 12:00:00+00';

do $$ begin perform apply_plans('{
  "features": {"image": {"costs": {"credit": 10}}, "token": {"costs": {"credit": "1/1000"}}, "credit": {}},
  "plans": {
    "team": {"default": true, "limits": {"credit": {"month": 100}, "image": {"day": 5}}},
    "bare": {"limits": {"image": {"day": 5}}}
  }
}'); end $$;
create function pg_temp.told(p public.usage_decision)
returns text language sql as $$
  select row(p.allowed, p.reason, p.amount, p.limiting_feature, p.used, p.reserved, p."limit", p.remaining)::text
$$;
create function pg_temp.used(p_subject text)
returns text language plpgsql as $$ begin
  return (select string_agg(feature_id || ' ' || used || case when reserved > 0 then '+' || reserved else '' end, ', ' order by feature_id)
  from quota.meters where subject_id = p_subject);
end $$;

-- Refunds leave the price of what stays, rounded up.
create temporary table calls as
  select 'tokens' as name, (consume_usage('token', 2500, 'ada')).event_id as id
  union all select 'images', (consume_usage('image', 3, 'ada', 'k')).event_id;
select is(pg_temp.used('ada'), 'credit 33, image 3, token 2500', 'two uses and what they cost');
select is(
  pg_temp.told(refund_usage((select id from calls where name = 'tokens'), 400)), '(t,ok,400,credit,33,0,100,67)',
  'a part that leaves as much to pay gives back no credit'
);
select is(pg_temp.used('ada'), 'credit 33, image 3, token 2100', 'but the part itself');
do $$ begin perform refund_usage((select id from calls where name = 'tokens'), 200); end $$;
select is(pg_temp.used('ada'), 'credit 32, image 3, token 1900', 'the next one leaves less to pay');
do $$ begin perform refund_usage((select id from calls where name = 'tokens')); end $$;
select is(pg_temp.used('ada'), 'credit 30, image 3, token 0', 'and all of it nothing');
select throws_ok(
  format('select refund_usage(%L, 1)', (select id from calls where name = 'tokens')), 'QAMNT', null, 'no more'
);
select throws_ok(
  format('select refund_usage(%L, 1)', (select event_id from usage_events where subject = 'ada' and kind = 'cost' limit 1)),
  'QRSRV', null, 'what it cost is no use of its own to refund'
);
set local test.clock = '2026-10-02 12:00:00+00';
select is(
  pg_temp.told(refund_usage((select id from calls where name = 'images'), 1, 'broken', 'r')), '(t,ok,1,image,0,0,5,5)',
  'a refund after the month turned says how things stand now'
);
select is((refund_usage((select id from calls where name = 'images'), 1, 'broken', 'r')).replayed, true, 'once per key');
select is(
  (select string_agg(feature || ' ' || used, ', ' order by feature) from usage_history where subject = 'ada' and period = 'month' and period_start < '2026-10-01'),
  'credit 20', 'and gives back in the month of the use'
);
select is((check_usage('image', 1, 'ada')).remaining, 5::bigint, 'not in the new one');
do $$ begin perform refund_usage((select id from calls where name = 'images')); end $$;
set local test.clock = '2026-10-02 12:00:01+00';
select is((consume_usage('image', 3, 'ada', 'k')).replayed, false, 'the key of a use that was refunded in full is free');

-- A price that changed meanwhile: that of the use holds.
create temporary table held as select (consume_usage('image', 1, 'old')).event_id as used, (reserve_usage('image', 1, 'old')).reservation_id as held;
do $$ begin perform apply_plans('{
  "features": {"image": {"costs": {"credit": 1}}, "token": {"costs": {"credit": "1/1000"}}, "credit": {}},
  "plans": {
    "team": {"default": true, "limits": {"credit": {"month": 100}, "image": {"day": 5}}},
    "bare": {"limits": {"image": {"day": 5}}}
  }
}'); end $$;
select is(pg_temp.used('old'), 'credit 10+10, image 1+1', 'held as it was priced');
do $$ begin perform refund_usage(used), commit_usage(held, 2) from held; end $$;
select is(pg_temp.used('old'), 'credit 20, image 2', 'a refund and a commit go by the price of their use');

-- Holds.
create temporary table holds as
  select s as subject, (reserve_usage('token', 5000, s, '1 minute', 'h')).reservation_id as id from unnest(array['bob', 'cyd', 'dan', 'eve']) as s;
select is(pg_temp.used('bob'), 'credit 0+5, token 0+5000', 'a hold holds what it costs');
select is((reserve_usage('token', 5000, 'bob', '1 minute', 'h')).replayed, true, 'and its key is told it again');
select is((check_usage('token', 95000, 'bob')).allowed, true, 'up to here there is room');
select is((check_usage('token', 95001, 'bob')).allowed, false, 'what is held others cannot have');
select is(
  pg_temp.told(commit_usage((select id from holds where subject = 'bob'), 1200)), '(t,ok,1200,credit,2,0,100,98)',
  'a commit of less pays for less'
);
select is(pg_temp.used('bob'), 'credit 2, token 1200', 'and gives the rest back');
select is((commit_usage((select id from holds where subject = 'bob'), 9)).replayed, true, 'repeated it is told the same');
select is(
  pg_temp.told(commit_usage((select id from holds where subject = 'bob'))), '(t,ok,1200,credit,2,0,100,98)', 'all of it'
);
do $$ begin perform refund_usage(event_id, 1000) from usage_events where subject = 'bob' and kind = 'commit'; end $$;
select is(pg_temp.used('bob'), 'credit 1, token 200', 'a commit is refunded as a use is');
select is(
  pg_temp.told(extend_usage((select id from holds where subject = 'cyd'), '1 hour')), '(t,ok,5000,credit,0,5,100,95)',
  'an extension moves on all of it'
);
select is(
  pg_temp.told(release_usage((select id from holds where subject = 'dan'))), '(t,ok,5000,credit,0,0,100,100)',
  'a release gives back both'
);
select is(pg_temp.used('dan'), 'credit 0, token 0', 'nothing is held');
set local test.clock = '2026-10-02 12:05:00+00';
select is((check_usage('token', 100000, 'eve')).allowed, true, 'what has expired holds nothing, anywhere');
select is((check_usage('token', 95001, 'cyd')).allowed, false, 'what was extended does');
select is(
  pg_temp.told(commit_usage((select id from holds where subject = 'eve'), 200000)), '(t,over_limit,200000,credit,200,0,100,0)',
  'a late commit of too much is counted, and says so'
);
select throws_ok(
  $$select commit_usage((select share_id from quota.shares where subject_id = 'cyd'))$$, 'QRSRV', null,
  'what a hold holds elsewhere cannot be ended alone'
);

-- Batches.
-- Items go on being charged 1 since the price changed.
select is(
  (select string_agg(concat_ws(' ', b.reason, b.feature, b.limiting_feature, b.used), ', ') from consume_usage_batch(
    '[{"feature": "image", "amount": 2}, {"feature": "token", "amount": 1}, {"feature": "token", "amount": 1}, {"feature": "credit", "amount": 90}]', 'fay', 'b') as b),
  'ok image image 2, ok token credit 3, ok token credit 4, ok credit credit 94', 'a batch of costed items and of what they cost'
);
select is(pg_temp.used('fay'), 'credit 94, image 2, token 2', 'takes for each item, rounded up');
select is((select count(*) from consume_usage_batch('[{"feature": "token", "amount": 6000}, {"feature": "token", "amount": 1}]', 'fay') as b where b.allowed), 0::bigint, 'or nothing');
select is(
  (select string_agg(b.reason || ' ' || b.limiting_feature, ', ') from consume_usage_batch('[{"feature": "token", "amount": 6000}, {"feature": "token", "amount": 1}]', 'fay') as b),
  'not_taken credit, limit_reached credit', 'and says which item has no room after the others'
);

-- Tidied, what can be refunded still is.
do $$ begin perform set_config('test.clock', '2026-12-02 12:00:00+00', true); perform quota.tidy(); end $$;
select is(
  (select string_agg(subject_id, ', ' order by subject_id) from quota.shares where call_id in (select id from holds)), 'bob, eve',
  'of holds that came to nothing nothing is left'
);
do $$ begin perform refund_usage(event_id) from usage_events where subject = 'eve' and kind = 'commit'; end $$;
select is(pg_temp.used('eve'), 'credit 0, token 0', 'a committed one is refunded after its hold was tidied away');
do $$ begin perform forget_subject('bob'); end $$;
select is((select count(*) from quota.shares where subject_id = 'bob'), 0::bigint, 'a subject is forgotten with it');
select is((select count(*) from verify_usage()), 0::bigint, 'every number is proved');
select * from finish();
rollback;
