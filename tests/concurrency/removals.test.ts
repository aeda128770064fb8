// A plan or feature is taken out of the catalogue while somebody is about to use it.
import type pg from 'pg';
import { expect, test } from 'vitest';
import { applyPlans } from '../support/plans.ts';
import {
  check,
  consume,
  consumeBlocked,
  limitedTo,
  queryBlocked,
  type Race,
  run,
  type Scenario,
  withExtra,
} from './race.ts';

const APPLY = 'select public.apply_plans($1)';
const WITHOUT_EXTRA = [JSON.stringify(limitedTo(50))];
const SET_PLAN = 'select public.set_plan($1, $2)';

const play = (scenario: Scenario) => () =>
  run(async (race) => {
    await applyPlans(race.owner, withExtra);
    await scenario(race);
  });

const removeBlocked = (race: Race, admin: pg.Client) =>
  queryBlocked(race, admin, APPLY, WITHOUT_EXTRA);

async function catalogueHas({ owner }: Race, plan: string): Promise<boolean> {
  const { rows } = await owner.query('select from public.plan_catalog where plan = $1', [plan]);
  return rows.length > 0;
}

test(
  'a feature whose first use is in flight is not removed: QPLAN after the wait, and the use stays',
  play(async (race) => {
    const [admin, user] = await Promise.all([race.server(), race.server()]);
    await user.query('begin');
    await consume(user, { subject: 'new', feature: 'extra' });
    const { result } = await removeBlocked(race, admin);
    await user.query('commit');
    await expect(result).rejects.toMatchObject({ code: 'QPLAN' });
    expect(await check(user, 'new', 'extra')).toMatchObject({ used: 1, limit: 10 });
  }),
);

test(
  'a feature whose first use is rolled back is removed after the wait',
  play(async (race) => {
    const [admin, user] = await Promise.all([race.server(), race.server()]);
    await user.query('begin');
    await consume(user, { subject: 'new', feature: 'extra' });
    const { result } = await removeBlocked(race, admin);
    await user.query('rollback');
    await result;
    await expect(consume(user, { subject: 'new', feature: 'extra' })).rejects.toMatchObject({
      code: 'QFEAT',
    });
  }),
);

test(
  'the first use of a feature waits for its removal and then is QFEAT',
  play(async (race) => {
    const [admin, user] = await Promise.all([race.server(), race.server()]);
    await admin.query('begin');
    await admin.query(APPLY, WITHOUT_EXTRA);
    const { answer } = await consumeBlocked(race, user, { subject: 'new', feature: 'extra' });
    await admin.query('commit');
    await expect(answer).rejects.toMatchObject({ code: 'QFEAT' });
    const { rows } = await race.owner.query(`select from quota.meters where feature_id = 'extra'`);
    expect(rows).toEqual([]);
  }),
);

test(
  'a plan that somebody is being put on is not removed: QPLAN after the wait',
  play(async (race) => {
    const [admin, other] = await Promise.all([race.server(), race.server()]);
    await other.query('begin');
    await other.query(SET_PLAN, ['customer', 'extra']);
    const { result } = await removeBlocked(race, admin);
    await other.query('commit');
    await expect(result).rejects.toMatchObject({ code: 'QPLAN' });
    expect(await catalogueHas(race, 'extra')).toBe(true);
    expect(await check(admin, 'customer', 'extra')).toMatchObject({ plan: 'extra', limit: 1 });
  }),
);

test(
  'set_plan waits for the removal of its plan and then is QPLAN',
  play(async (race) => {
    const [admin, other] = await Promise.all([race.server(), race.server()]);
    await admin.query('begin');
    await admin.query(APPLY, WITHOUT_EXTRA);
    const { result } = await queryBlocked(race, other, SET_PLAN, ['customer', 'extra']);
    await admin.query('commit');
    await expect(result).rejects.toMatchObject({ code: 'QPLAN' });
    expect(await check(other, 'customer')).toMatchObject({ plan: 'free' });
  }),
);

