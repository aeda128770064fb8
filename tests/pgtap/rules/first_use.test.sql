-- A first use that is plain writes its meter, counter and line at once. What it leaves and answers is what the
-- long way does, which a call with a key goes.
begin;
select set_config('search_path', 'public, ' || pronamespace::regnamespace, true) from pg_proc where proname = 'pgtap_version';
set local timezone = 'UTC';
select plan(52);

create or replace function quota.clock()
returns timestamptz language plpgsql set search_path = pg_catalog, pg_temp
as $$ begin return current_setting('test.clock', true); end $$;
set local test.clock = '2026-11-30 12:00:10+00';

select from apply_plans(
  '{"features": {
      "month": {}, "unlimited": {}, "lifetime": {}, "minute": {}, "short": {}, "hours": {}, "server": {"server_only": true},
      "alone": {"alerts": []}, "early": {"alerts": [10]}, "once": {}, "two": {}, "soft": {}, "shadow": {}, "kept": {},
      "window": {}, "none": {}, "files": {"kind": "gauge"}, "credit": {}, "image": {"costs": {"credit": 2}}, "capped": {}
    },
    "plans": {"free": {"default": true, "upgrade_url": "/more",
      "limits": {
        "month": {"month": 50}, "unlimited": {"week": null}, "lifetime": {"lifetime": 30}, "minute": {"minute": 20},
        "short": {"minute": 10, "hour": 100, "month": 1000}, "hours": {"hour": 10, "day": 10}, "server": {"year": 30},
        "alone": {"month": 5}, "early": {"month": 40}, "once": {"month": 1}, "two": {"day": 10, "month": 50},
        "soft": {"month": {"limit": 10, "mode": "soft"}}, "shadow": {"month": {"limit": 10, "mode": "shadow"}},
        "kept": {"month": {"limit": 50, "rollover": 5}}, "window": {"5 hours": 20}, "files": {"lifetime": 30},
        "credit": {"month": 50}, "image": {"month": 50}, "capped": {"month": 50}
      },
      "per_member": {"capped": {"month": 20}}}}}'
);

-- All but the names, the ids of lines, and what stands there of calls to come.
create function pg_temp.left_by(p_subject text, p_feature text) returns jsonb language plpgsql as $$ begin
  return (select jsonb_build_object(
    'meter', (select to_jsonb(m) - 'subject_id' - 'levels' || jsonb_build_object('is_top', m.levels = array[p_subject])
      from quota.meters as m where m.subject_id = p_subject and m.feature_id = p_feature),
    'counters', (select jsonb_agg(to_jsonb(c) - 'subject_id' order by c.period)
      from quota.counters as c where c.subject_id = p_subject and c.feature_id = p_feature),
    'lines', (select jsonb_agg(to_jsonb(e) - 'subject_id' - 'event_id' - 'idempotency_key')
      from quota.events as e where e.subject_id = p_subject and e.feature_id = p_feature)
  ));
end $$;
create function pg_temp.told(p_decision usage_decision) returns jsonb language sql as $$
  select to_jsonb(p_decision) - 'subject' - 'limiting_subject' - 'event_id'
$$;
create function pg_temp.same(p_feature text, p_amount bigint, p_short text, p_long text) returns setof text language plpgsql as $$
declare
  v_short jsonb := pg_temp.told(public.consume_usage(p_feature, p_amount, p_short, metadata => '{"for": "a page"}'));
  v_long jsonb := pg_temp.told(public.consume_usage(p_feature, p_amount, p_long, 'key of ' || p_feature, '{"for": "a page"}'));
begin
  return next is(v_short, v_long, p_feature || ' is answered alike');
  return next is(pg_temp.left_by(p_short, p_feature), pg_temp.left_by(p_long, p_feature), p_feature || ' leaves the same');
end
$$;

do $$ begin perform consume_usage('month', 2, 'nan'), consume_usage('short', 2, 'nan'); end $$;
select is(
  pg_stat_get_xact_tuples_updated('quota.meters'::regclass), 0::bigint, 'a meter is written once, with all of it'
);

-- A new subject, and one that has used other features.
select pg_temp.same(f, 2, 'ada', 'bob')
from unnest(array[
  'month', 'unlimited', 'lifetime', 'minute', 'short', 'hours', 'server', 'alone', 'early', 'once', 'two', 'soft',
  'shadow', 'kept', 'window', 'none', 'files', 'image', 'capped'
]) as f;

-- Of a billing day in a zone; one unit short of a mark, and the mark.
do $$ begin
  perform set_plan(s, 'free', '2026-01-31 09:00:00+00', 'America/New_York') from unnest(array['cyd', 'dan', 'eve', 'fay']) as s;
end $$;
select pg_temp.same('month', 39, 'cyd', 'dan');
select pg_temp.same('month', 40, 'eve', 'fay');

-- Others above, and something of its own.
do $$ begin
  perform set_plan('top', 'free'), set_parent('gus', 'top'), set_parent('hal', 'top');
  perform grant_usage('month', 5, s), set_limit(s, 'short', 'minute', 3) from unnest(array['ida', 'jon']) as s;
end $$;
select pg_temp.same('unlimited', 1, 'kim', 'lee');
select pg_temp.same('short', 2, 'ida', 'jon');
select is((consume_usage('month', 2, 'gus')).plan, null, 'a subject that only passes through is asked properly');
select is((consume_usage('month', 2, 'top')).used, 4::bigint, 'and counts above');

set local role authenticated;
set local request.jwt.claims = '{"sub": "mia", "role": "authenticated"}';
select throws_ok($$select consume_usage('server')$$, '42501', null, 'a user has no first use of what is for servers alone');
select ok((consume_usage('short')).allowed, 'but of the rest');
reset role;

select is_empty('select * from verify_usage()', 'every counter equals its ledger');
select * from finish();
rollback;
