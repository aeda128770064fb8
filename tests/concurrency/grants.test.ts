// Grants and exceptions while others wait: what has expired, was given, taken or cleared meanwhile binds them.
import { describe, expect, test } from 'vitest';
import { setClock } from '../support/clock.ts';
import { applyPlans } from '../support/plans.ts';
import { type Call, calls, type Decision, decisionOf, outcomeOf, startBlocked } from './holds.ts';
import { check, limitedTo, queryBlocked, run } from './race.ts';
import {
  drawnOf,
  END,
  GRANT,
  give,
  grantDuringWait,
  grantExpiresDuringWait,
  lastUnitOfGrant,
} from './term_scenarios.ts';

const VOID = 'select public.void_grant($1)::integer as taken';
const SET_LIMIT = `select public.set_limit($1, 'ai_generation', $2, $3)`;
const CLEAR_LIMIT = `select public.clear_limit($1, 'ai_generation', $2)`;

test('two callers for the last unit of a grant: the one that waits is refused', () =>
  run(lastUnitOfGrant));

test('of forty callers for a grant of ten, beside a plan that is used up, ten draw one each', () =>
  run(async (race) => {
    const subject = 'crowd';
    const pool = race.database.pool(15);
    await decisionOf(pool, calls.consume({ subject, amount: 50 }));
    const ids = [
      await give(race, subject, 4, '2026-01-20T00:00:00Z'),
      await give(race, subject, 6, '2026-01-30T00:00:00Z'),
    ];
    const answers = await Promise.all(
      Array.from({ length: 40 }, (_, n) =>
        decisionOf(pool, n % 2 ? calls.consume({ subject }) : calls.reserve({ subject })),
      ),
    );
    expect(answers.filter(({ allowed }) => allowed)).toHaveLength(10);
    expect(await drawnOf(race, ...ids)).toEqual([4, 6]);
    const { used, reserved } = (await check(race.owner, subject)) as Decision;
    expect(used + reserved).toBe(60);
  }));

describe('a caller that waits', () => {
  test('while the grant it needs expires is refused', () => run(grantExpiresDuringWait));

  test('for a grant is told of it, though its meter remembers the plan', () =>
    run(grantDuringWait));

  test('while the first of two grants expires draws from the second', () =>
    run(async (race) => {
      const subject = 'waits';
      const [holder, waiter] = await Promise.all([race.server(), race.server()]);
      const ids = [await give(race, subject, 10, END), await give(race, subject, 5)];
      await decisionOf(holder, calls.consume({ subject, amount: 50 }));
      await holder.query('begin');
      await decisionOf(holder, calls.consume({ subject, amount: 4 }));
      const { answer } = await startBlocked(race, waiter, calls.consume({ subject, amount: 5 }));
      await setClock(race.owner, END);
      await holder.query('commit');
      expect(await answer).toMatchObject({ allowed: true, used: 59, limit: 59, granted: 0 });
      expect(await drawnOf(race, ...ids)).toEqual([4, 5]);
    }));

  test('while the month ends takes from the new plan allowance, and leaves the grant alone', () =>
    run(async (race) => {
      const subject = 'waits';
      const [holder, waiter] = await Promise.all([race.server(), race.server()]);
      await setClock(race.owner, '2026-01-31T23:59:59Z');
      const id = await give(race, subject, 10);
      await decisionOf(holder, calls.consume({ subject, amount: 50 }));
      await holder.query('begin');
      await decisionOf(holder, calls.consume({ subject, amount: 3 }));
      const { answer } = await startBlocked(race, waiter, calls.consume({ subject, amount: 9 }));
      await setClock(race.owner, '2026-02-01T00:00:00Z');
      await holder.query('commit');
      expect(await answer).toMatchObject({ allowed: true, used: 9, limit: 57, granted: 7 });
      expect(await drawnOf(race, id)).toEqual([3]);
    }));

  const CHANGES: [string, (ids: string[]) => [string, unknown[]], object][] = [
    ['for a top-up gets it', () => [GRANT, ['waits', 5, null]], { allowed: true, used: 51 }],
    [
      'for the end of its grant is refused',
      ([id]) => [VOID, [id]],
      { allowed: false, limit: 50, granted: 0 },
    ],
    [
      'for a higher exception gets it',
      () => [SET_LIMIT, ['waits', 'month', 60]],
      { allowed: true, used: 51, limit: 70 },
    ],
    [
      'for a lower exception is refused, its grant included',
      () => [SET_LIMIT, ['waits', 'month', 40]],
      { allowed: false, used: 50, limit: 50, granted: 10 },
    ],
    [
      'for an exception of another period is refused by it',
      () => [SET_LIMIT, ['waits', 'hour', 50]],
      { allowed: false, used: 50, limit: 50, period: 'hour' },
    ],
  ];

  test.for(CHANGES)('%s', ([, changeOf, told]) =>
    run(async (race) => {
      const subject = 'waits';
      const [admin, waiter] = await Promise.all([race.server(), race.server()]);
      await decisionOf(waiter, calls.consume({ subject, amount: 50 }));
      const ids = [await give(race, subject, 10)];
      const [sql, values] = changeOf(ids);
      await admin.query('begin');
      await admin.query(sql, values);
      const { answer } = await startBlocked(race, waiter, calls.consume({ subject }));
      await admin.query('commit');
      expect(await answer).toMatchObject(told);
    }),
  );

  test.for([
    {
      name: 'while its exception is cleared is decided by the plan',
      end: 'commit',
      told: { allowed: false, used: 60, limit: 50, remaining: 0 },
    },
    {
      name: 'while clearing is rolled back keeps its exception',
      end: 'rollback',
      told: { allowed: true, used: 61, limit: 100 },
    },
  ])('$name', ({ end, told }) =>
    run(async (race) => {
      const subject = 'cleared';
      const [admin, waiter] = await Promise.all([race.server(), race.server()]);
      await admin.query(SET_LIMIT, [subject, 'month', 100]);
      await decisionOf(waiter, calls.consume({ subject, amount: 60 }));
      await admin.query('begin');
      await admin.query(CLEAR_LIMIT, [subject, 'month']);
      const { answer } = await startBlocked(race, waiter, calls.consume({ subject }));
      await admin.query(end);
      expect(await answer).toMatchObject(told);
    }),
  );
});

