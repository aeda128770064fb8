// What fits, asked for by many at once: together exactly what there is.
import { expect, test } from 'vitest';
import { type Decision, decisionOf, startBlocked } from './holds.ts';
import { check, run } from './race.ts';

const partly = (
  verb: 'consume_usage' | 'reserve_usage',
  subject: string,
  amount: number,
  key?: string,
) => ({
  sql: `select to_jsonb(d) as decision
    from public.${verb}('ai_generation', $1, $2, idempotency_key => $3, partial => true) as d`,
  values: [amount, subject, key],
});

test('20 callers that ask for 7 each take 50 together, uses and holds', () =>
  run(async (race) => {
    const subject = 'many';
    const callers = await Promise.all(Array.from({ length: 20 }, race.server));
    const told = await Promise.all(
      callers.map((caller, at) =>
        decisionOf(caller, partly(at % 2 ? 'consume_usage' : 'reserve_usage', subject, 7)),
      ),
    );
    const taken = told.filter(({ allowed }) => allowed).map(({ amount }) => amount);
    expect(taken.toSorted()).toEqual([1, 7, 7, 7, 7, 7, 7, 7]);
    expect(told.filter(({ allowed }) => !allowed).every(({ amount }) => amount === 7)).toBe(true);
    const { used, reserved } = (await check(race.owner, subject)) as Decision;
    expect(used + reserved).toBe(50);
  }));

test('a call that waited takes what the other left, and one with its key is told the same', () =>
  run(async (race) => {
    const subject = 'waits';
    const [one, two, three] = await Promise.all([race.server(), race.server(), race.server()]);
    await one.query('begin');
    await decisionOf(one, partly('consume_usage', subject, 44));
    const second = await startBlocked(race, two, partly('consume_usage', subject, 10, 'job'));
    const third = await startBlocked(race, three, partly('consume_usage', subject, 10, 'job'));
    await one.query('commit');
    const answers = await Promise.all([second.answer, third.answer]);
    expect(answers.map(({ amount, used }) => ({ amount, used }))).toEqual(
      Array(2).fill({ amount: 6, used: 50 }),
    );
    expect(answers.map(({ replayed }) => replayed).toSorted()).toEqual([false, true]);
  }));

test('what another gives back while it waits, it takes', () =>
  run(async (race) => {
    const subject = 'back';
    const [one, two] = await Promise.all([race.server(), race.server()]);
    const { event_id } = await decisionOf(one, partly('consume_usage', subject, 47));
    await one.query('begin');
    await one.query('select public.refund_usage($1, 2)', [event_id]);
    const { answer } = await startBlocked(race, two, partly('consume_usage', subject, 10));
    await one.query('commit');
    expect(await answer).toMatchObject({ allowed: true, amount: 5, used: 50 });
  }));
