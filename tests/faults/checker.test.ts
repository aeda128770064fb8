// verify_usage() is believed only if it never cries wolf: it runs while others write.
import { expect, test } from 'vitest';
import { consume, limitedTo, run } from '../concurrency/race.ts';
import { setClock } from '../support/clock.ts';
import { applyPlans } from '../support/plans.ts';

test('verify_usage() finds nothing while uses, refunds, plan changes and a month end go on', () =>
  run(async ({ owner, database, server }) => {
    await applyPlans(owner, limitedTo(100_000));
    const pool = database.pool(8);
    const checker = await server();
    let isWorking = true;
    const workers = Array.from({ length: 8 }, async (_, at) => {
      const subject = `subject-${at % 2}`;
      for (let n = 0; n < 60; n++) {
        const { event_id } = await consume(pool, { subject, amount: 1 + (n % 3) });
        if (n % 4 === 0) await pool.query('select public.refund_usage($1, 1)', [event_id]);
        if (n % 10 === at) {
          await pool.query(`select public.set_plan($1, 'pro', $2)`, [
            subject,
            `2026-01-0${1 + at}T0${n % 10}:00:00Z`,
          ]);
        }
        if (at === 0 && n === 30) await setClock(owner, '2026-02-10T12:00:00Z');
      }
    });
    const checks = (async () => {
      let count = 0;
      for (; isWorking || count === 0; count++) {
        const { rows } = await checker.query('select * from public.verify_usage()');
        expect(rows).toEqual([]);
      }
      return count;
    })();
    await Promise.all(workers).finally(() => {
      isWorking = false;
    });
    expect(await checks).toBeGreaterThan(1);
  }));
