// At every isolation level: exact, or an error that says "again" (40001). Never a silent overshoot.
import type pg from 'pg';
import { describe, expect, test } from 'vitest';
import { setClock } from '../support/clock.ts';
import {
  check,
  consume,
  consumeBlocked,
  type Decision,
  ledgerOf,
  type Race,
  run,
  type Use,
} from './race.ts';

const LEVELS = ['read committed', 'repeatable read', 'serializable'] as const;
const RETRYABLE = ['40001', '40P01', '55P03'];

type Outcome = { decision: Decision } | { code: string };

/** One call in a transaction of its own, as a caller makes it that knows nothing of the others. */
async function attempt(client: pg.ClientBase, level: string, use: Use): Promise<Outcome> {
  try {
    await client.query(`begin isolation level ${level}`);
    const decision = await consume(client, use);
    await client.query('commit');
    return { decision };
  } catch (error) {
    await client.query('rollback');
    const { code } = error as pg.DatabaseError;
    if (!code || !RETRYABLE.includes(code)) throw error;
    return { code };
  }
}

/** 16 sessions, each until it has had `calls` answers; retryable errors are tried again. */
async function storm(race: Race, levelOf: (at: number) => string, calls: number, use: Use) {
  const sessions = await Promise.all(Array.from({ length: 16 }, race.server));
  let allowed = 0;
  await Promise.all(
    sessions.map(async (session, at) => {
      for (let answered = 0; answered < calls; ) {
        const outcome = await attempt(session, levelOf(at), use);
        if ('code' in outcome) continue;
        answered++;
        const { decision } = outcome;
        if (decision.allowed) allowed++;
        expect(decision.used).toBeLessThanOrEqual(Number(decision.limit));
      }
    }),
  );
  return allowed;
}

describe.each(LEVELS)('at %s', (level) => {
  test('96 calls of 16 sessions, retried when told so, count exactly 50', () =>
    run(async (race) => {
      const subject = 'storm';
      const allowed = await storm(race, () => level, 6, { subject });
      expect(allowed).toBe(50);
      expect(await check(race.owner, subject)).toMatchObject({ used: 50, remaining: 0 });
      expect(await ledgerOf(race.owner, subject)).toHaveLength(50);
    }));

  test('a snapshot from before the last call of the month gives 40001 or no room, not a unit too much', () =>
    run(async (race) => {
      const subject = 'stale';
      const [stale, other] = await Promise.all([race.server(), race.server()]);
      await consume(other, { subject, amount: 49 });
      await stale.query(`begin isolation level ${level}`);
      await check(stale, subject); // takes the snapshot
      await consume(other, { subject });

      const outcome = await consume(stale, { subject }).catch((error) => error.code);
      if (level === 'read committed') expect(outcome).toMatchObject({ allowed: false, used: 50 });
      else expect(outcome).toBe('40001');
      await stale.query('rollback');
      expect(await check(other, subject)).toMatchObject({ used: 50 });
    }));

  test('a caller that waits for the last unit is refused or told to try again', () =>
    run(async (race) => {
      const subject = 'waits';
      const [holder, waiter] = await Promise.all([race.server(), race.server()]);
      await consume(holder, { subject, amount: 49 });
      await holder.query(`begin isolation level ${level}`);
      await consume(holder, { subject });
      await waiter.query(`begin isolation level ${level}`);
      const { answer } = await consumeBlocked(race, waiter, { subject });
      await holder.query('commit');

      const outcome = await answer.catch((error) => error.code);
      if (level === 'read committed') expect(outcome).toMatchObject({ allowed: false, used: 50 });
      else expect(outcome).toBe('40001');
      await waiter.query('rollback');
    }));

  test('a key that was bound after the snapshot was taken is replayed or 40001, never counted twice', () =>
    run(async (race) => {
      const use = { subject: 'key', key: 'order-1' };
      const [stale, other] = await Promise.all([race.server(), race.server()]);
      await stale.query(`begin isolation level ${level}`);
      await check(stale, use.subject);
      const first = await consume(other, use);

      const outcome = await consume(stale, use).catch((error) => error.code);
      if (level === 'read committed') expect(outcome).toEqual({ ...first, replayed: true });
      else expect(outcome).toBe('40001');
      await stale.query('rollback');
      expect(await check(other, use.subject)).toMatchObject({ used: 1 });
    }));

  test('the same key under two features at once binds to one of them', () =>
    run(async (race) => {
      const use = { subject: 'key', key: 'order-1' };
      const [first, second] = await Promise.all([race.server(), race.server()]);
      await consume(first, { subject: 'key', feature: 'export' });
      await first.query(`begin isolation level ${level}`);
      await consume(first, use);
      await second.query(`begin isolation level ${level}`);
      const { answer } = await consumeBlocked(race, second, { ...use, feature: 'export' });
      await first.query('commit');

      await expect(answer).rejects.toMatchObject({
        code: level === 'read committed' ? 'QIDEM' : '40001',
      });
      await second.query('rollback');
      expect(await check(first, 'key', 'export')).toMatchObject({ used: 1 });
    }));
});

