// Several subjects under one: together exactly what the one above has.
import { expect, test } from 'vitest';
import { applyPlans } from '../support/plans.ts';
import { calls, decisionOf, startBlocked } from './holds.ts';
import { run } from './race.ts';

const PLANS = {
  features: { a_call: {} },
  plans: {
    org: { limits: { a_call: { month: 20 } } },
    free: { default: true, limits: { a_call: { month: 100 } } },
  },
};
const feature = 'a_call';

test("8 members at the organisation's last units, some of them over two levels", () =>
  run(async (race) => {
    await applyPlans(race.owner, PLANS);
    await race.owner.query(`
      select public.set_plan('org', 'org');
      select public.set_parent('team', 'org');
      select public.set_parent('m' || n, case when n < 4 then 'org' else 'team' end)
      from generate_series(0, 7) as n`);
    const members = await Promise.all(Array.from({ length: 8 }, race.server));
    const told = await Promise.all(
      members.flatMap((member, at) =>
        Array.from({ length: 3 }, (_, n) =>
          decisionOf(
            member,
            n === 1
              ? calls.reserve({ subject: `m${at}`, feature })
              : calls.consume({ subject: `m${at}`, feature }),
          ),
        ),
      ),
    );
    expect(told.filter(({ allowed }) => allowed)).toHaveLength(20);
    const { rows } = await race.owner.query(
      `select sum(used + reserved) filter (where subject_id = 'org')::int as org,
         sum(used + reserved) filter (where subject_id like 'm%')::int as members
       from quota.meters`,
    );
    expect(rows).toEqual([{ org: 20, members: 20 }]);
    expect((await race.owner.query('select from public.verify_usage()')).rows).toEqual([]);
  }));

test('a parent that is set while a call waits counts it', () =>
  run(async (race) => {
    await applyPlans(race.owner, PLANS);
    await race.owner.query(`select public.set_plan('org', 'org')`);
    const [one, two] = await Promise.all([race.server(), race.server()]);
    await decisionOf(one, calls.consume({ subject: 'child', feature }));
    await decisionOf(one, calls.consume({ subject: 'org', feature }));
    await one.query('begin');
    await one.query(`select public.set_parent('child', 'org')`);
    const waiting = await startBlocked(race, two, calls.consume({ subject: 'child', feature }));
    await one.query('commit');
    expect(await waiting.answer).toMatchObject({ allowed: true, limiting_subject: 'org', used: 2 });
    const { rows } = await race.owner.query(
      `select subject_id, used::int from quota.meters order by subject_id`,
    );
    expect(rows).toEqual([
      { subject_id: 'child', used: 2 },
      { subject_id: 'org', used: 2 },
    ]);
  }));

test('a refund and a commit lock from the top down, as the uses beside them', () =>
  run(async (race) => {
    await applyPlans(race.owner, PLANS);
    const [one, two, three, four] = await Promise.all(Array.from({ length: 4 }, race.server));
    if (!one || !two || !three || !four) throw new Error('no sessions');
    // Names of which neither order is the levels'.
    await one.query(`select public.set_parent('b', 'c'), public.set_parent('c', 'a')`);
    const use = await decisionOf(one, calls.consume({ subject: 'b', feature }));
    const hold = await decisionOf(one, calls.reserve({ subject: 'b', feature }));
    for (const top of ['a', 'c']) {
      await one.query('begin');
      await decisionOf(one, calls.consume({ subject: top, feature }));
      const waiting = [
        await startBlocked(race, two, calls.consume({ subject: 'b', feature })),
        await startBlocked(
          race,
          three,
          top === 'a' ? calls.refund(use.event_id, 1) : calls.commit(hold.reservation_id),
        ),
        await startBlocked(race, four, calls.consume({ subject: 'c', feature })),
      ];
      await one.query('commit');
      for (const { answer } of waiting) expect(await answer).toMatchObject({ allowed: true });
    }
    expect((await race.owner.query('select from public.verify_usage()')).rows).toEqual([]);
  }));
