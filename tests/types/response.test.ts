// A refusal as an HTTP answer. The decisions are those of check_usage, asked of a real database.
import { afterAll, beforeAll, expect, test } from 'vitest';
import { withClient } from '../../scripts/local/client.ts';
import {
  type UsageDecision,
  type UsageLimitBody,
  UsageLimitExceeded,
  usageLimitResponse,
} from '../../types/index.ts';
import { setClock } from '../support/clock.ts';
import { createDatabase, type TestDatabase } from '../support/database.ts';
import { applyPlans } from '../support/plans.ts';

let database: TestDatabase;

beforeAll(async () => {
  database = await createDatabase();
  await withClient(database.url, async (client) => {
    await setClock(client, '2026-03-15T12:00:30Z'); // no minute ends between two calls
    await applyPlans(client, {
      features: { chat: {}, export: {}, file: { kind: 'gauge' }, video: {} },
      plans: {
        free: {
          default: true,
          upgrade_url: '/pricing',
          limits: { chat: { minute: 1 }, export: { month: 5 }, file: { lifetime: 1 } },
        },
      },
    });
  });
});

afterAll(() => database.drop());

/** The refusal that a subject meets which has used up `used`. */
async function refusal(feature: string, used: number, amount = 1): Promise<UsageLimitExceeded> {
  const subject = `${feature}-${used}-${amount}`;
  const decision = await withClient(database.url, async (client) => {
    if (used) await client.query('select consume_usage($1, $2, $3)', [feature, used, subject]);
    const { rows } = await client.query('select to_jsonb(check_usage($1, $2, $3)) as decision', [
      feature,
      amount,
      subject,
    ]);
    return rows[0].decision as UsageDecision;
  });
  expect(decision.allowed).toBe(false);
  return new UsageLimitExceeded(decision);
}

test('a month limit is 402 with the upgrade url, the numbers and the wait', async () => {
  const response = usageLimitResponse(await refusal('export', 5));
  expect(response.status).toBe(402);
  expect(response.headers.get('content-type')).toBe('application/json');
  expect(response.headers.get('cache-control')).toBe('no-store');

  const body = (await response.json()) as UsageLimitBody;
  expect(body).toEqual({
    error: expect.any(String),
    code: 'USAGE_LIMIT_EXCEEDED',
    upgrade_url: '/pricing',
    reason: 'limit_reached',
    feature: 'export',
    plan: 'free',
    period: 'month',
    used: 5,
    reserved: 0,
    limit: 5,
    remaining: 0,
    resets_at: expect.any(String),
    retry_after: expect.any(Number),
  });
  expect(response.headers.get('retry-after')).toBe(String(body.retry_after));
  expect(body.retry_after).toBe(16.5 * 86_400 - 30);
});

test('a minute limit is 429 with the seconds to wait', async () => {
  const response = usageLimitResponse(await refusal('chat', 1));
  expect(response.status).toBe(429);
  expect(response.headers.get('retry-after')).toBe('30');
});

test('where no wait helps the answer is 402 without Retry-After', async () => {
  for (const [feature, used, amount] of [
    ['chat', 0, 2], // more than the minute limit ever allows
    ['file', 1, 1],
    ['video', 0, 1], // not in the plan
  ] as const) {
    const response = usageLimitResponse(await refusal(feature, used, amount));
    expect(response.status, feature).toBe(402);
    expect(response.headers.has('retry-after'), feature).toBe(false);
    expect(await response.json()).toMatchObject({ retry_after: null });
  }
});

test('headers of the caller are kept, and ours cannot be replaced', async () => {
  const response = usageLimitResponse(await refusal('export', 5, 2), {
    'Access-Control-Allow-Origin': '*',
    'Content-Type': 'text/html',
  });
  expect(response.headers.get('access-control-allow-origin')).toBe('*');
  expect(response.headers.get('content-type')).toBe('application/json');
});
