/**
 * The races around a hold. The race tests play them on the engine, the zoo on broken variants of it,
 * each of which must fail.
 */
import { expect } from 'vitest';
import { setClock } from '../support/clock.ts';
import { applyPlans } from '../support/plans.ts';
import {
  type Call,
  calls,
  type Decision,
  decisionOf,
  decisionsOf,
  kindsOf,
  outcomeOf,
  startBlocked,
} from './holds.ts';
import { check, limitedTo, type Race, type Scenario } from './race.ts';

export type Ending = 'commit' | 'release' | 'expiry';
export const ENDINGS: Ending[] = ['commit', 'release', 'expiry'];

/** Around the end of a hold of 15 minutes that was made at noon. */
export const BEFORE = '2026-01-10T12:14:59Z';
export const EXPIRED = '2026-01-10T12:15:00Z';

/** Expiry needs no call of its own: it is what the next call that locks the meter finds. */
const callOf = (ending: Ending, subject: string, reservation: string): Call =>
  ending === 'expiry' ? calls.consume({ subject, amount: 10 }) : calls[ending](reservation);

interface Pair {
  /** What the second call is told: a part of its decision, or a code. */
  told: Partial<Decision> | string;
  used: number;
  kinds: string[];
}

const committed = ['consume', 'reserve', 'commit'];
const released = ['consume', 'reserve', 'release'];
const expired = ['consume', 'reserve', 'expire', 'consume'];
const refusedAt50 = { allowed: false, reason: 'limit_reached', used: 50, reserved: 0 };

/**
 * Of a limit of 50, 40 are used and 10 held; the call that finds the hold expired uses 10. So it is
 * refused while the hold counts, and a commit after it passes the limit.
 */
const PAIRS: Record<Ending, Record<Ending, Pair>> = {
  commit: {
    commit: { told: { replayed: true, used: 50 }, used: 50, kinds: committed },
    release: { told: 'QRSRV', used: 50, kinds: committed },
    expiry: { told: refusedAt50, used: 50, kinds: committed },
  },
  release: {
    commit: { told: 'QRSRV', used: 40, kinds: released },
    release: { told: { replayed: true, used: 40 }, used: 40, kinds: released },
    expiry: { told: { allowed: true, used: 50 }, used: 50, kinds: [...released, 'consume'] },
  },
  expiry: {
    commit: {
      told: { allowed: true, reason: 'over_limit', replayed: false, used: 60, remaining: 0 },
      used: 60,
      kinds: [...expired, 'commit'],
    },
    release: {
      told: { allowed: true, reason: 'ok', replayed: false, used: 50, reserved: 0 },
      used: 50,
      kinds: [...expired, 'release'],
    },
    expiry: { told: refusedAt50, used: 50, kinds: expired },
  },
};

/** The second ending is seen waiting for the first, which then commits. */
export const endedTwice =
  (first: Ending, second: Ending): Scenario =>
  async (race) => {
    const subject = 'pair';
    const [one, two] = await Promise.all([race.server(), race.server()]);
    await decisionOf(one, calls.consume({ subject, amount: 40 }));
    const { reservation_id } = await decisionOf(one, calls.reserve({ subject, amount: 10 }));

    await setClock(race.owner, first === 'expiry' ? EXPIRED : BEFORE);
    await one.query('begin');
    const answer = await decisionOf(one, callOf(first, subject, reservation_id));
    expect(answer, 'the first ending').toMatchObject({ allowed: true, replayed: false });
    const { answer: waiting } = await startBlocked(
      race,
      two,
      callOf(second, subject, reservation_id),
    );
    await setClock(race.owner, EXPIRED);
    await one.query('commit');

    const { told, used, kinds } = PAIRS[first][second];
    const outcome = await outcomeOf(waiting);
    if (typeof told === 'string') expect(outcome, 'the second ending').toBe(told);
    else expect(outcome, 'the second ending').toMatchObject(told);
    if (first === second && first !== 'expiry') {
      expect(outcome, 'the same ending again').toEqual({ ...answer, replayed: true });
    }
    expect(await kindsOf(race.owner, subject), 'the lines of the ledger').toEqual(kinds);
    expect(await check(race.owner, subject), 'what is left').toMatchObject({ used, reserved: 0 });
  };

/** The first ending is rolled back: the second finds the hold as it was. */
export const endedAfterRollback =
  (first: Ending, second: Ending): Scenario =>
  async (race) => {
    const subject = 'pair';
    const [one, two] = await Promise.all([race.server(), race.server()]);
    await decisionOf(one, calls.consume({ subject, amount: 40 }));
    const { reservation_id } = await decisionOf(one, calls.reserve({ subject, amount: 10 }));

    await setClock(race.owner, first === 'expiry' ? EXPIRED : BEFORE);
    await one.query('begin');
    await decisionOf(one, callOf(first, subject, reservation_id));
    const { answer } = await startBlocked(race, two, callOf(second, subject, reservation_id));
    if (second === 'expiry') await setClock(race.owner, EXPIRED);
    await one.query('rollback');

    expect(await answer, 'the second ending').toMatchObject({
      allowed: true,
      reason: 'ok',
      replayed: false,
      used: second === 'release' ? 40 : 50,
    });
    // After the clock has passed it, the hold is settled before it is ended.
    const settled = first === 'expiry' || second === 'expiry' ? ['expire'] : [];
    const last = second === 'expiry' ? 'consume' : second;
    expect(await kindsOf(race.owner, subject), 'the lines of the ledger').toEqual([
      'consume',
      'reserve',
      ...settled,
      last,
    ]);
  };

