// What a member, a repeated key or a clock that steps back could once do.
import { expect, test } from 'vitest';
import { applyPlans } from '../support/plans.ts';
import { asUser } from '../support/session.ts';
import { clockSetBack, keyOfADeadHold, refusedBatchHoldsNothing } from './attack_scenarios.ts';
import { calls, decisionOf, decisionsOf, outcomeOf } from './holds.ts';
import { limitedTo, run } from './race.ts';

test("a member's batch that is refused holds no lock, so it cannot stop its organisation", () =>
  run(refusedBatchHoldsNothing));

test('a batch with a server_only feature is 42501 before any lock, whoever holds the meters', () =>
  run(async (race) => {
    await applyPlans(race.owner, {
      ...limitedTo(50),
      features: { ai_generation: {}, export: { server_only: true } },
    });
    await race.owner.query(`select public.add_member('acme', 'mallory')`);
    const [holder, member] = await Promise.all([race.server(), race.database.connect()]);
    await holder.query('begin');
    await decisionsOf(
      holder,
      calls.batch('acme', [{ feature: 'ai_generation' }, { feature: 'export' }]),
    );
    // Were it to look under the lock, this would be 55P03.
    for (const call of [
      calls.batch('acme', [{ feature: 'ai_generation' }, { feature: 'export' }]),
      calls.consume({ subject: 'acme', feature: 'export' }),
      calls.consume({ subject: 'acme', feature: 'export', key: 'k' }),
    ]) {
      const told = outcomeOf(asUser(member, 'mallory', (client) => decisionOf(client, call)));
      expect(await told).toBe('42501');
    }
    await holder.query('rollback');
  }));

test('the metadata of a batch is stored once, whatever it counts', () =>
  run(async (race) => {
    const server = await race.server();
    const metadata = { note: 'x'.repeat(8000) };
    const items = JSON.stringify(Array(50).fill({ feature: 'ai_generation' }));
    await server.query('select public.consume_usage_batch($1, $2, metadata => $3)', [
      items,
      'ada',
      metadata,
    ]);
    const { rows } = await server.query(
      `select kind, count(*)::integer as lines, count(*) filter (where metadata <> '{}')::integer as kept,
         count(distinct about_id)::integer as about
       from public.usage_events where subject = 'ada' group by kind order by kind`,
    );
    expect(rows).toEqual([
      { kind: 'batch', lines: 1, kept: 1, about: 0 },
      { kind: 'consume', lines: 50, kept: 0, about: 1 },
    ]);
  }));

test('the key of a hold that was released, has expired or was refunded is free', () =>
  run(keyOfADeadHold));

test('of forty calls with the key of a released hold, one holds and the others are told of it', () =>
  run(async (race) => {
    const pool = race.database.pool(20);
    const reserve = calls.reserve({ subject: 'ada', amount: 4, key: 'k' });
    const dead = await decisionOf(pool, reserve);
    await decisionOf(pool, calls.release(dead.reservation_id));
    const told = await Promise.all(Array.from({ length: 40 }, () => decisionOf(pool, reserve)));
    expect(told.filter(({ replayed }) => !replayed)).toHaveLength(1);
    expect(new Set(told.map(({ reservation_id }) => reservation_id)).size).toBe(1);
    expect(told[0]?.reservation_id).not.toBe(dead.reservation_id);
  }));

test('two calls that find a key free at once, for two features: one gets it, the other is QIDEM', () =>
  run(async (race) => {
    const [one, two] = await Promise.all([race.server(), race.server()]);
    const dead = await decisionOf(one, calls.reserve({ subject: 'ada', key: 'k' }));
    await decisionOf(one, calls.release(dead.reservation_id));
    await one.query('begin');
    await decisionOf(one, calls.reserve({ subject: 'ada', key: 'k' }));
    const other = outcomeOf(
      decisionOf(two, calls.reserve({ subject: 'ada', feature: 'export', key: 'k' })),
    );
    await one.query('select pg_sleep(0.2)');
    await one.query('commit');
    expect(await other).toBe('QIDEM');
  }));

test('lines of a clock that was set back over the end of a day and a month stay in their sums', () =>
  run(clockSetBack));
