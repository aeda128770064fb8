-- What ends or gives back a call does so in every meter that it took from: its commit, release and extension,
-- its refund. The price is that of the call's moment, and of what stays used, rounded up.

create function quota.commit_shares(
  p_hold quota.reservations,
  p_amount bigint,
  p_metadata jsonb,
  p_at timestamptz,
  p_shares quota.shares[],
  p_own public.usage_decision
)
returns public.usage_decision
language plpgsql volatile security invoker set search_path = pg_catalog, pg_temp
as $$
declare
  v_share quota.shares;
  v_hold quota.reservations;
  v_parts quota.part[] := quota.parts_of_shares(p_hold.subject_id, p_hold.feature_id, null);
  v_decisions public.usage_decision[] := array[p_own];
  v_decision public.usage_decision;
begin
  foreach v_share in array p_shares loop
    v_hold := quota.hold_of(v_share);
    continue when v_hold.subject_id is null;
    v_decisions := v_decisions || quota.commit_hold(
      v_hold, quota.price(p_amount, v_share.units, v_share.per),
      quota.share_kind(v_share.share_feature_id <> p_hold.feature_id, false), p_metadata, p_at
    );
    v_parts := v_parts || (
      quota.parts_of_shares(p_hold.subject_id, p_hold.feature_id, array[v_share])
    )[2];
  end loop;
  v_decision := quota.joint_decision(
    p_hold.subject_id, p_hold.feature_id, p_amount, v_parts, v_decisions
  );
  perform quota.close_hold(p_hold, 'committed', v_decision);
  return v_decision;
end
$$;

comment on function quota.commit_shares is
  'Commits the holds of a call''s other meters, after its own, and answers for all of them.';

create function quota.release_shares(
  p_hold quota.reservations,
  p_at timestamptz,
  p_shares quota.shares[],
  p_own public.usage_decision
)
returns public.usage_decision
language plpgsql volatile security invoker set search_path = pg_catalog, pg_temp
as $$
declare
  v_share quota.shares;
  v_hold quota.reservations;
  v_decision public.usage_decision;
begin
  foreach v_share in array p_shares loop
    v_hold := quota.hold_of(v_share);
    continue when v_hold.subject_id is null;
    perform quota.end_hold(
      v_hold, quota.hold_line(v_hold, 'release', p_at),
      case when v_hold.state = 'open' then v_hold.amount else 0 end
    );
    perform quota.close_hold(v_hold, 'released', null);
  end loop;
  v_decision := quota.joint_state(
    p_hold.subject_id, p_hold.feature_id, p_hold.amount, p_at, p_shares, p_own
  );
  perform quota.close_hold(p_hold, 'released', v_decision);
  return v_decision;
end
$$;

comment on function quota.release_shares is
  'Releases the holds of a call''s other meters, after its own, and answers for all of them.';

create function quota.extend_shares(
  p_expires_at timestamptz,
  p_shares quota.shares[]
)
returns void
language plpgsql volatile security invoker set search_path = pg_catalog, pg_temp
as $$
declare
  v_share quota.shares;
begin
  foreach v_share in array p_shares loop
    update quota.reservations as r
      set expires_at = p_expires_at
      where r.subject_id = v_share.share_subject_id
        and r.reservation_id = v_share.share_id
        and r.state = 'open';
    perform quota.note_first_expiry(v_share.share_subject_id, v_share.share_feature_id);
  end loop;
end
$$;

comment on function quota.extend_shares is
  'Moves the end of the holds of a call''s other meters with that of its own.';

-- p_refund is not recorded yet.
create function quota.refund_shares(
  p_refund quota.events,
  p_shares quota.shares[],
  p_own public.usage_decision
)
returns public.usage_decision
language plpgsql volatile security invoker set search_path = pg_catalog, pg_temp
as $$
declare
  v_share quota.shares;
  v_left bigint;
  v_back bigint;
  v_use quota.events;
  v_line quota.events;
begin
  if p_shares is null then
    return p_own;
  end if;
  select sum(e.used_change)
    into v_left
    from quota.events as e
    where e.subject_id = p_refund.subject_id
      and (e.event_id = p_refund.about_id or (e.about_id = p_refund.about_id and e.kind = 'refund'));
  foreach v_share in array p_shares loop
    v_back := quota.price(v_left, v_share.units, v_share.per)
      - quota.price(v_left + p_refund.used_change, v_share.units, v_share.per);
    continue when v_back = 0;
    select e.event_id, e.counts_at, e.actor
      into v_use.event_id, v_use.counts_at, v_use.actor
      from quota.events as e
      where e.subject_id = v_share.share_subject_id
        and (e.event_id = v_share.share_id or e.about_id = v_share.share_id)
        and e.kind in ('cost', 'level');
    -- Not found: its subject was forgotten.
    continue when not found;
    v_line := row(
      v_share.share_subject_id, quota.new_id(p_refund.at), p_refund.at, 'refund',
      v_share.share_feature_id, v_use.counts_at, -v_back, 0, 0, v_use.event_id, null, v_use.actor,
      null, p_refund.metadata
    )::quota.events;
    perform quota.keep_forgiven(
      v_line,
      quota.give_back(
        v_line.subject_id, v_line.feature_id, v_back, v_line.at, v_line.counts_at, v_share.share_id
      )
    );
    perform quota.record(v_line);
    perform quota.refund_overages(v_line);
  end loop;
  return quota.joint_state(
    p_refund.subject_id, p_refund.feature_id, p_own.amount, p_refund.at, p_shares, p_own
  );
end
$$;

comment on function quota.refund_shares is
  'Gives back in a call''s other meters what it costs less after a refund (its line), and answers for all of them.';

-- The shares as they stand now, and the call's own part as it was told.
create function quota.joint_state(
  p_subject_id text,
  p_feature_id text,
  p_amount bigint,
  p_at timestamptz,
  p_shares quota.shares[],
  p_own public.usage_decision
)
returns public.usage_decision
language plpgsql stable security invoker set search_path = pg_catalog, pg_temp
as $$
declare
  v_share quota.shares;
  v_allowance quota.allowance;
  v_decisions public.usage_decision[] := array[p_own];
begin
  foreach v_share in array p_shares loop
    v_allowance := quota.limits_of(
      v_share.share_subject_id, v_share.share_feature_id, p_at, p_is_settled => true
    );
    v_decisions := v_decisions || quota.decision(
      v_share.share_subject_id, v_share.share_feature_id, p_amount, v_allowance,
      (quota.decide(v_allowance.limits, 0)).shown, 'ok'
    );
  end loop;
  return quota.joint_decision(
    p_subject_id, p_feature_id, p_amount,
    quota.parts_of_shares(p_subject_id, p_feature_id, p_shares), v_decisions
  );
end
$$;

comment on function quota.joint_state is
  'The answer to a call that gives back: how the limits of all its meters stand.';

create function quota.share_kind(
  p_is_price boolean,
  p_is_held boolean
)
returns text
language plpgsql immutable security invoker set search_path = pg_catalog, pg_temp
as $$
begin
  return case when p_is_held then 'reserve' when p_is_price then 'cost' else 'level' end;
end
$$;

comment on function quota.share_kind is 'The kind of a share''s line.';
