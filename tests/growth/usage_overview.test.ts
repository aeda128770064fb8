/** "Who is near the limit?" reads those who are, however many subjects there are, and costs calls nothing. */
import { expect, test } from 'vitest';
import { setClock } from '../support/clock.ts';
import { createDatabase } from '../support/database.ts';
import { applyPlans } from '../support/plans.ts';
import { explained } from './reads.ts';

const NEAR = `select * from public.usage_overview where status in ('warning', 'at_limit', 'over_limit')
  order by percent_used desc limit 50`;
const plans = (month: number) => ({
  features: { export: {} },
  plans: { free: { default: true, limits: { export: { month } } } },
});

/** Five near the limit in this month; so many others, and a month before in which all were. */
async function overviewOf(subjects: number) {
  const database = await createDatabase();
  try {
    const owner = await database.connect();
    await setClock(owner, '2026-09-15T12:00:00Z');
    await applyPlans(owner, plans(100));
    await owner.query(
      `insert into quota.counters
         (subject_id, feature_id, period, period_start, period_end,
          used_before, reserved_before, drawn_before, used, reserved, drawn, last_limit, passed)
       select 's' || n, 'export', 'month', month, month + interval '1 month', 0, 0, 0, used, 0, 0, 100,
         quota.mark_of(used, 0, 100, '{80, 100}')
       from generate_series(1, $1::int) as n
       cross join (values (timestamptz '2026-08-01Z', 100), ('2026-09-01Z', 3)) as m (month, used)`,
      [subjects],
    );
    await owner.query(
      `insert into quota.meters (subject_id, feature_id, used)
       select 's' || n, 'export', 103 from generate_series(1, $1::int) as n`,
      [subjects],
    );
    await owner.query(`select public.consume_usage('export', 79 + n, 'near' || n)
      from generate_series(1, 5) as n`);
    await owner.query('analyze');
    await owner.query('set role service_role');
    const { rows } = await owner.query(NEAR);
    const plain = await explained(owner, NEAR);
    // As PostgREST asks: the statuses are a parameter, and after a few times the plan is generic.
    await owner.query(`set plan_cache_mode = force_generic_plan`);
    await owner.query(`prepare near(text[]) as select * from public.usage_overview
      where status = any ($1) order by percent_used desc limit 50`);
    const prepared = await explained(owner, `execute near('{warning,at_limit,over_limit}')`);
    return { found: rows.map((row) => row.subject), plain, prepared };
  } finally {
    await database.drop();
  }
}

test('the query for who is near reads as much with 10 subjects as with 10,000', async () => {
  const few = await overviewOf(10);
  const many = await overviewOf(10_000);
  for (const { found, plain, prepared } of [few, many])
    for (const { rows } of [plain, prepared]) {
      expect(found).toEqual(['near5', 'near4', 'near3', 'near2', 'near1']);
      // A bitmap scan counts its rows twice, in the index and in the table.
      expect(rows).toBeLessThanOrEqual(60);
    }
  expect(many.plain.indexes.toSorted()).toEqual([
    'counters_near_the_limit',
    'meters_near_a_short_limit',
    'meters_pkey',
  ]);
  expect(many.prepared.indexes.toSorted()).toEqual([
    'counters_near_the_limit',
    'meters_near_a_short_limit',
    'meters_pkey',
  ]);
  expect(many.plain.buffers).toBeLessThan(60);
  expect(many.prepared.buffers).toBeLessThan(60);
});

test('counting stays a HOT update: only a call that passes a mark touches an index', async () => {
  const database = await createDatabase();
  try {
    const owner = await database.connect();
    await applyPlans(owner, plans(500));
    const updates = async () => {
      await owner.query('select pg_stat_force_next_flush()');
      const { rows } = await owner.query(`select n_tup_upd::int as all, n_tup_hot_upd::int as hot
        from pg_stat_user_tables where schemaname = 'quota' and relname = 'meters'`);
      return rows[0] as { all: number; hot: number };
    };
    const consume = async (times: number) => {
      for (let n = 0; n < times; n++)
        await owner.query(`select public.consume_usage('export', 1, 'ada')`);
    };
    // An update that touches an index is never HOT. Of the others nearly all are: now and then something
    // else on the server keeps old versions of the row, and its page is full.
    await consume(399);
    const below = await updates();
    expect(below.all).toBeGreaterThan(390);
    expect(below.hot / below.all).toBeGreaterThan(0.8);
    await consume(1);
    const at80 = await updates();
    await consume(99);
    const above = await updates();
    expect(above.all - at80.all).toBeGreaterThan(95);
    expect((above.hot - at80.hot) / (above.all - at80.all)).toBeGreaterThan(0.7);
  } finally {
    await database.drop();
  }
});
