// Alerts are written by the call that crosses a threshold, once, and only if it commits; who delivers them
// shares the work.
import type pg from 'pg';
import { expect, test } from 'vitest';
import { setClock } from '../support/clock.ts';
import { asUser } from '../support/session.ts';
import { calls, decisionOf, startBlocked } from './holds.ts';
import { type Race, run } from './race.ts';

const alertsOf = async ({ owner }: Race, subject: string) => {
  const { rows } = await owner.query(
    `select threshold::integer, used::integer from public.usage_alerts
     where subject = $1 order by period_start, threshold`,
    [subject],
  );
  return rows.map(({ threshold, used }) => `${threshold}: ${used}`);
};

/** What one deliverer is handed now. */
const handedTo = async (server: { query: pg.Client['query'] }, max = 100) => {
  const { rows } = await server.query(
    'select alert_id, subject, threshold::integer, used::integer from public.deliver_alerts($1)',
    [max],
  );
  return rows.map(({ subject, threshold, used, alert_id }) => ({
    alert_id,
    text: `${subject} ${threshold}: ${used}`,
  }));
};
const textsOf = (alerts: { text: string }[]) => alerts.map(({ text }) => text);

test('a call that is rolled back leaves no alert, and the one that waited does', () =>
  run(async (race) => {
    const [one, two] = await Promise.all([race.server(), race.server()]);
    await decisionOf(one, calls.consume({ subject: 'ada', amount: 39 }));
    await one.query('begin');
    await decisionOf(one, calls.consume({ subject: 'ada', amount: 2 }));
    const { answer } = await startBlocked(race, two, calls.consume({ subject: 'ada' }));
    expect(await handedTo(race.owner)).toEqual([]); // not before it commits
    await one.query('rollback');
    await answer;
    expect(textsOf(await handedTo(two))).toEqual(['ada 80: 40']);
    expect(await alertsOf(race, 'ada')).toEqual(['80: 40']);
  }));

test('of many callers that cross thresholds at once, each threshold is told once', () =>
  run(async (race) => {
    const pool = race.database.pool(12);
    const subjects = ['ada', 'bob', 'cyd'];
    await Promise.all(
      Array.from({ length: 180 }, (_, n) =>
        decisionOf(pool, calls.consume({ subject: subjects[n % 3] as string })),
      ),
    );
    for (const subject of subjects) {
      expect(await alertsOf(race, subject)).toEqual(['80: 40', '100: 50']);
    }
    expect(textsOf(await handedTo(race.owner)).sort()).toEqual(
      subjects.flatMap((name) => [`${name} 100: 50`, `${name} 80: 40`]),
    );
  }));

test('a deliverer skips what another is being handed, and gets it when that one rolls back', () =>
  run(async (race) => {
    const [one, two] = await Promise.all([race.server(), race.server()]);
    for (const subject of ['ada', 'bob']) {
      await decisionOf(one, calls.consume({ subject, amount: 40 }));
    }
    await one.query('begin');
    expect(textsOf(await handedTo(one, 1))).toEqual(['ada 80: 40']);
    expect(textsOf(await handedTo(two))).toEqual(['bob 80: 40']); // without waiting
    expect(await handedTo(two)).toEqual([]);
    await one.query('rollback');
    expect(textsOf(await handedTo(two))).toEqual(['ada 80: 40']);
  }));