describe('a change of terms waits for the call in flight', () => {
  const CHANGES: [string, string, unknown[]][] = [
    ['grant_usage', GRANT, ['flight', 5, null]],
    ['set_limit', SET_LIMIT, ['flight', 'month', 3]],
    ['clear_limit', CLEAR_LIMIT, ['flight', 'month']],
  ];

  test.for(CHANGES)('%s, also for the first use of a subject', ([, sql, values]) =>
    run(async (race) => {
      const [user, admin] = await Promise.all([race.server(), race.server()]);
      await user.query('begin');
      await decisionOf(user, calls.consume({ subject: 'flight', amount: 5 }));
      const change = await queryBlocked(race, admin, sql, values);
      await user.query('commit');
      await change.result;
      expect(await check(user, 'flight')).toMatchObject({ used: 5 });
    }),
  );

  test.for(CHANGES)('%s before the first use of a subject binds it', ([, sql, values]) =>
    run(async (race) => {
      const [user, admin] = await Promise.all([race.server(), race.server()]);
      await admin.query('begin');
      await admin.query(sql, values);
      const call = calls.consume({ subject: 'flight', amount: 55 });
      const { answer } = await startBlocked(race, user, call);
      await admin.query('commit');
      expect((await answer).allowed).toBe(sql === GRANT);
    }),
  );
});

test('a refund and a void at once: what is given back stays ended', () =>
  run(async (race) => {
    const subject = 'ends';
    const [server, admin] = await Promise.all([race.server(), race.server()]);
    const id = await give(race, subject, 10);
    const use = await decisionOf(server, calls.consume({ subject, amount: 55 }));
    await admin.query('begin');
    await admin.query(VOID, [id]);
    const { answer } = await startBlocked(race, server, calls.refund(use.event_id, 5));
    await admin.query('commit');
    expect(await answer).toMatchObject({ used: 50, limit: 50, remaining: 0, granted: 0 });
    expect(await drawnOf(race, id)).toEqual([0]);
  }));

test('of two that void a grant at once one takes what is left', () =>
  run(async (race) => {
    const [one, two] = await Promise.all([race.server(), race.server()]);
    const id = await give(race, 'ends', 10);
    await one.query('begin');
    const first = await one.query(VOID, [id]);
    const second = await queryBlocked(race, two, VOID, [id]);
    await one.query('commit');
    expect(first.rows).toEqual([{ taken: 10 }]);
    expect((await second.result).rows).toEqual([{ taken: 0 }]);
  }));

test('parts taken back at once are never more than is left, and a draw that waits finds the rest', () =>
  run(async (race) => {
    const [one, two, caller] = await Promise.all([race.server(), race.server(), race.server()]);
    const subject = 'parts';
    const id = await give(race, subject, 10);
    await decisionOf(caller, calls.consume({ subject, amount: 50 }));
    const part = 'select public.void_grant($1, null, 6)::integer as taken';
    await one.query('begin');
    const first = await one.query(part, [id]);
    const second = await queryBlocked(race, two, part, [id]);
    await one.query('commit');
    expect(first.rows).toEqual([{ taken: 6 }]);
    expect((await second.result).rows).toEqual([{ taken: 4 }]);

    const other = await give(race, subject, 10);
    await one.query('begin');
    await one.query(part, [other]);
    const draw = calls.consume({ subject, amount: 5, key: 'draw' });
    const { answer } = await startBlocked(race, caller, draw);
    await one.query('commit');
    expect(await answer).toMatchObject({ allowed: false, used: 50, granted: 4, remaining: 4 });
  }));

