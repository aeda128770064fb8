-- The style of functions, asked of pg_catalog.
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
select plan(23);

-- Bodies without comments and texts, so that only code is judged.
create temporary view ours as
  select p.oid, p.oid::regprocedure::text as name, n.nspname::text as schema, p.proname::text as proname,
    p.prosecdef, p.provolatile, p.proconfig, p.proargnames, p.prolang,
    p.prorettype = 'trigger'::regtype as is_trigger,
    regexp_replace(regexp_replace(p.prosrc, '--[^\n]*', '', 'g'), '''[^'']*''', '''''', 'g') as code
  from pg_proc as p
  join pg_namespace as n on n.oid = p.pronamespace
  where n.nspname in ('public', 'quota');

select isnt_empty('select * from ours', 'there are functions to judge');
select is_empty(
  $$select name from ours
    where (select count(*) from unnest(proconfig) as c where c = 'search_path=pg_catalog, pg_temp') <> 1$$,
  'every function has search_path = pg_catalog, pg_temp'
);
select is_empty(
  $$select name, setting from ours cross join unnest(proconfig) as setting
    where split_part(setting, '=', 1) not in ('search_path', 'lock_timeout', 'plan_cache_mode')
      -- A table of the app's is read past its policies, or not at all.
      and (setting <> 'row_security=off' or proname not in ('limit_table', 'rows_in_tables', 'follow_plan'))
      -- Asked for by name below.
      and setting <> 'jit=off'
      -- Texts without an offset are instants of UTC, whatever the session says.
      and name <> 'quota.instant_from(text)'$$,
  'no function sets anything but that, its lock timeout and how it is planned'
);
select set_eq(
  $$select schema, proname from ours where 'jit=off' = any (proconfig)$$,
  $$values ('quota', 'apply_plans'), ('quota', 'plan_impact'), ('quota', 'tidy'), ('quota', 'verify_usage')$$,
  'those whose long statements a stock server would compile for seconds say that it must not'
);
select is_empty(
  $$select name from ours where obj_description(oid, 'pg_proc') is null$$, 'every function has a comment'
);
select is_empty(
  $$select name from ours where prolang <> (select oid from pg_language where lanname = 'plpgsql')$$,
  'every function is written in plpgsql'
);

-- Whose rights.
select set_eq(
  $$select schema, proname from ours where prosecdef$$,
  $$select 'quota', name
    from unnest(array[
      -- The private half of the API.
      'check_usage', 'consume_usage', 'consume_usage_batch', 'consume_usage_many', 'reserve_usage', 'extend_usage',
      'commit_usage',
      'release_usage', 'refund_usage', 'grant_usage', 'void_grant', 'set_plan', 'change_limit',
      'set_value', 'set_parent', 'change_member', 'return_usage', 'reset_usage', 'apply_plans', 'explain_usage', 'usage_breakdown', 'merge_subjects', 'forget_subject', 'verify_usage',
      'deliver_alerts', 'acknowledge_alerts',
      'verify_installation',
      -- What npx pgquota plans --impact asks.
      'plan_impact',
      -- What current_usage and entitlements show of one subject, to those who may see it.
      'usage_shown', 'entitlements_shown', 'sees_member', 'below_shown',
      -- Triggers on tables of the app, which run for whoever writes there.
      'count_rows', 'plan_changed',
      -- For DBAs, so that each of them need not own the tables.
      'import_usage', 'tidy'
    ]) as name$$,
  'these functions run with their owner''s rights, and no other'
);
select is_empty(
  $$select name from ours where schema = 'public' and prosecdef$$,
  'what callers may touch runs with their own rights'
);
select is_empty(
  $$select name from ours
    where (prosecdef or proname = 'lock_reservation')
      and not is_trigger
      and code !~ '\mquota\.(caller_(for|by_account)|batch_caller|require_trusted|lock_reservation)\('
      -- It shows nothing of others instead of raising: a view must not fail.
      and (proname not in ('usage_shown', 'entitlements_shown', 'sees_member', 'below_shown') or code !~ '\mquota\.is_trusted\(.*\mquota\.user_id\(')$$,
  'every function with its owner''s rights asks who is calling'
);
select is_empty(
  $$select name from ours
    where prosecdef and provolatile = 'v' and 'lock_timeout=2s' <> all (proconfig)
      -- It skips what is locked.
      and proname <> 'tidy'$$,
  'every function with its owner''s rights that can wait for a lock gives up after 2 s'
);
select is_empty(
  $$select name from ours where schema = 'public' and code !~ '\mquota\.'$$,
  'the API only passes on to the private functions'
);
select is_empty(
  $$select name from ours
    where schema = 'public'
      -- But to return an array as rows.
      and regexp_replace(code, 'foreach (\w+) in array\s+quota\.\w+\([^()]*\)\s+loop\s+return next \1;\s+end loop', '')
        ~* '\m(insert|update|delete|if|loop)\M'$$,
  'and decides nothing itself'
);