/** A hold is over the moment it expires, for every reader and every caller, with nobody writing. */
export const expiresByItself: Scenario = async (race) => {
  const subject = 'expires';
  const server = await race.server();
  await decisionOf(server, calls.reserve({ subject, amount: 50 }));
  await setClock(race.owner, BEFORE);
  expect(await check(server, subject)).toMatchObject({ allowed: false, reserved: 50 });
  await setClock(race.owner, EXPIRED);

  const checked = await check(server, subject);
  expect(checked, 'check_usage after the end').toMatchObject({ allowed: true, reserved: 0 });
  const { rows } = await server.query(
    `select reserved::integer, remaining::integer, status from public.current_usage
     where subject = $1 and feature = 'ai_generation'`,
    [subject],
  );
  expect(rows, 'current_usage').toEqual([{ reserved: 0, remaining: 50, status: 'ok' }]);
  expect(await kindsOf(race.owner, subject), 'lines that reading writes').toEqual(['reserve']);
  const taken = await decisionOf(server, calls.consume({ subject, amount: 50 }));
  expect(taken, 'a use after the end').toMatchObject({ allowed: true, used: 50, reserved: 0 });
};

/** Two batches name the same features in opposite order while a third call holds one of them. */
export const oppositeBatches: Scenario = async (race) => {
  const subject = 'batches';
  await applyPlans(race.owner, limitedTo(50));
  const [holder, one, two] = await Promise.all([race.server(), race.server(), race.server()]);
  const features = [{ feature: 'ai_generation' }, { feature: 'export' }];
  await decisionsOf(holder, calls.batch(subject, features));

  await holder.query('begin');
  await decisionOf(holder, calls.consume({ subject }));
  const forward = await startBlocked(race, one, calls.batch(subject, features));
  const backward = await startBlocked(race, two, calls.batch(subject, features.toReversed()));
  await holder.query('commit');

  const outcomes = await Promise.all([forward, backward].map(({ answer }) => outcomeOf(answer)));
  expect(outcomes, 'batches in opposite order').toEqual([
    expect.objectContaining({ allowed: true }),
    expect.objectContaining({ allowed: true }),
  ]);
  expect(await check(holder, subject, 'export')).toMatchObject({ used: 3 });
};

/** What was used in each month, oldest first. */
export async function monthsOf({ owner }: Race, subject: string): Promise<string[]> {
  const { rows } = await owner.query(
    `select to_char(period_start at time zone 'UTC', 'YYYY-MM-DD') || ': ' || used as month
     from public.usage_history
     where subject = $1 and period = 'month' and feature = 'ai_generation'
     order by period_start`,
    [subject],
  );
  return rows.map((row) => row.month);
}

/** A month ends between reserve and commit. */
export const monthEndsBeforeCommit: Scenario = async (race) => {
  const subject = 'over';
  const server = await race.server();
  await setClock(race.owner, '2026-01-31T23:59:59Z');
  const { reservation_id } = await decisionOf(server, calls.reserve({ subject, amount: 10 }));
  await setClock(race.owner, '2026-02-01T00:00:01Z');
  expect(await check(server, subject)).toMatchObject({ used: 0, reserved: 0, remaining: 50 });
  const told = await decisionOf(server, calls.commit(reservation_id, 12));
  expect(told, 'the period of the commit').toMatchObject({
    reason: 'ok',
    used: 12,
    period_start: '2026-01-01T00:00:00+00:00',
  });
  expect(await check(server, subject)).toMatchObject({ used: 0, remaining: 50 });
  expect(await monthsOf(race, subject)).toEqual(['2026-01-01: 12']);
};

/** A call whose snapshot lacks a new hold keeps the books of what has expired. */
export const holdUnseen =
  (level: string): Scenario =>
  async (race) => {
    const subject = 'unseen';
    const [stale, other] = await Promise.all([race.server(), race.server()]);
    const first = await decisionOf(other, calls.reserve({ subject, ttl: '5 minutes' }));
    await decisionOf(other, calls.commit(first.reservation_id));
    await stale.query(`begin isolation level ${level}`);
    await check(stale, subject); // takes the snapshot
    await decisionOf(other, calls.reserve({ subject, amount: 3, ttl: '10 minutes' }));
    await setClock(race.owner, '2026-01-10T12:06:00Z');
    await outcomeOf(decisionOf(stale, calls.commit(first.reservation_id)));
    await stale.query('commit');
    await setClock(race.owner, '2026-01-10T12:11:00Z');
    const told = await decisionOf(other, calls.consume({ subject }));
    expect(told, 'a hold that has expired').toMatchObject({ used: 2, reserved: 0 });
  };

/** A subject is deleted between the two statements in which a first use makes and locks it; with a key the long way. */
const firstUseAfterForget =
  (key?: string): Scenario =>
  async (race) => {
    const subject = 'forgotten';
    const [user, observer] = await Promise.all([race.server(), race.database.connect()]);
    await decisionOf(user, calls.consume({ subject }));
    await race.owner.query('begin');
    const lock = 'select from quota.subjects where subject_id = $1 for no key update';
    await race.owner.query(lock, [subject]);
    const { answer } = await startBlocked(
      { ...race, owner: observer },
      user,
      calls.consume({ subject, feature: 'export', key }),
    );
    await race.owner.query('select public.forget_subject($1)', [subject]);
    await race.owner.query('commit');
    expect(await answer).toMatchObject({ allowed: true, used: 1 });
    const { rows } = await race.owner.query('select subject_id from quota.subjects');
    expect(rows, 'the subject of a meter').toEqual([{ subject_id: subject }]);
    await user.query(`select public.set_plan($1, 'small')`, [subject]);
    expect(await check(user, subject, 'export')).toMatchObject({ reason: 'feature_not_in_plan' });
  };

export const firstUseOfForgotten = firstUseAfterForget('key');
export const plainFirstUseOfForgotten = firstUseAfterForget();
