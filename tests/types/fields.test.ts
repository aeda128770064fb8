// The generated types against what the database really answers: every field that the types call
// never null is never null, and every field that they call nullable was null at least once.
import type { SupabaseClient } from '@supabase/supabase-js';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { withClient } from '../../scripts/local/client.ts';
import { type Field, readCatalogue, type Shape } from '../../scripts/types/catalogue.ts';
import { isNullable, valuesOf } from '../../scripts/types/rules.ts';
import { createUsageClient, type UsageDecision, type UsageExplanation } from '../../types/index.ts';
import { createDatabase, type TestDatabase } from '../support/database.ts';
import { SAMPLE_PLANS } from '../support/plans.ts';
import { type Rest, startRest } from '../support/rest.ts';

type Row = Record<string, unknown>;

const JSON_TYPES: Record<string, string> = {
  boolean: 'boolean',
  bigint: 'number',
  integer: 'number',
  'text[]': 'object',
};

let database: TestDatabase;
let rest: Rest;
let shapes: Map<string, Shape>;

beforeAll(async () => {
  database = await createDatabase();
  rest = await startRest(database);
  const catalogue = await withClient(database.url, readCatalogue);
  shapes = new Map(catalogue.shapes.map((shape) => [shape.name, shape]));
});

afterAll(async () => {
  await rest.stop();
  await database.drop();
});

test('every answer and every row is of its generated type', async () => {
  const seen = await play(rest.asService());

  expect([...seen.keys()].sort()).toEqual([...shapes.keys()].sort());
  for (const [name, rows] of seen) {
    const fields = shapes.get(name)?.fields ?? [];
    expect(rows.length, `rows of ${name}`).toBeGreaterThan(0);
    for (const row of rows) {
      expect(Object.keys(row), name).toEqual(fields.map((field) => field.name));
    }
    for (const field of fields) checkField(`${name}.${field.name}`, field, rows);
  }
});

function checkField(name: string, field: Field, rows: Row[]): void {
  const values = rows.map((row) => row[field.name]);
  const wasNull = values.includes(null);
  expect(`${name} ${wasNull ? 'is' : 'is never'} null`).toBe(
    `${name} ${isNullable(field) ? 'is' : 'is never'} null`,
  );
  const present = values.filter((value) => value !== null);
  // jsonb is any JSON.
  for (const value of field.type === 'jsonb' ? [] : present) {
    expect(typeof value, name).toBe(JSON_TYPES[field.type] ?? 'string');
  }
  const allowed = valuesOf(field);
  if (allowed) expect(allowed, name).toEqual(expect.arrayContaining(present));
}

/** Meets every situation in which a field has something special to say. */
async function play(supabase: SupabaseClient): Promise<Map<string, Row[]>> {
  const usage = createUsageClient(supabase);
  const decisions: UsageDecision[] = [];
  const keep = async (decision: Promise<UsageDecision>) => {
    decisions.push(await decision);
    return decisions.at(-1) as UsageDecision;
  };
  const values = { sso: true, max_context: 200_000, models: ['small'] };
  const plans = { ...SAMPLE_PLANS.plans, bare: { limits: { kb_file: { lifetime: 1 } }, values } };
  const features = {
    ...SAMPLE_PLANS.features,
    sso: { kind: 'switch' },
    max_context: { kind: 'value' },
    models: { kind: 'value' },
  };
  const document = { features, plans };
  const changes = await usage.applyPlans({ plans: document });

  const generate = (subject: string, idempotency_key?: string) =>
    keep(usage.consumeUsage({ feature: 'ai_generation', subject, idempotency_key }));
  const exportIt = (subject: string, amount: number) =>
    keep(usage.consumeUsage({ feature: 'export', amount, subject }));
  const first = await generate('ann', 'one');
  await generate('ann', 'one');
  await keep(usage.refundUsage({ event_id: first.event_id ?? '', reason: 'failed' }));
  for (const amount of [6, 5, 1]) await exportIt('ann', amount);
  const held = await keep(usage.reserveUsage({ feature: 'kb_file', subject: 'ann' }));
  await keep(usage.commitUsage({ reservation_id: held.reservation_id ?? '' }));
  await keep(usage.returnUsage({ feature: 'kb_file', amount: 1, subject: 'ann' }));
  await usage.setPlan({ subject: 'bob', plan: 'enterprise' });
  await generate('bob');
  await keep(usage.consumeUsage({ feature: 'kb_file', subject: 'bob' }));
  await usage.setPlan({ subject: 'cem', plan: 'bare' });
  await exportIt('cem', 1);
  await keep(usage.consumeUsage({ feature: 'kb_file', subject: 'cem' }));

  // No default plan: dee has none, and an exception of her own. She is a member of an organisation,
  // which draws from a grant.
  const withoutDefault = { ...document.plans, free: { ...document.plans.free, default: false } };
  await usage.applyPlans({ plans: { ...document, plans: withoutDefault } });
  for (const subject of ['dee', 'org']) {
    await usage.setLimit({ subject, feature: 'export', period: 'month', limit: 1 });
  }
  await usage.setLimit({ subject: 'org', feature: 'kb_file', period: 'lifetime', limit: null });
  await exportIt('dee', 1);
  await generate('dee');
  await usage.addMember({ subject: 'org', user_id: 'dee' });
  await usage.grantUsage({ feature: 'export', amount: 3, subject: 'org' });
  const member = createUsageClient(rest.asUser('dee'));
  await keep(member.consumeUsage({ feature: 'export', amount: 2, subject: 'org' }));

  const explanations: UsageExplanation[] = [];
  for (const [subject, feature, amount] of [
    ['ann', 'ai_generation', 1],
    ['ann', 'export', 1],
    ['bob', 'kb_file', 1],
    ['cem', 'export', 1],
    ['dee', 'export', 1],
    ['org', 'export', 1],
  ] as const) {
    explanations.push(...(await usage.explainUsage({ feature, amount, subject })));
  }

  // Who used how much of the organisation's, named and not.
  await keep(usage.consumeUsage({ feature: 'export', subject: 'org' }));
  const shares = await usage.usageBreakdown({ feature: 'export', subject: 'org' });

  // What no caller of the API can bring about: an import, and counters that their ledgers do not prove.
  const imported = await withClient(database.url, async (admin) => {
    const { rows } = await admin.query(
      'select to_json(r) as result from quota.import_usage($1) as r',
      [
        JSON.stringify([
          { subject: 'ann', feature: 'export', amount: 2, period_start: '2020-01-01' },
          {},
        ]),
      ],
    );
    await admin.query('update quota.counters set used = 1000');
    // An installation that somebody changed: with a statement that mends it, and without.
    await admin.query('drop index quota.grants_by_id');
    await admin.query(`comment on function quota.tidy is 'x';
      create or replace function quota.tidy(keep interval default null) returns bigint language plpgsql volatile security definer
      set search_path = pg_catalog, pg_temp as 'begin return 0; end'`);
    return rows.map(({ result }) => result);
  });

  const read = async (view: 'current_usage') =>
    (await usage.from(view).select().throwOnError()).data as Row[];
  const views = [...shapes.values()].filter(({ kind }) => kind === 'view');
  return new Map<string, Row[]>([
    ['usage_decision', decisions],
    ['usage_explanation', explanations],
    ['plan_change', changes],
    ['import_result', imported],
    ['usage_share', shares],
    ['usage_mismatch', await usage.verifyUsage()],
    ['installation_problem', await usage.verifyInstallation()],
    ...(await Promise.all(
      views.map(async ({ name }) => [name, await read(name as 'current_usage')] as const),
    )),
  ]);
}
