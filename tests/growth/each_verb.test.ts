/**
 * Every verb and every page about one subject reads no more rows where thousands of others have use,
 * holds, grants, keys and limits of their own than where a few have: also in a session whose plans were
 * made when the tables were small.
 */
import type pg from 'pg';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { createDatabase, type TestDatabase } from '../support/database.ts';
import { applyPlans } from '../support/plans.ts';
import { rowsRead } from '../support/rows-read.ts';

const [FEW, MANY] = [10, 1000];

const PLANS = {
  features: {
    export: {},
    token: {},
    chat: { costs: { token: 2 } },
    seat: { kind: 'gauge' },
    file: { kind: 'gauge' },
  },
  plans: {
    free: {
      default: true,
      limits: {
        export: { month: 50 },
        token: { month: 1000 },
        chat: { month: 50 },
        seat: { lifetime: 10 },
        file: { lifetime: 10 },
      },
      per_member: { export: { month: 40 } },
    },
    pro: { limits: { export: { month: 500, day: 100 }, token: { month: 1000 } } },
  },
};

// "s5" is one of the subjects of both sizes; ids of its rows are looked up by its subject.
const USE = `(select e.event_id from quota.events as e where e.subject_id = 's5' and e.kind = 'consume' limit 1)`;
const HOLD = `(select r.reservation_id from quota.reservations as r where r.subject_id = 's5' and r.feature_id = 'export' limit 1)`;
const GRANT = `(select g.grant_id from quota.grants as g where g.subject_id = 's5' limit 1)`;

const CALLS: Record<string, string> = {
  consume: `select consume_usage('export', 1, 's5')`,
  'consume with a key': `select consume_usage('export', 1, 's5', 'k')`,
  'consume that replays': `select consume_usage('export', 42, 's5', 'key')`,
  'consume that is refused': `select consume_usage('export', 1000, 's5')`,
  'consume from the grant': `select consume_usage('export', 20, 's5')`,
  'consume of a member': `select consume_usage('export', 1, 's5', actor => 'u5')`,
  'consume with a cost': `select consume_usage('chat', 1, 's5')`,
  'consume below a parent': `select consume_usage('export', 1, 'child5')`,
  'first use': `select consume_usage('export', 1, 'new')`,
  'first use of a feature': `select consume_usage('token', 1, 's5')`,
  enforce: `select enforce_usage('export', 1, 's5')`,
  batch: `select * from consume_usage_batch('[{"feature": "export"}, {"feature": "chat"}]', 's5')`,
  'batch of two subjects': `select * from consume_usage_batch('[{"feature": "export"}, {"feature": "export", "subject": "s6"}]', 's5')`,
  many: `select * from consume_usage_many('[{"feature": "export"}, {"feature": "chat"}]', 's5')`,
  check: `select check_usage('export', 1, 's5')`,
  'check of what does not fit': `select check_usage('export', 1000, 's5')`,
  explain: `select * from explain_usage('export', 1, 's5')`,
  breakdown: `select * from usage_breakdown('export', subject => 's5')`,
  reserve: `select reserve_usage('export', 1, 's5')`,
  extend: `select extend_usage(${HOLD}, '2 hours')`,
  commit: `select commit_usage(${HOLD}, 1)`,
  release: `select release_usage(${HOLD})`,
  refund: `select refund_usage(${USE}, 1)`,
  return: `select return_usage('seat', 1, 's5')`,
  reset: `select reset_usage('export', 's5')`,
  grant: `select grant_usage('export', 5, 's5')`,
  'void a grant': `select void_grant(${GRANT}, 's5')`,
  'set_plan, the same': `select set_plan('s5', 'free')`,
  'set_plan, another': `select set_plan('s5', 'pro')`,
  'set_plan with an anchor': `select set_plan('s5', 'pro', now() - interval '3 days')`,
  set_limit: `select set_limit('s5', 'export', 'month', 70)`,
  clear_limit: `select clear_limit('s5', 'export', 'month')`,
  set_parent: `select set_parent('s5', 's6')`,
  add_member: `select add_member('s5', 'new')`,
  remove_member: `select remove_member('s5', 'u5')`,
  merge: `select merge_subjects('s5', 's6')`,
  forget: `select forget_subject('s5')`,
  import: `select * from quota.import_usage('[{"subject": "s5", "feature": "export", "amount": 1, "period_start": "2026-01-01T00:00:00Z"}]')`,
  'a row of a followed table': `insert into public.profiles values ('s5', 'pro')`,
  'a change of a followed row': `update public.profiles set plan = 'pro' where id = 's1'`,
  'the end of a followed row': `delete from public.profiles where id = 's1'`,
  'a row of a limited table': `insert into public.files values (default, 's5')`,
  'the end of a limited row': `delete from public.files where owner_id = 's1'`,
  'the bar': `select * from current_usage where subject = 's5'`,
  history: `select * from usage_history where subject = 's5'`,
  events: `select * from usage_events where subject = 's5' order by at desc limit 50`,
  alerts: `select * from usage_alerts where subject = 's5'`,
  entitlements: `select * from entitlements where subject = 's5'`,
  'the same plans': `select * from apply_plans('${JSON.stringify(PLANS)}')`,
  'an alert to deliver': `select * from deliver_alerts(1)`,
  'verify of one': `select * from verify_usage('s5')`,
};

