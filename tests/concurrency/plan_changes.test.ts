// What was committed binds whoever still waits, and first calls that race with set_plan.
import { expect, test } from 'vitest';
import { applyPlans } from '../support/plans.ts';
import { check, consume, consumeBlocked, limitedTo, queryBlocked, type Race, run } from './race.ts';
import { downgradeDuringWait, featureLostDuringWait, limitLoweredDuringWait } from './scenarios.ts';

const SET_PLAN = 'select public.set_plan($1, $2)';
const SET_ANCHOR = 'select public.set_plan($1, $2, $3)';
/** Before the races' clock, in the middle of the calendar's month. */
const ANCHOR = '2026-01-05T08:00:00Z';

test('a limit that is lowered while callers wait binds them', () => run(limitLoweredDuringWait));

test('a limit that is raised while a caller waits lets it through', () =>
  run(async (race) => {
    const subject = 'waits';
    const [holder, waiter] = await Promise.all([race.server(), race.server()]);
    await consume(holder, { subject, amount: 49 });
    await holder.query('begin');
    await consume(holder, { subject });
    const { answer } = await consumeBlocked(race, waiter, { subject });
    await applyPlans(race.owner, limitedTo(60));
    await holder.query('commit');
    expect(await answer).toMatchObject({ allowed: true, used: 51, limit: 60 });
  }));

test('a limit lowered while a first use waits for one that is rolled back binds it', () =>
  run(async (race) => {
    const use = { subject: 'known', feature: 'ai_generation' };
    const [holder, waiter] = await Promise.all([race.server(), race.server()]);
    await consume(holder, { ...use, feature: 'export' });
    await holder.query('begin');
    await consume(holder, use);
    const { answer } = await consumeBlocked(race, waiter, { ...use, amount: 3 });
    await applyPlans(race.owner, limitedTo(2));
    await holder.query('rollback');
    expect(await answer).toMatchObject({ allowed: false, reason: 'limit_reached', limit: 2 });
  }));

test('a feature taken out of the plan while a caller waits is refused', () =>
  run(async (race) => {
    const use = { subject: 'waits', feature: 'export' };
    const [holder, waiter] = await Promise.all([race.server(), race.server()]);
    await holder.query('begin');
    await consume(holder, use);
    const { answer } = await consumeBlocked(race, waiter, use);
    const document = limitedTo(50);
    const { ai_generation } = document.plans.free.limits;
    await applyPlans(race.owner, {
      ...document,
      plans: { ...document.plans, free: { default: true, limits: { ai_generation } } },
    });
    await holder.query('commit');
    expect(await answer).toMatchObject({ allowed: false, reason: 'feature_not_in_plan' });
  }));

test('a downgrade that commits while a caller waits for it binds that caller', () =>
  run(downgradeDuringWait));

test('a plan without the feature, set while a caller waits, refuses that caller', () =>
  run(featureLostDuringWait));

test('a downgrade that is rolled back leaves the waiting caller its plan', () =>
  run(async (race) => {
    const subject = 'downgrade';
    const [admin, waiter] = await Promise.all([race.server(), race.server()]);
    await consume(waiter, { subject, amount: 3 });
    await admin.query('begin');
    await admin.query(SET_PLAN, [subject, 'small']);
    const { answer } = await consumeBlocked(race, waiter, { subject });
    await admin.query('rollback');
    expect(await answer).toMatchObject({ allowed: true, plan: 'free', used: 4 });
  }));

test('set_plan waits for the call in flight, and binds who comes after it', () =>
  run(async (race) => {
    const subject = 'queue';
    const [holder, admin, waiter] = await Promise.all([
      race.server(),
      race.server(),
      race.server(),
    ]);
    await consume(holder, { subject, amount: 2 });
    await holder.query('begin');
    await consume(holder, { subject });
    const change = await queryBlocked(race, admin, SET_PLAN, [subject, 'small']);
    const { answer } = await consumeBlocked(race, waiter, { subject });
    await holder.query('commit');
    await change.result;
    // As a rule the change is first; Postgres promises no order among those that wait for a row.
    const told = await answer;
    expect(told).toMatchObject(
      told.allowed ? { plan: 'free', used: 4 } : { plan: 'small', used: 3 },
    );
    const after = await consume(waiter, { subject });
    expect(after).toMatchObject({ allowed: false, plan: 'small', used: told.used });
  }));

test('an upgrade while a refused-to-be caller waits lets it through, use kept', () =>
  run(async (race) => {
    const subject = 'upgrade';
    const [admin, waiter] = await Promise.all([race.server(), race.server()]);
    await consume(waiter, { subject, amount: 49 });
    await admin.query('begin');
    await admin.query(SET_PLAN, [subject, 'pro']);
    const { answer } = await consumeBlocked(race, waiter, { subject, amount: 2 });
    await admin.query('commit');
    expect(await answer).toMatchObject({ allowed: true, plan: 'pro', used: 51, limit: null });
  }));

