-- quota.tidy(keep): old lines of the ledger become one per subject, feature and stretch between periods.
begin;
select set_config('search_path', 'public, ' || pronamespace::regnamespace, true) from pg_proc where proname = 'pgtap_version';
set local timezone = 'UTC';
select plan(50);

create or replace function quota.clock()
returns timestamptz language plpgsql set search_path = pg_catalog, pg_temp
as $$ begin return current_setting('test.clock', true); end $$;
set local test.clock = '2026-01-10 12:00:00+00';

do $$ begin perform apply_plans('{
  "features": {
    "token": {}, "gen": {}, "year": {}, "ever": {}, "file": {"kind": "gauge"}, "session": {}, "image": {"costs": {"token": 10}},
    "roll": {}, "soft": {}
  },
  "plans": {
    "free": {"default": true, "limits": {
      "token": {"month": 1000, "minute": 900}, "gen": {"day": 20, "month": 100}, "year": {"year": 100, "month": 50}, "ever": {"lifetime": 50},
      "file": {"lifetime": 20}, "session": {"5 hours": 8}, "image": {"month": null},
      "roll": {"month": {"limit": 10, "rollover": 5}}, "soft": {"month": {"limit": 5, "mode": "soft"}}
    }},
    "team": {"limits": {"token": {"month": 1000}, "image": {"month": null}}, "per_member": {"token": {"month": 100}}},
    "next": {"limits": {"token": {"year": 5000, "month": 1000}}}
  }
}'); end $$;
create temporary table ids (name text primary key, id uuid);
grant all on ids to public;
create function pg_temp.id(p_name text) returns uuid language sql as $$ select id from ids where name = p_name $$;
create function pg_temp.at(p_at text) returns text language sql as $$ select set_config('test.clock', p_at, true) $$;
create function pg_temp.use(p_feature text, p_amount bigint, p_subject text, p_name text default null, p_key text default null) returns void
language sql as $$
  insert into ids select coalesce(p_name, gen_random_uuid()::text), event_id from consume_usage(p_feature, p_amount, p_subject, p_key)
$$;
create function pg_temp.lines(p_subject text, p_feature text) returns text[] language sql as $$
  select array_agg(concat_ws(' ', kind, used_change, to_char(counts_at, 'MM-DD'), metadata ->> 'lines') order by counts_at, kind, used_change)
  from usage_events where subject = p_subject and feature = p_feature
$$;
-- What anybody can be told, but for the lines themselves.
create function pg_temp.answers() returns jsonb language plpgsql as $$ begin
  return (select jsonb_build_object(
    'now', (select jsonb_agg(to_jsonb(c) order by c.subject, c.feature, c.period, c.member) from public.current_usage as c),
    'then', (select jsonb_agg(to_jsonb(h) order by h.subject, h.feature, h.period, h.period_start) from public.usage_history as h),
    'meters', (select jsonb_agg(to_jsonb(m) order by m.subject_id, m.feature_id) from quota.meters as m),
    'counters', (select jsonb_agg(to_jsonb(c) order by c.subject_id, c.feature_id, c.period, c.period_end) from quota.counters as c),
    'sums', (select jsonb_agg(to_jsonb(s)) from (
      select subject, feature, sum(used_change) as used, sum(reserved_change) as reserved, sum(drawn_change) as drawn
      from public.usage_events where feature is not null group by 1, 2 order by 1, 2) as s)
  ));
