-- A call over several meters answers plainly as it does properly: two worlds do the same, and in one of them the
-- meters forget before each call what they remember.
begin;
select set_config('search_path', 'public, ' || pronamespace::regnamespace, true) from pg_proc where proname = 'pgtap_version';
set local timezone = 'UTC';
set local track_functions = 'pl';
select plan(18);

create or replace function quota.clock()
returns timestamptz language plpgsql set search_path = pg_catalog, pg_temp
as $$ begin return current_setting('test.clock', true); end $$;
set local test.clock = '2026-11-29 23:50:00+00';

do $$ begin
  perform apply_plans('{
    "features": {"call": {}, "image": {"costs": {"credit": 3, "token": "1/4"}}, "credit": {}, "token": {}, "free": {"costs": {"token": 1}}},
    "plans": {
      "small": {"limits": {"call": {"minute": 6, "day": 30}, "image": {"day": 25}, "credit": {"month": 90}, "token": {"month": 40}}},
      "large": {
        "limits": {"call": {"month": 140}, "credit": {"hour": 60, "month": 300}, "token": {"month": null}},
        "per_member": {"call": {"day": 12}, "credit": {"month": 70}}
      },
      "free": {"default": true, "limits": {"call": {"day": 5}}},
      "bare": {"limits": {"token": {"day": 30}}}
    }
  }');
  for i in 1 .. 2 loop
    -- Names of which neither order is the levels'.
    perform set_plan(w || 'b org', 'large'), set_plan(w || 'a team', 'small'), set_plan(w || 'c key', 'small'),
      set_plan(w || 'd bare', 'bare'), set_plan(w || 'e alone', 'small')
      from (values (array['x ', 'y '])) as n (worlds) cross join lateral (select worlds[i]) as o (w);
  end loop;
  perform set_parent(w || 'a team', w || 'b org'), set_parent(w || 'c key', w || 'a team'),
    set_parent(w || 'd bare', w || 'b org'), set_parent(w || 'f none', w || 'd bare')
    from unnest(array['x ', 'y ']) as w;
end $$;

create function pg_temp.told(p_world text, p_feature text, p_amount bigint, p_subject text, p_actor text)
returns jsonb language plpgsql as $$
declare
  v_answer jsonb;
begin
  if p_world = 'y ' then
    update quota.meters set fresh_from = 'infinity' where left(subject_id, 2) = 'y ';
  end if;
  -- A check says what the call is told then, but for what it moves.
  v_answer := jsonb_build_object('checked', to_jsonb(check_usage(p_feature, p_amount, p_world || p_subject)));
  select v_answer || to_jsonb(d) - 'event_id' into v_answer
    from consume_usage(p_feature, p_amount, p_world || p_subject, actor => p_actor) as d;
  return replace(v_answer::text, p_world, 'w ');
end
$$;

create function pg_temp.properly() returns bigint language sql as
  $$select coalesce(sum(calls), 0)::bigint from pg_stat_xact_user_functions where schemaname = 'quota' and funcname = 'take_parts'$$;

-- What is asked for, when, and how both worlds answer.
create temporary table steps (n int, at timestamptz, feature text, amount bigint, subject text, actor text, x jsonb, y jsonb);
create temporary table counts (world text, called bigint, allowed bigint, properly bigint);
select setseed(0.4711);
insert into steps (n, at, feature, amount, subject, actor)
  select n, timestamptz '2026-11-29 23:50:00+00' + n * interval '7 seconds' + (n / 90) * interval '3 hours',
    (array['call', 'image', 'free', 'credit'])[1 + floor(random() * 4)], 1 + floor(random() * random() * 4),
    (array['a team', 'b org', 'c key', 'd bare', 'e alone', 'f none'])[1 + floor(random() * 6)],
    (array[null, 'ada', 'bob'])[1 + floor(random() * 3)]
  from generate_series(1, 360) as n;
do $$
declare
  v_step steps;
  v_world text;
  v_before bigint;
begin
  foreach v_world in array array['x ', 'y '] loop
    v_before := pg_temp.properly();
    for v_step in select * from steps order by n loop
      perform set_config('test.clock', v_step.at::text, true);
      if v_world = 'x ' then
        update steps set x = pg_temp.told(v_world, feature, amount, subject, actor) where n = v_step.n;
      else
        update steps set y = pg_temp.told(v_world, feature, amount, subject, actor) where n = v_step.n;
      end if;
    end loop;
    insert into counts select v_world, count(*), count(*) filter (where (x ->> 'allowed')::boolean), pg_temp.properly() - v_before from steps;
  end loop;
