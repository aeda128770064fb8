/** Broken variants of reserve, commit, release, batch and grants. */
import { rewrite, type Sabotage } from './rewrite.ts';

/** A release gives back whatever became of the hold: 500 held were given back as 740 elsewhere. */
export const unguardedRelease: Sabotage = async (owner) => {
  await rewrite(owner, 'quota.release_usage', [/if v_hold\.state = 'released'.*?end if;/s, '']);
  await rewrite(owner, 'quota.release_usage', [/if v_hold\.state = 'committed'.*?end if;/s, '']);
  await rewrite(owner, 'quota.hold_line', [
    `case when p_hold.state = 'open' then -p_hold.amount else 0 end`,
    '-p_hold.amount',
  ]);
};

/** A commit counts again when it is repeated. */
export const unguardedCommit: Sabotage = (owner) =>
  rewrite(owner, 'quota.commit_usage', [/if v_hold\.state = 'committed'.*?end if;/s, '']);

/** The state of a hold as it was before the wait. */
export const holdReadBeforeTheLock: Sabotage = async (owner) => {
  await rewrite(owner, 'quota.end_plainly', ["and r.state = 'open'", 'and false']);
  await rewrite(
    owner,
    'quota.lock_reservation',
    ['v_at := quota.lock_shared(v_hold.subject_id, v_hold.feature_id, v_shares);', ''],
    [
      /(where r\.subject_id = v_hold\.subject_id\s+and r\.reservation_id = p_reservation_id;)/,
      `where r.subject_id = v_hold.subject_id and r.reservation_id = p_reservation_id;
       v_at := quota.lock_shared(v_hold.subject_id, v_hold.feature_id, v_shares);`,
    ],
  );
};

/** Holds count until a job has gone through them, and it has not run yet. */
export const expiryByJob: Sabotage = async (owner) => {
  await rewrite(owner, 'quota.with_details', [
    'if v_limit.reserved > 0 and not (p_is_settled and v_limit.is_counted) then',
    'if false then',
  ]);
  await rewrite(owner, 'quota.lock_meter', ['if v_holds_expire_at <= v_now then', 'if false then']);
};

/** A commit counts when it happens. */
export const commitInItsOwnPeriod: Sabotage = (owner) =>
  rewrite(owner, 'quota.hold_line', [
    'p_hold.feature_id, p_hold.reserved_at',
    'p_hold.feature_id, p_at',
  ]);

/** The meter does not know when its holds expire. */
export const holdBesideTheMeter: Sabotage = async (owner) => {
  await rewrite(owner, 'quota.write_hold', ['and m.holds_expire_at > v_expires_at', 'and false']);
  await rewrite(owner, 'quota.consume_usage', [
    'least(m.holds_expire_at, v_first_expiry)',
    'm.holds_expire_at',
  ]);
};

/** A batch locks its features in the order in which it names them. */
export const unsortedBatch: Sabotage = async (owner) => {
  await rewrite(owner, 'quota.take_all_plainly', [
    'order by n.feature_id',
    'order by array_position(p_features, n.feature_id)',
  ]);
  await rewrite(owner, 'quota.take_batch', [
    'quota.lock_call(p_caller, array(select distinct f from unnest(p_features) as f))',
    'row(p_caller, quota.lock_meters(p_caller.subject_id, p_features))::quota.own_lock',
  ]);
  await rewrite(owner, 'quota.lock_meters', [
    /select count\(\*\), min\(l\.holds_expire_at\)\s.*?for no key update\s+\) as l;/s,
    `v_locked := 0;
     v_holds_expire_at := 'infinity';
     for i in 1 .. cardinality(p_feature_ids) loop
       perform from quota.meters as m
         where m.subject_id = p_subject_id and m.feature_id = p_feature_ids[i]
         for no key update;
       if found then
         v_locked := v_locked + 1;
       end if;
     end loop;`,
  ]);
};

/** The grant that lives longest is used first. */
export const lastToExpireFirst: Sabotage = (owner) =>
  rewrite(owner, 'quota.draw', ['order by g.expires_at, g.grant_id', 'order by g.expires_at desc']);

/** A grant is good for ever. */
export const grantsWithoutEnd: Sabotage = (owner) =>
  rewrite(owner, 'quota.open_grants', ['and g.expires_at > p_at', '']);

/** A commit that passes a limit does not say so. */
export const silentCommit: Sabotage = (owner) =>
  rewrite(owner, 'quota.commit_usage', [
    `case when v_is_over then 'over_limit' else 'ok' end`,
    `'ok'`,
  ]);

/** A meter is made without the subject's lock when the subject was deleted meanwhile; ours, once. */
export const meterWithoutSubject: Sabotage = (owner) =>
  rewrite(owner, 'quota.hold_subject', [/exit when found;(?=\s*end loop)/, 'exit;']);

/** set_limit() and grants do not make the meter forget what it remembers of the plan. */
export const memoryThatOutlivesTheTerms: Sabotage = (owner) =>
  rewrite(owner, 'quota.lock_terms', ['perform quota.forget_limits(', 'perform concat(']);