test('eight deliverers at once beside the callers: each alert once, none lost', () =>
  run(async (race) => {
    const subjects = Array.from({ length: 60 }, (_, n) => `subject-${n}`);
    const pool = race.database.pool(4);
    let isOver = false;
    const deliver = async () => {
      const server = await race.server();
      const got: { text: string; alert_id: string }[] = [];
      for (;;) {
        const wasOver = isOver;
        const alerts = await handedTo(server, 3);
        got.push(...alerts);
        await server.query('select public.acknowledge_alerts($1)', [
          alerts.map(({ alert_id }) => alert_id),
        ]);
        if (wasOver && alerts.length === 0) return got;
      }
    };
    const deliverers = Array.from({ length: 8 }, deliver);
    await Promise.all(
      subjects.map(async (subject) => {
        await decisionOf(pool, calls.consume({ subject, amount: 40 }));
        await decisionOf(pool, calls.consume({ subject, amount: 10 }));
      }),
    );
    isOver = true;
    const got = (await Promise.all(deliverers)).flat();
    expect(textsOf(got).sort()).toEqual(
      subjects.flatMap((subject) => [`${subject} 100: 50`, `${subject} 80: 40`]).sort(),
    );
    const { rows } = await race.owner.query(
      'select from quota.alerts where acknowledged_at is null',
    );
    expect(rows).toEqual([]);
  }));

test('a subject that is forgotten while its alert is handed out waits for nobody for ever', () =>
  run(async (race) => {
    const [one, two] = await Promise.all([race.server(), race.server()]);
    await decisionOf(one, calls.consume({ subject: 'ada', amount: 40 }));
    await one.query('begin');
    const [alert] = await handedTo(one);
    await two.query('begin');
    await one.query('commit');
    await two.query(`select public.forget_subject('ada')`);
    const acknowledge = 'select public.acknowledge_alerts($1) as alerts';
    // It skips what is being erased instead of waiting for it.
    expect((await one.query(acknowledge, [[alert?.alert_id]])).rows[0].alerts).toBe('0');
    await two.query('commit');
    expect(await handedTo(one)).toEqual([]);
  }));

test('refunds and new uses around a threshold tell it at each crossing, and again in the next month', () =>
  run(async (race) => {
    const server = await race.server();
    for (let n = 0; n < 3; n++) {
      const use = await decisionOf(server, calls.consume({ subject: 'ada', amount: 45 }));
      await decisionOf(server, calls.refund(use.event_id));
    }
    expect(await alertsOf(race, 'ada')).toEqual(['80: 45', '80: 45', '80: 45']);
    await setClock(race.owner, '2026-02-01T00:00:00Z');
    await decisionOf(server, calls.consume({ subject: 'ada', amount: 41 }));
    expect((await alertsOf(race, 'ada')).slice(3)).toEqual(['80: 41']);
  }));

test('a late commit tells the month of its hold, not the new one', () =>
  run(async (race) => {
    const server = await race.server();
    await setClock(race.owner, '2026-01-31T23:59:00Z');
    const hold = await decisionOf(server, calls.reserve({ subject: 'ada', amount: 30 }));
    await setClock(race.owner, '2026-02-01T00:30:00Z');
    await decisionOf(server, calls.consume({ subject: 'ada', amount: 41 }));
    await decisionOf(server, calls.commit(hold.reservation_id, 51));
    const { rows } = await race.owner.query(
      `select to_char(period_start at time zone 'UTC', 'MM') as month, threshold::integer, used::integer
       from public.usage_alerts order by month, threshold`,
    );
    expect(rows).toEqual([
      { month: '01', threshold: 80, used: 51 },
      { month: '01', threshold: 100, used: 51 },
      { month: '02', threshold: 80, used: 41 },
    ]);
  }));

test('only the owner and its members read an alert, and nobody makes one', () =>
  run(async (race) => {
    const server = await race.server();
    await decisionOf(server, calls.consume({ subject: 'acme', amount: 50 }));
    await server.query(`select public.add_member('acme', 'ada')`);
    const seenBy = async (user: string) =>
      asUser(race.owner, user, async (client) => {
        const { rows } = await client.query('select subject from public.usage_alerts');
        return rows.length;
      });
    expect(await seenBy('acme')).toBe(2);
    expect(await seenBy('ada')).toBe(2);
    expect(await seenBy('bob')).toBe(0);
    const insert = asUser(race.owner, 'bob', (client) =>
      client.query(`insert into quota.alerts select * from quota.alerts`),
    );
    await expect(insert).rejects.toMatchObject({ code: '42501' });
  }));
