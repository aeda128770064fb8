-- merge_subjects(): an anonymous visitor becomes an account.
begin;
select set_config('search_path', 'public, ' || pronamespace::regnamespace, true) from pg_proc where proname = 'pgtap_version';
set local timezone = 'UTC';
select plan(66);

create or replace function quota.clock()
returns timestamptz language plpgsql set search_path = pg_catalog, pg_temp
as $$ begin return current_setting('test.clock', true); end $$;
set local test.clock = '2026-03-20 12:00:00+00';

do $$ begin perform apply_plans('{
  "features": {"token": {}, "export": {}, "file": {"kind": "gauge"}, "sso": {"kind": "switch"}},
  "plans": {
    "free": {"default": true, "limits": {"token": {"minute": 100, "month": 10}, "export": {"month": 5}, "file": {"lifetime": 3}}},
    "pro": {"limits": {"token": {"minute": 100, "day": 100, "month": 100}, "export": {"month": 50}, "file": {"lifetime": 6}}, "values": {"sso": true}}
  }
}'); end $$;
create temporary table ids (name text, id uuid);
grant all on ids to service_role;
create function pg_temp.id(p_name text) returns uuid language sql as $$ select id from ids where name = p_name $$;
create function pg_temp.of(p_subject text, p_feature text default 'token') returns text language sql as $$
  select row(d.allowed, d.reason, d.subject, d.plan, d.used, d.reserved, d."limit", d.remaining)::text
  from check_usage(p_feature, 1, p_subject) as d
$$;

-- The visitor: uses before and within the account's period, a hold, a grant, a key, a batch, a refund.
create table public.documents (id integer primary key, owner text);
alter table public.documents enable row level security;
select quota.limit_table('public.documents', 'file', 'owner');
do $$ begin
  perform set_plan('account', 'pro', '2026-03-15 00:00Z', 'Europe/Berlin');
  perform set_config('test.clock', '2026-03-02 12:00:00+00', true);
  insert into ids select 'early', event_id from consume_usage('token', 2, 'anon');
  perform set_config('test.clock', '2026-03-21 12:00:00+00', true);
  insert into ids select 'use', event_id from consume_usage('token', 4, 'anon', 'k1', '{"project": "x"}');
  perform consume_usage_batch('[{"feature": "token"}, {"feature": "export", "amount": 2}]', 'anon', 'b1');
  insert into ids select 'hold', reservation_id from reserve_usage('token', 2, 'anon', '1 day', 'r1');
  insert into ids select 'grant', grant_usage('token', 20, 'anon');
  insert into ids select 'drawn', event_id from consume_usage('token', 5, 'anon');
  perform set_limit('anon', 'export', 'month', 9);
  perform set_value('anon', 'sso', 'true');
  perform add_member('team', 'anon');
  perform add_member('anon', 'friend');
  insert into public.documents values (1, 'anon'), (2, 'anon');
  perform consume_usage('file', 1, 'anon');
  perform consume_usage('token', 7, 'account', 'k2');
  perform consume_usage('token', 1, 'account', 'k1');
end $$;
create temporary table before as
  select sum(used_change) as used, sum(reserved_change) as reserved, sum(drawn_change) as drawn
  from quota.events where subject_id in ('anon', 'account') and feature_id = 'token';

-- Who may, and what is refused.
set local role authenticated;
set local request.jwt.claims = '{"sub": "anon"}';
select throws_ok($$select merge_subjects('anon', 'account')$$, '42501', null, 'a user merges nothing');
select throws_ok($$select quota.merge_subjects('account', 'anon')$$, '42501', null, 'nor by the private function');
select throws_ok($$select quota.account_of('anon')$$, '42501', null, 'or learns who became whom');
select throws_ok($$select * from quota.merges$$, '42501', null, 'from no table');
set local role anon;
select throws_ok($$select merge_subjects('anon', 'account')$$, '42501', null, 'anon may not call it');
set local role service_role;
set local request.jwt.claims = '';
select throws_ok($$select merge_subjects('anon', 'anon')$$, 'QSUBJ', null, 'into itself');
select throws_ok($$select merge_subjects(null, 'account')$$, 'QSUBJ', null, 'nobody');
select throws_ok($$select merge_subjects('anon', null)$$, 'QSUBJ', null, 'into nobody');
select throws_ok($$select merge_subjects('', 'account')$$, 'QSUBJ', null, 'an empty one');
select throws_ok($$select merge_subjects('anon', repeat('x', 256))$$, 'QSUBJ', null, 'or a long one');
reset role;
select is((select count(*) from quota.merges), 0::bigint, 'none of these has merged anybody');

