-- The style of tables, views and types, asked of pg_catalog.
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
select plan(27);

create temporary view tables as
  select oid, relname::text as name from pg_class
  where relnamespace = 'quota'::regnamespace and relkind in ('r', 'p');

select is(
  (select array_agg(name order by name collate "C") from tables),
  array['alerts', 'caps', 'catalogue', 'counters', 'events', 'exceptions', 'feature_costs', 'features', 'followed_tables',
    'grants', 'keys', 'limited_tables', 'member_limits', 'members', 'merges', 'meters', 'overages', 'overrides', 'plan_limits', 'plan_values',
    'plans', 'reservations', 'shares', 'subjects'],
  'the tables are these'
);

select is_empty(
  $$select c.relname, a.attname
    from pg_class as c
    join pg_attribute as a on a.attrelid = c.oid
    left join pg_index as i on i.indexrelid = c.oid
    where c.relnamespace = 'quota'::regnamespace
      and a.attnum > 0
      and not a.attisdropped
      and a.attstattarget is distinct from 0
      and exists (
        select from pg_policies as p
        where p.schemaname = 'quota'
          and p.tablename = (select r.relname from pg_class as r where r.oid = coalesce(i.indrelid, c.oid))
          and p.policyname = 'select_own'
      )
      -- Of an index only expressions have statistics.
      and (c.relkind = 'r' or exists (
        select from unnest(i.indkey) with ordinality as k (attnum, place)
        where k.attnum = 0 and k.place = a.attnum
      ))$$,
  'no column of what users read through policies has statistics: estimates would tell of others'
);

-- Access.
select is_empty(
  $$select name from tables join pg_class using (oid) where not relrowsecurity$$,
  'every table has row level security'
);
select set_eq(
  $$select tablename::text, policyname::text, cmd, roles::text from pg_policies where schemaname = 'quota'$$,
  $$values
    ('catalogue', 'select_everyone', 'SELECT', '{anon,authenticated,service_role}'),
    ('features', 'select_everyone', 'SELECT', '{anon,authenticated,service_role}'),
    ('plans', 'select_everyone', 'SELECT', '{anon,authenticated,service_role}'),
    ('plan_limits', 'select_everyone', 'SELECT', '{anon,authenticated,service_role}'),
    ('plan_values', 'select_everyone', 'SELECT', '{anon,authenticated,service_role}'),
    ('feature_costs', 'select_everyone', 'SELECT', '{anon,authenticated,service_role}'),
    ('shares', 'select_service', 'SELECT', '{service_role}'),
    ('overages', 'select_own', 'SELECT', '{authenticated}'),
    ('overages', 'select_service', 'SELECT', '{service_role}'),
    ('overrides', 'select_service', 'SELECT', '{service_role}'),
    ('merges', 'select_service', 'SELECT', '{service_role}'),
    ('caps', 'select_service', 'SELECT', '{service_role}'),
    ('member_limits', 'select_service', 'SELECT', '{service_role}'),
    ('subjects', 'select_own', 'SELECT', '{authenticated}'),
    ('subjects', 'select_service', 'SELECT', '{service_role}'),
    ('members', 'select_own', 'SELECT', '{authenticated}'),
    ('members', 'select_service', 'SELECT', '{service_role}'),
    ('exceptions', 'select_own', 'SELECT', '{authenticated}'),
    ('exceptions', 'select_service', 'SELECT', '{service_role}'),
    ('grants', 'select_own', 'SELECT', '{authenticated}'),
    ('grants', 'select_service', 'SELECT', '{service_role}'),
    ('counters', 'select_own', 'SELECT', '{authenticated}'),
    ('counters', 'select_service', 'SELECT', '{service_role}'),
    ('events', 'select_own', 'SELECT', '{authenticated}'),
    ('events', 'select_service', 'SELECT', '{service_role}'),
    ('reservations', 'select_own', 'SELECT', '{authenticated}'),
    ('reservations', 'select_service', 'SELECT', '{service_role}'),
    ('alerts', 'select_own', 'SELECT', '{authenticated}'),
    ('alerts', 'select_service', 'SELECT', '{service_role}'),
    ('keys', 'select_service', 'SELECT', '{service_role}'),
    ('limited_tables', 'select_service', 'SELECT', '{service_role}'),
    ('followed_tables', 'select_service', 'SELECT', '{service_role}'),
    ('meters', 'select_own', 'SELECT', '{authenticated}'),
    ('meters', 'select_service', 'SELECT', '{service_role}')$$,
  'the policies are these, each named <command>_<who>, and each is for reading'
);
select is_empty(
  $$select tablename, policyname from pg_policies
    where schemaname = 'quota' and policyname = 'select_own'
      and qual !~ '\( SELECT quota\.user_id\(\)'$$,
  'a policy asks once per query who is reading, not once per row'
);
select is_empty(
  $$select relname from pg_class
    where relnamespace = 'public'::regnamespace and relkind = 'v'
      and not coalesce(reloptions @> array['security_invoker=true'], false)$$,
  'every view has the rights and policies of its reader'
);
select is_empty(
  $$select relname from pg_class where relnamespace = 'quota'::regnamespace and relkind not in ('r', 'i', 'c')$$,
  'the private schema has tables, indexes and types, no views, sequences or partitions'
);
select is_empty(
  $$select tgname, tgrelid::regclass as relation from pg_trigger
    where tgrelid in (select oid from tables) and not tgisinternal$$,
  'no table of ours has a trigger'
);
select is_empty(
  $$select rulename, ev_class::regclass as relation from pg_rewrite
    where ev_class in (select oid from tables)$$,
  'nor a rule'
);

