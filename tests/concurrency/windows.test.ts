// A window that is opened twice at once is opened once: whoever waited finds it open, with what is in it.
import { expect, test } from 'vitest';
import { setClock } from '../support/clock.ts';
import { applyPlans } from '../support/plans.ts';
import { calls, decisionOf, startBlocked } from './holds.ts';
import { consume, limitedTo, NOON, type Race, run } from './race.ts';

const inWindows = (race: Race) => applyPlans(race.owner, limitedTo({ '5 hours': 50 }));
const windowsOf = async ({ owner }: Race, subject: string) => {
  const { rows } = await owner.query(
    `select h.period_start, h.used::integer as used,
       (select count(*)::integer from public.usage_events as e where e.subject = $1 and e.kind = 'open') as lines
     from public.usage_history as h where h.subject = $1 order by h.period_start`,
    [subject],
  );
  return rows.map(({ period_start, ...row }) => ({ ...row, from: period_start.toISOString() }));
};
const from = (time: string) => new Date(time).toISOString();

test('of two first calls at once one opens it, and the other is refused what it has no room for', () =>
  run(async (race) => {
    await inWindows(race);
    const subject = 'two';
    const [one, other] = await Promise.all([race.server(), race.server()]);
    // Without a meter, and then with one whose window is over.
    for (const [n, time] of [NOON, '2026-01-10T17:00:00Z'].entries()) {
      await setClock(race.owner, time);
      await one.query('begin');
      expect(await consume(one, { subject, amount: 30 })).toMatchObject({
        allowed: true,
        used: 30,
      });
      const { answer } = await startBlocked(
        race,
        other,
        calls.consume({ subject, amount: 30, key: `${n}` }),
      );
      await one.query('commit');
      expect(await answer).toMatchObject({ allowed: false, used: 30, retry_after: 5 * 3600 });
    }
    expect(await windowsOf(race, subject)).toEqual([
      { from: from(NOON), used: 30, lines: 2 },
      { from: from('2026-01-10T17:00:00Z'), used: 30, lines: 2 },
    ]);
  }));

test('where the first is rolled back, the one that waited opens it', () =>
  run(async (race) => {
    await inWindows(race);
    const subject = 'rolled back';
    const [one, other] = await Promise.all([race.server(), race.server()]);
    await one.query('begin');
    await consume(one, { subject, amount: 50 });
    const { answer } = await startBlocked(race, other, calls.reserve({ subject, amount: 50 }));
    await setClock(race.owner, '2026-01-10T12:00:07Z');
    await one.query('rollback');
    expect(await answer).toMatchObject({ allowed: true, used: 0, reserved: 50 });
    expect(await windowsOf(race, subject)).toEqual([
      { from: from('2026-01-10T12:00:07Z'), used: 0, lines: 1 },
    ]);
  }));

test('a call that waits over the end of a window opens the next', () =>
  run(async (race) => {
    await inWindows(race);
    const subject = 'over';
    const [one, other] = await Promise.all([race.server(), race.server()]);
    await consume(one, { subject, amount: 40 });
    await setClock(race.owner, '2026-01-10T16:59:59Z');
    await one.query('begin');
    await consume(one, { subject, amount: 10 });
    const { answer } = await startBlocked(
      race,
      other,
      calls.consume({ subject, amount: 20, key: 'k' }),
    );
    await setClock(race.owner, '2026-01-10T17:00:01Z');
    await one.query('commit');
    expect(await answer).toMatchObject({ allowed: true, used: 20 });
    expect(await windowsOf(race, subject)).toMatchObject([
      { from: from(NOON), used: 50 },
      { from: from('2026-01-10T17:00:01Z'), used: 20 },
    ]);
  }));

test('16 first callers at once: never a unit over it, and one window, beside a reset, too', () =>
  run(async (race) => {
    await inWindows(race);
    const subject = 'storm';
    const callers = await Promise.all(Array.from({ length: 16 }, race.server));
    const taken = await Promise.all(
      callers.map(async (caller) => {
        let sum = 0;
        for (let n = 0; n < 5; n++) {
          const { allowed, amount, used } = await consume(caller, { subject, amount: 3 });
          if (allowed) sum += amount;
          expect(used).toBeLessThanOrEqual(50);
        }
        return sum;
      }),
    );
    expect(taken.reduce((sum, one) => sum + one)).toBe(48);
    const operator = await race.server();
    await Promise.all([
      ...callers.map((caller) => consume(caller, { subject })),
      decisionOf(operator, calls.reset(subject, '5 hours')),
    ]);
    expect(await windowsOf(race, subject)).toMatchObject([{ from: from(NOON), lines: 1 }]);
  }));