end $$;
create temporary table answers (at_once jsonb);
create function pg_temp.keep_answers() returns void language sql as $$ delete from answers; insert into answers select pg_temp.answers() $$;
-- A year of use.
do $$ begin
  perform pg_temp.use('token', 3, 'ada', 'first'), pg_temp.use('token', 2, 'ada', 'refunded');
  perform refund_usage(pg_temp.id('refunded'), 1);
  perform pg_temp.use('gen', 1, 'ada'), pg_temp.use('gen', 2, 'ada'), pg_temp.use('year', 5, 'ada', 'of the year'), pg_temp.use('ever', 7, 'ada'), pg_temp.use('ever', 1, 'ada');
  perform pg_temp.use('file', 2, 'ada'), pg_temp.use('session', 3, 'ada'), pg_temp.use('session', 1, 'ada', 'in the window'), pg_temp.use('image', 2, 'ada', 'image');
  perform pg_temp.use('roll', 4, 'ada'), pg_temp.use('roll', 3, 'ada'), pg_temp.use('soft', 4, 'ada'), pg_temp.use('soft', 4, 'ada');
  perform consume_usage('token', 1, 'ada', null, '{"project": "x"}');
  perform consume_usage_batch('[{"feature": "token"}, {"feature": "gen"}]', 'ada', 'batch 1');
  insert into ids select 'hold', reservation_id from reserve_usage('token', 5, 'ada', '10 minutes');
  insert into ids select 'committed', event_id from commit_usage(pg_temp.id('hold'), 4);
  perform pg_temp.at('2026-01-11 12:00:00+00');
  perform pg_temp.use('gen', 4, 'ada'), pg_temp.use('gen', 5, 'ada'), pg_temp.use('session', 2, 'ada');
  perform pg_temp.at('2026-02-10 12:00:00+00');
  perform pg_temp.use('token', 7, 'ada'), pg_temp.use('token', 1, 'ada'), pg_temp.use('gen', 1, 'ada'), pg_temp.use('year', 1, 'ada');
  insert into ids select 'late', reservation_id from reserve_usage('token', 2, 'ada', '7 days');
  perform pg_temp.at('2026-04-20 12:00:00+00');
  perform pg_temp.use('token', 20, 'ada', 'running'), pg_temp.use('token', 1, 'ada', null, 'key'), pg_temp.use('roll', 1, 'ada');
  perform pg_temp.keep_answers();
end $$;
select is_empty('select * from verify_usage()', 'a year of use is proved');

select throws_ok($$select quota.tidy('-1 day')$$, '22023', null, 'a time below 0 is none');
select is(quota.tidy(null), 3::bigint, 'without it the ledger stays whole: only old keys and holds go');
select is((select count(*) from usage_events where kind = 'fold'), 0::bigint, 'no line is folded');
select is(quota.tidy(keep => interval '1 year'), 0::bigint, 'nor where all of them are younger');
select cmp_ok(quota.tidy(keep => interval '30 days'), '>', 20::bigint, 'what is older is folded');
select is(pg_temp.answers(), (select at_once from answers), 'and no number that anybody sees is another');
select is_empty('select * from verify_usage()', 'every counter is still proved');
select is(quota.tidy(keep => interval '30 days'), 0::bigint, 'done once, it is done');

select is(
  pg_temp.lines('ada', 'token'),
  -- Of January: 3, 2 less 1, 1, 1 of the batch, 4 committed of 5 held, and what two images cost.
  array['fold 30 01-10 8', 'expire 0 02-10', 'fold 8 02-10 2', 'reserve 0 02-10', 'consume 1 04-20', 'consume 20 04-20'],
  'a line for each month, with the number of lines it was; the running month stays, and what has ended lately'
);
select is(
  pg_temp.lines('ada', 'gen'),
  array['fold 4 01-10 3', 'fold 9 01-11 2', 'fold 1 02-10 1'], 'by days, where days are limited'
);
select is(
  pg_temp.lines('ada', 'year'), array['consume 5 01-10', 'consume 1 02-10'], 'a year that runs is not folded'
);
select is(pg_temp.lines('ada', 'ever'), array['consume 1 01-10', 'consume 7 01-10'], 'nor what has no end');
select is(pg_temp.lines('ada', 'file'), array['consume 2 01-10'], 'nor a gauge');
select is(
  pg_temp.lines('ada', 'session'), array['fold 4 01-10 2', 'open 0 01-10', 'fold 2 01-11 1', 'open 0 01-11'], 'a window is a stretch of its own, and its opening stays'
);
select is(pg_temp.lines('ada', 'image'), array['fold 2 01-10 1'], 'of what costs another');
select is((select count(*) from quota.shares), 0::bigint, 'whose price nothing ties to it any more');
select is((select count(*) from usage_events where kind = 'batch'), 0::bigint, 'the line of a batch goes with its items');

