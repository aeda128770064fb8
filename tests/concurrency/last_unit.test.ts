// The promise of the product: at the last unit, one of many wins.
import { expect, test } from 'vitest';
import { check, consume, consumeBlocked, run } from './race.ts';
import { lastUnitOfFifty } from './scenarios.ts';

test('of fifty callers that wait for the last unit exactly one gets it', () =>
  run(lastUnitOfFifty));

test('a caller that waits at the last unit is refused once the other has committed', () =>
  run(async (race) => {
    const subject = 'waits';
    const [first, second] = await Promise.all([race.server(), race.server()]);
    await consume(first, { subject, amount: 49 });

    await first.query('begin');
    const won = await consume(first, { subject });
    const { answer } = await consumeBlocked(race, second, { subject });
    await first.query('commit');

    expect(won).toMatchObject({ allowed: true, used: 50, remaining: 0 });
    expect(await answer).toMatchObject({ allowed: false, reason: 'limit_reached', used: 50 });
  }));

test('200 callers at once, the first use included, count exactly 50', () =>
  run(async ({ database, owner }) => {
    const pool = database.pool(20);
    const calls = Array.from({ length: 200 }, () => consume(pool, { subject: 'crowd' }));
    const allowed = (await Promise.all(calls)).filter((call) => call.allowed);

    expect(allowed).toHaveLength(50);
    expect(await check(owner, 'crowd')).toMatchObject({ used: 50, remaining: 0 });
  }));

test('amounts of different size never pass the limit, and none is refused that fits', () =>
  run(async ({ database, owner }) => {
    const pool = database.pool(20);
    const amounts = Array.from({ length: 60 }, (_, at) => [1, 3, 7][at % 3] as number);
    const answers = await Promise.all(
      amounts.map((amount) => consume(pool, { subject: 'sizes', amount })),
    );
    const taken = answers.reduce((sum, { allowed, amount }) => sum + (allowed ? amount : 0), 0);
    const refused = answers.filter(({ allowed }) => !allowed);

    expect(taken).toBeLessThanOrEqual(50);
    expect(await check(owner, 'sizes')).toMatchObject({ used: taken, remaining: 50 - taken });
    expect(refused.length).toBeGreaterThan(0);
    expect(refused.filter(({ amount, remaining }) => amount <= Number(remaining))).toEqual([]);
  }));

test('two subjects do not wait for each other', () =>
  run(async (race) => {
    const [mine, yours] = await Promise.all([race.server(), race.server()]);
    await mine.query('begin');
    await consume(mine, { subject: 'mine' });

    expect(await consume(yours, { subject: 'yours' })).toMatchObject({ allowed: true, used: 1 });
    await mine.query('rollback');
  }));
