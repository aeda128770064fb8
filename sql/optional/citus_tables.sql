-- Which table goes where: part of citus.sql, which runs it.

-- Direct reads of schema quota are over: a policy that asks who reads would be asked on a worker, where
-- nobody's claims are. Without it users see no row.
do $$
declare
  v_table name;
begin
  for v_table in
    select p.tablename from pg_policies as p where p.schemaname = 'quota' and p.policyname = 'select_own'
  loop
    execute format('drop policy select_own on quota.%I', v_table);
  end loop;
end
$$;

-- The tables. The catalogue is the same on each node. What is a subject's lives with its meters; members
-- with the user who asks. Which tables of the app are limited, and followed, only the coordinator knows.
create temporary table spread (name name, key name, place integer);
insert into spread (name, key, place)
  values
    ('features', null, 1),
    ('plans', null, 2),
    ('plan_limits', null, 3),
    ('member_limits', null, 4),
    ('plan_values', null, 5),
    ('feature_costs', null, 6),
    ('catalogue', null, 7),
    ('subjects', 'subject_id', 8),
    ('meters', 'subject_id', 9),
    ('counters', 'subject_id', 10),
    ('events', 'subject_id', 11),
    ('overages', 'subject_id', 12),
    ('reservations', 'subject_id', 13),
    ('shares', 'subject_id', 14),
    ('caps', 'subject_id', 15),
    ('grants', 'subject_id', 16),
    ('keys', 'subject_id', 17),
    ('alerts', 'subject_id', 18),
    ('exceptions', 'subject_id', 19),
    ('overrides', 'subject_id', 20),
    ('merges', 'subject_id', 21),
    ('members', 'user_id', 22),
    ('limited_tables', 'here', 23),
    ('followed_tables', 'here', 24);

do $$
declare
  v_new text := (
    select string_agg(c.relname, ', ')
    from pg_class as c
    where c.relnamespace = 'quota'::regnamespace
      and c.relkind in ('r', 'p')
      and not exists (select from spread as s where s.name = c.relname)
  );
begin
  if v_new is not null then
    raise exception 'citus.sql: it does not know %', v_new using hint = 'take the one of the release that is installed';
  end if;
end
$$;

-- A foreign key can only be made between tables that are spread already: it goes, and comes again.
do $$
declare
  v_kept record;
  v_table record;
begin
  create temporary table kept (relation text, name name, definition text) on commit drop;
  insert into kept (relation, name, definition)
    select f.conrelid::regclass::text, f.conname, pg_get_constraintdef(f.oid)
    from pg_constraint as f
    where f.contype = 'f'
      and f.connamespace = 'quota'::regnamespace
      and exists (
        select from pg_class as c
        join spread as s on s.name = c.relname
        where c.oid in (f.conrelid, f.confrelid)
          and s.key is distinct from 'here'
          and not exists (
            select from pg_dist_partition as d where d.logicalrelid = c.oid and not d.autoconverted
          )
      );
  for v_kept in select k.relation, k.name from kept as k loop
    execute format('alter table %s drop constraint %I', v_kept.relation, v_kept.name);
  end loop;
  for v_table in
    select s.name, s.key, format('quota.%I', s.name) as relation
    from spread as s
    where s.key is distinct from 'here'
      and not exists (
        select from pg_dist_partition as d
        where d.logicalrelid = format('quota.%I', s.name)::regclass and not d.autoconverted
      )
    order by s.place
  loop
    if v_table.key is null then
      perform create_reference_table(v_table.relation);
    else
      perform create_distributed_table(
        v_table.relation, v_table.key,
        colocate_with => case v_table.name when 'subjects' then 'none' else 'quota.subjects' end
      );
    end if;
  end loop;
  if not exists (
    select from pg_constraint as c
    where c.conrelid = 'quota.meters'::regclass and c.conname = 'meters_feature_exists'
  ) then
    insert into kept (relation, name, definition)
      values (
        'quota.meters', 'meters_feature_exists',
        'foreign key (feature_id) references quota.features (feature_id)'
      );
  end if;
  for v_kept in select k.relation, k.name, k.definition from kept as k loop
    execute format('alter table %s add constraint %I %s', v_kept.relation, v_kept.name, v_kept.definition);
  end loop;
end
$$;
