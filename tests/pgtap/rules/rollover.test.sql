-- Rollover: what the plan's own allowance left stays for one more period, and is used first.
begin;
select set_config('search_path', 'public, ' || pronamespace::regnamespace, true) from pg_proc where proname = 'pgtap_version';
set local timezone = 'UTC';
select plan(43);

create or replace function quota.clock()
returns timestamptz language plpgsql set search_path = pg_catalog, pg_temp
as $$ begin return current_setting('test.clock', true); end $$;

do $$ begin perform apply_plans('{
  "features": {"gen": {}, "other": {}},
  "plans": {
    "free": {"default": true, "limits": {"gen": {"month": {"limit": 10, "rollover": 4}}, "other": {"month": 5}}},
    "pro": {"limits": {"gen": {"month": {"limit": 100, "rollover": 30}}}},
    "soft": {"limits": {"gen": {"month": {"limit": 10, "rollover": 4, "mode": "soft"}}}},
    "old": {"limits": {"gen": {"month": {"limit": 10, "rollover": 4}}}}
  }
}'); end $$;

create function pg_temp.at(p_at text) returns void language plpgsql as $$
begin perform set_config('test.clock', p_at || ' 12:00:00+00', true); end $$;
create function pg_temp.use(p_subject text, p_amount bigint) returns text language sql as $$
  select concat_ws(' ', reason, used + reserved, "limit", remaining) || case when carried > 0 then ', of ' || carried else '' end
  from consume_usage('gen', p_amount, p_subject)
$$;
create function pg_temp.shown(p_subject text) returns text language sql as $$
  select concat_ws(' ', u.used, u."limit", u.carried) from current_usage as u where u.subject = p_subject and u.feature = 'gen'
$$;

select pg_temp.at('2026-01-10');
select is(pg_temp.use('ada', 7), 'ok 7 10 3', 'nothing is carried into the first month');
select is(pg_temp.shown('ada'), '7 10 0', 'nor shown');

select pg_temp.at('2026-02-10');
select is(pg_temp.shown('ada'), '0 13 3', 'what January left is there in February');
select is((check_usage('gen', 13, 'ada')).allowed, true, 'may be asked about');
select is(pg_temp.use('ada', 2), 'ok 2 13 11, of 3', 'and is used first');
select is(pg_temp.use('ada', 2), 'ok 4 13 9, of 3', 'also by a plain call');

select pg_temp.at('2026-03-10');
select is(pg_temp.shown('ada'), '0 14 4', 'of February nine were left of its own: at most four stay');
select is(pg_temp.use('ada', 14), 'ok 14 14 0, of 4', 'all can be used');
select is(pg_temp.use('ada', 1), 'limit_reached 14 14 0, of 4', 'and no more');
select pg_temp.at('2026-04-10');
select is(pg_temp.shown('ada'), '0 10 0', 'what was carried does not stay again: March left nothing of its own');

-- Only what is left of the plan's own allowance.
select pg_temp.at('2026-01-10');
do $$ begin perform consume_usage('gen', 9, 'bob'); end $$;
select pg_temp.at('2026-02-10');
do $$ begin perform consume_usage('gen', 1, 'bob'); end $$; -- the carried one
select pg_temp.at('2026-03-10');
select is(pg_temp.shown('bob'), '0 14 4', 'the carried unit was used first, so all ten of February were left');
select pg_temp.at('2026-06-10');
select is(pg_temp.shown('bob'), '0 14 4', 'months without use roll over as well, and not more than one of them');

-- Late refunds.
select pg_temp.at('2026-01-10');
create temporary table uses (name text, event_id uuid);
insert into uses select 'cyd', (consume_usage('gen', 9, 'cyd')).event_id;
select pg_temp.at('2026-02-10');
select is(pg_temp.use('cyd', 11), 'ok 11 11 0, of 1', 'one was left');
do $$ begin perform refund_usage((select event_id from uses), 2); end $$;
select is(pg_temp.shown('cyd'), '11 13 3', 'a late refund frees two more at once');
select is(pg_temp.use('cyd', 2), 'ok 13 13 0, of 3', 'for calls, too');
select pg_temp.at('2026-03-10');
select is(pg_temp.use('cyd', 1), 'ok 1 10 9', 'February left nothing of its own');
do $$ begin perform refund_usage((select event_id from uses), 1); end $$;
select is(pg_temp.shown('cyd'), '1 11 1', 'a refund of January is carried through February');
select is(
  (select array_agg(concat_ws(' ', used, "limit", carried) order by period_start) from usage_history where subject = 'cyd'),
  array['6 10 0', '13 14 4', '1 10 0'], 'the history says what each month carried'
);

-- Holds.
select pg_temp.at('2026-01-31');
create temporary table holds as
  select (reserve_usage('gen', 10, 'dan', '2 days')).reservation_id;
select pg_temp.at('2026-02-01');
select is(pg_temp.shown('dan'), '0 10 0', 'what is held may still be used');
do $$ begin perform release_usage((select reservation_id from holds)); end $$;
select is(pg_temp.shown('dan'), '0 14 4', 'what was released was left');

