// A client or its backend ends between reserve and commit, or in the middle of either.
import { expect, test } from 'vitest';
import { pidOf } from '../support/blocking.ts';
import { setClock } from '../support/clock.ts';
import { dropConnection, terminate, waitUntilGone } from './gone.ts';
import { EXPIRED } from './hold_scenarios.ts';
import { calls, decisionOf, kindsOf, outcomeOf, startBlocked } from './holds.ts';
import { check, run } from './race.ts';

test('the hold of a client that is gone counts until it expires, and no longer', () =>
  run(async (race) => {
    const subject = 'gone';
    const [victim, other] = await Promise.all([race.server(), race.server()]);
    const pid = await pidOf(victim);
    await decisionOf(victim, calls.reserve({ subject, amount: 50 }));
    dropConnection(victim);
    await waitUntilGone(race, pid);
    expect(await check(other, subject)).toMatchObject({ allowed: false, reserved: 50 });
    await setClock(race.owner, EXPIRED);
    expect(await decisionOf(other, calls.consume({ subject, amount: 50 }))).toMatchObject({
      allowed: true,
      used: 50,
    });
  }));

test('another server commits the hold of one that is gone, once', () =>
  run(async (race) => {
    const subject = 'gone';
    const [victim, other] = await Promise.all([race.server(), race.server()]);
    const hold = { subject, amount: 10, key: 'job-1' };
    await decisionOf(victim, calls.reserve(hold));
    dropConnection(victim);
    // It knows the key of the job, not the id of the hold.
    const { reservation_id, replayed } = await decisionOf(other, calls.reserve(hold));
    expect(replayed).toBe(true);
    await decisionOf(other, calls.commit(reservation_id, 7));
    expect(await decisionOf(other, calls.commit(reservation_id, 7))).toMatchObject({
      replayed: true,
    });
    expect(await check(other, subject)).toMatchObject({ used: 7, reserved: 0 });
  }));

test('a reserve that is rolled back with its backend holds nothing', () =>
  run(async (race) => {
    const subject = 'terminated';
    const [victim, other] = await Promise.all([race.server(), race.server()]);
    const pid = await pidOf(victim);
    await victim.query('begin');
    const { reservation_id } = await decisionOf(victim, calls.reserve({ subject, amount: 50 }));
    const { answer } = await startBlocked(race, other, calls.consume({ subject, amount: 50 }));
    await terminate(race, pid);
    expect(await answer).toMatchObject({ allowed: true, used: 50, reserved: 0 });
    expect(await outcomeOf(decisionOf(other, calls.commit(reservation_id)))).toBe('QRSRV');
  }));

test('a commit that is rolled back with its backend leaves the hold to the release that waits', () =>
  run(async (race) => {
    const subject = 'terminated';
    const [victim, other] = await Promise.all([race.server(), race.server()]);
    const pid = await pidOf(victim);
    const { reservation_id } = await decisionOf(other, calls.reserve({ subject, amount: 10 }));
    await victim.query('begin');
    await decisionOf(victim, calls.commit(reservation_id));
    const { answer } = await startBlocked(race, other, calls.release(reservation_id));
    await terminate(race, pid);
    expect(await answer).toMatchObject({ allowed: true, used: 0, reserved: 0, replayed: false });
    expect(await kindsOf(race.owner, subject)).toEqual(['reserve', 'release']);
  }));

test.for([
  ['commit', 10],
  ['release', 0],
] as const)(
  'the %s of a client that is gone while it waits is done all the same, and a retry is told so',
  ([ending, used]) =>
    run(async (race) => {
      const subject = 'gone';
      const [holder, victim] = await Promise.all([race.server(), race.server()]);
      const pid = await pidOf(victim);
      const { reservation_id } = await decisionOf(holder, calls.reserve({ subject, amount: 10 }));
      await holder.query('begin');
      await decisionOf(holder, calls.consume({ subject }));
      await startBlocked(race, victim, calls[ending](reservation_id));
      dropConnection(victim);
      await holder.query('commit');
      await waitUntilGone(race, pid);

      // "No answer" is not "not ended".
      expect(await check(holder, subject)).toMatchObject({ used: used + 1, reserved: 0 });
      expect(await decisionOf(holder, calls[ending](reservation_id))).toMatchObject({
        replayed: true,
        used: used + 1,
      });
    }),
);

test('a commit whose backend is terminated while it waits leaves the hold as it was', () =>
  run(async (race) => {
    const subject = 'terminated';
    const [holder, victim] = await Promise.all([race.server(), race.server()]);
    const pid = await pidOf(victim);
    const { reservation_id } = await decisionOf(holder, calls.reserve({ subject, amount: 10 }));
    await holder.query('begin');
    await decisionOf(holder, calls.consume({ subject }));
    const { answer } = await startBlocked(race, victim, calls.commit(reservation_id));
    await terminate(race, pid);
    expect(await outcomeOf(answer)).toBe('57P01');
    await holder.query('commit');
    expect(await check(holder, subject)).toMatchObject({ used: 1, reserved: 10 });
  }));