set local role service_role;
do $$ begin perform merge_subjects('anon', 'account'); end $$;
reset role;
select is_empty('select * from verify_usage()', 'every number is proved');
select is(
  (select row(sum(used_change), sum(reserved_change), sum(drawn_change))::text
   from quota.events where subject_id in ('anon', 'account') and feature_id = 'token'),
  (select row(used, reserved, drawn)::text from before), 'nothing was lost or made'
);
select is(
  (select row(used, reserved, period_start)::text from current_usage where subject = 'account' and feature = 'token' and period = 'day'),
  '(18,2,"2026-03-21 00:00:00+00")', 'use of today counts today'
);
select is(
  (select row(used, reserved, period_start)::text from current_usage where subject = 'account' and feature = 'token' and period = 'month'),
  '(18,2,"2026-03-15 00:00:00+00")', 'in the month of the account''s billing day what lies in it'
);
select is(
  (select sum(used_change) from usage_events where subject = 'account' and feature = 'token' and counts_at < '2026-03-14Z'), 2::numeric,
  'what lies before is history'
);
select is((select row(plan_id, time_zone, anchor_at)::text from quota.subjects where subject_id = 'account'),
  '(pro,Europe/Berlin,"2026-03-15 00:00:00+00")', 'plan, billing day and zone stay the account''s');
select is((select row(amount, drawn)::text from quota.grants where subject_id = 'account'), '(20,4)', 'a grant came along, with what was drawn');
select is((select count(*) from quota.exceptions where subject_id in ('anon', 'account')), 0::bigint, 'an exception did not');
select is((select count(*) from quota.overrides where subject_id in ('anon', 'account')), 0::bigint, 'nor did an override');
select is(
  (select array_agg(row(subject_id, user_id)::text order by 1) from (select subject_id, user_id from quota.members order by 1, 2) as m),
  array['(account,friend)', '(team,account)'], 'its members are the account''s, and the account is in its organisations'
);
select is(
  (select row(metadata, feature)::text from usage_events where subject = 'account' and kind = 'merge'), '("{""from"": ""anon""}",)',
  'a line says so'
);

-- Its calls are the account's.
select is(pg_temp.of('anon'), pg_temp.of('account'), 'a check of the old name is answered as the account''s');
select is((select row(d.subject, d.used)::text from consume_usage('export', 1, 'anon') as d), '(account,3)', 'a use');
select is((select row(d.subject, d.plan)::text from reserve_usage('export', 1, 'anon') as d), '(account,pro)', 'a hold');
select is((select array_agg(d.subject) from consume_usage_batch('[{"feature": "token"}, {"feature": "export"}]', 'anon') as d),
  array['account', 'account'], 'a batch');
select is((select count(distinct e.subject) from explain_usage('token', 1, 'anon') as e where e.subject = 'account'), 1::bigint, 'an explanation');
select is((select sum(used) from usage_breakdown('token', subject => 'anon')), 19::numeric, 'and a breakdown');
select is((consume_usage('export', 1, 'never', 'x')).subject, 'never', 'others are themselves');
do $$ begin perform set_limit('anon', 'export', 'month', 60); perform set_value('anon', 'sso', 'false');
  perform grant_usage('export', 3, 'anon'); perform add_member('anon', 'second'); end $$;
select is((select subject_id from quota.exceptions), 'account', 'an exception for it is the account''s');
select is((select subject_id from quota.overrides), 'account', 'an override');
select is((select subject_id from quota.grants where feature_id = 'export'), 'account', 'a grant');
select is((select subject_id from quota.members where user_id = 'second'), 'account', 'and a member');
do $$ begin perform set_plan('anon', 'pro', '2026-03-15 00:00Z'); end $$;
select is((select plan_id from quota.subjects where subject_id = 'anon'), null, 'a plan too');

-- Keys and ids stay good.
select is((select row(replayed, event_id = pg_temp.id('use'))::text from consume_usage('token', 1, 'anon', 'k1')), '(t,f)',
  'a key that both bound is the account''s');
select is((select bool_and(replayed) from consume_usage_batch('[{"feature": "token"}, {"feature": "export", "amount": 2}]', 'anon', 'b1')), true,
  'another is told its answer again');
