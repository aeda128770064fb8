-- apply_plans(): makes the catalogue equal to one document.
begin;
select set_config('search_path', 'public, ' || pronamespace::regnamespace, true) from pg_proc where proname = 'pgtap_version';
set local timezone = 'UTC';
select plan(117);

-- A minute that ends in between would begin anew.
create or replace function quota.clock()
returns timestamptz language plpgsql set search_path = pg_catalog, pg_temp
as $$ begin return '2026-09-15 12:00:00+00'; end $$;

create function pg_temp.changes(p_plans jsonb, p_dry_run boolean default false) returns text[]
language sql as $$
  select array_agg(concat_ws(' ', action, kind, id) order by n)
  from public.apply_plans(p_plans, p_dry_run) with ordinality as c (action, kind, id, detail, n)
$$;
create function pg_temp.catalogue() returns jsonb language sql as $$
  select jsonb_build_object(
    'features', (select jsonb_agg(to_jsonb(f) - '{hidden, alerts, marks}'::text[] order by f.feature_id) from quota.features as f),
    'plans', (select jsonb_agg(to_jsonb(p) - '{hidden, is_retired, successor_id, moves, moves_from}'::text[] order by p.plan_id) from quota.plans as p),
    'limits', (select jsonb_agg(
      jsonb_build_object('plan_id', l.plan_id, 'feature_id', l.feature_id, 'period', l.period, 'amount', l.amount)
      order by l.plan_id, l.feature_id, l.period) from quota.plan_limits as l)
  )
$$;
create temporary table documents (name text primary key, document jsonb);
grant select on documents to service_role;
insert into documents values
  ('first', '{
    "$schema": "https://example.org/plans.json",
    "features": {
      "ai_generation": {"name": "AI generations", "unit": "generation", "kind": "metered"},
      "export": {}, "kb_file": {"kind": "gauge"}, "scan": {"server_only": true}
    },
    "plans": {
      "free": {"name": "Free", "default": true, "upgrade_url": "/up", "limits": {
        "ai_generation": {"month": 50, "minute": 10}, "kb_file": {"lifetime": 10}}},
      "pro": {"limits": {"ai_generation": {"month": null}, "scan": {"day": 0}}}
    }
  }'),
  ('second', '{
    "features": {
      "ai_generation": {"name": "Generations", "unit": "generation"},
      "kb_file": {"kind": "gauge"}, "video": {}
    },
    "plans": {
      "pro": {"name": "Pro", "default": true, "limits": {"ai_generation": {"month": 500}}},
      "free": {"name": "Free", "limits": {"ai_generation": {"month": 50, "day": 5}, "video": {"week": 9007199254740991}}}
    }
  }');

-- Who may.
set local role authenticated;
set local request.jwt.claims = '{"sub": "ada"}';
select throws_ok($$select apply_plans('{}')$$, '42501', null, 'a user may not change the catalogue');
select throws_ok($$select quota.apply_plans('{}', true)$$, '42501', null, 'nor look what would change');
set local role anon;
select throws_ok($$select apply_plans('{}')$$, '42501', null, 'anon may not call it');
reset role;