-- What was folded cannot be given back.
select throws_ok($$select refund_usage(pg_temp.id('first'))$$, 'QRSRV', null, 'a use that was folded cannot be refunded');
select throws_ok($$select refund_usage(pg_temp.id('refunded'), 1, null, null, 'ada')$$, 'QRSRV', null, 'nor what was left of it');
select throws_ok($$select refund_usage(pg_temp.id('committed'))$$, 'QRSRV', null, 'nor a commit');
create function pg_temp.hint(p_id uuid) returns text language plpgsql as $$
declare v_hint text;
begin
  perform refund_usage(p_id);
exception when others then
  get stacked diagnostics v_hint = pg_exception_hint;
  return v_hint;
end $$;
select matches(pg_temp.hint(pg_temp.id('first')), 'tidy', 'the hint says why');
select is((refund_usage(pg_temp.id('running'), 20)).amount, 20::bigint, 'what runs can');
select is((refund_usage(pg_temp.id('of the year'), 2)).amount, 2::bigint, 'and what is old and stays');
select is_empty('select * from verify_usage()', 'every counter is proved');

-- Sums by what they were for.
select is(
  (select array_agg(concat_ws(' ', value, used, calls) order by used) from usage_breakdown('token', 'metadata.project', 'ada', '2026-01-01', '2026-03-01')),
  array['38 8'], 'a breakdown of then has the same sum, and counts the calls, without their names'
);
select is(
  (select sum(used) from usage_breakdown('token', 'actor', 'ada', '2026-02-01', '2026-03-01')), 8::numeric, 'month by month'
);

-- What is shown once is folded into once.
do $$ begin perform pg_temp.at('2026-05-02 12:00:00+00'), quota.tidy(keep => interval '1 day'); end $$;
select is(
  pg_temp.lines('ada', 'token'), array['fold 30 01-10 8', 'fold 8 02-10 4', 'consume 1 04-20', 'fold 0 04-20 2'],
  'what could not be folded before goes into the same line, with its refunds; what a key may repeat stays'
);
select is_empty('select * from verify_usage()', 'and is proved');

-- Keys, holds and grants.
do $$ begin perform pg_temp.at('2026-04-25 12:00:00+00'); end $$;
select is((select count(*) from usage_events where subject = 'ada' and idempotency_key = 'key'), 1::bigint, 'a line whose key may be repeated is there');
do $$ begin
  insert into ids select 'open', reservation_id from reserve_usage('token', 5, 'holds', '7 days');
  perform pg_temp.use('token', 2, 'holds');
  perform pg_temp.at('2026-05-20 12:00:00+00');
  perform quota.tidy(keep => interval '1 day');
end $$;
select is(
  pg_temp.lines('holds', 'token'), array['fold 2 04-25 1', 'reserve 0 04-25'], 'a hold is not folded, also when it has expired'
);
select is((commit_usage(pg_temp.id('open'), 4)).amount, 4::bigint, 'and is committed as late as ever');
select is((select used from usage_history where subject = 'holds' and feature = 'token' and period_start = '2026-04-01'), 6::bigint, 'where it was made');
do $$ begin
  insert into ids select 'big', grant_usage('token', 500, 'granted');
  insert into ids select 'small', grant_usage('token', 5, 'granted', '2026-07-01');
  perform set_limit('granted', 'token', 'minute', null);
  perform pg_temp.use('token', 1005, 'granted', 'of the small one'), pg_temp.use('token', 3, 'granted', 'of the big one');
  perform pg_temp.at('2026-08-20 12:00:00+00');
  perform pg_temp.keep_answers(), quota.tidy(keep => interval '1 day');