select is((select row(d.subject, d.used, d.reserved)::text from commit_usage(pg_temp.id('hold'), 1, 'anon') as d where d.feature = 'token'),
  '(account,20,0)', 'a hold is committed where it is now');
select is((select row(d.subject, d.amount)::text from refund_usage(pg_temp.id('use'), 3, subject => 'anon') as d), '(account,3)', 'a use refunded');
select is((select d.subject from refund_usage(pg_temp.id('early')) as d), 'account', 'one of before, too');
select is((select row(d.subject, d.amount)::text from refund_usage(pg_temp.id('drawn')) as d), '(account,5)', 'and one that drew from a grant');
select is((select drawn from quota.grants where grant_id = pg_temp.id('grant')), 0::bigint, 'which has it back');
select is(void_grant(pg_temp.id('grant'), 'anon'), 20::bigint, 'and is voided');
select is_empty('select * from verify_usage()', 'every number is proved again');

-- Rows of a limited table keep their name until they are given another.
select is((select row(rows_used, used)::text from quota.meters where subject_id = 'anon'), '(2,2)', 'rows count where they name');
select is((select row(d.subject, d.used)::text from check_usage('file', 1, 'account') as d), '(account,1)', 'not twice');
select is((select row(d.subject, d.used)::text from consume_usage('file', 1, 'anon') as d), '(account,2)', 'a use of the gauge is the account''s');
select throws_ok($$insert into public.documents values (3, 'anon')$$, 'PT402', null, 'no more rows of the old name');
select lives_ok($$update public.documents set owner = 'account'$$, 'they are the account''s when they say so');
select is((select d.used from check_usage('file', 1, 'account') as d), 4::bigint, 'and count there');
select lives_ok($$delete from public.documents$$, 'and go');
select is_empty('select * from verify_usage()', 'all of it is proved');

-- Once; not in a circle; into what an account became.
select lives_ok($$select merge_subjects('anon', 'account')$$, 'repeated');
select is((select count(*) from usage_events where subject = 'account' and kind = 'merge'), 1::bigint, 'it changes nothing');
select throws_ok($$select merge_subjects('account', 'anon')$$, 'QSUBJ', null, 'back is a circle');
select throws_ok($$select merge_subjects('anon', 'other')$$, 'QSUBJ', null, 'it is somebody''s already');
do $$ begin perform merge_subjects('account', 'final'); perform merge_subjects('late', 'anon'); end $$;
select is(
  array[(consume_usage('token', 1, 'anon')).subject, (consume_usage('token', 1, 'late')).subject, (consume_usage('token', 1, 'account')).subject],
  array['final', 'final', 'final'], 'an account that is merged takes its old names along, and one that was never seen is one'
);
select throws_ok($$select merge_subjects('final', 'late')$$, 'QSUBJ', null, 'nor in a larger circle');
select is_empty('select * from verify_usage()', 'proved');

-- RLS: who was the old name sees nothing new.
set local role authenticated;
set local request.jwt.claims = '{"sub": "anon"}';
select is(
  (select count(*) from usage_events where kind <> 'table') + (select count(*) from current_usage) + (select count(*) from usage_history)
    + (select count(*) from quota.subjects where subject_id <> 'anon') + (select count(*) from quota.grants), 0::bigint,
  'who was the old name sees nothing of the account'
);
select is((consume_usage('token')).subject, 'final', 'and uses it up, not an allowance of its own');
reset role;
set local request.jwt.claims = '';

-- Erasure.
do $$ begin perform forget_subject('account'); end $$;
select is((consume_usage('token', 1, 'anon')).subject, 'final', 'one that is forgotten in between leaves the others their account');
do $$ begin perform forget_subject('anon'); end $$;
select is(
  (select count(*) from quota.merges where subject_id = 'anon') + (select count(*) from quota.events where metadata ->> 'from' = 'anon'), 0::bigint,
  'who is forgotten is no old name any more'
);
do $$ begin perform forget_subject('final'); end $$;
select is((select count(*) from quota.merges), 0::bigint, 'nor has a forgotten account any');
-- A first use that is plain asks who it is, too.
do $$ begin perform merge_subjects('guest', 'host'); end $$;
select is((consume_usage('export', 1, 'guest')).subject, 'host', 'a first use of a merged name counts for its account');
select is_empty($$select from quota.meters where subject_id = 'guest'$$, 'and makes no meter of the name');
select is_empty('select * from verify_usage()', 'proved at the end');

select * from finish();
rollback;
