-- What the example app has of its own: files, which limit themselves, and subscriptions, which decide
-- the plan. Safe to run again.
create table if not exists public.kb_files (
  id bigint generated always as identity primary key,
  owner text not null default (current_setting('request.jwt.claims', true)::jsonb ->> 'sub'),
  name text not null constraint kb_files_name_is_short check (length(name) between 1 and 200),
  created_at timestamptz not null default now()
);

create index if not exists kb_files_owner on public.kb_files (owner);

alter table public.kb_files enable row level security;

drop policy if exists all_own on public.kb_files;
create policy all_own on public.kb_files
  to authenticated
  using (owner = (select current_setting('request.jwt.claims', true)::jsonb ->> 'sub'))
  with check (owner = (select current_setting('request.jwt.claims', true)::jsonb ->> 'sub'));

revoke all on public.kb_files from public, anon, authenticated;
grant select, insert, delete on public.kb_files to authenticated;

-- Each file counts one: on insert, delete and every other path.
select quota.limit_table('public.kb_files', 'kb_file', 'owner');

-- The provider's word on each subject, so that late and repeated deliveries can be told.
create table if not exists public.subscriptions (
  subject text primary key,
  plan text not null,
  anchor timestamptz,
  ends_at timestamptz,
  event_at timestamptz not null,
  -- The events of that instant: providers stamp whole seconds, and two may share one.
  event_ids text[] not null
);

alter table public.subscriptions enable row level security;

revoke all on public.subscriptions from public, anon, authenticated;
grant select, insert, update on public.subscriptions to service_role;

drop policy if exists all_by_server on public.subscriptions;
create policy all_by_server on public.subscriptions
  to service_role
  using (true)
  with check (true);

-- Whether a plan allows more than another somewhere, and less nowhere. A period that a plan does not
-- limit has no end; a feature that it does not name has less than nothing.
create or replace function public.is_larger_plan(plan text, other text)
returns boolean
language plpgsql
stable
security invoker
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
begin
  return (
    with limits as (
      select c.plan, c.feature, c.period, coalesce(c.limit::double precision, 'infinity') as room
      from public.plan_catalog as c
      where c.plan in ($1, $2) and c.feature is not null
    ),
    pairs as (
      select
        case when exists (select from limits as l where l.plan = $1 and l.feature = p.feature)
          then coalesce(n.room, 'infinity') else -1 end as new_room,
        case when exists (select from limits as l where l.plan = $2 and l.feature = p.feature)
          then coalesce(o.room, 'infinity') else -1 end as old_room
      from (select distinct feature, period from limits) as p
      left join limits as n on n.plan = $1 and n.feature = p.feature and n.period = p.period
      left join limits as o on o.plan = $2 and o.feature = p.feature and o.period = p.period
    )
    select coalesce(bool_or(new_room > old_room) and bool_and(new_room >= old_room), false)
    from pairs
  );
end
$$;

comment on function public.is_larger_plan(text, text) is
  'Whether the first plan allows more than the other somewhere, and less nowhere.';

revoke all on function public.is_larger_plan(text, text) from public, anon, authenticated;
grant execute on function public.is_larger_plan(text, text) to service_role;

-- One transaction: the row orders two deliveries at once, and when set_plan() fails nothing is
-- remembered, so that the next delivery is not taken for a repeated one.
create or replace function public.apply_subscription(
  event_id text,
  event_at timestamptz,
  subject text,
  plan text,
  anchor timestamptz default null,
  ends_at timestamptz default null
)
returns boolean
language plpgsql
security invoker
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
  v_feature text;
  v_plan text;
begin
  insert into public.subscriptions as s (subject, plan, anchor, ends_at, event_at, event_ids)
    values ($3, $4, $5, $6, $2, array[$1])
    on conflict (subject) do update
      set plan = excluded.plan,
          anchor = excluded.anchor,
          ends_at = excluded.ends_at,
          event_at = excluded.event_at,
          event_ids = case
            when s.event_at = excluded.event_at then s.event_ids || excluded.event_ids
            else excluded.event_ids
          end
      where s.event_at < excluded.event_at
        or (s.event_at = excluded.event_at and not s.event_ids @> excluded.event_ids);
  if not found then
    return false;
  end if;
  -- The plan it is on now, which may have ended or never begun: a check of any feature says it.
  v_feature := (select min(c.feature) from public.plan_catalog as c where c.plan = $4);
  if v_feature is not null then
    v_plan := (public.check_usage(v_feature, 1, $3)).plan;
  end if;
  -- Only a larger plan brings its billing day. A checkout of the plan one is on, or of a smaller one,
  -- would else start the month afresh, with nothing used.
  perform public.set_plan(
    subject => $3,
    plan => $4,
    anchor => case when v_plan is null or public.is_larger_plan($4, v_plan) then $5 end,
    ends_at => $6
  );
  return true;
end
$$;

comment on function public.apply_subscription(text, timestamptz, text, text, timestamptz, timestamptz) is
  'Puts a subject on the plan of its subscription. A larger plan brings its billing day with it, another keeps the one there is. False, and nothing changed, for an event that was applied before or is older than one that was.';

revoke all on function public.apply_subscription(text, timestamptz, text, text, timestamptz, timestamptz)
  from public, anon, authenticated;
grant execute on function public.apply_subscription(text, timestamptz, text, text, timestamptz, timestamptz)
  to service_role;

-- Who owns which team: an owner sees what each member has used of what the team has.
create table if not exists public.team_owners (
  team text not null,
  user_id text not null,
  primary key (team, user_id)
);

alter table public.team_owners enable row level security;

revoke all on public.team_owners from public, anon, authenticated;

insert into public.team_owners (team, user_id)
  values ('demo-team', 'demo-ada')
  on conflict do nothing;

create or replace function quota.sees_members(p_user_id text, p_subject_id text)
returns boolean
language plpgsql
stable
security invoker
set search_path = pg_catalog, pg_temp
as $$
begin
  return exists (
    select from public.team_owners as o where o.user_id = p_user_id and o.team = p_subject_id
  );
end
$$;

notify pgrst, 'reload schema';
