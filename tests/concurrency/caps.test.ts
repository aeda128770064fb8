// Members of one organisation, each with a cap of its own: together exactly what the organisation has, and nobody
// more than its own.
import type pg from 'pg';
import { expect, test } from 'vitest';
import { applyPlans } from '../support/plans.ts';
import { type Call, decisionOf, outcomeOf, startBlocked } from './holds.ts';
import { type Race, run } from './race.ts';

const feature = 'a_call';
const plansOf = (cap: number, limit = 20) => ({
  features: { a_call: { costs: { z_credit: 2 } }, z_credit: {} },
  plans: {
    org: {
      limits: { a_call: { month: limit }, z_credit: { month: 1000 } },
      per_member: { a_call: { month: cap } },
    },
    team: { limits: { z_credit: { month: 1000 } } },
    free: { default: true, limits: { a_call: { month: 100 }, z_credit: { month: 1000 } } },
  },
});
const used = async ({ owner }: Race, subject: string): Promise<Record<string, number>> => {
  const { rows } = await owner.query(
    `select split_part(subject_id, chr(31), 2) as member, (used + reserved)::int as used
     from quota.meters
     where split_part(subject_id, chr(31), 1) = $1 and feature_id = $2 order by 1`,
    [subject, feature],
  );
  return Object.fromEntries(rows.map((row) => [row.member || 'all', row.used]));
};
const callOf = (expression: string, ...values: unknown[]): Call => ({
  sql: `select to_jsonb(d) as decision from public.${expression} as d`,
  values,
});
const consume = (actor: string, subject = 'org', amount = 1) =>
  callOf('consume_usage($1, $2, $3, actor => $4)', feature, amount, subject, actor);
const reserve = (actor: string, subject = 'org') =>
  callOf('reserve_usage($1, 1, $2, actor => $3)', feature, subject, actor);
const commit = (reservation: string) => callOf('commit_usage($1)', reservation);
const batch = (items: object[]) => callOf('consume_usage_batch($1)', JSON.stringify(items));
/** A busy machine ends a wait after 2 s: asked again, as a client would. */
const ask = async (client: pg.Client, call: Call) => {
  for (let tries = 0; ; tries++) {
    try {
      return await decisionOf(client, call);
    } catch (error) {
      if ((error as pg.DatabaseError).code !== '55P03' || tries > 9) throw error;
    }
  }
};
const sessions = (race: Race, count: number) =>
  Promise.all(Array.from({ length: count }, race.server)) as Promise<pg.Client[]>;

test("16 members at the organisation's last units", () =>
  run(async (race) => {
    await applyPlans(race.owner, plansOf(3));
    await race.owner.query(`select public.set_plan('org', 'org')`);
    const members = await sessions(race, 16);
    const answers = await Promise.all(
      members.flatMap((member, at) =>
        Array.from({ length: 4 }, (_, n) =>
          n === 1
            ? ask(member, reserve(`m${at}`))
            : n === 2
              ? ask(member, batch([{ subject: 'org', actor: `m${at}`, feature }]))
              : ask(member, consume(`m${at}`)),
        ),
      ),
    );
    expect(answers.filter((decision) => decision?.allowed)).toHaveLength(20);
    const { all, ...each } = await used(race, 'org');
    expect(all).toBe(20);
    expect(Object.values(each).reduce((sum, n) => sum + n, 0)).toBe(20);
    expect(Math.max(...Object.values(each))).toBeLessThanOrEqual(3);
  }));

test("a member's cap and the organisation's limit are reached together, over two levels", () =>
  run(async (race) => {
    await applyPlans(race.owner, plansOf(5));
    await race.owner.query(`
      select public.set_plan('org', 'org'), public.set_plan('org/team', 'team');
      select public.set_parent('org/team', 'org')`);
    const callers = await sessions(race, 8);
    const answers = await Promise.all(
      callers.flatMap((caller, at) =>
        Array.from({ length: 4 }, (_, n) =>
          ask(caller, (n === 2 ? reserve : consume)(`m${at % 4}`, n % 2 ? 'org' : 'org/team')),
        ),
      ),
    );
    expect(answers.filter(({ allowed }) => allowed)).toHaveLength(20);
    expect(await used(race, 'org')).toEqual({ all: 20, m0: 5, m1: 5, m2: 5, m3: 5 });
  }));

