// A subject is forgotten while it is used: what was before is gone, what comes after begins anew.
import { expect, test } from 'vitest';
import { setClock } from '../support/clock.ts';
import { applyPlans } from '../support/plans.ts';
import { asUser } from '../support/session.ts';
import { firstUseOfForgotten, plainFirstUseOfForgotten } from './hold_scenarios.ts';
import { type Call, calls, decisionOf, decisionsOf, outcomeOf, startBlocked } from './holds.ts';
import { check, ledgerOf, limitedTo, queryBlocked, run } from './race.ts';

const FORGET = 'select public.forget_subject($1)::integer as lines';
const SUBJECT = 'ada';
const BOTH = [{ feature: 'ai_generation' }, { feature: 'export' }];

test.for<[string, Call]>([
  ['a use', calls.consume({ subject: SUBJECT, amount: 2 })],
  ['a hold', calls.reserve({ subject: SUBJECT, amount: 2 })],
  ['a batch', calls.batch(SUBJECT, BOTH)],
])('%s that waits for it is the first of a new subject', ([, call]) =>
  run(async (race) => {
    const [admin, waiter] = await Promise.all([race.server(), race.server()]);
    await admin.query(`select public.set_plan($1, 'pro')`, [SUBJECT]);
    await decisionsOf(waiter, calls.batch(SUBJECT, BOTH));
    await admin.query('begin');
    await admin.query(FORGET, [SUBJECT]);
    const { answer } = await startBlocked(race, waiter, call);
    await admin.query('commit');
    const told = await answer;
    expect(told).toMatchObject({ allowed: true, plan: 'free' });
    expect(told.used + told.reserved).toBe(told.amount);
  }),
);

test('it waits for the call in flight, which then is forgotten with the rest', () =>
  run(async (race) => {
    const [admin, user] = await Promise.all([race.server(), race.server()]);
    await decisionOf(user, calls.consume({ subject: SUBJECT }));
    await user.query('begin');
    await decisionOf(user, calls.consume({ subject: SUBJECT, amount: 4 }));
    const { result } = await queryBlocked(race, admin, FORGET, [SUBJECT]);
    await user.query('commit');
    expect((await result).rows).toEqual([{ lines: 2 }]);
    expect(await ledgerOf(user, SUBJECT)).toEqual([]);
  }));

test('it waits for the first use of a feature, which then is forgotten, too', () =>
  run(async (race) => {
    const [admin, user] = await Promise.all([race.server(), race.server()]);
    await decisionOf(user, calls.consume({ subject: SUBJECT, feature: 'export' }));
    await user.query('begin');
    await decisionOf(user, calls.consume({ subject: SUBJECT }));
    const { result } = await queryBlocked(race, admin, FORGET, [SUBJECT]);
    await user.query('commit');
    expect((await result).rows).toEqual([{ lines: 2 }]);
    expect(await ledgerOf(user, SUBJECT)).toEqual([]);
    expect(await decisionOf(user, calls.consume({ subject: SUBJECT }))).toMatchObject({ used: 1 });
  }));

test.for([
  ['a commit', (hold: string) => calls.commit(hold)],
  ['a release', (hold: string) => calls.release(hold)],
  ['a refund', (_: string, use: string) => calls.refund(use)],
] as const)('%s that waits for it is QRSRV and makes nobody anew', ([, callOf]) =>
  run(async (race) => {
    const [admin, waiter] = await Promise.all([race.server(), race.server()]);
    const use = await decisionOf(waiter, calls.consume({ subject: SUBJECT }));
    const hold = await decisionOf(waiter, calls.reserve({ subject: SUBJECT }));
    await admin.query('begin');
    await admin.query(FORGET, [SUBJECT]);
    const call = callOf(hold.reservation_id, use.event_id);
    const { answer } = await startBlocked(race, waiter, call);
    await admin.query('commit');
    expect(await outcomeOf(answer)).toBe('QRSRV');
    const { rows } = await race.owner.query('select subject_id from quota.subjects');
    expect(rows).toEqual([]);
  }),
);

test('a void that waits for it ends nothing and makes nobody anew', () =>
  run(async (race) => {
    const [admin, waiter] = await Promise.all([race.server(), race.server()]);
    const { rows: grants } = await admin.query(
      `select public.grant_usage('ai_generation', 5, $1) as id`,
      [SUBJECT],
    );
    await admin.query('begin');
    await admin.query(FORGET, [SUBJECT]);
    const { result } = await queryBlocked(
      race,
      waiter,
      'select public.void_grant($1)::integer as done',
      [grants[0].id],
    );
    await admin.query('commit');
    expect((await result).rows).toEqual([{ done: 0 }]);
    const { rows } = await race.owner.query('select subject_id from quota.subjects');
    expect(rows).toEqual([]);
  }));

