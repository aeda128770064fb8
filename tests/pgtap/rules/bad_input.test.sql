-- Bad input of every kind gets its code and leaves no row: a table of calls, each made as the real role.
begin;
select set_config('search_path', 'public, ' || pronamespace::regnamespace, true) from pg_proc where proname = 'pgtap_version';
set local timezone = 'UTC';
select plan(279);

-- A month that ends in between would begin anew.
create or replace function quota.clock()
returns timestamptz language plpgsql set search_path = pg_catalog, pg_temp
as $$ begin return '2026-09-15 12:00:00+00'; end $$;

do $$ begin
  perform apply_plans('{
    "features": {"ai_generation": {}, "scan": {"server_only": true}, "token": {}, "file": {"kind": "gauge"}, "sso": {"kind": "switch"}, "max_context": {"kind": "value"}},
    "plans": {"free": {"default": true, "limits": {"ai_generation": {"month": 50}, "scan": {"month": 5}, "token": {"month": null}, "file": {"lifetime": 5}}}}
  }');
  perform consume_usage('ai_generation', 3, 'ada');
end $$;
create temporary table known as select event_id from quota.events;
grant select on known to service_role;

-- Everything that the tables hold.
create function pg_temp.state() returns text language plpgsql as $$
declare
  v_table regclass;
  v_rows text;
  v_all text := '';
begin
  for v_table in
    select oid from pg_class where relnamespace = 'quota'::regnamespace and relkind = 'r' order by relname
  loop
    execute format('select coalesce(string_agg(t::text, chr(10) order by t::text), %L) from %s as t', '', v_table)
      into v_rows;
    v_all := v_all || v_table::text || chr(10) || v_rows || chr(10);
  end loop;
  return v_all;
end $$;
create temporary table former as select pg_temp.state() as state;

-- The code that a call raises; null if it raises none, and then what it did stays.
create function pg_temp.code(p_role text, p_claims text, p_sql text) returns text language plpgsql as $$
begin
  perform set_config('role', p_role, true), set_config('request.jwt.claims', p_claims, true);
  execute p_sql;
  reset role;
  return null;
exception when others then
  return sqlstate;
end $$;

