-- consume_usage_batch(): several items in one step, all or none.
begin;
select set_config('search_path', 'public, ' || pronamespace::regnamespace, true) from pg_proc where proname = 'pgtap_version';
set local timezone = 'UTC';
select plan(59);

create or replace function quota.clock()
returns timestamptz language plpgsql set search_path = pg_catalog, pg_temp
as $$ begin return current_setting('test.clock', true); end $$;
set local test.clock = '2026-09-15 12:00:00+00';

do $$ begin perform apply_plans('{
  "features": {
    "ai_generation": {}, "token": {}, "export": {}, "secret": {"server_only": true}, "closed": {},
    "file": {"kind": "gauge"}
  },
  "plans": {
    "free": {"default": true, "upgrade_url": "/up", "limits": {
      "ai_generation": {"month": 10, "minute": 3}, "token": {"month": 1000}, "export": {"month": null},
      "secret": {"month": 1}, "file": {"lifetime": 2}
    }}
  }
}'); end $$;

create function pg_temp.batch(p_items jsonb, p_subject text default null, p_key text default null)
returns text[] language sql as $$
  select array_agg(row(allowed, reason, feature, amount, used, remaining)::text)
  from public.consume_usage_batch(p_items, p_subject, p_key)
$$;
create function pg_temp.used(p_subject text) returns text language sql as $$
  select string_agg(feature || ' ' || used, ', ' order by feature)
  from public.current_usage where subject = p_subject and used > 0 and period <> 'minute'
$$;
create function pg_temp.refusal(p_items text) returns text language plpgsql as $$
begin
  perform public.consume_usage_batch(p_items::jsonb, 'bad');
  return 'done';
exception when others then
  return sqlstate;
end $$;

-- As a user.
set local role authenticated;
set local request.jwt.claims = '{"sub": "ada", "role": "authenticated"}';
select is(
  pg_temp.batch('[{"feature": "ai_generation"}, {"feature": "token", "amount": 900}]'),
  array['(t,ok,ai_generation,1,1,2)', '(t,ok,token,900,900,100)'],
  'each item has its decision, in order; without an amount it is 1'
);
select is(
  (select array_agg(row(kind, feature, used_change, actor)::text order by feature) from usage_events),
  array['(consume,ai_generation,1,)', '(consume,token,900,)'],
  'each is a line of its own in the ledger'
);
select is(
  (select to_jsonb(d) - 'event_id' from consume_usage_batch('[{"feature": "export", "amount": 2}]') as d),
  '{"allowed": true, "reason": "ok", "feature": "export", "subject": "ada", "plan": "free",
    "amount": 2, "used": 2, "reserved": 0, "limit": null, "remaining": null, "unlimited": true,
    "period": "month", "period_start": "2026-09-01T00:00:00+00:00",
    "resets_at": "2026-10-01T00:00:00+00:00", "retry_after": null, "reservation_id": null,
    "replayed": false, "upgrade_url": "/up", "granted": 0,
    "carried": 0, "limiting_feature": "export", "limiting_subject": "ada", "limiting_member": null}',
  'an item is answered as a use is'
);

-- All or none.
select is(
  pg_temp.batch('[{"feature": "ai_generation"}, {"feature": "token", "amount": 101}, {"feature": "export"}]'),
  array['(f,not_taken,ai_generation,1,1,2)', '(f,limit_reached,token,101,900,100)', '(f,not_taken,export,1,2,)'],
  'one item without room refuses all; the others are not_taken'
);
select is(
  pg_temp.used('ada'), 'ai_generation 1, export 2, token 900', 'and nothing was counted'
);
select is(
  (select array_agg(row(event_id, retry_after)::text)
   from consume_usage_batch('[{"feature": "ai_generation"}, {"feature": "token", "amount": 101}]')),
  array['(,)', '(,1339200)'], 'the refused one says how long to wait, and none has an event'
);
select is(
  pg_temp.batch('[{"feature": "closed"}, {"feature": "export"}]'),
  array['(f,feature_not_in_plan,closed,1,0,0)', '(f,not_taken,export,1,2,)'],
  'a feature that the plan lacks refuses all'
);
select is(
  pg_temp.batch('[{"feature": "token", "amount": 500}, {"feature": "ai_generation", "amount": 4}]'),
  array['(f,limit_reached,token,500,900,100)', '(f,limit_reached,ai_generation,4,1,2)'],
  'each item that has no room says so'
);
select is(
  (select array_agg(row(period, retry_after)::text)
   from consume_usage_batch('[{"feature": "ai_generation", "amount": 3}, {"feature": "export"}]')),
  array['(minute,60)', '(month,)'], 'every period of a feature counts'
);