test('a first use that met the subject before it was deleted makes it anew, so that a plan can be set', () =>
  run(firstUseOfForgotten));

test('so does one that is plain', () => run(plainFirstUseOfForgotten));

test('rolled back, it leaves the waiting caller all that was known', () =>
  run(async (race) => {
    const [admin, waiter] = await Promise.all([race.server(), race.server()]);
    await decisionOf(waiter, calls.consume({ subject: SUBJECT, amount: 49 }));
    await admin.query('begin');
    await admin.query(FORGET, [SUBJECT]);
    const { answer } = await startBlocked(race, waiter, calls.consume({ subject: SUBJECT }));
    await admin.query('rollback');
    expect(await answer).toMatchObject({ allowed: true, used: 50 });
  }));

test('an organisation and its member are forgotten at once, and neither is stopped', () =>
  run(async (race) => {
    const [holder, one, other] = await Promise.all([
      race.database.connect(),
      race.server(),
      race.server(),
    ]);
    await one.query(`select public.add_member('acme', $1)`, [SUBJECT]);
    await asUser(holder, SUBJECT, (client) =>
      decisionOf(client, calls.consume({ subject: 'acme', amount: 45 })),
    );
    // The organisation is stopped half-way, on a row that nobody else needs.
    await holder.query('begin');
    await holder.query(`select from quota.alerts where subject_id = 'acme' for update`);
    const organisation = await queryBlocked(race, one, FORGET, ['acme']);
    const member = await queryBlocked(race, other, FORGET, [SUBJECT]);
    await holder.query('rollback');
    await Promise.all([organisation.result, member.result]);
    const { rows } = await race.owner.query(`
      select subject_id from quota.subjects union all select subject_id from quota.events
      union all select subject_id from quota.members`);
    expect(rows).toEqual([]);
  }));

test('again and again under load it loses no books, and nothing deadlocks', () =>
  run(async (race) => {
    const pool = race.database.pool(12);
    const work = [
      () => decisionsOf(pool, calls.consume({ subject: SUBJECT })),
      () => decisionsOf(pool, calls.batch(SUBJECT, BOTH.toReversed())),
      async () => {
        const hold = await decisionOf(pool, calls.reserve({ subject: SUBJECT }));
        if (!hold.allowed) return;
        const told = await outcomeOf(decisionOf(pool, calls.commit(hold.reservation_id)));
        if (typeof told === 'string') expect(told).toBe('QRSRV');
      },
      () => pool.query(`select public.set_plan($1, 'pro')`, [SUBJECT]),
      () => pool.query(`select public.grant_usage('export', 1, $1)`, [SUBJECT]),
      () => pool.query(FORGET, [SUBJECT]),
    ];
    await Promise.all(Array.from({ length: 240 }, (_, n) => work[n % work.length]?.()));
    const { rows } = await race.owner.query('select * from public.verify_usage()');
    expect(rows).toEqual([]);
  }));

test('quota.tidy() again and again while holds are made and ended changes no answer', () =>
  run(async (race) => {
    const pool = race.database.pool(10);
    const whileTidying = async <T>(work: Promise<T>[]): Promise<T[]> => {
      let isDone = false;
      const tidying = (async () => {
        while (!isDone) await race.owner.query('select quota.tidy()');
      })();
      const results = await Promise.all(work).finally(() => {
        isDone = true;
      });
      await tidying;
      return results;
    };
    await applyPlans(race.owner, limitedTo({ minute: 50, hour: 50, month: 50 }));
    const hold = calls.reserve({ subject: SUBJECT, ttl: '7 days' });
    const holds = await whileTidying(Array.from({ length: 20 }, () => decisionOf(pool, hold)));
    // Their minute and hour are there to be tidied.
    await setClock(race.owner, '2026-01-16T12:00:00Z');
    const told = await whileTidying(
      holds.map(({ reservation_id: id }, n) =>
        decisionOf(pool, n % 2 ? calls.commit(id) : calls.release(id)),
      ),
    );
    expect(told.every(({ allowed, replayed }) => allowed && !replayed)).toBe(true);
    expect(await check(race.owner, SUBJECT)).toMatchObject({ used: 10, reserved: 0 });
  }));