-- Wrong documents, while there is nothing yet that could refuse them for another reason.
create temporary table wrong (document jsonb, description text);
insert into wrong values
  (null, 'no document'),
  ('null', 'null'),
  ('[]', 'an array'),
  ('"free"', 'a string'),
  ('{}', 'neither features nor plans'),
  ('{"features": {}}', 'no plans'),
  ('{"plans": {}}', 'no features'),
  ('{"features": [], "plans": {}}', 'features that are an array'),
  ('{"features": {}, "plans": null}', 'plans that are null'),
  ('{"features": {}, "plans": {}, "version": 1}', 'an unknown key'),
  ('{"features": {"a": null}, "plans": {}}', 'a feature that is null'),
  ('{"features": {"a": "b"}, "plans": {}}', 'a feature that is text'),
  ('{"features": {"a": {"nme": "A"}}, "plans": {}}', 'a misspelt key of a feature'),
  ('{"features": {"a": {"name": 1}}, "plans": {}}', 'a name that is a number'),
  ('{"features": {"a": {"name": ""}}, "plans": {}}', 'an empty name'),
  ('{"features": {"a": {"name": null}}, "plans": {}}', 'a name that is null'),
  ('{"features": {"a": {"name": "A\nB"}}, "plans": {}}', 'a name with a line break'),
  ('{"features": {"a": {"name": "A\u0085B"}}, "plans": {}}', 'a name with a C1 control character'),
  ('{"features": {"a": {"unit": "\u0007"}}, "plans": {}}', 'a unit with a control character'),
  ('{"features": {"a": {"kind": "counter"}}, "plans": {}}', 'an unknown kind'),
  ('{"features": {"a": {"kind": null}}, "plans": {}}', 'a kind that is null'),
  ('{"features": {"a": {"hidden": "yes"}}, "plans": {}}', 'hidden as text'),
  ('{"features": {}, "plans": {"p": {"limits": {}, "hidden": null}}}', 'a plan that is hidden null'),
  ('{"features": {"a": {"kind": "switch"}}, "plans": {"p": {"limits": {"a": {"month": 1}}}}}', 'a limit of a switch'),
  ('{"features": {"a": {"kind": "value"}}, "plans": {"p": {"limits": {"a": {"lifetime": 1}}}}}', 'a limit of a value'),
  ('{"features": {"a": {}}, "plans": {"p": {"limits": {}, "values": {"a": true}}}}', 'a value of what is counted'),
  ('{"features": {"a": {"kind": "gauge"}}, "plans": {"p": {"limits": {}, "values": {"a": 1}}}}', 'a value of a gauge'),
  ('{"features": {}, "plans": {"p": {"limits": {}, "values": {"a": true}}}}', 'a value of an unknown feature'),
  ('{"features": {}, "plans": {"p": {"limits": {}, "values": null}}}', 'values that are null'),
  ('{"features": {}, "plans": {"p": {"limits": {}, "values": []}}}', 'values that are an array'),
  ('{"features": {"a": {"kind": "switch"}}, "plans": {"p": {"limits": {}, "values": {"a": "on"}}}}', 'a switch that is text'),
  ('{"features": {"a": {"kind": "switch"}}, "plans": {"p": {"limits": {}, "values": {"a": null}}}}', 'a switch that is null'),
  ('{"features": {"a": {"kind": "value"}}, "plans": {"p": {"limits": {}, "values": {"a": null}}}}', 'a value that is null'),
  ('{"features": {"a": {"kind": "value"}}, "plans": {"p": {"limits": {}, "values": {"a": 1e400}}}}', 'a value of 10^400'),
  ('{"features": {"a": {"server_only": "true"}}, "plans": {}}', 'server_only as text'),
  ('{"features": {"a": {"server_only": null}}, "plans": {}}', 'server_only null'),
  ('{"features": {"": {}}, "plans": {}}', 'an empty id of a feature'),
  ('{"features": {"a\tb": {}}, "plans": {}}', 'an id of a feature with a tab'),
  ('{"features": {"a\u007f": {}}, "plans": {}}', 'an id of a feature with DEL'),
  (jsonb_build_object('features', jsonb_build_object(repeat('f', 256), '{}'::jsonb), 'plans', '{}'::jsonb), 'an id of 256 characters'),
  (jsonb_build_object('features', '{}'::jsonb, 'plans', jsonb_build_object(repeat('p', 256), '{"limits": {}}'::jsonb)), 'a plan id of 256 characters'),
  ('{"features": {}, "plans": {"": {"limits": {}}}}', 'an empty id of a plan'),
  ('{"features": {}, "plans": {"a\r\nSet-Cookie: x": {"limits": {}}}}', 'an id of a plan with CR LF'),
  ('{"features": {}, "plans": {"p": {}}}', 'a plan without limits'),
  ('{"features": {}, "plans": {"p": {"limits": null}}}', 'limits that are null'),
  ('{"features": {}, "plans": {"p": {"limits": {}, "price": 5}}}', 'an unknown key of a plan'),
  ('{"features": {}, "plans": {"p": {"limits": {}, "default": "yes"}}}', 'default as text'),
  ('{"features": {}, "plans": {"p": {"limits": {}, "default": true}, "q": {"limits": {}, "default": true}}}', 'two default plans'),
  ('{"features": {}, "plans": {"p": {"limits": {}, "upgrade_url": 5}}}', 'a url that is a number'),
  ('{"features": {}, "plans": {"p": {"limits": {}, "upgrade_url": ""}}}', 'an empty url'),
  ('{"features": {}, "plans": {"p": {"limits": {}, "upgrade_url": "/up\r\nSet-Cookie: x"}}}', 'a url with CR LF'),
  ('{"features": {}, "plans": {"p": {"limits": {"a": {"month": 1}}}}}', 'a limit of an unknown feature'),
  ('{"features": {"a": {}}, "plans": {"p": {"limits": {"a": 5}}}}', 'a limit without a period'),
  ('{"features": {"a": {}}, "plans": {"p": {"limits": {"a": {}}}}}', 'a feature with no limit'),
  ('{"features": {"a": {}}, "plans": {"p": {"limits": {"a": null}}}}', 'limits of a feature that are null'),
  ('{"features": {"a": {}}, "plans": {"p": {"limits": {"a": {"fortnight": 1}}}}}', 'an unknown period'),
  ('{"features": {"a": {}}, "plans": {"p": {"limits": {"a": {"Month": 1}}}}}', 'a period in capitals'),
  ('{"features": {"a": {"kind": "gauge"}}, "plans": {"p": {"limits": {"a": {"month": 1}}}}}', 'a gauge by the month'),
  ('{"features": {"a": {}}, "plans": {"p": {"limits": {"a": {"month": -1}}}}}', 'a limit of -1'),
  ('{"features": {"a": {}}, "plans": {"p": {"limits": {"a": {"month": 1.5}}}}}', 'a fractional limit'),
  ('{"features": {"a": {}}, "plans": {"p": {"limits": {"a": {"month": "5"}}}}}', 'a limit as text'),
  ('{"features": {"a": {}}, "plans": {"p": {"limits": {"a": {"month": true}}}}}', 'a limit of true'),
  ('{"features": {"a": {}}, "plans": {"p": {"limits": {"a": {"month": [5]}}}}}', 'a limit that is an array'),
  ('{"features": {"a": {}}, "plans": {"p": {"limits": {"a": {"month": 9007199254740992}}}}}', 'a limit of 2^53'),
  ('{"features": {"a": {}}, "plans": {"p": {"limits": {"a": {"month": 1e400}}}}}', 'a limit of 10^400');