-- Grants, exceptions, overage.
select pg_temp.at('2026-01-10');
do $$ begin
  perform grant_usage('gen', 5, 'eve');
  perform consume_usage('gen', 12, 'eve');
  perform set_limit('fay', 'gen', 'month', 12);
  perform consume_usage('gen', 10, 'fay');
  perform set_plan('gil', 'soft');
end $$;
select pg_temp.at('2026-02-10');
select is(pg_temp.shown('eve'), '0 13 0', 'what is left of a grant is no allowance of the plan');
do $$ begin perform clear_limit('fay', 'gen', 'month'); end $$;
select is(pg_temp.shown('fay'), '0 12 2', 'of an exception counts what held then');
do $$ begin perform consume_usage('gen', 20, 'gil'); end $$;
select is(pg_temp.shown('gil'), '20 14 4', 'a month on the plan without use');
select is((select over from usage_history where subject = 'gil'), 6::bigint, 'overage begins after what was carried');
select pg_temp.at('2026-03-10');
select is(pg_temp.shown('gil'), '0 10 0', 'and leaves nothing');

-- A fresh start by hand.
do $$ begin perform consume_usage('gen', 9, 'eve'); perform reset_usage('gen', 'eve'); end $$;
select is(pg_temp.shown('eve'), '0 17 4', 'after a reset what was carried is there again');
select pg_temp.at('2026-04-10');
select is(pg_temp.shown('eve'), '0 17 4', 'and the period rolls over as if nothing had been used');

-- Terms.
select pg_temp.at('2026-01-10');
do $$ begin perform consume_usage('gen', 1, 'hal'); end $$;
select pg_temp.at('2026-02-10');
do $$ begin perform set_plan('hal', 'pro'); end $$;
select is(pg_temp.shown('hal'), '0 100 0', 'a new plan carries nothing of the old one');
select pg_temp.at('2026-03-10');
select is(pg_temp.shown('hal'), '0 130 30', 'after a month on it, it does');
do $$ begin perform set_plan('hal', 'pro', '2026-03-05 00:00:00+00'); end $$;
select is(pg_temp.shown('hal'), '0 100 0', 'nothing over a moved anchor');
select pg_temp.at('2026-04-10');
select is(pg_temp.shown('hal'), '0 130 30', 'the next one carries again');
do $$ begin perform set_plan('hal', 'pro', null, null, '2026-04-20 00:00:00+00'); end $$;
select is(pg_temp.shown('hal'), '0 130 30', 'the same plan once more changes nothing');
select pg_temp.at('2026-04-25');
select is(pg_temp.shown('hal'), '0 10 0', 'nor does what comes after its end');
select is(pg_temp.shown('ian'), null, 'who was never seen has no row');
select is((check_usage('gen', 1, 'ian'))."limit", 10::bigint, 'and carries nothing from before');

-- A successor goes on with it.
select pg_temp.at('2026-05-10');
do $$ begin
  perform set_plan('jil', 'old');
  perform consume_usage('gen', 8, 'jil');
  perform apply_plans('{
    "features": {"gen": {}, "other": {}},
    "plans": {
      "free": {"default": true, "limits": {"gen": {"month": {"limit": 10, "rollover": 4}}, "other": {"month": 5}}},
      "pro": {"limits": {"gen": {"month": {"limit": 100, "rollover": 30}}}},
      "soft": {"limits": {"gen": {"month": {"limit": 10, "rollover": 4, "mode": "soft"}}}},
      "old": {"retired": true, "successor": "pro", "moves": "2026-06-01T00:00:00Z", "limits": {"gen": {"month": {"limit": 10, "rollover": 4}}}}
    }
  }');
end $$;
select pg_temp.at('2026-06-10');
select is(pg_temp.shown('jil'), '0 102 2', 'what the plan before left stays on its successor');

-- Another plan, as explain_usage looks at it, promises nothing from before.
do $$ begin perform consume_usage('gen', 13, 'ada'); end $$;
select is(
  (select plans[1] from explain_usage('gen', 90, 'ada') limit 1), 'soft', 'the plan that would do'
);

-- How long to wait: for the month that may carry enough, which need not be the next one.
select pg_temp.at('2026-03-01');
do $$ begin perform consume_usage('gen', 10, 'wes'); end $$;
create function pg_temp.waited(p_amount bigint) returns timestamptz language sql as $$
  select quota.clock() + make_interval(secs => c.retry_after) from check_usage('gen', p_amount, 'wes') as c
$$;
select is(pg_temp.waited(10), '2026-04-01 00:00+00'::timestamptz, 'what the plan itself allows is there next month');
select is(pg_temp.waited(14), '2026-05-01 00:00+00'::timestamptz, 'what it takes a month without use for, a month later');
select is(
  (select u.retry_after from consume_usage('gen', 14, 'wes') as u), (select c.retry_after from check_usage('gen', 14, 'wes') as c),
  'a use says the same'
);
select is(pg_temp.waited(15), null, 'and more than ever rolls over, never');

select is_empty('select * from verify_usage()', 'all of it is proved');
select is(
  (select count(*) from quota.counters where carried > 0 and carried > rollover), 0::bigint, 'never more than its rollover'
);

select * from finish();
rollback;