end $$;
select is(pg_temp.answers(), (select at_once from answers), 'grants have what they had');
select is(
  (select array_agg(kind || ' ' || used_change || ' ' || drawn_change order by kind, drawn_change, used_change) from usage_events
   where subject = 'granted' and kind in ('fold', 'draw', 'consume')),
  array['consume 3 0', 'draw 0 3', 'fold 1005 0', 'fold 0 5'],
  'what a grant that is open gave stays with its use; what one that is spent gave is folded by itself'
);
select is((refund_usage(pg_temp.id('of the big one'))).amount, 3::bigint, 'and can be given back to it');
select is((select drawn from quota.grants where subject_id = 'granted' and amount = 500), 0::bigint, 'which has it again');
select is_empty('select * from verify_usage()', 'every counter, and every grant, is proved');

-- Caps of members have lines of their own.
do $$ begin
  perform set_plan('acme', 'team');
  perform consume_usage('token', 3, 'acme', null, '{}', 'bea'), consume_usage('token', 4, 'acme', null, '{}', 'cal');
  perform consume_usage('token', 5, 'acme', null, '{}', 'bea'), consume_usage('image', 1, 'acme', null, '{}', 'bea');
  perform consume_usage_many('[{"feature": "token", "actor": "bea"}, {"feature": "token", "actor": "bea", "amount": 500}]', 'acme');
  perform pg_temp.at('2026-11-20 12:00:00+00');
  perform consume_usage('token', 1, 'acme', null, '{}', 'bea');
  perform pg_temp.keep_answers(), quota.tidy(keep => interval '1 day'), quota.tidy(keep => interval '1 day'), quota.tidy(keep => interval '1 day');
end $$;
select is(pg_temp.answers(), (select at_once from answers), 'of what members may take nothing changes');
select is(
  (select array_agg(l.kind || ' ' || l.used_change order by l.used_change, l.kind) from quota.events as l where l.subject_id like 'acme%' and l.feature_id = 'token' and l.counts_at < '2026-10-01'),
  array['fold 4', 'fold 19', 'fold 23'], 'and a line is left of each, of the organisation and of two members'
);
select is_empty('select * from verify_usage()', 'every counter is proved');
select is((refund_usage((consume_usage('token', 2, 'acme', null, '{}', 'bea')).event_id)).used, 1::bigint, 'what runs is given back as ever');

-- What comes later to what was folded.
do $$ begin
  perform quota.import_usage('[{"subject": "ada", "feature": "token", "amount": 5, "period_start": "2026-01-20T00:00:00Z"}]');
  perform set_plan('ada', 'next');
end $$;
select is(
  (select array_agg(period || ' ' || used order by period) from current_usage where subject = 'ada' and feature = 'token'),
  array['month 0', 'year 44'], 'a plan that brings a year finds what was used in it'
);
select is_empty('select * from verify_usage()', 'which is proved');
do $$ begin
  perform pg_temp.use('token', 2, 'trial'), pg_temp.at('2027-01-20 12:00:00+00'), quota.tidy(keep => interval '1 day');
  perform merge_subjects('trial', 'heir');
end $$;
select is(pg_temp.lines('heir', 'token'), array['fold 2 11-20 1'], 'a merge brings folded lines along');
select is_empty('select * from verify_usage()', 'which is proved, too');
select cmp_ok(forget_subject('heir'), '>', 0::bigint, 'and who is forgotten is forgotten');
select is((select count(*) from usage_events where subject in ('trial', 'heir')), 0::bigint, 'in folded lines, too');
set local role service_role;
select throws_ok($$select quota.tidy(interval '1 day')$$, '42501', null, 'it is for DBAs and their jobs');
reset role;
select is((select count(*) from usage_events where metadata ->> 'project' = 'x'), 0::bigint, 'what was said of a use is gone with it');

select * from finish();
rollback;
