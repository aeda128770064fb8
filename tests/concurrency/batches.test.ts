// A batch takes from all its features or from none, and batches in opposite order do not deadlock.
import { describe, expect, test } from 'vitest';
import { setClock } from '../support/clock.ts';
import { applyPlans } from '../support/plans.ts';
import { oppositeBatches } from './hold_scenarios.ts';
import { calls, decisionOf, decisionsOf, outcomeOf, startBlocked } from './holds.ts';
import { check, limitedTo, run } from './race.ts';

const BOTH = [{ feature: 'ai_generation' }, { feature: 'export' }];

test('two batches in opposite order that wait for a third call both count', () =>
  run(oppositeBatches));

test('so do the first uses of both features', () =>
  run(async (race) => {
    const subject = 'new';
    const [holder, one, two] = await Promise.all([race.server(), race.server(), race.server()]);
    await holder.query('begin');
    await decisionOf(holder, calls.consume({ subject }));
    const forward = await startBlocked(race, one, calls.batch(subject, BOTH));
    const backward = await startBlocked(race, two, calls.batch(subject, BOTH.toReversed()));
    await holder.query('commit');
    await Promise.all([forward.answer, backward.answer]);
    expect(await check(holder, subject, 'export')).toMatchObject({ used: 2 });
    expect(await check(holder, subject)).toMatchObject({ used: 3 });
  }));

test('under load, batches in every order beside single calls and changes of plan never deadlock', () =>
  run(async ({ database, owner }) => {
    const features = ['one', 'two', 'three', 'four', 'five'];
    const limits = Object.fromEntries(features.map((feature) => [feature, { month: 400 }]));
    await applyPlans(owner, {
      features: Object.fromEntries(features.map((feature) => [feature, {}])),
      plans: { free: { default: true, limits }, pro: { limits } },
    });
    const pool = database.pool(16);
    const rotated = (n: number) => [...features.slice(n % 5), ...features.slice(0, n % 5)];
    const answers = await Promise.all(
      Array.from({ length: 300 }, async (_, n) => {
        const subject = n % 2 ? 'anna' : 'bert';
        if (n % 10 === 9) await pool.query('select public.set_plan($1, $2)', [subject, 'pro']);
        if (n % 3 === 0) {
          return [await decisionOf(pool, calls.consume({ subject, feature: features[n % 5] }))];
        }
        const order = n % 4 ? rotated(n) : rotated(n).toReversed();
        return decisionsOf(
          pool,
          calls.batch(
            subject,
            order.map((feature) => ({ feature })),
          ),
        );
      }),
    );
    expect(answers.flat().every(({ allowed }) => allowed)).toBe(true);
    const { rows: used } = await owner.query('select sum(used)::integer as n from usage_history');
    expect(used).toEqual([{ n: answers.flat().length }]);
    await owner.query('select pg_stat_force_next_flush()');
    const { rows } = await owner.query(
      'select deadlocks::integer from pg_stat_database where datname = current_database()',
    );
    expect(rows).toEqual([{ deadlocks: 0 }]);
  }));

test('of many batches for the last units of two features, each takes both or none', () =>
  run(async ({ database, owner }) => {
    const subject = 'crowd';
    await applyPlans(owner, limitedTo(12)); // and 5 exports
    const pool = database.pool(15);
    const answers = await Promise.all(
      Array.from({ length: 40 }, (_, n) =>
        decisionsOf(pool, calls.batch(subject, n % 2 ? BOTH : BOTH.toReversed())),
      ),
    );
    for (const items of answers) expect(items[0]?.allowed).toBe(items[1]?.allowed);
    expect(answers.filter(([first]) => first?.allowed)).toHaveLength(5);
    expect(await check(owner, subject)).toMatchObject({ used: 5 });
    expect(await check(owner, subject, 'export')).toMatchObject({ used: 5, remaining: 0 });
  }));

test('a batch that waits for one feature is refused by what was taken of the other meanwhile', () =>
  run(async (race) => {
    const subject = 'waits';
    const [holder, waiter] = await Promise.all([race.server(), race.server()]);
    await decisionsOf(holder, calls.batch(subject, BOTH));
    await holder.query('begin');
    await decisionOf(holder, calls.consume({ subject, feature: 'export', amount: 4 }));
    const { answer } = await startBlocked(race, waiter, calls.batch(subject, BOTH));
    await holder.query('commit');
    expect(await answer).toMatchObject({ allowed: false, reason: 'not_taken' });
    expect(await check(holder, subject)).toMatchObject({ used: 1 });
  }));

test('a batch that waits over the end of a month counts all its items in the new one', () =>
  run(async (race) => {
    const subject = 'midnight';
    await setClock(race.owner, '2026-01-31T23:59:59Z');
    const [holder, waiter] = await Promise.all([race.server(), race.server()]);
    await decisionsOf(holder, calls.batch(subject, BOTH));
    await holder.query('begin');
    await decisionOf(holder, calls.consume({ subject, feature: 'export', amount: 4 }));
    const { answer } = await startBlocked(race, waiter, calls.batch(subject, BOTH));
    await setClock(race.owner, '2026-02-01T00:00:00Z');
    await holder.query('commit');
    expect(await answer).toMatchObject({ allowed: true, used: 1 });
    expect(await check(holder, subject)).toMatchObject({ used: 1 });
    expect(await check(holder, subject, 'export')).toMatchObject({ used: 1 });
  }));

describe('the key of a batch', () => {
  test('that two use at once counts once, and both are told the same', () =>
    run(async (race) => {
      const subject = 'twice';
      const [one, two] = await Promise.all([race.server(), race.server()]);
      await one.query('begin');
      const first = await decisionsOf(one, calls.batch(subject, BOTH, 'job-1'));
      const { answer } = await startBlocked(race, two, calls.batch(subject, BOTH, 'job-1'));
      await one.query('commit');
      expect(await answer).toEqual({ ...first[0], replayed: true });
      expect(await check(one, subject, 'export')).toMatchObject({ used: 1 });
    }));

  test('taken at once by a batch of other features is QIDEM, and counts nothing of its own', () =>
    run(async (race) => {
      const subject = 'twice';
      const [one, two] = await Promise.all([race.server(), race.server()]);
      await one.query('begin');
      await decisionsOf(one, calls.batch(subject, [{ feature: 'export' }], 'job-1'));
      const other = calls.batch(subject, [{ feature: 'ai_generation' }], 'job-1');
      const { answer } = await startBlocked(race, two, other);
      await one.query('commit');
      expect(await outcomeOf(answer)).toBe('QIDEM');
      expect(await check(one, subject)).toMatchObject({ used: 0 });
    }));
});
