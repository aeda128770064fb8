// Merging beside whatever else happens to both: nothing is lost, nothing counts twice, and nobody gets a
// fresh allowance by having been somebody else. (race.ts proves every number at the end.)
import type pg from 'pg';
import { expect, test } from 'vitest';
import { applyPlans } from '../support/plans.ts';
import { type Call, calls, type Decision, decisionOf, startBlocked } from './holds.ts';
import { check, consume, queryBlocked, type Race, run } from './race.ts';

const MERGE = 'select public.merge_subjects($1, $2)';
const merge = (client: pg.ClientBase, from: string, into: string) =>
  client.query(MERGE, [from, into]);
const sessions = (race: Race, count: number) =>
  Promise.all(Array.from({ length: count }, race.server));
const codeOf = (call: Promise<unknown>) =>
  call.then(
    () => 'fine',
    (error: { code?: string }) => error.code,
  );

/** The call is made while the merge is not committed; what it is told afterwards. */
async function duringMerge(race: Race, names: [string, string], call: Call, end = 'commit') {
  const [merger, caller] = (await sessions(race, 2)) as [pg.Client, pg.Client];
  await merger.query('begin');
  await merge(merger, ...names);
  const { answer } = await startBlocked(race, caller, call);
  await merger.query(end);
  return (await answer) as Decision;
}

test('a use, a hold and a batch that wait for the merge are the account’s', () =>
  run(async (race) => {
    const server = await race.server();
    for (const [at, call] of [
      (subject: string) => calls.consume({ subject }),
      (subject: string) => calls.consume({ subject, key: 'k' }),
      (subject: string) => calls.consume({ subject, feature: 'export' }),
      (subject: string) => calls.reserve({ subject }),
      (subject: string) =>
        calls.batch(subject, [{ feature: 'export' }, { feature: 'ai_generation' }]),
    ].entries()) {
      const [from, into] = [`anon-${at}`, `account-${at}`] as const;
      // The plain way's meter, warm; of export there is none.
      await consume(server, { subject: from, amount: 10 });
      await consume(server, { subject: into, amount: 20 });
      const told = await duringMerge(race, [from, into], call(from));
      expect(told).toMatchObject({ allowed: true, subject: into });
      const { used, reserved } = (await check(race.owner, into)) as Decision;
      expect(used + reserved).toBe(at === 2 ? 30 : 31);
      expect(await check(race.owner, from)).toEqual(await check(race.owner, into));
    }
  }));

test('a merge that is rolled back was none: who waited is itself', () =>
  run(async (race) => {
    const server = await race.server();
    await consume(server, { subject: 'anon', amount: 10 });
    const told = await duringMerge(
      race,
      ['anon', 'account'],
      calls.consume({ subject: 'anon' }),
      'rollback',
    );
    expect(told).toMatchObject({ subject: 'anon', used: 11 });
    expect(await check(race.owner, 'account')).toMatchObject({ used: 0 });
  }));

test('a commit, a release and a refund that wait for the merge end where the use is now', () =>
  run(async (race) => {
    const server = await race.server();
    for (const [at, end] of ['commit', 'release', 'refund'].entries()) {
      const [from, into] = [`anon-${at}`, `account-${at}`] as const;
      const { event_id } = await consume(server, { subject: from, amount: 10 });
      const { reservation_id } = await decisionOf(
        server,
        calls.reserve({ subject: from, amount: 5 }),
      );
      const call = {
        commit: calls.commit(reservation_id, 3),
        release: calls.release(reservation_id),
        refund: calls.refund(event_id, 4),
      }[end] as Call;
      expect(await duringMerge(race, [from, into], call)).toMatchObject({ subject: into });
      const state = { commit: [13, 0], release: [10, 0], refund: [6, 5] }[end];
      const { used, reserved } = (await check(race.owner, into)) as Decision;
      expect([used, reserved]).toEqual(state);
    }
  }));