end $$;
select is_empty($$select n, at, feature, amount, subject, actor, x, y from steps where x is distinct from y order by n limit 3$$, 'plainly as properly, field by field');
select cmp_ok((select count(*) from steps where (x ->> 'allowed')::boolean), '>', 150::bigint, 'many are allowed');
select cmp_ok((select count(*) from steps where not (x ->> 'allowed')::boolean), '>', 50::bigint, 'and many refused');
select set_eq(
  $$select distinct x ->> 'limiting_feature' as feature, x ->> 'limiting_subject' as subject, x ->> 'limiting_member' is not null as is_member from steps where (x ->> 'allowed')::boolean and x ->> 'limiting_subject' = 'w b org'$$,
  $$values ('call', 'w b org', false), ('call', 'w b org', true), ('credit', 'w b org', false), ('credit', 'w b org', true), ('token', 'w b org', false)$$,
  'by the organisation, and by caps in it'
);
select cmp_ok(
  (select properly from counts where world = 'x '), '<', (select properly - 20 from counts where world = 'y '),
  'fewer of them properly where the meters remember'
);
select is(
  (select array_agg(row(subject_id, feature_id, used) order by subject_id, feature_id)::text from quota.meters where subject_id like 'x %'),
  (select replace(array_agg(row(subject_id, feature_id, used) order by subject_id, feature_id)::text, 'y ', 'x ') from quota.meters where subject_id like 'y %'),
  'the same is counted everywhere'
);
select is(
  (select count(*) from quota.shares where subject_id like 'x %'), (select count(*) from quota.shares where subject_id like 'y %'),
  'and tied to its calls'
);
select is_empty($$select * from verify_usage()$$, 'every number is proved by the ledger');

-- One of each kind, plainly.
set local test.clock = '2027-03-05 10:00:00+00';
create function pg_temp.plainly(p_feature text, p_subject text, p_actor text default null)
returns text language plpgsql as $$
declare
  v_before bigint;
  v_allowed boolean;
begin
  perform consume_usage(p_feature, 1, p_subject, actor => p_actor);
  v_before := pg_temp.properly();
  v_allowed := (consume_usage(p_feature, 1, p_subject, actor => p_actor, metadata => '{"a": 1}')).allowed;
  return concat(v_allowed, ' ', pg_temp.properly() - v_before);
end
$$;
select is(pg_temp.plainly('image', 'x e alone'), 't 0', 'what costs something');
select is(pg_temp.plainly('free', 'x e alone'), 't 0', 'what has but a price');
select is(pg_temp.plainly('call', 'x c key'), 't 0', 'what counts at three levels');
select is(pg_temp.plainly('call', 'x b org', 'cyd'), 't 0', 'what has a cap');
do $$ begin perform set_limit('x b org', 'call', 'day', 3, member => 'cyd'); end $$;
select is(
  (select string_agg(d.allowed::text, ' ' order by n) from generate_series(1, 3) as n cross join lateral consume_usage('call', 1 + 0 * n, 'x b org', actor => 'cyd') as d),
  'true false false', 'a cap that is set later binds the next call'
);
do $$ begin
  perform set_plan('x own', 'small'), set_limit('x own', 'call', 'day', 3, member => 'cyd');
end $$;
select is(pg_temp.plainly('call', 'x own', 'dan'), 't 0', 'a cap of one member is none of another''s');
select is(pg_temp.plainly('call', 'x own', 'cyd'), 't 0', 'and is that one''s');

-- The bar of one whose parent is forgotten: the default plan limits it from now on.
do $$ begin
  perform set_parent('x kid', 'x a team'), consume_usage('call', 1, 'x kid'), consume_usage('call', 1, 'x kid');
  perform forget_subject('x a team');
end $$;
select is(
  (select concat_ws(' ', used, "limit") from current_usage where subject = 'x kid' and feature = 'call'),
  '2 5', 'the bar does not go by what a meter remembers of another plan'
);

-- A level above that does not name a feature has none of its own.
select is(
  (select concat_ws(' ', d.allowed, d.reason) from consume_usage('call', 1, 'x d bare') as d), 't ok',
  'one level names it'
);
select is(
  (select concat_ws(' ', d.allowed, d.reason) from set_parent('x d bare', null), consume_usage('call', 1, 'x d bare') as d),
  'f feature_not_in_plan', 'and none when that one is gone'
);

select * from finish();
rollback;
