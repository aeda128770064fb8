// Several subjects under one: together exactly what the one above has.
import { expect, test } from 'vitest';
import { pidOf, waitUntilBlocked } from '../support/blocking.ts';
import { applyPlans } from '../support/plans.ts';
import { calls, decisionOf, outcomeOf, startBlocked } from './holds.ts';
import { queryBlocked, run } from './race.ts';

const PLANS = {
  features: { a_call: {} },
  plans: {
    org: { limits: { a_call: { month: 20 } } },
    free: { default: true, limits: { a_call: { month: 100 } } },
  },
};
const feature = 'a_call';
const GAUGE = {
  features: { file: { kind: 'gauge' } },
  plans: {
    org: { limits: { file: { lifetime: 20 } } },
    free: { default: true, limits: { file: { lifetime: 100 } } },
  },
};

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

// A call that waited for its own meter has it from then on, also where it did not move it, and finds that it
// counts above as well. Who came there in order, and wants both, is not to be turned away for it.
test.each([
  {
    has: 'the meter of the parent',
    child: 'sub',
    first: calls.consume({ subject: 'org', feature }),
    told: { allowed: true, used: 2 },
    used: 3,
  },
  // Under which the meter of a parent that used nothing yet is made.
  {
    has: 'the row of the parent',
    child: 'child',
    first: { sql: `select public.set_plan('org', 'org')`, values: [] },
    told: undefined,
    used: 1,
  },
])(
  'a parent that is set while a call waits, and somebody who has $has: nobody gets 40P01',
  ({ child, first, told, used }) =>
    run(async (race) => {
      await applyPlans(race.owner, PLANS);
      await race.owner.query(`select public.set_plan('org', 'org')`);
      const [one, late, both] = await Promise.all([race.server(), race.server(), race.server()]);
      const use = calls.consume({ subject: child, feature });
      await decisionOf(one, use);
      if (told) await decisionOf(one, calls.consume({ subject: 'org', feature }));
      const latePid = await pidOf(late);
      await one.query('begin');
      await one.query('select public.set_parent($1, $2)', [child, 'org']);
      const lateCode = outcomeOf((await startBlocked(race, late, use)).answer);
      await both.query('begin');
      const begun = await startBlocked(race, both, first);
      await one.query('commit');
      const answer = await begun.answer;
      if (told) expect(answer).toMatchObject(told);
      await waitUntilBlocked(race.owner, latePid);
      expect(await decisionOf(both, use)).toMatchObject({ allowed: true, used });
      await both.query('commit');
      expect(await lateCode).toBe('55P03');
    }),
);

test('a parent that is set, and used, while a call that costs something waits counts it', () =>
  run(async (race) => {
    await applyPlans(race.owner, {
      features: { image: { costs: { credit: 2 } }, credit: {} },
      plans: { free: { default: true, limits: { credit: { month: 100 } } } },
    });
    const [one, two] = await Promise.all([race.server(), race.server()]);
    const image = calls.consume({ subject: 'child', feature: 'image' });
    await decisionOf(one, image);
    await decisionOf(one, calls.consume({ subject: 'org', feature: 'image' }));
    await one.query('begin');
    await one.query(`select public.set_parent('child', 'org'), public.set_plan('child', 'free')`);
    // From here on the meters remember their limits again: only the levels tell that they are others.
    await decisionOf(one, image);
    const waiting = await startBlocked(race, two, image);
    await one.query('commit');
    expect(await waiting.answer).toMatchObject({ allowed: true, limiting_subject: 'org', used: 6 });
    const { rows } = await race.owner.query(
      `select subject_id, feature_id, used::int from quota.meters order by subject_id, feature_id`,
    );
    expect(rows.map((row) => Object.values(row).join(' '))).toEqual([
      'child credit 6',
      'child image 3',
      'org credit 6',
      'org image 3',
    ]);
  }));

test('a level in the middle that moved: who remembers the old ones locks the new ones in order', () =>
  run(async (race) => {
    await applyPlans(race.owner, PLANS);
    const [one, two, three] = await Promise.all([race.server(), race.server(), race.server()]);
    const key = { subject: 'm key', feature };
    await one.query(
      `select public.set_parent('t team', 'z org'), public.set_parent('m key', 't team')`,
    );
    for (const subject of ['m key', 'm key', 'a org'])
      await decisionOf(one, calls.consume({ subject, feature }));
    await one.query(`select public.set_parent('t team', 'a org')`);
    await one.query('begin');
    await decisionOf(one, calls.consume({ subject: 'a org', feature }));
    const waiting = [
      await startBlocked(race, two, calls.reserve(key)),
      await startBlocked(race, three, calls.consume(key)),
    ];
    await one.query('commit');
    for (const { answer } of waiting) expect(await answer).toMatchObject({ allowed: true });
    expect((await race.owner.query('select from public.verify_usage()')).rows).toEqual([]);
  }));

