-- Before a document is applied: for how many subjects what changes when, and who would be over.
begin;
select set_config('search_path', 'public, ' || pronamespace::regnamespace, true) from pg_proc where proname = 'pgtap_version';
set local timezone = 'UTC';
select plan(13);

create or replace function quota.clock()
returns timestamptz language plpgsql set search_path = pg_catalog, pg_temp
as $$ begin return current_setting('test.clock', true); end $$;
set local test.clock = '2026-09-15 12:00+00';

create temporary table documents (name text primary key, document jsonb);
grant select on documents to service_role;
insert into documents values ('first', '{
  "features": {"ai_generation": {}, "export": {}, "kb_file": {"kind": "gauge"}},
  "plans": {
    "free": {"default": true, "limits": {"ai_generation": {"month": 50}}},
    "pro": {"limits": {"ai_generation": {"month": 100}, "export": {"month": 10}, "kb_file": {"lifetime": 50}}},
    "pro_2027": {"limits": {"ai_generation": {"month": 60}, "kb_file": {"lifetime": 5}}}
  }
}');
insert into documents
  select 'smaller', jsonb_set(document, '{plans,free,limits,ai_generation,month}', '20') from documents where name = 'first';
insert into documents
  select 'renewal', jsonb_set(document, '{plans,pro}', document #> '{plans,pro}' ||
    '{"retired": true, "successor": "pro_2027", "moves": "renewal"}') from documents where name = 'first';

create function pg_temp.details(p_name text) returns text[] language sql as $$
  select array_agg(concat_ws(' ', action, kind, id, detail))
  from documents as d, public.apply_plans(d.document, true) where d.name = p_name
$$;
create function pg_temp.impact(p_name text) returns setof text language sql as $$
  select row(subject, former_plan, plan, to_char(at, 'MM-DD HH24:MI'), feature, period, used, "limit", over)::text
  from documents as d, quota.plan_impact(d.document) where d.name = p_name
$$;

do $$ begin
  perform apply_plans(document) from documents where name = 'first';
  perform set_plan('ada', 'pro');
  perform set_plan('bob', 'pro', '2026-08-20 08:00+00');
  perform set_plan('cy', 'pro', ends_at => '2026-09-20 00:00+00');
  perform set_limit('eve', 'ai_generation', 'month', 30);
  perform grant_usage('ai_generation', 15, 'gil');
  perform consume_usage('ai_generation', 25, s) from unnest(array['dan', 'eve', 'fay']) as s;
  perform consume_usage('ai_generation', 30, 'fay'), consume_usage('ai_generation', 40, 'gil');
  perform consume_usage('ai_generation', 70, s), consume_usage('kb_file', 5, s) from unnest(array['ada', 'bob', 'cy']) as s;
  perform consume_usage('export', 2, 'ada'), consume_usage('kb_file', 20, 'bob');
end $$;

select is(
  pg_temp.details('smaller'), array['change limit free/ai_generation/month amount: 50 → 20 (subjects: 4, over it: 3)'],
  'a smaller limit: how many are on the plan, and how many have used more; who has an exception is on it, but not over'
);
select results_eq(
  $$select pg_temp.impact('smaller')$$,
  $$values ('(dan,free,free,"09-15 12:00",ai_generation,month,25,20,5)'),
    ('(fay,free,free,"09-15 12:00",ai_generation,month,25,20,5)'),
    ('(gil,free,free,"09-15 12:00",ai_generation,month,40,35,5)')$$,
  'who they are, with their grants, and by how much'
);
select results_eq(
  $$select pg_temp.impact('first')$$, array[]::text[], 'what is so already is no news'
);
select is(
  pg_temp.details('renewal'),
  array['change plan pro moves: none → "renewal", retired: none → true, successor: none → "pro_2027" '
    || '(subjects that move: 2, 2026-09-20T08:00:00Z to 2026-10-01T00:00:00Z; over a new limit: 2)'],
  'a move: of how many, when the first and the last; whose plan ends before does not move'
);
select results_eq(
  $$select pg_temp.impact('renewal')$$,
  $$values ('(bob,pro,pro_2027,"09-20 08:00",kb_file,lifetime,25,5,20)'),
    ('(bob,pro,pro_2027,"09-20 08:00",ai_generation,month,70,60,10)'),
    ('(ada,pro,pro_2027,"10-01 00:00",ai_generation,month,70,60,10)'),
    ('(ada,pro,pro_2027,"10-01 00:00",export,month,2,0,2)')$$,
  'each with its instant, the furthest over first; what the successor lacks is 0'
);
select is((select count(*)::integer from quota.plans where is_retired), 0, 'nothing is changed by looking');

-- Who may look.
set local role service_role;
select isnt_empty($$select pg_temp.impact('smaller')$$, 'the server may look');
set local role authenticated;
set local request.jwt.claims = '{"sub": "ada"}';
select throws_ok($$select quota.plan_impact('{}')$$, '42501', null, 'a user may not');
reset role;
select throws_ok($$select quota.plan_impact('{}')$$, 'QPLAN', null, 'a document that is wrong is refused');
select throws_ok($$select quota.plan_impact(null)$$, 'QPLAN', null, 'and so is none');

-- After the move.
do $$ begin perform apply_plans(document) from documents where name = 'renewal'; end $$;
set local test.clock = '2026-09-20 08:00+00';
select results_eq(
  $$select pg_temp.impact('renewal')$$,
  $$values ('(ada,pro,pro_2027,"10-01 00:00",ai_generation,month,70,60,10)'),
    ('(ada,pro,pro_2027,"10-01 00:00",export,month,2,0,2)')$$,
  'who has moved is under limits that hold already'
);
select is(
  (select array_agg(detail) from documents as d, apply_plans(
    jsonb_set(d.document, '{plans,pro_2027,limits,kb_file,lifetime}', '4'), true
  ) where d.name = 'renewal'),
  array['amount: 5 → 4 (subjects: 1, over it: 1)'], 'and counts where it is now'
);
select is(
  (select array_agg(detail) from documents as d, apply_plans(
    jsonb_set(d.document, '{plans,pro,limits,kb_file,lifetime}', '24'), true
  ) where d.name = 'renewal'),
  array['amount: 50 → 24 (subjects: 1, over it: 0)'], 'not where it came from'
);

select * from finish();
rollback;
