// A period ends while a caller waits. The time is read under the lock, so it counts where it is due.
import { expect, test } from 'vitest';
import { setClock } from '../support/clock.ts';
import { applyPlans } from '../support/plans.ts';
import { check, consume, consumeBlocked, ledgerOf, limitedTo, run } from './race.ts';
import { rollOverDuringWait } from './scenarios.ts';

test('a caller that waits over the end of a month counts in the new month and finds room there', () =>
  run(rollOverDuringWait('month', '2026-01-31T23:59:50Z', '2026-02-01T00:00:05Z')));

test('a caller that waits over the end of a minute counts in the new minute and finds room there', () =>
  run(rollOverDuringWait('minute', '2026-01-31T11:59:59Z', '2026-01-31T12:00:01Z')));

test('a first use that waits over a minute for one that is rolled back counts in the new minute', () =>
  run(async (race) => {
    const use = { subject: 'known', feature: 'ai_generation' };
    await applyPlans(race.owner, limitedTo({ minute: 50, month: 100 }));
    const [holder, waiter] = await Promise.all([race.server(), race.server()]);
    await consume(holder, { ...use, feature: 'export' });
    await holder.query('begin');
    await consume(holder, use);
    const { answer } = await consumeBlocked(race, waiter, use);
    await setClock(race.owner, '2026-01-10T12:01:00Z');
    await holder.query('rollback');
    const decision = await answer;
    expect(decision).toMatchObject({ allowed: true, used: 1, period: 'minute' });
    expect(new Date(decision.period_start).toISOString()).toBe('2026-01-10T12:01:00.000Z');
  }));

test('with a minute and a month limit, a wait over the minute counts in both', () =>
  run(async (race) => {
    const subject = 'both';
    await applyPlans(race.owner, limitedTo({ minute: 2, month: 3 }));
    const [holder, waiter] = await Promise.all([race.server(), race.server()]);

    await holder.query('begin');
    await consume(holder, { subject, amount: 2 });
    const { answer } = await consumeBlocked(race, waiter, { subject });
    await setClock(race.owner, '2026-01-10T12:01:00Z');
    await holder.query('commit');

    // Least room: the month, of which all is used now; the new minute has one left.
    expect(await answer).toMatchObject({ allowed: true, used: 3, limit: 3, remaining: 0 });
    expect(await consume(holder, { subject })).toMatchObject({ allowed: false, limit: 3 });
  }));

test('a caller that waits over its renewal is decided by the successor of its plan', () =>
  run(async (race) => {
    const subject = 'renews';
    const [holder, waiter] = await Promise.all([race.server(), race.server()]);
    await holder.query(`select public.set_plan($1, 'pro', '2025-12-10T12:00:30Z')`, [subject]);
    const document = limitedTo(50);
    const pro = {
      ...document.plans.pro,
      retired: true,
      successor: 'small',
      moves: 'renewal',
    };
    await applyPlans(race.owner, { ...document, plans: { ...document.plans, pro } });
    expect(await consume(holder, { subject, amount: 9 })).toMatchObject({ plan: 'pro', used: 9 });

    await holder.query('begin');
    await consume(holder, { subject });
    const { answer } = await consumeBlocked(race, waiter, { subject, amount: 2 });
    await setClock(race.owner, '2026-01-10T12:00:30Z');
    await holder.query('commit');

    expect(await answer).toMatchObject({ allowed: true, plan: 'small', used: 2, limit: 3 });
    expect(await consume(holder, { subject, amount: 2 })).toMatchObject({
      allowed: false,
      used: 2,
    });
  }));

test('a caller that waits while its plan is moved to another is decided by that one', () =>
  run(async (race) => {
    const subject = 'moved';
    const [holder, waiter] = await Promise.all([race.server(), race.server()]);
    await holder.query(`select public.set_plan($1, 'pro')`, [subject]);
    await consume(holder, { subject, amount: 2 });
    await holder.query('begin');
    await consume(holder, { subject });
    const { answer } = await consumeBlocked(race, waiter, { subject });
    const document = limitedTo(50);
    const pro = { ...document.plans.pro, retired: true, successor: 'small', moves: '2026-01-01' };
    await applyPlans(race.owner, { ...document, plans: { ...document.plans, pro } });
    await holder.query('commit');
    expect(await answer).toMatchObject({ allowed: false, plan: 'small', used: 3, limit: 3 });
  }));

test('a caller that waits over the end of its plan is decided by the default plan', () =>
  run(async (race) => {
    const subject = 'trial';
    const [holder, waiter] = await Promise.all([race.server(), race.server()]);
    await holder.query(`select public.set_plan($1, 'pro', ends_at => $2)`, [
      subject,
      '2026-01-10T18:00:00Z',
    ]);
    await consume(holder, { subject, amount: 50 });

    await holder.query('begin');
    await consume(holder, { subject });
    const { answer } = await consumeBlocked(race, waiter, { subject });
    await setClock(race.owner, '2026-01-10T18:00:00Z');
    await holder.query('commit');

    expect(await answer).toMatchObject({ allowed: false, plan: 'free', used: 51, limit: 50 });
  }));

test('a call that commits after midnight stays in the month it was counted in', () =>
  run(async (race) => {
    const subject = 'late';
    await setClock(race.owner, '2026-01-31T23:59:59Z');
    const [late, next] = await Promise.all([race.server(), race.server()]);

    await late.query('begin');
    await consume(late, { subject, amount: 5 });
    await setClock(race.owner, '2026-02-01T00:00:00Z');
    const { answer } = await consumeBlocked(race, next, { subject });
    await late.query('commit');

    expect(await answer).toMatchObject({ used: 1 });
    const { rows } = await race.owner.query(
      `select used::integer, to_char(period_start at time zone 'UTC', 'YYYY-MM') as month
       from public.usage_history where subject = $1 order by period_start`,
      [subject],
    );
    expect(rows).toEqual([
      { used: 5, month: '2026-01' },
      { used: 1, month: '2026-02' },
    ]);
  }));

test('a transaction held open over midnight counts its next call into the new month', () =>
  run(async (race) => {
    const subject = 'open';
    await setClock(race.owner, '2026-01-31T23:59:59Z');
    const server = await race.server();
    await consume(server, { subject, amount: 50 });

    await server.query('begin');
    expect(await consume(server, { subject })).toMatchObject({ allowed: false });
    await setClock(race.owner, '2026-02-01T00:00:00Z');
    // Inside a transaction a session hears of a replaced function when it locks something new.
    await server.query('select from pg_catalog.pg_am');
    expect(await consume(server, { subject })).toMatchObject({ allowed: true, used: 1 });
    await server.query('commit');
    expect(await check(server, subject)).toMatchObject({ used: 1 });
  }));

test('a caller whose clock is behind does not bring the old month back', () =>
  run(async (race) => {
    const subject = 'back';
    await setClock(race.owner, '2026-02-01T00:00:01Z');
    const server = await race.server();
    await consume(server, { subject, amount: 10 });
    await setClock(race.owner, '2026-01-31T23:59:59Z');
    expect(await consume(server, { subject, amount: 2 })).toMatchObject({ used: 2 });
    await setClock(race.owner, '2026-02-01T00:00:02Z');
    expect(await consume(server, { subject })).toMatchObject({ used: 11 });
    expect(await ledgerOf(server, subject)).toHaveLength(3);
  }));
