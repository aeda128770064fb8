/**
 * What brings in or follows thousands of subjects reads each row a few times, whatever their number: no
 * statement of it walks over all rows for each, and only the locks are taken one after the other.
 */
import type pg from 'pg';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { createDatabase, type TestDatabase } from '../support/database.ts';
import { applyPlans } from '../support/plans.ts';
import { rowsRead } from '../support/rows-read.ts';

let database: TestDatabase;
let owner: pg.Client;
const MANY = 2000;

beforeAll(async () => {
  database = await createDatabase();
  owner = await database.connect();
  await applyPlans(owner, {
    features: { export: {} },
    plans: {
      free: { default: true, limits: { export: { month: 50 } } },
      pro: { limits: { export: { month: 500, day: 100 } } },
    },
  });
  await owner.query(`create table public.profiles (id text primary key, plan text)`);
  await owner.query(`revoke all on public.profiles from anon, authenticated`);
  await owner.query(`create table public.documents (size int, rows jsonb)`);
  await owner.query(
    `insert into public.documents
       select size, (
         select jsonb_agg(jsonb_build_object(
           'subject', 's' || n, 'feature', 'export', 'amount', 45, 'period', 'month',
           'period_start', date_trunc('month', now() at time zone 'UTC')))
         from generate_series(1, size) as n)
       from unnest(array[10, $1::integer]) as size`,
    [MANY],
  );
});
afterAll(() => database.drop());

/** As the owner of the schema: these are for DBAs. */
const read = async (statement: string) => {
  const { rows, calls, answer } = await rowsRead(owner, null, `reset role; ${statement}`);
  return { rows, calls, answer };
};

const importing = (size: number) =>
  `select count(*) from public.documents, quota.import_usage(rows) where size = ${size}`;

test('import_usage() reads rows in proportion, and asks for limits only where a mark is crossed', async () => {
  const few = await read(importing(10));
  const many = await read(importing(MANY));
  expect(many.rows).toBeLessThan(few.rows * (MANY / 10) * 1.2);
  expect(many.calls.open_counters ?? 0).toBe(0);
  expect(many.calls.limits_of).toBe(MANY);
  expect(many.calls.move_counters).toBe(1);
});

test('so it does where Postgres takes the tables for empty', async () => {
  // What an import that was rolled back leaves to a vacuum. It is planned so until it is analyzed.
  await owner.query(
    `vacuum quota.subjects, quota.meters, quota.counters, quota.events, quota.keys`,
  );
  const few = await read(importing(10));
  const many = await read(importing(MANY));
  expect(many.rows).toBeLessThan(few.rows * (MANY / 10) * 1.2);
});

test('a second import of the same rows, and one into other months, too', async () => {
  await owner.query(importing(MANY));
  const few = await read(importing(10));
  const many = await read(importing(MANY));
  expect(many.rows).toBeLessThan(few.rows * (MANY / 10) * 1.2);
  expect(many.calls.limits_of ?? 0).toBe(0);
});

test('follow_plan() of subjects that have use puts all on their plans in one go', async () => {
  await owner.query(importing(MANY));
  const following = async (size: number) => {
    await owner.query(`truncate public.profiles`);
    await owner.query(
      `insert into public.profiles select 's' || n, 'pro' from generate_series(1, $1) as n`,
      [size],
    );
    return read(`select quota.follow_plan('public.profiles', 'id', 'plan')`);
  };
  const few = await following(10);
  const many = await following(MANY);
  expect(many.rows).toBeLessThan(few.rows * (MANY / 10) * 1.2);
  expect(many.calls.open_many).toBe(1);
  expect(many.calls.limits_of ?? 0).toBe(0);
  await owner.query(`select quota.follow_plan('public.profiles', 'id', 'plan')`);
  const { rows } = await owner.query(
    `select period, count(*)::int, min("limit")::int as "limit"
     from public.usage_overview group by period order by period`,
  );
  expect(rows).toEqual([
    { period: 'day', count: MANY, limit: 100 },
    { period: 'month', count: MANY, limit: 500 },
  ]);
  expect((await owner.query('select * from public.verify_usage()')).rows).toEqual([]);
});
