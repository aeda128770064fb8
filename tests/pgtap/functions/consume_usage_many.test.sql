-- consume_usage_many(): many calls of one subject in one round trip, each decided as if it had come alone.
begin;
select set_config('search_path', 'public, ' || pronamespace::regnamespace, true) from pg_proc where proname = 'pgtap_version';
set local timezone = 'UTC';
select plan(45);

create or replace function quota.clock()
returns timestamptz language plpgsql set search_path = pg_catalog, pg_temp
as $$ begin return current_setting('test.clock', true); end $$;
set local test.clock = '2026-09-15 12:00:00+00';

do $$ begin perform apply_plans('{
  "features": {
    "token": {}, "gen": {}, "export": {}, "secret": {"server_only": true}, "closed": {}, "sso": {"kind": "switch"},
    "file": {"kind": "gauge"}, "image": {"costs": {"token": 10}}, "soft": {}, "session": {}
  },
  "plans": {
    "free": {"default": true, "upgrade_url": "/up", "limits": {
      "token": {"month": 1000}, "gen": {"month": 50, "minute": 7}, "export": {"month": null}, "secret": {"month": 5},
      "file": {"lifetime": 20}, "image": {"month": null}, "soft": {"month": {"limit": 5, "mode": "soft", "ceiling": 9}},
      "session": {"5 hours": 8}
    }}
  }
}'); end $$;

create function pg_temp.many(p_calls text, p_subject text default 'org') returns text[] language sql as $$
  select array_agg(concat_ws(' ', reason, feature, amount, used, remaining) || case when replayed then ' again' else '' end)
  from public.consume_usage_many(p_calls::jsonb, p_subject)
$$;
create function pg_temp.updates() returns bigint language sql as $$
  select n_tup_upd from pg_stat_xact_user_tables where relid = 'quota.meters'::regclass
$$;
create function pg_temp.refusal(p_statement text) returns text language plpgsql as $$
begin
  execute p_statement;
  return 'done';
exception when others then
  return sqlstate;
end $$;

set local role service_role;
select is(
  pg_temp.many('[{"feature": "token"}, {"feature": "token", "amount": 4}, {"feature": "token"}]'),
  array['ok token 1 1 999', 'ok token 4 5 995', 'ok token 1 6 994'],
  'each call has its decision, in order, with what the calls before it took'
);
select is(
  (select array_agg(kind || ' ' || used_change order by used_change) from usage_events where subject = 'org'),
  array['consume 1', 'consume 1', 'consume 4'],
  'each is a line of its own in the ledger'
);
select set_config('test.updates', pg_temp.updates()::text, true);
select is(
  (select count(distinct event_id) from consume_usage_many((select jsonb_agg('{"feature": "token"}'::jsonb) from generate_series(1, 100)), 'org')),
  100::bigint, 'a hundred calls have a hundred events'
);
select is(pg_temp.updates() - current_setting('test.updates')::bigint, 1::bigint, 'and one update of the meter');
select is(
  (select array_agg(d.event_id order by d.used) = array_agg(d.event_id order by d.event_id)
   from consume_usage_many('[{"feature": "token"}, {"feature": "token"}, {"feature": "token"}]', 'sorted') as d where d.used > 1),
  true, 'whose ids are in their order'
);
select is(
  (select to_jsonb(d) - 'event_id' from consume_usage_many('[{"feature": "token"}]', 'org') as d),
  (select to_jsonb(d) - 'event_id' || '{"used": 107, "remaining": 893}' from consume_usage('token', 1, 'org') as d),
  'a call is answered as it would be alone'
);
select is(
  pg_temp.many('[{"feature": "export", "metadata": {"a": 1}, "actor": "ada"}, {"feature": "export", "amount": 2, "idempotency_key": "k0", "actor": "kept"}, {"feature": "export", "amount": 3, "metadata": null, "actor": null, "idempotency_key": null, "partial": false}]', 'kept'),
  array['ok export 1 1', 'ok export 2 3', 'ok export 3 6'], 'a call has metadata, an actor and a key'
);
select is(
  (select array_agg(metadata::text || ' ' || coalesce(actor, '-') || ' ' || coalesce(idempotency_key, '-') order by used_change) from usage_events where subject = 'kept'),
  array['{"a": 1} ada -', '{} - k0', '{} - -'], 'of its own'
);