-- Names of parameters.
select is_empty(
  $$select name, parameter from ours cross join unnest(proargnames) as parameter
    where schema = 'public' and parameter ~ '^[pv]_'$$,
  'parameters of the API have bare names: they are the keys of rpc()'
);
select is_empty(
  $$select o.name, parameter
    from ours as o
    join pg_proc as p using (oid)
    cross join unnest(p.proargnames[1:p.pronargs]) as parameter
    where o.schema = 'quota' and parameter !~ '^p_'
      -- As it is written by hand, and read nowhere beside a column.
      and (o.proname, parameter) <> ('tidy', 'keep')$$,
  'parameters of private functions begin with p_, so that no column can be mistaken for one'
);
select is_empty(
  $$select o.name from ours as o join pg_proc as p using (oid)
    where o.schema = 'public' and p.prosrc !~ '#variable_conflict error'$$,
  'in the API a name that could be a column and a parameter is an error'
);

-- What bodies must not do.
select is_empty(
  $$select name from ours
    where code ~* '\mexecute\M'
      and proname not in (
        'limit_table', 'unlimit_table', 'make_triggers', 'drop_stale_triggers', 'count_rows', 'rows_in_tables',
        'follow_plan', 'make_plan_triggers', 'unfollow_plan', 'plan_changed', 'repair_privileges'
      )$$,
  'there is no dynamic SQL, but for the triggers on tables of the app'
);
select is_empty(
  $$select name from ours where code ~* '\mwhen\s+others\M'$$, 'no function catches what it does not know'
);
select is_empty(
  $$select o.name from ours as o join pg_proc as p using (oid) where p.prosrc ~* 'errcode\s*=\s*''40'$$,
  'no function raises class 40 by hand: PostgREST would retry it without end'
);
select is_empty(
  $$select name from ours
    where proname <> 'clock'
      -- How long the transaction had gone on when this statement came is the time of no line.
      and replace(code, 'statement_timestamp() - now()', '') ~* '\m(now|clock_timestamp|statement_timestamp|transaction_timestamp|timeofday)\s*\(|\m(current_timestamp|current_date|current_time|localtimestamp|localtime)\M'$$,
  'only quota.clock() reads the time'
);
select is_empty(
  $$select relname from pg_class
    where relnamespace = 'public'::regnamespace and relkind = 'v'
      and pg_get_viewdef(oid) ~* '\m(now|clock_timestamp|statement_timestamp)\s*\(|\m(current_timestamp|current_date|localtimestamp)\M'$$,
  'no view reads it by itself'
);
select is_empty(
  $$select name from ours where code ~* '\m(pg_(try_)?advisory(?!_xact_lock\M)\w*|pg_notify|set_config|pg_sleep|dblink\w*|nextval|setval)\s*\(|\m(commit|rollback|savepoint|listen)\s*;|\mnotify\M|\mtemp(orary)?\s+table\M'$$,
  'there are no session locks, session settings, sequences, notifications, sub-transactions by hand or temporary tables'
);
select is_empty(
  $$select name from ours
    where code ~* '\mselect\s+\*|\.\*'
      -- They pass rows on whole, with the fields that these may gain.
      and not (schema = 'public' and proname in ('consume_usage_batch', 'consume_usage_many', 'explain_usage', 'usage_breakdown'))$$,
  'columns are named, never *'
);
select is_empty(
  $$with statements as materialized (
      -- From the verb on: what stands before it is the loop or condition around it.
      select name, substring(
        statement from '(?:\mwith\s+\w+\s+as\M|\minsert\s+into\M|\mupdate\s+quota\M|\mdelete\s+from\M).*$'
      ) as dml
      from ours cross join regexp_split_to_table(code, ';|\mloop\M') as statement
      -- For all subjects of a table of the app at once, each with its line.
      where proname <> 'recount_gauge'
    ),
    calls as materialized (
      select name, (regexp_matches(dml, '(\w+)\s*\(', 'g'))[1] as called
      from statements where dml ~* '\m(insert\s+into|update\s+quota|delete\s+from)\M'
    )
    select name, called from calls
    where called in (
      select proname::text from pg_proc
      where pronamespace in ('quota'::regnamespace, 'pg_catalog'::regnamespace)
        and (provolatile = 'v' or proname in ('user_id', 'is_trusted', 'caller_for', 'caller_by_account', 'account_of', 'acts_for', 'current_setting'))
    )$$,
  'no insert, update or delete calls a volatile function or asks who is calling'
);
select * from finish();
rollback;
