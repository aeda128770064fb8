/** Races of grants and exceptions, for the race tests and for the zoo. */
import { expect } from 'vitest';
import { setClock } from '../support/clock.ts';
import { calls, decisionOf, startBlocked } from './holds.ts';
import type { Race, Scenario } from './race.ts';

export const GRANT = `select public.grant_usage('ai_generation', $2, $1, $3) as id`;

/** When grants of these races expire. */
export const END = '2026-01-10T12:00:30Z';

export const give = async ({ owner }: Race, subject: string, amount: number, expiresAt?: string) =>
  (await owner.query<{ id: string }>(GRANT, [subject, amount, expiresAt])).rows[0]?.id as string;

export async function drawnOf({ owner }: Race, ...ids: string[]): Promise<number[]> {
  const { rows } = await owner.query(
    `select g.drawn::integer as drawn
     from unnest($1::uuid[]) with ordinality as i (id, place)
     join quota.grants as g on g.grant_id = i.id
     order by i.place`,
    [ids],
  );
  return rows.map((row) => row.drawn);
}

export const lastUnitOfGrant: Scenario = async (race) => {
  const subject = 'last';
  const [holder, waiter] = await Promise.all([race.server(), race.server()]);
  const id = await give(race, subject, 3);
  await decisionOf(holder, calls.consume({ subject, amount: 52 }));
  await holder.query('begin');
  const last = await decisionOf(holder, calls.consume({ subject }));
  expect(last).toMatchObject({ allowed: true, used: 53, limit: 53, granted: 0 });
  const { answer } = await startBlocked(race, waiter, calls.consume({ subject }));
  await holder.query('commit');
  const refused = { allowed: false, used: 53, limit: 53, granted: 0 };
  expect(await answer, 'the second caller for the last unit').toMatchObject(refused);
  expect(await drawnOf(race, id)).toEqual([3]);
};

export const grantExpiresDuringWait: Scenario = async (race) => {
  const subject = 'waits';
  const [holder, waiter] = await Promise.all([race.server(), race.server()]);
  await give(race, subject, 10, END);
  await decisionOf(holder, calls.consume({ subject, amount: 49 }));
  await holder.query('begin');
  await decisionOf(holder, calls.consume({ subject }));
  const { answer } = await startBlocked(race, waiter, calls.consume({ subject }));
  await setClock(race.owner, END);
  await holder.query('commit');
  const refused = { allowed: false, used: 50, limit: 50, granted: 0 };
  expect(await answer, 'a caller that waits while its grant expires').toMatchObject(refused);
};

/** A meter that remembers the plan alone would show the caller no grant. */
export const grantDuringWait: Scenario = async (race) => {
  const subject = 'waits';
  const [admin, waiter] = await Promise.all([race.server(), race.server()]);
  await decisionOf(waiter, calls.consume({ subject, amount: 3 }));
  await admin.query('begin');
  await admin.query(GRANT, [subject, 10, null]);
  const { answer } = await startBlocked(race, waiter, calls.consume({ subject }));
  await admin.query('commit');
  const told = { allowed: true, used: 4, limit: 60, remaining: 56, granted: 10 };
  expect(await answer, 'a caller that waits for a grant').toMatchObject(told);
};
