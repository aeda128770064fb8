/**
 * What a call or a view reads does not grow with what lies beside it in the ledger: lines of other
 * features, lines before the page, closed periods. Each is asked with 10 and with 10,000 of it.
 */
import type pg from 'pg';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { createDatabase, type TestDatabase } from '../support/database.ts';
import { applyPlans } from '../support/plans.ts';
import { rowsRead } from '../support/rows-read.ts';

let database: TestDatabase;
let owner: pg.Client;
const SIZES = [10, 10_000];

beforeAll(async () => {
  database = await createDatabase();
  owner = await database.connect();
  await applyPlans(owner, {
    features: { token: {}, export: {}, kb_file: { kind: 'gauge' }, burst: {}, chat: {} },
    plans: {
      free: {
        default: true,
        limits: {
          token: { month: 1_000_000 },
          export: { month: 5 },
          kb_file: { lifetime: 10 },
          burst: { minute: 1_000_000, month: 1_000_000 },
          chat: { '5 hours': 50 },
        },
      },
    },
  });
  for (const size of SIZES) {
    // Lines of another feature, all of them in the running month, and one export in a former one.
    await owner.query(`insert into quota.subjects (subject_id) values ($1);`, [`busy-${size}`]);
    await lines(
      `busy-${size}`,
      'token',
      size,
      `date_trunc('month', now(), 'UTC')`,
      '1 millisecond',
    );
    await lines(`busy-${size}`, 'export', 1, `now() - interval '70 days'`, '1 second');
    // An organisation's lines, and its member's own.
    for (const [subject, user] of [
      [`acme-${size}`, `ada-${size}`],
      [`zeta-${size}`, `ada-${size}`],
    ]) {
      await lines(subject as string, 'token', size, `now() - interval '1 day'`, '1 second');
      await owner.query(`insert into quota.members (subject_id, user_id) values ($1, $2)`, [
        subject,
        user,
      ]);
    }
    await lines(`ada-${size}`, 'token', size, `now() - interval '1 day'`, '1 second');
    // Lines of the running month and of a day long ago, beside those of former months.
    await lines(`split-${size}`, 'token', size, `now() - interval '70 days'`, '1 second');
    await lines(`split-${size}`, 'token', 2, `'2001-02-01 12:00Z'::timestamptz`, '1 second');
    await lines(`split-${size}`, 'token', 3, `date_trunc('month', now(), 'UTC')`, '1 microsecond');
    await lines(`split-${size}`, 'export', size, `date_trunc('month', now(), 'UTC')`, '1 second');
    // Days that are over.
    await owner.query(
      `insert into quota.counters
         (subject_id, feature_id, period, period_start, period_end, 
          used_before, reserved_before, drawn_before, used, reserved, drawn, last_limit)
       select $1, 'burst', 'day', start, start + interval '1 day', 0, 0, 0, 1, 0, 0, 10
       from (
         select date_trunc('day', now()) - n * interval '1 day' as start
         from generate_series(2, $2::integer + 1) as n
       ) as m`,
      [`closed-${size}`, size],
    );
    // Windows that are over; none is open.
    await owner.query(
      `insert into quota.counters
         (subject_id, feature_id, period, period_start, period_end,
          used_before, reserved_before, drawn_before, used, reserved, drawn, last_limit)
       select $1, 'chat', '5 hours', start, start + interval '5 hours', 0, 0, 0, 1, 0, 0, 50
       from (
         select now() - n * interval '6 hours' as start from generate_series(1, $2::integer) as n
       ) as w`,
      [`closed-${size}`, size],
    );
  }
  // So many that an index is worth while in each table.
  await owner.query(`
    insert into quota.subjects (subject_id) select 'other-' || n from generate_series(1, 2000) as n;
    insert into quota.members (subject_id, user_id)
      select 'other-' || n, 'else-' || n from generate_series(1, 2000) as n;
    analyze`);
});
afterAll(() => database.drop());

const lines = (subject: string, feature: string, count: number, from: string, step: string) =>
  owner.query(
    `insert into quota.events (subject_id, event_id, at, kind, feature_id, counts_at, used_change)
     select $1, gen_random_uuid(), at, 'consume', $2, at, 1
     from (
       select ${from} + n * interval '${step}' as at from generate_series(1, $3::integer) as n
     ) as l`,
    [subject, feature, count],
  );

/** What the statement reads for the one and the other size; {} stands for the size. */
const readsOf = async (statement: string, user: string | null = null) => {
  const both = [];
  for (const size of SIZES) {
    const fill = (text: string) => text.replaceAll('{}', String(size));
    both.push(await rowsRead(owner, user === null ? null : fill(user), fill(statement)));
  }
  return both as [Awaited<ReturnType<typeof rowsRead>>, Awaited<ReturnType<typeof rowsRead>>];
};