// It once locked two tables, and deadlocked with whoever read them in the other order.
test(
  'a removal waits for no reader and no call on other features, and they do not wait for it',
  play(async (race) => {
    const [admin, reader, user] = await Promise.all([race.server(), race.server(), race.server()]);
    await consume(user, { subject: 'busy' });
    await user.query('begin');
    await consume(user, { subject: 'busy' });
    await reader.query('begin');
    await reader.query('select * from public.plan_catalog');

    await admin.query('begin');
    await admin.query(APPLY, WITHOUT_EXTRA);
    await reader.query('select * from public.current_usage');
    await consume(user, { subject: 'busy', feature: 'export' });
    await admin.query('commit');
    await reader.query('commit');
    await user.query('commit');
    expect(await catalogueHas(race, 'extra')).toBe(false);
  }),
);

const SET_VALUE = 'select public.set_value($1, $2, $3)';
/** The catalogue with this switch or value, or without. */
const withTerms = (terms: object) => [
  JSON.stringify({ ...withExtra, features: { ...withExtra.features, ...terms } }),
];

const playTerms = (scenario: Scenario) =>
  play(async (race) => {
    await race.owner.query(APPLY, withTerms({ term: { kind: 'value' } }));
    await scenario(race);
  });

test(
  'a value that is being given to a subject is not removed: QPLAN after the wait',
  playTerms(async (race) => {
    const [admin, user] = await Promise.all([race.server(), race.server()]);
    await user.query('begin');
    await user.query(SET_VALUE, ['new', 'term', '"net 30"']);
    const { result } = await queryBlocked(race, admin, APPLY, withTerms({}));
    await user.query('commit');
    await expect(result).rejects.toMatchObject({ code: 'QPLAN' });
  }),
);

test(
  'giving a value waits for its removal and then is QFEAT',
  playTerms(async (race) => {
    const [admin, user] = await Promise.all([race.server(), race.server()]);
    await admin.query('begin');
    await admin.query(APPLY, withTerms({}));
    const { result } = await queryBlocked(race, user, SET_VALUE, ['new', 'term', '"net 30"']);
    await admin.query('commit');
    await expect(result).rejects.toMatchObject({ code: 'QFEAT' });
  }),
);

test(
  'giving a value that is about to become a switch waits, and is judged as a switch',
  playTerms(async (race) => {
    const [admin, user] = await Promise.all([race.server(), race.server()]);
    await admin.query('begin');
    await admin.query(APPLY, withTerms({ term: { kind: 'switch' } }));
    const { result } = await queryBlocked(race, user, SET_VALUE, ['new', 'term', '"net 30"']);
    await admin.query('commit');
    await expect(result).rejects.toMatchObject({ code: '22023' });
    await user.query(SET_VALUE, ['new', 'term', 'true']);
  }),
);

test(
  'a subject that is being forgotten gets its value afterwards, and keeps it',
  playTerms(async (race) => {
    const [admin, user] = await Promise.all([race.server(), race.server()]);
    await user.query(SET_VALUE, ['old', 'term', '1']);
    await admin.query('begin');
    await admin.query(`select public.forget_subject('old')`);
    const { result } = await queryBlocked(race, user, SET_VALUE, ['old', 'term', '2']);
    await admin.query('commit');
    await result;
    const { rows } = await race.owner.query(
      `select value from public.entitlements where subject = 'old' and feature = 'term'`,
    );
    expect(rows).toEqual([{ value: 2 }]);
  }),
);

test(
  'at repeatable read, where a change of plan makes all meters first, a switch or value gets none',
  playTerms(async (race) => {
    const user = await race.server();
    await user.query('begin isolation level repeatable read');
    await user.query(SET_PLAN, ['new', 'free']);
    await user.query(`select public.forget_subject('new')`);
    await user.query(SET_VALUE, ['new', 'term', '1']);
    await user.query('commit');
    const { rows } = await race.owner.query(
      `select from quota.meters where feature_id = 'term'
       union all select from quota.overrides where value <> '1'`,
    );
    expect(rows).toEqual([]);
  }),
);
