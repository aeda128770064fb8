// Folding reads each line a few times, however many there are; and what a ledger holds that is folded does
// not grow with the calls.
import { readFileSync } from 'node:fs';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { fromRoot } from '../../scripts/local/project.ts';
import { setClock } from '../support/clock.ts';
import { createDatabase, type TestDatabase } from '../support/database.ts';
import { applyPlans } from '../support/plans.ts';
import { rowsRead } from '../support/rows-read.ts';

const [, PAGE = ''] =
  /## Keeping the ledger short\n.*?```sql\n(.*?)```/s.exec(
    readFileSync(fromRoot('docs/production.md'), 'utf8'),
  ) ?? [];
let database: TestDatabase;
beforeAll(async () => {
  database = await createDatabase();
});
afterAll(() => database.drop());

test('four times as many lines are four times the work, and the ledger is as long as its periods are many', async () => {
  const owner = await database.connect();
  await setClock(owner, '2026-01-10T12:00:00Z');
  await applyPlans(owner, {
    features: { token: {} },
    plans: { free: { default: true, limits: { token: { month: null } } } },
  });
  const calls = JSON.stringify(Array.from({ length: 500 }, () => ({ feature: 'token' })));
  const use = async (subject: string, count: number) => {
    for (let n = 0; n < count; n += 500) {
      await owner.query('select count(*) from public.consume_usage_many($1, $2)', [calls, subject]);
    }
  };
  await use('few', 1000);
  await setClock(owner, '2026-03-10T12:00:00Z');
  const work = `reset role; select quota.tidy(interval '1 day')`;
  const few = await rowsRead(owner, null, work);
  await setClock(owner, '2026-01-10T12:00:00Z');
  await use('many', 3000);
  await setClock(owner, '2026-03-10T12:00:00Z');
  const many = await rowsRead(owner, null, work);
  expect(few.rows).toBeGreaterThan(2000);
  expect(many.rows / few.rows).toBeLessThan(5);
  expect(few.rows / 1000).toBeLessThan(12);

  for (let month = 3; month <= 6; month++) {
    await setClock(owner, `2026-0${month}-10T12:00:00Z`);
    await use('few', 500);
    await use('many', 1500);
    await owner.query(`select quota.tidy(interval '1 day')`);
  }
  expect((await owner.query(PAGE)).rows).toEqual([{ tidy: '0' }]);
  await setClock(owner, '2026-08-10T12:00:00Z');
  await owner.query(`select quota.tidy(interval '1 day')`);
  const { rows } = await owner.query(
    `select subject, count(*)::integer as lines, sum((metadata ->> 'lines')::integer)::integer as folded
     from usage_events group by 1 order by 1`,
  );
  expect(rows).toEqual([
    { subject: 'few', lines: 5, folded: 3000 },
    { subject: 'many', lines: 5, folded: 9000 },
  ]);
  // Nothing left to do reads a little of each meter.
  expect((await rowsRead(owner, null, work)).rows).toBeLessThan(100);
  expect((await owner.query('select * from verify_usage()')).rows).toEqual([]);
});