-- Constraints and indexes.
select is_empty(
  $$select conrelid::regclass as relation, conname from pg_constraint
    where conrelid in (select oid from tables)
      and contype not in ('n', 't')
      and conname not like (select name from tables where oid = conrelid) || '\_%'$$,
  'the name of a constraint begins with its table'
);
select is_empty(
  $$select conrelid::regclass as relation, conname from pg_constraint
    where conrelid in (select oid from tables)
      and contype in ('c', 'f', 'u', 'x')
      and conname !~ '_(is|are|has|have|exists|lies|ends|starts)(_|$)'$$,
  'and is a sentence'
);
select is_empty(
  $$select name from tables
    where not exists (
      select from pg_constraint where conrelid = tables.oid and contype = 'p' and conname = tables.name || '_pkey'
    )$$,
  'every table has a primary key'
);
select is_empty(
  $$select f.conrelid::regclass as relation, f.conname
    from pg_constraint as f
    where f.contype = 'f' and f.conrelid in (select oid from tables)
      and not exists (
        select from pg_index as i
        where i.indrelid = f.conrelid and i.indisvalid and i.indpred is null
          and (i.indkey::smallint[])[0:cardinality(f.conkey) - 1] @> f.conkey
      )$$,
  'every foreign key has an index'
);
select is_empty(
  $$select i.indexrelid::regclass as index
    from pg_index as i
    where i.indrelid in ('quota.meters'::regclass, 'quota.counters'::regclass)
      and exists (
        select from pg_attribute as a
        where a.attrelid = i.indrelid and a.attnum = any (i.indkey::smallint[])
          and a.attname in ('used', 'reserved', 'drawn', 'last_limit', 'counted_until', 'fresh_until', 'ceiling')
      )$$,
  'no index has a column of meters and counters that calls change, so that counting stays a HOT update'
);
select is_empty(
  $$select a.indexrelid::regclass as index, b.indexrelid::regclass as prefix_of
    from pg_index as a
    join pg_index as b on b.indrelid = a.indrelid and b.indexrelid <> a.indexrelid
    where a.indrelid in (select oid from tables)
      and not a.indisunique and a.indpred is null and b.indpred is null
      and (b.indkey::smallint[])[0:a.indnkeyatts - 1] = (a.indkey::smallint[])[0:a.indnkeyatts - 1]$$,
  'no index is only the beginning of another'
);

-- Ready to be distributed by subject.
select is_empty(
  $$select i.indexrelid::regclass as index
    from pg_index as i
    join pg_attribute as a on a.attrelid = i.indrelid and a.attname = 'subject_id'
    where i.indrelid in (select oid from tables) and i.indisunique
      and (i.indkey::smallint[])[0] <> a.attnum$$,
  'every key of a subject''s data begins with the subject, so no constraint spans subjects'
);
select is_empty(
  $$select f.conname
    from pg_constraint as f
    join pg_attribute as a on a.attrelid = f.confrelid and a.attname = 'subject_id'
    where f.contype = 'f' and f.conrelid in (select oid from tables)$$,
  'no foreign key refers to a subject''s data'
);

