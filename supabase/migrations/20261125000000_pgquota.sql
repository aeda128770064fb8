-- migrate:up

-- Generated from sql/ by npm run build. Do not edit.

-- pgquota: usage limits that Postgres itself enforces.
--
-- What is promised: a call is allowed exactly when there is room under every limit that applies, and
-- is counted in the same step; under any number of callers never a unit more, never a refusal while
-- there is room. Every number is a sum of an append-only ledger, and verify_usage() proves it.
--
-- How: a subject (user, organisation, key) has a plan; a plan limits features per period. Each
-- subject and feature has one meter row. A call that writes locks the meter, reads the time once,
-- asks limits_of() what applies and how full it is, lets decide() judge, and record() writes the
-- ledger line and adds it to the counters. A line names the instant it counts in; a counter is the
-- sum of the lines of its period. Nothing is reset: a new period is a new counter.
--
-- This page is the contents in reading order, and psql can run it: psql -f sql/pgquota.sql
-- On plain Postgres run sql/roles.sql before. Words, lock order and codes: sql/README.md.


-- The ground: schema, time, who is calling.
-- sql/schema.sql

-- Why this exists: everything that decides and counts lives in schema quota, which REST never
-- exposes. What callers may touch stands in schema public (sql/api).

-- Refuse early and in words: half an installation is worse than none.
do $$
declare
  v_missing text;
begin
  if pg_catalog.current_setting('server_version_num')::integer < 150000 then
    raise exception 'pgquota needs Postgres 15 or newer, this server is %',
      pg_catalog.current_setting('server_version')
      using hint = 'security_invoker views, which carry the access rules, came with Postgres 15';
  end if;
  select pg_catalog.string_agg(role_name, ', ')
    into v_missing
    from pg_catalog.unnest(array['anon', 'authenticated', 'service_role']) as role_name
    where not exists (select from pg_catalog.pg_roles where rolname = role_name);
  if v_missing is not null then
    raise exception 'pgquota needs the roles anon, authenticated and service_role; missing: %',
      v_missing
      using hint = 'a Supabase project has them; on plain Postgres run sql/roles.sql first';
  end if;
end
$$;

create schema quota;

comment on schema quota is
  'pgquota: plans, counters and the ledger of usage limits. Not exposed over REST; callers use the functions and views in schema public.';

revoke all on schema quota from public;

-- Needed to run the private half of a security invoker wrapper, and to read the tables behind
-- the security_invoker views. What can be done there is granted object by object.
grant usage on schema quota to anon, authenticated, service_role;

-- sql/functions/clock.sql

-- Why this exists: the only reader of time. Not now(): a transaction held open over midnight must
-- not count into yesterday. Tests replace this function; there is no setting that moves it.
create function quota.clock()
returns timestamptz
language plpgsql
volatile
security invoker
set search_path = pg_catalog, pg_temp
as $$
begin
  return clock_timestamp();
end
$$;

comment on function quota.clock() is 'The time by which everything is decided and counted.';

revoke all on function quota.clock() from public, anon, authenticated, service_role;
-- The views read it as their reader.
grant execute on function quota.clock() to authenticated, service_role;

-- sql/functions/identity.sql

-- Why this exists: who is calling, and for whom. Decided from the role and the claims, never from
-- what the caller says. Inside a security definer function current_user is the owner, so the role
-- setting is read, which PostgREST sets for each request.

create type quota.caller as (
  subject_id text,
  is_trusted boolean,
  actor text
);

comment on type quota.caller is
  'For whom a call is made; whether a trusted role makes it; which user acts, where not for itself.';

create function quota.user_id()
returns text
language plpgsql
stable
security invoker
set search_path = pg_catalog, pg_temp
as $$
begin
  -- Not auth.uid(): it casts to uuid, and ids of third-party auth are none. Not the legacy
  -- request.jwt.claim.sub: it bled from one client to the next on pooled connections. The claims
  -- are '' after a transaction that had them.
  return nullif(
    nullif(current_setting('request.jwt.claims', true), '')::jsonb ->> 'sub',
    ''
  );
end
$$;

comment on function quota.user_id() is 'The signed-in user: sub of the JWT; null without one.';

revoke all on function quota.user_id() from public, anon, authenticated, service_role;
grant execute on function quota.user_id() to authenticated, service_role;

create function quota.is_trusted()
returns boolean
language plpgsql
stable
security invoker
set search_path = pg_catalog, pg_temp
as $$
declare
  v_role name := coalesce(nullif(current_setting('role', true), 'none'), session_user::text);
begin
  if v_role = 'service_role' then
    return true;
  end if;
  if v_role in ('authenticated', 'anon') then
    return false;
  end if;
  return pg_has_role(
    v_role,
    (select n.nspowner from pg_catalog.pg_namespace as n where n.nspname = 'quota'),
    'member'
  );
end
$$;

comment on function quota.is_trusted() is
  'True for service_role and for members of the role that owns schema quota: they name the subject.';

revoke all on function quota.is_trusted() from public, anon, authenticated, service_role;
grant execute on function quota.is_trusted() to authenticated, service_role;

create function quota.acts_for(
  p_user_id text,
  p_subject_id text
)
returns boolean
language plpgsql
stable
security invoker
set search_path = pg_catalog, pg_temp
as $$
begin
  return exists (
    select from quota.members as m
    where m.subject_id = p_subject_id
      and m.user_id = p_user_id
  );
end
$$;

comment on function quota.acts_for(text, text) is
  'May this user act for this subject? True is yes; false and null are no. Replace it, together with quota.subjects_of(), when your app has a membership table of its own.';

revoke all on function quota.acts_for(text, text) from public, anon, authenticated, service_role;

create function quota.subjects_of(p_user_id text)
returns setof text
language plpgsql
stable
rows 3
security invoker
set search_path = pg_catalog, pg_temp
as $$
begin
  if p_user_id is null then
    return;
  end if;
  return next p_user_id;
  return query
    select m.subject_id
    from quota.members as m
    where m.user_id = p_user_id
      and m.subject_id <> p_user_id;
end
$$;

comment on function quota.subjects_of(text) is
  'The subjects whose use this user may see: itself, and those it may act for; a null among them is nobody. Replace it together with quota.acts_for().';

revoke all on function quota.subjects_of(text) from public, anon, authenticated, service_role;
-- The policies ask it as the reader.
grant execute on function quota.subjects_of(text) to authenticated, service_role;

create function quota.caller_for(p_subject_id text)
returns quota.caller
language plpgsql
stable
security invoker
set search_path = pg_catalog, pg_temp
as $$
declare
  v_caller quota.caller;
  v_user_id text;
begin
  -- The server's own calls, in one look.
  if current_setting('role', true) = 'service_role' and length(p_subject_id) between 1 and 255 then
    return row(p_subject_id, true, null)::quota.caller;
  end if;
  v_caller.is_trusted := quota.is_trusted() is true;
  if v_caller.is_trusted then
    if p_subject_id is null then
      raise exception 'a trusted role must name the subject'
        using errcode = 'QSUBJ', hint = 'pass subject, the id of the user or organisation';
    end if;
    v_caller.subject_id := p_subject_id;
  else
    v_user_id := quota.user_id();
    if v_user_id is null then
      raise exception 'no identity: the request carries no sub claim'
        using errcode = '42501', hint = 'sign in, or call from the server as service_role';
    end if;
    v_caller.subject_id := coalesce(p_subject_id, v_user_id);
    -- The length is looked at first: what is not a subject cannot be someone else's.
    if length(v_caller.subject_id) between 1 and 255 and v_caller.subject_id <> v_user_id then
      -- An app's own function may answer null: for a stranger who is in no row of its table.
      if quota.acts_for(v_user_id, p_subject_id) is not true then
        raise exception 'the subject is not yours'
          using errcode = '42501', hint = 'leave subject out to use your own allowance';
      end if;
      v_caller.actor := v_user_id;
    end if;
  end if;
  if length(v_caller.subject_id) not between 1 and 255 then
    raise exception 'the subject has % characters, 1 to 255 are allowed', length(v_caller.subject_id)
      using errcode = 'QSUBJ', hint = 'pass an id; hash what is longer';
  end if;
  return v_caller;
end
$$;

comment on function quota.caller_for(text) is
  'For whom a call that names this subject is made. Errors: 42501 no identity or not yours; QSUBJ missing, empty or over 255 characters.';

revoke all on function quota.caller_for(text) from public, anon, authenticated, service_role;

create function quota.require_trusted()
returns void
language plpgsql
stable
security invoker
set search_path = pg_catalog, pg_temp
as $$
begin
  if quota.is_trusted() is not true then
    raise exception 'this function is for the server'
      using errcode = '42501', hint = 'call it as service_role';
  end if;
end
$$;

comment on function quota.require_trusted() is
  'The second bolt behind the missing execute right. Errors: 42501.';

revoke all on function quota.require_trusted() from public, anon, authenticated, service_role;


-- The catalogue: what plans allow.
-- sql/tables/features.sql

-- Why this exists: the catalogue of what can be used. Written by apply_plans() alone.

create table quota.features (
  feature_id text collate "C" not null,
  name text not null,
  unit text not null,
  kind text not null default 'metered',
  server_only boolean not null default false,
  constraint features_pkey primary key (feature_id),
  constraint features_kind_is_metered_or_gauge check (kind in ('metered', 'gauge')),
  constraint features_id_is_1_to_255_characters check (length(feature_id) between 1 and 255)
);

comment on table quota.features is 'What can be used: one row per feature of the plan document.';
comment on column quota.features.unit is 'What one of it is called, for people: "generation".';
comment on column quota.features.kind is
  'metered: starts again each period. gauge: goes up and down (files, seats), period lifetime only.';
comment on column quota.features.server_only is
  'True: only trusted roles may use it; a signed-in user is refused with 42501.';

alter table quota.features enable row level security;

-- A pricing page is public: names and limits are for everybody.
create policy select_everyone on quota.features
  for select to anon, authenticated, service_role using (true);

revoke all on quota.features from public, anon, authenticated, service_role;
grant select on quota.features to anon, authenticated, service_role;
-- Withheld: insert, update, delete, truncate. The catalogue changes through apply_plans(), which
-- sees the document as a whole.

-- sql/tables/plans.sql

-- Why this exists: the named sets of limits that customers are put on. Written by apply_plans() alone.

create table quota.plans (
  plan_id text collate "C" not null,
  name text not null,
  is_default boolean not null default false,
  upgrade_url text,
  constraint plans_pkey primary key (plan_id),
  constraint plans_id_is_1_to_255_characters check (length(plan_id) between 1 and 255)
);

comment on table quota.plans is 'Named sets of limits: one row per plan of the plan document.';
comment on column quota.plans.is_default is
  'True for the one plan of subjects that have none of their own.';
comment on column quota.plans.upgrade_url is
  'Where a refused caller is sent: the decision''s upgrade_url and the HINT of PT402.';

-- Serves the look-up of the default plan, and allows only one.
create unique index plans_have_one_default on quota.plans (is_default) where is_default;

alter table quota.plans enable row level security;

create policy select_everyone on quota.plans
  for select to anon, authenticated, service_role using (true);

revoke all on quota.plans from public, anon, authenticated, service_role;
grant select on quota.plans to anon, authenticated, service_role;
-- Withheld: insert, update, delete, truncate (see features).

-- sql/tables/plan_limits.sql

-- Why this exists: plan × feature × period → how much. Written by apply_plans() alone.

create table quota.plan_limits (
  plan_id text collate "C" not null,
  feature_id text collate "C" not null,
  period text not null,
  amount bigint,
  constraint plan_limits_pkey primary key (plan_id, feature_id, period),
  constraint plan_limits_plan_exists
    foreign key (plan_id) references quota.plans (plan_id) on delete cascade,
  constraint plan_limits_feature_exists
    foreign key (feature_id) references quota.features (feature_id),
  constraint plan_limits_period_is_known
    check (period in ('minute', 'hour', 'day', 'week', 'month', 'year', 'lifetime')),
  -- 2^53 - 1: every JSON client reads the number exactly.
  constraint plan_limits_amount_is_0_to_9007199254740991
    check (amount between 0 and 9007199254740991)
);

comment on table quota.plan_limits is
  'How much a plan allows of a feature in a period. No row: the feature is not in the plan.';
comment on column quota.plan_limits.amount is 'Units per period; null is unlimited (still counted).';

-- Serves the foreign key to features (removing a feature).
create index plan_limits_by_feature on quota.plan_limits (feature_id);

alter table quota.plan_limits enable row level security;

create policy select_everyone on quota.plan_limits
  for select to anon, authenticated, service_role using (true);

revoke all on quota.plan_limits from public, anon, authenticated, service_role;
grant select on quota.plan_limits to anon, authenticated, service_role;
-- Withheld: insert, update, delete, truncate (see features).

-- sql/tables/catalogue.sql

-- Why this exists: which edition of features, plans and limits holds. What a meter remembers of its
-- limits is good only for the edition it was read from.

create table quota.catalogue (
  version bigint not null,
  constraint catalogue_pkey primary key (version)
);

comment on table quota.catalogue is
  'One row: counts the changes that apply_plans() has made to features, plans and limits.';

insert into quota.catalogue (version) values (1);

alter table quota.catalogue enable row level security;

create policy select_everyone on quota.catalogue
  for select to anon, authenticated, service_role using (true);

revoke all on quota.catalogue from public, anon, authenticated, service_role;
grant select on quota.catalogue to authenticated, service_role;
-- Withheld: every write (see features).


-- Subjects: who is limited, and by what.
-- sql/tables/subjects.sql

-- Why this exists: which plan a subject is on, and where its periods begin. A subject without a
-- row has the default plan and the UTC calendar; the first use makes the row.

create table quota.subjects (
  subject_id text collate "C" not null,
  plan_id text collate "C",
  plan_ends_at timestamptz,
  anchor_at timestamptz,
  time_zone text not null default 'UTC',
  has_extras boolean not null default false,
  constraint subjects_pkey primary key (subject_id),
  constraint subjects_plan_exists foreign key (plan_id) references quota.plans (plan_id),
  constraint subjects_id_is_1_to_255_characters check (length(subject_id) between 1 and 255),
  constraint subjects_anchor_is_finite check (isfinite(anchor_at))
);

comment on table quota.subjects is
  'Who is limited: users, organisations, API keys. One row per subject that was ever seen.';
comment on column quota.subjects.plan_id is 'Null: the default plan.';
comment on column quota.subjects.plan_ends_at is
  'From this instant on the default plan holds, by arithmetic; no job runs.';
comment on column quota.subjects.anchor_at is
  'Billing day: days, weeks, months and years count from it. Null: the calendar.';
comment on column quota.subjects.time_zone is 'IANA name; the wall clock that periods follow.';
comment on column quota.subjects.has_extras is
  'True once the subject was given an exception or a grant: the others need no look for them.';

-- Serves "is anybody on this plan?" before a plan is removed, and the foreign key.
create index subjects_by_plan on quota.subjects (plan_id);

-- No statistics: estimates would tell of other subjects (see events).
alter table quota.subjects
  alter column subject_id set statistics 0,
  alter column plan_id set statistics 0,
  alter column plan_ends_at set statistics 0,
  alter column anchor_at set statistics 0,
  alter column time_zone set statistics 0,
  alter column has_extras set statistics 0;

alter table quota.subjects enable row level security;

create policy select_own on quota.subjects
  for select to authenticated
  using (subject_id = any (array(select quota.subjects_of((select quota.user_id())))));
create policy select_service on quota.subjects
  for select to service_role using (true);

revoke all on quota.subjects from public, anon, authenticated, service_role;
grant select on quota.subjects to authenticated, service_role;
-- Withheld: every write. A user that could update its row would choose its own plan; even
-- service_role goes through set_plan(), which keeps periods and ledger in step.

-- sql/tables/members.sql

-- Why this exists: who may act for an organisation. An app that has such a table of its own
-- replaces quota.acts_for() and quota.subjects_of() and leaves this one empty.

create table quota.members (
  subject_id text collate "C" not null,
  user_id text collate "C" not null,
  constraint members_pkey primary key (subject_id, user_id),
  constraint members_ids_are_1_to_255_characters
    check (length(subject_id) between 1 and 255 and length(user_id) between 1 and 255)
);

comment on table quota.members is 'user_id may use and see on behalf of subject_id.';

-- Serves quota.subjects_of(): for whom may this user act?
create index members_by_user on quota.members (user_id, subject_id);

-- No statistics: estimates would tell of other subjects (see events).
alter table quota.members
  alter column subject_id set statistics 0,
  alter column user_id set statistics 0;

alter table quota.members enable row level security;

create policy select_own on quota.members
  for select to authenticated using (user_id = (select quota.user_id()));
create policy select_service on quota.members
  for select to service_role using (true);

revoke all on quota.members from public, anon, authenticated, service_role;
grant select on quota.members to authenticated, service_role;
-- Withheld: every write. Membership is permission to spend; add_member() and remove_member() are
-- for service_role.

-- sql/tables/exceptions.sql

-- Why this exists: one subject's own limit, in place of its plan's.

create table quota.exceptions (
  subject_id text collate "C" not null,
  feature_id text collate "C" not null,
  period text not null,
  amount bigint,
  constraint exceptions_pkey primary key (subject_id, feature_id, period),
  constraint exceptions_feature_exists
    foreign key (feature_id) references quota.features (feature_id),
  constraint exceptions_period_is_known
    check (period in ('minute', 'hour', 'day', 'week', 'month', 'year', 'lifetime')),
  constraint exceptions_amount_is_0_to_9007199254740991
    check (amount between 0 and 9007199254740991)
);

comment on table quota.exceptions is
  'One subject''s own limit for a feature and period; it takes the place of the plan''s, and opens a feature that the plan lacks.';
comment on column quota.exceptions.amount is 'Units per period; null is unlimited.';

-- Serves the foreign key to features (removing a feature).
create index exceptions_by_feature on quota.exceptions (feature_id);

-- No statistics: estimates would tell of other subjects (see events).
alter table quota.exceptions
  alter column subject_id set statistics 0,
  alter column feature_id set statistics 0,
  alter column period set statistics 0,
  alter column amount set statistics 0;

alter table quota.exceptions enable row level security;

create policy select_own on quota.exceptions
  for select to authenticated
  using (subject_id = any (array(select quota.subjects_of((select quota.user_id())))));
create policy select_service on quota.exceptions
  for select to service_role using (true);

revoke all on quota.exceptions from public, anon, authenticated, service_role;
grant select on quota.exceptions to authenticated, service_role;
-- Withheld: every write; set_limit() and clear_limit() are for service_role.

-- sql/tables/grants.sql

-- Why this exists: extra allowance outside the plan (a top-up, a promotion). Used after the plan's
-- allowance, soonest to expire first; survives resets and plan changes.

create table quota.grants (
  subject_id text collate "C" not null,
  grant_id uuid not null,
  feature_id text collate "C" not null,
  amount bigint not null,
  drawn bigint not null default 0,
  granted_at timestamptz not null,
  expires_at timestamptz not null default 'infinity',
  voided_at timestamptz,
  metadata jsonb not null default '{}',
  constraint grants_pkey primary key (subject_id, grant_id),
  constraint grants_feature_exists
    foreign key (feature_id) references quota.features (feature_id),
  constraint grants_amount_is_1_to_9007199254740991
    check (amount between 1 and 9007199254740991),
  constraint grants_drawn_is_within_the_amount check (drawn between 0 and amount)
);

comment on table quota.grants is
  'Extra allowance outside the plan. What is left of it is amount - drawn, until expires_at.';
comment on column quota.grants.drawn is
  'How much calls have taken from it; every change has a draw line in the ledger.';

-- Serves limits_of(): the open grants of a subject and feature, soonest to expire first. drawn
-- is in no index, so that drawing stays a HOT update.
create index grants_by_expiry on quota.grants (subject_id, feature_id, expires_at, grant_id);
-- Serves the foreign key to features, and void_grant() without a subject.
create index grants_by_feature on quota.grants (feature_id);
create index grants_by_id on quota.grants (grant_id);

-- No statistics: estimates would tell of other subjects (see events).
alter table quota.grants
  alter column subject_id set statistics 0,
  alter column grant_id set statistics 0,
  alter column feature_id set statistics 0,
  alter column amount set statistics 0,
  alter column drawn set statistics 0,
  alter column granted_at set statistics 0,
  alter column expires_at set statistics 0,
  alter column voided_at set statistics 0,
  alter column metadata set statistics 0;

alter table quota.grants enable row level security;

create policy select_own on quota.grants
  for select to authenticated
  using (subject_id = any (array(select quota.subjects_of((select quota.user_id())))));
create policy select_service on quota.grants
  for select to service_role using (true);

revoke all on quota.grants from public, anon, authenticated, service_role;
grant select on quota.grants to authenticated, service_role;
-- Withheld: every write. A user that could insert here would mint credits.


-- Use: the lock, the sums, the holds, the ledger.
-- sql/tables/meters.sql

