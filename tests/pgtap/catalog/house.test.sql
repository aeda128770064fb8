-- The house: how long a function may be, and what keeps the text ready to be spread over several nodes by
-- subject. Asked of pg_catalog. What a list excuses may only become less.
begin;
-- pgTAP in schema public would be taken for ours: it moves aside until the rollback.
do $$ begin
  if (select extnamespace from pg_extension where extname = 'pgtap') = 'public'::regnamespace then
    create schema pgtap_aside;
    grant usage on schema pgtap_aside to public;
    alter extension pgtap set schema pgtap_aside;
  end if;
end $$;
select set_config('search_path', 'public, ' || pronamespace::regnamespace, true) from pg_proc where proname = 'pgtap_version';
select plan(9);

create temporary view bodies as
  select p.oid, p.proname::text as name,
    cardinality(string_to_array(btrim(p.prosrc, E'\n'), E'\n')) as lines,
    -- Without comments and texts, so that only code is judged.
    regexp_replace(regexp_replace(p.prosrc, '--[^\n]*', '', 'g'), '''[^'']*''', '''''', 'g') as code
  from pg_proc as p
  where p.pronamespace in ('public'::regnamespace, 'quota'::regnamespace)
    -- Generated.
    and p.proname <> 'release_manifest';

create temporary view statements as
  select b.name, s.text
  from bodies as b
  cross join regexp_split_to_table(
    b.code, ';|\mloop\M|\m(?:then|else)\M(?=\s+(?:perform|update|insert|delete|select|return|raise|for|if)\M)'
  ) as s (text);

-- Which table of a subject's a statement reads or changes, and under which alias.
create temporary view uses as
  select s.name, s.text, u.match[1] as relation, u.match[2] as alias
  from statements as s
  cross join regexp_matches(
    s.text,
    '\m(?:from|join|update)\s+quota\.(alerts|counters|events|exceptions|grants|keys|members|merges|meters|overages|overrides|reservations|shares|subjects)\s+as\s+(\w+)',
    'g'
  ) as u (match);

select is_empty(
  $$select b.name, b.lines
    from bodies as b
    left join (values
      ('begin_windows', 120), ('commit_usage', 81), ('consume_usage', 157), ('end_plainly', 95),
      ('open_counters', 137), ('refusal', 103), ('remember', 153), ('take_all_plainly', 82)
    ) as e (name, lines) using (name)
    where b.lines > coalesce(e.lines, 70)$$,
  'a function has at most 70 lines'
);
select set_eq(
  $$select name from statements
    where text ~* '\m(from|join)\s+quota\.(features|plans|plan_limits|plan_values|feature_costs|catalogue)\M.*\mfor\s+(no\s+key\s+update|update|key\s+share|share)\M'$$,
  array['check_limited_table', 'hold_features', 'hold_plans', 'hold_removed', 'lock_imports', 'set_value'],
  'nobody else locks rows of the catalogue, which all callers of all nodes share'
);
select set_eq(
  $$select name from statements
    where text ~* '\minsert\s+into\s+quota\.(alerts|counters|events|exceptions|grants|keys|members|merges|meters|overages|overrides|reservations|shares|subjects)\s*\([^)]*\)\s*(with|select)\M'$$,
  array[
    'consume_usage', 'count_plainly', 'create_meters', 'end_plainly', 'lock_imports', 'make_counters',
    'move_belongings',
    'open_counters', 'write_imports', 'write_items', 'write_lines', 'write_many', 'write_together'
  ],
  'a subject''s rows are inserted one by one, but for these'
);
select is_empty(
  $$select name from statements where text ~* ':=\s*\(\s*select\s+row\s*\('$$,
  'a row of our own type is read with select into, never assigned from a query'
);
select is_empty(
  $$select name from uses where text ~* '\mpg_catalog\.|\mpg_(class|proc|namespace|attribute|trigger|roles)\M'$$,
  'no statement joins a subject''s data with the catalogue of Postgres'
);
select is_empty(
  $$select distinct u.name, c.match[1] as called
    from uses as u
    cross join regexp_matches(u.text, '\mquota\.(\w+)\s*\(', 'g') as c (match)
    where c.match[1] in (select proname::text from pg_proc where pronamespace = 'quota'::regnamespace)
      -- These look at what they are given, or at the catalogue, and nothing else.
      and c.match[1] not in (
        'cap_holder', 'cap_id', 'cap_member', 'import_key', 'import_problem', 'instant_from', 'kept_plan', 'kinds_to_fold', 'left_to_carry', 'mark_of', 'new_id', 'period_of',
        'limit_terms', 'period_problem', 'period_rank', 'plan_ages', 'plan_at', 'room', 'without_member', 'without_member_each'
      )
      and (u.name, c.match[1]) not in (values
        ('begin_followed_periods', 'open_many'), ('follow_rows', 'write_terms'),
        ('lock_gauges', 'rows_in_tables'), ('move_meters', 'open_spans'),
        ('open_many', 'open_spans'), ('open_odd_periods', 'plan_periods'),
        ('plan_impact', 'granted_to'), ('plan_impact', 'plan_steps'),
        ('recount_gauge', 'rows_in_tables'),
        ('unproved_rows', 'rows_in_tables')
      )$$,
  'a statement that reads a subject''s data calls none of our functions that reads some, too'
);
select is_empty(
  $$select distinct u.name, u.relation
    from uses as u
    -- Members are spread by user: see sharding.test.sql.
    cross join lateral (
      select case u.relation when 'members' then 'user_id' else 'subject_id' end as name
    ) as k
    where u.text !~* ('\m' || u.alias || '\.' || k.name || '\s*(=|is not distinct)')
      and u.text !~* ('=\s*' || u.alias || '\.' || k.name || '\M')
      and u.name not in (
        -- Of all subjects, by what they do.
        'check_granted', 'check_in_use', 'hold_removed', 'lock_gauges', 'lock_namers', 'lock_to_merge', 'rows_to_merge', 'holders_of', 'recount_gauge',
        'tidy_keys', 'settle_forgotten', 'tidy_holds', 'tidy_alerts', 'tidy_terms', 'fold_ledger', 'write_catalogue', 'forget_actor', 'below', 'take_children_off', 'move_children', 'over_limit_note', 'plan_steps',
        'forget_merges', 'move_belongings', 'names_of', 'end_caps', 'clear_cap', 'caps_shown', 'member_uses', 'called_features', 'lines_to_fold',
        -- Told an id alone; a caller that names the subject is not asked less.
        'lock_reservation', 'end_plainly', 'use_to_refund', 'void_grant'
      )$$,
  'a statement names the subject of each table that it reads, so that one node can answer it'
);

select set_eq(
  $$select name from statements
    where text ~* '\mupdate\s+quota\.(\w+)\s+as\s+\w+\s+set\s(?:(?!\mwhere\M).)*(?:[-+]\s*interval\M|\]\s*\)?\.\w+\[|\)\s*\[)'
      or text ~* '\mreturning\M(?:(?!\minto\M).)*[-+]\s*interval\M'$$,
  array['move_meters'],
  'what is set and returned is computed without calendar and without parts of rows, which is sent to no node'
);
select set_eq(
  $$select name from statements
    where text ~* '\mupdate\s+quota\.\w+\s+as\s+\w+\s+set\s+(?:(?:(?!\mwhere\M).)*,\s*)?subject_id\s*='$$,
  array['move_belongings', 'move_windows'],
  'a row stays with its subject, but when two become one'
);

select * from finish();
rollback;
