// A hold ends once, whoever comes first: commit, release or expiry, in every order, each seen waiting.
import type pg from 'pg';
import { describe, expect, test } from 'vitest';
import { setClock } from '../support/clock.ts';
import { applyPlans } from '../support/plans.ts';
import {
  BEFORE,
  ENDINGS,
  EXPIRED,
  endedAfterRollback,
  endedTwice,
  expiresByItself,
  holdUnseen,
  monthEndsBeforeCommit,
  monthsOf,
} from './hold_scenarios.ts';
import {
  type Call,
  calls,
  type Decision,
  decisionOf,
  kindsOf,
  outcomeOf,
  startBlocked,
} from './holds.ts';
import { check, limitedTo, queryBlocked, run } from './race.ts';

const PAIRS = ENDINGS.flatMap((first) => ENDINGS.map((second) => [first, second] as const));

describe('of two endings of one hold', () => {
  test.for(PAIRS)('%s decides what the %s that waited for it is told', ([first, second]) =>
    run(endedTwice(first, second)),
  );

  test.for(PAIRS)(
    '%s, rolled back, leaves the hold to the %s that waited for it',
    ([first, second]) => run(endedAfterRollback(first, second)),
  );
});

test('a hold stops counting the moment it expires, with no call and no job', () =>
  run(expiresByItself));

/** Inside a transaction a session hears of the moved clock when it locks something new. */
const hearOfTheClock = (session: pg.Client) => session.query('select from pg_catalog.pg_am');

describe('a hold that expires during a wait', () => {
  test('makes of the commit that waits a late one, which counts while there is room', () =>
    run(async (race) => {
      const subject = 'late';
      const [holder, waiter] = await Promise.all([race.server(), race.server()]);
      const { reservation_id } = await decisionOf(waiter, calls.reserve({ subject, amount: 10 }));
      await setClock(race.owner, BEFORE);
      await holder.query('begin');
      await decisionOf(holder, calls.consume({ subject, amount: 40 }));
      const { answer } = await startBlocked(race, waiter, calls.commit(reservation_id));
      await setClock(race.owner, EXPIRED);
      await holder.query('commit');

      expect(await answer).toMatchObject({ reason: 'ok', used: 50, reserved: 0 });
      expect(await kindsOf(race.owner, subject)).toEqual([
        'reserve',
        'consume',
        'expire',
        'commit',
      ]);
    }));

  test('and whose room the holder takes, makes of the commit that waits an over_limit', () =>
    run(async (race) => {
      const subject = 'late';
      const [holder, waiter] = await Promise.all([race.server(), race.server()]);
      const { reservation_id } = await decisionOf(waiter, calls.reserve({ subject, amount: 10 }));
      await holder.query('begin');
      await decisionOf(holder, calls.consume({ subject, amount: 40 }));
      const { answer } = await startBlocked(race, waiter, calls.commit(reservation_id, 7));
      await setClock(race.owner, EXPIRED);
      await hearOfTheClock(holder);
      expect(await decisionOf(holder, calls.consume({ subject, amount: 10 }))).toMatchObject({
        allowed: true,
        used: 50,
      });
      await holder.query('commit');

      expect(await answer).toMatchObject({ allowed: true, reason: 'over_limit', used: 57 });
    }));

  test('gives its room to the use that waits', () =>
    run(async (race) => {
      const subject = 'frees';
      const [holder, waiter] = await Promise.all([race.server(), race.server()]);
      await decisionOf(holder, calls.reserve({ subject, amount: 49 }));
      await holder.query('begin');
      await decisionOf(holder, calls.consume({ subject }));
      const { answer } = await startBlocked(race, waiter, calls.consume({ subject, amount: 49 }));
      await setClock(race.owner, EXPIRED);
      await holder.query('commit');

      expect(await answer).toMatchObject({ allowed: true, used: 50, reserved: 0 });
    }));

  test('is settled once by the two that waited', () =>
    run(async (race) => {
      const subject = 'settles';
      const [holder, ...waiters] = await Promise.all([race.server(), race.server(), race.server()]);
      await decisionOf(holder, calls.reserve({ subject, amount: 10 }));
      await holder.query('begin');
      await decisionOf(holder, calls.consume({ subject }));
      const waiting = [];
      for (const waiter of waiters) {
        waiting.push(await startBlocked(race, waiter, calls.consume({ subject })));
      }
      await setClock(race.owner, EXPIRED);
      await holder.query('commit');
      await Promise.all(waiting.map(({ answer }) => answer));

      const kinds = await kindsOf(race.owner, subject);
      expect(kinds.filter((kind) => kind === 'expire')).toHaveLength(1);
    }));
});