describe.each(LEVELS.slice(1))('first use at %s', (level) => {
  // unique_violation would be an error that no client retries.
  test('behind another first use gives 40001, not 23505', () =>
    run(async (race) => {
      const subject = 'new';
      const [first, second] = await Promise.all([race.server(), race.server()]);
      await first.query(`begin isolation level ${level}`);
      await consume(first, { subject });
      await second.query(`begin isolation level ${level}`);
      const { answer } = await consumeBlocked(race, second, { subject });
      await first.query('commit');

      await expect(answer).rejects.toMatchObject({ code: '40001' });
      await second.query('rollback');
      expect(await check(first, subject)).toMatchObject({ used: 1 });
    }));

  test('with a snapshot from before another first use gives 40001, not 23505', () =>
    run(async (race) => {
      const subject = 'new';
      const [stale, other] = await Promise.all([race.server(), race.server()]);
      await stale.query(`begin isolation level ${level}`);
      await check(stale, subject);
      await consume(other, { subject });

      await expect(consume(stale, { subject })).rejects.toMatchObject({ code: '40001' });
      await stale.query('rollback');
    }));

  test('of a month, with a snapshot from before another use of it, gives 40001, not 23505', () =>
    run(async (race) => {
      const subject = 'known';
      const [stale, other] = await Promise.all([race.server(), race.server()]);
      await consume(other, { subject });
      await setClock(race.owner, '2026-02-01T00:00:00Z');
      await stale.query(`begin isolation level ${level}`);
      await check(stale, subject);
      await consume(other, { subject });

      await expect(consume(stale, { subject })).rejects.toMatchObject({ code: '40001' });
      await stale.query('rollback');
      expect(await check(other, subject)).toMatchObject({ used: 1 });
    }));

  test('against set_plan gives 40001 or the new plan, never the old one after it', () =>
    run(async (race) => {
      const subject = 'new';
      const [admin, user] = await Promise.all([race.server(), race.server()]);
      await admin.query('begin');
      await admin.query(`select public.set_plan($1, 'small')`, [subject]);
      await user.query(`begin isolation level ${level}`);
      const { answer } = await consumeBlocked(race, user, { subject, amount: 4 });
      await admin.query('commit');

      await expect(answer).rejects.toMatchObject({ code: '40001' });
      await user.query('rollback');
      expect(await consume(user, { subject, amount: 4 })).toMatchObject({
        allowed: false,
        plan: 'small',
      });
    }));
});

test('sessions of all three levels together count exactly 50', () =>
  run(async (race) => {
    const subject = 'mixed';
    const allowed = await storm(race, (at) => LEVELS[at % 3] as string, 6, { subject });
    expect(allowed).toBe(50);
    expect(await check(race.owner, subject)).toMatchObject({ used: 50, remaining: 0 });
  }));
