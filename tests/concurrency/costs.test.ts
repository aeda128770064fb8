// Several features and one pool: together exactly what there is, whoever asks for what.
import { expect, test } from 'vitest';
import { applyPlans } from '../support/plans.ts';
import { calls, decisionOf, decisionsOf, startBlocked } from './holds.ts';
import { run } from './race.ts';

const PLANS = {
  features: {
    a_image: { costs: { m_credit: 10 } },
    z_token: { costs: { m_credit: '1/1000' } },
    m_credit: {},
  },
  plans: { free: { default: true, limits: { m_credit: { month: 100 } } } },
};
const unproved = `select count(*)::int as n from public.verify_usage()`;

test('8 callers of features before and after the pool in lock order, batches and holds among them', () =>
  run(async (race) => {
    await applyPlans(race.owner, PLANS);
    const subject = 'pool';
    const callers = await Promise.all(Array.from({ length: 8 }, race.server));
    await Promise.all(
      callers.flatMap((caller, at) =>
        Array.from({ length: 4 }, () => {
          if (at % 4 === 0)
            return decisionOf(caller, calls.consume({ subject, feature: 'a_image' }));
          if (at % 4 === 1)
            return decisionOf(caller, calls.consume({ subject, feature: 'z_token', amount: 2500 }));
          if (at % 4 === 2)
            return decisionOf(caller, calls.reserve({ subject, feature: 'a_image' }));
          return decisionsOf(
            caller,
            calls.batch(subject, [
              { feature: 'z_token', amount: 1 },
              { feature: 'a_image' },
              { feature: 'm_credit' },
            ]),
          );
        }),
      ),
    );
    // What is left is one credit at a time.
    const [first] = callers as [(typeof callers)[0]];
    let left = 0;
    while ((await decisionOf(first, calls.consume({ subject, feature: 'm_credit' }))).allowed)
      left++;
    const { rows } = await race.owner.query(
      `select used + reserved as n from quota.meters where subject_id = $1 and feature_id = 'm_credit'`,
      [subject],
    );
    expect(Number(rows[0].n)).toBe(100);
    expect(left).toBeLessThan(10);
    expect((await race.owner.query(unproved)).rows).toEqual([{ n: 0 }]);
  }));

test('a call that waited pays the price that holds when it goes on', () =>
  run(async (race) => {
    await applyPlans(race.owner, PLANS);
    const [one, two] = await Promise.all([race.server(), race.server()]);
    // A first use holds the features, too.
    await decisionOf(one, calls.consume({ subject: 'waits', feature: 'a_image' }));
    await one.query('begin');
    await decisionOf(one, calls.consume({ subject: 'waits', feature: 'a_image' }));
    const second = await startBlocked(
      race,
      two,
      calls.consume({ subject: 'waits', feature: 'a_image' }),
    );
    await applyPlans(race.owner, {
      ...PLANS,
      features: { ...PLANS.features, a_image: { costs: { m_credit: 95 } } },
    });
    await one.query('commit');
    expect(await second.answer).toMatchObject({ allowed: false, limiting_feature: 'm_credit' });
  }));
