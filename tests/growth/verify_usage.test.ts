/** The proof reads the ledger as often whatever the number of counters, and what it finds is damage. */
import { expect, test } from 'vitest';
import { createDatabase } from '../support/database.ts';
import { applyPlans } from '../support/plans.ts';
import { rowsRead } from './reads.ts';

/** 2,000 minutes with a use each, so many of which have a counter. */
async function proof(counters: number) {
  const database = await createDatabase();
  try {
    const owner = await database.connect();
    await applyPlans(owner, {
      features: { export: {} },
      plans: { free: { default: true, limits: { export: { minute: 9 } } } },
    });
    await owner.query(
      `with minutes as (
         select n, timestamptz '2026-01-01Z' + n * interval '1 minute' as at
         from generate_series(1, 2000) as n
       ), lines as (
         insert into quota.events (subject_id, event_id, at, kind, feature_id, counts_at, used_change)
         select 'ada', gen_random_uuid(), m.at + interval '30 s', 'consume', 'export',
           m.at + interval '30 s', m.n % 9
         from minutes as m
       )
       insert into quota.counters
         (subject_id, feature_id, period, period_start, period_end,
          used_before, reserved_before, drawn_before, used, reserved, drawn, last_limit)
       select 'ada', 'export', 'minute', m.at, m.at + interval '1 minute', 0, 0, 0, m.n % 9, 0, 0, 9
       from minutes as m where m.n <= $1`,
      [counters],
    );
    await owner.query('analyze');
    const all = await rowsRead(owner, 'select * from public.verify_usage()', 'events');
    expect(all.answer).toEqual([]);
    const one = await rowsRead(owner, `select * from public.verify_usage('ada')`, 'events');
    expect(one.answer).toEqual([]);
    await owner.query(
      `update quota.counters set used = used + 1 where period_start = '2026-01-01 00:05Z'`,
    );
    const found = (await owner.query(`select counted::int, ledger::int from public.verify_usage()`))
      .rows;
    expect(found).toEqual([{ counted: 6, ledger: 5 }]);
    return [all.rows, one.rows];
  } finally {
    await database.drop();
  }
}

test('verify_usage() reads as many lines for 2,000 counters as for 10', async () => {
  expect(await proof(2000)).toEqual(await proof(10));
});

test('what a meter remembers of the rows of limited tables is proved, too', async () => {
  const database = await createDatabase();
  try {
    const owner = await database.connect();
    await applyPlans(owner);
    await owner.query(`create table public.files (id int, owner text)`);
    await owner.query(`select quota.limit_table('public.files', 'kb_file', 'owner')`);
    await owner.query(`insert into public.files values (1, 'ada'), (2, 'ada'), (3, 'bob')`);
    await owner.query(`delete from public.files where id = 2`);
    const found = async () =>
      (
        await owner.query(`select subject, feature, period, counted::int, ledger::int
        from public.verify_usage()`)
      ).rows;
    expect(await found()).toEqual([]);
    await owner.query(`update quota.meters set rows_used = 0 where subject_id = 'ada'`);
    expect(await found()).toEqual([
      { subject: 'ada', feature: 'kb_file', period: 'rows', counted: 0, ledger: 1 },
    ]);
  } finally {
    await database.drop();
  }
});