-- A feature twice.
select is(
  pg_temp.batch('[{"feature": "ai_generation"}, {"feature": "export"}, {"feature": "ai_generation"}]'),
  array['(t,ok,ai_generation,1,2,1)', '(t,ok,export,1,3,)', '(t,ok,ai_generation,1,3,0)'],
  'a feature may appear twice, and counts twice'
);
set local test.clock = '2026-09-15 12:01:00+00';
select is(
  pg_temp.batch('[{"feature": "ai_generation", "amount": 2}, {"feature": "ai_generation", "amount": 2}]'),
  array['(f,not_taken,ai_generation,2,0,3)', '(f,limit_reached,ai_generation,2,0,3)'],
  'the second is judged with what the first takes'
);
select is(
  pg_temp.used('ada'), 'ai_generation 3, export 3, token 900', 'and neither was counted'
);
select is(
  (select count(*) from usage_events where kind <> 'consume'), 0::bigint,
  'without a key the batch itself has no line'
);

-- Who may.
select throws_ok(
  $$select consume_usage_batch('[{"feature": "export"}, {"feature": "secret"}]')$$, '42501', null,
  'a user cannot take a server_only feature in a batch'
);
select throws_ok(
  $$select consume_usage_batch('[{"feature": "export"}]', 'bob')$$, '42501', null,
  'nor for another subject'
);
set local request.jwt.claims = '';
select throws_ok(
  $$select consume_usage_batch('[{"feature": "export"}]')$$, '42501', null, 'nor without an identity'
);
set local role anon;
select throws_ok(
  $$select consume_usage_batch('[{"feature": "export"}]')$$, '42501', null, 'anon may not call it'
);
set local role service_role;
select is(pg_temp.used('ada'), 'ai_generation 3, export 3, token 900', 'none of these counted');
select throws_ok(
  $$select consume_usage_batch('[{"feature": "export"}]')$$, 'QSUBJ', null,
  'a trusted role must name the subject'
);
select is(
  pg_temp.batch('[{"feature": "secret"}, {"feature": "file", "amount": 2}]', 'bob'),
  array['(t,ok,secret,1,1,0)', '(t,ok,file,2,2,0)'], 'the server takes what is for it alone, and gauges'
);
select is(
  (select array_agg(row(feature, threshold)::text order by feature, threshold) from usage_alerts where subject = 'bob'),
  array['(file,80)', '(file,100)', '(secret,80)', '(secret,100)'], 'a batch crosses thresholds as uses do'
);

-- Keys.
create temporary table answer as
  select array_agg(to_jsonb(d)) as told
  from consume_usage_batch(
    '[{"feature": "ai_generation"}, {"feature": "token", "amount": 10}]', 'carl', 'k1'
  ) as d;
select is(
  (select array_agg(to_jsonb(d) - 'replayed')
   from consume_usage_batch(
     '[{"feature": "ai_generation"}, {"feature": "token", "amount": 10}]', 'carl', 'k1', '{"retry": 1}'
   ) as d),
  (select array_agg(t - 'replayed') from answer, unnest(told) as t), 'the key again gives the same answers'
);
select is(
  (select array_agg(replayed)
   from consume_usage_batch(
     '[{"amount": 1, "feature": "ai_generation"}, {"feature": "token", "amount": 1e1}]', 'carl', 'k1'
   )),
  array[true, true], 'marked as replayed, however the items are written'
);
select is(pg_temp.used('carl'), 'ai_generation 1, token 10', 'and counts nothing again');
select throws_ok(
  $$select consume_usage_batch('[{"feature": "token", "amount": 10}, {"feature": "ai_generation"}]', 'carl', 'k1')$$,
  'QIDEM', null, 'the items in another order are other arguments'
);
select throws_ok(
  $$select consume_usage_batch('[{"feature": "ai_generation"}]', 'carl', 'k1')$$, 'QIDEM', null,
  'fewer items, too'
);
select throws_ok(
  $$select consume_usage('ai_generation', 1, 'carl', 'k1')$$, 'QIDEM', null,
  'the key of a batch is no key of a use'
);
do $$ begin perform consume_usage('export', 1, 'carl', 'k2'); end $$;
select throws_ok(
  $$select consume_usage_batch('[{"feature": "ai_generation"}, {"feature": "export"}]', 'carl', 'k2')$$,
  'QIDEM', null, 'and the key of a use none of a batch'
);
select is(pg_temp.used('carl'), 'ai_generation 1, export 1, token 10', 'none of these counted');
select is(
  (select array_agg(allowed)
   from consume_usage_batch('[{"feature": "token"}, {"feature": "ai_generation", "amount": 4}]', 'carl', 'k3')),
  array[false, false], 'a refused batch'
);
select is(
  (select array_agg(row(allowed, replayed)::text)
   from consume_usage_batch('[{"feature": "token"}, {"feature": "ai_generation", "amount": 1}]', 'carl', 'k3')),
  array['(t,f)', '(t,f)'], 'binds nothing to its key'
);
select is(
  (select row(amount, used)::text
   from refund_usage((select event_id from usage_events where subject = 'carl' and used_change = 10))),
  '(10,1)', 'an item can be refunded by its event_id'
);

