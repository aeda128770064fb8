// A later release adds a field to the decision: sessions that are open go on, and what calls were told before is told
// again.
import { expect, test } from 'vitest';
import { createDatabase } from '../support/database.ts';
import { applyPlans, SAMPLE_PLANS } from '../support/plans.ts';

const CALLS = [
  `select * from consume_usage('export', 1, 'ada', 'one')`,
  `select * from consume_usage_batch('[{"feature": "ai_generation"}, {"feature": "export"}]', 'ada')`,
  `select * from consume_usage_batch('[{"feature": "export"}]', 'ada', 'batch')`,
  `select * from consume_usage_many('[{"feature": "export", "idempotency_key": "many"}]', 'ada')`,
];

test('a field that is added to the decision stops no open session, and answers are told again', async () => {
  const database = await createDatabase();
  const [owner, session] = await Promise.all([database.connect(), database.connect()]);
  await applyPlans(owner, SAMPLE_PLANS);
  await session.query('set role service_role');
  const before: object[][] = [];
  for (const call of CALLS) before.push((await session.query(call)).rows);
  const { rows: holds } = await session.query(
    `select reservation_id as id from reserve_usage('ai_generation', 1, 'ada')`,
  );
  const commit = `select * from commit_usage('${holds[0].id}')`;
  before.push((await session.query(commit)).rows);

  await owner.query('alter type public.usage_decision add attribute added text');
  const { rows: written } = await owner.query(
    String.raw`select pg_get_functiondef(p.oid) as text from pg_proc as p where p.prosrc ~ '\)::public\.usage_decision'`,
  );
  expect(written.length).toBeGreaterThan(5);
  for (const { text } of written) {
    await owner.query(
      text.replaceAll(')::public.usage_decision', `, 'new')::public.usage_decision`),
    );
  }

  const after: { allowed?: boolean; added?: string }[][] = [];
  for (const call of [...CALLS, commit]) after.push((await session.query(call)).rows);
  const again = (at: number, added: string | null) =>
    before[at]?.map((row) => ({ ...row, replayed: true, added }));
  expect(after[0]).toEqual(again(0, null));
  expect(after[1]?.map(({ allowed, added }) => ({ allowed, added }))).toEqual([
    { allowed: true, added: 'new' },
    { allowed: true, added: 'new' },
  ]);
  expect(after.slice(2)).toEqual([again(2, null), again(3, null), again(4, null)]);
  expect((await owner.query('select * from verify_usage()')).rows).toEqual([]);
  await database.drop();
});