-- In order, at a limit.
select is(
  pg_temp.many('[{"feature": "token", "amount": 800}, {"feature": "token", "amount": 93}, {"feature": "token", "amount": 92}, {"feature": "token"}]'),
  array['ok token 800 908 92', 'limit_reached token 93 908 92', 'ok token 92 1000 0', 'limit_reached token 1 1000 0'],
  'what has no room is refused, what comes after it and fits is counted'
);
select set_config('test.updates', pg_temp.updates()::text, true);
select is(
  pg_temp.many('[{"feature": "token"}, {"feature": "token", "amount": 2}, {"feature": "token"}]'),
  array['limit_reached token 1 1000 0', 'limit_reached token 2 1000 0', 'limit_reached token 1 1000 0'],
  'all can be refused'
);
select is(pg_temp.updates() - current_setting('test.updates')::bigint, 0::bigint, 'which writes nothing');
select is(
  (select array_agg(retry_after) from consume_usage_many('[{"feature": "token"}, {"feature": "token", "amount": 1001}]', 'org')),
  array[1339200, null]::integer[], 'and each is told how long to wait'
);
select is(
  pg_temp.many('[{"feature": "token"}, {"feature": "export"}, {"feature": "closed"}, {"feature": "gen"}, {"feature": "export"}]'),
  array['limit_reached token 1 1000 0', 'ok export 1 1', 'feature_not_in_plan closed 1 0 0', 'ok gen 1 1 6', 'ok export 1 2'],
  'calls of several features stand beside one another'
);
select is(
  pg_temp.many('[{"feature": "token", "amount": 5000, "partial": true}, {"feature": "token", "partial": true}]', 'part'),
  array['ok token 1000 1000 0', 'limit_reached token 1 1000 0'], 'one that is partial takes what fits'
);
select is(
  pg_temp.many('[{"feature": "image"}, {"feature": "token", "amount": 985}, {"feature": "image"}]', 'costly'),
  array['ok image 1 10 990', 'ok token 985 995 5', 'limit_reached image 1 995 5'], 'what costs something else takes that'
);
select is(
  pg_temp.many('[{"feature": "soft", "amount": 4}, {"feature": "soft", "amount": 4}, {"feature": "soft", "amount": 4}]', 'soft'),
  array['ok soft 4 4 1', 'over_limit soft 4 8 0', 'limit_reached soft 4 8 0'], 'a soft limit is one here, too'
);

-- Keys.
select is(
  pg_temp.many('[{"feature": "gen", "idempotency_key": "a"}, {"feature": "gen", "idempotency_key": "b"}]', 'keys'),
  array['ok gen 1 1 6', 'ok gen 1 2 5'], 'each call binds its key'
);
select set_config('test.updates', pg_temp.updates()::text, true);
select is(
  pg_temp.many('[{"feature": "gen", "idempotency_key": "c"}, {"feature": "gen", "idempotency_key": "d"}, {"feature": "gen"}]', 'keys'),
  array['ok gen 1 3 4', 'ok gen 1 4 3', 'ok gen 1 5 2'], 'beside calls without one'
);
select is(
  pg_temp.many('[{"feature": "gen", "idempotency_key": "b"}, {"feature": "gen", "idempotency_key": "e"}, {"feature": "gen", "idempotency_key": "a"}]', 'keys'),
  array['ok gen 1 2 5 again', 'ok gen 1 6 1', 'ok gen 1 1 6 again'], 'one that was used before has the first answer again'
);
select is(
  pg_temp.many('[{"feature": "gen", "idempotency_key": "f"}, {"feature": "gen", "idempotency_key": "f"}]', 'keys'),
  array['ok gen 1 7 0', 'ok gen 1 7 0 again'], 'also where it stands twice in the same array'
);
select is(
  (select (d.replayed, d.event_id = m.event_id)::text from consume_usage('gen', 1, 'keys', 'f') as d
   cross join consume_usage_many('[{"feature": "gen", "idempotency_key": "f"}]', 'keys') as m),
  '(t,t)', 'a key is the same alone and among many'
);
select is(
  pg_temp.many('[{"feature": "export"}, {"feature": "export", "idempotency_key": "a"}, {"feature": "export", "idempotency_key": "g"}, {"feature": "export", "amount": 2, "idempotency_key": "g"}]', 'keys'),
  array['ok export 1 1', 'QIDEM export', 'ok export 1 2', 'QIDEM export'], 'with other arguments it is QIDEM, of that call alone'
);

