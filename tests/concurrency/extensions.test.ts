// A beat of a long job meets what ends its hold, and callers that decide by it.
import { expect, test } from 'vitest';
import { setClock } from '../support/clock.ts';
import { BEFORE, EXPIRED } from './hold_scenarios.ts';
import { calls, decisionOf, kindsOf, outcomeOf, startBlocked } from './holds.ts';
import { check, run } from './race.ts';

test('a beat that waited past the end of its hold is QRSRV, and the room is for others', () =>
  run(async (race) => {
    const subject = 'late';
    const [holder, worker] = await Promise.all([race.server(), race.server()]);
    const { reservation_id } = await decisionOf(worker, calls.reserve({ subject, amount: 40 }));
    await setClock(race.owner, BEFORE);
    await holder.query('begin');
    await decisionOf(holder, calls.consume({ subject, amount: 10 }));
    const { answer } = await startBlocked(race, worker, calls.extend(reservation_id));
    await setClock(race.owner, EXPIRED);
    await holder.query('commit');
    expect(await outcomeOf(answer)).toBe('QRSRV');
    expect(await decisionOf(holder, calls.consume({ subject, amount: 40 }))).toMatchObject({
      allowed: true,
      used: 50,
      reserved: 0,
    });
  }));

test('a call that waited for a beat finds the hold alive after its first end', () =>
  run(async (race) => {
    const subject = 'alive';
    const [worker, waiter] = await Promise.all([race.server(), race.server()]);
    const { reservation_id } = await decisionOf(worker, calls.reserve({ subject, amount: 50 }));
    await setClock(race.owner, BEFORE);
    await worker.query('begin');
    await decisionOf(worker, calls.extend(reservation_id));
    const { answer } = await startBlocked(race, waiter, calls.reserve({ subject, key: 'next' }));
    await setClock(race.owner, EXPIRED);
    await worker.query('commit');
    expect(await answer).toMatchObject({ allowed: false, reserved: 50, retry_after: 899 });
    expect(await kindsOf(race.owner, subject)).toEqual(['reserve']);
  }));

test('a snapshot from before a beat does not settle the hold: 40001', () =>
  run(async (race) => {
    const subject = 'snapshot';
    const [worker, other] = await Promise.all([race.server(), race.server()]);
    const { reservation_id } = await decisionOf(worker, calls.reserve({ subject, amount: 50 }));
    await setClock(race.owner, BEFORE);
    await other.query('begin isolation level repeatable read');
    await check(other, subject);
    await decisionOf(worker, calls.extend(reservation_id));
    expect(await outcomeOf(decisionOf(other, calls.consume({ subject })))).toBe('40001');
    await other.query('rollback');
    expect(await check(other, subject)).toMatchObject({ allowed: false, reserved: 50 });
  }));

test.for(['commit', 'release'] as const)('a beat that waited for a %s is QRSRV', (ending) =>
  run(async (race) => {
    const subject = 'ended';
    const end = calls[ending];
    const [ender, worker] = await Promise.all([race.server(), race.server()]);
    const { reservation_id } = await decisionOf(worker, calls.reserve({ subject, amount: 10 }));
    await ender.query('begin');
    await decisionOf(ender, end(reservation_id));
    const { answer } = await startBlocked(race, worker, calls.extend(reservation_id));
    await ender.query('commit');
    expect(await outcomeOf(answer)).toBe('QRSRV');
    expect(await check(worker, subject)).toMatchObject({ reserved: 0 });
  }),
);
