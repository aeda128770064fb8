-- costs: a use of a feature also takes what it costs of others, all or none, rounded up per call.
begin;
select set_config('search_path', 'public, ' || pronamespace::regnamespace, true) from pg_proc where proname = 'pgtap_version';
set local timezone = 'UTC';
select plan(44);

create or replace function quota.clock()
returns timestamptz language plpgsql set search_path = pg_catalog, pg_temp
as $$ begin return current_setting('test.clock', true); end $$;
set local test.clock = '2026-09-15 12:00:00+00';

do $$ begin perform apply_plans('{
  "features": {
    "image": {"costs": {"credit": 10}},
    "token": {"costs": {"credit": "1/1000"}, "hidden": true},
    "video": {"costs": {"credit": "5/2", "second": 3}},
    "credit": {"server_only": true}, "second": {}
  },
  "plans": {
    "free": {"default": true, "limits": {"second": {"day": 100}}},
    "team": {"upgrade_url": "/up", "limits": {
      "credit": {"month": 100}, "image": {"day": 3}, "second": {"day": 30, "month": 1000}
    }},
    "pro": {"limits": {"credit": {"month": null}, "second": {"day": null}}}
  }
}'); end $$;
create function pg_temp.told(p public.usage_decision)
returns text language sql as $$
  select row(
    p.allowed, p.reason, p.feature, p.amount, p.limiting_feature, p.used, p."limit", p.remaining,
    p.period, p.retry_after
  )::text
$$;
create function pg_temp.used(p_subject text)
returns text language sql as $$
  select string_agg(feature_id || ' ' || used || case when reserved > 0 then '+' || reserved else '' end, ', ' order by feature_id)
  from quota.meters where subject_id = p_subject and used + reserved > 0
$$;
grant usage on schema quota to service_role;

do $$ begin perform set_plan(s, 'team') from unnest(array['ada', 'bob', 'eve']) as s; end $$;
set local role service_role;
select is(
  pg_temp.told(consume_usage('image', 1, 'ada')), '(t,ok,image,1,image,1,3,2,day,)',
  'the fields are of the feature asked for where that has room for the fewest uses'
);
select is(pg_temp.used('ada'), 'credit 10, image 1', 'and what it costs is taken with it');
select is(
  pg_temp.told(consume_usage('token', 1, 'ada')), '(t,ok,token,1,credit,11,100,89,month,)',
  'a fraction is rounded up; a feature without limits of its own is limited by its price'
);
select is(pg_temp.told(consume_usage('token', 1001, 'ada')), '(t,ok,token,1001,credit,13,100,87,month,)', 'per call');
select is(
  pg_temp.told(check_usage('image', 3, 'ada')), '(f,limit_reached,image,3,image,1,3,2,day,43200)',
  'the feature''s own limit refuses'
);
select is(
  pg_temp.told(consume_usage('token', 87001, 'ada')), '(f,limit_reached,token,87001,credit,13,100,87,month,1339200)',
  'or the price, and the answer says whose units it is in'
);
select is(pg_temp.told(check_usage('token', 87000, 'ada')), '(t,ok,token,87000,credit,13,100,87,month,)', 'up to the last one');
select is(pg_temp.used('ada'), 'credit 13, image 1, token 1002', 'what is refused takes nothing anywhere');
select is(
  (consume_usage('token', 87001, 'ada')).upgrade_url, '/up', 'a refusal brings the plan''s upgrade_url'
);
select is(
  pg_temp.told(consume_usage('video', 12, 'ada')), '(f,limit_reached,video,12,second,0,30,30,day,)',
  'of several prices the one that never has room refuses'
);
select is(
  pg_temp.told(consume_usage('video', 9, 'ada')), '(t,ok,video,9,second,27,30,3,day,)', 'a use of two prices'
);
select is(pg_temp.used('ada'), 'credit 36, image 1, second 27, token 1002, video 9', 'pays both');
select is(
  pg_temp.told(consume_usage('video', 40, 'ada', partial => true)), '(t,ok,video,1,second,30,30,0,day,)',
  'partial takes what all have room for'
);
select is(
  pg_temp.told(consume_usage('video', 40, 'ada', partial => true)), '(f,limit_reached,video,40,second,30,30,0,day,43200)',
  'and nothing left is a refusal'
);
select is(
  pg_temp.told(consume_usage('image', 1, 'zoe')), '(f,feature_not_in_plan,image,1,credit,0,0,0,,)',
  'what has no price is not free'
);
select is(pg_temp.used('zoe'), null, 'and takes nothing');
select is((check_usage('second', 1, 'zoe')).limiting_feature, 'second', 'a plain call names its own feature');
select is((consume_usage('second', 1, 'zoe')).limiting_subject, 'zoe', 'and subject');
select is((consume_usage('second', 1, 'zoe')).limiting_subject, 'zoe', 'plainly, too');
select throws_ok(
  $$select consume_usage('image', 9007199254740991, 'ada')$$, 'QAMNT', null, 'a price that no counter can hold'
);
select throws_ok($$select enforce_usage('token', 99000, 'ada')$$, 'PT402', null, 'enforce raises what the price refuses');

-- A top-up of credits is what helps.
do $$ begin perform grant_usage('credit', 20, 'bob'); perform consume_usage('token', 95000, 'bob'); end $$;
select is(
  pg_temp.told(consume_usage('image', 2, 'bob')), '(t,ok,image,2,credit,115,120,5,month,)',
  'grants of what it costs are drawn'
);
select is(
  (select string_agg(used_change || ' ' || kind, ', ' order by used_change) from usage_events where subject = 'bob' and feature = 'credit' and used_change > 0),
  '20 cost, 95 cost', 'each meter has its line'
);
select is(
  (select string_agg(c.feature || ' ' || c.used_change, ', ' order by c.at, c.event_id)
    from usage_events as u join usage_events as c on c.about_id = u.event_id and c.kind = 'cost'
    where u.subject = 'bob' and u.feature = 'image'),
  'credit 20', 'which is about the line of the call'
);