-- What is wrong with one concerns that one.
select is(
  pg_temp.many('[{"feature": "export"}, {"feature": "nothing"}, {"feature": "export", "amount": 0}, {"feature": "export", "amount": "1"},
    {"feature": "export", "amount": 1.5}, {"feature": "export", "amount": null}, {"feature": "export", "amount": 9007199254740992},
    {"feature": "export", "metadata": []}, {"feature": "export", "idempotency_key": ""}, {"feature": "export", "idempotency_key": 5},
    {"feature": "export", "actor": ""}, {"feature": "export", "partial": null}, {"feature": "sso"}, {"feature": "export", "amonut": 1}, {}, 5, null, [],
    {"feature": "export", "amount": 3}]', 'wrong'),
  array['ok export 1 1', 'QFEAT nothing', 'QAMNT export', 'QAMNT export', 'QAMNT export', 'QAMNT export', 'QAMNT export', 'QMETA export',
    'QIDEM export', '22023 export', 'QSUBJ export', '22023 export', 'QFEAT sso', '22023 export', '22023', '22023', '22023', '22023', 'ok export 3 4'],
  'an argument that is wrong is an error of that call alone'
);
select is((select allowed or replayed from consume_usage_many('[{"feature": "nothing"}]', 'wrong')), false, 'which is not allowed');
select is(
  pg_temp.many('[{"feature": "export", "amount": 9007199254740991}, {"feature": "export"}, {"feature": "file"}]', 'huge'),
  array['ok export 9007199254740991 9007199254740991', 'QAMNT export', 'ok file 1 1 19'], 'so is a counter that would overflow'
);
select is(
  (select array_agg(reason) from consume_usage_many(jsonb_build_array('{"feature": "export"}'::jsonb,
    jsonb_build_object('feature', 'export', 'metadata', jsonb_build_object('a', repeat('x', 8192))),
    jsonb_build_object('feature', 'export', 'idempotency_key', repeat('x', 256)),
    jsonb_build_object('feature', 'export', 'actor', repeat('x', 256)),
    jsonb_build_object('feature', 'export', 'actor', repeat('x', 255), 'idempotency_key', repeat('y', 255))), 'wrong')),
  array['ok', 'QMETA', 'QIDEM', 'QSUBJ', 'ok'], 'and what is too long'
);
select is(pg_temp.refusal($$select consume_usage_many('[]', 'org')$$), '22023', 'none at all is an error');
select is(pg_temp.refusal($$select consume_usage_many('{}', 'org')$$), '22023', 'and what is no array');
select is(pg_temp.refusal($$select consume_usage_many((select jsonb_agg('{"feature": "export"}'::jsonb) from generate_series(1, 1001)), 'org')$$), '22023', 'and more than 1,000');
select is(
  (select count(*) from consume_usage_many((select jsonb_agg('{"feature": "export"}'::jsonb) from generate_series(1, 1000)), 'org') where allowed),
  1000::bigint, 'a thousand are not'
);
select is(pg_temp.refusal($$select consume_usage_many('[{"feature": "export"}]', '')$$), 'QSUBJ', 'a subject has a name');
select is(pg_temp.refusal($$select consume_usage_many('[{"feature": "export"}]', null)$$), 'QSUBJ', 'which is given');
select is(pg_temp.many('[{"feature": "secret"}, {"feature": "secret"}]', 'org'), array['ok secret 1 1 4', 'ok secret 1 2 3'], 'the server may use what is server_only');

