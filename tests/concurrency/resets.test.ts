// A fresh start by hand beside calls, holds and refunds: each use is forgiven or counted, never both.
import { expect, test } from 'vitest';
import { setClock } from '../support/clock.ts';
import { EXPIRED } from './hold_scenarios.ts';
import { calls, decisionOf, outcomeOf, startBlocked } from './holds.ts';
import { check, consume, run } from './race.ts';

test('a call that waited for a reset is allowed, and counts from 0', () =>
  run(async (race) => {
    const subject = 'waiting';
    const [operator, waiter] = await Promise.all([race.server(), race.server()]);
    await consume(waiter, { subject, amount: 50 });
    await operator.query('begin');
    expect(await decisionOf(operator, calls.reset(subject))).toMatchObject({ amount: 50, used: 0 });
    // With a key: without one a refusal waits for nobody.
    const { answer } = await startBlocked(race, waiter, calls.consume({ subject, key: 'next' }));
    await operator.query('commit');
    expect(await answer).toMatchObject({ allowed: true, used: 1, remaining: 49 });
  }));

test('a reset that is rolled back gives nothing back', () =>
  run(async (race) => {
    const subject = 'waiting';
    const [operator, waiter] = await Promise.all([race.server(), race.server()]);
    await consume(waiter, { subject, amount: 50 });
    await operator.query('begin');
    await decisionOf(operator, calls.reset(subject, 'month', 'ticket'));
    const { answer } = await startBlocked(race, waiter, calls.consume({ subject, key: 'next' }));
    await operator.query('rollback');
    expect(await answer).toMatchObject({ allowed: false, used: 50 });
    expect(await decisionOf(operator, calls.reset(subject, 'month', 'ticket'))).toMatchObject({
      amount: 50,
      replayed: false,
    });
  }));

test('a reset that waited for a use forgives it, and its refund gives nothing back twice', () =>
  run(async (race) => {
    const subject = 'used';
    const [caller, operator] = await Promise.all([race.server(), race.server()]);
    await consume(caller, { subject, amount: 20 });
    await caller.query('begin');
    const { event_id } = await consume(caller, { subject, amount: 5 });
    const { answer } = await startBlocked(race, operator, calls.reset(subject));
    await caller.query('commit');
    expect(await answer).toMatchObject({ amount: 25, used: 0 });
    await consume(caller, { subject, amount: 2 });
    expect(await decisionOf(caller, calls.refund(event_id))).toMatchObject({ amount: 5, used: 2 });
  }));

test('a refund and a reset at once: whoever comes first, the month is at 0', () =>
  run(async (race) => {
    const [one, other] = await Promise.all([race.server(), race.server()]);
    for (const subject of ['refund first', 'reset first']) {
      const { event_id } = await consume(one, { subject, amount: 7 });
      const pair = [calls.refund(event_id), calls.reset(subject)];
      const [first, second] = subject === 'refund first' ? pair : pair.toReversed();
      await one.query('begin');
      if (first) await decisionOf(one, first);
      const waiting = second && (await startBlocked(race, other, second));
      await one.query('commit');
      expect(await waiting?.answer).toMatchObject({ allowed: true, used: 0 });
      expect(await check(one, subject)).toMatchObject({ used: 0, remaining: 50 });
    }
  }));

test('a commit that waited for a reset counts, and one that a reset waited for is forgiven', () =>
  run(async (race) => {
    const subject = 'held';
    const [worker, operator] = await Promise.all([race.server(), race.server()]);
    const reserve = calls.reserve({ subject, amount: 10 });
    const { reservation_id: former } = await decisionOf(worker, reserve);
    const { reservation_id: latter } = await decisionOf(worker, reserve);
    await worker.query('begin');
    await decisionOf(worker, calls.commit(former));
    const { answer } = await startBlocked(race, operator, calls.reset(subject));
    await worker.query('commit');
    expect(await answer).toMatchObject({ amount: 10, used: 0, reserved: 10 });

    await operator.query('begin');
    await decisionOf(operator, calls.reset(subject));
    const late = await startBlocked(race, worker, calls.commit(latter));
    await operator.query('commit');
    expect(await late.answer).toMatchObject({ used: 10, reserved: 0 });
  }));

test('a hold that expires while a reset waits is given back before it', () =>
  run(async (race) => {
    const subject = 'expired';
    const [holder, operator] = await Promise.all([race.server(), race.server()]);
    const { reservation_id } = await decisionOf(holder, calls.reserve({ subject, amount: 10 }));
    await holder.query('begin');
    await consume(holder, { subject, amount: 5 });
    const { answer } = await startBlocked(race, operator, calls.reset(subject));
    await setClock(race.owner, EXPIRED);
    await holder.query('commit');
    expect(await answer).toMatchObject({ amount: 5, used: 0, reserved: 0 });
    // What it used, it used: late, and after the reset.
    expect(await decisionOf(holder, calls.commit(reservation_id))).toMatchObject({ used: 10 });
  }));

test('a snapshot from before a reset does not count by it: 40001', () =>
  run(async (race) => {
    const subject = 'snapshot';
    const [operator, other] = await Promise.all([race.server(), race.server()]);
    await consume(other, { subject, amount: 50 });
    await other.query('begin isolation level repeatable read');
    await check(other, subject);
    await decisionOf(operator, calls.reset(subject));
    const call = decisionOf(other, calls.consume({ subject, key: 'next' }));
    expect(await outcomeOf(call)).toBe('40001');
    await other.query('rollback');
  }));

test('12 callers and 3 who reset, all at once: every use is forgiven once or stands', () =>
  run(async (race) => {
    const subject = 'storm';
    const callers = await Promise.all(Array.from({ length: 12 }, race.server));
    const operators = await Promise.all(Array.from({ length: 3 }, race.server));
    let counted = 0;
    let forgiven = 0;
    await Promise.all([
      ...callers.map(async (caller) => {
        for (let n = 0; n < 15; n++) {
          const { allowed, used } = await consume(caller, { subject });
          if (allowed) counted++;
          expect(used).toBeLessThanOrEqual(50);
        }
      }),
      ...operators.map(async (operator) => {
        for (let n = 0; n < 5; n++) {
          const { amount } = await decisionOf(operator, calls.reset(subject, 'month'));
          forgiven += amount;
          await operator.query('select pg_sleep(0.02)');
        }
      }),
    ]);
    const { used } = await check(race.owner, subject);
    expect(forgiven + used).toBe(counted);
    expect(forgiven).toBeGreaterThan(0);
  }));

test('of two resets with one key, one is', () =>
  run(async (race) => {
    const subject = 'twice';
    const [one, other] = await Promise.all([race.server(), race.server()]);
    await consume(one, { subject, amount: 9 });
    await one.query('begin');
    await decisionOf(one, calls.reset(subject, 'month', 'ticket'));
    const { answer } = await startBlocked(race, other, calls.reset(subject, 'month', 'ticket'));
    await one.query('commit');
    expect(await answer).toMatchObject({ amount: 9, used: 0, replayed: true });
  }));