describe('a caller that waits at the limit', () => {
  const CHANGES: [string, (id: string) => Call, object][] = [
    ['gets the room of a hold that is released', calls.release, { allowed: true, used: 41 }],
    [
      'gets what a commit of less gives back',
      (id) => calls.commit(id, 9),
      { allowed: true, used: 50 },
    ],
    [
      'gets it all when the work cost nothing',
      (id) => calls.commit(id, 0),
      { allowed: true, used: 41 },
    ],
    ['is refused when all is committed', calls.commit, { allowed: false, used: 50, reserved: 0 }],
    [
      'is refused when more is committed',
      (id) => calls.commit(id, 15),
      { allowed: false, used: 55 },
    ],
  ];

  test.for(CHANGES)('%s', ([, end, told]) =>
    run(async (race) => {
      const subject = 'waits';
      const [holder, waiter] = await Promise.all([race.server(), race.server()]);
      await decisionOf(holder, calls.consume({ subject, amount: 40 }));
      const { reservation_id } = await decisionOf(holder, calls.reserve({ subject, amount: 10 }));
      await holder.query('begin');
      await decisionOf(holder, end(reservation_id));
      const { answer } = await startBlocked(race, waiter, calls.consume({ subject }));
      await holder.query('commit');
      expect(await answer).toMatchObject(told);
    }),
  );

  test('is told to wait until the hold in its way expires', () =>
    run(async (race) => {
      const subject = 'waits';
      const [holder, waiter] = await Promise.all([race.server(), race.server()]);
      await decisionOf(holder, calls.consume({ subject, amount: 49 }));
      await holder.query('begin');
      await decisionOf(holder, calls.reserve({ subject, ttl: '90 seconds' }));
      const { answer } = await startBlocked(race, waiter, calls.reserve({ subject }));
      await holder.query('commit');
      expect(await answer).toMatchObject({
        allowed: false,
        reserved: 1,
        retry_after: 90,
        reservation_id: null,
      });
    }));
});

test('of thirty reserves and uses at once for ten units, ten get one each', () =>
  run(async ({ database, owner }) => {
    const subject = 'crowd';
    await applyPlans(owner, limitedTo(10));
    const pool = database.pool(15);
    const answers = await Promise.all(
      Array.from({ length: 30 }, (_, at) =>
        decisionOf(pool, at % 2 ? calls.reserve({ subject }) : calls.consume({ subject })),
      ),
    );
    expect(answers.filter(({ allowed }) => allowed)).toHaveLength(10);
    const { used, reserved } = (await check(owner, subject)) as Decision;
    expect(used + reserved).toBe(10);
  }));

test('of twenty commits and releases of one hold at once, one ends it and all agree on which', () =>
  run(async ({ database, owner }) => {
    const subject = 'crowd';
    const pool = database.pool(20);
    const { reservation_id } = await decisionOf(pool, calls.reserve({ subject, amount: 10 }));
    const outcomes = await Promise.all(
      Array.from({ length: 20 }, (_, at) =>
        outcomeOf(
          decisionOf(pool, at % 2 ? calls.commit(reservation_id) : calls.release(reservation_id)),
        ),
      ),
    );
    const answers = outcomes.filter((outcome) => typeof outcome !== 'string');
    expect(answers).toHaveLength(10);
    expect(answers.filter(({ replayed }) => !replayed)).toHaveLength(1);
    expect(new Set(answers.map(({ event_id }) => event_id)).size).toBe(1);
    expect(outcomes.filter((outcome) => outcome === 'QRSRV')).toHaveLength(10);
    const { used, reserved } = (await check(owner, subject)) as Decision;
    expect([used, reserved]).toEqual([answers[0]?.used, 0]);
    expect(await kindsOf(owner, subject)).toHaveLength(2);
  }));

