// A refusal as HTTP: status, body, Retry-After, and no header that a name could smuggle in.
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { setClock } from '../support/clock.ts';
import { must, NOON, rawPost, startTestApi, type TestApi } from './api.ts';

let api: TestApi;

beforeAll(async () => {
  api = await startTestApi();
});
beforeEach(() => setClock(api.owner, NOON));
afterAll(() => api.stop());

/** Straight to PostgREST: the gateway before it drops the status text. */
async function post(sub: string, call: string, body: unknown, headers?: Record<string, string>) {
  const token = sub === 'service_role' ? api.rest.serviceRoleKey : await api.rest.userToken(sub);
  return rawPost(`${api.rest.postgrestUrl}/rpc/${call}`, token, body, headers);
}

const header = (response: { headers: [string, string][] }, wanted: string) =>
  response.headers.filter(([name]) => name === wanted).map(([, value]) => value);

describe('enforce_usage', () => {
  test('at a month limit is 402 with PT402, and says to come back on the 1st', async () => {
    await post('month', 'consume_usage', { feature: 'export', amount: 5 });
    const refused = await post('month', 'enforce_usage', { feature: 'export' });
    expect(refused.status).toBe(402);
    expect(header(refused, 'retry-after')).toEqual([String(21.5 * 24 * 3600)]);
    expect(JSON.parse(refused.body)).toMatchObject({ code: 'PT402', hint: '/settings/billing' });
  });

  test('at a minute limit is 429 with PT429, and says to come back in the next minute', async () => {
    await setClock(api.owner, '2026-01-10T12:00:18.5Z');
    await post('minute', 'consume_usage', { feature: 'burst', amount: 3 });
    const refused = await post('minute', 'enforce_usage', { feature: 'burst' });
    expect(refused.status).toBe(429);
    expect(header(refused, 'retry-after')).toEqual(['42']);
    expect(JSON.parse(refused.body)).toMatchObject({ code: 'PT429', hint: '/settings/billing' });
    expect(JSON.parse(JSON.parse(refused.body).details)).toMatchObject({
      period: 'minute',
      retry_after: 42,
      resets_at: '2026-01-10T12:01:00+00:00',
    });

    await setClock(api.owner, '2026-01-10T12:01:00Z');
    expect((await post('minute', 'enforce_usage', { feature: 'burst' })).status).toBe(200);
  });

  test('where no wait helps is 402 without Retry-After, also under a minute limit', async () => {
    for (const body of [
      { feature: 'burst', amount: 4 }, // more than a minute ever allows
      { feature: 'export', amount: 6 },
      { feature: 'pro_only' }, // not in the plan
    ]) {
      const refused = await post('never', 'enforce_usage', body);
      expect(refused.status).toBe(402);
      expect(header(refused, 'retry-after')).toEqual([]);
      const { code, details } = JSON.parse(refused.body);
      expect(code).toBe('PT402');
      expect(JSON.parse(details)).toMatchObject({ allowed: false, retry_after: null });
    }
  });

  test('when minute and month are both full shows the one that takes longest', async () => {
    await setClock(api.owner, '2026-01-10T12:00:00Z');
    for (let minute = 0; minute < 33; minute++) {
      await setClock(api.owner, new Date(Date.parse(NOON) + minute * 60_000));
      await post('both', 'consume_usage', { feature: 'burst', amount: 3 });
    }
    await post('both', 'consume_usage', { feature: 'burst' });
    const refused = await post('both', 'enforce_usage', { feature: 'burst', amount: 2 });
    expect(refused.status).toBe(402);
    expect(JSON.parse(JSON.parse(refused.body).details)).toMatchObject({ period: 'month' });
  });

  test('says nothing of the plan of an upgrade where there is none to link to', async () => {
    must(await api.rest.asService().rpc('set_plan', { subject: 'pro', plan: 'pro' }));
    await post('pro', 'consume_usage', { feature: 'pro_only' });
    const refused = await post('pro', 'enforce_usage', { feature: 'pro_only' });
    expect([refused.status, JSON.parse(refused.body).hint]).toEqual([402, null]);
  });

  test('allowed, is a plain 200 with the decision', async () => {
    const allowed = await post('fine', 'enforce_usage', { feature: 'export' });
    expect(allowed.status).toBe(200);
    expect(header(allowed, 'retry-after')).toEqual([]);
    expect(JSON.parse(allowed.body)).toMatchObject({ allowed: true, used: 1 });
  });
});