test('of two grants with one key at once one is made, and both are told its id', () =>
  run(async (race) => {
    const sql = `select public.grant_usage('ai_generation', 5, 'twice', idempotency_key => 'order-1') as id`;
    const [one, two] = await Promise.all([race.server(), race.server()]);
    await one.query('begin');
    const first = await one.query(sql);
    const second = await queryBlocked(race, two, sql);
    await one.query('commit');
    expect((await second.result).rows).toEqual(first.rows);
    expect(await check(one, 'twice')).toMatchObject({ limit: 55 });
  }));

test('what an expired hold drew is drawn by the caller that waited, from the same grant', () =>
  run(async (race) => {
    const subject = 'draws';
    const [holder, waiter] = await Promise.all([race.server(), race.server()]);
    const id = await give(race, subject, 10);
    await decisionOf(holder, calls.consume({ subject, amount: 50 }));
    await decisionOf(holder, calls.reserve({ subject, amount: 9, ttl: '30 seconds' }));
    await holder.query('begin');
    await decisionOf(holder, calls.consume({ subject }));
    const { answer } = await startBlocked(race, waiter, calls.consume({ subject, amount: 9 }));
    await setClock(race.owner, '2026-01-10T12:00:30Z');
    await holder.query('commit');
    expect(await answer).toMatchObject({ allowed: true, used: 60, reserved: 0, granted: 0 });
    expect(await drawnOf(race, id)).toEqual([10]);
  }));

test('a subject with a grant and one without see the catalogue change at once', () =>
  run(async (race) => {
    const server = await race.server();
    await give(race, 'with', 5);
    for (const subject of ['with', 'without']) {
      await decisionOf(server, calls.consume({ subject, amount: 20 }));
    }
    await applyPlans(race.owner, limitedTo(20));
    const told = async (subject: string) => decisionOf(server, calls.consume({ subject }));
    expect(await told('with')).toMatchObject({ allowed: true, limit: 25, used: 21, granted: 4 });
    expect(await told('without')).toMatchObject({ allowed: false, limit: 20, used: 20 });
  }));

test('a caller that waits over local midnight on the billing day in Tokyo has the default plan and a new month', () =>
  run(async (race) => {
    const subject = 'tokyo';
    const [holder, waiter] = await Promise.all([race.server(), race.server()]);
    const midnight = '2026-02-27T15:00:00Z'; // the 28th, of a billing day on the 31st
    await setClock(race.owner, '2026-02-27T14:59:59Z');
    await holder.query('select public.set_plan($1, $2, $3, $4, $5)', [
      subject,
      'pro',
      '2026-01-30T15:00:00Z',
      'Asia/Tokyo',
      midnight,
    ]);
    await decisionOf(holder, calls.consume({ subject, amount: 60 }));
    await holder.query('begin');
    const last = await decisionOf(holder, calls.consume({ subject }));
    const { answer } = await startBlocked(race, waiter, calls.consume({ subject, amount: 50 }));
    await setClock(race.owner, midnight);
    await holder.query('commit');
    expect(last).toMatchObject({ plan: 'pro', used: 61, limit: null });
    const told = await answer;
    expect(told).toMatchObject({ allowed: true, plan: 'free', used: 50, limit: 50 });
    expect(new Date(told.period_start)).toEqual(new Date(midnight));
    const { rows } = await race.owner.query(
      `select used::integer, period_end from public.usage_history order by period_start`,
    );
    expect(rows).toEqual([
      { used: 61, period_end: new Date(midnight) },
      { used: 50, period_end: new Date('2026-03-30T15:00:00Z') },
    ]);
  }));

describe.for(['repeatable read', 'serializable'])('at %s', (level) => {
  const draw = calls.consume({ subject: 'stale', amount: 3 });
  const STALE: [string, (id: string) => [string, unknown[]], (event: string) => Call][] = [
    ['a void makes a draw', (id) => [VOID, [id]], () => draw],
    ['a draw makes a draw', () => [draw.sql, draw.values], () => draw],
    ['a draw makes a refund', () => [draw.sql, draw.values], (event) => calls.refund(event)],
  ];

  test.for(STALE)('%s 40001 when the snapshot does not see it', ([, changeOf, callOf]) =>
    run(async (race) => {
      const [stale, other] = await Promise.all([race.server(), race.server()]);
      const id = await give(race, 'stale', 5);
      const use = await decisionOf(other, calls.consume({ subject: 'stale', amount: 52 }));
      await stale.query(`begin isolation level ${level}`);
      await check(stale, 'stale'); // takes the snapshot
      await other.query(...changeOf(id));
      expect(await outcomeOf(decisionOf(stale, callOf(use.event_id)))).toBe('40001');
      await stale.query('rollback');
    }),
  );
});