describe('the key of a reserve', () => {
  test('that two use at once makes one hold, and both are told its id', () =>
    run(async (race) => {
      const hold = { subject: 'twice', amount: 10, key: 'job-1' };
      const [one, two] = await Promise.all([race.server(), race.server()]);
      await one.query('begin');
      const first = await decisionOf(one, calls.reserve(hold));
      const { answer } = await startBlocked(race, two, calls.reserve(hold));
      await one.query('commit');
      expect(await answer).toEqual({ ...first, replayed: true });
      expect(await check(one, hold.subject)).toMatchObject({ reserved: 10 });
    }));

  test('is free again when the reserve is rolled back', () =>
    run(async (race) => {
      const hold = { subject: 'twice', amount: 10, key: 'job-1' };
      const [one, two] = await Promise.all([race.server(), race.server()]);
      await one.query('begin');
      const { reservation_id } = await decisionOf(one, calls.reserve(hold));
      const { answer } = await startBlocked(race, two, calls.reserve(hold));
      await one.query('rollback');
      expect(await answer).toMatchObject({ allowed: true, replayed: false, reserved: 10 });
      expect(await outcomeOf(decisionOf(one, calls.commit(reservation_id)))).toBe('QRSRV');
    }));

  test('taken under another feature at once is QIDEM, and leaves no hold', () =>
    run(async (race) => {
      const hold = { subject: 'twice', key: 'job-1' };
      const [one, two] = await Promise.all([race.server(), race.server()]);
      await one.query('begin');
      await decisionOf(one, calls.consume({ ...hold, feature: 'export' }));
      const { answer } = await startBlocked(race, two, calls.reserve(hold));
      await one.query('commit');
      expect(await outcomeOf(answer)).toBe('QIDEM');
      expect(await check(one, hold.subject)).toMatchObject({ reserved: 0 });
    }));
});

describe('the end of a period between reserve and commit', () => {
  const JANUARY = '2026-01-31T23:59:59Z';
  const FEBRUARY = '2026-02-01T00:00:01Z';

  test('leaves the use in the period of the hold, and the new one empty', () =>
    run(monthEndsBeforeCommit));

  test('during the wait of a commit changes nothing about that', () =>
    run(async (race) => {
      const subject = 'over';
      const [holder, waiter] = await Promise.all([race.server(), race.server()]);
      await setClock(race.owner, JANUARY);
      const { reservation_id } = await decisionOf(waiter, calls.reserve({ subject, amount: 10 }));
      await holder.query('begin');
      await decisionOf(holder, calls.consume({ subject, amount: 3 }));
      const { answer } = await startBlocked(race, waiter, calls.commit(reservation_id));
      await setClock(race.owner, FEBRUARY);
      await holder.query('commit');
      expect(await answer).toMatchObject({ used: 13, period_start: '2026-01-01T00:00:00+00:00' });
      await decisionOf(holder, calls.consume({ subject }));
      expect(await monthsOf(race, subject)).toEqual(['2026-01-01: 13', '2026-02-01: 1']);
    }));

  test('lets a commit pass the limit of the period of the hold, not of the new one', () =>
    run(async (race) => {
      const subject = 'over';
      const server = await race.server();
      await setClock(race.owner, JANUARY);
      const { reservation_id } = await decisionOf(server, calls.reserve({ subject, amount: 50 }));
      await setClock(race.owner, FEBRUARY);
      await decisionOf(server, calls.consume({ subject, amount: 20 }));
      expect(await decisionOf(server, calls.commit(reservation_id, 51))).toMatchObject({
        reason: 'over_limit',
        used: 51,
        remaining: 0,
      });
      expect(await monthsOf(race, subject)).toEqual(['2026-01-01: 51', '2026-02-01: 20']);
      expect(await check(server, subject)).toMatchObject({ used: 20, remaining: 30 });
    }));

  test('of a minute gives the next minute all its room while the month still counts the hold', () =>
    run(async (race) => {
      const subject = 'minute';
      const server = await race.server();
      await applyPlans(race.owner, limitedTo({ minute: 5, month: 12 }));
      const { reservation_id } = await decisionOf(server, calls.reserve({ subject, amount: 5 }));
      expect(await check(server, subject)).toMatchObject({ allowed: false, retry_after: 60 });
      await setClock(race.owner, '2026-01-10T12:01:00Z');
      const next = await decisionOf(server, calls.consume({ subject, amount: 5 }));
      expect(next).toMatchObject({ allowed: true, period: 'minute', used: 5, reserved: 0 });
      expect(await decisionOf(server, calls.commit(reservation_id))).toMatchObject({
        reason: 'ok',
      });
      expect(await monthsOf(race, subject)).toEqual(['2026-01-01: 10']);
    }));
});

