/**
 * Of a user's memberships a call reads the one it names; the bar reads each once: n organisations cost n
 * times as much as one.
 */
import type pg from 'pg';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { createDatabase, type TestDatabase } from '../support/database.ts';
import { applyPlans } from '../support/plans.ts';
import { rowsRead } from '../support/rows-read.ts';

let database: TestDatabase;
let owner: pg.Client;
const SIZES = [10, 100, 400, 10_000];

beforeAll(async () => {
  database = await createDatabase();
  owner = await database.connect();
  await applyPlans(owner, {
    features: { token: {}, kb_file: { kind: 'gauge' } },
    plans: { free: { default: true, limits: { token: { month: 9 }, kb_file: { lifetime: 9 } } } },
  });
  await owner.query(`
    insert into quota.subjects (subject_id, time_zone)
      select 'org-' || n, case when n % 2 = 0 then 'Asia/Tokyo' else 'UTC' end
      from generate_series(1, 10000) as n;
    insert into quota.counters
      (subject_id, feature_id, period, period_start, period_end,
       used_before, reserved_before, drawn_before, used, reserved, drawn, last_limit)
      select 'org-' || n, 'kb_file', 'lifetime', '-infinity', 'infinity', 0, 0, 0, 1, 0, 0, 9
      from generate_series(1, 10000) as n`);
  for (const size of SIZES) {
    await owner.query(
      `insert into quota.members (subject_id, user_id)
         select 'org-' || n, 'user-' || $1 from generate_series(1, $1::integer) as n`,
      [size],
    );
  }
  await owner.query('analyze');
});
afterAll(() => database.drop());

const read = (size: number, statement: string) => rowsRead(owner, `user-${size}`, statement);

describe('for one organisation of many', () => {
  test.each([
    `select * from public.check_usage('token', 1, 'org-7')`,
    `select * from public.consume_usage('token', 1, 'org-7')`,
    `select * from public.explain_usage('token', 1, 'org-7')`,
  ])('%s reads one membership', async (statement) => {
    const few = await read(10, statement);
    const many = await read(10_000, statement);
    expect(many.answer).toHaveLength(1);
    expect(many.tables).toEqual(few.tables);
    expect(many.calls.subjects_of ?? 0).toBe(0);
  });

  test('its rows of the bar read the list, and one organisation', async () => {
    const bar = `select * from public.current_usage where subject = 'org-7'`;
    const few = await read(10, bar);
    const many = await read(10_000, bar);
    expect(many.answer).toEqual(few.answer);
    expect(many.answer).toHaveLength(2);
    expect({ ...many.tables, members: 0 }).toEqual({ ...few.tables, members: 0 });
    expect(many.calls.usage_shown).toBe(1);
    expect(many.calls).toEqual(few.calls);
  });
});

test('the bar of 400 organisations costs four times that of 100', async () => {
  const bar = 'select * from public.current_usage';
  const hundred = await read(100, bar);
  const four = await read(400, bar);
  expect(hundred.answer).toHaveLength(2 * 101);
  expect(four.answer).toHaveLength(2 * 401);
  expect(four.answer.filter((row) => row.time_zone === 'Asia/Tokyo')).toHaveLength(2 * 200);
  expect(four.rows).toBeLessThanOrEqual(4 * hundred.rows);
  expect(four.calls.subjects_of).toBe(hundred.calls.subjects_of);
  for (const [name, calls] of Object.entries(four.calls)) {
    expect(calls, name).toBeLessThanOrEqual(4 * (hundred.calls[name] ?? 0));
  }
});

test.each(['usage_history', 'usage_events', 'usage_alerts'])(
  '%s asks for the list as often for 400 as for 100',
  async (view) => {
    const hundred = await read(100, `select * from public.${view}`);
    const four = await read(400, `select * from public.${view}`);
    expect(four.calls.subjects_of).toBe(hundred.calls.subjects_of);
    expect(four.rows).toBeLessThanOrEqual(4 * hundred.rows);
  },
);