test('what costs something, or counts at a level that is merged, ends in every meter where it is now', () =>
  run(async (race) => {
    await applyPlans(race.owner, {
      features: { image: { costs: { credit: 10 } }, credit: {} },
      plans: { free: { default: true, limits: { credit: { month: 100 } } } },
    });
    const server = await race.server();
    const [feature, subject] = ['image', 'anon'];
    const use = calls.consume({ subject, feature });
    // The hold of a key that was below the old name when it held.
    await server.query(`select public.set_parent('key', 'anon')`);
    const below = await decisionOf(server, calls.reserve({ subject: 'key', feature }));
    await server.query(`select public.set_parent('key', null)`);
    const hold = await decisionOf(server, calls.reserve({ subject, feature }));
    for (const [at, [call, told, credit]] of (
      [
        [use, 'b0', [10, 20]],
        [calls.commit(hold.reservation_id), 'b1', [20, 10]],
        [calls.commit(below.reservation_id), 'key', [30, 0]],
        [calls.batch('b2', [{ feature }, { feature: 'credit' }]), 'b3', [41, 0]],
      ] as const
    ).entries()) {
      const from = at ? `b${at - 1}` : subject;
      expect(await duringMerge(race, [from, `b${at}`], call as Call)).toMatchObject({
        allowed: true,
        subject: told,
      });
      const { used, reserved } = (await check(race.owner, `b${at}`, 'credit')) as Decision;
      expect([used, reserved]).toEqual(credit);
    }
  }));

test('a merge waits for a use, a refund and a plan in flight of either side, and takes them along', () =>
  run(async (race) => {
    const [one, two] = (await sessions(race, 2)) as [pg.Client, pg.Client];
    const { event_id } = await consume(one, { subject: 'anon', amount: 10 });
    await consume(one, { subject: 'account', amount: 5 });
    const first = [
      () => consume(one, { subject: 'anon', amount: 7 }),
      () => decisionOf(one, calls.refund(event_id, 2)),
      () => consume(one, { subject: 'account', amount: 3 }),
      () => one.query(`select public.set_plan('account', 'pro')`),
    ];
    for (const [at, begin] of first.entries()) {
      await one.query('begin');
      await begin();
      await two.query('begin');
      const { result } = await queryBlocked(race, two, MERGE, ['anon', 'account']);
      await one.query('commit');
      await result;
      await two.query(at < first.length - 1 ? 'rollback' : 'commit');
    }
    expect(await check(race.owner, 'account')).toMatchObject({ used: 23, plan: 'pro' });
  }));

test('12 callers under both names, through the merge, take exactly what the account has', () =>
  run(async (race) => {
    const callers = await sessions(race, 12);
    const server = await race.server();
    await consume(server, { subject: 'anon', amount: 5 });
    let allowed = 5;
    const calling = callers.map(async (caller, at) => {
      for (let n = 0; n < 8; n++) {
        const subject = at % 2 ? 'anon' : 'account';
        const told = await consume(caller, { subject });
        if (told.allowed) allowed += 1;
      }
    });
    await merge(server, 'anon', 'account');
    await Promise.all(calling);
    // Each name had 50 of its own until then, and none was to have more than is left of the account's.
    const { used } = (await check(race.owner, 'account')) as Decision;
    expect(used).toBe(allowed);
    expect(await check(race.owner, 'anon')).toMatchObject({ subject: 'account', used });
    expect((await consume(server, { subject: 'anon' })).allowed).toBe(used < 50);
  }));

test('crosswise one wins, and the same at once is one', () =>
  run(async (race) => {
    const [one, two] = (await sessions(race, 2)) as [pg.Client, pg.Client];
    for (let n = 0; n < 5; n++) {
      const [a, b, c, d] = [`a${n}`, `b${n}`, `c${n}`, `d${n}`] as const;
      for (const subject of [a, b, c, d]) await consume(one, { subject, amount: 2 });
      const crosswise = await Promise.all([codeOf(merge(one, a, b)), codeOf(merge(two, b, a))]);
      expect(crosswise.toSorted()).toEqual(['QSUBJ', 'fine']);
      expect(await check(race.owner, a)).toMatchObject({ used: 4 });
      expect(await Promise.all([codeOf(merge(one, c, d)), codeOf(merge(two, c, d))])).toEqual([
        'fine',
        'fine',
      ]);
      expect(await check(race.owner, c)).toMatchObject({ subject: d, used: 4 });
    }
  }));

test('a snapshot of before the merge is told 40001, and forgetting meets it in order', () =>
  run(async (race) => {
    const [one, two] = (await sessions(race, 2)) as [pg.Client, pg.Client];
    await consume(one, { subject: 'anon', amount: 2 });
    await two.query('begin isolation level repeatable read');
    await two.query('select 1 from quota.features');
    await merge(one, 'anon', 'account');
    expect(await codeOf(consume(two, { subject: 'anon' }))).toBe('40001');
    await two.query('rollback');
    await one.query('begin');
    await merge(one, 'account', 'final');
    const { result } = await queryBlocked(race, two, 'select public.forget_subject($1)', ['final']);
    await one.query('commit');
    await result;
    expect(await check(race.owner, 'account')).toMatchObject({ subject: 'account', used: 0 });
  }));