-- Columns.
select is_empty(
  $$select c.attrelid::regclass as relation, c.attname
    from pg_attribute as c
    where c.attrelid in (select oid from tables) and c.attnum > 0 and not c.attisdropped
      and c.attname ~ '_(id|key)$' and c.atttypid = 'text'::regtype
      and c.attcollation <> '"C"'::regcollation$$,
  'ids and keys are compared byte by byte: an update of the system cannot break their indexes'
);
select is_empty(
  $$select c.attrelid::regclass as relation, c.attname, format_type(c.atttypid, c.atttypmod) as type
    from pg_attribute as c
    where c.attrelid in (select oid from tables) and c.attnum > 0 and not c.attisdropped
      and format_type(c.atttypid, c.atttypmod) not in
        ('text', 'bigint', 'boolean', 'jsonb', 'uuid', 'timestamp with time zone')
      -- The marks of a feature's alerts: what limits_of() hands on with each limit, in one piece.
      and not (c.attrelid = 'quota.features'::regclass and c.attname in ('alerts', 'marks'))
      -- What a call of several meters takes from, which a plain one looks up in one piece.
      and not (c.attrelid = 'quota.meters'::regclass
        and c.attname in ('levels', 'lock_order', 'ways', 'units', 'pers'))
      -- What a call was told: as jsonb it took 110k of a commit's 900k instructions.
      and not (c.attrelid in ('quota.keys'::regclass, 'quota.reservations'::regclass)
        and c.attname in ('answer', 'answers'))
      -- A length of time, whose months are as long as they happen to be.
      and not (c.attrelid = 'quota.plan_limits'::regclass and c.attname = 'grace')
      -- Names of the app's tables and columns, which stay right when those are renamed.
      and not (c.attrelid in ('quota.limited_tables'::regclass, 'quota.followed_tables'::regclass)
        and c.atttypid in ('regclass'::regtype, 'name'::regtype))$$,
  'columns have plain types: no enums, no time without zone, no money, no float'
);
select is_empty(
  $$select c.attrelid::regclass as relation, c.attname
    from pg_attribute as c
    where c.attrelid in (select oid from tables) and c.attnum > 0 and not c.attisdropped
      and (c.atttypid = 'timestamptz'::regtype) <> (c.attname ~ '(_at|_start|_end|_from|_until)$' or c.attname = 'at')$$,
  'instants, and only instants, are named so'
);
select is_empty(
  $$select c.attrelid::regclass as relation, c.attname
    from pg_attribute as c
    join pg_attrdef as d on d.adrelid = c.attrelid and d.adnum = c.attnum
    where c.attrelid in (select oid from tables) and pg_get_expr(d.adbin, d.adrelid) ~ '\('$$,
  'no default calls a function'
);

-- Comments.
select is_empty(
  $$select oid::regclass as relation from pg_class
    where relnamespace in ('public'::regnamespace, 'quota'::regnamespace) and relkind in ('r', 'p', 'v')
      and obj_description(oid, 'pg_class') is null$$,
  'every table and view has a comment'
);
select is_empty(
  $$select t.oid::regtype as type from pg_type as t
    join pg_class as c on c.oid = t.typrelid
    where t.typnamespace in ('public'::regnamespace, 'quota'::regnamespace) and c.relkind = 'c'
      and obj_description(t.oid, 'pg_type') is null$$,
  'so has every type'
);
select is_empty(
  $$select a.attrelid::regclass as relation, a.attname
    from pg_attribute as a
    join pg_class as c on c.oid = a.attrelid
    where c.relnamespace = 'public'::regnamespace and c.relkind in ('v', 'c')
      and a.attnum > 0 and not a.attisdropped
      and col_description(a.attrelid, a.attnum) is null$$,
  'every column that callers see has a comment, which becomes the client''s documentation'
);
select is_empty(
  $$select t.typname from pg_type as t
    where t.typnamespace in ('public'::regnamespace, 'quota'::regnamespace) and t.typtype not in ('c', 'b')
      or t.typnamespace = 'public'::regnamespace and t.typtype = 'b' and t.typelem = 0$$,
  'there are no enums, domains or ranges'
);
select is_empty(
  $$select n.nspname from pg_namespace as n
    where n.nspname = 'quota' and obj_description(n.oid, 'pg_namespace') is null$$,
  'the schema has a comment'
);
select is(
  (
    select string_agg(a.attname || ' ' || format_type(a.atttypid, a.atttypmod), ', ' order by a.attnum)
    from pg_attribute as a
    where a.attrelid = 'quota.kept_answer'::regclass
  ),
  'allowed boolean, reason text, feature text, subject text, plan text, amount bigint, used bigint, reserved bigint, limit bigint, remaining bigint, unlimited boolean, period text, period_start timestamp with time zone, resets_at timestamp with time zone, retry_after integer, event_id uuid, reservation_id uuid, replayed boolean, upgrade_url text, granted bigint, carried bigint, limiting_feature text, limiting_subject text, limiting_member text',
  'the type of kept answers stays as it is: rows that were dumped by one release are read by the next'
);

select * from finish();
rollback;
