// One key, one effect, however the calls meet.
import { expect, test } from 'vitest';
import { check, consume, consumeBlocked, ledgerOf, run } from './race.ts';
import { sameKeyAtOnce, sameKeyOfTwoSubjects } from './scenarios.ts';

test('of two calls with one key the second waits, counts nothing and is told the first answer', () =>
  run(sameKeyAtOnce));

test('the same key of two subjects is two keys', () => run(sameKeyOfTwoSubjects));

test('when the first call of a key is rolled back, the one that waited counts', () =>
  run(async (race) => {
    const use = { subject: 'twice', key: 'order-1' };
    const [first, second] = await Promise.all([race.server(), race.server()]);

    await first.query('begin');
    const undone = await consume(first, use);
    const { answer } = await consumeBlocked(race, second, use);
    await first.query('rollback');

    const counted = await answer;
    expect(counted).toMatchObject({ allowed: true, used: 1, replayed: false });
    expect(counted.event_id).not.toBe(undone.event_id);
    expect(await check(first, use.subject)).toMatchObject({ used: 1 });
  }));

test('the same key with another amount waits for the first call and then is QIDEM', () =>
  run(async (race) => {
    const use = { subject: 'twice', key: 'order-1' };
    const [first, second] = await Promise.all([race.server(), race.server()]);

    await first.query('begin');
    await consume(first, use);
    const { answer } = await consumeBlocked(race, second, { ...use, amount: 2 });
    await first.query('commit');

    await expect(answer).rejects.toMatchObject({ code: 'QIDEM' });
    expect(await check(first, use.subject)).toMatchObject({ used: 1 });
  }));

// Under two features the calls hold different meters and meet only at the key's unique index.
test('one key under two features at once: the first counts, the second is QIDEM and counts nothing', () =>
  run(async (race) => {
    const use = { subject: 'twice', key: 'order-1' };
    const [first, second] = await Promise.all([race.server(), race.server()]);
    await consume(first, { subject: 'twice', feature: 'export' });

    await first.query('begin');
    await consume(first, use);
    const { answer } = await consumeBlocked(race, second, { ...use, feature: 'export' });
    await first.query('commit');

    await expect(answer).rejects.toMatchObject({ code: 'QIDEM' });
    expect(await check(first, 'twice')).toMatchObject({ used: 1 });
    expect(await check(first, 'twice', 'export')).toMatchObject({ used: 1 });
    expect(await ledgerOf(first, 'twice')).toHaveLength(2);
  }));

test('one key under two features at once: when the first is rolled back, the second counts', () =>
  run(async (race) => {
    const use = { subject: 'twice', key: 'order-1' };
    const [first, second] = await Promise.all([race.server(), race.server()]);
    await consume(first, { subject: 'twice', feature: 'export' });

    await first.query('begin');
    await consume(first, use);
    const { answer } = await consumeBlocked(race, second, { ...use, feature: 'export' });
    await first.query('rollback');

    expect(await answer).toMatchObject({ allowed: true, used: 2, replayed: false });
    expect(await check(first, 'twice')).toMatchObject({ used: 0 });
  }));

test('a refusal binds no key: the one that waited behind it is decided anew', () =>
  run(async (race) => {
    const use = { subject: 'full', key: 'order-1' };
    const [first, second] = await Promise.all([race.server(), race.server()]);
    const all = await consume(first, { subject: 'full', amount: 50 });

    await first.query('begin');
    expect(await consume(first, use)).toMatchObject({ allowed: false });
    const { answer } = await consumeBlocked(race, second, use);
    await first.query('select public.refund_usage($1, 1)', [all.event_id]);
    await first.query('commit');

    expect(await answer).toMatchObject({ allowed: true, used: 50, replayed: false });
  }));

test('40 callers on 10 keys at a limit of 5 count five keys, and every caller of a key hears the same', () =>
  run(async ({ database, owner }) => {
    const pool = database.pool(20);
    const keys = Array.from({ length: 40 }, (_, at) => `order-${at % 10}`);
    const answers = await Promise.all(
      keys.map((key) => consume(pool, { subject: 'keys', feature: 'export', key })),
    );

    const counted = answers.filter((answer) => answer.allowed && !answer.replayed);
    expect(counted).toHaveLength(5);
    const eventOf = new Map(
      (await ledgerOf(owner, 'keys')).map((line) => [line.idempotency_key, line.event_id]),
    );
    expect(eventOf.size).toBe(5);
    for (const [at, answer] of answers.entries()) {
      if (answer.allowed) expect(answer.event_id).toBe(eventOf.get(keys[at]));
    }
    // A replay is allowed also when nothing is left, so a bound key never hears a refusal after it.
    expect(await check(owner, 'keys', 'export')).toMatchObject({ used: 5, remaining: 0 });
  }));
