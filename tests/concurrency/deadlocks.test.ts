// One lock order: whatever the callers do at once, Postgres never has to choose a victim.
import type pg from 'pg';
import { expect, test } from 'vitest';
import { applyPlans } from '../support/plans.ts';
import { check, consume, limitedTo, type Race, run, withExtra } from './race.ts';

async function deadlocks({ owner, database }: Race): Promise<number> {
  // What a session counted reaches the statistics when it is idle, or now.
  await owner.query('select pg_stat_force_next_flush()');
  const { rows } = await owner.query(
    'select deadlocks::integer as n from pg_stat_database where datname = $1',
    [database.name],
  );
  return rows[0].n;
}

/** Lock timeouts are the caller's business (retry); everything else is not expected here. */
async function orBusy(call: Promise<unknown>): Promise<void> {
  await call.catch((error: pg.DatabaseError) => {
    if (error.code !== '55P03') throw error;
  });
}

test('calls on several features, refunds, plan changes and catalogue changes do not deadlock', () =>
  run(async (race) => {
    await applyPlans(race.owner, limitedTo(50));
    const sessions = await Promise.all(Array.from({ length: 10 }, race.server));
    const subjects = ['one', 'two'];
    const work: ((client: pg.Client, n: number, subject: string) => Promise<unknown>)[] = [
      (client, _n, subject) => consume(client, { subject }),
      (client, _n, subject) => consume(client, { subject, feature: 'export' }),
      (client, n, subject) => consume(client, { subject, key: `key-${n}` }),
      async (client, _n, subject) => {
        const { event_id } = await consume(client, { subject });
        await client.query('select public.refund_usage($1)', [event_id]);
      },
      (client, n, subject) =>
        client.query('select public.set_plan($1, $2, $3)', [
          subject,
          n % 2 ? 'free' : 'pro',
          `2026-01-0${1 + (n % 9)}T00:00:00Z`,
        ]),
      (client, n) => applyPlans(client, n % 2 ? limitedTo(50) : withExtra),
      (client) => client.query('select * from public.plan_catalog'),
      (client, _n, subject) =>
        client.query('select * from public.current_usage where subject = $1', [subject]),
      (client, _n, subject) => check(client, subject),
      (client, n, subject) => consume(client, { subject: `${subject}-${n}` }),
    ];
    await Promise.all(
      sessions.map(async (client, at) => {
        for (let n = 0; n < 40; n++) {
          const task = work[at % work.length] as (typeof work)[number];
          await orBusy(task(client, n, subjects[n % 2] as string));
        }
      }),
    );
    expect(await deadlocks(race)).toBe(0);
  }));
