-- A partitioned table is limited as a whole, whichever of its parts a statement names.
begin;
select set_config('search_path', 'public, ' || pronamespace::regnamespace, true) from pg_proc where proname = 'pgtap_version';
set local timezone = 'UTC';
select plan(39);

create or replace function quota.clock()
returns timestamptz language plpgsql set search_path = pg_catalog, pg_temp
as $$ begin return current_setting('test.clock', true); end $$;
set local test.clock = '2026-09-30 23:00:00+00';

do $$ begin perform apply_plans('{
  "features": {"kb_file": {"kind": "gauge"}, "spare": {"kind": "gauge"}},
  "plans": {"free": {"default": true, "limits": {"kb_file": {"lifetime": 5}, "spare": {"lifetime": 5}}}}
}'); end $$;

create table files (user_id text, region text, year integer) partition by list (region);
create table files_eu partition of files for values in ('eu') partition by range (year);
create table files_eu_old partition of files_eu for values from (2000) to (2020);
create table files_eu_new partition of files_eu for values from (2020) to (2040);
create table files_us partition of files for values in ('us');
insert into files values ('ada', 'eu', 2001), ('ada', 'us', 2001);

create function pg_temp.used(p_subject text) returns bigint language sql
  as $$ select used from public.current_usage where feature = 'kb_file' and subject = p_subject $$;
create function pg_temp.lines(p_subject text) returns bigint language sql
  as $$ select count(*) from public.usage_events where subject = p_subject and kind = 'table' $$;
create function pg_temp.gaps() returns text language sql as $$
  select string_agg(concat_ws(' ', subject, feature, period, counted, ledger), ', ' order by subject, feature)
  from public.verify_usage()
$$;

select throws_ok(
  $$select quota.limit_table('files_us', 'kb_file', 'user_id')$$, '42809', null,
  'a partition is not limited by itself: what is written through its table would pass'
);
select lives_ok($$select quota.limit_table('files', 'kb_file', 'user_id')$$, 'the whole table is');
select is(pg_temp.used('ada'), 2::bigint, 'with the rows of all its partitions');
select set_eq(
  $$select tgrelid::regclass::text, array_agg(tgname::text order by tgname) from pg_trigger
    where tgname like 'pgquota%' group by tgrelid$$,
  $$select name, array['pgquota_delete', 'pgquota_insert'] || case when is_leaf then array['pgquota_truncate'] else '{}' end || array['pgquota_update']
    from (values ('files', false), ('files_eu', false), ('files_eu_old', true), ('files_eu_new', true), ('files_us', true)) as t (name, is_leaf)$$,
  'each part has triggers, and leaves alone have one on truncate'
);

insert into files values ('bob', 'eu', 2001), ('bob', 'eu', 2021), ('bob', 'us', 2021);
select is(pg_temp.used('bob'), 3::bigint, 'rows written through the table are counted');
select is(pg_temp.lines('bob'), 1::bigint, 'in one line, whichever partitions they go to');
insert into files_eu values ('bob', 'eu', 2022);
select is(pg_temp.used('bob'), 4::bigint, 'rows written to a part that has parts are counted once');
insert into files_us values ('bob', 'us', 2022);
select is(pg_temp.used('bob'), 5::bigint, 'so are rows written to a leaf');
select throws_ok(
  $$insert into files_eu_new values ('bob', 'eu', 2023)$$, 'PT402', null, 'where the limit holds, too'
);
select throws_ok(
  $$insert into files values ('bob', 'eu', 2023)$$, 'PT402', null, 'as it does for the table'
);
update files set region = 'us' where user_id = 'bob' and year = 2001;
select is(pg_temp.used('bob'), 5::bigint, 'a row that moves to another partition counts as before');
select is(pg_temp.lines('bob'), 3::bigint, 'without a line');
update files set region = 'eu', year = 2024, user_id = 'cyd' where user_id = 'bob' and year = 2001;
select is(
  array[pg_temp.used('bob'), pg_temp.used('cyd')], array[4, 1]::bigint[],
  'one that gets another owner on the way counts for it'
);
update files_eu set year = 2002 where user_id = 'cyd';
select is(pg_temp.used('cyd'), 1::bigint, 'it can move within a part');
merge into files as f using (values ('cyd', 2002)) as n (user_id, year)
  on f.user_id = n.user_id and f.year = n.year
  when matched then update set region = 'us';