-- Time, terms, others.
set local test.clock = '2026-09-15 12:01:00+00';
select is(
  pg_temp.many('[{"feature": "gen"}, {"feature": "gen", "amount": 2}, {"feature": "gen", "amount": 9}]', 'keys'),
  array['ok gen 1 1 6', 'ok gen 2 3 4', 'limit_reached gen 9 3 4'], 'a minute that begins makes room'
);
select is(
  pg_temp.many('[{"feature": "session", "amount": 3}, {"feature": "session", "amount": 3}, {"feature": "session", "amount": 3}]', 'keys'),
  array['ok session 3 3 5', 'ok session 3 6 2', 'limit_reached session 3 6 2'], 'the first opens a window'
);
select is(
  (select array_agg(threshold order by threshold) from usage_alerts where subject = 'alerted'), null, 'nobody is near a limit'
);
select is((select count(*) from consume_usage_many((select jsonb_agg('{"feature": "token", "amount": 90}'::jsonb) from generate_series(1, 12)), 'alerted') where allowed), 11::bigint, 'until many calls');
select is(
  (select array_agg(threshold || ' ' || used order by threshold) from usage_alerts where subject = 'alerted'), array['80 810'],
  'cross a mark, which is told once and as the call that crossed it'
);
do $$ begin perform grant_usage('token', 100, 'alerted'); end $$;
select is(
  pg_temp.many('[{"feature": "token", "amount": 20}, {"feature": "token", "amount": 80}, {"feature": "token", "amount": 20}]', 'alerted'),
  array['ok token 20 1010 90', 'ok token 80 1090 10', 'limit_reached token 20 1090 10'], 'grants are drawn in order'
);
do $$ begin perform merge_subjects('part', 'alerted'); end $$;
select is(
  (select array_agg(subject || ' ' || reason) from consume_usage_many('[{"feature": "export"}, {"feature": "export"}]', 'part')),
  array['alerted ok', 'alerted ok'], 'an old name is answered as its account'
);
reset role;

-- As one by one, whatever they are.
create function pg_temp.told(p_answer public.usage_decision) returns jsonb language sql as $$
  select to_jsonb(p_answer) - '{event_id,subject,limiting_subject}'::text[]
$$;
create function pg_temp.differences() returns setof text language plpgsql as $$
declare
  v_calls jsonb;
  v_call jsonb;
  v_alone jsonb;
  v_together jsonb;
begin
  perform setseed(0.42);
  for i in 1 .. 60 loop
    perform set_config('test.clock', (timestamptz '2026-09-20 10:00:00+00' + i * interval '37 seconds')::text, true);
    select jsonb_agg(jsonb_strip_nulls(jsonb_build_object(
        'feature', (array['token', 'gen', 'export', 'soft', 'session', 'file', 'image', 'closed', 'nothing'])[
          1 + floor(random() * case when i % 3 = 0 then 9 when i % 3 = 1 then 1 else 3 end)],
        'amount', case when random() < 0.6 then floor(random() * 12) end,
        'idempotency_key', case when random() < 0.3 then 'k' || floor(random() * 40) end,
        'actor', case when random() < 0.2 then 'actor' end,
        'partial', case when random() < 0.1 then true end
      )))
      into v_calls
      from generate_series(1, 1 + floor(random() * 15)::integer);
    v_alone := '[]';
    for v_call in select value from jsonb_array_elements(v_calls) loop
      begin
        v_alone := v_alone || pg_temp.told(consume_usage(v_call ->> 'feature', coalesce((v_call ->> 'amount')::bigint, 1),
          'alone', v_call ->> 'idempotency_key', '{}', v_call ->> 'actor', coalesce((v_call ->> 'partial')::boolean, false)));
      exception when others then
        v_alone := v_alone || to_jsonb(sqlstate);
      end;
    end loop;
    select jsonb_agg(case when d.reason ~ '^[0-9A-Z]{5}$' then to_jsonb(d.reason) else pg_temp.told(d) end)
      into v_together
      from consume_usage_many(v_calls, 'together') as d;
    if v_alone <> v_together then
      return next v_calls::text || v_alone::text || v_together::text;
    end if;
  end loop;
end $$;
select is_empty('select pg_temp.differences()', 'sixty random arrays are answered as their calls alone');
select set_eq(
  $$select feature_id, used, reserved, drawn, used - used_before, allowed, period from quota.meters where subject_id = 'together'$$,
  $$select feature_id, used, reserved, drawn, used - used_before, allowed, period from quota.meters where subject_id = 'alone'$$,
  'and leave the same meters'
);
select set_eq(
  $$select feature, kind, used_change, actor, idempotency_key, count(*) from usage_events where subject = 'together' group by 1, 2, 3, 4, 5$$,
  $$select feature, kind, used_change, actor, idempotency_key, count(*) from usage_events where subject = 'alone' group by 1, 2, 3, 4, 5$$,
  'and the same lines'
);
select is_empty('select * from verify_usage()', 'every counter equals its ledger');

set local role authenticated;
set local request.jwt.claims = '{"sub": "ada", "role": "authenticated"}';
select throws_ok($$select consume_usage_many('[{"feature": "export"}]', 'ada')$$, '42501', null, 'it is for the server');
select * from finish();
rollback;
