-- usage_events: the reader's own ledger lines.
begin;
select set_config('search_path', 'public, ' || pronamespace::regnamespace, true) from pg_proc where proname = 'pgtap_version';
set local timezone = 'UTC';
select plan(17);

create or replace function quota.clock()
returns timestamptz language plpgsql set search_path = pg_catalog, pg_temp
as $$ begin return current_setting('test.clock', true); end $$;
set local test.clock = '2026-09-15 12:00:00+00';

do $$ begin perform apply_plans('{
  "features": {"ai_generation": {}},
  "plans": {"free": {"default": true, "limits": {"ai_generation": {"month": 50}}}}
}'); end $$;

select columns_are('public', 'usage_events', array[
  'subject', 'event_id', 'at', 'kind', 'feature', 'counts_at', 'used_change', 'reserved_change',
  'drawn_change', 'about_id', 'grant_id', 'actor', 'idempotency_key', 'metadata', 'over'
]);

insert into quota.members (subject_id, user_id) values ('acme', 'ada');
set local role authenticated;
set local request.jwt.claims = '{"sub": "ada"}';
create temporary table uses as
  select event_id from consume_usage('ai_generation', 3, 'acme', 'k1', '{"model": "small"}');
grant select on uses to public;
select is(
  (select to_jsonb(e) - 'event_id' from usage_events as e),
  '{"subject": "acme", "at": "2026-09-15T12:00:00+00:00", "kind": "consume",
    "feature": "ai_generation", "counts_at": "2026-09-15T12:00:00+00:00", "used_change": 3,
    "reserved_change": 0, "drawn_change": 0, "about_id": null, "grant_id": null, "actor": "ada",
    "idempotency_key": "k1", "metadata": {"model": "small"}, "over": null}',
  'a line says what was used, when, by whom, and what the caller wrote to it'
);
select is(
  (select event_id from usage_events), (select event_id from uses),
  'its id is the one that the decision gave'
);
reset role;
set local test.clock = '2026-09-16 12:00:00+00';
do $$ begin perform refund_usage((select event_id from uses), 1, 'failed'); end $$;
set local role authenticated;
select is(
  (select row(e.at, e.counts_at, e.used_change, e.about_id = u.event_id, e.actor)::text
   from usage_events as e cross join uses as u where e.kind = 'refund'),
  '("2026-09-16 12:00:00+00","2026-09-15 12:00:00+00",-1,t,ada)',
  'a refund counts in the instant of the use it is about, and has its actor'
);
select is(
  (select sum(used_change)::bigint from usage_events where subject = 'acme'),
  (select used from current_usage where subject = 'acme'),
  'the lines of a period add up to what current_usage shows'
);
do $$ begin perform consume_usage('ai_generation'); end $$;
select is(
  (select array_agg(row(subject, used_change, actor)::text) from usage_events where subject = 'ada'),
  array['(ada,1,)'], 'who acts for itself is no actor'
);

-- Who sees whom.
set local request.jwt.claims = '{"sub": "acme"}';
select is(
  (select array_agg(distinct subject) from usage_events), array['acme'],
  'a subject sees its own lines, whoever acted'
);
set local request.jwt.claims = '{"sub": "bob"}';
select is_empty('select * from usage_events', 'a user sees nobody else''s lines');
select is_empty(
  format('select * from usage_events where event_id = %L', (select event_id from uses)),
  'not even those whose id it knows'
);
create function pg_temp.leak(p_metadata jsonb) returns boolean language plpgsql cost 0.0000001 as $$
begin
  raise exception sqlstate 'LEAKS';
end $$;
select lives_ok(
  'select * from usage_events where pg_temp.leak(metadata)',
  'a filter of the reader''s is not shown the lines of others'
);
set local request.jwt.claims = '';
select is_empty('select * from usage_events', 'without an identity there are no rows');
set local role anon;
select throws_ok('select * from usage_events', '42501', null, 'anon may not read it');
set local role service_role;
select is(
  (select array_agg(distinct subject order by subject) from usage_events), array['acme', 'ada'],
  'the server sees all'
);

-- Append-only.
select throws_ok(
  $$update usage_events set used_change = 0$$, '42501', null, 'not even the server changes a line'
);
select throws_ok($$delete from usage_events$$, '42501', null, 'or deletes one');
select throws_ok(
  $$insert into usage_events (subject, event_id, at, kind, feature, counts_at, used_change)
    values ('ada', gen_random_uuid(), now(), 'refund', 'ai_generation', now(), -3)$$,
  '42501', null, 'or writes one by hand'
);
set local role authenticated;
select throws_ok(
  $$delete from usage_events where subject = 'ada'$$, '42501', null, 'nor does a user with its own'
);

select * from finish();
rollback;