select is(pg_temp.used('cyd'), 1::bigint, 'and by a merge');
delete from files where user_id = 'cyd';
select is(pg_temp.used('cyd'), 0::bigint, 'rows deleted through the table are given back');
delete from files_us where user_id = 'bob' and year = 2022;
select is(pg_temp.used('bob'), 3::bigint, 'rows deleted from a leaf are given back');
select is(pg_temp.gaps(), null, 'the gauge equals the table');

-- Truncate.
truncate files_us;
select is(
  array[pg_temp.used('ada'), pg_temp.used('bob')], array[1, 2]::bigint[], 'a leaf can be truncated'
);
insert into files values ('ada', 'us', 2001), ('ada', 'eu', 2030);
truncate files_eu;
select is(
  array[pg_temp.used('ada'), pg_temp.used('bob')], array[1, 0]::bigint[], 'so can a part with parts'
);
insert into files values ('ada', 'us', 2002), ('ada', 'eu', 2030);
truncate files;
select is(pg_temp.used('ada'), 0::bigint, 'and the table, whose rows are given back once');
select is(pg_temp.gaps(), null, 'the gauge equals the table');

-- A partition that comes.
insert into files values ('dan', 'eu', 2001);
create table files_asia partition of files for values in ('asia');
insert into files values ('dan', 'asia', 2001);
select is(pg_temp.used('dan'), 2::bigint, 'a new partition is counted through the table');
insert into files_asia values ('dan', 'asia', 2002);
select is(
  pg_temp.gaps(), 'dan kb_file lifetime 2 3', 'what is written to it directly is a gap that verify_usage() shows'
);
do $$ begin perform quota.limit_table('files', 'kb_file', 'user_id'); end $$;
select is(pg_temp.gaps(), null, 'until limit_table() is called again');
insert into files_asia values ('dan', 'asia', 2003);
select is(pg_temp.used('dan'), 4::bigint, 'from then on it counts');

create table archive (user_id text, region text, year integer);
do $$ begin
  perform quota.limit_table('archive', 'kb_file', 'user_id');
  perform quota.limit_table('archive', 'spare', 'user_id');
end $$;
insert into archive values ('eve', 'old', 1999), ('eve', 'old', 1998);
select is(pg_temp.used('eve'), 2::bigint, 'a table that is limited by itself');
alter table files attach partition archive for values in ('old');
do $$ begin perform quota.limit_table('files', 'kb_file', 'user_id'); end $$;
select is(pg_temp.used('eve'), 2::bigint, 'counts once when it becomes a partition');
select is(
  (select used from current_usage where subject = 'eve' and feature = 'spare'), 0::bigint,
  'and no longer for a gauge that the whole table has not'
);
insert into archive values ('eve', 'old', 1997);
insert into files values ('eve', 'old', 1996);
select is(pg_temp.used('eve'), 4::bigint, 'whichever way it is written');
select is(pg_temp.gaps(), null, 'the gauge equals the table');

-- A partition that goes.
alter table files detach partition archive;
select is(pg_temp.gaps(), 'eve kb_file lifetime 4 0', 'a detached partition is a gap');
do $$ begin perform quota.limit_table('files', 'kb_file', 'user_id'); end $$;
select is(pg_temp.used('eve'), 0::bigint, 'until limit_table() is called again: then its rows are given back');
insert into archive select 'eve', 'old', 1900 from generate_series(1, 20);
select is(pg_temp.used('eve'), 0::bigint, 'and it counts no more');
select is(
  (select count(*) from pg_trigger where tgrelid = 'archive'::regclass), 0::bigint, 'since its triggers are gone'
);
drop table files_asia;
select is(pg_temp.gaps(), 'dan kb_file lifetime 4 1', 'a dropped partition is a gap');
do $$ begin perform quota.limit_table('files', 'kb_file', 'user_id'); end $$;
select is(pg_temp.gaps(), null, 'until limit_table() is called again');

do $$ begin perform quota.unlimit_table('files'); end $$;
select is(
  (select count(*) from pg_trigger where tgname like 'pgquota%'), 0::bigint,
  'unlimit_table() takes the triggers off all parts'
);
select is(
  (select sum(used_change) from quota.events where kind = 'table'), 0::numeric, 'and gives everything back'
);

select * from finish();
rollback;