-- A key stands for all of it.
select is((consume_usage('image', 1, 'eve', 'k')).replayed, false, 'the first call with a key counts');
select is((consume_usage('image', 1, 'eve', 'k')).replayed, true, 'the second is told its answer');
select throws_ok($$select consume_usage('image', 2, 'eve', 'k')$$, 'QIDEM', null, 'other arguments');
select is(pg_temp.used('eve'), 'credit 10, image 1', 'and it paid once');

set local role authenticated;
set local request.jwt.claims = '{"sub": "eve", "role": "authenticated"}';
select is((consume_usage('image')).allowed, true, 'a user pays with what servers alone may consume');
select throws_ok($$select consume_usage('credit')$$, '42501', null, 'which it may not consume itself');

reset role;
-- What explain_usage says: whose limit refuses, in whose units, and what would help.
select is(
  (select string_agg(concat_ws(' ', feature, period, source, used, "limit", refuses, top_up, plans), '; ' order by n)
    from explain_usage('image', 9, 'bob') with ordinality as e (
      feature, subject, plan, period, source, "limit", used, reserved, remaining, unlimited, granted, resets_at,
      refuses, retry_after, top_up, plans, upgrade_url, projected, exhausted_at, n)),
  'image day plan 2 3 t 8 {pro}; credit month plan 115 120 t 85 {pro}; credit grant 15 20 f {pro}',
  'explain shows the limits of the feature, then those of its price with the top-up that would help'
);
select is(
  (select string_agg(concat_ws(' ', feature, "limit", refuses, plans), '; ') from explain_usage('image', 1, 'zoe')),
  'credit 0 t {team,pro}', 'what has no price in the plan, and the plans that have one'
);

-- The document.
create function pg_temp.judged(p_features jsonb) returns text language plpgsql as $$
begin
  perform quota.check_plans(jsonb_build_object('features', p_features, 'plans', '{}'::jsonb));
  return 'fine';
exception when sqlstate 'QPLAN' then
  return sqlerrm;
end $$;
select is(
  (select string_agg(concat_ws(' ', action, kind, id, detail), '; ') from apply_plans('{
    "features": {"image": {"costs": {"credit": 12}}, "token": {"costs": {"credit": "2/2000"}, "hidden": true},
      "video": {}, "credit": {"server_only": true}, "second": {}},
    "plans": {
      "free": {"default": true, "limits": {"second": {"day": 100}}},
      "team": {"upgrade_url": "/up", "limits": {
        "credit": {"month": 100}, "image": {"day": 3}, "second": {"day": 30, "month": 1000}}},
      "pro": {"limits": {"credit": {"month": null}, "second": {"day": null}}}
    }}')),
  'change feature image costs: {"credit": 10} → {"credit": 12}; '
    || 'change feature video costs: {"credit": "5/2", "second": 3} → none',
  'a changed price is a change of the feature; a fraction is the same in lower terms'
);
select is((consume_usage('image', 1, 'eve')).limiting_feature, 'image', 'and holds at once');
select is(pg_temp.used('eve'), 'credit 32, image 3', 'for the next call');
select is(pg_temp.judged('{"a": {"costs": {}}}'), 'fine', 'no costs are none');
select matches(pg_temp.judged('{"a": {"costs": {"b": 1}}}'), '^plan document, features.a.costs.b: found "b", expected a metered', 'what it costs is a feature');
select matches(pg_temp.judged('{"a": {"costs": {"b": 1}}, "b": {"costs": {"c": 1}}, "c": {}}'), 'that costs nothing itself$', 'there are no chains');
select matches(pg_temp.judged('{"a": {"costs": {"a": 1}}}'), 'that costs nothing itself$', 'and no circle');
select matches(pg_temp.judged('{"a": {"costs": {"b": 1}}, "b": {"kind": "gauge"}}'), 'expected a metered', 'no gauge is paid with');
select matches(pg_temp.judged('{"a": {"kind": "gauge", "costs": {"b": 1}}, "b": {}}'), 'costs of a metered feature alone$', 'and none costs');
select is(
  (select string_agg(price || case when pg_temp.judged(jsonb_build_object('a', jsonb_build_object('costs', jsonb_build_object('b', price)), 'b', '{}'::jsonb)) = 'fine' then ' yes' else ' no' end, ', ' order by n)
    from jsonb_array_elements('[1, 9007199254740991, "1/1000", "7/3", 0, -1, 1.5, 9007199254740992, "10", "1/0", "0/1", "1.5/2", " 1/2", "9007199254740992/1", null, true, [1]]') with ordinality as p (price, n)),
  '1 yes, 9007199254740991 yes, "1/1000" yes, "7/3" yes, 0 no, -1 no, 1.5 no, 9007199254740992 no, "10" no, "1/0" no, "0/1" no, "1.5/2" no, " 1/2" no, "9007199254740992/1" no, null no, true no, [1] no',
  'a price is a whole number or a fraction as text'
);
select throws_ok(
  $$select apply_plans('{"features": {"image": {"costs": {"credit": 12}}}, "plans": {}}')$$, 'QPLAN', null,
  'what is paid with stays in the document'
);
select is((select count(*) from verify_usage()), 0::bigint, 'every number is proved');
select * from finish();
rollback;
