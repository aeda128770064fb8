// Limits that do not just stop, under callers at once: the ceiling holds to the unit, a grace begins once,
// what a late refund frees of last month is there for who waited, a shadow counts whom it would have refused.
import { expect, test } from 'vitest';
import { setClock } from '../support/clock.ts';
import { applyPlans } from '../support/plans.ts';
import { calls, decisionOf, startBlocked } from './holds.ts';
import { consume, limitedTo, type Race, run } from './race.ts';

const under = (race: Race, month: object) =>
  applyPlans(race.owner, limitedTo({ month } as unknown as Record<string, number>));

async function historyOf({ owner }: Race, subject: string) {
  const { rows } = await owner.query(
    `select used::integer, over::integer, carried::integer from public.usage_history
     where subject = $1 order by period_start`,
    [subject],
  );
  return rows;
}

test('twenty callers at a soft limit come to its ceiling, and not a unit further', () =>
  run(async (race) => {
    await under(race, { limit: 40, mode: 'soft', ceiling: 55 });
    const callers = await Promise.all(Array.from({ length: 20 }, race.server));
    const answers = await Promise.all(
      callers.flatMap((caller) => [1, 2].map(() => consume(caller, { subject: 'ada', amount: 2 }))),
    );
    const taken = answers.filter(({ allowed }) => allowed);
    expect(taken).toHaveLength(27);
    expect(taken.filter(({ reason }) => reason === 'over_limit')).toHaveLength(7);
    expect(await historyOf(race, 'ada')).toEqual([{ used: 54, over: 14, carried: 0 }]);
  }));

test('who waited for the crossing call is in its grace, which began once', () =>
  run(async (race) => {
    await under(race, { limit: 10, grace: '1 hour' });
    const [one, other] = await Promise.all([race.server(), race.server()]);
    await consume(one, { subject: 'bob', amount: 10 });
    await one.query('begin');
    await consume(one, { subject: 'bob', amount: 1 });
    const { answer } = await startBlocked(
      race,
      other,
      calls.consume({ subject: 'bob', amount: 1 }),
    );
    await setClock(race.owner, '2026-01-10T12:59:59Z');
    await one.query('commit');
    expect(await answer).toMatchObject({ allowed: true, reason: 'over_limit', used: 12 });
    await setClock(race.owner, '2026-01-10T13:00:00Z');
    expect(await consume(one, { subject: 'bob', amount: 1 })).toMatchObject({ allowed: false });
    expect(await historyOf(race, 'bob')).toEqual([{ used: 12, over: 2, carried: 0 }]);
  }));

test('what a late refund frees of last month is carried to the call that waited for it', () =>
  run(async (race) => {
    await under(race, { limit: 10, rollover: 4 });
    const [one, other] = await Promise.all([race.server(), race.server()]);
    const { event_id } = await consume(one, { subject: 'cyd', amount: 10 });
    await setClock(race.owner, '2026-02-10T12:00:00Z');
    await consume(one, { subject: 'cyd', amount: 10 });
    await one.query('begin');
    await decisionOf(one, calls.refund(event_id, 3));
    const { answer } = await startBlocked(
      race,
      other,
      calls.consume({ subject: 'cyd', amount: 3, key: 'k' }),
    );
    await one.query('commit');
    expect(await answer).toMatchObject({ allowed: true, used: 13, limit: 13, carried: 3 });
    expect(await historyOf(race, 'cyd')).toEqual([
      { used: 7, over: 0, carried: 0 },
      { used: 13, over: 0, carried: 3 },
    ]);
  }));

test('a commit of last month beside the first call of this one: nothing is carried twice', () =>
  run(async (race) => {
    await under(race, { limit: 10, rollover: 5 });
    const [one, other] = await Promise.all([race.server(), race.server()]);
    await consume(one, { subject: 'dan', amount: 4 });
    await setClock(race.owner, '2026-01-31T23:59:00Z');
    const hold = await decisionOf(one, calls.reserve({ subject: 'dan', amount: 4 }));
    await setClock(race.owner, '2026-02-01T00:00:30Z');
    await one.query('begin');
    await decisionOf(one, calls.commit(hold.reservation_id, 1));
    const { answer } = await startBlocked(
      race,
      other,
      calls.consume({ subject: 'dan', amount: 15, key: 'k' }),
    );
    await one.query('commit');
    expect(await answer).toMatchObject({ allowed: true, used: 15, limit: 15, carried: 5 });
    expect(await consume(one, { subject: 'dan' })).toMatchObject({ allowed: false });
  }));

test('a limit in shadow refuses none of twenty, and knows which it would have', () =>
  run(async (race) => {
    await under(race, { limit: 12, mode: 'shadow' });
    const callers = await Promise.all(Array.from({ length: 20 }, race.server));
    const answers = await Promise.all(callers.map((caller) => consume(caller, { subject: 'eve' })));
    expect(answers.every(({ allowed, reason }) => allowed && reason === 'ok')).toBe(true);
    const { rows } = await race.owner.query(
      `select count(*)::integer as refusals, sum(units)::integer as units from quota.overages`,
    );
    expect(rows).toEqual([{ refusals: 8, units: 8 }]);
  }));