describe('names with line breaks', () => {
  const EVIL = 'x\r\nX-Injected: yes\r\n\r\n<script>';

  /** What a document cannot bring in (QPLAN) is put into the tables by hand: an old row, a restore. */
  beforeAll(async () => {
    await api.owner.query(
      `insert into quota.features (feature_id, name, unit) values ($1, $1, $1)`,
      [EVIL],
    );
    await api.owner.query(
      `insert into quota.plans (plan_id, name, upgrade_url) values ($1, $1, $1)`,
      [EVIL],
    );
    await api.owner.query(
      `insert into quota.plan_limits (plan_id, feature_id, period, amount)
       values ($1, $1, 'minute', 1), ($1, 'export', 'month', 0)`,
      [EVIL],
    );
    for (const subject of ['evil', EVIL]) {
      must(await api.rest.asService().rpc('set_plan', { subject, plan: EVIL }));
    }
  });

  const CALLS: [string, string, number, Record<string, unknown>][] = [
    ['a plan and its url', 'evil', 402, { feature: 'export' }],
    ['a feature, at a minute limit', 'evil', 402, { feature: EVIL, amount: 2 }],
    ['a subject', 'service_role', 402, { feature: 'export', subject: EVIL }],
    ["another's subject", 'evil', 403, { feature: 'export', subject: EVIL }],
    ['an unknown feature', 'evil', 400, { feature: `${EVIL}?` }],
    ['an amount', 'evil', 400, { feature: 'export', amount: EVIL }],
    ['metadata', 'evil', 402, { feature: 'export', metadata: { [EVIL]: EVIL } }],
    ['a key', 'evil', 402, { feature: 'export', idempotency_key: EVIL }],
  ];

  test.for(CALLS)('make no header and no status text: %s', async ([, sub, status, body]) => {
    const refused = await post(sub, 'enforce_usage', body);
    expect(refused.status).toBe(status);
    expect(refused.headers.map(([name]) => name)).not.toContain('x-injected');
    expect(refused.statusLine).not.toMatch(/x-injected|script/i);
    expect(JSON.parse(refused.body)).toHaveProperty('code');
  });

  test('make no header where they are answered, nor where the wait is', async () => {
    const allowed = await post('evil', 'enforce_usage', { feature: EVIL });
    expect(allowed.status).toBe(200);
    const refused = await post('evil', 'enforce_usage', { feature: EVIL });
    expect(refused.status).toBe(429);
    for (const response of [allowed, refused]) {
      expect(response.headers.map(([name]) => name)).not.toContain('x-injected');
    }
    expect(header(refused, 'retry-after')).toEqual(['60']);
    expect(JSON.parse(JSON.parse(refused.body).details)).toMatchObject({
      feature: EVIL,
      plan: EVIL,
    });
  });

  test('leave the message as it is: one constant, in ASCII', async () => {
    const { message } = JSON.parse(
      (await post('evil', 'enforce_usage', { feature: 'export' })).body,
    );
    await post('plain', 'consume_usage', { feature: 'export', amount: 5 });
    const plain = JSON.parse((await post('plain', 'enforce_usage', { feature: 'export' })).body);
    expect(message).toBe(plain.message);
    expect(message).toMatch(/^[ -~]+$/);
  });

  test('are not let in by a plan document', async () => {
    const plans = (id: string, url: string, feature: string) => ({
      features: { [feature]: {} },
      plans: { [id]: { upgrade_url: url, limits: { [feature]: { month: 1 } } } },
    });
    for (const document of [
      plans(EVIL, '/billing', 'export'),
      plans('free', EVIL, 'export'),
      plans('free', '/billing', EVIL),
    ]) {
      const { error, status } = await api.rest.asService().rpc('apply_plans', { plans: document });
      expect([status, error?.code]).toEqual([400, 'QPLAN']);
    }
  });
});

test("a request that sets the session's time zone changes no period", async () => {
  // In Los Angeles it is still January.
  await setClock(api.owner, '2026-02-01T03:00:00Z');
  for (const zone of ['America/Los_Angeles', 'Pacific/Kiritimati', 'Asia/Kathmandu']) {
    const used = await post(
      `in ${zone}`,
      'consume_usage',
      { feature: 'export' },
      {
        Prefer: `timezone=${zone}`,
      },
    );
    // PostgREST heeds it: the same instants come in that zone's clothes.
    expect(header(used, 'preference-applied').join()).toContain(zone);
    const decision = JSON.parse(used.body);
    expect(new Date(decision.period_start)).toEqual(new Date('2026-02-01T00:00:00Z'));
    expect(new Date(decision.resets_at)).toEqual(new Date('2026-03-01T00:00:00Z'));
  }
});