create temporary table calls (n serial, who text, call text, code text, description text);
insert into calls (who, call, code, description) values
  -- Amounts.
  ('ada', 'consume_usage(%feature, 0)', 'QAMNT', 'amount 0'),
  ('ada', 'consume_usage(%feature, -1)', 'QAMNT', 'amount -1'),
  ('ada', 'consume_usage(%feature, null)', 'QAMNT', 'amount null'),
  ('ada', 'consume_usage(%feature, 9007199254740992)', 'QAMNT', 'amount 2^53'),
  ('ada', 'consume_usage(%feature, 9223372036854775807)', 'QAMNT', 'amount 2^63 - 1'),
  ('ada', 'consume_usage(%feature, -9223372036854775808)', 'QAMNT', 'amount -2^63'),
  ('ada', 'consume_usage(''token'', 9223372036854775807)', 'QAMNT', 'amount 2^63 - 1 of something unlimited'),
  ('ada', 'consume_usage(%feature, 9223372036854775808)', '42883', 'amount 2^63, which is no bigint'),
  ('ada', 'consume_usage(%feature, ''NaN'')', '22P02', 'amount NaN'),
  ('ada', 'consume_usage(%feature, ''many'')', '22P02', 'amount in words'),
  ('ada', 'consume_usage(%feature, 1.5)', '42883', 'amount 1.5'),
  -- Features.
  ('ada', 'consume_usage(null)', 'QFEAT', 'no feature'),
  ('ada', 'consume_usage('''')', 'QFEAT', 'an empty feature'),
  ('ada', 'consume_usage(''video'')', 'QFEAT', 'an unknown feature'),
  ('ada', 'consume_usage(''AI_GENERATION'')', 'QFEAT', 'a feature in capitals'),
  ('ada', 'consume_usage(''ai_generation '')', 'QFEAT', 'a feature with a blank behind it'),
  ('ada', 'consume_usage(repeat(''f'', 1000000))', 'QFEAT', 'a feature of 1 MB'),
  ('ada', 'consume_usage(''scan'')', '42501', 'a server_only feature'),
  -- Subjects.
  ('ada', 'consume_usage(%feature, 1, ''bob'')', '42501', 'somebody else'),
  ('ada', 'consume_usage(%feature, 1, ''ADA'')', '42501', 'itself in capitals'),
  ('ada', 'consume_usage(%feature, 1, '' ada'')', '42501', 'itself with a blank before it'),
  ('ada', 'consume_usage(%feature, 1, '''')', 'QSUBJ', 'an empty subject'),
  ('ada', 'consume_usage(%feature, 1, repeat(''s'', 256))', 'QSUBJ', 'a subject of 256 characters'),
  ('server', 'consume_usage(%feature)', 'QSUBJ', 'no subject'),
  ('server', 'consume_usage(%feature, 1, '''')', 'QSUBJ', 'an empty subject'),
  ('server', 'consume_usage(%feature, 1, repeat(''s'', 256))', 'QSUBJ', 'a subject of 256 characters'),
  ('server', 'consume_usage(%feature, 1, repeat(''s'', 1000000))', 'QSUBJ', 'a subject of 1 MB'),
  -- Identities.
  ('nobody', 'consume_usage(%feature)', '42501', 'claims without sub'),
  ('nobody', 'consume_usage(%feature, 1, ''ada'')', '42501', 'claims without sub and the name of somebody'),
  ('no claims', 'consume_usage(%feature, 1, ''ada'')', '42501', 'no claims and the name of somebody'),
  ('empty sub', 'consume_usage(%feature)', '42501', 'an empty sub'),
  ('empty sub', 'consume_usage(%feature, 1, '''')', '42501', 'an empty sub that names an empty subject'),
  ('null sub', 'consume_usage(%feature)', '42501', 'a sub of null'),
  ('list', 'consume_usage(%feature)', '42501', 'claims that are a list'),
  ('long sub', 'consume_usage(%feature)', 'QSUBJ', 'a sub of 256 characters'),
  ('garbage', 'consume_usage(%feature)', '22P02', 'claims that are no JSON'),
  ('anon', 'consume_usage(%feature, 1, ''ada'')', '42501', 'anon'),
  ('anon as ada', 'consume_usage(%feature)', '42501', 'anon with a sub'),
  -- Keys.
  ('ada', 'consume_usage(%feature, 1, null, '''')', 'QIDEM', 'an empty key'),
  ('ada', 'consume_usage(%feature, 1, null, repeat(''k'', 256))', 'QIDEM', 'a key of 256 characters'),
  ('ada', 'consume_usage(%feature, 1, null, repeat(''k'', 300))', 'QIDEM', 'a key of 300 characters'),
  ('ada', 'consume_usage(%feature, 1, null, repeat(''k'', 1000000))', 'QIDEM', 'a key of 1 MB'),
  -- Metadata.
  ('ada', 'consume_usage(%feature, metadata => ''[]'')', 'QMETA', 'metadata that is a list'),
  ('ada', 'consume_usage(%feature, metadata => ''null'')', 'QMETA', 'metadata that is the null of JSON'),
  ('ada', 'consume_usage(%feature, metadata => ''"x"'')', 'QMETA', 'metadata that is a text'),
  ('ada', 'consume_usage(%feature, metadata => ''1'')', 'QMETA', 'metadata that is a number'),
  ('ada', 'consume_usage(%feature, metadata => jsonb_build_object(''a'', repeat(''x'', 9000)))', 'QMETA', 'metadata of 9 kB'),
  ('ada', 'consume_usage(%feature, metadata => jsonb_build_object(''a'', repeat(''x'', 1000000)))', 'QMETA', 'metadata of 1 MB'),
  ('ada', 'consume_usage(%feature, metadata => jsonb_build_object(''a'', repeat(''ü'', 5000)))', 'QMETA', 'metadata of 5000 characters and 10 kB'),
  ('ada', 'consume_usage(%feature, metadata => ''{"a": "\u0000"}'')', '22P05', 'metadata with NUL');
-- enforce_usage() judges its arguments alike, and check_usage() those that it has.
insert into calls (who, call, code, description)
  select who, replace(call, 'consume_usage(', 'enforce_usage('), code, description from calls order by n;
insert into calls (who, call, code, description)
  select who, replace(call, 'consume_usage(', 'check_usage('), code, description from calls
  where call ~ '^consume_usage' and call !~ 'metadata|repeat\(.k'
    and description not in ('an empty key', 'a server_only feature')
  order by n;
insert into calls (who, call, code, description) values
  ('server', 'refund_usage(''not-a-uuid'')', '22P02', 'an event that is no uuid'),
  ('server', 'refund_usage(gen_random_uuid())', 'QRSRV', 'an unknown event'),
  ('server', 'refund_usage((select event_id from known), 9007199254740992)', 'QAMNT', 'amount 2^53'),
  ('ada', 'refund_usage((select event_id from known), 1)', '42501', 'a user'),
  ('anon', 'refund_usage(gen_random_uuid(), 1)', '42501', 'anon'),
  ('ada', 'set_plan(''ada'', ''free'')', '42501', 'a user'),
  ('anon', 'set_plan(''ada'', ''free'')', '42501', 'anon'),
  ('server', 'set_plan(''eve'', ''gold'')', 'QPLAN', 'an unknown plan'),
  ('server', 'set_plan(''eve'', ''free'', time_zone => ''Mars'')', '22023', 'an unknown zone'),
  ('server', 'set_plan(''eve'', ''free'', ''-infinity'')', '22023', 'an infinite anchor'),
  ('server', 'set_plan(''eve'', ''free'', ''yesterday week'')', '22007', 'an anchor that is no instant'),
  ('server', 'set_plan(''eve'', ''free'', ''294276-12-31 23:59:59+00'', ''Asia/Tokyo'')', '22023', 'an anchor that has no local time'),
  ('server', 'set_plan(''eve'', ''free'', ''4713-01-01 00:00:00+00 BC'', ''America/New_York'')', '22023', 'an anchor before all local time'),
  ('ada', 'apply_plans(''{}'')', '42501', 'a user'),
  ('server', 'apply_plans(''{}'')', 'QPLAN', 'an empty document'),
  ('ada', 'verify_usage()', '42501', 'a user'),
  ('anon', 'verify_usage()', '42501', 'anon'),
  -- Batches.
  ('ada', 'consume_usage_batch(null)', '22023', 'no items'),
  ('ada', 'consume_usage_batch(''{}'')', '22023', 'items that are an object'),
  ('ada', 'consume_usage_batch(''[]'')', '22023', 'no item'),
  ('ada', 'consume_usage_batch(''[1]'')', '22023', 'an item that is a number'),
  ('ada', 'consume_usage_batch(''[null]'')', '22023', 'an item of null'),
  ('ada', 'consume_usage_batch(''[{"feature": "ai_generation", "count": 1}]'')', '22023', 'an unknown key'),
  ('ada', 'consume_usage_batch(''[{"feature": 1}]'')', '22023', 'a feature that is a number'),
  ('ada', 'consume_usage_batch(''[{"feature": "ai_generation", "amount": "1"}]'')', 'QAMNT', 'an amount as text'),
  ('ada', 'consume_usage_batch(''[{"feature": "ai_generation", "amount": 0}]'')', 'QAMNT', 'amount 0'),
  ('ada', 'consume_usage_batch(''[{"feature": "ai_generation", "amount": -1}]'')', 'QAMNT', 'amount -1'),
  ('ada', 'consume_usage_batch(''[{"feature": "ai_generation", "amount": 1.5}]'')', 'QAMNT', 'amount 1.5'),
  ('ada', 'consume_usage_batch(''[{"feature": "ai_generation", "amount": 1e30}]'')', 'QAMNT', 'amount 10^30'),
  ('ada', 'consume_usage_batch(''[{"feature": "ai_generation"}, {"feature": "video"}]'')', 'QFEAT', 'an unknown feature beside a known one'),
  ('ada', 'consume_usage_batch(''[{"feature": "scan"}]'')', '42501', 'a server_only feature'),
  ('ada', 'consume_usage_batch((select jsonb_agg(''{"feature": "token"}''::jsonb) from generate_series(1, 101)))', '22023', '101 items'),
  ('ada', 'consume_usage_batch(''[{"feature": "token"}]'', ''bob'')', '42501', 'somebody else'),
  ('ada', 'consume_usage_batch(''[{"feature": "token"}]'', null, '''')', 'QIDEM', 'an empty key'),
  ('ada', 'consume_usage_batch(''[{"feature": "token"}]'', null, null, ''[]'')', 'QMETA', 'metadata that is a list'),
  ('anon', 'consume_usage_batch(''[{"feature": "token"}]'')', '42501', 'anon'),
  -- Holds.
  ('ada', 'reserve_usage(%feature, 1, ''ada'')', '42501', 'a user'),
  ('server', 'reserve_usage(%feature)', 'QSUBJ', 'no subject'),
  ('server', 'reserve_usage(%feature, 0, ''ada'')', 'QAMNT', 'amount 0'),
  ('server', 'reserve_usage(%feature, 9223372036854775807, ''ada'')', 'QAMNT', 'amount 2^63 - 1'),
  ('server', 'reserve_usage(''video'', 1, ''ada'')', 'QFEAT', 'an unknown feature'),
  ('server', 'reserve_usage(%feature, 1, ''ada'', ''0 seconds'')', '22023', 'a hold of no time'),
  ('server', 'reserve_usage(%feature, 1, ''ada'', ''-1 minute'')', '22023', 'a hold that is over'),
  ('server', 'reserve_usage(%feature, 1, ''ada'', ''7 days 1 second'')', '22023', 'a hold of more than 7 days'),
  ('server', 'reserve_usage(%feature, 1, ''ada'', null)', '22023', 'a hold of null'),
  ('server', 'reserve_usage(%feature, 1, ''ada'', ''1 minute'', '''')', 'QIDEM', 'an empty key'),
  ('server', 'reserve_usage(%feature, 1, ''ada'', ''1 minute'', null, ''[]'')', 'QMETA', 'metadata that is a list'),
  ('ada', 'extend_usage(gen_random_uuid())', '42501', 'a user'),
  ('server', 'extend_usage(null)', 'QRSRV', 'no hold'),
  ('server', 'extend_usage(gen_random_uuid())', 'QRSRV', 'an unknown hold'),
  ('server', 'extend_usage(gen_random_uuid(), ''0 s'')', '22023', 'no ttl'),
  ('server', 'extend_usage(gen_random_uuid(), ''-1 s'')', '22023', 'a ttl below 0'),
  ('server', 'extend_usage(gen_random_uuid(), ''8 days'')', '22023', 'a ttl of over a week'),
  ('ada', 'commit_usage(gen_random_uuid())', '42501', 'a user'),
  ('server', 'commit_usage(null)', 'QRSRV', 'no hold'),
  ('server', 'commit_usage(gen_random_uuid())', 'QRSRV', 'an unknown hold'),
  ('server', 'commit_usage(gen_random_uuid(), -1)', 'QAMNT', 'amount -1'),
  ('server', 'commit_usage(gen_random_uuid(), 1, null, ''[]'')', 'QMETA', 'metadata that is a list'),
  ('ada', 'release_usage(gen_random_uuid())', '42501', 'a user'),
  ('server', 'release_usage(null)', 'QRSRV', 'no hold'),
  ('server', 'release_usage(gen_random_uuid())', 'QRSRV', 'an unknown hold'),
  -- Grants, exceptions, members, gauges, the end.
  ('ada', 'grant_usage(%feature, 5, ''ada'')', '42501', 'a user'),
  ('server', 'grant_usage(%feature, 0, ''eve'')', 'QAMNT', 'amount 0'),
  ('server', 'grant_usage(%feature, null, ''eve'')', 'QAMNT', 'amount null'),
  ('server', 'grant_usage(%feature, 9007199254740992, ''eve'')', 'QAMNT', 'amount 2^53'),
  ('server', 'grant_usage(''video'', 1, ''eve'')', 'QFEAT', 'an unknown feature'),
  ('server', 'grant_usage(%feature, 1, null)', 'QSUBJ', 'no subject'),
  ('server', 'grant_usage(%feature, 1, ''eve'', null, '''')', 'QIDEM', 'an empty key'),
  ('server', 'grant_usage(%feature, 1, ''eve'', null, null, ''[]'')', 'QMETA', 'metadata that is a list'),
  ('ada', 'void_grant(gen_random_uuid())', '42501', 'a user'),
  ('server', 'void_grant(gen_random_uuid(), null, 0)', 'QAMNT', 'amount 0'),
  ('server', 'void_grant(gen_random_uuid(), null, -1)', 'QAMNT', 'amount -1'),
  ('server', 'set_limit(''eve'', %feature, ''month'', 1, ''infinity'')', '22023', 'an end that never comes'),
  ('server', 'set_limit(''eve'', %feature, ''month'', 1, ''2020-01-01Z'')', '22023', 'an end of the past'),
  ('ada', 'set_limit(''ada'', %feature, ''month'', 5000)', '42501', 'a user'),
  ('server', 'set_limit(''eve'', %feature, ''month'', -1)', 'QAMNT', 'limit -1'),
  ('server', 'set_limit(''eve'', %feature, ''month'', 9007199254740992)', 'QAMNT', 'limit 2^53'),
  ('server', 'set_limit(''eve'', %feature, ''fortnight'', 1)', 'QPLAN', 'an unknown period'),
  ('server', 'set_limit(''eve'', %feature, null, 1)', 'QPLAN', 'no period'),
  ('server', 'set_limit(''eve'', ''file'', ''month'', 1)', 'QPLAN', 'a gauge by the month'),
  ('server', 'set_limit(''eve'', ''video'', ''month'', 1)', 'QFEAT', 'an unknown feature'),
  ('server', 'set_limit(null, %feature, ''month'', 1)', 'QSUBJ', 'no subject'),
  ('ada', 'set_value(''ada'', ''sso'', ''true'')', '42501', 'a user'),
  ('server', 'set_value(''eve'', ''sso'', ''"yes"'')', '22023', 'a switch that is text'),
  ('server', 'set_value(''eve'', ''sso'', ''1'')', '22023', 'a switch that is 1'),
  ('server', 'set_value(''eve'', ''max_context'', ''9007199254740992'')', '22023', 'a value of 2^53'),
  ('server', 'set_value(''eve'', ''max_context'', ''-1e400'')', '22023', 'a value of -10^400'),
  ('server', 'set_value(''eve'', ''max_context'', to_jsonb(repeat(''x'', 8192)))', '22023', 'a value over 8 kB'),
  ('server', 'set_value(''eve'', ''sso'', ''true'', ''2020-01-01Z'')', '22023', 'an end that is past'),
  ('server', 'set_value(''eve'', ''sso'', ''true'', ''infinity'')', '22023', 'an end that never comes'),
  ('server', 'set_value(''eve'', %feature, ''true'')', 'QFEAT', 'a feature that is counted'),
  ('server', 'set_value(''eve'', ''video'', ''true'')', 'QFEAT', 'an unknown feature'),
  ('server', 'set_value(null, ''sso'', ''true'')', 'QSUBJ', 'no subject'),
  ('server', 'consume_usage(''sso'', 1, ''eve'')', 'QFEAT', 'a switch that is consumed'),
  ('server', 'enforce_usage(''max_context'', 1, ''eve'')', 'QFEAT', 'a value that is enforced'),
  ('server', 'consume_usage_batch(''[{"feature": "sso"}]'', ''eve'')', 'QFEAT', 'a switch in a batch'),
  ('server', 'reserve_usage(''sso'', 1, ''eve'')', 'QFEAT', 'a switch that is held'),
  ('server', 'return_usage(''sso'', 1, ''eve'')', 'QFEAT', 'a switch that is returned'),
  ('server', 'grant_usage(''sso'', 1, ''eve'')', 'QFEAT', 'a switch that is granted'),
  ('server', 'set_limit(''eve'', ''sso'', ''month'', 1)', 'QFEAT', 'a limit of a switch'),
  ('server', 'clear_limit(''eve'', ''sso'', ''month'')', 'QFEAT', 'none either'),
  ('ada', 'clear_limit(''ada'', %feature, ''month'')', '42501', 'a user'),
  ('server', 'clear_limit(''eve'', %feature, ''fortnight'')', 'QPLAN', 'an unknown period'),
  ('ada', 'add_member(''acme'', ''ada'')', '42501', 'a user'),
  ('server', 'add_member(null, ''ada'')', 'QSUBJ', 'no subject'),
  ('server', 'add_member(''acme'', null)', 'QSUBJ', 'no user'),
  ('server', 'add_member(''acme'', '''')', 'QSUBJ', 'an empty user'),
  ('server', 'add_member(''acme'', repeat(''u'', 256))', 'QSUBJ', 'a user of 256 characters'),
  ('ada', 'remove_member(''acme'', ''ada'')', '42501', 'a user'),
  ('ada', 'return_usage(''file'', 1, ''ada'')', '42501', 'a user'),
  ('server', 'return_usage(%feature, 1, ''ada'')', 'QFEAT', 'a metered feature'),
  ('server', 'return_usage(''file'', 0, ''ada'')', 'QAMNT', 'amount 0'),
  ('server', 'return_usage(''file'', 1, null)', 'QSUBJ', 'no subject'),
  ('ada', 'reset_usage(%feature, ''ada'')', '42501', 'a user'),
  ('server', 'reset_usage(''video'', ''ada'')', 'QFEAT', 'an unknown feature'),
  ('server', 'reset_usage(''file'', ''ada'')', 'QFEAT', 'a gauge'),
  ('server', 'reset_usage(%feature, null)', 'QSUBJ', 'no subject'),
  ('server', 'reset_usage(%feature, ''ada'', ''fortnight'')', 'QPLAN', 'an unknown period'),
  ('server', 'reset_usage(%feature, ''ada'', ''year'')', 'QPLAN', 'a period without a limit'),
  ('server', 'reset_usage(%feature, ''ada'', null, repeat(''x'', 9000))', 'QMETA', 'a long reason'),
  ('server', 'reset_usage(%feature, ''ada'', idempotency_key => '''')', 'QIDEM', 'an empty key'),
  ('ada', 'explain_usage(''video'')', 'QFEAT', 'an unknown feature'),
  ('ada', 'explain_usage(%feature, 0)', 'QAMNT', 'amount 0'),
  ('ada', 'explain_usage(%feature, 1, ''bob'')', '42501', 'somebody else'),
  ('anon', 'explain_usage(%feature)', '42501', 'anon'),
  -- No constraint of quota.subjects says so: each verb looks.
  ('server', 'reserve_usage(%feature, 1, repeat(''s'', 256))', 'QSUBJ', 'a subject of 256 characters'),
  ('server', 'consume_usage_many(''[{"feature": "token"}]'', repeat(''s'', 256))', 'QSUBJ', 'a subject of 256 characters'),
  ('server', 'consume_usage_batch(''[{"feature": "token"}]'', repeat(''s'', 256))', 'QSUBJ', 'a subject of 256 characters'),
  ('server', 'consume_usage_batch(jsonb_build_array(jsonb_build_object(''feature'', ''token'', ''subject'', repeat(''s'', 256))))', 'QSUBJ', 'an item of a subject of 256 characters'),
  ('server', 'grant_usage(%feature, 1, repeat(''s'', 256))', 'QSUBJ', 'a subject of 256 characters'),
  ('server', 'set_limit(repeat(''s'', 256), %feature, ''month'', 1)', 'QSUBJ', 'a subject of 256 characters'),
  ('server', 'set_value(repeat(''s'', 256), ''sso'', ''true'')', 'QSUBJ', 'a subject of 256 characters'),
  ('server', 'set_parent(repeat(''s'', 256), ''ada'')', 'QSUBJ', 'a subject of 256 characters'),
  ('server', 'set_parent(''ada'', repeat(''s'', 256))', 'QSUBJ', 'a parent of 256 characters'),
  ('server', 'add_member(repeat(''s'', 256), ''ada'')', 'QSUBJ', 'a subject of 256 characters'),
  ('server', 'merge_subjects(repeat(''s'', 256), ''ada'')', 'QSUBJ', 'an old name of 256 characters'),
  ('server', 'forget_subject(repeat(''s'', 256))', 'QSUBJ', 'a subject of 256 characters'),
  ('ada', 'forget_subject(''ada'')', '42501', 'a user'),
  ('server', 'forget_subject(null)', 'QSUBJ', 'no subject'),
  ('server', 'forget_subject('''')', 'QSUBJ', 'an empty subject');

select is(
  pg_temp.code(
    case who when 'server' then 'service_role' when 'anon' then 'anon' when 'anon as ada' then 'anon' else 'authenticated' end,
    case who
      when 'ada' then '{"sub": "ada"}' when 'anon as ada' then '{"sub": "ada"}'
      when 'server' then '{"role": "service_role"}' when 'nobody' then '{"role": "authenticated"}'
      when 'no claims' then '' when 'empty sub' then '{"sub": ""}' when 'null sub' then '{"sub": null}'
      when 'list' then '["ada"]' when 'garbage' then '{sub: ada}'
      when 'long sub' then '{"sub": "' || repeat('u', 256) || '"}'
      else '{"role": "anon"}'
    end,
    'select public.' || replace(call, '%feature', '''ai_generation''')
  ),
  code,
  split_part(call, '(', 1) || ' answers ' || description || ' with ' || code
)
from calls order by n;

select is(pg_temp.state(), (select state from former), 'none of these has left a row anywhere');
set local role authenticated;
set local request.jwt.claims = '{"sub": "ada"}';
select is(
  (select row(allowed, used)::text from consume_usage('ai_generation', metadata => jsonb_build_object('a', repeat('x', 8182)))),
  '(t,4)', 'and metadata of just 8 kB is taken'
);

select * from finish();
rollback;
