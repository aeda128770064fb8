-- Who became whom: an anonymous visitor an account, two accounts one. The old name stays, as another
-- name of the account, so that it has no fresh allowance: its calls are answered as the account's.
--
-- A table of its own, which no plain call looks at: a name that was merged has no meter any more that a
-- plain call could find, so only who must make one, or asks properly, meets this.
create table quota.merges (
  subject_id text collate "C" not null,
  account_id text collate "C" not null,
  merged_at timestamptz not null,
  constraint merges_pkey primary key (subject_id),
  constraint merges_account_is_another check (subject_id <> account_id)
);

comment on table quota.merges is
  'Old names of accounts: one row per subject that was merged into another.';

comment on column quota.merges.account_id is
  'Who it became; that one may have been merged since (quota.account_of()).';

-- Serves forget_subject(): the old names of an account.
create index merges_by_account on quota.merges (account_id);

-- No statistics: estimates would tell of other subjects (see events).
alter table quota.merges
  alter column subject_id set statistics 0,
  alter column account_id set statistics 0,
  alter column merged_at set statistics 0;

alter table quota.merges enable row level security;

create policy select_service on quota.merges
  for select to service_role using (true);

-- Withheld: everything from authenticated: who was the old name sees nothing new.

create function quota.account_of(p_subject_id text)
returns text
language plpgsql stable strict security invoker set search_path = pg_catalog, pg_temp
as $$
declare
  v_account_id text := p_subject_id;
  v_next_id text;
begin
  loop
    select m.account_id
      into v_next_id
      from quota.merges as m
      where m.subject_id = v_account_id;
    exit when not found;
    v_account_id := v_next_id;
  end loop;
  return v_account_id;
end
$$;

comment on function quota.account_of is
  'The subject that this one was merged into, or, as nearly all, itself. No circle: merge_subjects() refuses one.';

-- For what is not called often: it looks for the account at once.
create function quota.caller_by_account(p_subject_id text)
returns quota.caller
language plpgsql stable security invoker set search_path = pg_catalog, pg_temp
as $$
declare
  v_caller quota.caller := quota.caller_for(p_subject_id);
begin
  v_caller.subject_id := quota.account_of(v_caller.subject_id);
  return v_caller;
end
$$;

comment on function quota.caller_by_account is
  'caller_for(), where a subject that was merged is the account that it became. Errors: as caller_for().';

create type quota.own_lock as (
  caller quota.caller,
  at timestamptz
);

comment on type quota.own_lock is
  'For whom a call is made in the end, its meters locked, and the time read under that lock.';

-- What concerns one meter alone: a fresh start, a gauge that goes down. Calls have lock_call().
create function quota.lock_own(
  p_caller quota.caller,
  p_feature_id text
)
returns quota.own_lock
language plpgsql volatile security invoker set search_path = pg_catalog, pg_temp
as $$
declare
  v_own quota.own_lock := row(p_caller, null)::quota.own_lock;
  v_account_id text;
begin
  loop
    v_own.at := quota.lock_meter((v_own.caller).subject_id, p_feature_id);
    v_account_id := quota.account_of((v_own.caller).subject_id);
    exit when v_own.at is not null and v_account_id = (v_own.caller).subject_id;
    v_own.caller.subject_id := v_account_id;
  end loop;
  return v_own;
end
$$;

comment on function quota.lock_own is
  'lock_meter() for a caller, also where its subject was merged into another. Errors: QFEAT.';
