-- Text is data: whatever stands in an argument is kept or refused as it is, and never runs.
begin;
select set_config('search_path', 'public, ' || pronamespace::regnamespace, true) from pg_proc where proname = 'pgtap_version';
set local timezone = 'UTC';
select plan(16);

do $$ begin perform apply_plans('{
  "features": {"ai_generation": {}, "token": {}},
  "plans": {"free": {"default": true, "limits": {"ai_generation": {"month": 50}, "token": {"month": null}}}}
}'); end $$;

create temporary table texts (n serial, t text);
insert into texts (t) values
  ($$' or true --$$),
  ($$'; drop table quota.events; --$$),
  ($$'); delete from quota.events; select ('$$),
  ($$ada' union select 'bob$$),
  ($$\'; drop schema quota cascade; --$$),
  ($$$$ || '$' || '$; drop table quota.plans; $' || '$'),
  ($$"; drop table "quota"."plans"; --$$),
  ($$%s %I %L %$$),
  ($$%27%20or%201%3D1$$),
  ($$${7*7} {{7*7}} <script>alert(1)</script>$$),
  ($$null$$),
  ($$NULL$$),
  ($$*$$),
  ($$../../etc/passwd$$),
  ($$ada,bob$$),
  ($$(ada)$$),
  ($${"sub": "ada"}$$),
  ($$ada$$ || chr(10) || $$role: service_role$$),
  ($$ada$$ || chr(13) || chr(10) || $$Set-Cookie: x=1$$),
  ($$	tab$$),
  (chr(8238) || 'ada'),
  ('ad' || chr(8203) || 'a'),
  ('аda'), -- with the Cyrillic а
  ('ａｄａ'),
  (chr(233)), ('e' || chr(769)), -- é, composed and decomposed
  ('💥'),
  (chr(1)), (chr(127)), (chr(133)), (chr(65534)),
  (repeat('''', 255)),
  (repeat('\', 255));

create function pg_temp.catalogue() returns text language sql as $$
  select md5(string_agg(t, ',' order by t)) from (
    select 'c' || oid || relname || coalesce(relacl::text, '') from pg_class where relnamespace in ('quota'::regnamespace, 'public'::regnamespace)
    union all
    select 'f' || oid || proname || prosrc || coalesce(proacl::text, '') from pg_proc where pronamespace in ('quota'::regnamespace, 'public'::regnamespace)
    union all
    -- Of the whole server, where other suites make roles meanwhile.
    select 'r' || rolname || rolsuper from pg_roles where rolsuper or rolname in (select t from texts)
    union all
    select 'p' || p::text from quota.plans as p
    union all
    select 'l' || l::text from quota.plan_limits as l
    union all
    select 'e' || f::text from quota.features as f
  ) as all_of_it (t)
$$;
create temporary table former as select pg_temp.catalogue() as catalogue;

create function pg_temp.code(p_role text, p_sub text, p_sql text, p_text text) returns text language plpgsql as $$
begin
  perform set_config('role', p_role, true),
    set_config('request.jwt.claims', jsonb_build_object('sub', p_sub)::text, true);
  execute p_sql using p_text;
  reset role;
  return 'ok';
exception when others then
  return sqlstate;
end $$;
create function pg_temp.codes(p_role text, p_sub text, p_sql text) returns text language sql as $$
  select string_agg(distinct pg_temp.code(p_role, p_sub, p_sql, t), ', ') from pg_temp.texts
$$;

-- As a user.
select is(
  pg_temp.codes('authenticated', 'ada', 'select public.consume_usage($1)'), 'QFEAT', 'as a feature it is unknown'
);
select is(
  pg_temp.codes('authenticated', 'ada', $$select public.consume_usage('ai_generation', 1, $1)$$), '42501',
  'as a subject it is somebody else, also where it looks like the user itself'
);
select is(
  pg_temp.codes('authenticated', 'ada', $$select public.check_usage('ai_generation', 1, $1)$$), '42501',
  'and nothing is told about it'
);
select is(
  pg_temp.codes('authenticated', 'ada', $$select public.consume_usage('token', 1, null, $1, jsonb_build_object('text', $1))$$),
  'ok', 'as a key and in metadata it is kept'
);
select set_eq(
  $$select idempotency_key, metadata ->> 'text' from quota.events where subject_id = 'ada'$$,
  'select t as key, t as text from texts',
  'byte for byte, and no two of them are taken for one'
);
select is(
  (select string_agg(distinct pg_temp.code('authenticated', t, $$select public.consume_usage('ai_generation'), $1$$, t), ', ')
   from texts),
  'ok', 'as the sub of a token it is a user'
);
select set_eq(
  $$select subject_id from quota.meters where feature_id = 'ai_generation' and used = 1$$,
  'select t as subject from texts', 'that user and nobody else'
);

-- As the server.
select is(
  pg_temp.codes('service_role', null, $$select public.consume_usage('token', 2, $1)$$), 'ok',
  'the server may name any subject'
);
select is(
  pg_temp.codes('service_role', null, $$select public.set_plan($1, 'free')$$), 'ok', 'and put it on a plan'
);
select is(
  pg_temp.codes('service_role', null, $$select public.set_plan('ada', $1)$$), 'QPLAN', 'as a plan it is unknown'
);
select is(
  pg_temp.codes('service_role', null, $$select public.set_plan('ada', 'free', time_zone => $1)$$), '22023',
  'as a time zone too'
);
select is(
  pg_temp.codes('service_role', null, $$select public.refund_usage(
    (select event_id from quota.events where subject_id = $1 and used_change = 2), 1, $1, $1, $1)$$),
  'ok', 'as the reason and key of a refund it is kept'
);
select set_eq(
  $$select subject_id, metadata ->> 'reason', idempotency_key from quota.events where kind = 'refund'$$,
  'select t as subject, t as reason, t as key from texts', 'byte for byte'
);
select is(
  (select string_agg(distinct pg_temp.code('service_role', null, $$
      select public.apply_plans(jsonb_build_object(
        'features', '{"ai_generation": {}, "token": {}}'::jsonb || jsonb_build_object($1, jsonb_build_object('name', $1, 'unit', $1)),
        'plans', jsonb_build_object('free', '{"default": true, "limits": {}}'::jsonb,
          $1, jsonb_build_object('name', $1, 'upgrade_url', $1, 'limits', jsonb_build_object($1, '{"month": 1}'::jsonb)))
      ), true)$$, t), ', ')
   from texts where t !~ '[\u0001-\u001f\u007f-\u009f]'),
  'ok', 'in a plan document it is an id like any other'
);

select is(pg_temp.catalogue(), (select catalogue from former), 'no table, function, right, plan or limit has changed');
select is_empty('select * from verify_usage()', 'every number is proved by the ledger');

select * from finish();
rollback;
