// A row that somebody holds costs others at most the lock timeout, and only those of that subject.
import { expect, test } from 'vitest';
import { check, consume, consumeBlocked, queryBlocked, run } from './race.ts';

test('a caller that waits for a held row gets 55P03 while it is still held, and nothing is counted', () =>
  run(async (race) => {
    const subject = 'held';
    const [holder, waiter] = await Promise.all([race.server(), race.server()]);
    await holder.query('begin');
    await consume(holder, { subject });
    const { answer } = await consumeBlocked(race, waiter, { subject });

    await expect(answer).rejects.toMatchObject({ code: '55P03' });
    await holder.query('commit');
    expect(await check(holder, subject)).toMatchObject({ used: 1 });
    expect(await consume(waiter, { subject })).toMatchObject({ used: 2 });
  }));

test("the caller's own lock_timeout is as it was after a call", () =>
  run(async (race) => {
    const server = await race.server();
    await server.query(`set lock_timeout = '5s'`);
    await consume(server, { subject: 'own' });
    const { rows } = await server.query('show lock_timeout');
    expect(rows).toEqual([{ lock_timeout: '5s' }]);
  }));

test.for([
  ['refund_usage', `select public.refund_usage($1)`],
  ['set_plan', `select public.set_plan('held', 'pro')`],
])('%s gives up on a held row with 55P03 too', ([name, sql]) =>
  run(async (race) => {
    const subject = 'held';
    const [holder, waiter] = await Promise.all([race.server(), race.server()]);
    const { event_id } = await consume(holder, { subject });
    await holder.query('begin');
    await consume(holder, { subject });
    const values = name === 'refund_usage' ? [event_id] : [];
    const { result } = await queryBlocked(race, waiter, sql as string, values);

    await expect(result).rejects.toMatchObject({ code: '55P03' });
    await holder.query('rollback');
    expect(await check(holder, subject)).toMatchObject({ plan: 'free', used: 1 });
  }),
);

test('a pool of ten, all of it waiting for one held row, goes on to serve other subjects', () =>
  run(async (race) => {
    const holder = await race.server();
    await holder.query('begin');
    await consume(holder, { subject: 'held' });

    const pool = race.database.pool(10);
    const stuck = Array.from({ length: 12 }, () =>
      consume(pool, { subject: 'held' }).catch((error) => error.code),
    );
    const served = Array.from({ length: 40 }, (_, at) => consume(pool, { subject: `other-${at}` }));

    for (const { allowed } of await Promise.all(served)) expect(allowed).toBe(true);
    expect(new Set(await Promise.all(stuck))).toEqual(new Set(['55P03']));
    // The holder was there all the time.
    await holder.query('commit');
    expect(await check(holder, 'held')).toMatchObject({ used: 1 });
  }));

test('a reader does not wait for a held row', () =>
  run(async (race) => {
    const [holder, reader] = await Promise.all([race.server(), race.server()]);
    await consume(holder, { subject: 'held' });
    await holder.query('begin');
    await consume(holder, { subject: 'held' });

    expect(await check(reader, 'held')).toMatchObject({ used: 1 });
    const { rows } = await reader.query(
      `select used::integer from public.current_usage
       where subject = 'held' and feature = 'ai_generation'`,
    );
    expect(rows).toEqual([{ used: 1 }]);
    expect((await reader.query('select * from public.verify_usage()')).rows).toEqual([]);
    await holder.query('rollback');
  }));
