// What one event counted is given back once.
import type pg from 'pg';
import { expect, test } from 'vitest';
import { applyPlans } from '../support/plans.ts';
import { check, consume, consumeBlocked, ledgerOf, limitedTo, queryBlocked, run } from './race.ts';

const REFUND = 'select to_jsonb(d) as decision from public.refund_usage($1, $2) as d';

const codeOf = (call: Promise<unknown>): Promise<string> =>
  call.then(
    () => 'done',
    (error: pg.DatabaseError) => error.code ?? error.message,
  );

test('of two refunds of a whole event the second waits and is QAMNT', () =>
  run(async (race) => {
    const subject = 'refund';
    const [first, second] = await Promise.all([race.server(), race.server()]);
    const { event_id } = await consume(first, { subject, amount: 3 });

    await first.query('begin');
    await first.query(REFUND, [event_id, null]);
    const { result } = await queryBlocked(race, second, REFUND, [event_id, null]);
    await first.query('commit');

    await expect(result).rejects.toMatchObject({ code: 'QAMNT' });
    expect(await check(first, subject)).toMatchObject({ used: 0 });
    expect(await ledgerOf(first, subject)).toHaveLength(2);
  }));

test('when the first refund is rolled back, the one that waited gives the amount back', () =>
  run(async (race) => {
    const subject = 'refund';
    const [first, second] = await Promise.all([race.server(), race.server()]);
    const { event_id } = await consume(first, { subject, amount: 3 });

    await first.query('begin');
    await first.query(REFUND, [event_id, null]);
    const { result } = await queryBlocked(race, second, REFUND, [event_id, null]);
    await first.query('rollback');

    expect((await result).rows[0]?.decision).toMatchObject({ amount: 3, used: 0 });
  }));

test('twenty refunds of 1 at once give back the three that the event counted', () =>
  run(async ({ database, owner }) => {
    const subject = 'refunds';
    const pool = database.pool(10);
    await consume(pool, { subject, amount: 5 });
    const { event_id } = await consume(pool, { subject, amount: 3 });

    const codes = await Promise.all(
      Array.from({ length: 20 }, () => codeOf(pool.query(REFUND, [event_id, 1]))),
    );
    expect(codes.filter((code) => code === 'done')).toHaveLength(3);
    expect(codes.filter((code) => code === 'QAMNT')).toHaveLength(17);
    expect(await check(owner, subject)).toMatchObject({ used: 5 });
  }));

test('a caller that waits at the limit gets the unit that a refund gives back', () =>
  run(async (race) => {
    const subject = 'freed';
    const [server, waiter] = await Promise.all([race.server(), race.server()]);
    await consume(server, { subject, amount: 48 });
    const { event_id } = await consume(server, { subject });

    await server.query('begin');
    await server.query(REFUND, [event_id, null]);
    const { answer } = await consumeBlocked(race, waiter, { subject, amount: 2 });
    await server.query('commit');

    expect(await answer).toMatchObject({ allowed: true, used: 50 });
  }));

test('a storm of uses and refunds at a limit of 10 ends with what the ledger says', () =>
  run(async ({ database, owner }) => {
    const subject = 'storm';
    await applyPlans(owner, limitedTo(10));
    const pool = database.pool(12);
    let refunded = 0;
    let counted = 0;
    await Promise.all(
      Array.from({ length: 12 }, async (_, worker) => {
        for (let round = 0; round < 10; round++) {
          const use = await consume(pool, { subject });
          if (!use.allowed) continue;
          counted++;
          expect(use.used).toBeLessThanOrEqual(10);
          if ((worker + round) % 3 === 0) continue;
          await pool.query(REFUND, [use.event_id, null]);
          refunded++;
        }
      }),
    );
    expect(await check(owner, subject)).toMatchObject({ used: counted - refunded });
  }));
