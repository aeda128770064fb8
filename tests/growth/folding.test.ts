// Folding reads each line a few times, however many there are; and what a ledger holds that is folded does
// not grow with the calls.
import { readFileSync } from 'node:fs';
import { afterAll, beforeAll, expect, onTestFinished, test } from 'vitest';
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

test('who has nothing to fold is not looked at again, whether 10 or 10,000, and keeps nobody from his turn', async () => {
  const beside = await createDatabase();
  onTestFinished(() => beside.drop());
  const owner = await beside.connect();
  await setClock(owner, '2026-03-10T12:00:00Z');
  await applyPlans(owner, {
    features: { token: {}, ever: {} },
    plans: {
      free: { default: true, limits: { token: { month: null }, ever: { lifetime: null } } },
    },
  });
  const none = async (from: number, to: number) => {
    // Young lines, and of every tenth old ones of a period that has no end.
    await owner.query(
      `insert into quota.subjects (subject_id) select 'none-' || n from generate_series($1::integer, $2) as n`,
      [from, to],
    );
    for (const [feature, at, each] of [
      ['token', '2026-03-10T11:00:00Z', 1],
      ['ever', '2026-01-10T12:00:00Z', 10],
    ]) {
      await owner.query(
        `with made as (
           insert into quota.meters (subject_id, feature_id, used)
             select 'none-' || n, $3, 1 from generate_series($1::integer, $2, $5) as n
             returning subject_id, feature_id
         )
         insert into quota.events (subject_id, event_id, at, kind, feature_id, counts_at, used_change)
           select subject_id, gen_random_uuid(), $4, 'consume', feature_id, $4, 1 from made`,
        [from, to, feature, at, each],
      );
    }
    await owner.query('analyze');
  };
  const work = `reset role; select quota.tidy(interval '1 day')`;
  const one = async (subject: string) => {
    await setClock(owner, '2026-01-10T12:00:00Z');
    await owner.query(`select public.consume_usage('token', 1, $1)`, [subject]);
    await setClock(owner, '2026-03-10T12:00:00Z');
    return rowsRead(owner, null, work);
  };
  const reads = [];
  // So many that an index is worth while.
  await none(1, 2000);
  await owner.query(`select quota.tidy(interval '1 day')`);
  for (const [from, to] of [
    [2001, 2010],
    [2011, 12_010],
  ] as const) {
    await none(from, to);
    // The first call has everybody before it, and says so of each.
    await owner.query(`select quota.tidy(interval '1 day')`);
    expect((await rowsRead(owner, null, work)).tables).toEqual({});
    const { events, meters, subjects } = (await one(`old-${to}`)).tables;
    reads.push({ events, meters, subjects });
    await owner.query(`select quota.tidy(interval '1 day')`);
  }
  expect(reads[1]).toEqual(reads[0]);
  const { rows } = await owner.query(
    `select subject from usage_events where kind = 'fold' order by subject`,
  );
  expect(rows).toEqual([{ subject: 'old-12010' }, { subject: 'old-2010' }]);
  // A month later the young ones are old: their turn comes by itself.
  await setClock(owner, '2026-04-12T12:00:00Z');
  expect((await owner.query(`select quota.tidy(interval '1 day')::integer as n`)).rows).toEqual([
    { n: 500 },
  ]);
  const { rows: left } = await owner.query(
    `select count(*)::integer as n from quota.subjects where fold_from < '2026-04-01'`,
  );
  expect(left).toEqual([{ n: 12_012 - 500 }]);
});
