// Alerts are written and sent by the call that crosses a threshold, once, and only if it commits.
import { setTimeout as sleep } from 'node:timers/promises';
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

/** Hears what is sent on the channel, in the order of its arrival. */
async function listen(race: Race) {
  const heard: Record<string, unknown>[] = [];
  const listener = await race.database.connect();
  listener.on('notification', ({ payload }) => heard.push(JSON.parse(payload ?? 'null')));
  await listener.query('listen usage_alert');
  /** Notifications arrive in the order of commits: after this one, all before it are here. */
  const settled = async () => {
    await race.owner.query(`select pg_notify('usage_alert', '{"subject": "the end"}')`);
    while (heard.at(-1)?.subject !== 'the end') await sleep(5);
    heard.pop();
    return heard;
  };
  return { settled };
}

test('a listener hears of each threshold when the call that crossed it commits', () =>
  run(async (race) => {
    const { settled } = await listen(race);
    const server = await race.server();
    await decisionOf(server, calls.consume({ subject: 'ada', amount: 39 }));
    await decisionOf(server, calls.consume({ subject: 'ada' }));
    await decisionOf(server, calls.consume({ subject: 'ada', amount: 9 }));
    await decisionOf(server, calls.reserve({ subject: 'ada' }));
    await decisionOf(server, calls.consume({ subject: 'ada' })); // refused
    const sent = { subject: 'ada', feature: 'ai_generation', period: 'month', limit: 50 };
    expect(await settled()).toEqual([
      { ...sent, threshold: 80, used: 40 },
      { ...sent, threshold: 100, used: 50 },
    ]);
    expect(await alertsOf(race, 'ada')).toEqual(['80: 40', '100: 50']);
  }));

test('a call that is rolled back leaves no alert and sends none, and the one that waited does', () =>
  run(async (race) => {
    const { settled } = await listen(race);
    const [one, two] = await Promise.all([race.server(), race.server()]);
    await decisionOf(one, calls.consume({ subject: 'ada', amount: 39 }));
    await one.query('begin');
    await decisionOf(one, calls.consume({ subject: 'ada', amount: 2 }));
    const { answer } = await startBlocked(race, two, calls.consume({ subject: 'ada' }));
    await one.query('rollback');
    await answer;
    expect((await settled()).map(({ used }) => used)).toEqual([40]);
    expect(await alertsOf(race, 'ada')).toEqual(['80: 40']);
  }));

test('of many callers that cross thresholds at once, each threshold is told once', () =>
  run(async (race) => {
    const { settled } = await listen(race);
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
    const heard = (await settled()).map(({ subject, threshold }) => `${subject} ${threshold}`);
    expect(heard.sort()).toEqual(subjects.flatMap((name) => [`${name} 100`, `${name} 80`]));
  }));

test('refunds and new uses around a threshold tell it once a month, and again in the next', () =>
  run(async (race) => {
    const server = await race.server();
    for (let n = 0; n < 3; n++) {
      const use = await decisionOf(server, calls.consume({ subject: 'ada', amount: 45 }));
      await decisionOf(server, calls.refund(use.event_id));
    }
    expect(await alertsOf(race, 'ada')).toEqual(['80: 45']);
    await setClock(race.owner, '2026-02-01T00:00:00Z');
    await decisionOf(server, calls.consume({ subject: 'ada', amount: 41 }));
    expect(await alertsOf(race, 'ada')).toEqual(['80: 45', '80: 41']);
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