-- Why this exists: the row that every writing call locks, one per subject and feature. Whoever
-- holds it is alone with the counters, holds and grants of that subject and feature, so all that
-- follows is plain reading and writing. Locking it writes no new row version.
--
-- It also remembers what limits_of() said last, so that most calls need not ask again (0.3 of a bare
-- update's speed without, 0.5 with). The memory is exact because (a) it is used under the lock and
-- only for the edition of the catalogue that it was read from, looked at again in a statement after
-- the lock; (b) set_plan(), set_limit() and grants lock the meter too and make it forget; (c) it ends
-- at the next instant at which time changes something.

create table quota.meters (
  subject_id text collate "C" not null,
  feature_id text collate "C" not null,
  holds_expire_at timestamptz not null default 'infinity',
  fresh_from timestamptz not null default '-infinity',
  fresh_until timestamptz not null default '-infinity',
  catalogue_version bigint not null default 0,
  plan_id text collate "C",
  upgrade_url text,
  server_only boolean not null default false,
  rows_used bigint not null default 0,
  constraint meters_pkey primary key (subject_id, feature_id)
) with (fillfactor = 80);

comment on table quota.meters is
  'The lock of one subject and feature. A call locks it first and reads everything else after.';
comment on column quota.meters.holds_expire_at is
  'No open hold expires before this instant: most calls need not look for expired ones.';
comment on column quota.meters.fresh_from is
  'When it was remembered: a clock that was set back behind it finds other counters open.';
comment on column quota.meters.fresh_until is
  'Until then the open counters are all the limits there are, and their last_limit is the limit; the columns after this one are what else is remembered.';
comment on column quota.meters.rows_used is
  'How much of a gauge the rows of limited tables are: only they give it back.';

alter table quota.meters enable row level security;

create policy select_service on quota.meters
  for select to service_role using (true);

revoke all on quota.meters from public, anon, authenticated, service_role;
grant select on quota.meters to service_role;
-- Withheld: everything from authenticated, also select: who can select for share can hold a lock.
-- No foreign key to subjects or features: it would take a second lock in each first call.

-- sql/tables/counters.sql

-- Why this exists: how much of a feature a subject has used in one period. A counter is a sum of
-- the ledger kept at hand: it equals the lines whose counts_at lies in [period_start, period_end).

create table quota.counters (
  subject_id text collate "C" not null,
  feature_id text collate "C" not null,
  period text not null,
  period_start timestamptz not null,
  period_end timestamptz not null,
  used bigint not null,
  reserved bigint not null,
  drawn bigint not null,
  last_limit bigint,
  alerted bigint not null default 0,
  -- The end stands in the key, and before the period: open periods are those with
  -- period_end > now, found without walking over the closed ones (20,000 closed minutes).
  constraint counters_pkey primary key (subject_id, feature_id, period_end, period),
  -- The one check that is worth its price: Postgres parses a check constraint anew in every
  -- statement (seven of them on counters and events cost 18 µs of a call's 100).
  constraint counters_are_not_negative check (least(used, reserved, drawn) >= 0)
) with (fillfactor = 70);

comment on table quota.counters is
  'Use of one subject and feature in one period. Periods of a kind never overlap.';
comment on column quota.counters.period_end is
  'Exclusive. When a subject''s anchor moves, the running period ends where the new one starts.';
comment on column quota.counters.reserved is
  'Held by reservations: an upper bound, expired holds are subtracted when it is read.';
comment on column quota.counters.drawn is 'How much of the use was taken from grants.';
comment on column quota.counters.last_limit is
  'The limit at the period''s last call, for usage_history; null is unlimited.';
comment on column quota.counters.alerted is
  'The highest threshold of alerts that use has passed and was told of: 0, 80 or 100 percent.';

-- used, reserved and drawn are in no index and the pages keep room, so that counting is a HOT
-- update (an index on a column that every call changes took HOT updates from 100 % to 0 %).

-- No statistics: estimates would tell of other subjects (see events).
alter table quota.counters
  alter column subject_id set statistics 0,
  alter column feature_id set statistics 0,
  alter column period set statistics 0,
  alter column period_start set statistics 0,
  alter column period_end set statistics 0,
  alter column used set statistics 0,
  alter column reserved set statistics 0,
  alter column drawn set statistics 0,
  alter column last_limit set statistics 0,
  alter column alerted set statistics 0;

alter table quota.counters enable row level security;

create policy select_own on quota.counters
  for select to authenticated
  using (subject_id = any (array(select quota.subjects_of((select quota.user_id())))));
create policy select_service on quota.counters
  for select to service_role using (true);

revoke all on quota.counters from public, anon, authenticated, service_role;
grant select on quota.counters to authenticated, service_role;
-- Withheld: every write, also from service_role: a counter changes only together with the ledger.
-- No foreign key to features: its row lock would be shared by every caller of the server.

-- sql/tables/reservations.sql

-- Why this exists: a hold on an amount while work runs. It ends once: committed, released or
-- expired.

create table quota.reservations (
  subject_id text collate "C" not null,
  reservation_id uuid not null,
  feature_id text collate "C" not null,
  amount bigint not null,
  reserved_at timestamptz not null,
  expires_at timestamptz not null,
  state text not null default 'open',
  answer jsonb,
  constraint reservations_pkey primary key (subject_id, reservation_id),
  constraint reservations_state_is_known
    check (state in ('open', 'expired', 'committed', 'released')),
  constraint reservations_amount_is_1_to_9007199254740991
    check (amount between 1 and 9007199254740991)
);

comment on table quota.reservations is
  'Holds on an amount. An open one counts against every limit of its feature until expires_at.';
comment on column quota.reservations.state is
  'open, expired (its hold was given back; a late commit is still possible), committed, released.';
comment on column quota.reservations.answer is
  'What ended it was told this; the same ending repeated is told it again.';

-- Serves commit and release, which are not told the subject.
create index reservations_by_id on quota.reservations (reservation_id);
-- Serves the look for expired holds. Small: settled reservations are not in it.
create index reservations_open on quota.reservations (subject_id, feature_id, expires_at)
  where state = 'open';

-- No statistics: estimates would tell of other subjects (see events).
alter table quota.reservations
  alter column subject_id set statistics 0,
  alter column reservation_id set statistics 0,
  alter column feature_id set statistics 0,
  alter column amount set statistics 0,
  alter column reserved_at set statistics 0,
  alter column expires_at set statistics 0,
  alter column state set statistics 0,
  alter column answer set statistics 0;

alter table quota.reservations enable row level security;

create policy select_own on quota.reservations
  for select to authenticated
  using (subject_id = any (array(select quota.subjects_of((select quota.user_id())))));
create policy select_service on quota.reservations
  for select to service_role using (true);

revoke all on quota.reservations from public, anon, authenticated, service_role;
grant select on quota.reservations to authenticated, service_role;
-- Withheld: every write; reserve, commit and release are for service_role.

-- sql/tables/events.sql

-- Why this exists: the ledger. Append-only; every change of a counter, a hold or a grant has a
-- line, and every counter is the sum of its lines.
--
-- A line says in which instant it counts (counts_at), not in which counters: a counter is the sum
-- of the lines whose counts_at lies in its period. So a refund gives back in the period of the use,
-- a commit counts in the period of its hold, and when a plan brings a new period or a billing day
-- moves, the new counter is opened with the sum of the lines that fall into it.

create table quota.events (
  subject_id text collate "C" not null,
  event_id uuid not null,
  at timestamptz not null,
  kind text not null,
  feature_id text collate "C",
  counts_at timestamptz not null,
  used_change bigint not null default 0,
  reserved_change bigint not null default 0,
  drawn_change bigint not null default 0,
  about_id uuid,
  grant_id uuid,
  actor text,
  idempotency_key text collate "C",
  metadata jsonb not null default '{}',
  -- No check constraints: record() is the only writer (see counters for what they cost).
  constraint events_pkey primary key (subject_id, at, event_id)
);

comment on table quota.events is
  'The ledger: one line per change of a counter, hold or grant, and per change of plan. Append-only.';
comment on column quota.events.at is 'When it happened, by quota.clock().';
comment on column quota.events.kind is
  'consume, batch, reserve, commit, release, expire, refund, return, table, import, grant, void, draw, carry, plan, limit or member.';
comment on column quota.events.counts_at is
  'The instant whose periods it counts in: at, or for a refund, commit or release the instant of the use or hold.';
comment on column quota.events.used_change is 'Change of used, in units of the feature.';
comment on column quota.events.reserved_change is 'Change of what is held.';
comment on column quota.events.drawn_change is 'Change of what is drawn from grant_id.';
comment on column quota.events.about_id is 'The event, reservation or grant that this line is about.';
comment on column quota.events.actor is
  'The user that acted for the subject, where it is not the subject itself; null for servers.';
comment on column quota.events.idempotency_key is
  'The key of the call that wrote it; what it is bound to stands in quota.keys.';

-- The primary key serves a subject's latest lines, and the sum over a period (a line never happens
-- before the instant it counts in, so at >= period_start bounds the scan).
-- Serves refund_usage(), which is not told the subject. Event ids grow with time: inserts stay at
-- the right edge of the index.
create index events_by_id on quota.events (event_id);
-- Serves "how much of this event was refunded, what did this hold draw?"
create index events_by_what_they_are_about on quota.events (subject_id, about_id)
  where about_id is not null;
-- Serves forget_subject(): where a user acted for others, or became a member.
create index events_by_user on quota.events ((coalesce(actor, metadata ->> 'user_id')))
  where actor is not null or kind = 'member';

-- No statistics, here and in every table with a subject: the planner's estimates are computed without
-- policies, and `Prefer: count=planned` on a view tells them to whoever asks. With the most common
-- values gathered, ?subject=eq.other said how many lines the other has. All that is planned here begins
-- with a subject and an index, which default estimates find as well.
alter table quota.events
  alter column subject_id set statistics 0,
  alter column event_id set statistics 0,
  alter column at set statistics 0,
  alter column kind set statistics 0,
  alter column feature_id set statistics 0,
  alter column counts_at set statistics 0,
  alter column used_change set statistics 0,
  alter column reserved_change set statistics 0,
  alter column drawn_change set statistics 0,
  alter column about_id set statistics 0,
  alter column grant_id set statistics 0,
  alter column actor set statistics 0,
  alter column idempotency_key set statistics 0,
  alter column metadata set statistics 0;
alter index quota.events_by_user alter column 1 set statistics 0;

alter table quota.events enable row level security;

create policy select_own on quota.events
  for select to authenticated
  using (subject_id = any (array(select quota.subjects_of((select quota.user_id())))));
create policy select_service on quota.events
  for select to service_role using (true);

revoke all on quota.events from public, anon, authenticated, service_role;
grant select on quota.events to authenticated, service_role;
-- Withheld: insert, update, delete, truncate, from service_role too. Lines disappear only through
-- forget_subject() and quota.tidy().
-- No foreign key to features (see counters).

-- sql/tables/keys.sql

-- Why this exists: what an idempotency key is bound to, and what the call that bound it was told. Apart
-- from the ledger, so that only calls with a key pay for it, and so that a key can become free again.

create table quota.keys (
  subject_id text collate "C" not null,
  is_server boolean not null,
  idempotency_key text collate "C" not null,
  bound_at timestamptz not null,
  arguments jsonb not null,
  answer jsonb not null,
  -- The guarantee: two calls with a key at once cannot both count.
  constraint keys_pkey primary key (subject_id, is_server, idempotency_key)
);

comment on table quota.keys is
  'Idempotency keys: one row per subject, key and side that bound it. tidy() ends them after 31 days.';
comment on column quota.keys.is_server is
  'Keys of trusted roles and keys of users are two spaces: a member of an organisation cannot take the server''s key.';
comment on column quota.keys.arguments is 'The call and its arguments: with others the key is QIDEM.';
comment on column quota.keys.answer is
  'What the call was told, and is told again while what it counted or held still does.';

-- Serves tidy().
create index keys_by_age on quota.keys (bound_at);

alter table quota.keys enable row level security;

create policy select_service on quota.keys
  for select to service_role using (true);

revoke all on quota.keys from public, anon, authenticated, service_role;
grant select on quota.keys to service_role;
-- Withheld: everything from authenticated: a key is a secret between its caller and the answer.

-- sql/tables/alerts.sql

-- Why this exists: "you have used 80 %": one row when a limit's threshold is crossed, written in the
-- transaction that crosses it.

create table quota.alerts (
  subject_id text collate "C" not null,
  feature_id text collate "C" not null,
  period text not null,
  period_start timestamptz not null,
  threshold bigint not null,
  at timestamptz not null,
  used bigint not null,
  amount bigint not null,
  alert_id uuid not null,
  handed_at timestamptz,
  acknowledged_at timestamptz,
  constraint alerts_pkey primary key (subject_id, alert_id),
  constraint alerts_threshold_is_80_or_100 check (threshold in (80, 100))
);

comment on table quota.alerts is
  'A limit of which a threshold was crossed: once per crossing. It can be crossed again after use fell below it: by a refund, a grant, a larger plan, a gauge that went down, a new period.';
comment on column quota.alerts.used is 'Used and reserved units, after the crossing call.';
comment on column quota.alerts.amount is 'The limit at that moment.';
comment on column quota.alerts.alert_id is 'The same in each delivery, so that a receiver can tell a repeated one.';
comment on column quota.alerts.handed_at is 'When deliver_alerts() last handed it out; null: not yet.';
comment on column quota.alerts.acknowledged_at is 'When it had arrived; null: not yet, or nobody delivers.';

-- Serves tidy().
create index alerts_by_age on quota.alerts (acknowledged_at)
  where acknowledged_at is not null;
-- These two hold only what has not arrived. Serves deliver_alerts(): those that were never handed out first.
create index alerts_to_deliver on quota.alerts (handed_at nulls first, at)
  where acknowledged_at is null;
-- Serves acknowledge_alerts(), which is not told the subject.
create index alerts_to_acknowledge on quota.alerts (alert_id)
  where acknowledged_at is null;

-- No statistics: estimates would tell of other subjects (see events).
alter table quota.alerts
  alter column subject_id set statistics 0,
  alter column feature_id set statistics 0,
  alter column period set statistics 0,
  alter column period_start set statistics 0,
  alter column threshold set statistics 0,
  alter column at set statistics 0,
  alter column used set statistics 0,
  alter column amount set statistics 0,
  alter column alert_id set statistics 0,
  alter column handed_at set statistics 0,
  alter column acknowledged_at set statistics 0;

alter table quota.alerts enable row level security;

create policy select_own on quota.alerts
  for select to authenticated
  using (subject_id = any (array(select quota.subjects_of((select quota.user_id())))));
create policy select_service on quota.alerts
  for select to service_role using (true);

revoke all on quota.alerts from public, anon, authenticated, service_role;
grant select on quota.alerts to authenticated, service_role;
-- Withheld: every write.

-- sql/tables/limited_tables.sql

-- Why this exists: which application tables enforce a gauge themselves. Written by limit_table() and
-- unlimit_table() alone.

create table quota.limited_tables (
  table_id regclass not null,
  feature_id text collate "C" not null,
  subject_column name not null,
  amount_column name,
  constraint limited_tables_pkey primary key (table_id, feature_id),
  constraint limited_tables_feature_exists
    foreign key (feature_id) references quota.features (feature_id)
);

comment on table quota.limited_tables is
  'Tables whose rows count against a gauge: one row per table and feature.';
comment on column quota.limited_tables.amount_column is
  'How much a row counts; null: one each.';

-- Serves "which tables feed this gauge?", and the foreign key.
create index limited_tables_by_feature on quota.limited_tables (feature_id);

alter table quota.limited_tables enable row level security;

create policy select_service on quota.limited_tables
  for select to service_role using (true);

revoke all on quota.limited_tables from public, anon, authenticated, service_role;
grant select on quota.limited_tables to service_role;
-- Withheld: every write; limit_table() is for DBAs, since it makes triggers.


-- The engine: periods, limits, the rule, the writer.
-- sql/api/usage_decision.sql

-- Why this exists: the answer to every call, one object for rpc(). Fields are only ever added at the
-- end: sessions that are open during an upgrade keep working.
--
-- The comments become the types of the client: a field is null only where its comment speaks of null,
-- and a text that starts with `values` in backquotes has only those.
create type public.usage_decision as (
  allowed boolean,
  reason text,
  feature text,
  subject text,
  plan text,
  amount bigint,
  used bigint,
  reserved bigint,
  "limit" bigint,
  remaining bigint,
  unlimited boolean,
  period text,
  period_start timestamptz,
  resets_at timestamptz,
  retry_after integer,
  event_id uuid,
  reservation_id uuid,
  replayed boolean,
  upgrade_url text,
  granted bigint
);

comment on type public.usage_decision is
  'The answer to a call. With several limits the fields show the one that refused, else the one with least room.';
comment on column public.usage_decision.allowed is 'Whether the amount was (or, for check_usage, would be) taken.';
comment on column public.usage_decision.reason is
  '`ok`; `limit_reached`; `feature_not_in_plan`; `not_taken` (another item of the batch was refused); `over_limit` (a commit went past the limit).';
comment on column public.usage_decision.feature is 'The feature asked for.';
comment on column public.usage_decision.subject is 'Who is limited.';
comment on column public.usage_decision.plan is
  'The plan that holds now; null when the subject has none and there is no default plan.';
comment on column public.usage_decision.amount is 'Units that this call asked for or moved.';
comment on column public.usage_decision.used is 'Units used in the period, after the call.';
comment on column public.usage_decision.reserved is 'Units held by open reservations, after the call.';
comment on column public.usage_decision."limit" is
  'Units allowed in the period, open grants included; null when unlimited, 0 when the feature is not in the plan.';
comment on column public.usage_decision.remaining is
  'Units left, never negative; null when unlimited.';
comment on column public.usage_decision.unlimited is 'True when the shown limit is none.';
comment on column public.usage_decision.period is
  '`minute`, `hour`, `day`, `week`, `month`, `year` or `lifetime`; null when the feature is not in the plan.';
comment on column public.usage_decision.period_start is
  'When the period began; null for lifetime, and when the feature is not in the plan.';
comment on column public.usage_decision.resets_at is
  'When the period ends and used starts again at 0; null for lifetime, and when the feature is not in the plan.';
comment on column public.usage_decision.retry_after is
  'Whole seconds, rounded up and at least 1, until time alone would allow the amount; null when allowed or never.';
comment on column public.usage_decision.event_id is
  'The ledger line of the call: what counted it, for refund_usage, or a refund''s, return''s or release''s own; null for a refusal, a check and a reservation.';
comment on column public.usage_decision.reservation_id is
  'The hold, for commit_usage and release_usage; null when the call made or ended none.';
comment on column public.usage_decision.replayed is
  'True when the idempotency key was used before: this is the first answer, nothing was counted again.';
comment on column public.usage_decision.upgrade_url is
  'Where the plan sends who wants more; null when it says nothing.';
comment on column public.usage_decision.granted is
  'How much of the limit is open grants: extra that does not reset.';

-- sql/functions/period_of.sql

-- Why this exists: which period an instant lies in. All calendar arithmetic of the product.
--
-- The calendar is treated as one more anchor: 1 January 2001, a Monday, begins a day, a week, a
-- month and a year at once.

create function quota.instant_of(
  p_local timestamp,
  p_time_zone text
)
returns timestamptz
language plpgsql
stable
strict
security invoker
set search_path = pg_catalog, pg_temp
as $$
declare
  v_at timestamptz := p_local at time zone p_time_zone;
  v_day_before timestamptz := v_at - interval '25 hours';
  v_first timestamptz;
begin
  -- A local time that a clock change skips takes the offset from before the gap: at time zone does
  -- that. One that happens twice is the first of the two, but at time zone picks the second. So try
  -- the offset of the day before, and take that instant if it shows the same local time.
  v_first := (p_local - ((v_day_before at time zone p_time_zone) - (v_day_before at time zone 'UTC')))
    at time zone 'UTC';
  if v_first < v_at and v_first at time zone p_time_zone = p_local then
    return v_first;
  end if;
  return v_at;
end
$$;

comment on function quota.instant_of(timestamp, text) is
  'The instant at which clocks in the zone show this time: the first of two, and in a gap by the offset from before it.';

revoke all on function quota.instant_of(timestamp, text)
  from public, anon, authenticated, service_role;
-- The views compute periods as their reader.
grant execute on function quota.instant_of(timestamp, text) to authenticated, service_role;

create function quota.period_of(
  p_period text,
  p_at timestamptz,
  p_anchor_at timestamptz,
  p_time_zone text,
  out period_start timestamptz,
  out resets_at timestamptz
)
language plpgsql
stable
security invoker
set search_path = pg_catalog, pg_temp
as $$
declare
  v_origin timestamp;
  v_local timestamp;
  v_unit interval;
  v_n integer;
begin
  if p_period = 'lifetime' then
    period_start := '-infinity';
    resets_at := 'infinity';
    return;
  end if;

  if p_period in ('minute', 'hour') then
    period_start := date_trunc(p_period, p_at, 'UTC');
    resets_at := period_start + case p_period when 'minute' then interval '1 minute' else interval '1 hour' end;
    return;
  end if;

  v_unit := case p_period
    when 'day' then interval '1 day'
    when 'week' then interval '7 days'
    when 'month' then interval '1 month'
    else interval '1 year'
  end;

  if p_anchor_at is null and p_time_zone = 'UTC' then
    v_local := date_trunc(p_period, p_at at time zone 'UTC');
    period_start := v_local at time zone 'UTC';
    resets_at := (v_local + v_unit) at time zone 'UTC';
    return;
  end if;

  v_local := p_at at time zone p_time_zone;
  v_origin := coalesce(p_anchor_at at time zone p_time_zone, timestamp '2001-01-01');

  -- How many units lie between, at a guess; then step to the period that holds p_at. Counting from
  -- the origin keeps month ends: 31 Jan, 28 Feb, 31 Mar. (Postgres clamps as Stripe does; adding
  -- month to month would drift to the 28th.)
  v_n := case p_period
    when 'day' then floor(extract(epoch from v_local - v_origin) / 86400)
    when 'week' then floor(extract(epoch from v_local - v_origin) / 604800)
    when 'month' then
      (extract(year from v_local) - extract(year from v_origin)) * 12
      + extract(month from v_local) - extract(month from v_origin)
    else extract(year from v_local) - extract(year from v_origin)
  end;

  period_start := quota.instant_of(v_origin + v_n * v_unit, p_time_zone);
  while period_start > p_at loop
    v_n := v_n - 1;
    period_start := quota.instant_of(v_origin + v_n * v_unit, p_time_zone);
  end loop;
  resets_at := quota.instant_of(v_origin + (v_n + 1) * v_unit, p_time_zone);
  while resets_at <= p_at loop
    v_n := v_n + 1;
    period_start := resets_at;
    resets_at := quota.instant_of(v_origin + (v_n + 1) * v_unit, p_time_zone);
  end loop;
end
$$;

comment on function quota.period_of(text, timestamptz, timestamptz, text) is
  'The period [period_start, resets_at) that holds p_at. minute and hour are whole in UTC; day, week, month and year count from the anchor on the wall clock of the zone, month ends clamped (as Stripe''s billing_cycle_anchor does), and without an anchor are the calendar''s, weeks from Monday (ISO 8601); lifetime is everything.';

revoke all on function quota.period_of(text, timestamptz, timestamptz, text)
  from public, anon, authenticated, service_role;
grant execute on function quota.period_of(text, timestamptz, timestamptz, text)
  to authenticated, service_role;

create function quota.period_rank(p_period text)
returns integer
language plpgsql
immutable
strict
security invoker
set search_path = pg_catalog, pg_temp
as $$
begin
  return array_position(
    array['minute', 'hour', 'day', 'week', 'month', 'year', 'lifetime'],
    p_period
  );
end
$$;

comment on function quota.period_rank(text) is 'Shorter periods first: minute 1 … lifetime 7; null for no period.';

revoke all on function quota.period_rank(text) from public, anon, authenticated, service_role;
grant execute on function quota.period_rank(text) to authenticated, service_role;

create function quota.is_time_zone(p_name text)
returns boolean
language plpgsql
stable
strict
security invoker
set search_path = pg_catalog, pg_temp
as $$
begin
  -- at time zone would also accept 'Nowhere+5'. And names without a place are refused: CET, MET, EET
  -- and WET are zones with summer time in some files and abbreviations of the session's without it in
  -- others, EST has none. posix/ and right/ are copies of all names, the second with leap seconds.
  return (p_name in ('UTC', 'GMT') or (p_name like '%/%' and p_name !~ '^(posix|right)/'))
    and exists (select from pg_catalog.pg_timezone_names as z where z.name = p_name);
end
$$;

comment on function quota.is_time_zone(text) is
  'Whether it is an IANA name with a slash, UTC or GMT, that this server knows.';

revoke all on function quota.is_time_zone(text) from public, anon, authenticated, service_role;

-- sql/functions/limits_of.sql

-- Why this exists: the one place that knows what limits a subject has at an instant, and how full
-- they are: plan, exceptions, grants, holds, counters. Deciding, explaining, the views and the wait
-- until something is free again (asked for a later instant) all read it.
--
-- Takes no lock. A caller that writes holds the meter, and calls this in a statement of its own
-- after that: a limit that was lowered and committed meanwhile is then seen. Runs with the rights
-- of whoever calls: inside the engine the owner's, inside a view the reader's under RLS.

create type quota.limit_state as (
  period text,
  period_start timestamptz,
  resets_at timestamptz,
  source text,
  amount bigint,
  used bigint,
  reserved bigint,
  drawn bigint,
  granted bigint,
  is_counted boolean,
  last_limit bigint
);

comment on type quota.limit_state is
  'One limit at one instant. The limit is amount (of the plan or exception; null is unlimited) + drawn (from grants in this period) + granted (open grants). is_counted: the counter row exists.';

create type quota.allowance as (
  kind text,
  server_only boolean,
  plan_id text,
  upgrade_url text,
  changes_at timestamptz,
  limits quota.limit_state[],
  is_plain boolean,
  catalogue_version bigint
);

comment on type quota.allowance is
  'What a subject may use of a feature at an instant: the feature''s kind and server_only, the plan, when the plan ends by itself (changes_at), and the limits, null when the feature is not in the plan. is_plain: the subject never had exceptions or grants. catalogue_version: the edition that was read.';

create type quota.balance as (
  used bigint,
  reserved bigint,
  drawn bigint
);

comment on type quota.balance is 'The three sums of the ledger over a period.';

-- What the ledger says of a period. Read where a counter does not exist yet: in a new period there
-- is nothing to find, and when a plan brings a new period or an anchor moves, the use so far is.
create function quota.ledger_balance(
  p_subject_id text,
  p_feature_id text,
  p_from timestamptz,
  p_until timestamptz
)
returns quota.balance
language plpgsql
stable
strict
security invoker
set search_path = pg_catalog, pg_temp
as $$
declare
  v_balance quota.balance;
begin
  -- At most 2^62: a sum that is no bigint would make a view fail for everybody.
  select
    least(coalesce(sum(e.used_change), 0), 4611686018427387904),
    least(coalesce(sum(e.reserved_change), 0), 4611686018427387904),
    least(coalesce(sum(e.drawn_change), 0), 4611686018427387904)
  into v_balance.used, v_balance.reserved, v_balance.drawn
  from quota.events as e
  where e.subject_id = p_subject_id
    and e.at >= p_from
    and e.feature_id = p_feature_id
    and e.counts_at >= p_from
    and e.counts_at < p_until;
  return v_balance;
end
$$;

comment on function quota.ledger_balance(text, text, timestamptz, timestamptz) is
  'Use, holds and draws that the ledger counts in [p_from, p_until).';

revoke all on function quota.ledger_balance(text, text, timestamptz, timestamptz)
  from public, anon, authenticated, service_role;
grant execute on function quota.ledger_balance(text, text, timestamptz, timestamptz)
  to authenticated, service_role;

-- What holds that have expired, and that no call has settled yet, still stand for in a counter.
create function quota.expired_holds(
  p_subject_id text,
  p_feature_id text,
  p_at timestamptz,
  p_from timestamptz,
  p_until timestamptz,
  p_has_draws boolean
)
returns quota.balance
language plpgsql
stable
strict
security invoker
set search_path = pg_catalog, pg_temp
as $$
declare
  v_balance quota.balance;
begin
  select
    0,
    coalesce(sum(r.amount), 0),
    -- A look-up per hold (10 µs), so only where something was drawn.
    coalesce(sum(case when p_has_draws then (
      select sum(e.drawn_change)
      from quota.events as e
      where e.subject_id = r.subject_id
        and e.about_id = r.reservation_id
    ) end), 0)
  into v_balance.used, v_balance.reserved, v_balance.drawn
  from quota.reservations as r
  where r.subject_id = p_subject_id
    and r.feature_id = p_feature_id
    and r.state = 'open'
    and r.expires_at <= p_at
    and r.reserved_at >= p_from
    and r.reserved_at < p_until;
  return v_balance;
end
$$;

comment on function quota.expired_holds(text, text, timestamptz, timestamptz, timestamptz, boolean) is
  'What expired but unsettled holds made in [p_from, p_until) hold and, where asked, have drawn.';

revoke all on function quota.expired_holds(text, text, timestamptz, timestamptz, timestamptz, boolean)
  from public, anon, authenticated, service_role;
grant execute on function quota.expired_holds(text, text, timestamptz, timestamptz, timestamptz, boolean)
  to authenticated, service_role;

create function quota.open_grants(
  p_subject_id text,
  p_feature_id text,
  p_at timestamptz
)
returns setof quota.grants
language plpgsql
stable
strict
rows 3
security invoker
set search_path = pg_catalog, pg_temp
as $$
begin
  return query
    select
      g.subject_id, g.grant_id, g.feature_id, g.amount,
      g.drawn - coalesce((
        -- An expired hold has given its draws back, settled or not.
        select sum(e.drawn_change)
        from quota.reservations as r
        join quota.events as e on e.subject_id = r.subject_id and e.about_id = r.reservation_id
        where r.subject_id = g.subject_id
          and r.feature_id = g.feature_id
          and r.state = 'open'
          and r.expires_at <= p_at
          and e.grant_id = g.grant_id
      ), 0)::bigint,
      g.granted_at, g.expires_at, g.voided_at, g.metadata
    from quota.grants as g
    where g.subject_id = p_subject_id
      and g.feature_id = p_feature_id
      and g.granted_at <= p_at
      and g.expires_at > p_at
      and g.voided_at is null;
end
$$;

comment on function quota.open_grants(text, text, timestamptz) is
  'The open grants of a subject and feature, with what is drawn from them at that instant.';

revoke all on function quota.open_grants(text, text, timestamptz)
  from public, anon, authenticated, service_role;
grant execute on function quota.open_grants(text, text, timestamptz) to authenticated, service_role;

create function quota.granted_to(
  p_subject_id text,
  p_feature_id text,
  p_at timestamptz
)
returns bigint
language plpgsql
stable
strict
security invoker
set search_path = pg_catalog, pg_temp
as $$
begin
  return coalesce(
    (select sum(g.amount - g.drawn) from quota.open_grants(p_subject_id, p_feature_id, p_at) as g),
    0
  );
end
$$;

comment on function quota.granted_to(text, text, timestamptz) is
  'What is left of the open grants of a subject and feature.';

revoke all on function quota.granted_to(text, text, timestamptz)
  from public, anon, authenticated, service_role;
grant execute on function quota.granted_to(text, text, timestamptz) to authenticated, service_role;

-- The most that any limit may come to show. Refunds give back to open grants what was drawn in other
-- periods, so those count whole.
create function quota.most_allowed(
  p_subject_id text,
  p_feature_id text,
  p_at timestamptz,
  p_limits quota.limit_state[]
)
returns bigint
language plpgsql
stable
strict
security invoker
set search_path = pg_catalog, pg_temp
as $$
declare
  v_amount numeric;
  v_drawn numeric;
begin
  select coalesce(sum(g.amount), 0), coalesce(sum(g.drawn), 0)
    into v_amount, v_drawn
    from quota.open_grants(p_subject_id, p_feature_id, p_at) as g;
  return v_amount + coalesce(
    (
      select max(l.amount + greatest(l.drawn - v_drawn, 0))
      from unnest(p_limits) as l
      where l.period not in ('minute', 'hour')
    ),
    0
  );
end
$$;

comment on function quota.most_allowed(text, text, timestamptz, quota.limit_state[]) is
  'The largest limit with its draws and all of the open grants: what writers keep within 2^53 - 1.';

revoke all on function quota.most_allowed(text, text, timestamptz, quota.limit_state[])
  from public, anon, authenticated, service_role;

-- One subject's exceptions in place of its plan's limits, and beside them.
create function quota.with_exceptions(
  p_limits quota.limit_state[],
  p_subject_id text,
  p_feature_id text,
  p_at timestamptz
)
returns quota.limit_state[]
language plpgsql
stable
security invoker
set search_path = pg_catalog, pg_temp
as $$
begin
  return array(
    select l
    from (
      select
        o.period, o.period_start, o.resets_at, o.source, o.amount,
        o.used, o.reserved, o.drawn, o.granted, o.is_counted, o.last_limit
      from unnest(p_limits) as o
      where not exists (
        select from quota.exceptions as x
        where x.subject_id = p_subject_id
          and x.feature_id = p_feature_id
          and x.period = o.period
      )
      union all
      select
        x.period, c.period_start, c.period_end, 'exception', x.amount,
        case when c.used > 9007199254740991 then 9007199254740991 else c.used end, c.reserved, c.drawn, 0, c.used is not null, c.last_limit
      from quota.exceptions as x
      left join quota.counters as c
        on c.subject_id = x.subject_id
        and c.feature_id = x.feature_id
        and c.period_end > p_at
        and c.period_start <= p_at
        and c.period = x.period
      where x.subject_id = p_subject_id
        and x.feature_id = p_feature_id
    ) as u (
      period, period_start, resets_at, source, amount,
      used, reserved, drawn, granted, is_counted, last_limit
    )
    cross join lateral (
      select row(
        u.period, u.period_start, u.resets_at, u.source, u.amount,
        u.used, u.reserved, u.drawn, u.granted, u.is_counted, u.last_limit
      )::quota.limit_state
    ) as r (l)
  );
end
$$;

comment on function quota.with_exceptions(quota.limit_state[], text, text, timestamptz) is
  'The limits of a plan with the subject''s exceptions in their place.';

revoke all on function quota.with_exceptions(quota.limit_state[], text, text, timestamptz)
  from public, anon, authenticated, service_role;
grant execute on function quota.with_exceptions(quota.limit_state[], text, text, timestamptz)
  to authenticated, service_role;

-- What most calls need not look at: periods that have no counter yet, holds, grants.
create function quota.with_details(
  p_limits quota.limit_state[],
  p_subject_id text,
  p_feature_id text,
  p_at timestamptz,
  p_anchor_at timestamptz,
  p_time_zone text
)
returns quota.limit_state[]
language plpgsql
stable
security invoker
set search_path = pg_catalog, pg_temp
as $$
declare
  v_granted bigint := quota.granted_to(p_subject_id, p_feature_id, p_at);
  v_limits quota.limit_state[];
  v_limit quota.limit_state;
  v_balance quota.balance;
begin
  foreach v_limit in array coalesce(p_limits, '{}') loop
    if not v_limit.is_counted then
      select p.period_start, p.resets_at
        into v_limit.period_start, v_limit.resets_at
        from quota.period_of(v_limit.period, p_at, p_anchor_at, p_time_zone) as p;
      v_balance := quota.ledger_balance(
        p_subject_id, p_feature_id, v_limit.period_start, v_limit.resets_at
      );
      v_limit.used := least(v_balance.used, 9007199254740991);
      v_limit.reserved := v_balance.reserved;
      v_limit.drawn := v_balance.drawn;
    end if;
    if v_limit.reserved > 0 then
      v_balance := quota.expired_holds(
        p_subject_id, p_feature_id, p_at, v_limit.period_start, v_limit.resets_at, v_limit.drawn > 0
      );
      v_limit.reserved := v_limit.reserved - v_balance.reserved;
      v_limit.drawn := v_limit.drawn - v_balance.drawn;
    end if;
    -- Grants do not lift minute and hour limits.
    if v_limit.period in ('minute', 'hour') then
      v_limit.drawn := 0;
    else
      -- A plan that ends brings another limit, and no call stands there to refuse it: what is shown
      -- stays within 2^53 - 1 all the same.
      if v_limit.amount is not null then
        v_limit.amount := least(v_limit.amount, 9007199254740991 - v_limit.drawn);
      end if;
      v_limit.granted := least(v_granted, 9007199254740991 - coalesce(v_limit.amount, 0) - v_limit.drawn);
    end if;
    v_limits := v_limits || v_limit;
  end loop;
  return v_limits;
end
$$;

comment on function quota.with_details(
  quota.limit_state[], text, text, timestamptz, timestamptz, text
) is 'The limits with the periods that have no counter yet, expired holds and grants worked in.';

revoke all on function quota.with_details(
  quota.limit_state[], text, text, timestamptz, timestamptz, text
) from public, anon, authenticated, service_role;
grant execute on function quota.with_details(
  quota.limit_state[], text, text, timestamptz, timestamptz, text
) to authenticated, service_role;

create function quota.limits_of(
  p_subject_id text,
  p_feature_id text,
  p_at timestamptz,
  p_plan_id text default null
)
returns quota.allowance
language plpgsql
stable
security invoker
set search_path = pg_catalog, pg_temp
as $$
declare
  v_allowance quota.allowance;
  v_anchor_at timestamptz;
  v_time_zone text;
  v_has_extras boolean;
  v_is_settled boolean;
begin
  -- The subject, then its plan's limits: two statements, since the subject's rows may live on another
  -- node than the catalogue. And no more than two: what a call costs is the number of its statements
  -- and expressions, which Postgres sets up anew in every transaction (9 µs for a look-up, 1 for an
  -- assignment).
  select
    f.kind,
    f.server_only,
    case when s.plan_ends_at > p_at then s.plan_ends_at end,
    coalesce(
      p_plan_id,
      case when s.plan_ends_at <= p_at then null else s.plan_id end,
      (select d.plan_id from quota.plans as d where d.is_default)
    ),
    s.anchor_at,
    s.time_zone,
    s.has_extras,
    (select k.version from quota.catalogue as k)
  into
    v_allowance.kind, v_allowance.server_only, v_allowance.changes_at, v_allowance.plan_id,
    v_anchor_at, v_time_zone, v_has_extras, v_allowance.catalogue_version
  from quota.features as f
  left join quota.subjects as s on s.subject_id = p_subject_id
  where f.feature_id = p_feature_id;

  -- An open counter is the current one: set_plan() closes those that a moved anchor leaves behind. One
  -- that no plan watched may have passed 2^53 - 1; as a full one it refuses, and breaks no view.
  select
    max(p.upgrade_url),
    array_agg(
      row(
        l.period, c.period_start, c.period_end, 'plan', l.amount,
        case when c.used > 9007199254740991 then 9007199254740991 else c.used end, c.reserved,
        case when l.period in ('minute', 'hour') then 0 else c.drawn end,
        0, c.used is not null, c.last_limit
      )::quota.limit_state
    ) filter (where l.period is not null),
    bool_and(coalesce(c.reserved = 0, false))
  into v_allowance.upgrade_url, v_allowance.limits, v_is_settled
  from quota.plans as p
  left join quota.plan_limits as l
    on l.plan_id = v_allowance.plan_id
    and l.feature_id = p_feature_id
  left join quota.counters as c
    on c.subject_id = p_subject_id
    and c.feature_id = p_feature_id
    and c.period_end > p_at
    and c.period_start <= p_at
    and c.period = l.period
  where p.plan_id = v_allowance.plan_id;

  v_allowance.is_plain := v_has_extras is not true;
  if v_is_settled is not true or not v_allowance.is_plain then
    v_allowance.limits := quota.with_details(
      quota.with_exceptions(v_allowance.limits, p_subject_id, p_feature_id, p_at),
      p_subject_id, p_feature_id, p_at, v_anchor_at, coalesce(v_time_zone, 'UTC')
    );
  end if;
  return v_allowance;
end
$$;

comment on function quota.limits_of(text, text, timestamptz, text) is
  'The plan and every limit that applies to a subject and feature at an instant, with what is used, held, drawn and granted; or what they would be on another plan. Limits come in no order.';

revoke all on function quota.limits_of(text, text, timestamptz, text)
  from public, anon, authenticated, service_role;
grant execute on function quota.limits_of(text, text, timestamptz, text) to authenticated, service_role;

-- sql/functions/decide.sql

-- Why this exists: the rule itself, without a table: is there room for an amount under every limit,
-- and how much of it has to come from grants?

create type quota.verdict as (
  is_allowed boolean,
  shown quota.limit_state,
  drawn bigint,
  refusing text[]
);

comment on type quota.verdict is
  'The limit to show is the one with least room, the longest period among equals; refusing lists the periods without room; drawn is what the amount takes from grants.';

create function quota.room(p_limit quota.limit_state)
returns bigint
language plpgsql
immutable
security invoker
set search_path = pg_catalog, pg_temp
as $$
begin
  return p_limit.amount + p_limit.drawn + p_limit.granted - p_limit.used - p_limit.reserved;
end
$$;

comment on function quota.room(quota.limit_state) is
  'What is left under a limit: null when unlimited, negative when it was passed.';

revoke all on function quota.room(quota.limit_state) from public, anon, authenticated, service_role;
grant execute on function quota.room(quota.limit_state) to authenticated, service_role;

create function quota.decide(
  p_limits quota.limit_state[],
  p_amount bigint
)
returns quota.verdict
language plpgsql
immutable
security invoker
set search_path = pg_catalog, pg_temp
as $$
declare
  v_verdict quota.verdict;
  v_limit quota.limit_state;
  v_room bigint;
  v_least bigint;
begin
  v_verdict.is_allowed := p_limits is not null;
  v_verdict.drawn := 0;
  foreach v_limit in array coalesce(p_limits, '{}') loop
    -- Null when unlimited.
    v_room := v_limit.amount + v_limit.drawn + v_limit.granted - v_limit.used - v_limit.reserved;
    if v_room < p_amount then
      v_verdict.is_allowed := false;
      v_verdict.refusing := v_verdict.refusing || v_limit.period;
    elsif v_limit.used + v_limit.reserved + p_amount > 9007199254740991 then
      -- What is unlimited is counted all the same, and grants may lift a limit past it.
      raise exception 'the counter of this % would pass 9007199254740991 (2^53 - 1)', v_limit.period
        using errcode = 'QAMNT', hint = 'count in a larger unit';
    end if;
    if v_room is null then
      if v_least is null
        and quota.period_rank(v_limit.period) >= coalesce(quota.period_rank((v_verdict.shown).period), 0)
      then
        v_verdict.shown := v_limit;
      end if;
    else
      if v_limit.granted > 0 then
        -- Grants come after the plan's allowance: what the amount exceeds it by, at most the amount.
        v_verdict.drawn := least(
          greatest(v_verdict.drawn, p_amount - (v_room - v_limit.granted)), p_amount
        );
      end if;
      if v_least is null
        or v_room < v_least
        or (v_room = v_least and quota.period_rank(v_limit.period) > quota.period_rank((v_verdict.shown).period))
      then
        v_least := v_room;
        v_verdict.shown := v_limit;
      end if;
    end if;
  end loop;
  return v_verdict;
end
$$;

comment on function quota.decide(quota.limit_state[], bigint) is
  'Whether an amount fits under every limit. Null limits (the feature is not in the plan) refuse. Errors: QAMNT, a counter would pass 2^53 - 1.';

revoke all on function quota.decide(quota.limit_state[], bigint)
  from public, anon, authenticated, service_role;

-- sql/functions/errors.sql

-- Why this exists: arguments are judged in one place, before any lock, with a code each.

create function quota.check_feature(p_feature text)
returns void
language plpgsql
stable
security invoker
set search_path = pg_catalog, pg_temp
as $$
begin
  if not exists (select from quota.features as f where f.feature_id = p_feature) then
    raise exception 'unknown feature %', coalesce(quote_literal(left(p_feature, 100)), 'null')
      using errcode = 'QFEAT', hint = 'features come from the plan document; see plan_catalog';
  end if;
end
$$;

comment on function quota.check_feature(text) is 'Errors: QFEAT.';

revoke all on function quota.check_feature(text)
  from public, anon, authenticated, service_role;

create function quota.check_amount(
  p_amount bigint,
  p_least bigint = 1
)
returns void
language plpgsql
immutable
security invoker
set search_path = pg_catalog, pg_temp
as $$
begin
  if p_amount is null or p_amount not between p_least and 9007199254740991 then
    raise exception 'amount % is not a whole number from % to 9007199254740991 (2^53 - 1)',
      coalesce(p_amount::text, 'null'), p_least
      using errcode = 'QAMNT', hint = 'count fractional costs in micro-units';
  end if;
end
$$;

comment on function quota.check_amount(bigint, bigint) is 'Errors: QAMNT.';

revoke all on function quota.check_amount(bigint, bigint)
  from public, anon, authenticated, service_role;

create function quota.check_key(p_idempotency_key text)
returns void
language plpgsql
immutable
security invoker
set search_path = pg_catalog, pg_temp
as $$
begin
  if length(p_idempotency_key) not between 1 and 255 then
    raise exception 'the idempotency key has % characters, 1 to 255 are allowed',
      length(p_idempotency_key)
      using errcode = 'QIDEM', hint = 'use a fresh uuid per logical call, and the same in its retries';
  end if;
end
$$;

comment on function quota.check_key(text) is 'Null is no key. Errors: QIDEM.';

revoke all on function quota.check_key(text) from public, anon, authenticated, service_role;

create function quota.check_metadata(p_metadata jsonb)
returns void
language plpgsql
immutable
security invoker
set search_path = pg_catalog, pg_temp
as $$
begin
  if jsonb_typeof(p_metadata) <> 'object' then
    raise exception 'metadata is a JSON %, an object is expected', jsonb_typeof(p_metadata)
      using errcode = 'QMETA', hint = 'for example {"model": "small"}';
  end if;
  if octet_length(p_metadata::text) > 8192 then
    raise exception 'metadata has % bytes, 8192 are allowed', octet_length(p_metadata::text)
      using errcode = 'QMETA', hint = 'keep large things elsewhere and put their id here';
  end if;
end
$$;

comment on function quota.check_metadata(jsonb) is
  'Null is no metadata. Errors: QMETA, not an object or over 8 kB.';

revoke all on function quota.check_metadata(jsonb)
  from public, anon, authenticated, service_role;

create function quota.check_arguments(
  p_amount bigint,
  p_idempotency_key text,
  p_metadata jsonb
)
returns void
language plpgsql
immutable
security invoker
set search_path = pg_catalog, pg_temp
as $$
begin
  perform quota.check_amount(p_amount);
  perform quota.check_key(p_idempotency_key);
  perform quota.check_metadata(p_metadata);
end
$$;

comment on function quota.check_arguments(bigint, text, jsonb) is
  'The arguments of a call that counts. Errors: QAMNT, QIDEM, QMETA.';

revoke all on function quota.check_arguments(bigint, text, jsonb)
  from public, anon, authenticated, service_role;

create function quota.check_instant(
  p_function text,
  p_argument text,
  p_at timestamptz
)
returns void
language plpgsql
immutable
security invoker
set search_path = pg_catalog, pg_temp
as $$
begin
  -- Not only finite: JSON and JavaScript write neither infinity nor years of five digits nor BC, and
  -- near the ends of Postgres' calendar an instant has no local time in some zones.
  if p_at not between '1000-01-01 00:00+00' and '9999-12-30 00:00+00' then
    raise exception '%: % is %, an instant of the years 1000 to 9999 is expected',
      p_function, p_argument, p_at
      using errcode = '22023', hint = 'for example 2027-01-31T00:00:00Z; null where it may be left out';
  end if;
end
$$;

comment on function quota.check_instant(text, text, timestamptz) is
  'Null is none. Errors: 22023, infinite or absurd.';

revoke all on function quota.check_instant(text, text, timestamptz)
  from public, anon, authenticated, service_role;

create function quota.check_flag(
  p_function text,
  p_argument text,
  p_flag boolean
)
returns void
language plpgsql
immutable
security invoker
set search_path = pg_catalog, pg_temp
as $$
begin
  if p_flag is null then
    raise exception '%: % is null, true or false is expected', p_function, p_argument
      using errcode = '22023', hint = 'leave it out for the default';
  end if;
end
$$;

comment on function quota.check_flag(text, text, boolean) is 'Errors: 22023, null.';

revoke all on function quota.check_flag(text, text, boolean)
  from public, anon, authenticated, service_role;

-- A number of a JSON document: amounts of a batch and of an import, limits of a plan document.
create function quota.is_whole(
  p_value jsonb,
  p_least bigint
)
returns boolean
language plpgsql
immutable
security invoker
set search_path = pg_catalog, pg_temp
as $$
begin
  if jsonb_typeof(p_value) is distinct from 'number' then
    return false;
  end if;
  return (p_value #>> '{}')::numeric between p_least and 9007199254740991
    and (p_value #>> '{}')::numeric % 1 = 0;
end
$$;

comment on function quota.is_whole(jsonb, bigint) is
  'Whether it is a whole number from p_least to 9007199254740991 (2^53 - 1).';

revoke all on function quota.is_whole(jsonb, bigint)
  from public, anon, authenticated, service_role;

-- Before any lock: whom it refuses must not make others wait. take() looks again under the lock.
create function quota.check_server_only(
  p_caller quota.caller,
  p_feature_ids text[]
)
returns void
language plpgsql
stable
security invoker
set search_path = pg_catalog, pg_temp
as $$
begin
  if p_caller.is_trusted is not true and exists (
    select from quota.features as f where f.feature_id = any (p_feature_ids) and f.server_only
  ) then
    perform quota.reject_user();
  end if;
end
$$;

comment on function quota.check_server_only(quota.caller, text[]) is
  'Errors: 42501, a user asks for a server_only feature.';

revoke all on function quota.check_server_only(quota.caller, text[])
  from public, anon, authenticated, service_role;

create function quota.reject_user()
returns void
language plpgsql
volatile
security invoker
set search_path = pg_catalog, pg_temp
as $$
begin
  raise exception 'this feature is used from the server only'
    using errcode = '42501', hint = 'call it from your server as service_role';
end
$$;

comment on function quota.reject_user() is
  'Refuses a user a server_only feature. Errors: 42501.';

revoke all on function quota.reject_user() from public, anon, authenticated, service_role;

-- sql/functions/idempotency.sql

-- Why this exists: a call that is repeated with its key is told its first answer and counts nothing.
-- Asked after the meter is locked (so the first call has committed or has gone), and again when the
-- key turns out to be taken by a call that ran under another feature's meter.
--
-- An answer is told again only while it is true: the key of a hold that was released, has expired
-- uncommitted or was committed with nothing, or of a use that was refunded in full, is free, and the
-- call decides afresh.

-- Does what the answer speaks of still count?
create function quota.still_counts(
  p_subject_id text,
  p_call text,
  p_answer jsonb,
  p_at timestamptz
)
returns boolean
language plpgsql
stable
security invoker
set search_path = pg_catalog, pg_temp
as $$
declare
  v_reservation_id uuid;
  v_state text;
  v_expires_at timestamptz;
  v_uses uuid[];
  v_used bigint;
begin
  if p_call = 'reserve_usage' then
    v_reservation_id := p_answer ->> 'reservation_id';
    select r.state, r.expires_at
      into v_state, v_expires_at
      from quota.reservations as r
      where r.subject_id = p_subject_id
        and r.reservation_id = v_reservation_id;
    if v_state = 'open' then
      return v_expires_at > p_at;
    end if;
    if v_state is distinct from 'committed' then
      return false;
    end if;
    v_uses := array(
      select e.event_id
      from quota.events as e
      where e.subject_id = p_subject_id
        and e.about_id = v_reservation_id
        and e.kind = 'commit'
    );
  elsif p_call = 'consume_usage' then
    v_uses := array[p_answer ->> 'event_id']::uuid[];
  elsif p_call = 'consume_usage_batch' then
    v_uses := array(select i ->> 'event_id' from jsonb_array_elements(p_answer) as i);
  else
    -- A refund, a return or a grant happened, whatever came after: a webhook that comes again gives
    -- nothing twice.
    return true;
  end if;

  select sum(u.used_change)
    into v_used
    from (
      select e.used_change
      from quota.events as e
      where e.subject_id = p_subject_id
        and e.event_id = any (v_uses)
      union all
      select r.used_change
      from quota.events as r
      where r.subject_id = p_subject_id
        and r.about_id = any (v_uses)
        and r.kind = 'refund'
    ) as u;
  return v_used is distinct from 0;
end
$$;

comment on function quota.still_counts(text, text, jsonb, timestamptz) is
  'Whether what a call was told is still true at an instant: its hold is open or was committed, its use was not refunded in full.';

revoke all on function quota.still_counts(text, text, jsonb, timestamptz)
  from public, anon, authenticated, service_role;

create function quota.replay(
  p_caller quota.caller,
  p_idempotency_key text,
  p_arguments jsonb,
  p_at timestamptz
)
returns jsonb
language plpgsql
stable
security invoker
set search_path = pg_catalog, pg_temp
as $$
declare
  v_arguments jsonb;
  v_answer jsonb;
begin
  select k.arguments, k.answer
    into v_arguments, v_answer
    from quota.keys as k
    where k.subject_id = p_caller.subject_id
      and k.is_server = p_caller.is_trusted
      and k.idempotency_key = p_idempotency_key;
  if not found
    or quota.still_counts(p_caller.subject_id, v_arguments ->> 'call', v_answer, p_at) is not true
  then
    return null;
  end if;
  if v_arguments <> p_arguments then
    raise exception 'this idempotency key was used with other arguments: %', v_arguments
      using errcode = 'QIDEM', hint = 'use a fresh key for a new call';
  end if;
  return v_answer;
end
$$;

comment on function quota.replay(quota.caller, text, jsonb, timestamptz) is
  'The first answer of a key, null if the key is free. Errors: QIDEM, other arguments.';

revoke all on function quota.replay(quota.caller, text, jsonb, timestamptz)
  from public, anon, authenticated, service_role;

-- Before the lines of the call are written: when the key turns out to be taken, nothing was counted.
create function quota.bind_key(
  p_caller quota.caller,
  p_idempotency_key text,
  p_arguments jsonb,
  p_answer jsonb,
  p_at timestamptz
)
returns boolean
language plpgsql
volatile
security invoker
set search_path = pg_catalog, pg_temp
as $$
declare
  v_former quota.keys;
begin
  loop
    insert into quota.keys (
      subject_id, is_server, idempotency_key, bound_at, arguments, answer
    )
    values (
      p_caller.subject_id, p_caller.is_trusted, p_idempotency_key, p_at, p_arguments, p_answer
    )
    on conflict do nothing;
    if found then
      return true;
    end if;
    -- A new statement: it sees the call that was waited for.
    select k.subject_id, k.is_server, k.idempotency_key, k.bound_at, k.arguments, k.answer
      into v_former
      from quota.keys as k
      where k.subject_id = p_caller.subject_id
        and k.is_server = p_caller.is_trusted
        and k.idempotency_key = p_idempotency_key;
    if found and quota.still_counts(
      p_caller.subject_id, v_former.arguments ->> 'call', v_former.answer, p_at
    ) then
      return false;
    end if;
    -- Of two that find it free, one takes this row away and binds the key.
    delete from quota.keys as k
      where k.subject_id = p_caller.subject_id
        and k.is_server = p_caller.is_trusted
        and k.idempotency_key = p_idempotency_key
        and k.answer = v_former.answer;
  end loop;
end
$$;

comment on function quota.bind_key(quota.caller, text, jsonb, jsonb, timestamptz) is
  'Binds a key to a call and its answer. False: a call in flight took it.';

revoke all on function quota.bind_key(quota.caller, text, jsonb, jsonb, timestamptz)
  from public, anon, authenticated, service_role;

create function quota.replayed(p_answer jsonb)
returns public.usage_decision
language plpgsql
immutable
security invoker
set search_path = pg_catalog, pg_temp
as $$
declare
  v_decision public.usage_decision := jsonb_populate_record(
    null::public.usage_decision, p_answer
  );
begin
  v_decision.replayed := true;
  return v_decision;
end
$$;

comment on function quota.replayed(jsonb) is 'A stored answer, marked as replayed.';

revoke all on function quota.replayed(jsonb) from public, anon, authenticated, service_role;

-- sql/functions/record.sql

-- Why this exists: the only writers of ledger and counters. Every verb goes through them, so how a
-- counter is stored is decided here. All of them expect the meter to be locked.

create function quota.new_id(p_at timestamptz)
returns uuid
language plpgsql
volatile
strict
security invoker
set search_path = pg_catalog, pg_temp
as $$
begin
  -- A version 7 uuid (RFC 9562): milliseconds, then randomness, so that index inserts stay together.
  return lpad(to_hex((date_part('epoch', p_at) * 1000)::bigint), 12, '0')
    || '7' || right(gen_random_uuid()::text, 21);
end
$$;

comment on function quota.new_id(timestamptz) is 'A fresh uuid that sorts by time (version 7).';

revoke all on function quota.new_id(timestamptz) from public, anon, authenticated, service_role;

-- The counters of the periods that begin now: a row each, with what the ledger already has for it.
-- Those that exist learn the limit that holds now, when it has changed.
create function quota.open_counters(
  p_subject_id text,
  p_feature_id text,
  p_at timestamptz,
  p_limits quota.limit_state[]
)
returns void
language plpgsql
volatile
security invoker
set search_path = pg_catalog, pg_temp
as $$
declare
  v_limit quota.limit_state;
  v_balance quota.balance;
  v_former quota.counters;
  v_moved bigint;
begin
  foreach v_limit in array coalesce(p_limits, '{}') loop
    if v_limit.is_counted then
      if v_limit.last_limit is distinct from v_limit.amount + v_limit.drawn + v_limit.granted then
        update quota.counters as c
          set last_limit = v_limit.amount + v_limit.drawn + v_limit.granted
          where c.subject_id = p_subject_id
            and c.feature_id = p_feature_id
            and c.period = v_limit.period
            and c.period_end = v_limit.resets_at;
      end if;
      continue;
    end if;

    -- A counter is about to be summed up from the ledger, of which the snapshot of a whole transaction
    -- may lack lines. Each of them changed a counter that overlaps the period, or made one and with it
    -- changed the meter (below): so touching those fails with 40001, which Postgres raises, not we.
    if current_setting('transaction_isolation') <> 'read committed' then
      update quota.counters as c
        set used = c.used
        where c.subject_id = p_subject_id
          and c.feature_id = p_feature_id
          and c.period_end > v_limit.period_start
          and c.period_start < v_limit.resets_at;
    end if;
    update quota.meters as m
      set holds_expire_at = m.holds_expire_at
      where m.subject_id = p_subject_id
        and m.feature_id = p_feature_id;

    -- Only a moved anchor or zone leaves a counter that overlaps the new period. It ends where the
    -- new one starts, so that no use shows twice; the lines from there on count in the new one.
    for v_former in
      select c.subject_id, c.feature_id, c.period, c.period_start, c.period_end,
        c.used, c.reserved, c.drawn, c.last_limit
      from quota.counters as c
      where c.subject_id = p_subject_id
        and c.feature_id = p_feature_id
        and c.period = v_limit.period
        and c.period_end > v_limit.period_start
        and c.period_start < v_limit.resets_at
    loop
      delete from quota.counters as c
        where c.subject_id = p_subject_id
          and c.feature_id = p_feature_id
          and c.period = v_limit.period
          and c.period_end = v_former.period_end;
      v_moved := v_former.used;
      if v_former.period_start < v_limit.period_start then
        v_balance := quota.ledger_balance(
          p_subject_id, p_feature_id, v_former.period_start, v_limit.period_start
        );
        v_moved := v_moved - v_balance.used;
        insert into quota.counters (
          subject_id, feature_id, period, period_start, period_end,
          used, reserved, drawn, last_limit
        )
        values (
          p_subject_id, p_feature_id, v_limit.period, v_former.period_start, v_limit.period_start,
          v_balance.used, v_balance.reserved, v_balance.drawn, v_former.last_limit
        );
      end if;
      if v_moved <> 0 then
        perform quota.write_carry(p_subject_id, p_feature_id, p_at, v_former, v_limit, v_moved);
      end if;
    end loop;

    v_balance := quota.ledger_balance(
      p_subject_id, p_feature_id, v_limit.period_start, v_limit.resets_at
    );
    -- on conflict: at repeatable read a counter that this snapshot cannot see raises 40001 here,
    -- where a plain insert would say unique_violation, which no client retries.
    insert into quota.counters (
      subject_id, feature_id, period, period_start, period_end, used, reserved, drawn, last_limit
    )
    values (
      p_subject_id, p_feature_id, v_limit.period, v_limit.period_start, v_limit.resets_at,
      v_balance.used, v_balance.reserved, v_balance.drawn,
      v_limit.amount + v_limit.drawn + v_limit.granted
    )
    on conflict do nothing;
  end loop;
end
$$;

comment on function quota.open_counters(text, text, timestamptz, quota.limit_state[]) is
  'Makes the counters that limits_of() found missing, from the ledger, and notes the limit in the others.';

revoke all on function quota.open_counters(text, text, timestamptz, quota.limit_state[])
  from public, anon, authenticated, service_role;

-- The pair of lines that says use moved from one counter to another. Both count in the same instant,
-- so together they change no sum: the lines of the use itself fall into the new period.
create function quota.write_carry(
  p_subject_id text,
  p_feature_id text,
  p_at timestamptz,
  p_former quota.counters,
  p_limit quota.limit_state,
  p_moved bigint
)
returns void
language plpgsql
volatile
security invoker
set search_path = pg_catalog, pg_temp
as $$
declare
  v_from_id uuid := quota.new_id(p_at);
  v_to_id uuid := quota.new_id(p_at);
begin
  insert into quota.events (
    subject_id, event_id, at, kind, feature_id, counts_at, used_change, about_id, metadata
  )
  values
    (
      p_subject_id, v_from_id, p_at, 'carry', p_feature_id, p_at, -p_moved, v_to_id,
      jsonb_build_object('period', p_former.period, 'period_start', p_former.period_start)
    ),
    (
      p_subject_id, v_to_id, p_at, 'carry', p_feature_id, p_at, p_moved, v_from_id,
      jsonb_build_object('period', p_limit.period, 'period_start', p_limit.period_start)
    );
end
$$;

comment on function quota.write_carry(
  text, text, timestamptz, quota.counters, quota.limit_state, bigint
) is 'Notes in the ledger that use moved from the former counter to the period of the limit.';

revoke all on function quota.write_carry(
  text, text, timestamptz, quota.counters, quota.limit_state, bigint
) from public, anon, authenticated, service_role;

-- The writer of ledger lines and counters. It adds to every counter whose period holds the instant:
-- those of the plan, and those that a former plan left open, so that every counter equals its ledger
-- at any time.
create function quota.record(p_event quota.events)
returns void
language plpgsql
volatile
security invoker
set search_path = pg_catalog, pg_temp
as $$
declare
  v_counters integer;
  v_sum bigint;
begin
  insert into quota.events (
    subject_id, event_id, at, kind, feature_id, counts_at,
    used_change, reserved_change, drawn_change, about_id, grant_id, actor, idempotency_key, metadata
  )
  values (
    p_event.subject_id, p_event.event_id,
    -- No line lies before the instant it counts in, also when the clock was set back since: what sums
    -- up a period begins to read at its start.
    greatest(p_event.at, p_event.counts_at),
    p_event.kind, p_event.feature_id, p_event.counts_at,
    p_event.used_change, p_event.reserved_change, p_event.drawn_change,
    p_event.about_id, p_event.grant_id, p_event.actor, p_event.idempotency_key, p_event.metadata
  );
  if p_event.used_change = 0 and p_event.reserved_change = 0 and p_event.drawn_change = 0 then
    return;
  end if;
  with counted as (
    update quota.counters as c
      set used = c.used + p_event.used_change,
          reserved = c.reserved + p_event.reserved_change,
          drawn = c.drawn + p_event.drawn_change
      where c.subject_id = p_event.subject_id
        and c.feature_id = p_event.feature_id
        and c.period_end > p_event.counts_at
        and c.period_start <= p_event.counts_at
      returning c.used + c.reserved as sum
  )
  select count(*), max(c.sum) into v_counters, v_sum from counted as c;
  -- Also of a counter that is no limit of the present plan: no number that is shown passes it.
  if v_sum > 9007199254740991 and p_event.used_change + p_event.reserved_change > 0 then
    raise exception 'a counter would pass 9007199254740991 (2^53 - 1)'
      using errcode = 'QAMNT', hint = 'count in a larger unit';
  end if;
  -- A line that meets no counter changes the meter: a call whose snapshot lacks the line, and which
  -- would sum up the ledger without it, must fail with 40001. So do rows of a limited table.
  if v_counters = 0 or p_event.kind = 'table' then
    update quota.meters as m
      set rows_used = m.rows_used
            + case when p_event.kind = 'table' then p_event.used_change else 0 end
      where m.subject_id = p_event.subject_id
        and m.feature_id = p_event.feature_id;
  end if;
end
$$;

comment on function quota.record(quota.events) is
  'Writes a line and adds it to the counters it counts in.';

revoke all on function quota.record(quota.events) from public, anon, authenticated, service_role;

-- What a line will do to limits, so that an answer can be written together with its line.
create function quota.after_event(
  p_limits quota.limit_state[],
  p_event quota.events,
  p_drawn bigint default 0
)
returns quota.limit_state[]
language plpgsql
immutable
security invoker
set search_path = pg_catalog, pg_temp
as $$
declare
  v_limits quota.limit_state[] := '{}';
  v_limit quota.limit_state;
begin
  foreach v_limit in array coalesce(p_limits, '{}') loop
    if p_event.counts_at >= v_limit.period_start and p_event.counts_at < v_limit.resets_at then
      v_limit.used := v_limit.used + p_event.used_change;
      v_limit.reserved := v_limit.reserved + p_event.reserved_change;
      if v_limit.period not in ('minute', 'hour') then
        v_limit.drawn := v_limit.drawn + p_drawn;
      end if;
    end if;
    if v_limit.period not in ('minute', 'hour') then
      v_limit.granted := v_limit.granted - p_drawn;
    end if;
    v_limits := v_limits || v_limit;
  end loop;
  return v_limits;
end
$$;

comment on function quota.after_event(quota.limit_state[], quota.events, bigint) is
  'The limits as they stand after the line is recorded and an amount drawn from grants.';

revoke all on function quota.after_event(quota.limit_state[], quota.events, bigint)
  from public, anon, authenticated, service_role;

-- sql/functions/draw.sql

-- Why this exists: what is taken from grants and given back to them, holding the meter. Each step has
-- a ledger line that names the grant and what it was drawn for (the event or the reservation).

create function quota.draw(
  p_subject_id text,
  p_feature_id text,
  p_amount bigint,
  p_at timestamptz,
  p_counts_at timestamptz,
  p_about_id uuid
)
returns void
language plpgsql
volatile
security invoker
set search_path = pg_catalog, pg_temp
as $$
declare
  v_left bigint := p_amount;
  v_grant quota.grants;
  v_part bigint;
begin
  -- Soonest to expire first.
  for v_grant.grant_id, v_part in
    select g.grant_id, g.amount - g.drawn
    from quota.grants as g
    where g.subject_id = p_subject_id
      and g.feature_id = p_feature_id
      and g.granted_at <= p_at
      and g.expires_at > p_at
      and g.voided_at is null
      and g.drawn < g.amount
    order by g.expires_at, g.grant_id
  loop
    exit when v_left = 0;
    v_part := least(v_part, v_left);
    v_left := v_left - v_part;
    perform quota.write_draw(
      p_subject_id, p_feature_id, v_part, p_at, p_counts_at, p_about_id, v_grant.grant_id
    );
  end loop;
end
$$;

comment on function quota.draw(text, text, bigint, timestamptz, timestamptz, uuid) is
  'Takes an amount from the open grants of a subject and feature, soonest to expire first.';

revoke all on function quota.draw(text, text, bigint, timestamptz, timestamptz, uuid)
  from public, anon, authenticated, service_role;

create function quota.give_back(
  p_subject_id text,
  p_feature_id text,
  p_amount bigint,
  p_at timestamptz,
  p_counts_at timestamptz,
  p_about_id uuid
)
returns bigint
language plpgsql
volatile
security invoker
set search_path = pg_catalog, pg_temp
as $$
declare
  v_left bigint := p_amount;
  v_grant_id uuid;
  v_part bigint;
begin
  -- In the opposite order: the last unit drawn is the first to come back. To a grant that has expired
  -- meanwhile too, where it stays expired.
  for v_grant_id, v_part in
    select g.grant_id, sum(e.drawn_change)
    from quota.events as e
    join quota.grants as g on g.subject_id = e.subject_id and g.grant_id = e.grant_id
    where e.subject_id = p_subject_id
      and e.about_id = p_about_id
      and e.kind = 'draw'
    group by g.grant_id, g.expires_at
    having sum(e.drawn_change) > 0
    order by g.expires_at desc, g.grant_id desc
  loop
    exit when v_left = 0;
    v_part := least(v_part, v_left);
    v_left := v_left - v_part;
    perform quota.write_draw(
      p_subject_id, p_feature_id, -v_part, p_at, p_counts_at, p_about_id, v_grant_id
    );
  end loop;
  return p_amount - v_left;
end
$$;

comment on function quota.give_back(text, text, bigint, timestamptz, timestamptz, uuid) is
  'Gives at most this amount back to the grants it was drawn from, and returns how much that was.';

revoke all on function quota.give_back(text, text, bigint, timestamptz, timestamptz, uuid)
  from public, anon, authenticated, service_role;

create function quota.write_draw(
  p_subject_id text,
  p_feature_id text,
  p_amount bigint,
  p_at timestamptz,
  p_counts_at timestamptz,
  p_about_id uuid,
  p_grant_id uuid
)
returns void
language plpgsql
volatile
security invoker
set search_path = pg_catalog, pg_temp
as $$
begin
  update quota.grants as g
    set drawn = g.drawn + p_amount
    where g.subject_id = p_subject_id
      and g.grant_id = p_grant_id;
  perform quota.record(
    row(
      p_subject_id, quota.new_id(p_at), p_at, 'draw', p_feature_id, p_counts_at,
      0, 0, p_amount, p_about_id, p_grant_id, null, null, '{}'
    )::quota.events
  );
end
$$;

comment on function quota.write_draw(
  text, text, bigint, timestamptz, timestamptz, uuid, uuid
) is 'Draws an amount from one grant, or gives it back (negative).';

revoke all on function quota.write_draw(
  text, text, bigint, timestamptz, timestamptz, uuid, uuid
) from public, anon, authenticated, service_role;

-- sql/functions/settle_expired.sql

-- Why this exists: a hold ends once: committed, released or expired. All three come here, holding the
-- meter.

create function quota.end_hold(
  p_hold quota.reservations,
  p_event quota.events,
  p_drawn_back bigint,
  p_state text
)
returns void
language plpgsql
volatile
security invoker
set search_path = pg_catalog, pg_temp
as $$
begin
  update quota.reservations as r
    set state = p_state
    where r.subject_id = p_hold.subject_id
      and r.reservation_id = p_hold.reservation_id;
  if p_drawn_back > 0 then
    perform quota.give_back(
      p_hold.subject_id, p_hold.feature_id, p_drawn_back, p_event.at, p_hold.reserved_at,
      p_hold.reservation_id
    );
  end if;
  perform quota.record(p_event);
end
$$;

comment on function quota.end_hold(quota.reservations, quota.events, bigint, text) is
  'Ends a hold with this line, and gives back to grants what of its draws was not used.';

revoke all on function quota.end_hold(quota.reservations, quota.events, bigint, text)
  from public, anon, authenticated, service_role;

create function quota.remember_answer(
  p_hold quota.reservations,
  p_decision public.usage_decision
)
returns void
language plpgsql
volatile
security invoker
set search_path = pg_catalog, pg_temp
as $$
begin
  update quota.reservations as r
    set answer = to_jsonb(p_decision)
    where r.subject_id = p_hold.subject_id
      and r.reservation_id = p_hold.reservation_id;
end
$$;

comment on function quota.remember_answer(quota.reservations, public.usage_decision) is
  'What the same ending, repeated, is told again.';

revoke all on function quota.remember_answer(quota.reservations, public.usage_decision)
  from public, anon, authenticated, service_role;

-- The line that gives a hold back in the periods in which it was made.
create function quota.hold_line(
  p_hold quota.reservations,
  p_kind text,
  p_at timestamptz
)
returns quota.events
language plpgsql
volatile
security invoker
set search_path = pg_catalog, pg_temp
as $$
begin
  return row(
    p_hold.subject_id, quota.new_id(p_at), p_at, p_kind, p_hold.feature_id, p_hold.reserved_at,
    0, case when p_hold.state = 'open' then -p_hold.amount else 0 end, 0,
    p_hold.reservation_id, null, null, null, '{}'
  )::quota.events;
end
$$;

comment on function quota.hold_line(quota.reservations, text, timestamptz) is
  'The ledger line of an ending; one that has expired is given back already.';

revoke all on function quota.hold_line(quota.reservations, text, timestamptz)
  from public, anon, authenticated, service_role;

create function quota.settle_expired(
  p_subject_id text,
  p_feature_id text,
  p_at timestamptz
)
returns void
language plpgsql
volatile
security invoker
set search_path = pg_catalog, pg_temp
as $$
declare
  v_hold quota.reservations;
begin
  for v_hold in
    select r.subject_id, r.reservation_id, r.feature_id, r.amount, r.reserved_at, r.expires_at,
      r.state, r.answer
    from quota.reservations as r
    where r.subject_id = p_subject_id
      and r.feature_id = p_feature_id
      and r.state = 'open'
      and r.expires_at <= p_at
    order by r.expires_at
  loop
    perform quota.end_hold(
      v_hold, quota.hold_line(v_hold, 'expire', p_at), v_hold.amount, 'expired'
    );
  end loop;
  update quota.meters as m
    set holds_expire_at = coalesce(
      (
        select min(r.expires_at)
        from quota.reservations as r
        where r.subject_id = p_subject_id
          and r.feature_id = p_feature_id
          and r.state = 'open'
      ),
      'infinity'
    )
    where m.subject_id = p_subject_id
      and m.feature_id = p_feature_id;
end
$$;

comment on function quota.settle_expired(text, text, timestamptz) is
  'Writes the expire lines of holds that are over. They stopped counting the moment they expired; this only keeps the books.';

revoke all on function quota.settle_expired(text, text, timestamptz)
  from public, anon, authenticated, service_role;

-- sql/functions/lock_meters.sql

-- Why this exists: every call that writes begins here. Holding the meters, it is alone with the
-- counters, holds and grants of these features of this subject until its transaction ends.
--
-- Lock order: rows of plans and features (shared), subject, its meters by feature id, then nothing
-- that another call waits for while it holds a meter. A meter that does not exist is made under the
-- subject's row, which set_plan() and forget_subject() lock too; so the existence of all meters is
-- looked at before the first of them is locked.

create function quota.create_meters(
  p_subject_id text,
  p_feature_ids text[]
)
returns void
language plpgsql
volatile
security invoker
set search_path = pg_catalog, pg_temp
as $$
begin
  -- for key share: apply_plans() does not remove a feature before its first uses have ended.
  perform from quota.features as f
    where f.feature_id = any (p_feature_ids)
    order by f.feature_id
    for key share;
  perform quota.check_feature(f.feature_id) from unnest(p_feature_ids) as f (feature_id);
  loop
    insert into quota.subjects (subject_id)
      values (p_subject_id)
      on conflict do nothing;
    -- for share: set_plan() waits until this transaction has ended, and then sees the meter; many
    -- first uses of one subject do not wait for each other.
    perform from quota.subjects as s where s.subject_id = p_subject_id for share;
    -- Not found: forget_subject() was faster. A meter must not be made without the lock.
    exit when found;
  end loop;
  insert into quota.meters (subject_id, feature_id)
    select p_subject_id, f.feature_id
    from unnest(p_feature_ids) as f (feature_id)
    order by f.feature_id collate "C"
    on conflict do nothing;
end
$$;

comment on function quota.create_meters(text, text[]) is
  'First use: makes the subject and its meters, if they do not exist. Errors: QFEAT.';

revoke all on function quota.create_meters(text, text[])
  from public, anon, authenticated, service_role;

-- The books under the meters just locked, brought up to the time of the decision.
create function quota.settle(
  p_subject_id text,
  p_feature_ids text[],
  p_at timestamptz
)
returns void
language plpgsql
volatile
security invoker
set search_path = pg_catalog, pg_temp
as $$
begin
  -- At read committed the statements to come see what the last holder committed. A snapshot of a
  -- whole transaction would not: there the lock is an update, so that it fails with 40001 (could not
  -- serialize), which Postgres raises, not we, when a holder since has changed the meter: with a hold,
  -- a new counter or new terms. A plain use changes only counters, and meets us at those.
  if current_setting('transaction_isolation') <> 'read committed' then
    update quota.meters as m
      set holds_expire_at = m.holds_expire_at
      where m.subject_id = p_subject_id
        and m.feature_id = any (p_feature_ids);
  end if;
  perform quota.settle_expired(m.subject_id, m.feature_id, p_at)
    from quota.meters as m
    where m.subject_id = p_subject_id
      and m.feature_id = any (p_feature_ids)
      and m.holds_expire_at <= p_at
    order by m.feature_id;
end
$$;

comment on function quota.settle(text, text[], timestamptz) is
  'Makes the lock hold at every isolation level, and settles what has expired.';

revoke all on function quota.settle(text, text[], timestamptz)
  from public, anon, authenticated, service_role;

create function quota.lock_meter(
  p_subject_id text,
  p_feature_id text
)
returns timestamptz
language plpgsql
volatile
security invoker
set search_path = pg_catalog, pg_temp
as $$
declare
  v_holds_expire_at timestamptz;
  v_now timestamptz;
begin
  loop
    select m.holds_expire_at
      into v_holds_expire_at
      from quota.meters as m
      where m.subject_id = p_subject_id
        and m.feature_id = p_feature_id
      for no key update;
    exit when found;
    perform quota.create_meters(p_subject_id, array[p_feature_id]);
  end loop;
  -- The time is read under the lock: a call that waited over midnight counts into the new day, and a
  -- hold or grant that expired during the wait is over.
  v_now := quota.clock();
  if v_holds_expire_at <= v_now or current_setting('transaction_isolation') <> 'read committed' then
    perform quota.settle(p_subject_id, array[p_feature_id], v_now);
  end if;
  return v_now;
end
$$;

comment on function quota.lock_meter(text, text) is
  'Locks the meter of a subject and feature, settles what has expired, and returns the time of the decision. Errors: QFEAT unknown feature, before any lock.';

revoke all on function quota.lock_meter(text, text) from public, anon, authenticated, service_role;

create function quota.lock_meters(
  p_subject_id text,
  p_feature_ids text[]
)
returns timestamptz
language plpgsql
volatile
security invoker
set search_path = pg_catalog, pg_temp
as $$
declare
  v_locked integer;
  v_now timestamptz;
begin
  loop
    -- All of one snapshot or none: holding some of them while making the others would wait for the
    -- subject's row in the wrong order. (Of those it finds, forget_subject() takes all or none.)
    perform from quota.meters as m
      where m.subject_id = p_subject_id
        and m.feature_id = any (p_feature_ids)
        and cardinality(p_feature_ids) = (
          select count(*)
          from quota.meters as n
          where n.subject_id = p_subject_id
            and n.feature_id = any (p_feature_ids)
        )
      order by m.feature_id
      for no key update;
    get diagnostics v_locked = row_count;
    exit when v_locked = cardinality(p_feature_ids);
    perform quota.create_meters(p_subject_id, p_feature_ids);
  end loop;
  v_now := quota.clock();
  perform quota.settle(p_subject_id, p_feature_ids, v_now);
  return v_now;
end
$$;

comment on function quota.lock_meters(text, text[]) is
  'As lock_meter, for distinct features of a subject (also none), in lock order.';

revoke all on function quota.lock_meters(text, text[])
  from public, anon, authenticated, service_role;

-- sql/functions/lock_subject.sql

-- Why this exists: what concerns a whole subject (its plan, its exceptions, being forgotten) locks the
-- subject's row before any of its meters.
create function quota.lock_subject(p_subject_id text)
returns quota.subjects
language plpgsql
volatile
strict
security invoker
set search_path = pg_catalog, pg_temp
as $$
declare
  v_subject quota.subjects;
begin
  loop
    insert into quota.subjects (subject_id)
      values (p_subject_id)
      on conflict do nothing;
    select s.subject_id, s.plan_id, s.plan_ends_at, s.anchor_at, s.time_zone, s.has_extras
      into v_subject
      from quota.subjects as s
      where s.subject_id = p_subject_id
      for no key update;
    -- Not found: forget_subject() was faster.
    exit when found;
  end loop;
  return v_subject;
end
$$;

comment on function quota.lock_subject(text) is
  'Makes the subject if it was never seen, and locks its row.';

revoke all on function quota.lock_subject(text) from public, anon, authenticated, service_role;

-- For those who change or forget all meters of a subject whose row they hold: at read committed nobody
-- can have made one meanwhile that a new statement does not see. The snapshot of a whole transaction
-- may be older than a meter; asking for all features meets it, and Postgres raises 40001.
create function quota.meters_of(p_subject_id text)
returns text[]
language plpgsql
volatile
strict
security invoker
set search_path = pg_catalog, pg_temp
as $$
begin
  if current_setting('transaction_isolation') <> 'read committed' then
    perform quota.create_meters(
      p_subject_id, array(select f.feature_id from quota.features as f)
    );
  end if;
  return array(
    select m.feature_id
    from quota.meters as m
    where m.subject_id = p_subject_id
    order by m.feature_id
  );
end
$$;

comment on function quota.meters_of(text) is
  'The features of which a locked subject has meters, in lock order.';

revoke all on function quota.meters_of(text) from public, anon, authenticated, service_role;

-- What all changes of a subject's own terms begin with: exceptions and grants.
create function quota.lock_terms(
  p_subject_id text,
  p_feature_id text
)
returns timestamptz
language plpgsql
volatile
security invoker
set search_path = pg_catalog, pg_temp
as $$
declare
  v_now timestamptz;
begin
  perform quota.check_feature(p_feature_id);
  perform quota.lock_subject(p_subject_id);
  v_now := quota.lock_meter(p_subject_id, p_feature_id);
  update quota.subjects as s
    set has_extras = true
    where s.subject_id = p_subject_id
      and not s.has_extras;
  update quota.meters as m
    set fresh_until = '-infinity'
    where m.subject_id = p_subject_id
      and m.feature_id = p_feature_id;
  return v_now;
end
$$;

comment on function quota.lock_terms(text, text) is
  'Locks subject and meter, makes the meter forget what it remembers of the limits, and returns the time. Errors: QFEAT.';

revoke all on function quota.lock_terms(text, text)
  from public, anon, authenticated, service_role;

-- sql/functions/write_alerts.sql

-- Why this exists: notices that use crosses 80 % or 100 % of a limit: once per crossing. A counter keeps
-- which thresholds it was told of; those that use has fallen below since (by a refund, a grant, a larger
-- plan, a gauge that went down) can be crossed again, and what a smaller limit crosses is told by the
-- next call. Sends nothing: NOTIFY takes one lock of the whole server at commit (560 calls/s became 117),
-- so deliver_alerts() hands the rows out afterwards.

create function quota.passed_mark(p_limit quota.limit_state)
returns bigint
language plpgsql
immutable
security invoker
set search_path = pg_catalog, pg_temp
as $$
declare
  v_percents numeric := (p_limit.used + p_limit.reserved)::numeric * 100;
  v_limit bigint := p_limit.amount + p_limit.drawn + p_limit.granted;
begin
  return case
    when v_percents >= v_limit::numeric * 100 then 100
    when v_percents >= v_limit::numeric * 80 then 80
    else 0
  end;
end
$$;

comment on function quota.passed_mark(quota.limit_state) is
  'The highest threshold that used and reserved together have reached: 0, 80 or 100 percent; unlimited has none.';

revoke all on function quota.passed_mark(quota.limit_state)
  from public, anon, authenticated, service_role;

create function quota.write_alerts(
  p_subject_id text,
  p_feature_id text,
  p_at timestamptz,
  p_before quota.limit_state[],
  p_after quota.limit_state[]
)
returns void
language plpgsql
volatile
security invoker
set search_path = pg_catalog, pg_temp
as $$
declare
  v_limit record;
  v_threshold bigint;
  v_alert_id uuid;
begin
  for v_limit in
    select
      a.period, a.period_start, a.resets_at, a.used + a.reserved as used,
      least(a.amount + a.drawn + a.granted, 9007199254740991) as allowed,
      least(c.alerted, quota.passed_mark(b)) as told, quota.passed_mark(a) as passed, c.alerted
    from unnest(p_after) as a
    join unnest(p_before) as b on b.period = a.period
    join quota.counters as c
      on c.subject_id = p_subject_id
      and c.feature_id = p_feature_id
      and c.period_end = a.resets_at
      and c.period = a.period
  loop
    foreach v_threshold in array array[80, 100] loop
      if v_threshold > v_limit.told and v_threshold <= v_limit.passed then
        v_alert_id := quota.new_id(p_at);
        insert into quota.alerts (
          subject_id, feature_id, period, period_start, threshold, at, used, amount, alert_id
        )
        values (
          p_subject_id, p_feature_id, v_limit.period, v_limit.period_start,
          v_threshold, p_at, v_limit.used, v_limit.allowed, v_alert_id
        );
      end if;
    end loop;
    if v_limit.passed <> v_limit.alerted then
      update quota.counters as c
        set alerted = v_limit.passed
        where c.subject_id = p_subject_id
          and c.feature_id = p_feature_id
          and c.period_end = v_limit.resets_at
          and c.period = v_limit.period;
    end if;
  end loop;
end
$$;

comment on function quota.write_alerts(
  text, text, timestamptz, quota.limit_state[], quota.limit_state[]
) is 'Writes an alert for each threshold that use has come to since it was last told, and notes it in the counter.';

revoke all on function quota.write_alerts(
  text, text, timestamptz, quota.limit_state[], quota.limit_state[]
) from public, anon, authenticated, service_role;

-- sql/functions/take_fresh.sql

-- Why this exists: speed. What a call costs is the number of functions, statements and expressions it
-- goes through, since Postgres sets each up anew in every transaction (9 µs for a look-up, 3 for a
-- function, 1 for an assignment). The long way through limits_of(), decide() and record() reached 0.3
-- of a bare update's speed; this one, for the most common call, 0.5.
--
-- It knows nothing of plans: it trusts what the long way found last and left with the meter (see
-- sql/tables/meters.sql for why that is exact), and leaves everything that is not plain to it.

create function quota.remember(
  p_subject_id text,
  p_feature_id text,
  p_at timestamptz,
  p_allowance quota.allowance
)
returns void
language plpgsql
volatile
security invoker
set search_path = pg_catalog, pg_temp
as $$
begin
  update quota.meters as m
    set fresh_from = p_at,
        fresh_until = least(
          p_allowance.changes_at,
          (select min(l.resets_at) from unnest(p_allowance.limits) as l)
        ),
        catalogue_version = p_allowance.catalogue_version,
        plan_id = p_allowance.plan_id,
        upgrade_url = p_allowance.upgrade_url,
        server_only = p_allowance.server_only
    where m.subject_id = p_subject_id
      and m.feature_id = p_feature_id
      and (m.fresh_until <= p_at or m.catalogue_version <> p_allowance.catalogue_version)
      -- An open counter that a former plan left behind would be taken for a limit.
      and cardinality(p_allowance.limits) = (
        select count(*)
        from quota.counters as c
        where c.subject_id = p_subject_id
          and c.feature_id = p_feature_id
          and c.period_end > p_at
          and c.period_start <= p_at
      );
end
$$;

comment on function quota.remember(text, text, timestamptz, quota.allowance) is
  'Leaves a plain allowance, whose counters are open, with its meter.';

revoke all on function quota.remember(text, text, timestamptz, quota.allowance)
  from public, anon, authenticated, service_role;

create function quota.take_fresh(
  p_caller quota.caller,
  p_feature_id text,
  p_amount bigint,
  p_kind text,
  p_metadata jsonb
)
returns public.usage_decision
language plpgsql
volatile
security invoker
set search_path = pg_catalog, pg_temp
as $$
declare
  v_fresh_from timestamptz;
  v_fresh_until timestamptz;
  v_catalogue_version bigint;
  v_plan_id text;
  v_upgrade_url text;
  v_now timestamptz;
  v_period text;
  v_period_start timestamptz;
  v_period_end timestamptz;
  v_limit bigint;
  v_used bigint;
  v_reserved bigint;
  v_is_plain boolean;
  v_event_id uuid;
begin
  select
      m.fresh_from, least(m.fresh_until, m.holds_expire_at), m.catalogue_version, m.plan_id,
      m.upgrade_url
    into v_fresh_from, v_fresh_until, v_catalogue_version, v_plan_id, v_upgrade_url
    from quota.meters as m
    where m.subject_id = p_caller.subject_id
      and m.feature_id = p_feature_id
      and (p_caller.is_trusted or not m.server_only)
    for no key update;
  v_now := quota.clock();
  if (v_now >= v_fresh_from and v_now < v_fresh_until) is not true
    or current_setting('transaction_isolation') <> 'read committed'
  then
    return null;
  end if;

  -- The one with least room, the longest period among equals; but first one that is not plain: full
  -- with this call or before it, or crossing 80 %, since alerts are for the long way. No row: the
  -- catalogue has changed.
  select
      c.period, c.period_start, c.period_end, c.last_limit, c.used + p_amount, c.reserved,
      c.used + c.reserved + p_amount < coalesce(c.last_limit, 9007199254740992)
        and (
          (c.used + c.reserved + p_amount) * 100 < c.last_limit * 80
          or (c.used + c.reserved) * 100 >= c.last_limit * 80
        ) is not false
    into v_period, v_period_start, v_period_end, v_limit, v_used, v_reserved, v_is_plain
    from quota.catalogue as k
    join quota.counters as c
      on c.subject_id = p_caller.subject_id
      and c.feature_id = p_feature_id
      and c.period_end > v_now
      and c.period_start <= v_now
    where k.version = v_catalogue_version
    order by 7, c.last_limit - c.used - c.reserved, c.period_end desc
    limit 1;
  if v_is_plain is not true then
    return null;
  end if;

  v_event_id := quota.new_id(v_now);
  insert into quota.events (
    subject_id, event_id, at, kind, feature_id, counts_at, used_change, actor, metadata
  )
  values (
    p_caller.subject_id, v_event_id, v_now, p_kind, p_feature_id, v_now, p_amount,
    p_caller.actor, p_metadata
  );
  update quota.counters as c
    set used = c.used + p_amount
    where c.subject_id = p_caller.subject_id
      and c.feature_id = p_feature_id
      and c.period_end > v_now
      and c.period_start <= v_now;
  if p_kind = 'table' then
    update quota.meters as m
      set rows_used = m.rows_used + p_amount
      where m.subject_id = p_caller.subject_id
        and m.feature_id = p_feature_id;
  end if;

  return row(
    true, 'ok', p_feature_id, p_caller.subject_id, v_plan_id, p_amount, v_used, v_reserved,
    v_limit, v_limit - v_used - v_reserved, v_limit is null, v_period,
    nullif(v_period_start, '-infinity'), nullif(v_period_end, 'infinity'), null, v_event_id, null,
    false, v_upgrade_url, 0
  )::public.usage_decision;
end
$$;

comment on function quota.take_fresh(quota.caller, text, bigint, text, jsonb) is
  'Locks the meter, and counts if what it remembers holds and there is room. Null: nothing was counted, ask the long way.';

revoke all on function quota.take_fresh(quota.caller, text, bigint, text, jsonb)
  from public, anon, authenticated, service_role;

-- sql/functions/take.sql

-- Why this exists: the one way in which an amount is taken. consume, reserve, batch and limited tables
-- all come here, holding the meter.

create function quota.decision(
  p_subject_id text,
  p_feature_id text,
  p_amount bigint,
  p_allowance quota.allowance,
  p_limit quota.limit_state,
  p_reason text,
  p_event_id uuid default null,
  p_reservation_id uuid default null
)
returns public.usage_decision
language plpgsql
immutable
security invoker
set search_path = pg_catalog, pg_temp
as $$
declare
  v_limit bigint := p_limit.amount + coalesce(p_limit.drawn, 0) + coalesce(p_limit.granted, 0);
begin
  if p_limit.period is null then
    v_limit := 0;
  end if;
  return row(
    p_reason in ('ok', 'over_limit'),
    p_reason,
    p_feature_id,
    p_subject_id,
    p_allowance.plan_id,
    p_amount,
    coalesce(p_limit.used, 0),
    coalesce(p_limit.reserved, 0),
    v_limit,
    case when v_limit is not null then greatest(v_limit - p_limit.used - p_limit.reserved, 0) end,
    v_limit is null,
    p_limit.period,
    nullif(p_limit.period_start, '-infinity'),
    nullif(p_limit.resets_at, 'infinity'),
    null,
    p_event_id,
    p_reservation_id,
    false,
    p_allowance.upgrade_url,
    coalesce(p_limit.granted, 0)
  )::public.usage_decision;
end
$$;

comment on function quota.decision(
  text, text, bigint, quota.allowance, quota.limit_state, text, uuid, uuid
) is 'The answer that shows this limit (null: the feature is not in the plan).';

revoke all on function quota.decision(
  text, text, bigint, quota.allowance, quota.limit_state, text, uuid, uuid
) from public, anon, authenticated, service_role;

create function quota.still_refusing(
  p_refusing text[],
  p_later text[]
)
returns text[]
language plpgsql
immutable
security invoker
set search_path = pg_catalog, pg_temp
as $$
begin
  if p_refusing && p_later then
    return array(select period from unnest(p_refusing) as period where period = any (p_later));
  end if;
  return p_refusing;
end
$$;

comment on function quota.still_refusing(text[], text[]) is
  'The periods that refuse longest: of those that refused until now the ones that still do, if any.';

revoke all on function quota.still_refusing(text[], text[])
  from public, anon, authenticated, service_role;

-- The answer to an amount that does not fit: which limit to show, and how long to wait. Walks through
-- the instants at which time changes something (a reset, the end of the plan or of a grant) and asks
-- limits_of() and decide() again as of then. Between two of them only holds expire, and each makes room:
-- so the last is looked at first, and the first that suffices is found by halving. (Walking through
-- 1,000 open holds took 30 s, under the lock.)
create function quota.refusal(
  p_subject_id text,
  p_feature_id text,
  p_amount bigint,
  p_at timestamptz,
  p_allowance quota.allowance,
  p_verdict quota.verdict
)
returns public.usage_decision
language plpgsql
stable
security invoker
set search_path = pg_catalog, pg_temp
as $$
declare
  v_decision public.usage_decision;
  v_allowance quota.allowance := p_allowance;
  v_verdict quota.verdict;
  v_refusing text[] := p_verdict.refusing;
  v_limit quota.limit_state;
  v_from timestamptz := p_at;
  v_until timestamptz;
  v_ends timestamptz[];
  v_refused integer;
  v_allowed integer;
  v_probe integer;
  v_next timestamptz;
begin
  loop
    -- A limit without use has nothing to gain from a reset; so this ends.
    select coalesce(min(candidate), 'infinity')
      into v_until
      from (
        select l.resets_at as candidate
        from unnest(v_allowance.limits) as l
        where l.used + l.reserved > 0
        union all
        select v_allowance.changes_at
        union all
        select g.expires_at
        from quota.grants as g
        where g.subject_id = p_subject_id
          and g.feature_id = p_feature_id
          and g.expires_at > v_from
          and g.voided_at is null
      ) as candidates;
    v_ends := array(
      select r.expires_at
      from quota.reservations as r
      where r.subject_id = p_subject_id
        and r.feature_id = p_feature_id
        and r.state = 'open'
        and r.expires_at > v_from
        and r.expires_at < v_until
      order by r.expires_at
    );
    v_refused := 0;
    v_allowed := cardinality(v_ends) + 1;
    v_probe := cardinality(v_ends);
    while v_probe > v_refused loop
      v_verdict := quota.decide(
        (quota.limits_of(p_subject_id, p_feature_id, v_ends[v_probe])).limits, p_amount
      );
      if v_verdict.is_allowed then
        v_allowed := v_probe;
        v_next := v_ends[v_probe];
      else
        v_refused := v_probe;
        v_refusing := quota.still_refusing(v_refusing, v_verdict.refusing);
      end if;
      v_probe := (v_refused + v_allowed) / 2;
    end loop;
    exit when v_next is not null or v_until = 'infinity';

    v_allowance := quota.limits_of(p_subject_id, p_feature_id, v_until);
    v_verdict := quota.decide(v_allowance.limits, p_amount);
    if v_verdict.is_allowed then
      v_next := v_until;
      exit;
    end if;
    v_refusing := quota.still_refusing(v_refusing, v_verdict.refusing);
    v_from := v_until;
  end loop;

  if p_allowance.limits is null then
    v_decision := quota.decision(
      p_subject_id, p_feature_id, p_amount, p_allowance, null, 'feature_not_in_plan'
    );
  else
    select l.period, l.period_start, l.resets_at, l.source, l.amount,
        l.used, l.reserved, l.drawn, l.granted, l.is_counted, l.last_limit
      into v_limit
      from unnest(p_allowance.limits) as l
      where l.period = any (v_refusing)
      order by quota.period_rank(l.period) desc
      limit 1;
    v_decision := quota.decision(
      p_subject_id, p_feature_id, p_amount, p_allowance, v_limit, 'limit_reached'
    );
  end if;
  if v_next is not null then
    v_decision.retry_after := least(
      greatest(ceil(extract(epoch from v_next - p_at)), 1),
      2147483647
    );
  end if;
  return v_decision;
end
$$;

comment on function quota.refusal(
  text, text, bigint, timestamptz, quota.allowance, quota.verdict
) is 'The refusing answer, with the limit that refuses longest and the wait until time alone allows it.';

revoke all on function quota.refusal(
  text, text, bigint, timestamptz, quota.allowance, quota.verdict
) from public, anon, authenticated, service_role;

create function quota.take(
  p_caller quota.caller,
  p_feature_id text,
  p_amount bigint,
  p_at timestamptz,
  p_kind text,
  p_reservation_id uuid,
  p_idempotency_key text,
  p_arguments jsonb,
  p_metadata jsonb,
  p_about_id uuid default null
)
returns public.usage_decision
language plpgsql
volatile
security invoker
set search_path = pg_catalog, pg_temp
as $$
declare
  v_allowance quota.allowance := quota.limits_of(p_caller.subject_id, p_feature_id, p_at);
  v_verdict quota.verdict;
  v_event quota.events;
  v_after quota.limit_state[];
  v_decision public.usage_decision;
begin
  if v_allowance.server_only and p_caller.is_trusted is not true then
    perform quota.reject_user();
  end if;
  v_verdict := quota.decide(v_allowance.limits, p_amount);
  if not v_verdict.is_allowed then
    return quota.refusal(
      p_caller.subject_id, p_feature_id, p_amount, p_at, v_allowance, v_verdict
    );
  end if;
  if v_allowance.kind = 'gauge' then
    -- What goes up and down draws nothing: an open grant raises its limit.
    v_verdict.drawn := 0;
  end if;
  perform quota.open_counters(p_caller.subject_id, p_feature_id, p_at, v_allowance.limits);
  if v_allowance.is_plain then
    perform quota.remember(p_caller.subject_id, p_feature_id, p_at, v_allowance);
  end if;

  v_event := row(
    p_caller.subject_id, quota.new_id(p_at), p_at, p_kind, p_feature_id, p_at,
    case when p_reservation_id is null then p_amount else 0 end,
    case when p_reservation_id is null then 0 else p_amount end,
    0, coalesce(p_reservation_id, p_about_id), null, p_caller.actor, p_idempotency_key, p_metadata
  )::quota.events;
  v_after := quota.after_event(v_allowance.limits, v_event, v_verdict.drawn);
  v_decision := quota.decision(
    p_caller.subject_id, p_feature_id, p_amount, v_allowance,
    (quota.decide(v_after, 0)).shown, 'ok',
    case when p_reservation_id is null then v_event.event_id end, p_reservation_id
  );
  if p_idempotency_key is not null and not quota.bind_key(
    p_caller, p_idempotency_key, p_arguments, to_jsonb(v_decision), p_at
  ) then
    return null;
  end if;
  perform quota.record(v_event);
  if v_verdict.drawn > 0 then
    perform quota.draw(
      p_caller.subject_id, p_feature_id, v_verdict.drawn, p_at, p_at,
      coalesce(p_reservation_id, v_event.event_id)
    );
  end if;
  perform quota.write_alerts(
    p_caller.subject_id, p_feature_id, p_at, v_allowance.limits, v_after
  );
  return v_decision;
end
$$;

comment on function quota.take(
  quota.caller, text, bigint, timestamptz, text, uuid, text, jsonb, jsonb, uuid
) is 'Decides and, if there is room, counts, or holds when it is given a reservation id. Null: the idempotency key was taken meanwhile. Errors: QAMNT, 42501 server_only.';

revoke all on function quota.take(
  quota.caller, text, bigint, timestamptz, text, uuid, text, jsonb, jsonb, uuid
) from public, anon, authenticated, service_role;


-- The verbs.
-- sql/functions/check_usage.sql

-- Why this exists: the same answer without taking anything. Never build a limit on it: between the
-- answer and the use others come.
create function quota.check_usage(
  p_feature text,
  p_amount bigint,
  p_subject text
)
returns public.usage_decision
language plpgsql
stable
security definer
set search_path = pg_catalog, pg_temp
set plan_cache_mode = force_generic_plan
as $$
declare
  v_caller quota.caller := quota.caller_for(p_subject);
  v_now timestamptz := quota.clock();
  v_allowance quota.allowance;
  v_verdict quota.verdict;
begin
  perform quota.check_feature(p_feature);
  perform quota.check_amount(p_amount);
  v_allowance := quota.limits_of(v_caller.subject_id, p_feature, v_now);
  v_verdict := quota.decide(v_allowance.limits, p_amount);
  if not v_verdict.is_allowed then
    return quota.refusal(
      v_caller.subject_id, p_feature, p_amount, v_now, v_allowance, v_verdict
    );
  end if;
  return quota.decision(
    v_caller.subject_id, p_feature, p_amount, v_allowance, v_verdict.shown, 'ok'
  );
end
$$;

comment on function quota.check_usage(text, bigint, text) is 'See public.check_usage.';

revoke all on function quota.check_usage(text, bigint, text)
  from public, anon, authenticated, service_role;
grant execute on function quota.check_usage(text, bigint, text) to authenticated, service_role;

-- sql/functions/consume_usage.sql

-- Why this exists: the main job. Checks the limit and counts, in one atomic step.
--
-- Validate → lock the meter → probe the key → read the limits in a new statement after the lock →
-- decide → write the line → update the counters. In this order nothing ever has to be undone, and it
-- is exact at every isolation level: what is decided on is read under the lock, and at repeatable
-- read and serializable lock_meters() fails with 40001 when the snapshot is older than the last call.
create function quota.consume_usage(
  p_feature text,
  p_amount bigint,
  p_subject text,
  p_idempotency_key text,
  p_metadata jsonb
)
returns public.usage_decision
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
set lock_timeout = '2s'
set plan_cache_mode = force_generic_plan
as $$
declare
  v_caller quota.caller := quota.caller_for(p_subject);
  v_arguments jsonb;
  v_answer jsonb;
  v_now timestamptz;
  v_decision public.usage_decision;
begin
  -- Most arguments are plainly good; to see it here spares them four calls of 3 µs.
  if (
    p_amount between 1 and 9007199254740991
    and coalesce(length(p_idempotency_key), 1) between 1 and 255
    and p_metadata = '{}'
  ) is not true then
    perform quota.check_arguments(p_amount, p_idempotency_key, p_metadata);
  end if;
  if p_idempotency_key is null then
    v_decision := quota.take_fresh(
      v_caller, p_feature, p_amount, 'consume', coalesce(p_metadata, '{}')
    );
    if v_decision.allowed then
      return v_decision;
    end if;
  end if;

  perform quota.check_server_only(v_caller, array[p_feature]);
  v_now := quota.lock_meter(v_caller.subject_id, p_feature);
  if p_idempotency_key is not null then
    v_arguments := jsonb_build_object('call', 'consume_usage', 'feature', p_feature, 'amount', p_amount);
    v_answer := quota.replay(v_caller, p_idempotency_key, v_arguments, v_now);
  end if;
  if v_answer is null then
    v_decision := quota.take(
      v_caller, p_feature, p_amount, v_now, 'consume', null,
      p_idempotency_key, v_arguments, coalesce(p_metadata, '{}')
    );
    if v_decision.allowed is not null then
      return v_decision;
    end if;
    v_answer := quota.replay(v_caller, p_idempotency_key, v_arguments, v_now);
  end if;
  return quota.replayed(v_answer);
end
$$;

comment on function quota.consume_usage(text, bigint, text, text, jsonb) is
  'See public.consume_usage.';

revoke all on function quota.consume_usage(text, bigint, text, text, jsonb)
  from public, anon, authenticated, service_role;
grant execute on function quota.consume_usage(text, bigint, text, text, jsonb)
  to authenticated, service_role;

-- sql/functions/enforce.sql

-- Why this exists: a refusal as an error, so that HTTP answers 402 or 429 and the transaction around
-- it rolls back.
create function quota.enforce(p_decision public.usage_decision)
returns public.usage_decision
language plpgsql
stable
security invoker
set search_path = pg_catalog, pg_temp
as $$
declare
  v_code text;
begin
  if p_decision.allowed then
    return p_decision;
  end if;
  v_code := case
    when p_decision.period in ('minute', 'hour') and p_decision.retry_after is not null
    then 'PT429'
    else 'PT402'
  end;
  if nullif(current_setting('request.method', true), '') is not null then
    -- PostgREST's own error form, since only it can carry headers.
    raise exception using
      errcode = 'PGRST',
      message = jsonb_build_object(
        'code', v_code,
        'message', 'usage limit reached',
        'details', to_jsonb(p_decision)::text,
        'hint', p_decision.upgrade_url
      ),
      detail = jsonb_build_object(
        'status', right(v_code, 3)::integer,
        'headers', case
          when p_decision.retry_after is null then '{}'
          else jsonb_build_object('Retry-After', p_decision.retry_after::text)
        end
      );
  end if;
  -- The message is one constant: PostgREST copies that of a PT code raw into the HTTP status line,
  -- where a name with a line break would be a header of the attacker's.
  raise exception using
    errcode = v_code,
    message = 'usage limit reached',
    detail = to_jsonb(p_decision)::text,
    hint = coalesce(p_decision.upgrade_url, '');
end
$$;

comment on function quota.enforce(public.usage_decision) is
  'Gives an allowed decision back and raises a refused one: PT429 where a minute or hour limit refuses and waiting helps, else PT402. DETAIL is the decision as JSON, HINT the upgrade url.';

revoke all on function quota.enforce(public.usage_decision)
  from public, anon, authenticated, service_role;
grant execute on function quota.enforce(public.usage_decision) to authenticated, service_role;

-- sql/functions/consume_usage_batch.sql

-- Why this exists: one action that uses several things (a generation and its tokens): all or none, in
-- one step and one round trip. All meters are locked first, in lock order; then every item is judged
-- against what the items before it take; only when all have room is anything written.

create function quota.batch_items(
  p_items jsonb,
  out feature_ids text[],
  out amounts bigint[]
)
language plpgsql
stable
security invoker
set search_path = pg_catalog, pg_temp
as $$
declare
  v_item jsonb;
begin
  if p_items is null or jsonb_typeof(p_items) <> 'array'
    or jsonb_array_length(p_items) not between 1 and 100
  then
    raise exception 'items is not an array of 1 to 100 objects'
      using errcode = '22023', hint = 'for example [{"feature": "ai_generation", "amount": 1}]';
  end if;
  for v_item in select value from jsonb_array_elements(p_items) loop
    if jsonb_typeof(v_item) <> 'object'
      or jsonb_typeof(v_item -> 'feature') is distinct from 'string'
      or v_item - 'feature' - 'amount' <> '{}'
    then
      raise exception 'an item is %, an object with feature and amount is expected',
        left(v_item::text, 100)
        using errcode = '22023', hint = 'for example {"feature": "ai_generation", "amount": 1}';
    end if;
    perform quota.check_feature(v_item ->> 'feature');
    if v_item ? 'amount' and not quota.is_whole(v_item -> 'amount', 1) then
      raise exception 'amount % is not a whole number from 1 to 9007199254740991 (2^53 - 1)',
        coalesce(left(v_item ->> 'amount', 100), 'null')
        using errcode = 'QAMNT', hint = 'count fractional costs in micro-units';
    end if;
    feature_ids := feature_ids || (v_item ->> 'feature');
    amounts := amounts || coalesce((v_item ->> 'amount')::numeric::bigint, 1);
  end loop;
end
$$;

comment on function quota.batch_items(jsonb) is
  'The items as two arrays. Errors: 22023 malformed; QFEAT; QAMNT.';

revoke all on function quota.batch_items(jsonb) from public, anon, authenticated, service_role;

-- An answer for each item: 'not_taken' where it has room beside the items before it, else the refusal.
-- One refusal per feature and amount, since a hundred of them took a second.
create function quota.judge_batch(
  p_subject_id text,
  p_features text[],
  p_amounts bigint[],
  p_at timestamptz
)
returns public.usage_decision[]
language plpgsql
stable
security invoker
set search_path = pg_catalog, pg_temp
as $$
declare
  v_feature_id text;
  v_allowance quota.allowance;
  v_verdict quota.verdict;
  v_sum bigint;
  v_refused bigint[];
  v_refusals public.usage_decision[];
  v_decision public.usage_decision;
  v_decisions public.usage_decision[];
begin
  for v_feature_id in select distinct f from unnest(p_features) as f loop
    v_allowance := quota.limits_of(p_subject_id, v_feature_id, p_at);
    v_sum := 0;
    v_refused := '{}';
    v_refusals := '{}';
    for i in 1 .. cardinality(p_features) loop
      continue when p_features[i] <> v_feature_id;
      v_sum := v_sum + p_amounts[i];
      v_verdict := quota.decide(v_allowance.limits, v_sum);
      if v_verdict.is_allowed then
        v_decision := quota.decision(
          p_subject_id, v_feature_id, p_amounts[i], v_allowance, v_verdict.shown, 'not_taken'
        );
      elsif p_amounts[i] = any (v_refused) then
        v_decision := v_refusals[array_position(v_refused, p_amounts[i])];
      else
        v_decision := quota.refusal(
          p_subject_id, v_feature_id, v_sum, p_at, v_allowance, v_verdict
        );
        v_decision.amount := p_amounts[i];
        v_refused := v_refused || p_amounts[i];
        v_refusals := v_refusals || v_decision;
      end if;
      v_decisions[i] := v_decision;
    end loop;
  end loop;
  return v_decisions;
end
$$;

comment on function quota.judge_batch(text, text[], bigint[], timestamptz) is
  'What a batch would be told if it were refused: all not_taken where all have room. Errors: QAMNT, a counter would pass 2^53 - 1.';

revoke all on function quota.judge_batch(text, text[], bigint[], timestamptz)
  from public, anon, authenticated, service_role;

create function quota.all_have_room(p_decisions public.usage_decision[])
returns boolean
language plpgsql
immutable
security invoker
set search_path = pg_catalog, pg_temp
as $$
begin
  return not exists (
    select from unnest(p_decisions) as d where d.reason is distinct from 'not_taken'
  );
end
$$;

comment on function quota.all_have_room(public.usage_decision[]) is
  'Whether judge_batch() refuses no item.';

revoke all on function quota.all_have_room(public.usage_decision[])
  from public, anon, authenticated, service_role;

create function quota.consume_usage_batch(
  p_items jsonb,
  p_subject text,
  p_idempotency_key text,
  p_metadata jsonb
)
returns setof public.usage_decision
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
set lock_timeout = '2s'
set plan_cache_mode = force_generic_plan
as $$
declare
  v_caller quota.caller := quota.caller_for(p_subject);
  v_metadata jsonb := coalesce(p_metadata, '{}');
  v_features text[];
  v_amounts bigint[];
  v_arguments jsonb;
  v_answer jsonb;
  v_now timestamptz;
  v_batch_id uuid;
  v_decision public.usage_decision;
  v_decisions public.usage_decision[];
begin
  perform quota.check_key(p_idempotency_key);
  perform quota.check_metadata(p_metadata);
  select i.feature_ids, i.amounts into v_features, v_amounts from quota.batch_items(p_items) as i;
  perform quota.check_server_only(v_caller, v_features);
  if p_idempotency_key is not null then
    v_arguments := jsonb_build_object(
      'call', 'consume_usage_batch', 'features', v_features, 'amounts', v_amounts
    );
  end if;

  -- What is refused without a lock makes nobody wait: a member could else stop an organisation with
  -- batches that are refused. What was committed when it was looked at had no room: a right answer.
  if v_caller.is_trusted is not true then
    v_now := quota.clock();
    if p_idempotency_key is null
      or quota.replay(v_caller, p_idempotency_key, v_arguments, v_now) is null
    then
      v_decisions := quota.judge_batch(v_caller.subject_id, v_features, v_amounts, v_now);
      if not quota.all_have_room(v_decisions) then
        foreach v_decision in array v_decisions loop
          return next v_decision;
        end loop;
        return;
      end if;
    end if;
  end if;

  v_now := quota.lock_meters(
    v_caller.subject_id, array(select distinct f from unnest(v_features) as f)
  );
  if p_idempotency_key is not null then
    v_answer := quota.replay(v_caller, p_idempotency_key, v_arguments, v_now);
    if v_answer is not null then
      for v_answer in select value from jsonb_array_elements(v_answer) loop
        return next quota.replayed(v_answer);
      end loop;
      return;
    end if;
  end if;

  v_decisions := quota.judge_batch(v_caller.subject_id, v_features, v_amounts, v_now);
  if quota.all_have_room(v_decisions) then
    -- What belongs to the batch as a whole stands once, in a line that its items are about.
    if p_idempotency_key is not null or v_metadata <> '{}' then
      v_batch_id := quota.new_id(v_now);
      perform quota.record(
        row(
          v_caller.subject_id, v_batch_id, v_now, 'batch', null, v_now, 0, 0, 0, null, null,
          v_caller.actor, p_idempotency_key, v_metadata
        )::quota.events
      );
    end if;
    for i in 1 .. cardinality(v_features) loop
      v_decisions[i] := quota.take(
        v_caller, v_features[i], v_amounts[i], v_now, 'consume', null, null, null, '{}', v_batch_id
      );
    end loop;
    if p_idempotency_key is not null and not quota.bind_key(
      v_caller, p_idempotency_key, v_arguments, to_jsonb(v_decisions), v_now
    ) then
      -- Taken under other meters, so with other features: this raises, and undoes the items.
      perform quota.replay(v_caller, p_idempotency_key, v_arguments, v_now);
    end if;
  end if;
  foreach v_decision in array v_decisions loop
    return next v_decision;
  end loop;
end
$$;

comment on function quota.consume_usage_batch(jsonb, text, text, jsonb) is
  'See public.consume_usage_batch.';

revoke all on function quota.consume_usage_batch(jsonb, text, text, jsonb)
  from public, anon, authenticated, service_role;
grant execute on function quota.consume_usage_batch(jsonb, text, text, jsonb)
  to authenticated, service_role;

-- sql/functions/reserve_usage.sql

-- Why this exists: work that may fail or whose cost is known only afterwards. A hold counts against every
-- limit of the feature from now on, and stops counting the moment it expires.
create function quota.reserve_usage(
  p_feature text,
  p_amount bigint,
  p_subject text,
  p_ttl interval,
  p_idempotency_key text,
  p_metadata jsonb
)
returns public.usage_decision
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
set lock_timeout = '2s'
set plan_cache_mode = force_generic_plan
as $$
declare
  v_caller quota.caller;
  v_seconds numeric := extract(epoch from p_ttl);
  v_arguments jsonb;
  v_answer jsonb;
  v_now timestamptz;
  v_expires_at timestamptz;
  v_decision public.usage_decision;
begin
  perform quota.require_trusted();
  v_caller := quota.caller_for(p_subject);
  perform quota.check_arguments(p_amount, p_idempotency_key, p_metadata);
  -- In seconds: a day of an interval would follow the session's time zone.
  if v_seconds is null or v_seconds <= 0 or v_seconds > 604800 then
    raise exception 'the ttl is %, more than nothing and at most 7 days are allowed',
      coalesce(p_ttl::text, 'null')
      using errcode = '22023', hint = 'for example 15 minutes';
  end if;

  v_now := quota.lock_meter(v_caller.subject_id, p_feature);
  if p_idempotency_key is not null then
    v_arguments := jsonb_build_object(
      'call', 'reserve_usage', 'feature', p_feature, 'amount', p_amount, 'ttl', v_seconds
    );
    v_answer := quota.replay(v_caller, p_idempotency_key, v_arguments, v_now);
  end if;
  if v_answer is null then
    v_decision := quota.take(
      v_caller, p_feature, p_amount, v_now, 'reserve', quota.new_id(v_now),
      p_idempotency_key, v_arguments, coalesce(p_metadata, '{}')
    );
    if v_decision.allowed then
      v_expires_at := v_now + make_interval(secs => v_seconds::double precision);
      insert into quota.reservations (
        subject_id, reservation_id, feature_id, amount, reserved_at, expires_at
      )
      values (
        v_caller.subject_id, v_decision.reservation_id, p_feature, p_amount, v_now, v_expires_at
      );
      -- Also where it stays the same: a call whose snapshot lacks this hold must fail with 40001, or
      -- it would compute when the next hold expires without it.
      update quota.meters as m
        set holds_expire_at = least(m.holds_expire_at, v_expires_at)
        where m.subject_id = v_caller.subject_id
          and m.feature_id = p_feature;
    end if;
    if v_decision.allowed is not null then
      return v_decision;
    end if;
    v_answer := quota.replay(v_caller, p_idempotency_key, v_arguments, v_now);
  end if;
  return quota.replayed(v_answer);
end
$$;

comment on function quota.reserve_usage(text, bigint, text, interval, text, jsonb) is
  'See public.reserve_usage.';

revoke all on function quota.reserve_usage(text, bigint, text, interval, text, jsonb)
  from public, anon, authenticated, service_role;
grant execute on function quota.reserve_usage(text, bigint, text, interval, text, jsonb)
  to service_role;

-- sql/functions/commit_usage.sql

-- Why this exists: the work is done, and this is what it really used. It happened, so it is recorded
-- whatever the limits say: a commit is the one call that may pass a limit, and then says over_limit.

-- The reservation of that id, its meter locked, and what has expired settled.
create function quota.lock_reservation(
  p_reservation_id uuid,
  p_subject text,
  out hold quota.reservations,
  out at timestamptz
)
language plpgsql
volatile
security invoker
set search_path = pg_catalog, pg_temp
as $$
begin
  perform quota.require_trusted();
  select r.subject_id, r.feature_id
    into hold.subject_id, hold.feature_id
    from quota.reservations as r
    where r.reservation_id = p_reservation_id;
  if found and hold.subject_id <> p_subject is not true then
    at := quota.lock_meter(hold.subject_id, hold.feature_id);
    -- Again, now that nobody else can end it.
    select r.subject_id, r.reservation_id, r.feature_id, r.amount, r.reserved_at, r.expires_at,
        r.state, r.answer
      into hold
      from quota.reservations as r
      where r.subject_id = hold.subject_id
        and r.reservation_id = p_reservation_id;
  end if;
  if hold.reservation_id is null then
    raise exception 'no such reservation: %', coalesce(p_reservation_id::text, 'null')
      using errcode = 'QRSRV', hint = 'pass the reservation_id of an allowed reserve_usage';
  end if;
end
$$;

comment on function quota.lock_reservation(uuid, text) is
  'Errors: 42501 not a trusted role; QRSRV no such reservation, or of another subject than the named one.';

revoke all on function quota.lock_reservation(uuid, text)
  from public, anon, authenticated, service_role;

-- The limits of the periods in which a hold was made, with the grants that are open at the commit: a
-- grant that has expired in between covers nothing more, one that was bought in between does.
create function quota.limits_of_hold(
  p_hold quota.reservations,
  p_at timestamptz
)
returns quota.allowance
language plpgsql
stable
security invoker
set search_path = pg_catalog, pg_temp
as $$
declare
  v_allowance quota.allowance := quota.limits_of(
    p_hold.subject_id, p_hold.feature_id, p_hold.reserved_at
  );
  v_granted bigint;
begin
  if v_allowance.limits is not null and not v_allowance.is_plain then
    v_granted := quota.granted_to(p_hold.subject_id, p_hold.feature_id, p_at);
    for i in 1 .. cardinality(v_allowance.limits) loop
      if (v_allowance.limits[i]).period not in ('minute', 'hour') then
        v_allowance.limits[i].granted := v_granted;
      end if;
    end loop;
  end if;
  return v_allowance;
end
$$;

comment on function quota.limits_of_hold(quota.reservations, timestamptz) is
  'What applies to the commit of a hold at an instant.';

revoke all on function quota.limits_of_hold(quota.reservations, timestamptz)
  from public, anon, authenticated, service_role;

create function quota.commit_usage(
  p_reservation_id uuid,
  p_amount bigint,
  p_subject text,
  p_metadata jsonb
)
returns public.usage_decision
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
set lock_timeout = '2s'
set plan_cache_mode = force_generic_plan
as $$
declare
  v_locked record;
  v_hold quota.reservations;
  v_now timestamptz;
  v_amount bigint;
  v_excess bigint;
  v_event quota.events;
  v_allowance quota.allowance;
  v_before quota.limit_state[];
  v_limit quota.limit_state;
  v_shortfall bigint := 0;
  v_drawn bigint;
  v_is_over boolean := false;
  v_decision public.usage_decision;
begin
  if p_amount is not null then
    perform quota.check_amount(p_amount, 0);
  end if;
  perform quota.check_metadata(p_metadata);
  v_locked := quota.lock_reservation(p_reservation_id, p_subject);
  v_hold := v_locked.hold;
  v_now := v_locked.at;
  if v_hold.state = 'committed' then
    return quota.replayed(v_hold.answer);
  end if;
  if v_hold.state = 'released' then
    raise exception 'the reservation was released'
      using errcode = 'QRSRV', hint = 'its amount was given back; count the work with consume_usage';
  end if;

  v_amount := coalesce(p_amount, v_hold.amount);
  v_before := (quota.limits_of_hold(v_hold, v_now)).limits;
  v_event := quota.hold_line(v_hold, 'commit', v_now);
  v_event.used_change := v_amount;
  v_event.metadata := coalesce(p_metadata, '{}');
  -- What the hold did not cover: all of it, once it has expired.
  v_excess := greatest(v_amount + v_event.reserved_change, 0);
  perform quota.end_hold(
    v_hold, v_event, case when v_hold.state = 'open' then v_hold.amount - v_amount else 0 end,
    'committed'
  );

  v_allowance := quota.limits_of_hold(v_hold, v_now);
  foreach v_limit in array coalesce(v_allowance.limits, '{}') loop
    if v_limit.period not in ('minute', 'hour') then
      v_shortfall := greatest(
        v_shortfall, v_limit.used + v_limit.reserved - v_limit.amount - v_limit.drawn
      );
    end if;
  end loop;
  v_drawn := least(
    v_excess, v_shortfall, quota.granted_to(v_hold.subject_id, v_hold.feature_id, v_now)
  );
  if v_drawn > 0 and v_allowance.kind = 'metered' then
    perform quota.draw(
      v_hold.subject_id, v_hold.feature_id, v_drawn, v_now, v_hold.reserved_at,
      v_hold.reservation_id
    );
    v_allowance := quota.limits_of_hold(v_hold, v_now);
  end if;

  if v_excess > 0 then
    -- Not in the plan any more: there is no room for what was not promised.
    v_is_over := v_allowance.limits is null;
    foreach v_limit in array coalesce(v_allowance.limits, '{}') loop
      v_is_over := v_is_over or coalesce(quota.room(v_limit) < 0, false);
    end loop;
  end if;
  v_decision := quota.decision(
    v_hold.subject_id, v_hold.feature_id, v_amount, v_allowance,
    (quota.decide(v_allowance.limits, 0)).shown,
    case when v_is_over then 'over_limit' else 'ok' end,
    v_event.event_id, v_hold.reservation_id
  );
  perform quota.remember_answer(v_hold, v_decision);
  perform quota.write_alerts(
    v_hold.subject_id, v_hold.feature_id, v_now, v_before, v_allowance.limits
  );
  return v_decision;
end
$$;

comment on function quota.commit_usage(uuid, bigint, text, jsonb) is 'See public.commit_usage.';

revoke all on function quota.commit_usage(uuid, bigint, text, jsonb)
  from public, anon, authenticated, service_role;
grant execute on function quota.commit_usage(uuid, bigint, text, jsonb) to service_role;

-- sql/functions/release_usage.sql

-- Why this exists: the work failed or was abandoned, and costs nothing.
create function quota.release_usage(
  p_reservation_id uuid,
  p_subject text
)
returns public.usage_decision
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
set lock_timeout = '2s'
set plan_cache_mode = force_generic_plan
as $$
declare
  v_locked record;
  v_hold quota.reservations;
  v_now timestamptz;
  v_event quota.events;
  v_allowance quota.allowance;
  v_decision public.usage_decision;
begin
  v_locked := quota.lock_reservation(p_reservation_id, p_subject);
  v_hold := v_locked.hold;
  v_now := v_locked.at;
  if v_hold.state = 'released' then
    return quota.replayed(v_hold.answer);
  end if;
  if v_hold.state = 'committed' then
    raise exception 'the reservation was committed'
      using errcode = 'QRSRV', hint = 'give it back with refund_usage and the event_id of the commit';
  end if;

  v_event := quota.hold_line(v_hold, 'release', v_now);
  perform quota.end_hold(
    v_hold, v_event, case when v_hold.state = 'open' then v_hold.amount else 0 end, 'released'
  );
  v_allowance := quota.limits_of(v_hold.subject_id, v_hold.feature_id, v_now);
  v_decision := quota.decision(
    v_hold.subject_id, v_hold.feature_id, v_hold.amount, v_allowance,
    (quota.decide(v_allowance.limits, 0)).shown, 'ok', v_event.event_id, v_hold.reservation_id
  );
  perform quota.remember_answer(v_hold, v_decision);
  return v_decision;
end
$$;

comment on function quota.release_usage(uuid, text) is 'See public.release_usage.';

revoke all on function quota.release_usage(uuid, text)
  from public, anon, authenticated, service_role;
grant execute on function quota.release_usage(uuid, text) to service_role;

-- sql/functions/refund_usage.sql

-- Why this exists: gives back what was counted, in the period it was counted in. Clamping at zero
-- instead would eat what others used since; so it is tied to one event and never exceeds it.
create function quota.refund_usage(
  p_event_id uuid,
  p_amount bigint,
  p_reason text,
  p_idempotency_key text,
  p_subject text
)
returns public.usage_decision
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
set lock_timeout = '2s'
set plan_cache_mode = force_generic_plan
as $$
declare
  v_use quota.events;
  v_refund quota.events;
  v_caller quota.caller;
  v_arguments jsonb;
  v_left bigint;
  v_answer jsonb;
  v_allowance quota.allowance;
  v_decision public.usage_decision;
begin
  perform quota.require_trusted();
  if p_amount is not null then
    perform quota.check_amount(p_amount);
  end if;
  perform quota.check_key(p_idempotency_key);
  v_refund.metadata := jsonb_strip_nulls(jsonb_build_object('reason', p_reason));
  perform quota.check_metadata(v_refund.metadata);

  -- A line never changes, so it can be read before the lock that its subject is needed for.
  select e.subject_id, e.feature_id, e.counts_at,
      case e.kind when 'commit' then e.about_id else e.event_id end
    into v_use.subject_id, v_use.feature_id, v_use.counts_at, v_use.about_id
    from quota.events as e
    where e.event_id = p_event_id
      and e.kind in ('consume', 'commit', 'import');
  if not found or v_use.subject_id <> p_subject then
    raise exception 'no such use to refund: %', coalesce(p_event_id::text, 'null')
      using errcode = 'QRSRV', hint = 'pass the event_id of a decision that counted something';
  end if;

  v_refund.at := quota.lock_meter(v_use.subject_id, v_use.feature_id);

  if p_idempotency_key is not null then
    v_refund.idempotency_key := p_idempotency_key;
    v_caller := row(v_use.subject_id, true, null)::quota.caller;
    v_arguments := jsonb_build_object(
      'call', 'refund_usage', 'event_id', p_event_id, 'amount', p_amount
    );
    v_answer := quota.replay(v_caller, p_idempotency_key, v_arguments, v_refund.at);
  end if;

  if v_answer is null then
    select sum(e.used_change)
      into v_left
      from quota.events as e
      where e.subject_id = v_use.subject_id
        and (e.event_id = p_event_id or (e.about_id = p_event_id and e.kind = 'refund'));
    if v_left is null then
      raise exception 'no such use to refund any more: its subject was forgotten'
        using errcode = 'QRSRV', hint = 'pass the event_id of a decision that counted something';
    end if;
    -- A gauge may have been lowered since, by return_usage(); and what rows are, only they give back.
    if exists (
      select from quota.features as f where f.feature_id = v_use.feature_id and f.kind = 'gauge'
    ) then
      v_left := least(
        v_left,
        greatest(
          quota.level_of(v_use.subject_id, v_use.feature_id)
            - quota.rows_used(v_use.subject_id, v_use.feature_id),
          0
        )
      );
    end if;
    if coalesce(p_amount, 1) > v_left then
      raise exception 'the event has % left to refund, % asked', v_left, coalesce(p_amount, 1)
        using errcode = 'QAMNT', hint = 'refunds give back at most what the event counted';
    end if;

    v_refund.subject_id := v_use.subject_id;
    v_refund.event_id := quota.new_id(v_refund.at);
    v_refund.kind := 'refund';
    v_refund.feature_id := v_use.feature_id;
    v_refund.counts_at := v_use.counts_at;
    v_refund.used_change := -coalesce(p_amount, v_left);
    v_refund.reserved_change := 0;
    v_refund.drawn_change := 0;
    v_refund.about_id := p_event_id;

    -- Grants are used last, so they come back first.
    perform quota.give_back(
      v_use.subject_id, v_use.feature_id, -v_refund.used_change, v_refund.at, v_use.counts_at,
      v_use.about_id
    );
    v_allowance := quota.limits_of(v_use.subject_id, v_use.feature_id, v_refund.at);
    v_allowance.limits := quota.after_event(v_allowance.limits, v_refund);
    v_decision := quota.decision(
      v_use.subject_id, v_use.feature_id, -v_refund.used_change, v_allowance,
      (quota.decide(v_allowance.limits, 0)).shown, 'ok', v_refund.event_id
    );
    if p_idempotency_key is null or quota.bind_key(
      v_caller, p_idempotency_key, v_arguments, to_jsonb(v_decision), v_refund.at
    ) then
      perform quota.record(v_refund);
      return v_decision;
    end if;
    -- Taken under another meter, so with other arguments: this raises, and undoes what was given back.
    v_answer := quota.replay(v_caller, p_idempotency_key, v_arguments, v_refund.at);
  end if;

  return quota.replayed(v_answer);
end
$$;

comment on function quota.refund_usage(uuid, bigint, text, text, text) is
  'See public.refund_usage.';

revoke all on function quota.refund_usage(uuid, bigint, text, text, text)
  from public, anon, authenticated, service_role;
grant execute on function quota.refund_usage(uuid, bigint, text, text, text) to service_role;

-- sql/functions/set_plan.sql

-- Why this exists: puts a subject on a plan. The use so far stays, since counters and ledger belong to
-- the subject; the new limits hold at once, also for callers that are waiting, since limits are read
-- under the lock.
create function quota.put_on_plan(
  p_subject_id text,
  p_plan_id text,
  p_anchor_at timestamptz default null,
  p_time_zone text default null,
  p_ends_at timestamptz default null
)
returns void
language plpgsql
volatile
security invoker
set search_path = pg_catalog, pg_temp
as $$
declare
  v_former quota.subjects;
  v_subject quota.subjects;
  v_features text[];
  v_feature_id text;
  v_now timestamptz;
  v_event_id uuid;
begin
  -- for key share: apply_plans() does not remove the plan before this has ended.
  perform from quota.plans as p where p.plan_id = p_plan_id for key share;
  if not found and p_plan_id is not null then
    raise exception 'unknown plan %', quote_literal(left(p_plan_id, 100))
      using errcode = 'QPLAN', hint = 'plans come from the plan document; see plan_catalog';
  end if;
  perform quota.check_instant('set_plan', 'anchor', p_anchor_at);
  perform quota.check_instant('set_plan', 'ends_at', p_ends_at);

  v_former := quota.lock_subject(p_subject_id);
  v_subject.subject_id := v_former.subject_id;
  v_subject.plan_id := p_plan_id;
  v_subject.plan_ends_at := p_ends_at;
  v_subject.anchor_at := coalesce(p_anchor_at, v_former.anchor_at);
  v_subject.time_zone := coalesce(p_time_zone, v_former.time_zone);
  -- Asked only when it changes: reading the zone files takes milliseconds.
  if v_subject.time_zone <> v_former.time_zone
    and quota.is_time_zone(v_subject.time_zone) is not true
  then
    raise exception 'set_plan: the time zone is %, the name of a place is expected',
      quote_literal(left(v_subject.time_zone, 100))
      using errcode = '22023',
        hint = 'use an IANA name with a slash such as Europe/Berlin, UTC or GMT; abbreviations (CET, EST) are none';
  end if;

  update quota.subjects as s
    set plan_id = v_subject.plan_id,
        plan_ends_at = v_subject.plan_ends_at,
        anchor_at = v_subject.anchor_at,
        time_zone = v_subject.time_zone
    where s.subject_id = v_subject.subject_id;

  v_features := quota.meters_of(v_subject.subject_id);
  -- lock_meters() also gives the time; no features, no lock.
  v_now := quota.lock_meters(v_subject.subject_id, v_features);
  v_event_id := quota.new_id(v_now);
  insert into quota.events (subject_id, event_id, at, kind, counts_at, metadata)
  values (
    v_subject.subject_id, v_event_id, v_now, 'plan', v_now,
    jsonb_build_object(
      'from', to_jsonb(v_former) - 'subject_id' - 'has_extras',
      'to', to_jsonb(v_subject) - 'subject_id' - 'has_extras'
    )
  );

  update quota.meters as m
    set fresh_until = '-infinity'
    where m.subject_id = v_subject.subject_id;

  -- New periods begin here and now, with the use that falls into them: those of counters that the
  -- moved anchor or zone leaves behind (also of periods that only a former plan had), and those that
  -- the new plan brings.
  foreach v_feature_id in array v_features loop
    perform quota.open_counters(
      v_subject.subject_id, v_feature_id, v_now,
      array(
        select row(
          c.period, p.period_start, p.resets_at, 'plan', c.last_limit, 0, 0, 0, 0, false, null
        )::quota.limit_state
        from quota.counters as c
        cross join lateral quota.period_of(
          c.period, v_now, v_subject.anchor_at, v_subject.time_zone
        ) as p
        where c.subject_id = v_subject.subject_id
          and c.feature_id = v_feature_id
          and c.period_end > v_now
          and c.period_start <= v_now
          and (c.period_start, c.period_end) <> (p.period_start, p.resets_at)
      )
    );
    perform quota.open_counters(
      v_subject.subject_id, v_feature_id, v_now,
      (quota.limits_of(v_subject.subject_id, v_feature_id, v_now)).limits
    );
  end loop;
end
$$;

comment on function quota.put_on_plan(text, text, timestamptz, text, timestamptz) is
  'The work of set_plan(); a null plan is the default plan. Errors: QPLAN, 22023.';

revoke all on function quota.put_on_plan(text, text, timestamptz, text, timestamptz)
  from public, anon, authenticated, service_role;

create function quota.set_plan(
  p_subject text,
  p_plan text,
  p_anchor timestamptz,
  p_time_zone text,
  p_ends_at timestamptz
)
returns void
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
set lock_timeout = '2s'
as $$
begin
  perform quota.require_trusted();
  if p_plan is null then
    raise exception 'the plan is null'
      using errcode = 'QPLAN', hint = 'name a plan of plan_catalog';
  end if;
  perform quota.put_on_plan(
    (quota.caller_for(p_subject)).subject_id, p_plan, p_anchor, p_time_zone, p_ends_at
  );
end
$$;

comment on function quota.set_plan(text, text, timestamptz, text, timestamptz) is
  'See public.set_plan.';

revoke all on function quota.set_plan(text, text, timestamptz, text, timestamptz)
  from public, anon, authenticated, service_role;
grant execute on function quota.set_plan(text, text, timestamptz, text, timestamptz)
  to service_role;

-- sql/functions/set_limit.sql

-- Why this exists: one customer's exception to its plan. Holds at once, also for callers that wait.
create function quota.change_limit(
  p_subject text,
  p_feature text,
  p_period text,
  p_limit bigint,
  p_is_cleared boolean
)
returns void
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
set lock_timeout = '2s'
as $$
declare
  v_caller quota.caller;
  v_now timestamptz;
begin
  perform quota.require_trusted();
  v_caller := quota.caller_for(p_subject);
  perform quota.check_feature(p_feature);
  if p_limit is not null then
    perform quota.check_amount(p_limit, 0);
  end if;
  if p_period is null or quota.period_rank(p_period) is null
    or (p_period <> 'lifetime' and exists (
      select from quota.features as f where f.feature_id = p_feature and f.kind = 'gauge'
    ))
  then
    raise exception 'unknown period % for this feature', coalesce(quote_literal(left(p_period, 100)), 'null')
      using errcode = 'QPLAN',
        hint = 'minute, hour, day, week, month, year or lifetime; a gauge has lifetime alone';
  end if;

  v_now := quota.lock_terms(v_caller.subject_id, p_feature);
  if not p_is_cleared and p_limit + quota.most_allowed(
    v_caller.subject_id, p_feature, v_now,
    array(
      select row(
        l.period, l.period_start, l.resets_at, l.source, 0::bigint, l.used, l.reserved, l.drawn,
        l.granted, l.is_counted, l.last_limit
      )::quota.limit_state
      from unnest((quota.limits_of(v_caller.subject_id, p_feature, v_now)).limits) as l
      where l.period = p_period
    )
  ) > 9007199254740991 and p_period not in ('minute', 'hour') then
    raise exception 'set_limit: limit % and the open grants together pass 9007199254740991 (2^53 - 1)', p_limit
      using errcode = 'QAMNT', hint = 'null is unlimited';
  end if;
  if p_is_cleared then
    delete from quota.exceptions as x
      where x.subject_id = v_caller.subject_id
        and x.feature_id = p_feature
        and x.period = p_period;
  else
    insert into quota.exceptions (subject_id, feature_id, period, amount)
      values (v_caller.subject_id, p_feature, p_period, p_limit)
      on conflict (subject_id, feature_id, period) do update
        set amount = excluded.amount;
  end if;
  perform quota.record(
    row(
      v_caller.subject_id, quota.new_id(v_now), v_now, 'limit', p_feature, v_now, 0, 0, 0,
      null, null, null, null,
      case
        when p_is_cleared then jsonb_build_object('period', p_period, 'cleared', true)
        else jsonb_build_object('period', p_period, 'limit', p_limit)
      end
    )::quota.events
  );
  perform quota.open_counters(
    v_caller.subject_id, p_feature, v_now,
    (quota.limits_of(v_caller.subject_id, p_feature, v_now)).limits
  );
end
$$;

comment on function quota.change_limit(text, text, text, bigint, boolean) is
  'See public.set_limit and public.clear_limit.';

revoke all on function quota.change_limit(text, text, text, bigint, boolean)
  from public, anon, authenticated, service_role;
grant execute on function quota.change_limit(text, text, text, bigint, boolean) to service_role;

-- sql/functions/grant_usage.sql

-- Why this exists: extra allowance outside the plan: a top-up that was bought, a promotion.
create function quota.grant_usage(
  p_feature text,
  p_amount bigint,
  p_subject text,
  p_expires_at timestamptz,
  p_idempotency_key text,
  p_metadata jsonb
)
returns uuid
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
set lock_timeout = '2s'
as $$
declare
  v_caller quota.caller;
  v_arguments jsonb;
  v_answer jsonb;
  v_now timestamptz;
  v_grant_id uuid;
begin
  perform quota.require_trusted();
  v_caller := quota.caller_for(p_subject);
  perform quota.check_arguments(p_amount, p_idempotency_key, p_metadata);
  perform quota.check_instant('grant_usage', 'expires_at', p_expires_at);

  v_now := quota.lock_terms(v_caller.subject_id, p_feature);
  if p_idempotency_key is not null then
    v_arguments := jsonb_build_object(
      'call', 'grant_usage', 'feature', p_feature, 'amount', p_amount,
      'expires_at', extract(epoch from p_expires_at)
    );
    v_answer := quota.replay(v_caller, p_idempotency_key, v_arguments, v_now);
    if v_answer is not null then
      return (v_answer ->> 'grant_id')::uuid;
    end if;
  end if;
  if p_expires_at <= v_now then
    raise exception 'the grant would have expired at %', p_expires_at
      using errcode = '22023', hint = 'expires_at lies in the future, or is null for never';
  end if;
  if quota.most_allowed(
    v_caller.subject_id, p_feature, v_now,
    (quota.limits_of(v_caller.subject_id, p_feature, v_now)).limits
  ) + p_amount > 9007199254740991 then
    raise exception 'grant_usage: with % more, limit and open grants would pass 9007199254740991 (2^53 - 1)',
      p_amount
      using errcode = 'QAMNT', hint = 'give the subject an unlimited exception with set_limit instead';
  end if;

  v_grant_id := quota.new_id(v_now);
  if p_idempotency_key is not null and not quota.bind_key(
    v_caller, p_idempotency_key, v_arguments, jsonb_build_object('grant_id', v_grant_id), v_now
  ) then
    -- Taken under another meter, so with other arguments: this raises.
    perform quota.replay(v_caller, p_idempotency_key, v_arguments, v_now);
  end if;
  insert into quota.grants (
    subject_id, grant_id, feature_id, amount, granted_at, expires_at, metadata
  )
  values (
    v_caller.subject_id, v_grant_id, p_feature, p_amount, v_now,
    coalesce(p_expires_at, 'infinity'), coalesce(p_metadata, '{}')
  );
  perform quota.record(
    row(
      v_caller.subject_id, quota.new_id(v_now), v_now, 'grant', p_feature, v_now, 0, 0, 0,
      v_grant_id, v_grant_id, null, p_idempotency_key,
      coalesce(p_metadata, '{}')
        || jsonb_build_object('amount', p_amount, 'expires_at', p_expires_at)
    )::quota.events
  );
  return v_grant_id;
end
$$;

comment on function quota.grant_usage(text, bigint, text, timestamptz, text, jsonb) is
  'See public.grant_usage.';

revoke all on function quota.grant_usage(text, bigint, text, timestamptz, text, jsonb)
  from public, anon, authenticated, service_role;
grant execute on function quota.grant_usage(text, bigint, text, timestamptz, text, jsonb)
  to service_role;

create function quota.void_grant(
  p_grant_id uuid,
  p_subject text
)
returns boolean
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
set lock_timeout = '2s'
as $$
declare
  v_grant quota.grants;
  v_now timestamptz;
begin
  perform quota.require_trusted();
  if p_grant_id is null then
    raise exception 'void_grant: grant_id is null, the id that grant_usage gave is expected'
      using errcode = '22023', hint = 'usage_events has it as grant_id of the grant line';
  end if;
  select g.subject_id, g.feature_id
    into v_grant.subject_id, v_grant.feature_id
    from quota.grants as g
    where g.grant_id = p_grant_id;
  if not found or v_grant.subject_id <> p_subject then
    return false;
  end if;
  -- Or forget_subject() was faster: then the subject is not to be made again.
  perform from quota.subjects as s where s.subject_id = v_grant.subject_id for no key update;
  if not found then
    return false;
  end if;
  v_now := quota.lock_terms(v_grant.subject_id, v_grant.feature_id);
  update quota.grants as g
    set voided_at = v_now
    where g.subject_id = v_grant.subject_id
      and g.grant_id = p_grant_id
      and g.voided_at is null;
  if not found then
    return false;
  end if;
  perform quota.record(
    row(
      v_grant.subject_id, quota.new_id(v_now), v_now, 'void', v_grant.feature_id, v_now, 0, 0, 0,
      p_grant_id, p_grant_id, null, null, '{}'
    )::quota.events
  );
  return true;
end
$$;

comment on function quota.void_grant(uuid, text) is 'See public.void_grant.';

revoke all on function quota.void_grant(uuid, text)
  from public, anon, authenticated, service_role;
grant execute on function quota.void_grant(uuid, text) to service_role;

-- sql/functions/change_member.sql

-- Why this exists: who may act for an organisation, with a ledger line for each change: membership is
-- permission to spend.
create function quota.change_member(
  p_subject text,
  p_user_id text,
  p_is_member boolean
)
returns void
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
set lock_timeout = '2s'
as $$
declare
  v_caller quota.caller;
  v_now timestamptz;
begin
  perform quota.require_trusted();
  v_caller := quota.caller_for(p_subject);
  if p_user_id is null or length(p_user_id) not between 1 and 255 then
    raise exception 'the user id is missing, empty or over 255 characters'
      using errcode = 'QSUBJ', hint = 'pass the sub of the user''s JWT';
  end if;
  perform quota.lock_subject(v_caller.subject_id);
  if p_is_member then
    insert into quota.members (subject_id, user_id)
      values (v_caller.subject_id, p_user_id)
      on conflict do nothing;
  else
    delete from quota.members as m
      where m.subject_id = v_caller.subject_id
        and m.user_id = p_user_id;
  end if;
  if found then
    v_now := quota.clock();
    perform quota.record(
      row(
        v_caller.subject_id, quota.new_id(v_now), v_now, 'member', null, v_now, 0, 0, 0, null, null,
        null, null, jsonb_build_object('user_id', p_user_id, 'is_member', p_is_member)
      )::quota.events
    );
  end if;
end
$$;

comment on function quota.change_member(text, text, boolean) is
  'See public.add_member and public.remove_member.';

revoke all on function quota.change_member(text, text, boolean)
  from public, anon, authenticated, service_role;
grant execute on function quota.change_member(text, text, boolean) to service_role;

-- sql/functions/forget_subject.sql

-- Why this exists: the right to erasure. The one way in which ledger lines disappear by themselves, and
-- in which a line changes: one of an organisation forgets who acted.
--
-- What rows of limited tables count stays while the rows stand, as one fresh line per gauge: with it
-- gone, as many rows again would fit.
create function quota.forget_subject(p_subject text)
returns bigint
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
set lock_timeout = '2s'
as $$
declare
  v_caller quota.caller;
  v_organisations text[];
  v_lines bigint;
  v_now timestamptz;
  v_feature_id text;
  v_rows_used bigint;
begin
  perform quota.require_trusted();
  v_caller := quota.caller_for(p_subject);
  -- Whose rows name it. All locked in byte order before anything goes: an organisation and its member
  -- that are forgotten at once meet here, and not crosswise in each other's rows.
  v_organisations := array(
    select m.subject_id
    from quota.members as m
    where m.user_id = v_caller.subject_id
    union
    select e.subject_id
    from quota.events as e
    where (e.actor is not null or e.kind = 'member')
      and coalesce(e.actor, e.metadata ->> 'user_id') = v_caller.subject_id
  );
  perform from quota.subjects as s
    where s.subject_id = any (v_organisations || v_caller.subject_id)
    order by s.subject_id
    for no key update;
  perform quota.lock_subject(v_caller.subject_id);
  v_now := quota.lock_meters(v_caller.subject_id, quota.meters_of(v_caller.subject_id));
  delete from quota.events as e where e.subject_id = v_caller.subject_id;
  get diagnostics v_lines = row_count;
  delete from quota.alerts as a where a.subject_id = v_caller.subject_id;
  delete from quota.reservations as r where r.subject_id = v_caller.subject_id;
  delete from quota.grants as g where g.subject_id = v_caller.subject_id;
  delete from quota.exceptions as x where x.subject_id = v_caller.subject_id;
  delete from quota.counters as c where c.subject_id = v_caller.subject_id;
  delete from quota.keys as k where k.subject_id = v_caller.subject_id;
  -- A membership may be known to an organisation that has no row of its own yet.
  perform from quota.members as m
    where m.subject_id = v_caller.subject_id or m.user_id = v_caller.subject_id
    order by m.subject_id, m.user_id
    for update;
  delete from quota.members as m
    where m.subject_id = v_caller.subject_id or m.user_id = v_caller.subject_id;
  -- The ledger of an organisation keeps its lines and loses the name. Nobody else changes a line, so
  -- this needs no meter of the organisation.
  update quota.events as e
    set actor = null,
        metadata = case when e.kind = 'member' then e.metadata - 'user_id' else e.metadata end
    where (e.actor is not null or e.kind = 'member')
      and coalesce(e.actor, e.metadata ->> 'user_id') = v_caller.subject_id;
  delete from quota.subjects as s where s.subject_id = v_caller.subject_id;
  delete from quota.meters as m where m.subject_id = v_caller.subject_id and m.rows_used = 0;
  for v_feature_id, v_rows_used in
    select m.feature_id, m.rows_used
    from quota.meters as m
    where m.subject_id = v_caller.subject_id
    order by m.feature_id
  loop
    insert into quota.subjects (subject_id)
      values (v_caller.subject_id)
      on conflict do nothing;
    update quota.meters as m
      set holds_expire_at = 'infinity',
          fresh_until = '-infinity',
          rows_used = 0
      where m.subject_id = v_caller.subject_id
        and m.feature_id = v_feature_id;
    perform quota.record(
      row(
        v_caller.subject_id, quota.new_id(v_now), v_now, 'table', v_feature_id, v_now, v_rows_used,
        0, 0, null, null, null, null, '{"recount": true}'
      )::quota.events
    );
  end loop;
  return v_lines;
end
$$;

comment on function quota.forget_subject(text) is 'See public.forget_subject.';

revoke all on function quota.forget_subject(text) from public, anon, authenticated, service_role;
grant execute on function quota.forget_subject(text) to service_role;

-- sql/functions/tidy.sql

-- Why this exists: takes away what nothing needs any more. Safe at any time, and safe never to run: no
-- answer depends on it. The ledger itself it leaves whole.
--
-- An ending, and a key, can be repeated for 31 days: a key is promised for 30.
create function quota.tidy()
returns bigint
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_now timestamptz := quota.clock();
  v_subject_id text;
  v_feature_id text;
  v_rows bigint;
  v_removed bigint;
begin
  perform quota.require_trusted();
  -- Minutes and hours are in no history. skip locked: it waits for nobody.
  delete from quota.counters as c
    where (c.subject_id, c.feature_id, c.period_end, c.period) in (
      select d.subject_id, d.feature_id, d.period_end, d.period
      from quota.counters as d
      where d.period in ('minute', 'hour')
        and d.period_end < v_now - interval '2 days'
      for update skip locked
    );
  get diagnostics v_removed = row_count;
  delete from quota.keys as k
    where (k.subject_id, k.is_server, k.idempotency_key) in (
      select d.subject_id, d.is_server, d.idempotency_key
      from quota.keys as d
      where d.bound_at < v_now - interval '31 days'
        -- An import is brought in once, however much later it is repeated.
        and d.arguments ->> 'call' <> 'import_usage'
      for update skip locked
    );
  get diagnostics v_rows = row_count;
  v_removed := v_removed + v_rows;
  -- Holds that expired, and that no call has met since, get their expire lines.
  for v_subject_id, v_feature_id in
    select m.subject_id, m.feature_id
    from quota.meters as m
    where m.holds_expire_at < v_now - interval '31 days'
    order by m.subject_id, m.feature_id
    for no key update skip locked
  loop
    perform quota.settle_expired(v_subject_id, v_feature_id, v_now);
  end loop;
  delete from quota.reservations as r
    where (r.subject_id, r.reservation_id) in (
      select d.subject_id, d.reservation_id
      from quota.reservations as d
      where d.state in ('committed', 'released', 'expired')
        and d.expires_at < v_now - interval '31 days'
      for update skip locked
    );
  get diagnostics v_rows = row_count;
  v_removed := v_removed + v_rows;
  -- One that nobody acknowledged may yet be delivered.
  delete from quota.alerts as a
    where (a.subject_id, a.alert_id) in (
      select d.subject_id, d.alert_id
      from quota.alerts as d
      where d.acknowledged_at < v_now - interval '31 days'
      for update skip locked
    );
  get diagnostics v_rows = row_count;
  return v_removed + v_rows;
end
$$;

comment on function quota.tidy() is
  'Removes closed minute and hour counters after 2 days, idempotency keys, ended or expired reservations and acknowledged alerts after 31, and returns how many rows that were. For DBAs; run it daily, at any time, or never.';

revoke all on function quota.tidy() from public, anon, authenticated, service_role;

-- sql/api/usage_alerts.sql

-- Why this exists: "you have used 80 %", read by its owner. Servers are told by deliver_alerts().
create view public.usage_alerts
with (security_invoker = true)
as
select
  a.subject_id as subject,
  a.feature_id as feature,
  a.period,
  nullif(a.period_start, '-infinity') as period_start,
  a.threshold,
  a.at,
  a.used,
  a.amount as "limit",
  a.alert_id
from quota.alerts as a;

comment on view public.usage_alerts is
  'Limits of which 80 % or 100 % was crossed: one row per subject, feature, period and threshold, written by the call that crossed it, again after a reset. deliver_alerts() hands them out, npx pgquota alerts sends them to a webhook.';
comment on column public.usage_alerts.subject is 'Who is limited.';
comment on column public.usage_alerts.feature is 'The id of the feature.';
comment on column public.usage_alerts.period is
  '`minute`, `hour`, `day`, `week`, `month`, `year` or `lifetime`.';
comment on column public.usage_alerts.period_start is 'When the period began; null for lifetime.';
comment on column public.usage_alerts.threshold is '80 or 100: per cent of the limit.';
comment on column public.usage_alerts.at is 'When it was crossed.';
comment on column public.usage_alerts.used is 'Used and reserved units, after the crossing call.';
comment on column public.usage_alerts."limit" is 'The limit at that moment.';
comment on column public.usage_alerts.alert_id is
  'Which alert it is: the same in each delivery, and what acknowledge_alerts() is told.';

revoke all on public.usage_alerts from public, anon, authenticated, service_role;
grant select on public.usage_alerts to authenticated, service_role;
-- Withheld: everything from anon, and every write.

-- sql/functions/deliver_alerts.sql

-- Why this exists: somebody must be told, at least once, whatever crashes on the way. An alert is handed
-- out, and handed out again after five minutes unless it was acknowledged. Several deliverers share the
-- work: each skips what another is being handed.
create function quota.deliver_alerts(p_max integer)
returns setof public.usage_alerts
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
set lock_timeout = '2s'
as $$
declare
  v_now timestamptz := quota.clock();
begin
  perform quota.require_trusted();
  if p_max is null or p_max < 1 or p_max > 1000 then
    raise exception 'deliver_alerts: max is %, from 1 to 1000 are handed out at a time',
      coalesce(p_max::text, 'null')
      using errcode = '22023', hint = 'leave it out for 100';
  end if;

  return query
    with due as (
      select a.subject_id, a.alert_id
      from quota.alerts as a
      where a.acknowledged_at is null
        and (
          a.handed_at is null
          or a.handed_at <= v_now - interval '5 minutes'
          -- The clock was set back: nobody waits until it comes there again.
          or a.handed_at > v_now
        )
      -- New ones first: a receiver that refuses some does not hold up the others.
      order by a.handed_at nulls first, a.at
      limit p_max
      for update skip locked
    ),
    handed as (
      update quota.alerts as a
        set handed_at = v_now
        from due as d
        where a.subject_id = d.subject_id
          and a.alert_id = d.alert_id
      returning
        a.subject_id, a.feature_id, a.period, a.period_start, a.threshold, a.at, a.used, a.amount,
        a.alert_id
    )
    select
      h.subject_id, h.feature_id, h.period, nullif(h.period_start, '-infinity'), h.threshold, h.at,
      h.used, h.amount, h.alert_id
    from handed as h
    order by h.at, h.alert_id;
end
$$;

comment on function quota.deliver_alerts(integer) is 'See public.deliver_alerts.';

revoke all on function quota.deliver_alerts(integer)
  from public, anon, authenticated, service_role;
grant execute on function quota.deliver_alerts(integer) to service_role;

create function quota.acknowledge_alerts(p_ids uuid[])
returns bigint
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
set lock_timeout = '2s'
as $$
declare
  v_now timestamptz := quota.clock();
  v_acknowledged bigint;
begin
  perform quota.require_trusted();
  if p_ids is null then
    raise exception 'acknowledge_alerts: ids is null, the alert_id of each alert that arrived is expected'
      using errcode = '22023', hint = 'an empty array acknowledges none';
  end if;
  -- skip locked: who holds one is forgetting it, acknowledging it, or handing it out once more. It
  -- waits for nobody, so it deadlocks with nobody; at worst an alert arrives twice.
  with arrived as (
    select a.subject_id, a.alert_id
    from quota.alerts as a
    where a.alert_id = any (p_ids)
      and a.acknowledged_at is null
    for update skip locked
  )
  update quota.alerts as a
    set acknowledged_at = v_now
    from arrived as r
    where a.subject_id = r.subject_id
      and a.alert_id = r.alert_id;
  get diagnostics v_acknowledged = row_count;
  return v_acknowledged;
end
$$;

comment on function quota.acknowledge_alerts(uuid[]) is 'See public.acknowledge_alerts.';

revoke all on function quota.acknowledge_alerts(uuid[])
  from public, anon, authenticated, service_role;
grant execute on function quota.acknowledge_alerts(uuid[]) to service_role;

-- sql/api/usage_explanation.sql

-- Why this exists: one limit, and what would allow the amount. Fields are only ever added at the end.
create type public.usage_explanation as (
  feature text,
  subject text,
  plan text,
  period text,
  source text,
  "limit" bigint,
  used bigint,
  reserved bigint,
  remaining bigint,
  unlimited boolean,
  granted bigint,
  resets_at timestamptz,
  refuses boolean,
  retry_after integer,
  top_up bigint,
  plans text[],
  upgrade_url text
);

comment on type public.usage_explanation is
  'One limit that applies, or one open grant, and what would allow the amount.';
comment on column public.usage_explanation.feature is 'The feature asked for.';
comment on column public.usage_explanation.subject is 'Who is limited.';
comment on column public.usage_explanation.plan is
  'The plan that holds now; null when the subject has none and there is no default plan.';
comment on column public.usage_explanation.period is
  '`minute`, `hour`, `day`, `week`, `month`, `year` or `lifetime`; null for a grant, and when the feature is not in the plan.';
comment on column public.usage_explanation.source is
  '`plan`, `exception` or `grant`: where it comes from.';
comment on column public.usage_explanation."limit" is
  'Units allowed in the period, open grants included, or units granted; null when unlimited, 0 when the feature is not in the plan.';
comment on column public.usage_explanation.used is 'Units used in the period, or drawn from the grant.';
comment on column public.usage_explanation.reserved is 'Units held by open reservations.';
comment on column public.usage_explanation.remaining is
  'Units left, never negative; null when unlimited.';
comment on column public.usage_explanation.unlimited is 'True when this limit is none.';
comment on column public.usage_explanation.granted is 'How much of the limit is open grants.';
comment on column public.usage_explanation.resets_at is
  'When the period ends, or the grant expires; null for never.';
comment on column public.usage_explanation.refuses is 'True when this limit has no room for the amount.';
comment on column public.usage_explanation.retry_after is
  'Whole seconds until time alone allows the amount under all limits; null when it is allowed now, or never.';
comment on column public.usage_explanation.top_up is
  'The smallest grant that would make room under this limit; null when none is needed, or grants do not lift it.';
comment on column public.usage_explanation.plans is
  'The other plans that would allow the amount now, smallest first; null when it is allowed already.';
comment on column public.usage_explanation.upgrade_url is
  'Where the plan sends who wants more; null when it says nothing.';

-- sql/functions/explain_usage.sql

-- Why this exists: "why?" and "what now?", for a paywall or a support desk. Asks limits_of() and decide()
-- as a call would, and again under every other plan. Reads only.
create function quota.explain_usage(
  p_feature text,
  p_amount bigint,
  p_subject text
)
returns setof public.usage_explanation
language plpgsql
stable
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_caller quota.caller := quota.caller_for(p_subject);
  v_now timestamptz := quota.clock();
  v_allowance quota.allowance;
  v_verdict quota.verdict;
  v_limit quota.limit_state;
  v_retry_after integer;
  v_plans text[];
  v_grant record;
begin
  perform quota.check_feature(p_feature);
  perform quota.check_amount(p_amount);
  v_allowance := quota.limits_of(v_caller.subject_id, p_feature, v_now);
  v_verdict := quota.decide(v_allowance.limits, p_amount);
  if not v_verdict.is_allowed then
    v_retry_after := (quota.refusal(
      v_caller.subject_id, p_feature, p_amount, v_now, v_allowance, v_verdict
    )).retry_after;
    v_plans := array(
      select p.plan_id
      from quota.plans as p
      cross join lateral quota.limits_of(v_caller.subject_id, p_feature, v_now, p.plan_id) as a
      where p.plan_id <> coalesce(v_allowance.plan_id, '')
        and (quota.decide(a.limits, p_amount)).is_allowed
      order by
        (select min(coalesce(l.amount, 9007199254740991)) from unnest(a.limits) as l),
        -- Alike for this feature: the plan that allows less of the others.
        (select sum(coalesce(l.amount, 9007199254740991)) from quota.plan_limits as l where l.plan_id = p.plan_id),
        p.plan_id
    );
  end if;

  if v_allowance.limits is null then
    return next row(
      p_feature, v_caller.subject_id, v_allowance.plan_id, null, 'plan', 0, 0, 0, 0, false, 0, null,
      true, v_retry_after, null, v_plans, v_allowance.upgrade_url
    )::public.usage_explanation;
  end if;
  foreach v_limit in array coalesce(v_allowance.limits, '{}') loop
    return next row(
      p_feature, v_caller.subject_id, v_allowance.plan_id, v_limit.period, v_limit.source,
      v_limit.amount + v_limit.drawn + v_limit.granted, v_limit.used, v_limit.reserved,
      case when v_limit.amount is not null then greatest(quota.room(v_limit), 0) end,
      v_limit.amount is null, v_limit.granted, nullif(v_limit.resets_at, 'infinity'),
      coalesce(quota.room(v_limit) < p_amount, false),
      v_retry_after,
      case
        when quota.room(v_limit) < p_amount and v_limit.period not in ('minute', 'hour')
        then p_amount - quota.room(v_limit)
      end,
      v_plans, v_allowance.upgrade_url
    )::public.usage_explanation;
  end loop;
  for v_grant in
    select g.amount, g.drawn, g.expires_at
    from quota.open_grants(v_caller.subject_id, p_feature, v_now) as g
    order by g.expires_at, g.grant_id
  loop
    return next row(
      p_feature, v_caller.subject_id, v_allowance.plan_id, null, 'grant', v_grant.amount,
      v_grant.drawn, 0, v_grant.amount - v_grant.drawn, false, v_grant.amount - v_grant.drawn,
      nullif(v_grant.expires_at, 'infinity'), false, v_retry_after, null, v_plans,
      v_allowance.upgrade_url
    )::public.usage_explanation;
  end loop;
end
$$;

comment on function quota.explain_usage(text, bigint, text) is 'See public.explain_usage.';

revoke all on function quota.explain_usage(text, bigint, text)
  from public, anon, authenticated, service_role;
grant execute on function quota.explain_usage(text, bigint, text) to authenticated, service_role;

-- sql/api/plan_change.sql

-- Why this exists: one line of what apply_plans changes, or would change.
create type public.plan_change as (
  action text,
  kind text,
  id text,
  detail text
);

comment on type public.plan_change is
  'One change that apply_plans makes, or would make.';
comment on column public.plan_change.action is '`add`, `change` or `remove`.';
comment on column public.plan_change.kind is '`feature`, `plan` or `limit`.';
comment on column public.plan_change.id is
  'The id of the feature or plan; of a limit plan/feature/period.';
comment on column public.plan_change.detail is 'What changes, in words: "amount: 50 → 100".';

-- sql/functions/apply_plans.sql

-- Why this exists: makes the catalogue equal to one document, so that plans can live in a repository
-- and be applied by every deployment. Judged as a whole before anything is written.

create function quota.reject_plans(
  p_place text,
  p_found jsonb,
  p_expected text
)
returns void
language plpgsql
immutable
security invoker
set search_path = pg_catalog, pg_temp
as $$
begin
  raise exception 'plan document, %: found %, expected %',
    p_place, coalesce(left(p_found::text, 100), 'nothing'), p_expected
    using errcode = 'QPLAN', hint = 'nothing was changed';
end
$$;

comment on function quota.reject_plans(text, jsonb, text) is
  'Says where a plan document is wrong. Errors: QPLAN.';

revoke all on function quota.reject_plans(text, jsonb, text)
  from public, anon, authenticated, service_role;

-- An object of the document with known keys, all of them ids or names without control characters.
create function quota.check_plan_object(
  p_place text,
  p_object jsonb,
  p_keys text[]
)
returns void
language plpgsql
immutable
security invoker
set search_path = pg_catalog, pg_temp
as $$
declare
  v_key text;
begin
  if p_object is null or jsonb_typeof(p_object) <> 'object' then
    perform quota.reject_plans(p_place, p_object, 'an object');
  end if;
  for v_key in select jsonb_object_keys(p_object) loop
    if p_keys is not null and v_key <> all (p_keys) then
      perform quota.reject_plans(
        p_place, to_jsonb(v_key), 'one of the keys ' || array_to_string(p_keys, ', ')
      );
    end if;
    if length(v_key) not between 1 and 255 or v_key ~ '[\u0001-\u001f\u007f-\u009f]' then
      perform quota.reject_plans(
        p_place, to_jsonb(v_key), 'an id of 1 to 255 characters without control characters'
      );
    end if;
  end loop;
end
$$;

comment on function quota.check_plan_object(text, jsonb, text[]) is
  'Null keys: any id will do. Errors: QPLAN.';

revoke all on function quota.check_plan_object(text, jsonb, text[])
  from public, anon, authenticated, service_role;

create function quota.check_plan_text(
  p_place text,
  p_value jsonb
)
returns void
language plpgsql
immutable
security invoker
set search_path = pg_catalog, pg_temp
as $$
begin
  if jsonb_typeof(p_value) <> 'string'
    or length(p_value #>> '{}') not between 1 and 2000
    or p_value #>> '{}' ~ '[\u0001-\u001f\u007f-\u009f]'
  then
    perform quota.reject_plans(
      p_place, p_value, 'text of 1 to 2000 characters without control characters'
    );
  end if;
end
$$;

comment on function quota.check_plan_text(text, jsonb) is 'Null is left out. Errors: QPLAN.';

revoke all on function quota.check_plan_text(text, jsonb)
  from public, anon, authenticated, service_role;

create function quota.check_plans(p_plans jsonb)
returns void
language plpgsql
immutable
security invoker
set search_path = pg_catalog, pg_temp
as $$
declare
  v_id text;
  v_item jsonb;
  v_place text;
  v_feature_id text;
  v_limits jsonb;
  v_period text;
  v_amount jsonb;
  v_default_id text;
begin
  perform quota.check_plan_object('top level', p_plans, array['$schema', 'features', 'plans']);
  perform quota.check_plan_object('features', p_plans -> 'features', null);
  perform quota.check_plan_object('plans', p_plans -> 'plans', null);

  for v_id, v_item in select key, value from jsonb_each(p_plans -> 'features') loop
    v_place := 'features.' || v_id;
    perform quota.check_plan_object(v_place, v_item, array['name', 'unit', 'kind', 'server_only']);
    perform quota.check_plan_text(v_place || '.name', v_item -> 'name');
    perform quota.check_plan_text(v_place || '.unit', v_item -> 'unit');
    if v_item -> 'kind' not in ('"metered"', '"gauge"') then
      perform quota.reject_plans(v_place || '.kind', v_item -> 'kind', '"metered" or "gauge"');
    end if;
    if jsonb_typeof(v_item -> 'server_only') <> 'boolean' then
      perform quota.reject_plans(v_place || '.server_only', v_item -> 'server_only', 'true or false');
    end if;
  end loop;

  for v_id, v_item in select key, value from jsonb_each(p_plans -> 'plans') loop
    v_place := 'plans.' || v_id;
    perform quota.check_plan_object(v_place, v_item, array['name', 'default', 'upgrade_url', 'limits']);
    perform quota.check_plan_text(v_place || '.name', v_item -> 'name');
    perform quota.check_plan_text(v_place || '.upgrade_url', v_item -> 'upgrade_url');
    if jsonb_typeof(v_item -> 'default') <> 'boolean' then
      perform quota.reject_plans(v_place || '.default', v_item -> 'default', 'true or false');
    end if;
    if v_item -> 'default' = 'true' then
      if v_default_id is not null then
        perform quota.reject_plans(
          v_place || '.default', v_item -> 'default',
          'one default plan, and ' || v_default_id || ' is it already'
        );
      end if;
      v_default_id := v_id;
    end if;

    perform quota.check_plan_object(v_place || '.limits', v_item -> 'limits', null);
    for v_feature_id, v_limits in select key, value from jsonb_each(v_item -> 'limits') loop
      v_place := 'plans.' || v_id || '.limits.' || v_feature_id;
      if not p_plans -> 'features' ? v_feature_id then
        perform quota.reject_plans(v_place, to_jsonb(v_feature_id), 'a feature of this document');
      end if;
      if p_plans -> 'features' -> v_feature_id ->> 'kind' = 'gauge' then
        perform quota.check_plan_object(v_place, v_limits, array['lifetime']);
      else
        perform quota.check_plan_object(
          v_place, v_limits, array['minute', 'hour', 'day', 'week', 'month', 'year', 'lifetime']
        );
      end if;
      if v_limits = '{}' then
        perform quota.reject_plans(v_place, v_limits, 'at least one period; leave the feature out to refuse it');
      end if;
      for v_period, v_amount in select key, value from jsonb_each(v_limits) loop
        if v_amount <> 'null' and not quota.is_whole(v_amount, 0) then
          perform quota.reject_plans(
            v_place || '.' || v_period, v_amount,
            'a whole number from 0 to 9007199254740991, or null for unlimited'
          );
        end if;
      end loop;
    end loop;
  end loop;
end
$$;

comment on function quota.check_plans(jsonb) is
  'Judges a plan document. Errors: QPLAN with the place, what was found and what was expected.';

revoke all on function quota.check_plans(jsonb) from public, anon, authenticated, service_role;

-- Whom a limit will meet: the subjects on its plan that have used more already.
create function quota.over_limit_note(
  p_path text[],
  p_amount jsonb
)
returns text
language plpgsql
stable
security invoker
set search_path = pg_catalog, pg_temp
as $$
declare
  v_now timestamptz := quota.clock();
  v_subjects bigint;
begin
  if p_amount is null or p_amount = 'null' then
    return '';
  end if;
  select count(*)
    into v_subjects
    from quota.counters as c
    join quota.subjects as s on s.subject_id = c.subject_id
    where c.feature_id = p_path[2]
      and c.period = p_path[3]
      and c.period_end > v_now
      and c.period_start <= v_now
      and c.used + c.reserved - c.drawn > (p_amount #>> '{}')::numeric
      and not exists (
        select from quota.exceptions as x
        where x.subject_id = c.subject_id
          and x.feature_id = c.feature_id
          and x.period = c.period
      )
      and coalesce(
        case when s.plan_ends_at <= v_now then null else s.plan_id end,
        (select p.plan_id from quota.plans as p where p.is_default)
      ) = p_path[1];
  return case when v_subjects > 0 then ' (subjects over it: ' || v_subjects || ')' else '' end;
end
$$;

comment on function quota.over_limit_note(text[], jsonb) is
  'How many subjects on the plan have used more than the new limit of plan, feature, period.';

revoke all on function quota.over_limit_note(text[], jsonb)
  from public, anon, authenticated, service_role;

-- What stands in the catalogue against what stands in the document.
create function quota.plan_changes(p_plans jsonb)
returns setof public.plan_change
language plpgsql
stable
security invoker
set search_path = pg_catalog, pg_temp
as $$
begin
  return query
    with document as (
      select 1 as rank, 'feature' as kind, array[f.key] as path,
        jsonb_build_object(
          'name', coalesce(f.value ->> 'name', f.key),
          'unit', coalesce(f.value ->> 'unit', 'unit'),
          'kind', coalesce(f.value ->> 'kind', 'metered'),
          'server_only', coalesce((f.value ->> 'server_only')::boolean, false)
        ) as content
      from jsonb_each(p_plans -> 'features') as f
      union all
      select 2, 'plan', array[p.key],
        jsonb_build_object(
          'name', coalesce(p.value ->> 'name', p.key),
          'default', coalesce((p.value ->> 'default')::boolean, false),
          'upgrade_url', p.value ->> 'upgrade_url'
        )
      from jsonb_each(p_plans -> 'plans') as p
      union all
      select 3, 'limit', array[p.key, l.key, a.key], jsonb_build_object('amount', a.value)
      from jsonb_each(p_plans -> 'plans') as p
      cross join lateral jsonb_each(p.value -> 'limits') as l
      cross join lateral jsonb_each(l.value) as a
    ),
    catalogue as (
      select 1 as rank, 'feature' as kind, array[f.feature_id] as path,
        jsonb_build_object(
          'name', f.name, 'unit', f.unit, 'kind', f.kind, 'server_only', f.server_only
        ) as content
      from quota.features as f
      union all
      select 2, 'plan', array[p.plan_id],
        jsonb_build_object('name', p.name, 'default', p.is_default, 'upgrade_url', p.upgrade_url)
      from quota.plans as p
      union all
      select 3, 'limit', array[l.plan_id, l.feature_id, l.period],
        jsonb_build_object('amount', l.amount)
      from quota.plan_limits as l
    )
    select
      case when c.path is null then 'add' when d.path is null then 'remove' else 'change' end,
      kind,
      array_to_string(path, '/'),
      (
        select string_agg(
          f.key || ': ' || concat_ws(
            ' → ',
            case c.content -> f.key when 'null' then f.none else (c.content -> f.key)::text end,
            case d.content -> f.key when 'null' then f.none else (d.content -> f.key)::text end
          ),
          ', ' order by f.key
        )
        from (
          select key, case key when 'amount' then 'unlimited' else 'none' end as none
          from jsonb_object_keys(coalesce(d.content, c.content)) as key
        ) as f
        where c.content -> f.key is distinct from d.content -> f.key
      ) || case when kind = 'limit' then quota.over_limit_note(path, d.content -> 'amount') else '' end
    from document as d
    full join catalogue as c using (rank, kind, path)
    where c.content is distinct from d.content
    order by rank, path;
end
$$;

comment on function quota.plan_changes(jsonb) is
  'What would have to change for the catalogue to equal the document.';

revoke all on function quota.plan_changes(jsonb) from public, anon, authenticated, service_role;

create function quota.apply_plans(
  p_plans jsonb,
  p_dry_run boolean
)
returns setof public.plan_change
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
set lock_timeout = '2s'
as $$
declare
  v_changes public.plan_change[];
  v_in_use text;
  v_now timestamptz := quota.clock();
begin
  perform quota.require_trusted();
  perform quota.check_plans(p_plans);
  perform quota.check_flag('apply_plans', 'dry_run', p_dry_run);

  if p_dry_run is false then
    -- One deployment at a time; callers go on reading.
    lock table quota.plans in share row exclusive mode;
  end if;
  v_changes := array(select c from quota.plan_changes(p_plans) as c);
  if p_dry_run is false then
    -- What is about to go may be in use by a call in flight: set_plan() and first uses share these
    -- rows, later uses hold the meter; wait for them before looking. Rows, not tables: two locked
    -- tables deadlocked with readers that came to them in the other order.
    perform from quota.plans as p
      where exists (
        select from unnest(v_changes) as c
        where c.kind = 'plan' and c.action = 'remove' and c.id = p.plan_id
      )
      order by p.plan_id
      for update;
    perform from quota.features as f
      where exists (
        select from unnest(v_changes) as c
        where c.kind = 'feature' and c.action in ('remove', 'change') and c.id = f.feature_id
      )
      order by f.feature_id
      for update;
    if exists (select from unnest(v_changes) as c where c.kind = 'feature' and c.action = 'remove') then
      delete from quota.meters as m
        where not p_plans -> 'features' ? m.feature_id;
    end if;
  end if;

  select string_agg(c.kind || ' ' || c.id, ', ')
    into v_in_use
    from unnest(v_changes) as c
    where (
        c.kind = 'plan'
        and c.action = 'remove'
        and exists (select from quota.subjects as s where s.plan_id = c.id)
      )
      or (
        c.kind = 'feature'
        and (
          c.action = 'remove'
          or (
            c.action = 'change'
            and (select f.kind from quota.features as f where f.feature_id = c.id)
              <> coalesce(p_plans -> 'features' -> c.id ->> 'kind', 'metered')
          )
        )
        and (
          exists (select from quota.counters as n where n.feature_id = c.id)
          or exists (select from quota.exceptions as x where x.feature_id = c.id)
          or exists (select from quota.grants as g where g.feature_id = c.id)
          or exists (select from quota.limited_tables as t where t.feature_id = c.id)
        )
      );
  if v_in_use is not null then
    raise exception 'in use, and cannot be removed or change its kind: %', v_in_use
      using errcode = 'QPLAN',
        hint = 'put the subjects on another plan first; leave a feature in features and out of every plan''s limits; a table is freed by unlimit_table()';
  end if;

  -- Who has open grants shows limit and grants as one number.
  select string_agg(distinct t.path, ', ')
    into v_in_use
    from (
      select concat_ws('/', p.key, g.feature_id, l.key) as path,
        (l.value #>> '{}')::numeric + g.amount as most
      from (
        select o.subject_id, o.feature_id, sum(o.amount) as amount
        from quota.grants as o
        where o.expires_at > v_now
          and o.voided_at is null
        group by o.subject_id, o.feature_id
      ) as g
      join quota.subjects as s on s.subject_id = g.subject_id
      cross join lateral jsonb_each(p_plans -> 'plans') as p
      cross join lateral jsonb_each(p.value -> 'limits' -> g.feature_id) as l
      where l.value <> 'null'
        and l.key not in ('minute', 'hour')
        and p.key = coalesce(
          case when s.plan_ends_at <= v_now then null else s.plan_id end,
          (
            select d.key
            from jsonb_each(p_plans -> 'plans') as d
            where (d.value ->> 'default')::boolean
          )
        )
        and not exists (
          select from quota.exceptions as x
          where x.subject_id = g.subject_id
            and x.feature_id = g.feature_id
            and x.period = l.key
        )
    ) as t
    where t.most > 9007199254740991;
  if v_in_use is not null then
    raise exception 'apply_plans: with the open grants of a subject these limits pass 9007199254740991 (2^53 - 1): %',
      v_in_use
      using errcode = 'QPLAN', hint = 'null is unlimited';
  end if;

  if p_dry_run is false and cardinality(v_changes) > 0 then
    -- What meters remember is of the last edition.
    update quota.catalogue as k set version = k.version + 1;
    delete from quota.plan_limits as l
      where p_plans #> array['plans', l.plan_id, 'limits', l.feature_id, l.period] is null;
    delete from quota.plans as p
      where not p_plans -> 'plans' ? p.plan_id;
    delete from quota.features as f
      where not p_plans -> 'features' ? f.feature_id;

    insert into quota.features (feature_id, name, unit, kind, server_only)
      select
        f.key,
        coalesce(f.value ->> 'name', f.key),
        coalesce(f.value ->> 'unit', 'unit'),
        coalesce(f.value ->> 'kind', 'metered'),
        coalesce((f.value ->> 'server_only')::boolean, false)
      from jsonb_each(p_plans -> 'features') as f
      on conflict (feature_id) do update
        set name = excluded.name,
            unit = excluded.unit,
            kind = excluded.kind,
            server_only = excluded.server_only;

    -- The former default first: the index allows one at a time.
    update quota.plans as p
      set is_default = false
      where p.is_default
        and not coalesce((p_plans -> 'plans' -> p.plan_id ->> 'default')::boolean, false);
    insert into quota.plans (plan_id, name, is_default, upgrade_url)
      select
        p.key,
        coalesce(p.value ->> 'name', p.key),
        coalesce((p.value ->> 'default')::boolean, false),
        p.value ->> 'upgrade_url'
      from jsonb_each(p_plans -> 'plans') as p
      on conflict (plan_id) do update
        set name = excluded.name,
            is_default = excluded.is_default,
            upgrade_url = excluded.upgrade_url;

    insert into quota.plan_limits (plan_id, feature_id, period, amount)
      select p.key, l.key, a.key, (a.value #>> '{}')::numeric
      from jsonb_each(p_plans -> 'plans') as p
      cross join lateral jsonb_each(p.value -> 'limits') as l
      cross join lateral jsonb_each(l.value) as a
      on conflict (plan_id, feature_id, period) do update
        set amount = excluded.amount;
  end if;

  return query select c.action, c.kind, c.id, c.detail from unnest(v_changes) as c;
end
$$;

comment on function quota.apply_plans(jsonb, boolean) is 'See public.apply_plans.';

revoke all on function quota.apply_plans(jsonb, boolean)
  from public, anon, authenticated, service_role;
grant execute on function quota.apply_plans(jsonb, boolean) to service_role;

-- sql/functions/put_back.sql

-- Why this exists: a gauge goes down: something was deleted. Holding the meter.

create function quota.level_of(
  p_subject_id text,
  p_feature_id text
)
returns bigint
language plpgsql
stable
strict
security invoker
set search_path = pg_catalog, pg_temp
as $$
begin
  -- Of the counter, whatever the plan says now; a gauge that a plan never had has the ledger alone.
  return coalesce(
    (
      select c.used
      from quota.counters as c
      where c.subject_id = p_subject_id
        and c.feature_id = p_feature_id
        and c.period_end = 'infinity'
        and c.period = 'lifetime'
    ),
    (quota.ledger_balance(p_subject_id, p_feature_id, '-infinity', 'infinity')).used
  );
end
$$;

comment on function quota.level_of(text, text) is 'What a gauge shows.';

revoke all on function quota.level_of(text, text) from public, anon, authenticated, service_role;

create function quota.rows_used(
  p_subject_id text,
  p_feature_id text
)
returns bigint
language plpgsql
stable
strict
security invoker
set search_path = pg_catalog, pg_temp
as $$
begin
  return coalesce(
    (
      select m.rows_used
      from quota.meters as m
      where m.subject_id = p_subject_id
        and m.feature_id = p_feature_id
    ),
    0
  );
end
$$;

comment on function quota.rows_used(text, text) is
  'How much of a gauge rows of limited tables are. It goes with the rows, and not by hand.';

revoke all on function quota.rows_used(text, text) from public, anon, authenticated, service_role;
create function quota.put_back(
  p_caller quota.caller,
  p_feature_id text,
  p_amount bigint,
  p_at timestamptz,
  p_kind text,
  p_idempotency_key text,
  p_arguments jsonb,
  p_metadata jsonb
)
returns public.usage_decision
language plpgsql
volatile
security invoker
set search_path = pg_catalog, pg_temp
as $$
declare
  v_allowance quota.allowance := quota.limits_of(p_caller.subject_id, p_feature_id, p_at);
  v_used bigint := quota.level_of(p_caller.subject_id, p_feature_id);
  v_event quota.events;
  v_decision public.usage_decision;
begin
  if p_kind = 'table' and v_used = 0 then
    return null;
  end if;
  if p_kind <> 'table' then
    v_used := v_used - quota.rows_used(p_caller.subject_id, p_feature_id);
  end if;
  v_event := row(
    p_caller.subject_id, quota.new_id(p_at), p_at, p_kind, p_feature_id, p_at,
    -- Never below zero: what is not there cannot be given back.
    -least(p_amount, greatest(v_used, 0)), 0, 0, null, null, p_caller.actor, p_idempotency_key,
    p_metadata
  )::quota.events;
  v_allowance.limits := quota.after_event(v_allowance.limits, v_event);
  v_decision := quota.decision(
    p_caller.subject_id, p_feature_id, -v_event.used_change, v_allowance,
    (quota.decide(v_allowance.limits, 0)).shown, 'ok', v_event.event_id
  );
  if p_idempotency_key is not null and not quota.bind_key(
    p_caller, p_idempotency_key, p_arguments, to_jsonb(v_decision), p_at
  ) then
    return null;
  end if;
  perform quota.record(v_event);
  return v_decision;
end
$$;

comment on function quota.put_back(
  quota.caller, text, bigint, timestamptz, text, text, jsonb, jsonb
) is 'Lowers a gauge by at most what it shows. Null: the idempotency key was taken meanwhile.';

revoke all on function quota.put_back(
  quota.caller, text, bigint, timestamptz, text, text, jsonb, jsonb
) from public, anon, authenticated, service_role;

create function quota.return_usage(
  p_feature text,
  p_amount bigint,
  p_subject text,
  p_idempotency_key text,
  p_metadata jsonb
)
returns public.usage_decision
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
set lock_timeout = '2s'
set plan_cache_mode = force_generic_plan
as $$
declare
  v_caller quota.caller;
  v_arguments jsonb;
  v_answer jsonb;
  v_now timestamptz;
  v_decision public.usage_decision;
begin
  perform quota.require_trusted();
  v_caller := quota.caller_for(p_subject);
  perform quota.check_arguments(p_amount, p_idempotency_key, p_metadata);
  perform quota.check_feature(p_feature);
  if exists (
    select from quota.features as f where f.feature_id = p_feature and f.kind <> 'gauge'
  ) then
    raise exception 'feature % is metered, and what was used is used', quote_literal(p_feature)
      using errcode = 'QFEAT', hint = 'give a counted event back with refund_usage';
  end if;

  v_now := quota.lock_meter(v_caller.subject_id, p_feature);
  if p_idempotency_key is not null then
    v_arguments := jsonb_build_object('call', 'return_usage', 'feature', p_feature, 'amount', p_amount);
    v_answer := quota.replay(v_caller, p_idempotency_key, v_arguments, v_now);
  end if;
  if v_answer is null then
    v_decision := quota.put_back(
      v_caller, p_feature, p_amount, v_now, 'return',
      p_idempotency_key, v_arguments, coalesce(p_metadata, '{}')
    );
    if v_decision.allowed is not null then
      return v_decision;
    end if;
    v_answer := quota.replay(v_caller, p_idempotency_key, v_arguments, v_now);
  end if;
  return quota.replayed(v_answer);
end
$$;

comment on function quota.return_usage(text, bigint, text, text, jsonb) is
  'See public.return_usage.';

revoke all on function quota.return_usage(text, bigint, text, text, jsonb)
  from public, anon, authenticated, service_role;
grant execute on function quota.return_usage(text, bigint, text, text, jsonb) to service_role;


-- For DBAs: tables that limit themselves, plans that follow a table, the proof.
-- sql/functions/limit_table.sql

-- Why this exists: a table that limits itself, on every path: REST, SQL editor, copy, upsert, update of
-- the owner, delete, cascade, truncate. The path that an app forgets is the one that is used.
--
-- Statement triggers with transition tables: one counter update per statement and subject, never per
-- row. All gauges of a table share its triggers, so that several subjects and gauges in one statement
-- are locked in lock order. Dynamic SQL is needed for the columns, which are quoted by %I; nothing else
-- is put in. Transition tables cannot be asked for together with `update of column`.

-- What an app's table holds is read and turned into text with the rights of the owner of schema quota,
-- and its own owner may change a column's type at any time. A cast from a type of theirs is a function
-- of theirs: so the types are asked for first, at each reading. By the parser, which knows the table as
-- it is now; a snapshot of the catalogue may be older than that. Nothing of the columns is evaluated.
create function quota.types_query(
  p_from text,
  p_columns text[]
)
returns text
language plpgsql
immutable
security invoker
set search_path = pg_catalog, pg_temp
as $$
begin
  return format(
    'select array[%s]::regtype[] from (values (1)) as one (n) left join %s as t on false',
    (
      select string_agg(format('pg_typeof(t.%I)', c.name), ', ' order by c.ordinality)
      from unnest(p_columns) with ordinality as c (name, ordinality)
    ),
    p_from
  );
end
$$;

comment on function quota.types_query(text, text[]) is
  'SQL text: the types of these columns, one array.';

revoke all on function quota.types_query(text, text[])
  from public, anon, authenticated, service_role;

-- Equal values have to have one spelling, too: 7 and 7.0, 'a' and 'A' of citext would each have a limit
-- of its own.
create function quota.has_plain_types(
  p_table regclass,
  p_columns text[],
  p_types regtype[]
)
returns boolean
language plpgsql
stable
security invoker
set search_path = pg_catalog, pg_temp
as $$
begin
  return p_types <@ array[
      'text', 'character varying', 'uuid', 'smallint', 'integer', 'bigint'
    ]::regtype[]
    and not exists (
      select from pg_catalog.pg_attribute as a
      join pg_catalog.pg_collation as c on c.oid = a.attcollation
      where a.attrelid = p_table
        and a.attname = any (p_columns)
        and not c.collisdeterministic
    );
end
$$;

comment on function quota.has_plain_types(regclass, text[], regtype[]) is
  'True for columns of built-in types whose equal values have one spelling.';

revoke all on function quota.has_plain_types(regclass, text[], regtype[])
  from public, anon, authenticated, service_role;

create function quota.check_ids(
  p_table regclass,
  p_columns text[],
  p_types regtype[]
)
returns void
language plpgsql
stable
security invoker
set search_path = pg_catalog, pg_temp
as $$
begin
  if quota.has_plain_types(p_table, p_columns, p_types) is not true then
    raise exception 'a column of % cannot hold ids: % of type %',
      p_table, array_to_string(p_columns, ', '), array_to_string(p_types, ', ')
      using errcode = '22023',
        hint = 'text, varchar, uuid, smallint, integer or bigint can, with a deterministic collation; another type becomes text in a stored generated column';
  end if;
end
$$;

comment on function quota.check_ids(regclass, text[], regtype[]) is
  'Errors: 22023 a type of somebody''s own, or one whose equal values have several spellings.';

revoke all on function quota.check_ids(regclass, text[], regtype[])
  from public, anon, authenticated, service_role;

create function quota.has_number_types(p_types regtype[])
returns boolean
language plpgsql
immutable
security invoker
set search_path = pg_catalog, pg_temp
as $$
begin
  return p_types <@ array['smallint', 'integer', 'bigint', 'numeric']::regtype[];
end
$$;

comment on function quota.has_number_types(regtype[]) is 'True for built-in types of whole amounts.';

revoke all on function quota.has_number_types(regtype[])
  from public, anon, authenticated, service_role;

create function quota.check_amounts(
  p_table regclass,
  p_columns text[],
  p_types regtype[]
)
returns void
language plpgsql
stable
security invoker
set search_path = pg_catalog, pg_temp
as $$
begin
  if quota.has_number_types(p_types) is not true then
    raise exception 'an amount column of % is not a whole number: % of type %',
      p_table, array_to_string(p_columns, ', '), array_to_string(p_types, ', ')
      using errcode = '22023', hint = 'an amount is smallint, integer, bigint or numeric';
  end if;
end
$$;

comment on function quota.check_amounts(regclass, text[], regtype[]) is
  'Errors: 22023 a type of somebody''s own, or no number.';

revoke all on function quota.check_amounts(regclass, text[], regtype[])
  from public, anon, authenticated, service_role;

-- The query for subject, gauge, signed change and whether the amount is none, of each row.
create function quota.rows_query(
  p_from text,
  p_sign text,
  p_feature_id text,
  p_subject_column text,
  p_amount_column text
)
returns text
language plpgsql
immutable
security invoker
set search_path = pg_catalog, pg_temp
as $$
begin
  return format(
    case when p_amount_column is null
      then 'select %1$I::text collate "C" as subject_id, %2$L as feature_id, %3$s1 as change, false as is_wrong'
      else 'select %1$I::text collate "C" as subject_id, %2$L as feature_id, %3$scoalesce(%4$I, 0) as change, %4$I < 0 or %4$I %% 1 <> 0 as is_wrong'
    end || ' from %5$s where %1$I is not null',
    p_subject_column, p_feature_id, p_sign, p_amount_column, p_from
  );
end
$$;

comment on function quota.rows_query(text, text, text, text, text) is
  'SQL text: subject_id, feature_id, signed change and is_wrong (negative or a fraction) of each row that has a subject.';

revoke all on function quota.rows_query(text, text, text, text, text)
  from public, anon, authenticated, service_role;

create function quota.count_rows()
returns trigger
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
set lock_timeout = '2s'
set plan_cache_mode = force_generic_plan
as $$
declare
  v_queries text[] := '{}';
  v_features text[] := '{}';
  v_subject_columns text[] := '{}';
  v_amount_columns text[] := '{}';
  v_from text := case tg_op
    when 'INSERT' then 'new_rows' when 'TRUNCATE' then tg_relid::regclass::text else 'old_rows'
  end;
  v_types regtype[];
  v_amount_column text;
  v_subject_id text;
  v_feature_id text;
  v_change numeric;
  v_is_wrong boolean;
  v_caller quota.caller;
  v_now timestamptz;
  v_decision public.usage_decision;
  v_metadata jsonb;
begin
  for i in 0 .. tg_nargs - 1 by 3 loop
    v_features := v_features || tg_argv[i];
    v_amount_column := nullif(tg_argv[i + 2], '');
    v_subject_columns := v_subject_columns || tg_argv[i + 1];
    v_amount_columns := array_remove(v_amount_columns || v_amount_column, null);
    if tg_op in ('UPDATE', 'DELETE') then
      v_queries := v_queries || quota.rows_query(
        'old_rows', '-', tg_argv[i], tg_argv[i + 1], v_amount_column
      );
    end if;
    if tg_op in ('INSERT', 'UPDATE') then
      v_queries := v_queries || quota.rows_query(
        'new_rows', '', tg_argv[i], tg_argv[i + 1], v_amount_column
      );
    end if;
    if tg_op = 'TRUNCATE' then
      -- Before the rows are gone.
      v_queries := v_queries || quota.rows_query(
        tg_relid::regclass::text, '-', tg_argv[i], tg_argv[i + 1], v_amount_column
      );
    end if;
  end loop;

  -- Its policies are code of the table's owner as well.
  if tg_op = 'TRUNCATE' and row_security_active(tg_relid) then
    raise exception 'the owner of schema quota cannot read all of %', tg_relid::regclass
      using errcode = '42501', hint = 'do not force row security on it, or call quota.unlimit_table()';
  end if;
  execute quota.types_query(v_from, v_subject_columns || v_amount_columns) into v_types;
  perform quota.check_ids(
    tg_relid, v_subject_columns, v_types[:cardinality(v_subject_columns)]
  );
  perform quota.check_amounts(
    tg_relid, v_amount_columns, v_types[cardinality(v_subject_columns) + 1:]
  );

  -- Subjects in byte order, as everybody locks them.
  for v_subject_id, v_feature_id, v_change, v_is_wrong in execute format(
    'select r.subject_id, r.feature_id, sum(r.change), bool_or(r.is_wrong)
     from (%s) as r
     group by r.subject_id, r.feature_id
     having sum(r.change) <> 0 or bool_or(r.is_wrong)
     order by r.subject_id collate "C", r.feature_id collate "C"',
    array_to_string(v_queries, ' union all ')
  ) loop
    if v_is_wrong and tg_op in ('INSERT', 'UPDATE')
      or abs(v_change) > 9007199254740991
    then
      raise exception 'the amount column of % holds what is not a whole number from 0 to 9007199254740991',
        tg_relid::regclass
        using errcode = 'QAMNT', hint = 'count fractional amounts in micro-units';
    end if;
    if length(v_subject_id) not between 1 and 255 then
      raise exception 'the subject column of % holds an id of % characters, 1 to 255 are allowed',
        tg_relid::regclass, length(v_subject_id)
        using errcode = 'QSUBJ', hint = 'null is a row that counts for nobody';
    end if;
    -- A subject that was forgotten stays forgotten when its rows go, too.
    continue when v_change < 0 and not exists (
      select from quota.meters as m
      where m.subject_id = v_subject_id
        and m.feature_id = v_feature_id
    );

    v_metadata := coalesce(v_metadata, jsonb_build_object('table', tg_relid::regclass::text));
    if v_subject_id is distinct from v_caller.subject_id then
      v_caller := row(v_subject_id, true, nullif(quota.user_id(), v_subject_id))::quota.caller;
      v_now := null;
      -- All at once: a meter that is made while another is held could meet set_plan() crosswise.
      if cardinality(v_features) > 1 then
        v_now := quota.lock_meters(v_subject_id, v_features);
      end if;
    end if;
    if v_change > 0 then
      v_decision := quota.take_fresh(
        v_caller, v_feature_id, v_change::bigint, 'table', v_metadata
      );
      continue when v_decision.allowed;
    end if;
    v_now := coalesce(v_now, quota.lock_meter(v_subject_id, v_feature_id));
    if v_change > 0 then
      perform quota.enforce(
        quota.take(
          v_caller, v_feature_id, v_change::bigint, v_now, 'table', null, null, null,
          v_metadata
        )
      );
    else
      perform quota.put_back(
        v_caller, v_feature_id, -v_change::bigint, v_now, 'table', null, null, v_metadata
      );
    end if;
  end loop;
  return null;
end
$$;

comment on function quota.count_rows() is
  'Trigger of limit_table(): counts the rows of a statement, and raises PT402 when they do not fit. Arguments, for each gauge: feature, subject column, amount column or nothing.';

revoke all on function quota.count_rows() from public, anon, authenticated, service_role;

-- What the limited tables hold, per subject. Those that were dropped, or whose column was renamed or has
-- another type, hold nothing: verify_usage() shows the difference, and does not fail. So does one whose
-- owner made it a view (Postgres 15 lets an empty table become one) or forces policies on the reader:
-- both are code of theirs. One that was attached to another is part of that one.
create function quota.rows_in_tables(
  p_feature_id text,
  p_subject_id text default null
)
returns table (subject_id text, amount bigint)
language plpgsql
stable
security invoker
set search_path = pg_catalog, pg_temp
set row_security = off
as $$
declare
  v_table record;
  v_types regtype[];
  v_query text;
begin
  for v_table in
    select t.table_id, t.subject_column, t.amount_column,
      array_remove(array[t.subject_column, t.amount_column], null)::text[] as columns
    from quota.limited_tables as t
    join pg_catalog.pg_class as c on c.oid = t.table_id
    where t.feature_id = p_feature_id
      and (c.relkind = 'p' or pg_relation_filenode(t.table_id) is not null)
      and not row_security_active(t.table_id)
      and not exists (
        select from unnest(array_remove(array[t.subject_column, t.amount_column], null)) as u (name)
        where not exists (
          select from pg_catalog.pg_attribute as a
          where a.attrelid = t.table_id
            and a.attname = u.name
        )
      )
      and not exists (
        select from pg_catalog.pg_partition_ancestors(t.table_id) as a
        join quota.limited_tables as l on l.table_id = a.relid
        where l.table_id <> t.table_id
          and l.feature_id = t.feature_id
      )
    order by t.table_id
  loop
    -- From here on the table is locked against a change.
    execute quota.types_query(v_table.table_id::text, v_table.columns) into v_types;
    continue when quota.has_plain_types(
        v_table.table_id, v_table.columns[:1], v_types[:1]
      ) is not true
      or quota.has_number_types(v_types[2:]) is not true;
    v_query := concat_ws(
      ' union all ', v_query,
      quota.rows_query(
        v_table.table_id::text, '', p_feature_id, v_table.subject_column, v_table.amount_column
      )
    );
  end loop;
  if v_query is not null then
    return query execute format(
      'select r.subject_id, sum(r.change)::bigint from (%s) as r
       where $1 is null or r.subject_id = $1 group by r.subject_id',
      v_query
    ) using p_subject_id;
  end if;
end
$$;

comment on function quota.rows_in_tables(text, text) is
  'The amounts that the limited tables of a gauge hold, for one subject or all.';

revoke all on function quota.rows_in_tables(text, text)
  from public, anon, authenticated, service_role;

-- Before gauges are counted anew: the meters of all whose rows are there, or were. Subject by subject in
-- byte order, each with all it needs, as the triggers of other tables lock them: subjects first and
-- meters then met crosswise a statement that held a meter and made the next subject.
create function quota.lock_gauges(p_feature_ids text[])
returns void
language plpgsql
volatile
security invoker
set search_path = pg_catalog, pg_temp
as $$
declare
  v_subject_id text;
  v_feature_ids text[];
begin
  for v_subject_id, v_feature_ids in
    select t.subject_id, array_agg(t.feature_id order by t.feature_id)
    from (
      select r.subject_id, f.feature_id
      from unnest(p_feature_ids) as f (feature_id)
      cross join lateral quota.rows_in_tables(f.feature_id) as r
      union
      select m.subject_id, m.feature_id
      from quota.meters as m
      where m.feature_id = any (p_feature_ids)
    ) as t
    group by t.subject_id
    order by t.subject_id collate "C"
  loop
    if cardinality(v_feature_ids) = 1 then
      perform quota.lock_meter(v_subject_id, v_feature_ids[1]);
    else
      perform quota.lock_meters(v_subject_id, v_feature_ids);
    end if;
  end loop;
end
$$;

comment on function quota.lock_gauges(text[]) is
  'Makes and locks the meters of all subjects of these gauges, in lock order.';

revoke all on function quota.lock_gauges(text[]) from public, anon, authenticated, service_role;

-- Makes a gauge's table lines equal to the rows that are there, under the locks of lock_gauges(). In a
-- few statements for all subjects, since there may be many; the caller has stopped the table's writers.
create function quota.recount_gauge(p_feature_id text)
returns void
language plpgsql
volatile
security invoker
set search_path = pg_catalog, pg_temp
as $$
declare
  v_now timestamptz;
  v_lines quota.events[];
begin
  v_now := quota.clock();

  -- One statement, one snapshot: rows and meters of other tables of the gauge change together. A sum and
  -- no join: what was just written has no statistics, and 50,000 subjects took a nested loop of minutes.
  v_lines := array(
    select row(
      t.subject_id, quota.new_id(v_now), v_now, 'table', p_feature_id, v_now, sum(t.change),
      0, 0, null, null, null, null, '{"recount": true}'
    )::quota.events
    from (
      select r.subject_id, r.amount as change
      from quota.rows_in_tables(p_feature_id) as r
      union all
      select m.subject_id, -m.rows_used
      from quota.meters as m
      where m.feature_id = p_feature_id
    ) as t
    group by t.subject_id
    having sum(t.change) <> 0
  );
  insert into quota.events (
    subject_id, event_id, at, kind, feature_id, counts_at, used_change, metadata
  )
    select l.subject_id, l.event_id, l.at, l.kind, l.feature_id, l.counts_at, l.used_change, l.metadata
    from unnest(v_lines) as l;
  update quota.meters as m
    set rows_used = m.rows_used + l.used_change
    from unnest(v_lines) as l
    where m.subject_id = l.subject_id
      and m.feature_id = l.feature_id;
  -- A counter that is not there yet starts from the ledger, at the first call.
  update quota.counters as c
    set used = c.used + l.used_change
    from unnest(v_lines) as l
    where c.subject_id = l.subject_id
      and c.feature_id = l.feature_id
      and c.period_end > l.counts_at
      and c.period_start <= l.counts_at;
  -- Statistics of before would have every call scan the ledger (verify_usage() took minutes, not 1 s).
  if cardinality(v_lines) > 1000 then
    analyze quota.subjects, quota.meters, quota.counters, quota.events;
  end if;
end
$$;

comment on function quota.recount_gauge(text) is
  'Sets a gauge to what its tables hold, also over the limit, with a ledger line for each difference.';

revoke all on function quota.recount_gauge(text) from public, anon, authenticated, service_role;

create function quota.recount(p_feature_ids text[])
returns void
language plpgsql
volatile
security invoker
set search_path = pg_catalog, pg_temp
as $$
declare
  v_feature_id text;
begin
  -- A snapshot older than the lock would not see all rows.
  if current_setting('transaction_isolation') <> 'read committed' then
    raise exception 'tables are counted at read committed'
      using errcode = '25001', hint = 'begin the transaction without an isolation level';
  end if;
  delete from quota.limited_tables as t
    where t.feature_id = any (p_feature_ids)
      and not exists (select from pg_catalog.pg_class as c where c.oid = t.table_id);
  perform quota.lock_gauges(p_feature_ids);
  foreach v_feature_id in array p_feature_ids loop
    perform quota.recount_gauge(v_feature_id);
  end loop;
end
$$;

comment on function quota.recount(text[]) is
  'Sets gauges to what their tables hold, for limit_table and unlimit_table. Errors: 25001 not at read committed.';

revoke all on function quota.recount(text[]) from public, anon, authenticated, service_role;

-- What a trigger of a table reads has to be there.
create function quota.check_columns(
  p_table regclass,
  p_columns name[]
)
returns void
language plpgsql
stable
security invoker
set search_path = pg_catalog, pg_temp
as $$
declare
  v_column name;
  v_generated "char";
begin
  foreach v_column in array p_columns loop
    select a.attgenerated
      into v_generated
      from pg_catalog.pg_attribute as a
      where a.attrelid = p_table
        and a.attname = v_column
        and a.attnum > 0;
    if not found then
      raise exception 'table % has no column %', p_table, quote_ident(v_column)
        using errcode = '42703', hint = 'name a column of the table; after it was renamed, call the function again with the new name';
    end if;
    -- Of Postgres 18, and null in triggers: every row would count 0, and name no plan.
    if v_generated = 'v' then
      raise exception 'column % of % is generated when it is read', quote_ident(v_column), p_table
        using errcode = '22023', hint = 'generate it as stored';
    end if;
  end loop;
end
$$;

comment on function quota.check_columns(regclass, name[]) is
  'Errors: 42703 no such column; 22023 a virtual one.';

revoke all on function quota.check_columns(regclass, name[])
  from public, anon, authenticated, service_role;

-- May this table get this gauge?
create function quota.check_limited_table(
  p_table regclass,
  p_feature_id text,
  p_subject_column name,
  p_amount_column name
)
returns void
language plpgsql
volatile
security invoker
set search_path = pg_catalog, pg_temp
as $$
declare
  v_owner oid := (select n.nspowner from pg_catalog.pg_namespace as n where n.nspname = 'quota');
  v_table pg_catalog.pg_class;
begin
  perform quota.check_feature(p_feature_id);
  -- for share: apply_plans() waits, and then sees the table.
  perform from quota.features as f
    where f.feature_id = p_feature_id
      and f.kind = 'gauge'
    for share;
  if not found then
    raise exception 'feature % is metered, a table needs a gauge', quote_literal(p_feature_id)
      using errcode = 'QFEAT', hint = 'give it "kind": "gauge" in the plan document';
  end if;
  if p_table is null or p_subject_column is null then
    raise exception 'the table or its subject column is missing'
      using errcode = '22023', hint = 'for example limit_table(''public.kb_files'', ''kb_file'', ''user_id'')';
  end if;
  select c.relkind, c.relowner, c.relforcerowsecurity
    into v_table.relkind, v_table.relowner, v_table.relforcerowsecurity
    from pg_catalog.pg_class as c
    where c.oid = p_table
      and c.relkind in ('r', 'p')
      and c.relpersistence <> 't'
      and not c.relispartition
      and (c.relkind = 'p' or not exists (
        select from pg_catalog.pg_inherits as i where c.oid in (i.inhrelid, i.inhparent)
      ));
  if not found then
    raise exception '% cannot be limited', p_table
      using errcode = '42809',
        hint = 'a table can, also a partitioned one as a whole; a view, a partition, a temporary table and inheritance cannot';
  end if;
  perform quota.check_columns(p_table, array_remove(array[p_subject_column, p_amount_column], null));
  -- Truncate and verify_usage() read the table as the owner of schema quota, and past its policies.
  if not exists (
    select from pg_catalog.pg_roles as r
    where r.oid = v_owner
      and (r.rolsuper or (
        pg_has_role(v_owner, v_table.relowner, 'usage')
        and (r.rolbypassrls or not v_table.relforcerowsecurity)
      ))
  ) then
    raise exception 'the owner of schema quota cannot read all of %', p_table
      using errcode = '42501',
        hint = format(
          '%s has to own the table or be a member of its owner, and the table has no forced row security',
          v_owner::regrole
        );
  end if;
end
$$;

comment on function quota.check_limited_table(regclass, text, name, name) is
  'Errors: QFEAT, 22023, 42501, 42703, 42809.';

revoke all on function quota.check_limited_table(regclass, text, name, name)
  from public, anon, authenticated, service_role;

-- The triggers of a table and of the leaves it has now, for all its gauges.
create function quota.make_triggers(p_table regclass)
returns void
language plpgsql
volatile
security invoker
set search_path = pg_catalog, pg_temp
as $$
declare
  v_arguments text;
  v_table record;
begin
  select string_agg(
      format('%L, %L, %L', t.feature_id, t.subject_column, coalesce(t.amount_column, '')), ', '
      order by t.feature_id
    )
    into v_arguments
    from quota.limited_tables as t
    where t.table_id = p_table;
  for v_table in
    select c.oid::regclass as id, c.relkind = 'r' as is_leaf
    from pg_catalog.pg_class as c
    where c.oid = p_table
      or c.oid in (select t.relid from pg_catalog.pg_partition_tree(p_table) as t)
  loop
    execute format(
      'create or replace trigger pgquota_insert after insert on %s
       referencing new table as new_rows
       for each statement execute function quota.count_rows(%s)',
      v_table.id, v_arguments
    );
    execute format(
      'create or replace trigger pgquota_update after update on %s
       referencing old table as old_rows new table as new_rows
       for each statement execute function quota.count_rows(%s)',
      v_table.id, v_arguments
    );
    execute format(
      'create or replace trigger pgquota_delete after delete on %s
       referencing old table as old_rows
       for each statement execute function quota.count_rows(%s)',
      v_table.id, v_arguments
    );
    -- On leaves alone: truncating a parent fires on the parent and each leaf.
    if v_table.is_leaf then
      execute format(
        'create or replace trigger pgquota_truncate before truncate on %s
         for each statement execute function quota.count_rows(%s)',
        v_table.id, v_arguments
      );
    end if;
  end loop;
end
$$;

comment on function quota.make_triggers(regclass) is
  'Makes a limited table and its partitions count their rows.';

revoke all on function quota.make_triggers(regclass)
  from public, anon, authenticated, service_role;

-- Tables that are limited no more: after unlimit_table(), and partitions that were detached.
create function quota.drop_stale_triggers()
returns void
language plpgsql
volatile
security invoker
set search_path = pg_catalog, pg_temp
as $$
declare
  v_trigger record;
begin
  for v_trigger in
    select t.tgname, t.tgrelid
    from pg_catalog.pg_trigger as t
    join pg_catalog.pg_class as c on c.oid = t.tgrelid
    where t.tgfoid = 'quota.count_rows()'::regprocedure
      and pg_has_role(c.relowner, 'usage')
      and not exists (
        select from quota.limited_tables as l
        where l.table_id = t.tgrelid
          or l.table_id in (select a.relid from pg_catalog.pg_partition_ancestors(t.tgrelid) as a)
      )
    order by t.tgrelid, t.tgname
  loop
    execute format('drop trigger %I on %s', v_trigger.tgname, v_trigger.tgrelid::regclass);
  end loop;
end
$$;

comment on function quota.drop_stale_triggers() is
  'Takes the triggers off tables that are neither limited nor partitions of one that is.';

revoke all on function quota.drop_stale_triggers()
  from public, anon, authenticated, service_role;

create function quota.limit_table(
  p_table regclass,
  p_feature text,
  p_subject_column name,
  p_amount_column name default null
)
returns void
language plpgsql
volatile
security invoker
set search_path = pg_catalog, pg_temp
set lock_timeout = '2s'
set row_security = off
as $$
declare
  v_columns text[] := array_remove(array[p_subject_column, p_amount_column], null);
  v_partitions regclass[];
  v_locked regclass[];
  v_types regtype[];
  v_features text[];
  v_amount_is_wrong boolean;
  v_subject_is_wrong boolean;
begin
  perform quota.require_trusted();
  perform quota.check_limited_table(p_table, p_feature, p_subject_column, p_amount_column);

  -- Writers wait, so that no row is missed or counted twice.
  -- A partition that was being attached is one when the lock is there, and holds its writers only when
  -- it is locked itself.
  loop
    execute format('lock table %s in share row exclusive mode', p_table);
    v_partitions := array(
      select p.relid from pg_catalog.pg_partition_tree(p_table) as p where p.relid <> p_table
    );
    exit when v_partitions <@ v_locked;
    v_locked := v_partitions;
  end loop;
  execute quota.types_query(p_table::text, v_columns) into v_types;
  perform quota.check_ids(p_table, v_columns[:1], v_types[:1]);
  perform quota.check_amounts(p_table, v_columns[2:], v_types[2:]);
  execute format(
    'select bool_or(r.is_wrong), bool_or(length(r.subject_id) not between 1 and 255)
     from (%s) as r where r.change <> 0',
    quota.rows_query(p_table::text, '', p_feature, p_subject_column, p_amount_column)
  ) into v_amount_is_wrong, v_subject_is_wrong;
  if v_amount_is_wrong then
    raise exception 'column % of % holds amounts that are negative or fractions',
      quote_ident(p_amount_column), p_table
      using errcode = 'QAMNT', hint = 'count fractional amounts in micro-units';
  end if;
  if v_subject_is_wrong then
    raise exception 'column % of % holds ids that are empty or over 255 characters',
      quote_ident(p_subject_column), p_table
      using errcode = 'QSUBJ', hint = 'null is a row that counts for nobody';
  end if;

  insert into quota.limited_tables (table_id, feature_id, subject_column, amount_column)
    values (p_table, p_feature, p_subject_column, p_amount_column)
    on conflict (table_id, feature_id) do update
      set subject_column = excluded.subject_column,
          amount_column = excluded.amount_column;
  -- What was a limited table and has become a partition of this one is counted here from now on.
  with members as (
    delete from quota.limited_tables as t
      where t.table_id = any (v_partitions)
      returning t.feature_id
  )
  select array(select m.feature_id from members as m union select p_feature order by 1)
    into v_features;
  perform quota.make_triggers(p_table);
  perform quota.drop_stale_triggers();
  perform quota.recount(v_features);
end
$$;

comment on function quota.limit_table(regclass, text, name, name) is
  'Puts a gauge on a table: every row that has a subject counts one, or its amount column (null is 0), on the table and on the partitions it has now. Rows that are there are counted, also over the limit. A statement that does not fit raises PT402 with the decision in DETAIL, and nothing of it is written. Call it again after a partition was created, attached or detached, after a column was renamed, or after a load with session_replication_role = replica: it recounts. Call unlimit_table() before the table is dropped. For the owner of the table, not over REST. Errors: QFEAT unknown or metered feature; QAMNT, QSUBJ rows that cannot be counted; 42703 no such column; 42809 no table, or a partition; 22023 an argument is missing, an amount column that is no number, an id column of another type than text, varchar, uuid, smallint, integer and bigint or with a nondeterministic collation, or a virtual generated column; 25001 not at read committed; 42501 not a trusted role, or a table that the owner of schema quota cannot read; 55P03 retry.';

revoke all on function quota.limit_table(regclass, text, name, name)
  from public, anon, authenticated, service_role;

create function quota.unlimit_table(p_table regclass)
returns void
language plpgsql
volatile
security invoker
set search_path = pg_catalog, pg_temp
set lock_timeout = '2s'
as $$
declare
  v_features text[];
begin
  perform quota.require_trusted();
  if p_table is null then
    raise exception 'unlimit_table: p_table is null, a table is expected'
      using errcode = '22023', hint = 'quota.limited_tables has those that are limited';
  end if;
  if exists (select from pg_catalog.pg_class as c where c.oid = p_table) then
    -- Dropping triggers needs the strongest lock; taken at once, it is not waited for twice.
    execute format('lock table %s in access exclusive mode', p_table);
  end if;
  with members as (
    delete from quota.limited_tables as t
      where t.table_id = p_table
      returning t.feature_id
  )
  select array(select m.feature_id from members as m order by 1)
    into v_features;
  perform quota.drop_stale_triggers();
  perform quota.recount(v_features);
end
$$;

comment on function quota.unlimit_table(regclass) is
  'Takes the gauges off a table and gives back what its rows counted; also of a table that was dropped, named by its oid in quota.limited_tables. For the owner of the table, not over REST. Errors: 25001 not at read committed; 42501 not a trusted role; 55P03 retry.';

revoke all on function quota.unlimit_table(regclass)
  from public, anon, authenticated, service_role;

-- sql/functions/follow_plan.sql

-- Why this exists: apps that keep the plan in a table of their own (profiles.plan, the subscriptions of
-- Supabase's Stripe sync) need no second call to set_plan: the table is followed.
--
-- Row triggers, since Postgres gives them to every partition, also to one that comes later.

create function quota.follow_row(
  p_subject_id text,
  p_plan_id text
)
returns void
language plpgsql
volatile
security invoker
set search_path = pg_catalog, pg_temp
as $$
begin
  if length(p_subject_id) not between 1 and 255 then
    raise exception 'the subject has % characters, 1 to 255 are allowed', length(p_subject_id)
      using errcode = 'QSUBJ', hint = 'null is a row that names nobody''s plan';
  end if;
  -- Who was never seen, or was forgotten, has the default plan already.
  if p_plan_id is not null
    or exists (select from quota.subjects as s where s.subject_id = p_subject_id)
  then
    perform quota.put_on_plan(p_subject_id, p_plan_id);
  end if;
end
$$;

comment on function quota.follow_row(text, text) is
  'Puts the subject that a row names on its plan; a null plan is the default plan. Errors: QSUBJ, QPLAN.';

revoke all on function quota.follow_row(text, text) from public, anon, authenticated, service_role;

create function quota.plan_changed()
returns trigger
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
set lock_timeout = '2s'
as $$
declare
  -- Of the row as it is now: to_jsonb() of it would call what the table's owner made of other columns.
  v_types regtype[];
  v_former_id text;
  v_subject_id text;
  v_plan_id text;
begin
  -- Else it would read as null, and everybody would fall to the default plan.
  perform quota.check_columns(tg_relid, array[tg_argv[0], tg_argv[1]]::name[]);
  execute format('select array[pg_typeof(($1).%I), pg_typeof(($1).%I)]::regtype[]', tg_argv[0], tg_argv[1])
    into v_types
    using coalesce(new, old);
  perform quota.check_ids(tg_relid, array[tg_argv[0], tg_argv[1]], v_types);
  if tg_op <> 'INSERT' then
    execute format('select ($1).%I::text', tg_argv[0]) into v_former_id using old;
  end if;
  if tg_op <> 'DELETE' then
    execute format('select ($1).%I::text, ($1).%I::text', tg_argv[0], tg_argv[1])
      into v_subject_id, v_plan_id
      using new;
  end if;
  -- In lock order, though the new subject is put on its plan first.
  perform from quota.subjects as s
    where s.subject_id = v_former_id
      and s.subject_id < v_subject_id
    for no key update;
  if v_subject_id is not null then
    perform quota.follow_row(v_subject_id, v_plan_id);
  end if;
  if v_former_id is not null and v_former_id is distinct from v_subject_id then
    perform quota.follow_row(v_former_id, null);
  end if;
  return null;
end
$$;

comment on function quota.plan_changed() is
  'Trigger of follow_plan(). Arguments: subject column, plan column, and a third where users may write it.';

revoke all on function quota.plan_changed() from public, anon, authenticated, service_role;

-- Who of the API's users may write what the plan is read from: by a grant on the table or on a column, to
-- them, to public or to a role that they belong to, on the table or on a partition of it.
create function quota.plan_writers(
  p_table regclass,
  p_plan_column name
)
returns name[]
language plpgsql
stable
security invoker
set search_path = pg_catalog, pg_temp
as $$
begin
  return array(
    select r.rolname
    from pg_catalog.pg_roles as r
    where r.rolname in ('anon', 'authenticated')
      and exists (
        select from pg_catalog.pg_class as c
        join pg_catalog.pg_attribute as a on a.attrelid = c.oid
        where (
            c.oid = p_table
            or c.oid in (select t.relid from pg_catalog.pg_partition_tree(p_table) as t)
          )
          and a.attname = any (quota.plan_sources(p_table, p_plan_column))
          and not a.attisdropped
          and has_column_privilege(r.oid, c.oid, a.attnum, 'insert, update')
      )
    order by r.rolname
  );
end
$$;

comment on function quota.plan_writers(regclass, name) is
  'Which of anon and authenticated may insert or update the plan column of a table, or a column that it is generated from.';

revoke all on function quota.plan_writers(regclass, name)
  from public, anon, authenticated, service_role;

-- A generated column is written by whoever writes those that it is generated from.
create function quota.plan_sources(
  p_table regclass,
  p_plan_column name
)
returns name[]
language plpgsql
stable
security invoker
set search_path = pg_catalog, pg_temp
as $$
begin
  return array(
    select p_plan_column
    union
    select s.attname
    from pg_catalog.pg_attribute as a
    left join pg_catalog.pg_attrdef as g on g.adrelid = a.attrelid and g.adnum = a.attnum
    join pg_catalog.pg_depend as d on d.refclassid = 'pg_class'::regclass
      and d.refobjid = a.attrelid
      and (
        (d.classid = 'pg_attrdef'::regclass and d.objid = g.oid)
        or (d.classid = 'pg_class'::regclass and d.objid = a.attrelid and d.objsubid = a.attnum)
      )
    join pg_catalog.pg_attribute as s on s.attrelid = a.attrelid and s.attnum = d.refobjsubid
    where a.attrelid = p_table
      and a.attname = p_plan_column
      and a.attgenerated <> ''
  );
end
$$;

comment on function quota.plan_sources(regclass, name) is
  'The plan column and, if it is generated, the columns that it is generated from.';

revoke all on function quota.plan_sources(regclass, name)
  from public, anon, authenticated, service_role;

create function quota.refuse_plan_writers(
  p_table regclass,
  p_subject_column name,
  p_plan_column name
)
returns void
language plpgsql
stable
security invoker
set search_path = pg_catalog, pg_temp
as $$
declare
  v_writers name[] := quota.plan_writers(p_table, p_plan_column);
  v_sources name[];
  v_grantees text;
  v_tables text;
  v_inserts text;
  v_updates text;
begin
  if cardinality(v_writers) = 0 then
    return;
  end if;
  v_sources := quota.plan_sources(p_table, p_plan_column);
  -- The two statements that end it, for this table: whose grants they are, and what may stay.
  select string_agg(distinct c.oid::regclass::text, ', '),
      string_agg(
        distinct case when p.grantee = 0 then 'public' else p.grantee::regrole::text end, ', '
      )
    into v_tables, v_grantees
    from pg_catalog.pg_class as c
    cross join lateral (
      select x.grantee, x.privilege_type from aclexplode(c.relacl) as x
      union all
      select x.grantee, x.privilege_type
      from pg_catalog.pg_attribute as a
      cross join lateral aclexplode(a.attacl) as x
      where a.attrelid = c.oid
        and a.attname = any (v_sources)
    ) as p
    where (
        c.oid = p_table
        or c.oid in (select t.relid from pg_catalog.pg_partition_tree(p_table) as t)
      )
      and p.privilege_type in ('INSERT', 'UPDATE')
      and p.grantee <> c.relowner
      and (
        p.grantee = 0
        or exists (select from unnest(v_writers) as w (name) where pg_has_role(w.name, p.grantee, 'usage'))
      );
  select
      string_agg(quote_ident(a.attname), ', ' order by a.attnum)
        filter (where has_column_privilege('authenticated', p_table, a.attnum, 'insert')),
      string_agg(quote_ident(a.attname), ', ' order by a.attnum)
        filter (where has_column_privilege('authenticated', p_table, a.attnum, 'update')
          and a.attname <> p_subject_column)
    into v_inserts, v_updates
    from pg_catalog.pg_attribute as a
    where a.attrelid = p_table
      and a.attnum > 0
      and not a.attisdropped
      and a.attgenerated = ''
      and a.attname <> all (v_sources);
  raise exception 'follow_plan: % may write column % of %, and would choose their own plan',
    array_to_string(v_writers, ' and '), quote_ident(p_plan_column), p_table
    using errcode = '42501',
      hint = case when v_grantees is null
        then 'they belong to the owner of the table: take them out of that role'
        else concat_ws(' ',
          format('revoke insert, update on %s from %s;', v_tables, v_grantees),
          'grant ' || nullif(concat_ws(', ',
            'insert (' || v_inserts || ')', 'update (' || v_updates || ')'
          ), '') || format(' on %s to authenticated;', p_table),
          'or follow_plan(…, p_users_may_write => true), where they may choose'
        ) end;
end
$$;

comment on function quota.refuse_plan_writers(regclass, name, name) is
  'Errors: 42501 anon or authenticated may write the plan column; the hint has the statements that end it.';

revoke all on function quota.refuse_plan_writers(regclass, name, name)
  from public, anon, authenticated, service_role;

create function quota.follow_plan(
  p_table regclass,
  p_subject_column name,
  p_plan_column name,
  p_users_may_write boolean default false
)
returns bigint
language plpgsql
volatile
security invoker
set search_path = pg_catalog, pg_temp
set lock_timeout = '2s'
-- Hidden rows would not be followed: an error instead, and no policy of the table's is evaluated.
set row_security = off
as $$
declare
  v_columns text[] := array[p_subject_column, p_plan_column];
  v_types regtype[];
  -- The third says that it was meant, to who looks for what was not.
  v_arguments text := format('%L, %L', p_subject_column, p_plan_column)
    || case when p_users_may_write is true then ', ''users may write''' else '' end;
  v_subject_id text;
  v_plan_id text;
  v_last_id text;
  v_last_plan text;
  v_rows bigint := 0;
begin
  perform quota.require_trusted();
  if p_table is null or p_subject_column is null or p_plan_column is null then
    raise exception 'the table, its subject column or its plan column is missing'
      using errcode = '22023', hint = 'for example follow_plan(''public.profiles'', ''id'', ''plan'')';
  end if;
  perform quota.check_columns(p_table, array[p_subject_column, p_plan_column]);
  -- A snapshot older than the lock would not see all rows.
  if current_setting('transaction_isolation') <> 'read committed' then
    raise exception 'a table is followed from read committed'
      using errcode = '25001', hint = 'begin the transaction without an isolation level';
  end if;
  execute format('lock table %s in share row exclusive mode', p_table);
  execute quota.types_query(p_table::text, v_columns) into v_types;
  perform quota.check_ids(p_table, v_columns, v_types);
  perform quota.check_flag('follow_plan', 'p_users_may_write', p_users_may_write);
  if p_users_may_write is not true then
    perform quota.refuse_plan_writers(p_table, p_subject_column, p_plan_column);
  end if;
  execute format(
    'create or replace trigger pgquota_follow_plan after insert or delete on %s
     for each row execute function quota.plan_changed(%s)',
    p_table, v_arguments
  );
  -- Most updates of such a table change neither, and cost nothing.
  execute format(
    'create or replace trigger pgquota_follow_plan_update after update on %1$s
     for each row when ((old.%2$I, old.%3$I) is distinct from (new.%2$I, new.%3$I))
     execute function quota.plan_changed(%4$s)',
    p_table, p_subject_column, p_plan_column, v_arguments
  );
  for v_subject_id, v_plan_id in execute format(
    'select %1$I::text collate "C", %2$I::text from %3$s
     where %1$I is not null order by 1, 2',
    p_subject_column, p_plan_column, p_table
  ) loop
    v_rows := v_rows + 1;
    if v_subject_id = v_last_id and v_plan_id is distinct from v_last_plan then
      raise exception 'several rows name a plan for the subject %', quote_literal(left(v_subject_id, 100))
        using errcode = '21000', hint = 'follow a table that has one row for each subject';
    end if;
    v_last_id := v_subject_id;
    v_last_plan := v_plan_id;
    continue when exists (
      select from quota.subjects as s
      where s.subject_id = v_subject_id
        and s.plan_id is not distinct from v_plan_id
        and s.plan_ends_at is null
    );
    perform quota.follow_row(v_subject_id, v_plan_id);
  end loop;
  return v_rows;
end
$$;

comment on function quota.follow_plan(regclass, name, name, boolean) is
  'Keeps set_plan in step with an app''s own table of one row per subject: now for its rows, and from now on at every insert, update and delete (null or deleted: the default plan), though not at truncate. Anchor and zone are kept, an end is cleared. Returns how many rows were followed. Whoever may write the plan column chooses the plan: refused while anon or authenticated may (the hint has the statements), unless p_users_may_write is true. Call it again after a column was renamed. To end it: drop the triggers pgquota_follow_plan and pgquota_follow_plan_update of the table. For the owner of the table, not over REST. Errors: QPLAN a plan that is not in the catalogue, which also refuses the app''s write; QSUBJ an empty subject or one over 255 characters; 21000 several plans for one subject; 22023 an argument is missing, a column of another type than text, varchar, uuid, smallint, integer and bigint or with a nondeterministic collation, or a virtual generated column; 42703 no such column; 25001 not at read committed; 42501 not a trusted role, a plan column that users may write, or a table with policies for the caller; 55P03 retry.';

revoke all on function quota.follow_plan(regclass, name, name, boolean)
  from public, anon, authenticated, service_role;

-- sql/api/import_result.sql

-- Why this exists: what became of one row that was brought in. Fields are only ever added at the end.
create type public.import_result as (
  "row" integer,
  subject text,
  feature text,
  amount bigint,
  action text,
  problem text
);

comment on type public.import_result is 'What quota.import_usage() did, or would do, with one row.';
comment on column public.import_result."row" is 'Which row of the document, from 1.';
comment on column public.import_result.subject is 'Who used it; null when the row does not say.';
comment on column public.import_result.feature is 'What was used; null when the row does not say.';
comment on column public.import_result.amount is 'Units; null when the row does not say.';
comment on column public.import_result.action is
  '`import`; `skip` (it was brought in before, or is 0); `reject` (see problem).';
comment on column public.import_result.problem is 'Why it was rejected; null when it was not.';

-- sql/functions/import_usage.sql

-- Why this exists: taking over the counts that an app kept before, of the open period and of closed ones.
-- What was used was used: an import may exceed the limit. A row is known by its subject, feature and
-- period_start, so running it again counts nothing twice.

create function quota.instant_from(p_text text)
returns timestamptz
language plpgsql
immutable
strict
security invoker
set search_path = pg_catalog, pg_temp
set timezone = 'UTC'
as $$
begin
  if p_text !~ '^\d{4}-\d\d-\d\d([T ]\d\d:\d\d(:\d\d(\.\d+)?)?(Z|[+-]\d\d(:?\d\d)?)?)?$' then
    return null;
  end if;
  return p_text::timestamptz;
exception
  when datetime_field_overflow or invalid_datetime_format or invalid_time_zone_displacement_value then
    return null;
end
$$;

comment on function quota.instant_from(text) is
  'The instant of an ISO 8601 text, in UTC where it names no offset; null when it is none.';

revoke all on function quota.instant_from(text) from public, anon, authenticated, service_role;

create function quota.import_usage(
  p_rows jsonb,
  p_dry_run boolean default false
)
returns setof public.import_result
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
set lock_timeout = '2s'
as $$
declare
  v_item record;
  v_result public.import_result;
  v_event quota.events;
  v_caller quota.caller;
  v_arguments jsonb;
  v_former quota.events;
  v_former_arguments jsonb;
  v_limits quota.limit_state[];
  v_found jsonb;
  v_now timestamptz;
  v_period_start timestamptz;
begin
  perform quota.require_trusted();
  perform quota.check_flag('import_usage', 'p_dry_run', p_dry_run);
  if p_rows is null or jsonb_typeof(p_rows) <> 'array' then
    raise exception 'import_usage: p_rows is %, an array of rows is expected',
      coalesce('a JSON ' || jsonb_typeof(p_rows), 'null (jsonb_agg of no rows is null)')
      using errcode = '22023',
        hint = '[{"subject": "…", "feature": "…", "amount": 3, "period_start": "2026-11-01T00:00:00Z"}]';
  end if;
  -- In lock order, so that two imports do not meet crosswise.
  for v_item in
    select i.value, i.ordinality
    from jsonb_array_elements(p_rows) with ordinality as i
    order by i.value ->> 'subject' collate "C", i.value ->> 'feature' collate "C",
      quota.instant_from(i.value ->> 'period_start'), i.ordinality
  loop
    v_result := row(
      v_item.ordinality, v_item.value ->> 'subject', v_item.value ->> 'feature', null, 'reject', null
    )::public.import_result;
    v_event.counts_at := quota.instant_from(v_item.value ->> 'period_start');
    v_event.metadata := coalesce(nullif(v_item.value -> 'metadata', 'null'), '{}');
    v_now := quota.clock();
    v_result.problem := case
      when jsonb_typeof(v_item.value) <> 'object'
        then 'not an object'
      when v_item.value - array['subject', 'feature', 'amount', 'period', 'period_start', 'metadata'] <> '{}'
        then 'other keys than subject, feature, amount, period, period_start and metadata'
      when jsonb_typeof(v_item.value -> 'subject') not in ('string', 'number')
          or coalesce(length(v_result.subject), 0) not between 1 and 255
        then 'subject is missing, empty, over 255 characters or no text'
      when not exists (select from quota.features as f where f.feature_id = v_result.feature)
        then 'unknown feature; features come from the plan document'
      when not quota.is_whole(v_item.value -> 'amount', 0)
        then 'amount is not a whole number from 0 to 9007199254740991'
      when v_event.counts_at is null
        then 'period_start is not an instant such as 2026-11-01T00:00:00Z'
      when v_event.counts_at > v_now
        then 'period_start lies in the future'
      when v_event.counts_at < '1000-01-01 00:00+00'
        then 'period_start lies before the year 1000'
      when v_item.value ? 'period'
        and (quota.period_rank(v_item.value ->> 'period') is null or v_item.value ->> 'period' = 'lifetime')
        then 'period is not minute, hour, day, week, month or year'
      when exists (
        select from quota.limited_tables as t where t.feature_id = v_result.feature
      )
        then 'rows of a table limited by limit_table() count this gauge already'
      when jsonb_typeof(v_event.metadata) <> 'object' or octet_length(v_event.metadata::text) > 8192
        then 'metadata is not an object, or over 8 kB'
    end;

    -- A month of the old table that is none of the subject's would land in two of its months, or another.
    if v_result.problem is null and v_item.value ? 'period' then
      select p.period_start
        into v_period_start
        from (values (v_result.subject)) as i (subject_id)
        left join quota.subjects as s on s.subject_id = i.subject_id
        cross join lateral quota.period_of(
          v_item.value ->> 'period', v_event.counts_at, s.anchor_at, coalesce(s.time_zone, 'UTC')
        ) as p;
      if v_period_start <> v_event.counts_at then
        v_result.problem := format(
          'no %s of this subject begins at period_start; the one that holds it begins at %s; set its anchor and zone with set_plan first, or leave period out',
          v_item.value ->> 'period',
          to_char(v_period_start at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"Z"')
        );
      end if;
    end if;

    if v_result.problem is null then
      v_result.amount := (v_item.value ->> 'amount')::numeric;
      v_event.subject_id := v_result.subject;
      v_event.feature_id := v_result.feature;
      -- Longer than a caller's key may be, so that nobody can take it before. A long feature is hashed:
      -- rpad would cut what follows it, and with it the month.
      v_event.idempotency_key := concat_ws(
        '/', 'import',
        case
          when length(v_result.feature) <= 150 then v_result.feature
          else encode(sha256(convert_to(v_result.feature, 'UTF8')), 'hex')
        end,
        extract(epoch from v_event.counts_at)
      );
      v_event.idempotency_key := rpad(v_event.idempotency_key, 256, '/');
      v_caller := row(v_event.subject_id, true, null)::quota.caller;
      v_arguments := jsonb_build_object('call', 'import_usage', 'amount', v_result.amount);
      if p_dry_run is not true and v_result.amount > 0 then
        v_event.at := quota.lock_meter(v_event.subject_id, v_event.feature_id);
      end if;
      select k.arguments
        into v_found
        from quota.keys as k
        where k.subject_id = v_event.subject_id
          and k.is_server
          and k.idempotency_key = v_event.idempotency_key;
      if (v_former.subject_id, v_former.idempotency_key) = (v_event.subject_id, v_event.idempotency_key) then
        -- A row above, which a dry run has not written.
        v_found := v_former_arguments;
      end if;
      if v_found <> v_arguments then
        v_result.problem := 'brought in before with another amount: ' || (v_found ->> 'amount');
      elsif v_found is not null or v_result.amount = 0 then
        v_result.action := 'skip';
      else
        v_limits := (
          quota.limits_of(v_event.subject_id, v_event.feature_id, v_event.counts_at)
        ).limits;
        if exists (
          select from unnest(v_limits) as l
          where l.used + l.reserved + v_result.amount > 9007199254740991
        ) then
          v_result.problem := 'a counter would pass 9007199254740991 (2^53 - 1)';
        else
          v_result.action := 'import';
          v_former := v_event;
          v_former_arguments := v_arguments;
        end if;
      end if;
    end if;

    if v_result.action = 'import' and p_dry_run is not true then
      v_event.event_id := quota.new_id(v_event.at);
      v_event.kind := 'import';
      v_event.used_change := v_result.amount;
      v_event.reserved_change := 0;
      v_event.drawn_change := 0;
      perform quota.bind_key(
        v_caller, v_event.idempotency_key, v_arguments, to_jsonb(v_result), v_event.at
      );
      perform quota.open_counters(v_event.subject_id, v_event.feature_id, v_event.at, v_limits);
      perform quota.record(v_event);
      if exists (select from unnest(v_limits) as l where l.resets_at > v_event.at) then
        perform quota.write_alerts(
          v_event.subject_id, v_event.feature_id, v_event.at,
          array(select l from unnest(v_limits) as l where l.resets_at > v_event.at),
          (quota.limits_of(v_event.subject_id, v_event.feature_id, v_event.at)).limits
        );
      end if;
      -- A counter that a former plan would count in is no limit of the present one.
      update quota.meters as m
        set fresh_until = '-infinity'
        where m.subject_id = v_event.subject_id
          and m.feature_id = v_event.feature_id;
    end if;
    return next v_result;
  end loop;
end
$$;

comment on function quota.import_usage(jsonb, boolean) is
  'Brings in use that was counted elsewhere: rows of subject, feature, amount, period_start (an instant in the past; the use counts in the periods that hold it, so set plan and anchor first), period (optional, such as month: a row whose period_start begins none of the subject''s is rejected) and metadata. A gauge that limit_table() counts is rejected. Each becomes a ledger line of kind import, may exceed the limit, and is counted once however often it is brought in. Returns a row per row: import, skip or reject with the problem; rejected rows do not hinder the others. p_dry_run writes nothing. For DBAs, not over REST. Errors: 22023 p_rows is not an array, or p_dry_run is null; 42501 not a trusted role; 55P03 retry.';

revoke all on function quota.import_usage(jsonb, boolean)
  from public, anon, authenticated, service_role;

-- sql/api/usage_mismatch.sql

-- Why this exists: one number that its ledger does not prove.
create type public.usage_mismatch as (
  subject text,
  feature text,
  period text,
  period_start timestamptz,
  counted bigint,
  ledger bigint
);

comment on type public.usage_mismatch is
  'A number that its ledger does not prove.';
comment on column public.usage_mismatch.subject is 'Whose number it is.';
comment on column public.usage_mismatch.feature is 'The feature it counts.';
comment on column public.usage_mismatch.period is
  'The counter''s period; reserved where holds differ from open reservations, granted where a grant''s draws do.';
comment on column public.usage_mismatch.period_start is
  'When the period began or the grant was made; null for lifetime.';
comment on column public.usage_mismatch.counted is 'The number that is kept.';
comment on column public.usage_mismatch.ledger is 'The number that the ledger proves.';

-- sql/functions/verify_usage.sql

-- Why this exists: proves every number. One statement, so one snapshot: it never cries wolf while
-- others work.

create function quota.verify_usage(p_subject text)
returns setof public.usage_mismatch
language plpgsql
stable
security definer
set search_path = pg_catalog, pg_temp
as $$
begin
  perform quota.require_trusted();
  return query
    with counters as (
      select c.subject_id, c.feature_id, c.period, c.period_start, c.period_end,
        c.used, c.reserved, c.drawn, l.used as ledger_used, l.reserved as ledger_reserved,
        l.drawn as ledger_drawn
      from quota.counters as c
      cross join lateral (
        select
          least(coalesce(sum(e.used_change), 0), 4611686018427387904)::bigint as used,
          least(coalesce(sum(e.reserved_change), 0), 4611686018427387904)::bigint as reserved,
          least(coalesce(sum(e.drawn_change), 0), 4611686018427387904)::bigint as drawn
        from quota.events as e
        where e.subject_id = c.subject_id
          and e.feature_id = c.feature_id
          and e.at >= c.period_start
          and e.counts_at >= c.period_start
          and e.counts_at < c.period_end
      ) as l
      where p_subject is null or c.subject_id = p_subject
    ),
    holds as (
      select c.subject_id, c.feature_id, c.period_start, c.reserved,
        (
          select coalesce(sum(r.amount), 0)::bigint
          from quota.reservations as r
          where r.subject_id = c.subject_id
            and r.feature_id = c.feature_id
            and r.state = 'open'
            and r.reserved_at >= c.period_start
            and r.reserved_at < c.period_end
        ) as open_holds
      from counters as c
    ),
    draws as (
      select g.subject_id, g.feature_id, g.granted_at, g.drawn,
        (
          select coalesce(sum(e.drawn_change), 0)::bigint
          from quota.events as e
          where e.subject_id = g.subject_id
            and e.grant_id = g.grant_id
        ) as ledger
      from quota.grants as g
      where p_subject is null or g.subject_id = p_subject
    )
    select c.subject_id, c.feature_id, c.period, nullif(c.period_start, '-infinity'),
      c.used, c.ledger_used
    from counters as c
    where c.used <> c.ledger_used
    union all
    select c.subject_id, c.feature_id, 'reserved', nullif(c.period_start, '-infinity'),
      c.reserved, c.ledger_reserved
    from counters as c
    where c.reserved <> c.ledger_reserved
    union all
    select h.subject_id, h.feature_id, 'reserved', nullif(h.period_start, '-infinity'),
      h.reserved, h.open_holds
    from holds as h
    where h.reserved <> h.open_holds
    union all
    select c.subject_id, c.feature_id, 'granted', nullif(c.period_start, '-infinity'),
      c.drawn, c.ledger_drawn
    from counters as c
    where c.drawn <> c.ledger_drawn
    union all
    select d.subject_id, d.feature_id, 'granted', d.granted_at, d.drawn, d.ledger
    from draws as d
    where d.drawn <> d.ledger
    union all
    select t.subject_id, t.feature_id, 'lifetime', null, sum(t.counted)::bigint, sum(t.rows)::bigint
    from (
      select e.subject_id, e.feature_id, e.used_change as counted, 0 as rows
      from quota.events as e
      where e.kind = 'table'
        and (p_subject is null or e.subject_id = p_subject)
      union all
      select r.subject_id, f.feature_id, 0, r.amount
      from (select distinct l.feature_id from quota.limited_tables as l) as f
      cross join lateral quota.rows_in_tables(f.feature_id, p_subject) as r
    ) as t
    group by t.subject_id, t.feature_id
    having sum(t.counted) <> sum(t.rows);
end
$$;

comment on function quota.verify_usage(text) is 'See public.verify_usage.';

revoke all on function quota.verify_usage(text) from public, anon, authenticated, service_role;
grant execute on function quota.verify_usage(text) to service_role;


-- What callers may touch, in schema public.
-- sql/api/check_usage.sql

-- Why this exists: to show what is left, or to grey out a button. It is no limit: others come in between.
create function public.check_usage(
  feature text,
  amount bigint default 1,
  subject text default null
)
returns public.usage_decision
language plpgsql
stable
security invoker
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict error
begin
  return quota.check_usage(feature, amount, subject);
end
$$;

comment on function public.check_usage(text, bigint, text) is
  'Answers whether an amount would be allowed now, and writes nothing. amount is in units of the feature (default 1); subject defaults to the signed-in user and must be named by trusted callers. A signed-in user may ask about a server_only feature too. Returns a usage_decision with the state before any use. Errors: 42501 no identity or a subject that is not yours; QFEAT unknown feature; QAMNT amount below 1 or too large; QSUBJ subject missing (trusted callers), empty or over 255 characters.';

revoke all on function public.check_usage(text, bigint, text)
  from public, anon, authenticated, service_role;
grant execute on function public.check_usage(text, bigint, text) to authenticated, service_role;

-- sql/api/consume_usage.sql

-- Why this exists: the main call. Checks the limit and counts, in one atomic step.
create function public.consume_usage(
  feature text,
  amount bigint default 1,
  subject text default null,
  idempotency_key text default null,
  metadata jsonb default '{}'
)
returns public.usage_decision
language plpgsql
volatile
security invoker
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict error
begin
  return quota.consume_usage(feature, amount, subject, idempotency_key, metadata);
end
$$;

comment on function public.consume_usage(text, bigint, text, text, jsonb) is
  'Checks every limit of the feature and counts the amount, in one step and in the caller''s transaction. A refusal is an answer (allowed = false with reason limit_reached or feature_not_in_plan), not an error, and counts nothing. amount is in units of the feature (default 1); subject defaults to the signed-in user and must be named by trusted callers. The same idempotency_key with the same arguments gives the first allowed answer again (replayed = true) and counts nothing, for at least 30 days (the rule of Stripe''s Idempotency-Key, except that a refusal binds nothing, and that the key of a use that was refunded in full is free again). Keys of users and of trusted callers are two spaces. metadata is kept in the ledger. Errors: 42501 no identity, a subject that is not yours, or a server_only feature; QFEAT unknown feature; QAMNT amount below 1 or too large; QSUBJ subject missing (trusted callers), empty or over 255 characters; QIDEM key reused with other arguments, empty or over 255 characters; QMETA metadata not an object or over 8 kB; 55P03 another call held the row for 2 s (retry).';

revoke all on function public.consume_usage(text, bigint, text, text, jsonb)
  from public, anon, authenticated, service_role;
grant execute on function public.consume_usage(text, bigint, text, text, jsonb) to authenticated, service_role;

-- sql/api/enforce_usage.sql

-- Why this exists: consume_usage for callers that want an error: HTTP answers 402 or 429, and a transaction around it rolls back.
create function public.enforce_usage(
  feature text,
  amount bigint default 1,
  subject text default null,
  idempotency_key text default null,
  metadata jsonb default '{}'
)
returns public.usage_decision
language plpgsql
volatile
security invoker
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict error
begin
  return quota.enforce(
    quota.consume_usage(feature, amount, subject, idempotency_key, metadata)
  );
end
$$;

comment on function public.enforce_usage(text, bigint, text, text, jsonb) is
  'As consume_usage, and shares its idempotency keys, but a refusal raises: PT429 (HTTP 429) where a minute or hour limit refuses and waiting helps, else PT402 (HTTP 402). DETAIL is the decision as JSON, HINT the upgrade url; over HTTP a Retry-After header gives the wait in seconds. Errors: PT402 and PT429 a refusal; 42501, QFEAT, QAMNT, QSUBJ, QIDEM, QMETA and 55P03 as consume_usage.';

revoke all on function public.enforce_usage(text, bigint, text, text, jsonb)
  from public, anon, authenticated, service_role;
grant execute on function public.enforce_usage(text, bigint, text, text, jsonb) to authenticated, service_role;

-- sql/api/consume_usage_batch.sql

-- Why this exists: one action that uses several things, all or none, in one round trip.
create function public.consume_usage_batch(
  items jsonb,
  subject text default null,
  idempotency_key text default null,
  metadata jsonb default '{}'
)
returns setof public.usage_decision
language plpgsql
volatile
security invoker
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict error
begin
  return query
    select * from quota.consume_usage_batch(items, subject, idempotency_key, metadata);
end
$$;

comment on function public.consume_usage_batch(jsonb, text, text, jsonb) is
  'Consumes several items, all or none, in one atomic step: items is an array of 1 to 100 objects {"feature": …, "amount": …} (amount in units of the feature, default 1; a feature may appear twice). Returns one decision per item, in order. When one is refused nothing is counted: refused items say why, the others have allowed = false and reason not_taken. subject, idempotency_key and metadata are as in consume_usage; the key stands for the whole batch. Errors: 22023 items malformed, empty or more than 100; QAMNT; QFEAT; 42501 no identity, a subject that is not yours, or a server_only feature; QSUBJ; QIDEM; QMETA; 55P03 retry.';

revoke all on function public.consume_usage_batch(jsonb, text, text, jsonb)
  from public, anon, authenticated, service_role;
grant execute on function public.consume_usage_batch(jsonb, text, text, jsonb)
  to authenticated, service_role;

-- sql/api/reserve_usage.sql

-- Why this exists: the first half of work that may fail. See commit_usage and release_usage.
create function public.reserve_usage(
  feature text,
  amount bigint default 1,
  subject text default null,
  ttl interval default '15 minutes',
  idempotency_key text default null,
  metadata jsonb default '{}'
)
returns public.usage_decision
language plpgsql
volatile
security invoker
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict error
begin
  return quota.reserve_usage(feature, amount, subject, ttl, idempotency_key, metadata);
end
$$;

comment on function public.reserve_usage(text, bigint, text, interval, text, jsonb) is
  'Holds an amount while work runs: it counts against every limit of the feature from now on, until it is committed, released or expires after ttl (more than 0, at most 7 days), with no job running. Returns a usage_decision with reservation_id; a refusal is an answer, as in consume_usage. amount is in units of the feature (default 1); subject must be named. The same idempotency_key with the same arguments gives the first answer again, while the hold is open or was committed: once it was released, has expired uncommitted, or its use was refunded in full, the key is free and the call decides afresh. Errors: 22023 ttl; QFEAT unknown feature; QAMNT; QSUBJ; QIDEM; QMETA; 42501 not a trusted role; 55P03 retry.';

revoke all on function public.reserve_usage(text, bigint, text, interval, text, jsonb)
  from public, anon, authenticated, service_role;
grant execute on function public.reserve_usage(text, bigint, text, interval, text, jsonb)
  to service_role;

-- sql/api/commit_usage.sql

-- Why this exists: the work is done, and this is what it really used.
create function public.commit_usage(
  reservation_id uuid,
  amount bigint default null,
  subject text default null,
  metadata jsonb default '{}'
)
returns public.usage_decision
language plpgsql
volatile
security invoker
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict error
begin
  return quota.commit_usage(reservation_id, amount, subject, metadata);
end
$$;

comment on function public.commit_usage(uuid, bigint, text, jsonb) is
  'Turns a hold into use, in the period in which it was made. amount is what was really used, in units of the feature: 0 is allowed, null is what was held; less gives the rest back. More than was held, or a hold that has expired, is counted all the same, and reason is over_limit when that passed a limit. Repeated, it gives the first answer again (replayed = true), whatever amount it names. event_id of the answer can be refunded. subject is not needed; it routes the call where the data is sharded. Errors: QRSRV no such reservation, released already, or of another subject than the named one; QAMNT amount below 0 or too large; QMETA; 42501 not a trusted role; 55P03 retry.';

revoke all on function public.commit_usage(uuid, bigint, text, jsonb)
  from public, anon, authenticated, service_role;
grant execute on function public.commit_usage(uuid, bigint, text, jsonb) to service_role;

-- sql/api/release_usage.sql

-- Why this exists: the work failed or was abandoned, and costs nothing.
create function public.release_usage(
  reservation_id uuid,
  subject text default null
)
returns public.usage_decision
language plpgsql
volatile
security invoker
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict error
begin
  return quota.release_usage(reservation_id, subject);
end
$$;

comment on function public.release_usage(uuid, text) is
  'Gives a hold back. Repeated, it gives the first answer again (replayed = true); a hold that has expired is given back already, and releasing it only rules out a late commit. subject is not needed; it routes the call where the data is sharded. Errors: QRSRV no such reservation, committed already, or of another subject than the named one; 42501 not a trusted role; 55P03 retry.';

revoke all on function public.release_usage(uuid, text)
  from public, anon, authenticated, service_role;
grant execute on function public.release_usage(uuid, text) to service_role;

-- sql/api/refund_usage.sql

-- Why this exists: work that was counted and then failed, or was paid back.
create function public.refund_usage(
  event_id uuid,
  amount bigint default null,
  reason text default null,
  idempotency_key text default null,
  subject text default null
)
returns public.usage_decision
language plpgsql
volatile
security invoker
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict error
begin
  return quota.refund_usage(event_id, amount, reason, idempotency_key, subject);
end
$$;

comment on function public.refund_usage(uuid, bigint, text, text, text) is
  'Gives back part or all (amount null) of a counted event, in the period it was counted in, never more than is left of it. event_id comes from the decision that counted. reason is kept in the ledger. Returns a usage_decision: amount is what was given back, event_id the refund''s own line, the other fields the state now. subject is not needed; it routes the call where the data is sharded. Errors: QRSRV no such use, or not this subject''s; QAMNT more than is left of the event; QIDEM key reused with other arguments; 42501 not a trusted role; 55P03 retry.';

revoke all on function public.refund_usage(uuid, bigint, text, text, text)
  from public, anon, authenticated, service_role;
grant execute on function public.refund_usage(uuid, bigint, text, text, text) to service_role;

-- sql/api/return_usage.sql

-- Why this exists: a gauge goes down, where the app counts by hand; tables under limit_table() do it themselves.
create function public.return_usage(
  feature text,
  amount bigint,
  subject text,
  idempotency_key text default null,
  metadata jsonb default '{}'
)
returns public.usage_decision
language plpgsql
volatile
security invoker
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict error
begin
  return quota.return_usage(feature, amount, subject, idempotency_key, metadata);
end
$$;

comment on function public.return_usage(text, bigint, text, text, jsonb) is
  'Lowers a gauge: something was deleted. Never below zero: it gives back what there is, and amount in the answer says how much. amount is in units of the feature. The same idempotency_key with the same arguments gives the first answer again. Errors: QFEAT unknown feature, or a metered one (see refund_usage); QAMNT; QSUBJ; QIDEM; QMETA; 42501 not a trusted role; 55P03 retry.';

revoke all on function public.return_usage(text, bigint, text, text, jsonb)
  from public, anon, authenticated, service_role;
grant execute on function public.return_usage(text, bigint, text, text, jsonb) to service_role;

-- sql/api/explain_usage.sql

-- Why this exists: one call feeds a paywall, or answers a support desk.
create function public.explain_usage(
  feature text,
  amount bigint default 1,
  subject text default null
)
returns setof public.usage_explanation
language plpgsql
stable
security invoker
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict error
begin
  return query
    select * from quota.explain_usage(feature, amount, subject);
end
$$;

comment on function public.explain_usage(text, bigint, text) is
  'Every limit that applies to an amount, and every open grant, one row each: where it comes from (plan, exception, grant), its room, whether it refuses, and what would allow the amount: how long a wait, how large a top-up, which other plans. A feature that is not in the plan gives one row that says so. amount is in units of the feature (default 1); subject defaults to the signed-in user and must be named by trusted callers. Writes nothing. Errors: QFEAT unknown feature; QAMNT; QSUBJ; 42501 no identity or a subject that is not yours.';

revoke all on function public.explain_usage(text, bigint, text)
  from public, anon, authenticated, service_role;
grant execute on function public.explain_usage(text, bigint, text) to authenticated, service_role;

-- sql/api/set_plan.sql

-- Why this exists: called by whatever knows what the customer bought (a payment webhook, an admin page).
create function public.set_plan(
  subject text,
  plan text,
  anchor timestamptz default null,
  time_zone text default null,
  ends_at timestamptz default null
)
returns void
language plpgsql
volatile
security invoker
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict error
begin
  perform quota.set_plan(subject, plan, anchor, time_zone, ends_at);
end
$$;

comment on function public.set_plan(text, text, timestamptz, text, timestamptz) is
  'Puts a subject on a plan now. Use so far is kept, and the new limits hold at once, also for calls that are waiting. anchor is the start of the billing period (Stripe''s billing_cycle_anchor): days, weeks, months and years count from it on the wall clock of time_zone (an IANA name with a slash, UTC or GMT), month ends clamped; null keeps the present one. A moved anchor or zone starts a new period at once and carries the use that falls into it. From ends_at on the default plan holds; null means no end. Errors: QPLAN unknown plan; QSUBJ; 22023 unknown time zone, or an anchor or end outside the years 1000 to 9999; 42501 not a trusted role; 55P03 retry.';

revoke all on function public.set_plan(text, text, timestamptz, text, timestamptz)
  from public, anon, authenticated, service_role;
grant execute on function public.set_plan(text, text, timestamptz, text, timestamptz) to service_role;

-- sql/api/set_limit.sql

-- Why this exists: one customer's exception to its plan.
create function public.set_limit(
  subject text,
  feature text,
  period text,
  "limit" bigint
)
returns void
language plpgsql
volatile
security invoker
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict error
begin
  perform quota.change_limit(subject, feature, period, "limit", false);
end
$$;

comment on function public.set_limit(text, text, text, bigint) is
  'Gives one subject its own limit for a feature and period, in place of its plan''s; it also opens a feature that the plan lacks. limit is in units of the feature per period, null is unlimited. Holds at once, also for calls that are waiting. Errors: QAMNT limit below 0 or too large; QFEAT unknown feature; QPLAN unknown period; QSUBJ; 42501 not a trusted role; 55P03 retry.';

revoke all on function public.set_limit(text, text, text, bigint)
  from public, anon, authenticated, service_role;
grant execute on function public.set_limit(text, text, text, bigint) to service_role;

-- sql/api/clear_limit.sql

-- Why this exists: ends one customer's exception; its plan's limit holds again.
create function public.clear_limit(
  subject text,
  feature text,
  period text
)
returns void
language plpgsql
volatile
security invoker
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict error
begin
  perform quota.change_limit(subject, feature, period, null, true);
end
$$;

comment on function public.clear_limit(text, text, text) is
  'Takes an exception away: the plan''s limit holds again, at once. Nothing happens when there is none. Errors: QFEAT unknown feature; QPLAN unknown period; QSUBJ; 42501 not a trusted role; 55P03 retry.';

revoke all on function public.clear_limit(text, text, text)
  from public, anon, authenticated, service_role;
grant execute on function public.clear_limit(text, text, text) to service_role;

-- sql/api/grant_usage.sql

-- Why this exists: a top-up that was bought, a promotion.
create function public.grant_usage(
  feature text,
  amount bigint,
  subject text,
  expires_at timestamptz default null,
  idempotency_key text default null,
  metadata jsonb default '{}'
)
returns uuid
language plpgsql
volatile
security invoker
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict error
begin
  return quota.grant_usage(feature, amount, subject, expires_at, idempotency_key, metadata);
end
$$;

comment on function public.grant_usage(text, bigint, text, timestamptz, text, jsonb) is
  'Gives a subject extra allowance outside its plan and returns the grant''s id. It is used after the plan''s allowance, the grant that expires soonest first, and survives resets and plan changes; it lifts neither minute and hour limits nor opens a feature that the plan lacks. On a gauge it raises the limit. amount is in units of the feature; expires_at null is never. The same idempotency_key with the same arguments gives the first id again. Errors: QFEAT unknown feature; QAMNT; QSUBJ; QIDEM; QMETA; 22023 expires_at in the past, infinite or after the year 9999; 42501 not a trusted role; 55P03 retry.';

revoke all on function public.grant_usage(text, bigint, text, timestamptz, text, jsonb)
  from public, anon, authenticated, service_role;
grant execute on function public.grant_usage(text, bigint, text, timestamptz, text, jsonb)
  to service_role;

-- sql/api/void_grant.sql

-- Why this exists: a top-up that was paid back, a promotion that ended early.
create function public.void_grant(
  grant_id uuid,
  subject text default null
)
returns boolean
language plpgsql
volatile
security invoker
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict error
begin
  return quota.void_grant(grant_id, subject);
end
$$;

comment on function public.void_grant(uuid, text) is
  'Ends a grant: what is left of it is gone, what was drawn stays drawn. Returns true when it was open until now, false when there is no such grant, it was voided before, or it is not the named subject''s. Errors: 22023 no grant_id; 42501 not a trusted role; 55P03 retry.';

revoke all on function public.void_grant(uuid, text)
  from public, anon, authenticated, service_role;
grant execute on function public.void_grant(uuid, text) to service_role;

-- sql/api/add_member.sql

-- Why this exists: lets a user act for an organisation.
create function public.add_member(
  subject text,
  user_id text
)
returns void
language plpgsql
volatile
security invoker
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict error
begin
  perform quota.change_member(subject, user_id, true);
end
$$;

comment on function public.add_member(text, text) is
  'Lets a user use and see on behalf of a subject, beside its own allowance. Apps that have a membership table of their own replace quota.acts_for() and quota.subjects_of() instead. Errors: QSUBJ subject or user missing, empty or over 255 characters; 42501 not a trusted role; 55P03 retry.';

revoke all on function public.add_member(text, text)
  from public, anon, authenticated, service_role;
grant execute on function public.add_member(text, text) to service_role;

-- sql/api/remove_member.sql

-- Why this exists: ends it.
create function public.remove_member(
  subject text,
  user_id text
)
returns void
language plpgsql
volatile
security invoker
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict error
begin
  perform quota.change_member(subject, user_id, false);
end
$$;

comment on function public.remove_member(text, text) is
  'Ends it: from the next call on the user is refused with 42501. Nothing happens when it was no member. Errors: QSUBJ subject or user missing, empty or over 255 characters; 42501 not a trusted role; 55P03 retry.';

revoke all on function public.remove_member(text, text)
  from public, anon, authenticated, service_role;
grant execute on function public.remove_member(text, text) to service_role;

-- sql/api/forget_subject.sql

-- Why this exists: the right to erasure.
create function public.forget_subject(
  subject text
)
returns bigint
language plpgsql
volatile
security invoker
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict error
begin
  return quota.forget_subject(subject);
end
$$;

comment on function public.forget_subject(text) is
  'Erases everything that is known of a subject (plan, counters, grants, memberships, ledger) and returns how many ledger lines that were. The ledgers of organisations for which it acted keep their lines without its name. What rows of limited tables count stays counted while they stand: delete them first, or call it again after. Not to be undone. Errors: QSUBJ; 42501 not a trusted role; 55P03 retry.';

revoke all on function public.forget_subject(text)
  from public, anon, authenticated, service_role;
grant execute on function public.forget_subject(text) to service_role;

-- sql/api/apply_plans.sql

-- Why this exists: plans live in your repository as one document; each deployment applies it.
create function public.apply_plans(
  plans jsonb,
  dry_run boolean default false
)
returns setof public.plan_change
language plpgsql
volatile
security invoker
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict error
begin
  return query
    select r.action, r.kind, r.id, r.detail from quota.apply_plans(plans, dry_run) as r;
end
$$;

comment on function public.apply_plans(jsonb, boolean) is
  'Makes features, plans and limits equal to the document, and returns a row (action, kind, id, detail) for each change; none when there is nothing to do. dry_run only says what would change. A limit of null is unlimited. Removing a plan that subjects are on, or a feature that has use, is an error. On an error nothing is changed. Errors: QPLAN with the place in the document, what was found and what was expected; 22023 dry_run is null; 42501 not a trusted role; 55P03 retry.';

revoke all on function public.apply_plans(jsonb, boolean)
  from public, anon, authenticated, service_role;
grant execute on function public.apply_plans(jsonb, boolean) to service_role;

-- sql/api/verify_usage.sql

-- Why this exists: the proof. Run it in tests, in monitoring, after an incident.
create function public.verify_usage(
  subject text default null
)
returns setof public.usage_mismatch
language plpgsql
stable
security invoker
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict error
begin
  return query
    select r.subject, r.feature, r.period, r.period_start, r.counted, r.ledger
    from quota.verify_usage(verify_usage.subject) as r;
end
$$;

comment on function public.verify_usage(text) is
  'Compares every counter with its ledger, holds with open reservations and grants with their draws, of one subject or of all (null). No rows: every number is proved. Each row (subject, feature, period, period_start, counted, ledger) is a number that is not. Reads only. Errors: 42501 not a trusted role.';

revoke all on function public.verify_usage(text)
  from public, anon, authenticated, service_role;
grant execute on function public.verify_usage(text) to service_role;

-- sql/api/current_usage.sql

-- Why this exists: what the usage bar reads, directly from the browser, under RLS.
--
-- security_invoker: the reader's own rights and policies hold. The clock is read once, in a
-- materialized step. Which subjects: for trusted roles those ever seen, for everybody else the user
-- and whom it may act for, without a scan. Set-returning functions stand in from (in the select list
-- of a union they cost 44 ms instead of 1).
create view public.current_usage
with (security_invoker = true)
as
with moment as materialized (
  select quota.clock() as at
),
subjects as (
  select s.subject_id, s.time_zone
  from quota.subjects as s
  where (select quota.is_trusted())
  union all
  select o.subject_id, coalesce(s.time_zone, 'UTC')
  from quota.subjects_of(quota.user_id()) as o (subject_id)
  left join quota.subjects as s on s.subject_id = o.subject_id
  where (select quota.is_trusted()) is not true
    and o.subject_id is not null
)
select
  s.subject_id as subject,
  f.feature_id as feature,
  f.name as feature_name,
  f.unit,
  f.kind,
  a.plan_id as plan,
  l.period,
  l.used,
  l.reserved,
  n.allowed as "limit",
  case when l.amount is not null then greatest(quota.room(l), 0) end as remaining,
  l.amount is null as unlimited,
  case
    when l.amount is null then null
    when n.allowed = 0 then 100
    else (l.used + l.reserved) * 100 / n.allowed
  end as percent_used,
  nullif(l.period_start, '-infinity') as period_start,
  nullif(l.resets_at, 'infinity') as resets_at,
  case
    when l.amount is null then 'ok'
    when l.used + l.reserved > n.allowed then 'over_limit'
    when l.used + l.reserved = n.allowed then 'at_limit'
    when (l.used + l.reserved) * 100 >= n.allowed * 80 then 'warning'
    else 'ok'
  end as status,
  l.granted,
  s.time_zone
from moment as m
cross join subjects as s
cross join quota.features as f
cross join lateral quota.limits_of(s.subject_id, f.feature_id, m.at) as a
cross join lateral unnest(a.limits) as l
cross join lateral (select l.amount + l.drawn + l.granted as allowed) as n;

comment on view public.current_usage is
  'Use of the running periods: one row per subject, feature and period of the subject''s plan, also where nothing was used yet. A signed-in user sees itself and the subjects it belongs to. An ended period shows as 0 without any job having run.';
comment on column public.current_usage.subject is 'Who is limited.';
comment on column public.current_usage.feature is 'The id of the feature.';
comment on column public.current_usage.feature_name is 'What the feature is called, for people.';
comment on column public.current_usage.unit is 'What one of it is called, for people.';
comment on column public.current_usage.kind is
  '`metered`: starts again each period. `gauge`: goes up and down (files, seats).';
comment on column public.current_usage.plan is
  'The plan that holds now; null when the subject has none and an exception allows the feature.';
comment on column public.current_usage.period is
  '`minute`, `hour`, `day`, `week`, `month`, `year` or `lifetime`.';
comment on column public.current_usage.used is 'Units used in the period.';
comment on column public.current_usage.reserved is 'Units held by open reservations.';
comment on column public.current_usage."limit" is
  'Units allowed in the period, open grants included; null when unlimited. Over REST filter it with and=(limit.gte.10): ?limit= is paging.';
comment on column public.current_usage.remaining is 'Units left, never negative; null when unlimited.';
comment on column public.current_usage.unlimited is 'True when there is no limit: still counted.';
comment on column public.current_usage.percent_used is
  'Used and reserved as a percentage of the limit, rounded down; 100 for a limit of 0; null when unlimited.';
comment on column public.current_usage.period_start is
  'When the period began; null for lifetime.';
comment on column public.current_usage.resets_at is 'When used starts again at 0; null for lifetime.';
comment on column public.current_usage.status is
  '`ok`; `warning` from 80 %; `at_limit`; `over_limit` (after a downgrade or a commit of more than was held).';
comment on column public.current_usage.granted is
  'How much of the limit is open grants: extra that does not reset.';
comment on column public.current_usage.time_zone is 'The IANA zone whose wall clock the periods follow.';

revoke all on public.current_usage from public, anon, authenticated, service_role;
grant select on public.current_usage to authenticated, service_role;
-- Withheld: everything from anon (nobody's usage), and every write.

-- sql/api/usage_history.sql

-- Why this exists: the use of past periods, for a chart or an invoice.
create view public.usage_history
with (security_invoker = true)
as
select
  c.subject_id as subject,
  c.feature_id as feature,
  c.period,
  nullif(c.period_start, '-infinity') as period_start,
  nullif(c.period_end, 'infinity') as period_end,
  least(c.used, 9007199254740991) as used,
  c.last_limit as "limit"
from quota.counters as c
where c.period not in ('minute', 'hour');

comment on view public.usage_history is
  'Use per period, closed and open ones, minutes and hours left out. A period in which nothing was used has no row. Periods of a kind never overlap.';
comment on column public.usage_history.subject is 'Who used it.';
comment on column public.usage_history.feature is 'The id of the feature.';
comment on column public.usage_history.period is '`day`, `week`, `month`, `year` or `lifetime`.';
comment on column public.usage_history.period_start is
  'When the period began; null for lifetime.';
comment on column public.usage_history.period_end is 'Exclusive; null for lifetime.';
comment on column public.usage_history.used is 'Units used in the period.';
comment on column public.usage_history."limit" is
  'The limit at the period''s last call; null when it was unlimited.';

revoke all on public.usage_history from public, anon, authenticated, service_role;
grant select on public.usage_history to authenticated, service_role;
-- Withheld: everything from anon, and every write.

-- sql/api/usage_events.sql

-- Why this exists: "what used it up?", answered to the customer from the ledger itself.
create view public.usage_events
with (security_invoker = true)
as
select
  e.subject_id as subject,
  e.event_id,
  e.at,
  e.kind,
  e.feature_id as feature,
  e.counts_at,
  e.used_change,
  e.reserved_change,
  e.drawn_change,
  e.about_id,
  e.grant_id,
  e.actor,
  e.idempotency_key,
  e.metadata
from quota.events as e;

comment on view public.usage_events is
  'The ledger lines of the reader and of the subjects it belongs to, append-only.';
comment on column public.usage_events.subject is 'Whose line it is.';
comment on column public.usage_events.event_id is 'The line, for refund_usage.';
comment on column public.usage_events.at is 'When it happened.';
comment on column public.usage_events.kind is
  '`consume`, `batch`, `reserve`, `commit`, `release`, `expire`, `refund`, `return`, `table`, `import`, `grant`, `void`, `draw`, `carry`, `plan`, `limit` or `member`.';
comment on column public.usage_events.feature is
  'The id of the feature; null for a change of plan or members.';
comment on column public.usage_events.counts_at is 'The instant whose periods the line counts in.';
comment on column public.usage_events.used_change is 'Change of used, in units of the feature.';
comment on column public.usage_events.reserved_change is 'Change of what is held.';
comment on column public.usage_events.drawn_change is 'Change of what is drawn from grant_id.';
comment on column public.usage_events.about_id is
  'The event, reservation or grant that this line is about; null when it stands for itself.';
comment on column public.usage_events.grant_id is 'The grant that it draws from; null without one.';
comment on column public.usage_events.actor is
  'The user that acted for the subject; null where it is the subject itself or a server.';
comment on column public.usage_events.idempotency_key is
  'The key of the call that wrote it; null without one.';
comment on column public.usage_events.metadata is 'What the caller wanted to be kept with it.';

revoke all on public.usage_events from public, anon, authenticated, service_role;
grant select on public.usage_events to authenticated, service_role;
-- Withheld: everything from anon, and every write.

-- sql/api/deliver_alerts.sql

-- Why this exists: for whoever tells people of alerts: npx pgquota alerts, or a job of the app.
create function public.deliver_alerts(
  max integer default 100
)
returns setof public.usage_alerts
language plpgsql
volatile
security invoker
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict error
begin
  return query
    select
      a.subject, a.feature, a.period, a.period_start, a.threshold, a.at, a.used, a.limit, a.alert_id
    from quota.deliver_alerts(deliver_alerts.max) as a;
end
$$;

comment on function public.deliver_alerts(integer) is
  'Hands out up to max alerts that nobody was handed yet, oldest first. Each comes again after 5 minutes unless it is acknowledged, so every alert is delivered at least once: tell a repeated one by its alert_id. Several may call it at once; each is handed others. Errors: 22023 max is not from 1 to 1000; 42501 not a trusted role.';

revoke all on function public.deliver_alerts(integer)
  from public, anon, authenticated, service_role;
grant execute on function public.deliver_alerts(integer) to service_role;

-- sql/api/acknowledge_alerts.sql

-- Why this exists: the other half of deliver_alerts(): only what has arrived is not sent again.
create function public.acknowledge_alerts(
  ids uuid[]
)
returns bigint
language plpgsql
volatile
security invoker
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict error
begin
  return quota.acknowledge_alerts(ids);
end
$$;

comment on function public.acknowledge_alerts(uuid[]) is
  'Says that these alerts have arrived (ids are their alert_id): they are not handed out again. Returns how many were acknowledged now; unknown ones and those acknowledged before are passed over. Errors: 22023 no array; 42501 not a trusted role.';

revoke all on function public.acknowledge_alerts(uuid[])
  from public, anon, authenticated, service_role;
grant execute on function public.acknowledge_alerts(uuid[]) to service_role;

-- sql/api/plan_catalog.sql

-- Why this exists: the pricing page reads what the database enforces, so the two cannot differ.
create view public.plan_catalog
with (security_invoker = true)
as
select
  p.plan_id as plan,
  p.name as plan_name,
  p.is_default,
  p.upgrade_url,
  f.feature_id as feature,
  f.name as feature_name,
  f.unit,
  f.kind,
  l.period,
  l.amount as "limit",
  l.amount is null as unlimited
from quota.plans as p
join quota.plan_limits as l on l.plan_id = p.plan_id
join quota.features as f on f.feature_id = l.feature_id;

comment on view public.plan_catalog is
  'Plans and their limits: one row per plan, feature and period. Readable by everybody.';
comment on column public.plan_catalog.plan is 'The id of the plan.';
comment on column public.plan_catalog.plan_name is 'What the plan is called, for people.';
comment on column public.plan_catalog.is_default is 'True for the plan of subjects that have none.';
comment on column public.plan_catalog.upgrade_url is
  'Where the plan sends who wants more; null when it says nothing.';
comment on column public.plan_catalog.feature is 'The id of the feature.';
comment on column public.plan_catalog.feature_name is 'What the feature is called, for people.';
comment on column public.plan_catalog.unit is 'What one of it is called, for people.';
comment on column public.plan_catalog.kind is
  '`metered`: starts again each period. `gauge`: goes up and down (files, seats).';
comment on column public.plan_catalog.period is
  '`minute`, `hour`, `day`, `week`, `month`, `year` or `lifetime`.';
comment on column public.plan_catalog."limit" is 'Units per period; null when unlimited.';
comment on column public.plan_catalog.unlimited is 'True when there is no limit.';

revoke all on public.plan_catalog from public, anon, authenticated, service_role;
grant select on public.plan_catalog to anon, authenticated, service_role;
-- Withheld: every write; the catalogue changes through apply_plans().


-- PostgREST reads the new functions.
notify pgrst, 'reload schema';

-- migrate:down

-- Forward only: a down body would also be run by tools that do not know this marker, and would
-- delete the ledger. To remove pgquota by hand, see "Removing it" in the README.