-- Malformed items.
select is(pg_temp.refusal(null), '22023', 'no items are 22023');
select is(pg_temp.refusal('null'), '22023', 'a JSON null is 22023');
select is(pg_temp.refusal('[]'), '22023', 'an empty array is 22023');
select is(pg_temp.refusal('{"feature": "export"}'), '22023', 'an object is 22023');
select is(pg_temp.refusal('"export"'), '22023', 'a text is 22023');
select is(pg_temp.refusal('[null]'), '22023', 'an item that is null is 22023');
select is(pg_temp.refusal('["export"]'), '22023', 'an item that is a text is 22023');
select is(pg_temp.refusal('[["export"]]'), '22023', 'an item that is an array is 22023');
select is(pg_temp.refusal('[{}]'), '22023', 'an item without a feature is 22023');
select is(pg_temp.refusal('[{"feature": null}]'), '22023', 'a feature that is null is 22023');
select is(pg_temp.refusal('[{"feature": 1}]'), '22023', 'a feature that is a number is 22023');
select is(
  pg_temp.refusal('[{"feature": "export", "user": "ada"}]'), '22023', 'another key in an item is 22023'
);
select is(
  pg_temp.refusal((select jsonb_agg('{"feature": "export"}'::jsonb)::text from generate_series(1, 101))),
  '22023', '101 items are 22023'
);
select is(pg_temp.refusal('[{"feature": "nothing"}]'), 'QFEAT', 'an unknown feature is QFEAT');
select is(pg_temp.refusal('[{"feature": ""}]'), 'QFEAT', 'an empty one, too');
select is(
  (select array_agg(distinct pg_temp.refusal(format('[{"feature": "export", "amount": %s}]', amount)))
   from unnest(array['0', '-1', '1.5', '9007199254740992', '1e400', 'null', 'true', '"1"', '[]', '{}']) as amount),
  array['QAMNT'], 'an amount that is no whole number from 1 to 2^53 - 1 is QAMNT'
);
select is(
  pg_temp.refusal('[{"feature": "export", "amount": 9007199254740991}, {"feature": "export"}]'), 'QAMNT',
  'so is one that only the sum of its items makes too large'
);
select throws_ok(
  $$select consume_usage_batch('[{"feature": "export"}]', 'bad', '')$$, 'QIDEM', null, 'an empty key is QIDEM'
);
select throws_ok(
  $$select consume_usage_batch('[{"feature": "export"}]', 'bad', null, '[]')$$, 'QMETA', null,
  'metadata that is no object is QMETA'
);
select is_empty($$select from usage_events where subject = 'bad'$$, 'none of these writes a line');
select is_empty($$select from quota.subjects where subject_id = 'bad'$$, 'or anything else');

-- Large.
select is(
  (select row(count(*), bool_and(allowed), max(used))::text
   from consume_usage_batch(
     (select jsonb_agg('{"feature": "export"}'::jsonb) from generate_series(1, 100)), 'dan'
   )),
  '(100,t,100)', '100 items are allowed'
);
select is(
  (select count(*) from usage_events where subject = 'dan'), 100::bigint, 'and are 100 lines'
);

-- Grants and holds.
do $$ begin perform grant_usage('token', 50, 'eve'); perform reserve_usage('token', 900, 'eve'); end $$;
select is(
  pg_temp.batch('[{"feature": "token", "amount": 60}, {"feature": "token", "amount": 90}, {"feature": "token"}]', 'eve'),
  array['(f,not_taken,token,60,0,150)', '(f,not_taken,token,90,0,150)', '(f,limit_reached,token,1,0,150)'],
  'what is held has no room for a batch, and what is granted has'
);
select is(
  pg_temp.batch('[{"feature": "token", "amount": 60}, {"feature": "token", "amount": 90}]', 'eve'),
  array['(t,ok,token,60,60,90)', '(t,ok,token,90,150,0)'], 'up to the last unit'
);
select is(
  (select array_agg(drawn_change) from usage_events where subject = 'eve' and kind = 'draw'), array[50::bigint],
  'the grant is drawn by the item that the plan had no room for'
);

reset role;
select is_empty($$select * from verify_usage()$$, 'every number is proved by the ledger');

select * from finish();
rollback;