describe('a change of plan between reserve and commit', () => {
  const SET_PLAN = 'select public.set_plan($1, $2, $3)';

  test('that waits for the commit finds the use, and the commit that waits finds the new plan', () =>
    run(async (race) => {
      const subject = 'moves';
      const [server, admin] = await Promise.all([race.server(), race.server()]);
      const hold = () => decisionOf(server, calls.reserve({ subject, amount: 10 }));
      const [one, two] = [await hold(), await hold()];
      await server.query('begin');
      await decisionOf(server, calls.commit(one.reservation_id));
      const change = await queryBlocked(race, admin, SET_PLAN, [subject, 'small', null]);
      await server.query('commit');
      await change.result;

      await admin.query('begin');
      await admin.query(SET_PLAN, [subject, 'small', null]);
      const { answer } = await startBlocked(race, server, calls.commit(two.reservation_id));
      await admin.query('commit');
      // What was held was promised: it is no over_limit that a downgrade came in between.
      expect(await answer).toMatchObject({ plan: 'small', reason: 'ok', used: 20, limit: 3 });
    }));

  test('makes an over_limit of what goes past the hold and the lower limit', () =>
    run(async (race) => {
      const subject = 'down';
      const server = await race.server();
      const { reservation_id } = await decisionOf(server, calls.reserve({ subject, amount: 10 }));
      await server.query(SET_PLAN, [subject, 'small', null]);
      expect(await decisionOf(server, calls.commit(reservation_id, 11))).toMatchObject({
        reason: 'over_limit',
        used: 11,
        limit: 3,
      });
    }));

  test('to one without the feature counts all the same, and shows when the plan has it again', () =>
    run(async (race) => {
      const subject = 'lost';
      const server = await race.server();
      const held = await decisionOf(
        server,
        calls.reserve({ subject, feature: 'export', amount: 2 }),
      );
      await server.query(SET_PLAN, [subject, 'small', null]);
      expect(await decisionOf(server, calls.commit(held.reservation_id))).toMatchObject({
        allowed: true,
        reason: 'ok',
        limit: 0,
        period: null,
      });
      await server.query(SET_PLAN, [subject, 'free', null]);
      expect(await check(server, subject, 'export')).toMatchObject({ used: 2, reserved: 0 });
    }));

  test('that moves the billing day behind the hold counts it in the new period, before it in the old', () =>
    run(async (race) => {
      const subject = 'anchor';
      const server = await race.server();
      await setClock(race.owner, '2026-01-05T12:00:00Z');
      const early = await decisionOf(server, calls.reserve({ subject, amount: 3, ttl: '7 days' }));
      await setClock(race.owner, '2026-01-08T12:00:00Z');
      const late = await decisionOf(server, calls.reserve({ subject, amount: 4, ttl: '7 days' }));
      await setClock(race.owner, '2026-01-10T12:00:00Z');
      await server.query(SET_PLAN, [subject, 'free', '2026-01-07T00:00:00Z']);
      expect(await check(server, subject)).toMatchObject({ used: 0, reserved: 4, remaining: 46 });
      await decisionOf(server, calls.commit(late.reservation_id, 5));
      await decisionOf(server, calls.commit(early.reservation_id));
      expect(await check(server, subject)).toMatchObject({ used: 5, reserved: 0 });
      expect(await monthsOf(race, subject)).toEqual(['2026-01-01: 3', '2026-01-07: 5']);
    }));
});

describe.for(['repeatable read', 'serializable'])('at %s', (level) => {
  test.for(PAIRS)(
    '%s committed after the snapshot makes the %s of that snapshot 40001',
    ([first, second]) =>
      run(async (race) => {
        const subject = 'stale';
        const [stale, other] = await Promise.all([race.server(), race.server()]);
        await decisionOf(other, calls.consume({ subject, amount: 40 }));
        const { reservation_id } = await decisionOf(other, calls.reserve({ subject, amount: 10 }));
        const end = (ending: (typeof ENDINGS)[number]) =>
          ending === 'expiry'
            ? calls.consume({ subject, amount: 10 })
            : calls[ending](reservation_id);
        if (first === 'expiry' || second === 'expiry') await setClock(race.owner, EXPIRED);

        await stale.query(`begin isolation level ${level}`);
        await check(stale, subject); // takes the snapshot
        await decisionOf(other, end(first));
        expect(await outcomeOf(decisionOf(stale, end(second)))).toBe('40001');
        await stale.query('rollback');
      }),
  );

  test('a call that does not see a new hold does not make the others forget when it expires', () =>
    run(holdUnseen(level)));
});
