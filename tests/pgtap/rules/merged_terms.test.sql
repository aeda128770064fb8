-- merge_subjects() where a use counts in several places, past a limit, or in a window.
begin;
select set_config('search_path', 'public, ' || pronamespace::regnamespace, true) from pg_proc where proname = 'pgtap_version';
set local timezone = 'UTC';
select plan(27);

create or replace function quota.clock()
returns timestamptz language plpgsql set search_path = pg_catalog, pg_temp
as $$ begin return current_setting('test.clock', true); end $$;
set local test.clock = '2026-09-15 12:00:00+00';

do $$ begin perform apply_plans('{
  "features": {"image": {"costs": {"credit": 10}}, "credit": {}, "gen": {}, "call": {}, "chat": {}},
  "plans": {"free": {"default": true, "limits": {
    "credit": {"month": 100}, "gen": {"month": {"limit": 10, "mode": "soft", "ceiling": 30}},
    "call": {"month": 10}, "chat": {"5 hours": 5}
  }}}
}'); end $$;
create temporary table ids (name text, id uuid);
create function pg_temp.id(p_name text) returns uuid language sql as $$ select id from ids where name = p_name $$;
create function pg_temp.of(p_feature text, p_subject text) returns text language sql as $$
  select row(d.allowed, d.subject, d.used, d.reserved, d.remaining)::text from check_usage(p_feature, 1, p_subject) as d
$$;

-- What a use costs comes back with it, and a hold of several meters ends in all of them.
do $$ begin
  insert into ids select 'image', event_id from consume_usage('image', 3, 'anon', 'k');
  insert into ids select 'hold', reservation_id from reserve_usage('image', 2, 'anon');
  insert into ids select 'other', reservation_id from reserve_usage('image', 1, 'anon');
  perform consume_usage('image', 1, 'account');
  perform merge_subjects('anon', 'account');
end $$;
select is(pg_temp.of('credit', 'account'), '(t,account,40,30,30)', 'the price came along');
select is(pg_temp.of('image', 'anon'), '(t,account,40,30,30)', 'and is asked for by the old name');
select is((select count(*) from quota.shares where 'anon' in (subject_id, share_subject_id)), 0::bigint, 'no share has it');
select is((select row(d.subject, d.used, d.replayed)::text from consume_usage('image', 3, 'anon', 'k') as d), '(anon,30,t)',
  'a retry is told the first answer');
select is((select d.subject from refund_usage(pg_temp.id('image'), 1, subject => 'anon') as d), 'account', 'a refund');
select is(pg_temp.of('credit', 'account'), '(t,account,30,30,40)', 'gives back what it cost');
select is((select d.subject from commit_usage(pg_temp.id('hold'), 1, 'anon') as d), 'account', 'a commit');
select is((select d.subject from release_usage(pg_temp.id('other'), 'account') as d), 'account', 'and a release');
select is(pg_temp.of('credit', 'account'), '(t,account,40,0,60)', 'end in both meters');
select is((select row(d.subject, d.limiting_feature, d.used)::text from consume_usage('image', 1, 'anon') as d), '(account,credit,50)', 'a use by the old name');
select is((select array_agg(d.subject || ' ' || d.allowed) from consume_usage_batch('[{"feature": "image"}, {"feature": "gen"}]', 'anon') as d),
  array['account true', 'account true'], 'and a batch');
select is_empty('select * from verify_usage()', 'every number is proved');

-- Past a soft limit.
do $$ begin
  insert into ids select 'over', event_id from consume_usage('gen', 14, 'past');
  insert into ids select 'held', reservation_id from reserve_usage('gen', 3, 'past');
  perform consume_usage('gen', 2, 'heir'), merge_subjects('past', 'heir');
end $$;
select is((select row(c.over, c.crossed_at is not null)::text from quota.counters as c where c.subject_id = 'heir' and c.feature_id = 'gen'),
  '(4,t)', 'what was past it comes along');
select is((select count(*) from quota.overages where subject_id = 'past'), 0::bigint, 'all of it');
do $$ begin perform refund_usage(pg_temp.id('over'), 3), commit_usage(pg_temp.id('held')); end $$;
select is((select c.over from quota.counters as c where c.subject_id = 'heir' and c.feature_id = 'gen'), 4::bigint,
  'is taken off by a refund, and a commit adds what it held');
select is_empty('select * from verify_usage()', 'proved');

-- Windows.
do $$ begin
  perform consume_usage('chat', 5, 'w1'), merge_subjects('w1', 'fresh');
  perform consume_usage('chat', 2, 'w2'), consume_usage('chat', 1, 'own');
  perform set_config('test.clock', '2026-09-15 13:00:00+00', true);
  perform consume_usage('chat', 2, 'w2'), merge_subjects('w2', 'own');
end $$;
select is((select row(d.allowed, d.reason, d.subject, d.used, d.retry_after)::text from consume_usage('chat', 1, 'fresh') as d),
  '(f,limit_reached,fresh,5,14400)', 'who used a window up has no fresh one');
select is(pg_temp.of('chat', 'own'), '(f,own,5,0,0)', 'what was used within the account''s own counts in it');
select is_empty('select * from verify_usage()', 'proved');
do $$ begin perform set_config('test.clock', '2026-09-15 17:00:00+00', true); perform consume_usage('chat', 1, n) from unnest(array['fresh', 'own', 'w1']) as n; end $$;
select is(pg_temp.of('chat', 'w1') || pg_temp.of('chat', 'w2'), '(t,fresh,2,0,3)(t,own,1,0,4)', 'and each ends when it ended');
do $$ begin perform merge_subjects('own', 'fresh'); end $$;
select is_empty('select * from verify_usage()', 'proved again');

-- Use that was counted elsewhere.
do $$ begin perform quota.import_usage(jsonb_agg(jsonb_build_object('subject', n, 'feature', 'call', 'amount', 2, 'period_start', '2026-09-01T00:00:00Z')))
  from unnest(array['old', 'new']) as n; perform merge_subjects('old', 'new'); end $$;
select is(pg_temp.of('call', 'new'), '(t,new,4,0,6)', 'what was imported for both counts');
select is((select string_agg(action, ',') from quota.import_usage('[
  {"subject": "old", "feature": "call", "amount": 2, "period_start": "2026-09-02T00:00:00Z"},
  {"subject": "new", "feature": "call", "amount": 2, "period_start": "2026-09-01T00:00:00Z"}]')), 'skip,reject', 'no more for the old name');

-- Levels (see merged_levels).
do $$ begin perform set_parent('key', 'team'), consume_usage('call', 2, 'key'), merge_subjects('guest', 'key'), set_parent('guest', null); end $$;
select throws_ok($$select merge_subjects('key', 'team')$$, 'QSUBJ', null, 'into one for which the same use counted, it is not merged');
select throws_ok($$select merge_subjects('team', 'key')$$, 'QSUBJ', null, 'or the other way round');
do $$ begin perform merge_subjects('key', 'somebody'), set_parent('key', 'team'); end $$;
select is((select d.subject from refund_usage(
  (select event_id from quota.events where subject_id = 'somebody' and kind = 'consume'), 1) as d), 'somebody', 'into others it is');
select is_empty('select * from verify_usage()', 'proved at the end');

select * from finish();
rollback;
