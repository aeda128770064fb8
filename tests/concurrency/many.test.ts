// Many calls in one statement, beside others: each is decided as if it had come alone.
import { expect, test } from 'vitest';
import { setClock } from '../support/clock.ts';
import { applyPlans } from '../support/plans.ts';
import { type Call, calls, decisionOf, decisionsOf, startBlocked } from './holds.ts';
import { check, limitedTo, run } from './race.ts';

interface One {
  feature?: string;
  amount?: number;
  idempotency_key?: string;
}

const many = (subject: string, ones: One[]): Call => ({
  sql: 'select to_jsonb(d) as decision from public.consume_usage_many($1, $2) as d',
  values: [JSON.stringify(ones.map((one) => ({ feature: 'ai_generation', ...one }))), subject],
});
const times = (n: number, one: One = {}) => Array.from({ length: n }, () => one);

test('arrays, single calls and batches at once take a limit to the unit, and a refusal has no room beside it', () =>
  run(async ({ database, owner }) => {
    const subject = 'hot';
    await applyPlans(owner, limitedTo(500));
    const pool = database.pool(16);
    const answers = await Promise.all(
      Array.from({ length: 120 }, async (_, n) => {
        if (n % 4 === 0) return [await decisionOf(pool, calls.consume({ subject }))];
        if (n % 4 === 1) {
          const feature = 'ai_generation';
          return decisionsOf(pool, calls.batch(subject, [{ feature }, { feature }]));
        }
        return decisionsOf(pool, many(subject, times(1 + (n % 13))));
      }),
    );
    const all = answers.flat();
    const allowed = all.filter((one) => one.allowed);
    expect(await check(owner, subject)).toMatchObject({ used: Math.min(500, allowed.length) });
    expect(new Set(allowed.map(({ event_id }) => event_id)).size).toBe(allowed.length);
    // Each shows another reading: none was decided beside another.
    expect(allowed.map(({ used }) => used).toSorted((a, b) => a - b)).toEqual(
      allowed.map((_, n) => n + 1),
    );
  }));

test('arrays that wait for a lock are bound by the limit, the plan and the clock of then', () =>
  run(async (race) => {
    const [holder, one, two, three] = await Promise.all(Array.from({ length: 4 }, race.server));
    if (!holder || !one || !two || !three) throw new Error('no sessions');
    for (const subject of ['limit', 'plan', 'clock']) {
      await decisionsOf(holder, many(subject, times(3)));
    }
    // An exception that ends what was remembered.
    await holder.query('begin');
    await holder.query(`select public.set_limit('limit', 'ai_generation', 'month', 5)`);
    const limit = await startBlocked(race, one, many('limit', times(4)));
    await holder.query('commit');
    expect(await limit.answer).toMatchObject({ allowed: true, used: 4, limit: 5 });
    expect(await check(holder, 'limit')).toMatchObject({ used: 5 });
    // Another edition of the catalogue, committed while the call waits for the row.
    await holder.query('begin');
    await decisionOf(holder, calls.consume({ subject: 'plan' }));
    const plan = await startBlocked(race, two, many('plan', times(4)));
    await applyPlans(race.owner, limitedTo(6));
    await holder.query('commit');
    expect(await plan.answer).toMatchObject({ allowed: true, used: 5, limit: 6 });
    expect(await check(holder, 'plan')).toMatchObject({ used: 6 });
    // Another month.
    await holder.query('begin');
    await decisionOf(holder, calls.consume({ subject: 'clock' }));
    const clock = await startBlocked(race, three, many('clock', times(4)));
    await setClock(race.owner, '2026-02-01T00:00:00Z');
    await holder.query('commit');
    expect(await clock.answer).toMatchObject({ allowed: true, used: 1 });
    expect(await check(holder, 'clock')).toMatchObject({ used: 4 });
  }));

test('a key that two arrays use at once counts once, and the rest of both counts', () =>
  run(async (race) => {
    const subject = 'twice';
    const [one, two] = await Promise.all([race.server(), race.server()]);
    await decisionsOf(one, many(subject, times(1)));
    await one.query('begin');
    const key = { idempotency_key: 'job-1' };
    const [first] = await decisionsOf(one, many(subject, [key, {}]));
    const { answer } = await startBlocked(race, two, many(subject, [key, {}, key]));
    await one.query('commit');
    expect(await answer).toEqual({ ...first, replayed: true });
    expect(await check(one, subject)).toMatchObject({ used: 4 });
  }));

test('arrays that name several features in opposite order do not deadlock, first uses neither', () =>
  run(async ({ database, owner }) => {
    const features = ['one', 'two', 'three'];
    await applyPlans(owner, {
      features: Object.fromEntries(features.map((feature) => [feature, {}])),
      plans: {
        free: {
          default: true,
          limits: Object.fromEntries(features.map((feature) => [feature, { month: 1000 }])),
        },
      },
    });
    const pool = database.pool(12);
    const answers = await Promise.all(
      Array.from({ length: 150 }, (_, n) => {
        const order = n % 2 ? features : features.toReversed();
        return decisionsOf(
          pool,
          many(
            `subject-${n % 3}`,
            order.map((feature) => ({ feature })),
          ),
        );
      }),
    );
    expect(answers.flat().filter(({ allowed }) => !allowed)).toEqual([]);
    await owner.query('select pg_stat_force_next_flush()');
    const { rows } = await owner.query(
      'select deadlocks::integer from pg_stat_database where datname = current_database()',
    );
    expect(rows).toEqual([{ deadlocks: 0 }]);
  }));

test('under a snapshot that is older than a call it is 40001, never a wrong count', () =>
  run(async (race) => {
    const subject = 'old';
    const [one, two] = await Promise.all([race.server(), race.server()]);
    await decisionsOf(one, many(subject, times(2)));
    await two.query('begin isolation level repeatable read');
    await check(two, subject);
    await decisionsOf(one, many(subject, times(2)));
    await expect(decisionsOf(two, many(subject, times(2)))).rejects.toMatchObject({
      code: '40001',
    });
    await two.query('rollback');
    expect(await check(one, subject)).toMatchObject({ used: 4 });
  }));