test('a refund and a commit lock in the order of the uses beside them', () =>
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

test('a gauge of two teams fills the organisation exactly, while a third with files comes', () =>
  run(async (race) => {
    await applyPlans(race.owner, GAUGE);
    await race.owner.query(`
      create table public.files (id integer generated always as identity, team text);
      grant insert on public.files to service_role;
      select quota.limit_table('public.files', 'file', 'team');
      select public.set_plan('org', 'org'), public.consume_usage('file', 4, 'third');
      select public.set_parent(t, 'org') from unnest(array['one', 'two']) as t`);
    const callers = await Promise.all(Array.from({ length: 8 }, race.server));
    /** A busy machine ends a wait after 2 s: asked again, as a client would. */
    const take = async (at: number, n: number, tries = 0): Promise<{ allowed: boolean }> => {
      try {
        return await once(at, n);
      } catch (error) {
        if ((error as { code?: string }).code !== '55P03' || tries > 9) throw error;
        return take(at, n, tries + 1);
      }
    };
    const once = async (at: number, n: number) => {
      const caller = callers[at] as (typeof callers)[0];
      const team = at % 2 ? 'one' : 'two';
      if (n === 0) return decisionOf(caller, calls.reserve({ subject: team, feature: 'file' }));
      if (n === 1)
        return caller.query('insert into public.files (team) values ($1)', [team]).then(
          () => ({ allowed: true }),
          (error) => {
            if (error.code !== 'PT402') throw error;
            return { allowed: false };
          },
        );
      return decisionOf(caller, calls.consume({ subject: at < 2 ? 'org' : team, feature: 'file' }));
    };
    const [, ...told] = await Promise.all([
      race.owner.query(`select public.set_parent('third', 'org')`),
      ...callers.flatMap((_, at) => Array.from({ length: 4 }, (_, n) => take(at, n))),
    ]);
    const { rows } = await race.owner.query(
      `select sum(used + reserved)::int as all from quota.meters`,
    );
    // Those that came first may have filled it before the third had come with its four.
    const allowed = told.filter((answer) => answer.allowed).length;
    expect(rows[0].all).toBe(allowed + 4);
    expect(allowed).toBeGreaterThanOrEqual(16);
    expect(allowed).toBeLessThanOrEqual(20);
    expect(
      await decisionOf(
        callers[0] as (typeof callers)[0],
        calls.consume({ subject: 'one', feature: 'file' }),
      ),
    ).toMatchObject({ allowed: false, limiting_subject: 'org' });
  }));

test('a call that waits, a parent that is taken off meanwhile, and who then locks both: nobody meets crosswise', () =>
  run(async (race) => {
    await applyPlans(race.owner, PLANS);
    const [one, two, three, four] = await Promise.all(Array.from({ length: 4 }, race.server));
    if (!one || !two || !three || !four) throw new Error('no sessions');
    for (const [child, parent] of [
      ['a_child', 'z_org'],
      ['z_child', 'a_org'],
    ] as const) {
      await one.query(`select public.set_parent('${child}', '${parent}')`);
      await decisionOf(one, calls.consume({ subject: child, feature }));
      await one.query('begin');
      await decisionOf(one, calls.consume({ subject: parent, feature }));
      const waiting = await startBlocked(race, two, calls.consume({ subject: child, feature }));
      // It need not wait for the call, and then the child has another place at once.
      const taken = three.query(`select public.set_parent('${child}', null)`).then(() => 'taken');
      await Promise.race([taken, new Promise((resolve) => setTimeout(resolve, 300))]);
      const items = [child, parent].map((subject) => ({ subject, feature }));
      const both = four
        .query('select (b).allowed from public.consume_usage_batch($1) as b', [
          JSON.stringify(items),
        ])
        .then(({ rows }) => rows.map(({ allowed }) => allowed));
      await new Promise((resolve) => setTimeout(resolve, 300));
      await one.query('commit');
      expect(await Promise.all([waiting.answer.then((told) => told.allowed), taken, both])).toEqual(
        [true, 'taken', [true, true]],
      );
    }
    expect((await race.owner.query('select from public.verify_usage()')).rows).toEqual([]);
  }));

test('a call over two levels waits for no row that a set_parent beside it holds', () =>
  run(async (race) => {
    await applyPlans(race.owner, PLANS);
    const [one, two, three] = await Promise.all(Array.from({ length: 3 }, race.server));
    if (!one || !two || !three) throw new Error('no sessions');
    await one.query(`select public.set_parent('a_child', 'z_org')`);
    await decisionOf(one, calls.consume({ subject: 'a_child', feature }));
    await one.query('begin');
    await one.query(`select public.set_plan('a_child', 'free')`);
    const again = await startBlocked(race, two, {
      sql: `select to_jsonb(p) as decision from public.set_parent('a_child', 'z_org') as p`,
      values: [],
    });
    const waiting = await startBlocked(race, three, calls.consume({ subject: 'a_child', feature }));
    await one.query('commit');
    await again.answer;
    expect(await waiting.answer).toMatchObject({ allowed: true });
  }));

test('one statement on a limited table, for subjects below several others, locks all of them in order', () =>
  run(async (race) => {
    await applyPlans(race.owner, GAUGE);
    // Subject by subject, each with its parent, it would have held z when it waits for a.
    await race.owner.query(`
      create table public.uploads (id integer generated always as identity, team text);
      select quota.limit_table('public.uploads', 'file', 'team');
      select public.set_plan('a', 'org'), public.set_plan('z', 'org');
      select public.set_parent('b', 'z'), public.set_parent('c', 'a');
      grant select, insert, update, delete on public.uploads to service_role`);
    const [one, two] = await Promise.all([race.server(), race.server()]);
    const consume = (subject: string) =>
      decisionOf(one, calls.consume({ subject, feature: 'file' }));
    for (const statement of [
      `insert into public.uploads (team) values ('b'), ('c'), ('e')`,
      `update public.uploads set team = 'new' || team where team <> 'e'`,
      `update public.uploads set team = substr(team, 4) where team <> 'e'`,
      'delete from public.uploads',
    ]) {
      await one.query('begin');
      await consume('a');
      const { result } = await queryBlocked(race, two, statement);
      expect((await consume('z')).allowed).toBe(true);
      await one.query('commit');
      await result;
    }
    const { rows } = await race.owner.query(
      `select subject_id, used::int from quota.meters where used > 0 order by 1`,
    );
    expect(rows).toEqual([
      { subject_id: 'a', used: 4 },
      { subject_id: 'z', used: 4 },
    ]);
  }));
