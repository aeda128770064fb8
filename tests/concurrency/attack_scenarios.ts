/** What members, repeated keys and clocks that step back must not reach. The zoo plays these, too. */
import { expect } from 'vitest';
import { setClock } from '../support/clock.ts';
import { applyPlans } from '../support/plans.ts';
import { asUser } from '../support/session.ts';
import { calls, decisionOf, decisionsOf } from './holds.ts';
import { check, limitedTo, type Scenario } from './race.ts';

/** A member whose batch is refused keeps its transaction open: nobody of the organisation waits for it. */
export const refusedBatchHoldsNothing: Scenario = async (race) => {
  await race.owner.query(`select public.add_member('acme', 'mallory')`);
  const [member, server] = await Promise.all([race.database.connect(), race.server()]);
  await decisionOf(server, calls.consume({ subject: 'acme', feature: 'export', amount: 5 }));
  const items = [{ feature: 'ai_generation' }, ...Array(98).fill({ feature: 'export' })];
  await member.query('begin');
  await asUser(member, 'mallory');
  const told = await decisionsOf(member, calls.batch('acme', items));
  expect(told.map(({ reason }) => reason)).toEqual([
    'not_taken',
    ...Array(98).fill('limit_reached'),
  ]);
  const { rows } = await race.owner.query(
    `select c.relname, l.mode from pg_locks as l join pg_class as c on c.oid = l.relation
     where c.relnamespace = 'quota'::regnamespace and l.mode not in ('AccessShareLock')
       and l.database = (select d.oid from pg_database as d where d.datname = current_database())`,
  );
  expect(rows, 'what a refused batch of a member holds').toEqual([]);
  expect(await decisionOf(server, calls.consume({ subject: 'acme' }))).toMatchObject({ used: 1 });
  await member.query('commit');
};

/** The key of a hold that is over must not say allowed again, with the id of what is dead. */
export const keyOfADeadHold: Scenario = async (race) => {
  const server = await race.server();
  const reserve = calls.reserve({ subject: 'ada', amount: 4, ttl: '1 minute', key: 'k' });
  const first = await decisionOf(server, reserve);
  expect(await decisionOf(server, reserve)).toEqual({ ...first, replayed: true });
  await decisionOf(server, calls.release(first.reservation_id));
  const second = await decisionOf(server, reserve);
  expect(second, 'the key of a released hold').toMatchObject({ replayed: false, reserved: 4 });
  await setClock(race.owner, '2026-01-10T12:01:00Z');
  const third = await decisionOf(server, reserve);
  expect(third, 'the key of an expired hold').toMatchObject({ replayed: false, reserved: 4 });
  const { event_id } = await decisionOf(server, calls.commit(third.reservation_id));
  expect(await decisionOf(server, reserve)).toEqual({ ...third, replayed: true });
  await decisionOf(server, calls.refund(event_id));
  expect(await decisionOf(server, reserve), 'the key of a refunded use').toMatchObject({
    replayed: false,
    used: 0,
    reserved: 4,
  });
};

/** Seconds suffice: made after midnight, ended before it. */
export const clockSetBack: Scenario = async (race) => {
  await applyPlans(race.owner, limitedTo({ day: 20, month: 50 }));
  const server = await race.server();
  await setClock(race.owner, '2026-02-01T00:00:03Z');
  const ids = [];
  for (let n = 0; n < 3; n++) {
    ids.push(
      (await decisionOf(server, calls.reserve({ subject: 'ada', amount: 2 }))).reservation_id,
    );
  }
  const { event_id } = await decisionOf(server, calls.consume({ subject: 'ada', amount: 3 }));
  await setClock(race.owner, '2026-01-31T23:59:58Z');
  await decisionOf(server, calls.commit(ids[0] as string, 1));
  await decisionOf(server, calls.release(ids[1] as string));
  await decisionOf(server, calls.refund(event_id, 1));
  await decisionOf(server, calls.consume({ subject: 'ada', amount: 5 }));
  await setClock(race.owner, '2026-02-01T00:01:00Z');
  const { rows } = await race.owner.query(
    'select period, counted::integer, ledger::integer from public.verify_usage()',
  );
  expect(rows, 'lines of a clock that was set back').toEqual([]);
  expect(await check(server, 'ada')).toMatchObject({ used: 3, reserved: 2 });
  // A period that is opened from the ledger finds them, too.
  await applyPlans(race.owner, limitedTo({ year: 20 }));
  expect(await check(server, 'ada'), 'a new period over those lines').toMatchObject({
    used: 8,
    reserved: 2,
  });
};
