// A session ends in the middle: what it had not committed is gone, what it had is counted, and its
// lock is free.
import { expect, test } from 'vitest';
import { pidOf } from '../support/blocking.ts';
import { dropConnection, terminate, waitUntilGone } from './gone.ts';
import { check, consume, consumeBlocked, ledgerOf, run } from './race.ts';

test('a terminated backend takes its call with it, and the one that waited counts', () =>
  run(async (race) => {
    const subject = 'terminated';
    const [victim, waiter] = await Promise.all([race.server(), race.server()]);
    const pid = await pidOf(victim);
    await consume(waiter, { subject, amount: 49 });
    await victim.query('begin');
    await consume(victim, { subject, key: 'order-1' });
    const { answer } = await consumeBlocked(race, waiter, { subject });

    await terminate(race, pid);
    expect(await answer).toMatchObject({ allowed: true, used: 50 });
    expect(await ledgerOf(waiter, subject)).toHaveLength(2);
    // The key is free: it was bound to nothing.
    expect(await consume(waiter, { subject, key: 'order-1' })).toMatchObject({
      allowed: false,
      replayed: false,
    });
  }));

test('a backend that is terminated while it waits counts nothing and blocks nobody', () =>
  run(async (race) => {
    const subject = 'terminated';
    const [holder, victim] = await Promise.all([race.server(), race.server()]);
    const pid = await pidOf(victim);
    await holder.query('begin');
    await consume(holder, { subject });
    const { answer } = await consumeBlocked(race, victim, { subject });

    await terminate(race, pid);
    await expect(answer).rejects.toMatchObject({ code: '57P01' });
    await holder.query('commit');
    expect(await consume(holder, { subject })).toMatchObject({ used: 2 });
  }));

test('a cancelled call counts nothing, and its session goes on', () =>
  run(async (race) => {
    const subject = 'cancelled';
    const [holder, victim] = await Promise.all([race.server(), race.server()]);
    const pid = await pidOf(victim);
    await holder.query('begin');
    await consume(holder, { subject });
    const { answer } = await consumeBlocked(race, victim, { subject });

    await race.owner.query(`select pg_cancel_backend(${pid})`);
    await expect(answer).rejects.toMatchObject({ code: '57014' });
    await holder.query('commit');
    expect(await consume(victim, { subject })).toMatchObject({ used: 2 });
  }));

test('the call of a client that is gone is counted all the same, and a retry with its key is told so', () =>
  run(async (race) => {
    const use = { subject: 'gone', key: 'order-1' };
    const [holder, victim] = await Promise.all([race.server(), race.server()]);
    const pid = await pidOf(victim);
    await holder.query('begin');
    await consume(holder, { subject: 'gone' });
    await consumeBlocked(race, victim, use);

    dropConnection(victim);
    await holder.query('commit');
    await waitUntilGone(race, pid);

    // "No answer" is not "not counted".
    expect(await check(holder, 'gone')).toMatchObject({ used: 2 });
    expect(await consume(holder, use)).toMatchObject({ allowed: true, replayed: true });
    expect(await check(holder, 'gone')).toMatchObject({ used: 2 });
  }));

test('the open transaction of a client that is gone is rolled back and its key is free', () =>
  run(async (race) => {
    const use = { subject: 'gone', key: 'order-1' };
    const [victim, other] = await Promise.all([race.server(), race.server()]);
    await victim.query('begin');
    await consume(victim, use);
    const { answer } = await consumeBlocked(race, other, use);

    dropConnection(victim);
    expect(await answer).toMatchObject({ allowed: true, used: 1, replayed: false });
  }));
