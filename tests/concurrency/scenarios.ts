/**
 * The races that decide whether the engine is right. The race tests play them on the engine, the zoo
 * plays them on broken variants of it, each of which must fail.
 */
import type pg from 'pg';
import { expect } from 'vitest';
import { setClock } from '../support/clock.ts';
import { applyPlans } from '../support/plans.ts';
import {
  check,
  consume,
  consumeBlocked,
  type Decision,
  ledgerOf,
  limitedTo,
  type Scenario,
} from './race.ts';

/** The last unit is taken and given back while fifty wait: one of them gets it, and only one. */
export const lastUnitOfFifty: Scenario = async (race) => {
  const subject = 'crowd';
  const [holder, ...callers] = await Promise.all(Array.from({ length: 51 }, race.server));
  if (!holder) throw new Error('no session');
  await consume(holder, { subject, amount: 49 });

  await holder.query('begin');
  await consume(holder, { subject });
  const waiting = [];
  for (const caller of callers) waiting.push(await consumeBlocked(race, caller, { subject }));
  await holder.query('rollback');

  const answers = await Promise.all(
    waiting.map(({ answer }, at) => retryWhenBusy(answer, callers[at] as pg.Client, subject)),
  );
  const allowed = answers.filter((answer) => answer.allowed);
  expect(allowed, 'callers allowed at the last unit').toHaveLength(1);
  expect(await check(holder, subject)).toMatchObject({ used: 50, remaining: 0 });
};

/** A caller far back in the queue may see the lock timeout on a slow machine; the promise is a retry. */
async function retryWhenBusy(
  answer: Promise<Decision>,
  caller: pg.Client,
  subject: string,
): Promise<Decision> {
  return answer.catch((error) => {
    if (error.code !== '55P03') throw error;
    return retryWhenBusy(consume(caller, { subject }), caller, subject);
  });
}

/** The limit falls from 100 to 60, committed, while callers wait at 60. */
export const limitLoweredDuringWait: Scenario = async (race) => {
  const subject = 'waits';
  await applyPlans(race.owner, limitedTo(100));
  const [holder, ...callers] = await Promise.all([race.server(), race.server(), race.server()]);
  await consume(holder, { subject, amount: 59 });

  await holder.query('begin');
  await consume(holder, { subject });
  const waiting = [];
  for (const caller of callers) waiting.push(await consumeBlocked(race, caller, { subject }));
  await applyPlans(race.owner, limitedTo(60));
  await holder.query('commit');

  for (const { answer } of waiting) {
    expect(await answer, 'the limit that was lowered during the wait').toMatchObject({
      allowed: false,
      used: 60,
      limit: 60,
    });
  }
};

/** A plan that allows 3 is set while a caller waits at 3. */
export const downgradeDuringWait: Scenario = async (race) => {
  const subject = 'downgrade';
  const [admin, waiter] = await Promise.all([race.server(), race.server()]);
  await consume(waiter, { subject, amount: 3 });

  await admin.query('begin');
  await admin.query(`select public.set_plan($1, 'small')`, [subject]);
  const { answer } = await consumeBlocked(race, waiter, { subject });
  await admin.query('commit');

  expect(await answer, 'the plan that was set during the wait').toMatchObject({
    allowed: false,
    plan: 'small',
    used: 3,
    limit: 3,
  });
};

/** A plan without the feature is set while a caller waits. */
export const featureLostDuringWait: Scenario = async (race) => {
  const use = { subject: 'downgrade', feature: 'export' };
  const [admin, waiter] = await Promise.all([race.server(), race.server()]);
  await consume(waiter, use);

  await admin.query('begin');
  await admin.query(`select public.set_plan($1, 'small')`, [use.subject]);
  const { answer } = await consumeBlocked(race, waiter, use);
  await admin.query('commit');

  expect(await answer, 'a feature that the new plan lacks').toMatchObject({
    allowed: false,
    reason: 'feature_not_in_plan',
    plan: 'small',
  });
};

/** Two calls with one key at once; the second waits for the first. */
export const sameKeyAtOnce: Scenario = async (race) => {
  const use = { subject: 'twice', amount: 2, key: 'order-1' };
  const [first, second] = await Promise.all([race.server(), race.server()]);

  await first.query('begin');
  const counted = await consume(first, use);
  const { answer } = await consumeBlocked(race, second, use);
  await first.query('commit');

  expect(await answer, 'the answer of a repeated key').toEqual({ ...counted, replayed: true });
  expect(await check(first, use.subject), 'the use of a repeated key').toMatchObject({ used: 2 });
};

/** Two subjects use the same key, the second with the same arguments as the first. */
export const sameKeyOfTwoSubjects: Scenario = async (race) => {
  const server = await race.server();
  const mine = await consume(server, { subject: 'mine', key: 'order-1' });
  const yours = await consume(server, { subject: 'yours', key: 'order-1' });

  expect(yours, "another subject's key").toMatchObject({ subject: 'yours', replayed: false });
  expect(yours.event_id).not.toBe(mine.event_id);
  expect(await check(server, 'yours')).toMatchObject({ used: 1 });
};

/**
 * A period ends while two callers wait: one for whom it still had room, one that only fits into a new
 * one. Both are decided after its end, so both count in the new one.
 */
export const rollOverDuringWait =
  (period: 'minute' | 'month', before: string, after: string): Scenario =>
  async (race) => {
    const subject = 'midnight';
    await applyPlans(race.owner, limitedTo({ [period]: 10 }));
    await setClock(race.owner, before);
    const [holder, small, large] = await Promise.all([race.server(), race.server(), race.server()]);
    await consume(holder, { subject, amount: 4 });

    await holder.query('begin');
    const last = await consume(holder, { subject, amount: 2 });
    const waiting = [
      await consumeBlocked(race, small, { subject, amount: 1 }),
      await consumeBlocked(race, large, { subject, amount: 9 }),
    ];
    await setClock(race.owner, after);
    await holder.query('commit');

    expect(last).toMatchObject({ allowed: true, used: 6, remaining: 4 });
    const periodStart = Date.parse(after.replace(/\d\dZ$/, '00Z'));
    for (const { answer } of waiting) {
      const decision = await answer;
      expect(Date.parse(decision.period_start), 'the period of a call that waited').toBe(
        periodStart,
      );
      expect(decision).toMatchObject({ allowed: true });
    }
    expect(await check(holder, subject)).toMatchObject({ used: 10, remaining: 0 });
    const lines = await ledgerOf(holder, subject);
    expect(lines.map((line) => [line.change, line.counts_at])).toEqual([
      [4, new Date(before)],
      [2, new Date(before)],
      [9, new Date(after)],
      [1, new Date(after)],
    ]);
  };