select throws_ok(
  format('select apply_plans(%L::jsonb)', document), 'QPLAN', null, description || ' is QPLAN'
)
from wrong;
select is(
  pg_temp.catalogue(), '{"features": null, "plans": null, "limits": null}', 'none of them has changed anything'
);

create function pg_temp.message(p_sql text) returns text language plpgsql as $$
begin
  execute p_sql;
  return null;
exception when sqlstate 'QPLAN' then
  return sqlerrm;
end $$;
select alike(
  pg_temp.message($$select apply_plans('{"features": {"a": {}}, "plans": {"p": {"limits": {"a": {"month": -1}}}}}')$$),
  '%plans.p.limits.a.month%-1%null%',
  'the error names the place, what was found, and that null is what -1 is meant to be'
);

-- A first document.
set local role service_role;
select is(
  (select pg_temp.changes(document, true) from documents where name = 'first'),
  array['add feature ai_generation', 'add feature export', 'add feature kb_file', 'add feature scan',
    'add plan free', 'add plan pro', 'add limit free/ai_generation/minute',
    'add limit free/ai_generation/month', 'add limit free/kb_file/lifetime',
    'add limit pro/ai_generation/month', 'add limit pro/scan/day'],
  'a dry run says what would change'
);
reset role;
select is(pg_temp.catalogue(), '{"features": null, "plans": null, "limits": null}', 'and changes nothing');
set local role service_role;
select is(
  (select pg_temp.changes(document) from documents where name = 'first'),
  array['add feature ai_generation', 'add feature export', 'add feature kb_file', 'add feature scan',
    'add plan free', 'add plan pro', 'add limit free/ai_generation/minute',
    'add limit free/ai_generation/month', 'add limit free/kb_file/lifetime',
    'add limit pro/ai_generation/month', 'add limit pro/scan/day'],
  'the server applies a document, and is told the same'
);
reset role;
select is(
  pg_temp.catalogue(),
  '{"features": [
      {"feature_id": "ai_generation", "name": "AI generations", "unit": "generation", "kind": "metered", "server_only": false},
      {"feature_id": "export", "name": "export", "unit": "unit", "kind": "metered", "server_only": false},
      {"feature_id": "kb_file", "name": "kb_file", "unit": "unit", "kind": "gauge", "server_only": false},
      {"feature_id": "scan", "name": "scan", "unit": "unit", "kind": "metered", "server_only": true}],
    "plans": [
      {"plan_id": "free", "name": "Free", "is_default": true, "upgrade_url": "/up"},
      {"plan_id": "pro", "name": "pro", "is_default": false, "upgrade_url": null}],
    "limits": [
      {"plan_id": "free", "feature_id": "ai_generation", "period": "minute", "amount": 10},
      {"plan_id": "free", "feature_id": "ai_generation", "period": "month", "amount": 50},
      {"plan_id": "free", "feature_id": "kb_file", "period": "lifetime", "amount": 10},
      {"plan_id": "pro", "feature_id": "ai_generation", "period": "month", "amount": null},
      {"plan_id": "pro", "feature_id": "scan", "period": "day", "amount": 0}]}',
  'the catalogue equals the document; names default to ids, kind to metered'
);
select is(
  (select pg_temp.changes(document) from documents where name = 'first'), null,
  'applied again it changes nothing'
);