test('a cap that is set while a call waits binds it, with what its member has used', () =>
  run(async (race) => {
    await applyPlans(race.owner, plansOf(5));
    const [one, two] = (await sessions(race, 2)) as [pg.Client, pg.Client];
    // On a plan without caps, so nothing of them is counted.
    await one.query(`select public.set_plan('org', 'free')`);
    for (const amount of [3, 2]) await decisionOf(one, consume('ada', 'org', amount));
    const held = await decisionOf(one, reserve('ada'));
    await one.query('begin');
    await one.query(`select public.set_limit('org', $1, 'month', 7, member => 'ada')`, [feature]);
    const waiting = await startBlocked(race, two, consume('ada', 'org', 2));
    await one.query('commit');
    expect(await waiting.answer).toMatchObject({
      allowed: false,
      limiting_member: 'ada',
      used: 5,
      reserved: 1,
    });
    expect(await decisionOf(two, consume('ada'))).toMatchObject({ allowed: true, remaining: 0 });
    expect(await decisionOf(two, commit(held.reservation_id))).toMatchObject({ allowed: true });
    expect(await used(race, 'org')).toEqual({ all: 7, ada: 7 });
  }));

test('a member that is removed, or forgotten, with open holds', () =>
  run(async (race) => {
    await applyPlans(race.owner, plansOf(5));
    const [one, two, three] = (await sessions(race, 3)) as [pg.Client, pg.Client, pg.Client];
    await one.query(`select public.set_plan('org', 'org'), public.add_member('org', 'ada')`);
    const holds = [];
    for (let n = 0; n < 4; n++) holds.push((await decisionOf(one, reserve('ada'))).reservation_id);
    await one.query(`select public.remove_member('org', 'ada')`);
    expect(await decisionOf(two, commit(holds[0] as string))).toMatchObject({ allowed: true });
    // Its commits, its calls and its end at once.
    const outcomes = await Promise.all([
      ...holds.slice(1).map((hold) => outcomeOf(decisionOf(two, commit(hold)))),
      outcomeOf(decisionOf(three, consume('ada'))),
      one.query(`select public.forget_subject('ada')`).then(() => 'forgotten'),
    ]);
    expect(outcomes.filter((told) => told === '40P01')).toEqual([]);
    expect((await used(race, 'org')).all).toBeGreaterThanOrEqual(4);
  }));

test('batches for several subjects, in every order, beside calls and a merge of two members', () =>
  run(async (race) => {
    await applyPlans(race.owner, plansOf(50, 500));
    await race.owner.query(`
      select public.set_plan(o, 'org') from unnest(array['b_org', 'a_org']) as o;
      select public.set_parent('z_team', 'b_org'), public.set_parent('a_team', 'b_org')`);
    const callers = await sessions(race, 6);
    const subjects = ['b_org', 'z_team', 'a_org', 'a_team'];
    const outcomes = await Promise.all([
      ...callers.flatMap((caller, at) =>
        Array.from({ length: 6 }, (_, n) => {
          const turned = [...subjects.slice((at + n) % 4), ...subjects.slice(0, (at + n) % 4)];
          const items = (at % 2 ? turned : turned.reverse()).map((subject) => ({
            feature: n % 2 ? feature : 'z_credit',
            subject,
            actor: `m${at % 3}`,
          }));
          return n === 5
            ? outcomeOf(decisionOf(caller, consume(`m${at % 3}`, 'z_team')))
            : outcomeOf(decisionOf(caller, batch(items)));
        }),
      ),
      (callers[0] as pg.Client)
        .query(`select public.merge_subjects('m0', 'm1')`)
        .then(() => 'merged')
        .catch((error) => error.code),
    ]);
    expect(outcomes.filter((told) => told === '40P01')).toEqual([]);
    // A merge takes the caps of both away, and the next that asks finds them with the use of both.
    const { rows } = await race.owner.query(
      `select sum(used + reserved) filter (where member is null)::int as all,
         sum(used + reserved) filter (where member is not null)::int as members
       from public.current_usage where subject = 'b_org' and feature = $1`,
      [feature],
    );
    expect(rows[0].members).toBe(rows[0].all);
  }));