describe('a feature that has no counter yet reads no lines of other features', () => {
  test.each([
    [`select * from public.check_usage('kb_file', 1, 'busy-{}')`, null],
    [`select * from public.check_usage('export', 1, 'busy-{}')`, null],
    [`select * from public.check_usage('export')`, 'busy-{}'],
    [`select * from public.consume_usage('export', 1, 'busy-{}')`, null],
    [`select * from public.consume_usage('kb_file', 1, 'busy-{}')`, null],
    [`select * from public.explain_usage('kb_file', 1, 'busy-{}')`, null],
    [`select * from public.current_usage where feature <> 'token'`, 'busy-{}'],
    [`select * from public.current_usage where subject = 'busy-{}' and feature = 'export'`, null],
  ])('%s as %s', async (statement, user) => {
    const [few, many] = await readsOf(statement, user);
    expect(few.answer.length).toBeGreaterThan(0);
    expect(many.answer).toHaveLength(few.answer.length);
    expect(few.rows).toBeGreaterThan(0);
    // A first use looks whether the subject has meters; no statement reads a line for each of the others.
    expect(many.tables).toEqual(few.tables);
  });
});

describe('a breakdown reads the lines of its feature and time alone', () => {
  test.each([
    [`select * from public.usage_breakdown('token', subject => 'split-{}')`, 3],
    [`select * from public.usage_breakdown('token', 'metadata.project', 'split-{}')`, 3],
    [
      `select * from public.usage_breakdown('token', 'actor', 'split-{}', '2001-02-01Z', '2001-02-02Z')`,
      2,
    ],
  ])('%s', async (statement, found) => {
    const [few, many] = await readsOf(statement);
    expect(few.answer.reduce((sum, row) => sum + Number(row.calls), 0)).toBe(found);
    expect(many.answer).toEqual(few.answer);
    expect(many.tables).toEqual(few.tables);
    // Each line, and where it stands elsewhere what its key is: its hold.
    expect(many.tables.events).toBeLessThanOrEqual(found * 2);
  });
});

describe('closed periods are not walked over', () => {
  test.each([
    [`select * from public.check_usage('burst', 1, 'closed-{}')`, null],
    [`select * from public.consume_usage('burst', 1, 'closed-{}')`, null],
    [`select * from public.current_usage where feature = 'burst'`, 'closed-{}'],
    [`select * from public.check_usage('chat', 1, 'closed-{}')`, null],
    [`select * from public.consume_usage('chat', 1, 'closed-{}')`, null],
    [`select * from public.consume_usage('chat', 51, 'closed-{}')`, null],
    [`select * from public.reserve_usage('chat', 1, 'closed-{}')`, null],
    [`select * from public.current_usage where subject = 'closed-{}'`, 'closed-{}'],
  ])('%s as %s', async (statement, user) => {
    const [few, many] = await readsOf(statement, user);
    expect(few.answer.length).toBeGreaterThan(0);
    expect(many.tables).toEqual(few.tables);
  });
});

describe('a page of the ledger reads a page', () => {
  const PAGE = 'select at from public.usage_events where true order by at desc limit 8';
  test.each([
    ['own lines', PAGE, 'busy-{}'],
    ['own lines and those of two organisations', PAGE, 'ada-{}'],
    ['of one subject', PAGE.replace('true', `subject = 'ada-{}'`), 'ada-{}'],
    ['of an organisation', PAGE.replace('true', `subject = 'acme-{}'`), 'ada-{}'],
    [
      'the next one',
      PAGE.replace('true', `at < now() - interval '1 day' + interval '9 s'`),
      'ada-{}',
    ],
    ['of any subject, to the server', PAGE.replace('true', `subject = 'acme-{}'`), null],
  ])('%s', async (_, statement, user) => {
    const [few, many] = await readsOf(statement, user);
    expect(few.answer).toHaveLength(8);
    expect(many.answer).toHaveLength(8);
    const at = many.answer.map((row) => Number(row.at));
    expect(at).toEqual([...at].sort((a, b) => b - a));
    // A merge has the next line of each of its branches at hand.
    expect(many.tables.events).toBeLessThanOrEqual(8 + 2);
  });

  test('also where there is nothing of the reader, beside 10,000 lines of others', async () => {
    const { answer, tables } = await rowsRead(owner, 'nobody', PAGE);
    expect(answer).toEqual([]);
    expect(tables.events).toBeUndefined();
  });
});