test('a caller whose limit is used up is refused at once, whoever holds the meter, and let through after', () =>
  run(async (race) => {
    const subject = 'full';
    const [admin, caller] = await Promise.all([race.server(), race.server()]);
    await consume(caller, { subject, amount: 50 });
    await admin.query('begin');
    await admin.query(SET_PLAN, [subject, 'pro']);
    await caller.query('begin');
    expect(await consume(caller, { subject })).toMatchObject({ allowed: false, used: 50 });
    const { rows } = await caller.query(
      `select c.relname, l.mode from pg_locks as l join pg_class as c on c.oid = l.relation
       where c.relnamespace = 'quota'::regnamespace and l.pid = pg_backend_pid()
         and l.mode not in ('AccessShareLock', 'RowShareLock', 'RowExclusiveLock')`,
    );
    expect(rows, 'what a plain refusal has locked').toEqual([]);
    // An update that finds no row locks none: a locked row would have taken a transaction number.
    const { rows: written } = await caller.query('select pg_current_xact_id_if_assigned() as id');
    expect(written, 'a transaction that needs no number').toEqual([{ id: null }]);
    await caller.query('commit');
    await admin.query('commit');
    expect(await consume(caller, { subject })).toMatchObject({ allowed: true, used: 51 });
  }));

/** A subject that nobody has seen, and one that has a plan but never used anything. */
const NEWCOMERS = {
  'a subject never seen': async () => {},
  'a subject that has used nothing yet': async (race: Race, subject: string) => {
    await race.owner.query(SET_PLAN, [subject, 'free']);
  },
};

for (const [who, introduce] of Object.entries(NEWCOMERS)) {
  test(`the first call of ${who} waits for set_plan and is decided by the new plan`, () =>
    run(async (race) => {
      const subject = 'new';
      await introduce(race, subject);
      const [admin, user] = await Promise.all([race.server(), race.server()]);
      await admin.query('begin');
      await admin.query(SET_PLAN, [subject, 'small']);
      const { answer } = await consumeBlocked(race, user, { subject, amount: 4 });
      await admin.query('commit');
      expect(await answer).toMatchObject({ allowed: false, plan: 'small', used: 0, limit: 3 });
    }));

  test(`set_plan waits for the first call of ${who} and keeps its use`, () =>
    run(async (race) => {
      const subject = 'new';
      await introduce(race, subject);
      const [admin, user] = await Promise.all([race.server(), race.server()]);
      await user.query('begin');
      await consume(user, { subject, amount: 4 });
      const change = await queryBlocked(race, admin, SET_PLAN, [subject, 'small']);
      await user.query('commit');
      await change.result;
      expect(await check(user, subject)).toMatchObject({
        allowed: false,
        plan: 'small',
        used: 4,
        remaining: 0,
      });
    }));

  test(`with a moved anchor, the first call of ${who} counts in the period of that anchor`, () =>
    run(async (race) => {
      const subject = 'new';
      await introduce(race, subject);
      const [admin, user] = await Promise.all([race.server(), race.server()]);
      await admin.query('begin');
      await admin.query(SET_ANCHOR, [subject, 'small', ANCHOR]);
      const { answer } = await consumeBlocked(race, user, { subject });
      await admin.query('commit');
      const decision = await answer;
      expect(decision).toMatchObject({ allowed: true, plan: 'small', used: 1 });
      expect(new Date(decision.period_start)).toEqual(new Date(ANCHOR));
      expect(await historyOf(race, subject)).toEqual([[ANCHOR, 1]]);
    }));

  test(`with a moved anchor, set_plan carries what the first call of ${who} counted`, () =>
    run(async (race) => {
      const subject = 'new';
      await introduce(race, subject);
      const [admin, user] = await Promise.all([race.server(), race.server()]);
      await user.query('begin');
      await consume(user, { subject, amount: 2 });
      const change = await queryBlocked(race, admin, SET_ANCHOR, [subject, 'small', ANCHOR]);
      await user.query('commit');
      await change.result;
      const decision = await check(user, subject);
      expect(decision).toMatchObject({ plan: 'small', used: 2, remaining: 1 });
      expect(new Date(decision.period_start)).toEqual(new Date(ANCHOR));
      expect(await historyOf(race, subject)).toEqual([
        ['2026-01-01T00:00:00Z', 0],
        [ANCHOR, 2],
      ]);
    }));
}

test('calls of many sessions and moving anchors at once count every call, in periods without overlap', () =>
  run(async (race) => {
    const subject = 'moves';
    await race.owner.query(SET_PLAN, [subject, 'pro']);
    const pool = race.database.pool(10);
    const calls = Array.from({ length: 60 }, () => consume(pool, { subject }));
    const moves = Array.from({ length: 12 }, (_, at) =>
      pool.query(SET_ANCHOR, [subject, 'pro', `2026-01-0${1 + (at % 9)}T08:00:00Z`]),
    );
    await Promise.all([...calls, ...moves]);

    const { rows } = await race.owner.query(
      `select sum(used)::integer as used, bool_or(is_over_next) as overlap
       from (
         select used, period_end > lead(period_start) over (order by period_start) as is_over_next
         from public.usage_history
         where subject = $1 and period = 'month'
       ) as h`,
      [subject],
    );
    expect(rows).toEqual([{ used: 60, overlap: false }]);
  }));

async function historyOf({ owner }: Race, subject: string): Promise<[string, number][]> {
  const { rows } = await owner.query(
    `select period_start, used::integer from public.usage_history
     where subject = $1 order by period_start`,
    [subject],
  );
  return rows.map((row) => [row.period_start.toISOString().replace('.000Z', 'Z'), row.used]);
}
