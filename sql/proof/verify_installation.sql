-- A restore, a careless create or replace, a trigger that somebody dropped and a right
-- that somebody lent open an installation without a sound. Here it is compared with release_manifest(),
-- with what limit_table() and follow_plan() made, and with the roles that rights mean nothing to.

-- One thing that is not as this release made it.
create type public.installation_problem as (
  object text,
  problem text,
  statement text
);

comment on type public.installation_problem is
  'One thing that is not as this release made it.';

comment on column public.installation_problem.object is
  'What it is, for example: policy select_own on quota.events.';

comment on column public.installation_problem.problem is 'What is wrong with it.';

comment on column public.installation_problem.statement is
  'SQL that puts it right; null where a person has to choose, or where the text is in the migration (npx pgquota doctor --sql prints it).';

create type quota.finding as (
  rank integer,
  object text,
  problem text,
  statement text,
  is_right boolean
);

comment on type quota.finding is
  'A problem of the installation. rank: the order of repair; is_right: repair_privileges() runs it.';

-- Is it still what was installed? Run it after a restore and after each deployment.
create function public.verify_installation()
returns setof public.installation_problem
language plpgsql stable security invoker set search_path = pg_catalog, pg_temp
as $$
#variable_conflict error
begin
  return query
    select r.object, r.problem, r.statement from quota.verify_installation() as r;
end
$$;

comment on function public.verify_installation is
  'Compares the installation with what this release says: bodies, owners, rights, options, policies, indexes, constraints, views, the triggers of limited and followed tables, and roles that pass by all of it. No rows: nothing is wrong. Each row (object, problem, statement) is something to put right. Reads only. quota.acts_for(), quota.subjects_of() and quota.sees_members() may be the app''s own. Errors: 42501 not a trusted role.';

create function quota.verify_installation()
returns setof public.installation_problem
language plpgsql stable security definer set search_path = pg_catalog, pg_temp
as $$
begin
  perform quota.require_trusted();
  return query
    select f.object, f.problem, f.statement from quota.installation_findings() as f;
end
$$;

comment on function quota.verify_installation is 'See public.verify_installation.';

-- A restore with --no-privileges, or somebody's default privileges: the rights as the release has them.
create function quota.repair_privileges()
returns setof text
language plpgsql volatile security invoker
set search_path = pg_catalog, pg_temp set lock_timeout = '2s'
as $$
declare
  v_statement text;
begin
  perform quota.require_trusted();
  foreach v_statement in array array(
    select f.statement from quota.installation_findings() as f where f.is_right
  ) loop
    execute v_statement;
    return next v_statement;
  end loop;
end
$$;

comment on function quota.repair_privileges is
  'Gives schema, tables, views and functions of pgquota the rights of this release again, and returns the statements that did it: those of rights that verify_installation() shows. For the owner of schema quota, not over REST. Errors: 42501 not a trusted role, or not the owner.';

create function quota.installation_findings()
returns setof quota.finding
language plpgsql stable security invoker set search_path = pg_catalog, pg_temp
as $$
begin
  return query
    select f.rank, f.object, f.problem, f.statement, f.is_right
    from (
      select c.rank, c.object, c.problem, c.statement, c.is_right
      from quota.changed_objects() as c
      union all
      select t.rank, t.object, t.problem, t.statement, t.is_right
      from quota.table_problems() as t
      union all
      select r.rank, r.object, r.problem, r.statement, r.is_right
      from quota.role_problems() as r
      union all
      -- A copy of the schema alone (pg_dump -s) lacks it; the next apply_plans() makes one too.
      select
        65, 'table quota.catalogue', 'it has not exactly one row, so no call takes the short way',
        E'delete from quota.catalogue;\ninsert into quota.catalogue (version) select coalesce(max(catalogue_version), 0) + 1 from quota.meters;',
        false
      where (select count(*) from quota.catalogue) <> 1
    ) as f
    order by f.rank, f.object collate "C", f.problem collate "C";
end
$$;

comment on function quota.installation_findings is
  'Everything that is wrong, in the order in which the statements can be run.';