let database: TestDatabase;
let owner: pg.Client;
const reads = new Map<string, Map<number, Record<string, number>>>();

beforeAll(async () => {
  database = await createDatabase();
  owner = await database.connect();
  // A row weighs as a page does: a thousand are then read as a million would be, by their keys where there is one.
  await owner.query(`set cpu_tuple_cost = 1`);
  await applyPlans(owner, PLANS);
  await owner.query(`
    create table public.profiles (id text primary key, plan text);
    revoke all on public.profiles from anon, authenticated;
    create table public.files (id bigint generated always as identity primary key, owner_id text);
    create index on public.files (owner_id);
    select quota.follow_plan('public.profiles', 'id', 'plan');
    select quota.limit_table('public.files', 'file', 'owner_id')`);
  let from = 1;
  for (const size of [FEW, MANY]) {
    await fill(from, size);
    from = size + 1;
    for (const [name, sql] of Object.entries(CALLS)) {
      const { tables } = await rowsRead(owner, null, `reset role; ${sql}`);
      reads.set(name, (reads.get(name) ?? new Map()).set(size, tables));
    }
  }
}, 180_000);
afterAll(() => database.drop());

/** Subjects from..to with use, a key, a grant and a member; every fifth with a gauge, a hold and a child. */
async function fill(from: number, to: number): Promise<void> {
  const each = `from generate_series(${from}, ${to}) as n`;
  await owner.query(`
    set role service_role;
    select count(consume_usage('export', 42, 's' || n, 'key')) ${each};
    select count(consume_usage('seat', 2, 's' || n)) ${each} where n % 5 = 0;
    select count(reserve_usage('export', 2, 's' || n)) ${each} where n % 5 = 0;
    select count(grant_usage('export', 20, 's' || n)) ${each};
    select count(set_parent('child' || n, 's' || n)) ${each} where n % 5 = 0;
    reset role;
    insert into quota.members (subject_id, user_id) select 's' || n, 'u' || n ${each};
    insert into public.profiles select 's' || n, 'free' ${each} where n % 5 = 1;
    insert into public.files (owner_id) select 's' || n ${each} where n % 5 = 1`);
  await owner.query('analyze');
}

test.each(Object.keys(CALLS))('%s', (name) => {
  const [few, many] = [FEW, MANY].map((size) => reads.get(name)?.get(size) ?? {});
  const sum = (tables: Record<string, number>) => Object.values(tables).reduce((a, b) => a + b, 0);
  expect(sum(few as Record<string, number>)).toBeGreaterThan(0);
  expect(sum(many as Record<string, number>), JSON.stringify({ few, many })).toBeLessThan(
    sum(few as Record<string, number>) * 1.5 + 20,
  );
});
