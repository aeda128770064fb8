// The generated types against what the database really answers: every field that the types call
// never null is never null, and every field that they call nullable was null at least once.
import type { SupabaseClient } from '@supabase/supabase-js';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { withClient } from '../../scripts/local/client.ts';
import { type Field, readCatalogue, type Shape } from '../../scripts/types/catalogue.ts';
import { isNullable, valuesOf } from '../../scripts/types/client.ts';
import { createUsageClient, type UsageDecision } from '../../types/index.ts';
import { createDatabase, type TestDatabase } from '../support/database.ts';
import { SAMPLE_PLANS } from '../support/plans.ts';
import { type Rest, startRest } from '../support/rest.ts';

type Row = Record<string, unknown>;

const JSON_TYPES: Record<string, string> = {
  boolean: 'boolean',
  bigint: 'number',
  integer: 'number',
  jsonb: 'object',
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
  for (const value of present) {
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
  const plans = { ...SAMPLE_PLANS.plans, bare: { limits: { kb_file: { lifetime: 1 } } } };
  const document = { ...SAMPLE_PLANS, plans };
  const changes = await usage.applyPlans({ plans: document });

  const first = await keep(
    usage.consumeUsage({ feature: 'ai_generation', subject: 'ann', idempotency_key: 'one' }),
  );
  await keep(
    usage.consumeUsage({ feature: 'ai_generation', subject: 'ann', idempotency_key: 'one' }),
  );
  await keep(usage.consumeUsage({ feature: 'export', amount: 6, subject: 'ann' }));
  await keep(usage.consumeUsage({ feature: 'export', amount: 5, subject: 'ann' }));
  await keep(usage.consumeUsage({ feature: 'export', amount: 1, subject: 'ann' }));
  await keep(usage.refundUsage({ event_id: first.event_id ?? '', reason: 'failed' }));
  await keep(usage.checkUsage({ feature: 'kb_file', subject: 'ann' }));
  await usage.setPlan({ subject: 'bob', plan: 'enterprise' });
  await keep(usage.consumeUsage({ feature: 'ai_generation', subject: 'bob' }));
  await keep(usage.consumeUsage({ feature: 'kb_file', subject: 'bob' }));
  await usage.setPlan({ subject: 'cem', plan: 'bare' });
  await keep(usage.consumeUsage({ feature: 'export', subject: 'cem' }));

  // No default plan: dee has none, and an exception of her own. A member acts for an organisation.
  const withoutDefault = { ...document.plans, free: { ...document.plans.free, default: false } };
  await usage.applyPlans({ plans: { ...document, plans: withoutDefault } });
  await withClient(database.url, (admin) =>
    admin.query(`
      insert into quota.subjects (subject_id) values ('dee'), ('org');
      insert into quota.exceptions (subject_id, feature_id, period, amount)
        values ('dee', 'export', 'month', 1), ('org', 'export', 'month', 1);
      insert into quota.members (subject_id, user_id) values ('org', 'dee');`),
  );
  await keep(usage.consumeUsage({ feature: 'export', subject: 'dee' }));
  await keep(usage.consumeUsage({ feature: 'ai_generation', subject: 'dee' }));
  const member = createUsageClient(rest.asUser('dee'));
  await keep(member.consumeUsage({ feature: 'export', subject: 'org' }));

  // What no caller can bring about: a counter that its ledger does not prove.
  await withClient(database.url, (admin) => admin.query('update quota.counters set used = 1000'));

  return new Map<string, Row[]>([
    ['usage_decision', decisions],
    ['plan_change', changes],
    ['usage_mismatch', await usage.verifyUsage()],
    ['current_usage', (await usage.from('current_usage').select().throwOnError()).data],
    ['usage_history', (await usage.from('usage_history').select().throwOnError()).data],
    ['usage_events', (await usage.from('usage_events').select().throwOnError()).data],
    ['plan_catalog', (await usage.from('plan_catalog').select().throwOnError()).data],
  ]);
}
