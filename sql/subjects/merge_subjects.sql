-- An anonymous visitor becomes an account; two accounts become one.
create function public.merge_subjects(
  from_subject text,
  into_subject text
)
returns void
language plpgsql volatile security invoker set search_path = pg_catalog, pg_temp
as $$
#variable_conflict error
begin
  perform quota.merge_subjects(from_subject, into_subject);
end
$$;

comment on function public.merge_subjects is
  'Makes one subject another name of an account. Its use counts in the account''s periods by the instant of each use (what lies before them is history), its grants, holds, idempotency keys and members come along, and so does its membership of organisations; plan, billing day, zone, exceptions and overrides of the account stay, those of the old name end. The old name has no allowance of its own from then on: calls that name it are answered as the account''s, ids of its uses, holds and grants stay good, and whoever was signed in as it sees nothing of the account. What rows of limited tables count stays with the old name until the rows name the account; no more rows that name it fit. A fresh start by hand of the old name does not come along. It leaves its levels: those below it are below the account from then on, what it used stays counted above it, where a refund or the commit of a hold goes, and does not count above the account; what its gauges show moves along. Into an account that was merged itself, it is merged into what that became. Repeated, it changes nothing. Errors: QSUBJ a subject missing, empty or over 255 characters, into itself, in a circle, merged into another account before, the account below it, more than 3 levels, or of uses that counted for the account, too; QAMNT a counter would pass 2^53 - 1; 42501 not a trusted role; 55P03 retry.';

-- The ledger lines of the old name become the account's, and with them everything that is their sum. All
-- of both subjects is locked for it: rows in byte order, then meters, subject by subject.
create function quota.merge_subjects(
  p_from text,
  p_into text
)
returns void
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp set lock_timeout = '2s'
as $$
declare
  v_from text;
  v_into text;
  v_features text[];
  v_feature_id text;
  v_limits jsonb := '{}'::jsonb;
  v_before quota.limit_state[];
  v_caps text[];
  v_now timestamptz;
begin
  perform quota.require_trusted();
  v_from := (quota.caller_for(p_from)).subject_id;
  v_into := (quota.caller_for(p_into)).subject_id;
  if quota.account_to_join(v_from, v_into) is null then
    return;
  end if;
  v_into := quota.lock_to_merge(v_from, v_into);
  if v_into is null then
    return;
  end if;
  v_features := quota.meters_of(v_from);
  v_now := quota.lock_all_to_merge(v_from, v_into, v_features);
  -- The next call begins them anew, with the use of both.
  v_caps := quota.caps_to_merge(v_from, v_into);
  perform quota.end_caps(v_caps);
  foreach v_feature_id in array v_features loop
    v_limits := v_limits || jsonb_build_object(
      v_feature_id,
      coalesce(to_jsonb((quota.limits_of(v_into, v_feature_id, v_now)).limits), '[]')
    );
  end loop;

  perform quota.move_windows(v_from, v_into);
  perform quota.move_belongings(v_from, v_into);
  perform quota.move_children(v_from, v_into);
  foreach v_feature_id in array v_features loop
    perform quota.move_use(v_from, v_into, v_feature_id, v_now);
  end loop;
  insert into quota.merges (subject_id, account_id, merged_at) values (v_from, v_into, v_now);
  -- Also where nothing changes: who makes a meter of the old name looks at this row.
  update quota.subjects as s
    set plan_id = null, plan_ends_at = null, anchor_at = null, time_zone = 'UTC', has_extras = false,
        parent_id = null
    where s.subject_id = v_from;
  perform quota.record(
    row(
      v_into, quota.new_id(v_now), v_now, 'merge', null, v_now, 0, 0, 0, quota.merge_id(v_from), null,
      null, null, jsonb_build_object('from', v_from)
    )::quota.events
  );
  foreach v_feature_id in array v_features loop
    v_before := array(
      select l from jsonb_populate_recordset(null::quota.limit_state, v_limits -> v_feature_id) as l
    );
    perform quota.open_counters(
      v_into, v_feature_id, v_now, (quota.limits_of(v_into, v_feature_id, v_now)).limits
    );
    perform quota.write_alerts(
      v_into, v_feature_id, v_now, v_before,
      (quota.limits_of(v_into, v_feature_id, v_now)).limits
    );
  end loop;
end
$$;

comment on function quota.merge_subjects is 'See public.merge_subjects.';

-- What the line of a merge is about: forget_subject() of the old name finds it.
create function quota.merge_id(p_from text)
returns uuid
language plpgsql immutable strict security invoker set search_path = pg_catalog, pg_temp
as $$
begin
  return md5('merge_subjects ' || p_from)::uuid;
end
$$;

comment on function quota.merge_id is 'What the line that merged this subject is about.';

create function quota.account_to_join(
  p_from text,
  p_into text
)
returns text
language plpgsql stable security invoker set search_path = pg_catalog, pg_temp
as $$
declare
  v_from text := quota.account_of(p_from);
  v_into text := quota.account_of(p_into);
begin
  if v_from <> p_from and v_from = v_into then
    return null;
  end if;
  if v_from = v_into then
    raise exception 'merge_subjects: % is merged into itself',
      quote_literal(left(p_from, 100))
      using errcode = 'QSUBJ', hint = 'into_subject is another subject, and none that was merged into from_subject';
  end if;
  if v_from <> p_from then
    raise exception 'merge_subjects: % was merged into another account before',
      quote_literal(left(p_from, 100))
      using errcode = 'QSUBJ', hint = 'merge the account that it became';
  end if;
  return v_into;
end
$$;

comment on function quota.account_to_join is
  'Into which account it is to be merged; null: it was already. Errors: QSUBJ into itself, in a circle, or merged elsewhere.';
