-- What must be true of the tables for them to be spread over nodes by subject (sql/optional/citus.sql).
-- Of the statements: house.test.sql.
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
select plan(8);

-- By what a table's rows are spread; null: it is the same on every node, or (local) on the first alone.
create temporary view spread as
  select c.oid, c.relname::text as name,
    case
      when c.relname in (
        'catalogue', 'feature_costs', 'features', 'member_limits', 'plan_limits', 'plan_values', 'plans'
      ) then null
      when c.relname in ('followed_tables', 'limited_tables') then null
      -- Asked by the user that reads; its organisations are elsewhere.
      when c.relname = 'members' then 'user_id'
      else 'subject_id'
    end as key
  from pg_class as c
  where c.relnamespace = 'quota'::regnamespace and c.relkind = 'r';

select is_empty(
  $$select s.name
    from spread as s
    left join pg_attribute as a on a.attrelid = s.oid and a.attname = s.key
    where s.key is not null
      and (a.atttypid = 'text'::regtype and a.attnotnull and a.attcollation = '"C"'::regcollation) is not true$$,
  'a table is of the catalogue, of the app''s tables, or has the subject of each row, in one type and collation'
);
select is_empty(
  $$select s.name, i.indexrelid::regclass
    from spread as s
    join pg_index as i on i.indrelid = s.oid and i.indisunique
    where s.key is not null
      and not exists (
        select from pg_attribute as a
        where a.attrelid = s.oid and a.attname = s.key and a.attnum = any (i.indkey::smallint[])
      )$$,
  'every unique key of a subject''s data has the subject in it: one node can promise it alone'
);
select is_empty(
  $$select conrelid::regclass, conname from pg_constraint
    where conrelid in (select oid from spread where key is not null)
      and contype not in ('c', 'f', 'n', 'p')$$,
  'nothing else of a subject''s data is promised beyond a row'
);
select is_empty(
  $$select f.conrelid::regclass, f.conname
    from pg_constraint as f
    where f.contype = 'f'
      and f.connamespace = 'quota'::regnamespace
      and f.confrelid not in (
        select oid from spread
        where name in ('features', 'plans')
      )$$,
  'foreign keys lead to the catalogue alone, which is on every node'
);
select is_empty(
  $$select f.conrelid::regclass, f.conname
    from pg_constraint as f
    join spread as s on s.oid = f.conrelid
    where f.contype = 'f'
      and s.key is not null
      and (f.confdeltype in ('n', 'd') or f.confupdtype <> 'a')
      and exists (
        select from pg_attribute as a
        where a.attrelid = f.conrelid and a.attname = s.key and a.attnum = any (f.conkey)
      )$$,
  'and none could change whose a row is'
);
select is_empty(
  $$select s.name, a.attname
    from spread as s
    join pg_attribute as a on a.attrelid = s.oid and a.attnum > 0
    left join pg_attrdef as d on d.adrelid = s.oid and d.adnum = a.attnum
    where a.attidentity <> '' or a.attgenerated <> ''
      or pg_get_expr(d.adbin, d.adrelid) ~ '\('$$,
  'no column counts up, or is computed by a function: nodes would not agree'
);
select is_empty(
  $$select p.oid::regprocedure, m.found[1]
    from pg_proc as p
    cross join lateral regexp_matches(
      p.prosrc, '(exists \(\s*select from quota\.members as[^)]*)\)', 'g'
    ) as m (found)
    where p.pronamespace = 'quota'::regnamespace
      and m.found[1] !~ '\muser_id = '$$,
  'whether there are members, who lie by user, is asked with a column: all nodes hand it on'
);
select is_empty(
  $$select p.oid::regprocedure, m.found[1]
    from pg_proc as p
    cross join lateral regexp_matches(
      p.prosrc, '((?:delete from|update) quota\.[^;]*\mcase\s+[a-z_.]+\s+when\M)', 'g'
    ) as m (found)
    where p.pronamespace = 'quota'::regnamespace$$,
  'what changes rows says "case when x = …", not "case x when …", which is handed on as another question'
);

select * from finish();
rollback;
