// The promise of the product: at the last unit, one of many wins.
import { afterAll, beforeAll, expect, test } from 'vitest';
import { callAndWaitBlocked } from '../support/blocking.ts';
import { createDatabase, type TestDatabase } from '../support/database.ts';
import { applyPlans } from '../support/plans.ts';
import { asService } from '../support/session.ts';

let database: TestDatabase;

beforeAll(async () => {
  database = await createDatabase();
  const client = await database.connect();
  await applyPlans(client, {
    features: { ai_generation: {} },
    plans: { free: { default: true, limits: { ai_generation: { month: 50 } } } },
  });
  await client.end();
});

afterAll(() => database.drop());

test('a caller that waits at the last unit is refused once the other has committed', async () => {
  const [first, second, observer] = await Promise.all([
    database.connect(),
    database.connect(),
    database.connect(),
  ]);
  await first.query(`select public.consume_usage('ai_generation', 49, 'waits')`);

  await first.query('begin');
  await asService(first);
  const { rows: won } = await first.query(
    `select * from public.consume_usage('ai_generation', 1, 'waits')`,
  );
  const { result } = await callAndWaitBlocked(
    observer,
    second,
    `select * from public.consume_usage('ai_generation', 1, 'waits')`,
  );
  await first.query('commit');

  expect(won[0]).toMatchObject({ allowed: true, used: '50', remaining: '0' });
  expect((await result).rows[0]).toMatchObject({
    allowed: false,
    reason: 'limit_reached',
    used: '50',
  });
});

test('200 callers at once, the first use included, count exactly 50', async () => {
  const pool = database.pool(20);
  const calls = Array.from({ length: 200 }, () =>
    pool.query(`select allowed from public.consume_usage('ai_generation', 1, 'crowd')`),
  );
  const allowed = (await Promise.all(calls)).filter((call) => call.rows[0].allowed);

  expect(allowed).toHaveLength(50);
  const { rows } = await pool.query('select * from public.verify_usage()');
  expect(rows).toEqual([]);
});
