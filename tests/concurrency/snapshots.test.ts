// Terms that change in a transaction whose snapshot is older than the last use: what this snapshot cannot
// see, it must not leave out. So Postgres says 40001, or everything is as if the use had come before.
import { describe, expect, test } from 'vitest';
import { setClock } from '../support/clock.ts';
import { applyPlans } from '../support/plans.ts';
import { calls, type Decision, decisionOf, outcomeOf } from './holds.ts';
import { check, consume, type Race, run } from './race.ts';

const DOCUMENT = {
  features: { ai_generation: {}, export: {} },
  plans: {
    free: { default: true, limits: { ai_generation: { month: 50 }, export: { month: 5 } } },
    small: { limits: { ai_generation: { month: 3 }, export: { month: 5 } } },
    daily: { limits: { ai_generation: { day: 10 } } },
    yearly: { limits: { ai_generation: { year: 10 } } },
  },
};

const CHANGES: [string, string, unknown[]][] = [
  ['a plan with a new period', 'select public.set_plan($1, $2)', ['ada', 'daily']],
  ['a plan with a longer period', 'select public.set_plan($1, $2)', ['ada', 'yearly']],
  ['a plan with a lower limit', 'select public.set_plan($1, $2)', ['ada', 'small']],
  ['a moved anchor', 'select public.set_plan($1, $2, $3)', ['ada', 'free', '2026-01-09T00:00:00Z']],
  [
    'an exception with a new period',
    'select public.set_limit($1, $2, $3, $4)',
    ['ada', 'ai_generation', 'day', 10],
  ],
  [
    'an exception',
    'select public.set_limit($1, $2, $3, $4)',
    ['ada', 'ai_generation', 'month', 10],
  ],
];

/** A use that the snapshot of the change does not see. */
const USES: [string, (race: Race) => Promise<() => Promise<unknown>>][] = [
  [
    'the first use of the feature',
    async (race) => {
      const server = await race.server();
      return () => consume(server, { subject: 'ada', amount: 5 });
    },
  ],
  [
    'a use like the one before',
    async (race) => {
      const server = await race.server();
      await consume(server, { subject: 'ada', amount: 1 });
      return () => consume(server, { subject: 'ada', amount: 5 });
    },
  ],
  [
    'the first use of a month, by a subject with a grant',
    async (race) => {
      const server = await race.server();
      await setClock(race.owner, '2025-12-31T12:00:00Z');
      await server.query(`select public.grant_usage('ai_generation', 1, 'ada')`);
      await consume(server, { subject: 'ada' });
      await setClock(race.owner, '2026-01-10T12:00:00Z');
      return () => consume(server, { subject: 'ada', amount: 5 });
    },
  ],
  [
    'the commit of a hold of an earlier day',
    async (race) => {
      const server = await race.server();
      await setClock(race.owner, '2026-01-05T12:00:00Z');
      await applyPlans(race.owner, {
        ...DOCUMENT,
        plans: {
          ...DOCUMENT.plans,
          free: { default: true, limits: { ai_generation: { day: 50 } } },
        },
      });
      const { reservation_id } = await decisionOf(
        server,
        calls.reserve({ subject: 'ada', amount: 5, ttl: '7 days' }),
      );
      await setClock(race.owner, '2026-01-10T12:00:00Z');
      return () => decisionOf(server, calls.commit(reservation_id));
    },
  ],
];

describe.for(['repeatable read', 'serializable'])('at %s', (level) => {
  for (const [what, sql, values] of CHANGES) {
    test.for(USES)(`${what} misses nothing of %s`, ([, prepare]) =>
      run(async (race) => {
        await applyPlans(race.owner, DOCUMENT);
        await race.owner.query(`select public.set_plan('ada', 'free')`);
        const use = await prepare(race);
        const admin = await race.server();
        await admin.query(`begin isolation level ${level}`);
        await check(admin, 'ada'); // takes the snapshot
        await use();
        const outcome = await outcomeOf(admin.query(sql, values).then(() => ({}) as Decision));
        await admin.query(outcome === '40001' ? 'rollback' : 'commit');

        const mismatches = await race.owner.query('select * from public.verify_usage()');
        expect(mismatches.rows).toEqual([]);
        const server = await race.server();
        const told = await consume(server, { subject: 'ada' });
        const { rows } = await race.owner.query(
          `select to_jsonb(d) as expected from public.check_usage('ai_generation', 1, 'ada') as d`,
        );
        const { limit, plan } = rows[0].expected;
        expect(told, 'what a use is told after that').toMatchObject({ limit, plan });
      }),
    );
  }

  test('a subject is forgotten with the use that its snapshot does not see, or not at all', () =>
    run(async (race) => {
      await applyPlans(race.owner, DOCUMENT);
      await race.owner.query(`select public.set_plan('ada', 'small')`);
      const [admin, server] = await Promise.all([race.server(), race.server()]);
      await admin.query(`begin isolation level ${level}`);
      await check(admin, 'ada');
      await consume(server, { subject: 'ada' });
      const outcome = await outcomeOf(
        admin.query(`select public.forget_subject('ada')`).then(() => ({}) as Decision),
      );
      await admin.query(outcome === '40001' ? 'rollback' : 'commit');
      expect(await consume(server, { subject: 'ada' })).toMatchObject(
        outcome === '40001' ? { plan: 'small', used: 2 } : { plan: 'free', used: 1 },
      );
    }));
});
