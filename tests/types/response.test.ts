// A refusal as an HTTP answer, and decisions as headers. The decisions are those of check_usage, asked of a real database.
import { parseList } from 'structured-headers';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { withClient } from '../../scripts/local/client.ts';
import {
  type UsageDecision,
  type UsageLimitBody,
  UsageLimitExceeded,
  usageLimitHeaders,
  usageLimitResponse,
} from '../../types/index.ts';
import { setClock } from '../support/clock.ts';
import { createDatabase, type TestDatabase } from '../support/database.ts';
import { applyPlans } from '../support/plans.ts';

/** What the database's clock says. */
const NOW = new Date('2026-03-15T12:00:30Z');

let database: TestDatabase;

beforeAll(async () => {
  database = await createDatabase();
  await withClient(database.url, async (client) => {
    await setClock(client, NOW.toISOString()); // no minute ends between two calls
    await applyPlans(client, {
      features: {
        chat: {},
        export: {},
        file: { kind: 'gauge' },
        video: {},
        '"größe\\"': {},
        free: {},
        talk: {},
        talks: {},
      },
      plans: {
        free: {
          default: true,
          upgrade_url: '/pricing',
          limits: {
            chat: { minute: 1 },
            export: { month: 5 },
            file: { lifetime: 1 },
            '"größe\\"': { year: Number.MAX_SAFE_INTEGER },
            free: { month: null },
            talk: { '5 hours': 1 },
            talks: { '2 days': 1 },
          },
        },
      },
    });
  });
});

afterAll(() => database.drop());

/** What a subject is told which has used up `used`. */
async function decide(feature: string, used: number, amount = 1): Promise<UsageDecision> {
  const subject = `${feature}-${used}-${amount}`;
  return withClient(database.url, async (client) => {
    if (used) await client.query('select consume_usage($1, $2, $3)', [feature, used, subject]);
    const { rows } = await client.query('select to_jsonb(check_usage($1, $2, $3)) as decision', [
      feature,
      amount,
      subject,
    ]);
    return rows[0].decision;
  });
}

async function refusal(...asked: Parameters<typeof decide>): Promise<UsageLimitExceeded> {
  const decision = await decide(...asked);
  expect(decision.allowed).toBe(false);
  return new UsageLimitExceeded(decision);
}

/** The one item of a structured field: its string and its parameters. */
function parsed(headers: Record<string, string>, name: string): unknown {
  const [item, ...others] = parseList(headers[name] as string);
  expect(others).toEqual([]);
  const [value, parameters] = item as [unknown, Map<string, unknown>];
  return { [String(value)]: Object.fromEntries(parameters) };
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
    ['talk', 0, 2], // more than a window does, which is closed
    ['file', 1, 1],
    ['video', 0, 1], // not in the plan
  ] as const) {
    const response = usageLimitResponse(await refusal(feature, used, amount));
    expect(response.status, feature).toBe(402);
    expect(response.headers.has('retry-after'), feature).toBe(false);
    expect(await response.json()).toMatchObject({ retry_after: null });
  }
});

test('the error itself says status and wait, and so does its response', async () => {
  for (const [feature, used, amount, status, retryAfter] of [
    ['chat', 1, 1, 429, 30],
    ['export', 5, 1, 402, 16.5 * 86_400 - 30],
    ['talk', 1, 1, 429, 5 * 3600],
    ['talks', 1, 1, 402, 2 * 86_400],
    ['file', 1, 1, 402, null],
    ['video', 0, 1, 402, null],
  ] as const) {
    const error = await refusal(feature, used, amount);
    expect(error).toMatchObject({ status, retryAfter });
    const { headers, status: sent } = usageLimitResponse(error);
    expect([sent, headers.get('retry-after')]).toEqual([status, retryAfter && String(retryAfter)]);
    const limits = usageLimitHeaders(error.decision);
    expect(headers.get('ratelimit-policy')).toBe(limits['RateLimit-Policy']);
    expect(headers.get('ratelimit')).toContain(';r=0');
  }
});

test('the headers are those of the draft: policy, what remains, and when there is more', async () => {
  const allowed = usageLimitHeaders(await decide('export', 3), NOW);
  expect(parsed(allowed, 'RateLimit-Policy')).toEqual({ 'export/month': { q: 5, w: 31 * 86_400 } });
  expect(parsed(allowed, 'RateLimit')).toEqual({
    'export/month': { r: 2, t: 16.5 * 86_400 - 30 },
  });
  expect(Object.keys(allowed)).not.toContain('Retry-After');

  const refused = usageLimitHeaders(await decide('chat', 1), NOW);
  expect(parsed(refused, 'RateLimit-Policy')).toEqual({ 'chat/minute': { q: 1, w: 60 } });
  expect(parsed(refused, 'RateLimit')).toEqual({ 'chat/minute': { r: 0, t: 30 } });
  expect(refused['Retry-After']).toBe('30');
});

test('what has no end has no window, what is not in the plan no quota, what is unlimited no header', async () => {
  const gauge = usageLimitHeaders(await decide('file', 1), NOW);
  expect(parsed(gauge, 'RateLimit-Policy')).toEqual({ 'file/lifetime': { q: 1 } });
  expect(parsed(gauge, 'RateLimit')).toEqual({ 'file/lifetime': { r: 0 } });
  const missing = usageLimitHeaders(await decide('video', 0), NOW);
  expect(parsed(missing, 'RateLimit-Policy')).toEqual({ video: { q: 0 } });
  expect(usageLimitHeaders(await decide('free', 7), NOW)).toEqual({});
});

test('any name and any number is a valid field', async () => {
  const headers = usageLimitHeaders(await decide('"größe\\"', 0), NOW);
  expect(parsed(headers, 'RateLimit')).toEqual({
    '"gr%C3%B6%C3%9Fe\\"/year': { r: 999_999_999_999_999, t: expect.any(Number) },
  });
  expect(() => new Headers(headers)).not.toThrow();
});

test('a hold that ends before the period does is when there is more, on a server whose clock is late', async () => {
  const decision = await decide('export', 5, 2);
  const soon = usageLimitHeaders({ ...decision, retry_after: 60 }, NOW);
  expect([parsed(soon, 'RateLimit'), soon['Retry-After']]).toEqual([
    { 'export/month': { r: 0, t: 60 } },
    '60',
  ]);
  const late = new Date(NOW.getTime() + 40 * 86_400_000);
  expect(parsed(usageLimitHeaders(decision, late), 'RateLimit')).toEqual({
    'export/month': { r: 0, t: 0 },
  });
});

test('headers of the caller are kept, and ours cannot be replaced', async () => {
  const response = usageLimitResponse(await refusal('export', 5, 2), {
    'Access-Control-Allow-Origin': '*',
    'Content-Type': 'text/html',
  });
  expect(response.headers.get('access-control-allow-origin')).toBe('*');
  expect(response.headers.get('content-type')).toBe('application/json');
});