-- A changed document.
select is(
  (select array_agg(concat_ws(' ', c.action, c.kind, c.id, '|', c.detail) order by n)
   from documents cross join apply_plans(document, true) with ordinality as c (action, kind, id, detail, n)
   where name = 'second'),
  array['change feature ai_generation | name: "AI generations" → "Generations"',
    'remove feature export | kind: "metered", name: "export", server_only: false, unit: "unit"',
    'remove feature scan | kind: "metered", name: "scan", server_only: true, unit: "unit"',
    'add feature video | kind: "metered", name: "video", server_only: false, unit: "unit"',
    'change plan free | default: true → false, upgrade_url: "/up" → none',
    'change plan pro | default: false → true, name: "pro" → "Pro"',
    'add limit free/ai_generation/day | amount: 5',
    'remove limit free/ai_generation/minute | amount: 10',
    'remove limit free/kb_file/lifetime | amount: 10',
    'add limit free/video/week | amount: 9007199254740991',
    'change limit pro/ai_generation/month | amount: unlimited → 500',
    'remove limit pro/scan/day | amount: 0'],
  'each change is told in words, from what to what'
);
select lives_ok(
  $$select apply_plans(document) from documents where name = 'second'$$,
  'features, plans and limits are added, changed and removed, and the default moves, in one document'
);
select is(
  (select array_agg(concat_ws(' ', plan, is_default, feature, period, "limit") order by plan, feature, period)
   from plan_catalog),
  array['free f ai_generation day 5', 'free f ai_generation month 50', 'free f video week 9007199254740991',
    'pro t ai_generation month 500'],
  'the catalogue equals the new document'
);
select throws_ok(
  $$select pg_temp.changes(document, null) from documents where name = 'second'$$, '22023', null,
  'dry_run null is 22023'
);
select is(
  (select array_agg(feature_id order by feature_id) from quota.features), array['ai_generation', 'kb_file', 'video'],
  'features that no plan names stay in the catalogue'
);
select lives_ok(
  $$select apply_plans(document) from documents where name = 'first'$$, 'and back'
);

-- In use.
do $$ begin
  perform set_plan('ada', 'pro');
  perform consume_usage('ai_generation', 1, 'bob');
end $$;
create temporary table former as select pg_temp.catalogue() as catalogue;
select throws_ok(
  $$select apply_plans((select document #- '{plans,pro}' from documents where name = 'first'))$$,
  'QPLAN', null, 'a plan that a subject is on cannot be removed'
);
select throws_ok(
  $$select apply_plans('{"features": {}, "plans": {"pro": {"limits": {}}}}')$$,
  'QPLAN', null, 'nor a feature that has use'
);
select throws_ok(
  $$select apply_plans('{"features": {"ai_generation": {"kind": "gauge"}}, "plans": {"pro": {"limits": {}}}}')$$,
  'QPLAN', null, 'nor can its kind change'
);
select throws_ok(
  $$select apply_plans('{"features": {}, "plans": {"pro": {"limits": {}}}}', true)$$,
  'QPLAN', null, 'a dry run says so too'
);
select is(pg_temp.catalogue(), (select catalogue from former), 'nothing has changed');
select lives_ok(
  $$select apply_plans('{"features": {"ai_generation": {}, "export": {"kind": "gauge"}}, "plans": {"pro": {"limits": {}}}}')$$,
  'what is not in use can go, and a feature that is in use can be taken out of every plan'
);
select is(
  (select row(allowed, reason, plan)::text from consume_usage('ai_generation', 1, 'ada')),
  '(f,feature_not_in_plan,pro)', 'which refuses it'
);
select is(
  (select row(allowed, reason, plan)::text from consume_usage('ai_generation', 1, 'bob')),
  '(f,feature_not_in_plan,)', 'and so does the lack of a default plan'
);
select lives_ok(
  $$select apply_plans((select document from documents where name = 'first'))$$, 'put back'
);
select is(
  (select row(allowed, plan, used)::text from consume_usage('ai_generation', 1, 'bob')),
  '(t,free,2)', 'the use so far is still there'
);

-- A limit that is lowered or raised binds the next call.
select lives_ok(
  $$select apply_plans((select jsonb_set(document, '{plans,free,limits,ai_generation}', '{"month": 2}') from documents where name = 'first'))$$,
  'a limit is lowered'
);
select is(
  (select row(allowed, used, "limit", remaining)::text from consume_usage('ai_generation', 1, 'bob')),
  '(f,2,2,0)', 'and binds the next call'
);
select lives_ok(
  $$select apply_plans((select jsonb_set(document, '{plans,free,limits,ai_generation}', '{"month": 3}') from documents where name = 'first'))$$,
  'it is raised'
);
select is(
  (select row(allowed, used, "limit")::text from consume_usage('ai_generation', 1, 'bob')),
  '(t,3,3)', 'and opens the next call'
);

-- Ids.
select is(
  pg_temp.changes('{
    "features": {"ai_generation": {}, "c": {}, "b/c": {}},
    "plans": {"pro": {"limits": {}},
      "a/b": {"limits": {"c": {"month": 1}}}, "a": {"limits": {"b/c": {"month": 1}}}}
  }') is not null, true, 'ids may have slashes'
);
select is(
  (select array_agg(concat_ws(' ', plan, feature, "limit") order by plan) from plan_catalog),
  array['a b/c 1', 'a/b c 1'], 'and limits whose ids read the same are two'
);
select is(
  pg_temp.changes('{
    "features": {"ai_generation": {}, "c": {}, "b/c": {}},
    "plans": {"pro": {"limits": {}}, "a/b": {"limits": {}}, "a": {"limits": {"b/c": {"month": 1}}}}
  }'),
  array['remove limit a/b/c/month'], 'removing one of them'
);
select is(
  (select array_agg(concat_ws(' ', plan, feature, "limit") order by plan) from plan_catalog),
  array['a b/c 1'], 'leaves the other'
);
select lives_ok(
  $$select apply_plans('{"features": {"ai_generation": {}, "ü 漢字 ''; --": {}}, "plans": {"pro": {"limits": {"ü 漢字 ''; --": {"month": 1}}}}}')$$,
  'any character that is no control character can be in an id'
);
select is(
  (select feature from plan_catalog), $$ü 漢字 '; --$$, 'and stays as it is'
);
select lives_ok(
  format($$select apply_plans('{"features": {"ai_generation": {}, "%s": {}}, "plans": {"pro": {"limits": {}}}}')$$, repeat('f', 255)),
  'an id has up to 255 characters'
);
select lives_ok(
  format($$select apply_plans('{"features": {"ai_generation": {"name": "%s"}}, "plans": {"pro": {"upgrade_url": "%s", "limits": {}}}}')$$,
    repeat('n', 2000), repeat('u', 2000)),
  'a name or url has up to 2000'
);
select lives_ok(
  $$select apply_plans('{"features": {"ai_generation": {}}, "plans": {"pro": {"limits": {"ai_generation": {"month": 1e3, "day": 5.0}}}}}')$$,
  'a whole number may be written in any way of JSON'
);

-- Switches and values, and what is hidden.
create temporary table switches (name text primary key, document jsonb);
grant select on switches to service_role;
insert into switches values
  ('first', '{
    "features": {"ai_generation": {}, "secret": {"hidden": true}, "sso": {"kind": "switch"}, "max_context": {"kind": "value"}, "models": {"kind": "value"}},
    "plans": {
      "free": {"default": true, "limits": {"ai_generation": {"month": 5}}, "values": {"sso": false, "max_context": 0}},
      "team": {"limits": {}, "values": {"sso": true, "max_context": 200000, "models": ["a", "b"]}},
      "inner": {"hidden": true, "limits": {}}
    }
  }');
do $$ begin perform apply_plans('{"features": {"ai_generation": {}}, "plans": {"pro": {"limits": {}}, "free": {"default": true, "limits": {}}}}'); end $$;
update quota.subjects set plan_id = 'free';
set local role service_role;
select is(
  (select pg_temp.changes(document, true) from switches),
  array['add feature max_context', 'add feature models', 'add feature secret', 'add feature sso', 'add plan inner',
    'remove plan pro', 'add plan team', 'add limit free/ai_generation/month', 'add value free/max_context',
    'add value free/sso', 'add value team/max_context', 'add value team/models', 'add value team/sso'],
  'a dry run names values and what is hidden'
);
reset role;
select is((select count(*) from quota.plan_values), 0::bigint, 'and writes none');
set local role service_role;
select is(
  (select array_agg(concat_ws(' ', c.kind, c.id, c.detail) order by c.id) from switches, apply_plans(document) as c
   where c.id in ('team/models', 'team/sso', 'inner', 'secret')),
  array['plan inner default: false, hidden: true, name: "inner", upgrade_url: none',
    'feature secret hidden: true, kind: "metered", name: "secret", server_only: false, unit: "unit"',
    'value team/models value: ["a", "b"]', 'value team/sso value: true'],
  'what is added is told'
);
select is((select pg_temp.changes(document) from switches), null, 'applied again it changes nothing');
reset role;
select is(
  (select array_agg(concat_ws(' ', plan_id, feature_id, value) order by plan_id, feature_id collate "C") from quota.plan_values),
  array['free max_context 0', 'free sso false', 'team max_context 200000', 'team models ["a", "b"]', 'team sso true'],
  '0 and false are values'
);
select is(
  (select array_agg(concat_ws(' ', c.action, c.kind, c.id, c.detail))
   from switches, apply_plans(
     document #- '{plans,team,values,models}' || '{}'::jsonb
   ) as c),
  array['remove value team/models value: ["a", "b"]'], 'a value that is left out goes'
);
select is(
  (select array_agg(concat_ws(' ', c.action, c.kind, c.id, c.detail))
   from switches, apply_plans(
     jsonb_set(document, '{plans,free,values,sso}', 'true') #- '{plans,team,values,models}' #- '{features,secret,hidden}'
   ) as c),
  array['change feature secret hidden: true → false', 'change value free/sso value: false → true'],
  'a change is told, from what to what'
);
do $$ begin perform set_value('ada', 'models', '["c"]'); perform set_value('ada', 'sso', 'true'); end $$;
select throws_ok(
  $$select apply_plans(document #- '{plans,team,values,models}' #- '{features,models}') from switches$$, 'QPLAN', null,
  'a value that a subject has of its own cannot be removed'
);
select throws_ok(
  $$select apply_plans(jsonb_set(document, '{features,models}', '{"kind": "metered"}') #- '{plans,team,values,models}') from switches$$,
  'QPLAN', null, 'nor become another kind'
);
do $$ begin perform set_value('ada', 'models', '["c"]', '2026-09-15 13:00:00+00'); end $$;
create or replace function quota.clock()
returns timestamptz language plpgsql set search_path = pg_catalog, pg_temp
as $$ begin return '2026-09-15 13:00:00+00'; end $$;
select lives_ok(
  $$select apply_plans(document #- '{plans,team,values,models}' #- '{features,models}') from switches$$,
  'but when its own has ended'
);
select is(
  (select array_agg(feature_id::text) from quota.overrides), array['sso'], 'and then it leaves nothing behind'
);
do $$ begin
  perform set_limit('eve', 'secret', 'month', 1);
  perform clear_limit('eve', 'secret', 'month');
end $$;
select throws_ok(
  $$select apply_plans(jsonb_set(document, '{features,secret}', '{"kind": "switch"}')) from switches$$, 'QPLAN', null,
  'what has been counted does not become a switch'
);
select is((select count(*) from verify_usage()), 0::bigint, 'the sums are right');

select * from finish();
rollback;
