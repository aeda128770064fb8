// What is wrong gets its code and 400, and leaves no row behind.
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { everythingStored, PLANS, startTestApi, type TestApi } from './api.ts';

let api: TestApi;

beforeAll(async () => {
  api = await startTestApi();
});
afterAll(() => api.stop());

type Sent = string | Record<string, unknown>;

/** By fetch: a client library would not send NaN, or a number that JavaScript does not have. */
async function post(call: string, body: Sent, token: string) {
  const response = await fetch(`${api.rest.url}/rest/v1/rpc/${call}`, {
    method: 'POST',
    headers: { authorization: `Bearer ${token}`, 'content-type': 'application/json' },
    body: typeof body === 'string' ? body : JSON.stringify(body),
  });
  const answer = (await response.json()) as { code?: string };
  return { status: response.status, code: answer.code };
}

const use = (more: Record<string, unknown>) => ({ feature: 'export', ...more });

const AMOUNTS: [string, Sent, string][] = [
  ['amount 0', use({ amount: 0 }), 'QAMNT'],
  ['a negative amount', use({ amount: -1 }), 'QAMNT'],
  ['amount null', use({ amount: null }), 'QAMNT'],
  ['amount 2^53', '{"feature": "export", "amount": 9007199254740992}', 'QAMNT'],
  ['amount 2^63 - 1', '{"feature": "export", "amount": 9223372036854775807}', 'QAMNT'],
  ['amount 2^63', '{"feature": "export", "amount": 9223372036854775808}', '22003'],
  ['amount 1e400', '{"feature": "export", "amount": 1e400}', '22P02'],
  ['a fractional amount', use({ amount: 1.5 }), '22P02'],
  ['a text for an amount', use({ amount: 'ten' }), '22P02'],
  ['the text NaN', use({ amount: 'NaN' }), '22P02'],
  ['the text Infinity', use({ amount: 'Infinity' }), '22P02'],
  ['an object for an amount', use({ amount: { $gt: 0 } }), '22P02'],
  ['an unknown feature', use({ feature: 'nothing' }), 'QFEAT'],
  ['an empty feature', use({ feature: '' }), 'QFEAT'],
  ['feature null', use({ feature: null }), 'QFEAT'],
  ['a very long feature', use({ feature: 'x'.repeat(100_000) }), 'QFEAT'],
  ['SQL for a feature', use({ feature: `'; drop table quota.events; --` }), 'QFEAT'],
  ['a feature with NUL', '{"feature": "export\\u0000"}', '22P05'],
  ['a subject of 256 characters', use({ subject: 's'.repeat(256) }), 'QSUBJ'],
  ['an empty subject', use({ subject: '' }), 'QSUBJ'],
  ['a subject with NUL', '{"feature": "export", "subject": "a\\u0000b"}', '22P05'],
];

const WRITES: [string, Sent, string][] = [
  ...AMOUNTS,
  ['an empty key', use({ idempotency_key: '' }), 'QIDEM'],
  ['a key of 300 characters', use({ idempotency_key: 'k'.repeat(300) }), 'QIDEM'],
  ['a key with NUL', '{"feature": "export", "idempotency_key": "\\u0000"}', '22P05'],
  ['metadata of 1 MB', use({ metadata: { text: 'm'.repeat(1_000_000) } }), 'QMETA'],
  ['metadata of a little over 8 kB', use({ metadata: { text: 'm'.repeat(8190) } }), 'QMETA'],
  ['an array for metadata', use({ metadata: [] }), 'QMETA'],
  ['a text for metadata', use({ metadata: 'text' }), 'QMETA'],
  ['a number for metadata', use({ metadata: 1 }), 'QMETA'],
];

describe.each([
  ['check_usage', AMOUNTS],
  ['consume_usage', WRITES],
  ['enforce_usage', WRITES],
] as const)('%s', (call, inputs) => {
  test.for(inputs)('refuses %s', async ([, body, code]) => {
    const before = await everythingStored(api.owner);
    expect(await post(call, body, await api.rest.userToken('user'))).toEqual({ status: 400, code });
    expect(await everythingStored(api.owner)).toBe(before);
  });

  test('refuses what is no JSON, and parameters it does not have', async () => {
    const token = await api.rest.userToken('user');
    const before = await everythingStored(api.owner);
    for (const body of ['{"feature": "export", "amount": NaN}', '{"feature": ', '[1]']) {
      const { status } = await post(call, body, token);
      expect([400, 404]).toContain(status);
    }
    const unknown = { feature: 'export', limit: 1_000_000 };
    expect(await post(call, unknown, token)).toEqual({ status: 404, code: 'PGRST202' });
    expect(await post(call, {}, token)).toEqual({ status: 404, code: 'PGRST202' });
    expect(await everythingStored(api.owner)).toBe(before);
  });
});

const REFUNDS: [string, Sent, string][] = [
  ['an event nobody knows', { event_id: '00000000-0000-7000-8000-000000000000' }, 'QRSRV'],
  ['event null', { event_id: null }, 'QRSRV'],
  ['an event that is no uuid', { event_id: 'first' }, '22P02'],
  ['amount 0', { event_id: 'EVENT', amount: 0 }, 'QAMNT'],
  ['a negative amount', { event_id: 'EVENT', amount: -1 }, 'QAMNT'],
  ['more than was counted', { event_id: 'EVENT', amount: 3 }, 'QAMNT'],
  ["another subject's name", { event_id: 'EVENT', subject: 'other' }, 'QRSRV'],
  ['an empty key', { event_id: 'EVENT', idempotency_key: '' }, 'QIDEM'],
  ['a reason of 1 MB', { event_id: 'EVENT', reason: 'r'.repeat(1_000_000) }, 'QMETA'],
];

const PLAN_CALLS: [string, string, Sent, string][] = [
  ['set_plan', 'an unknown plan', { subject: 'user', plan: 'gold' }, 'QPLAN'],
  ['set_plan', 'plan null', { subject: 'user', plan: null }, 'QPLAN'],
  ['set_plan', 'an empty subject', { subject: '', plan: 'pro' }, 'QSUBJ'],
  ['set_plan', 'subject null', { subject: null, plan: 'pro' }, 'QSUBJ'],
  ['set_plan', 'a long subject', { subject: 's'.repeat(256), plan: 'pro' }, 'QSUBJ'],
  ['set_plan', 'an unknown zone', { subject: 'u', plan: 'pro', time_zone: 'Mars/Base' }, '22023'],
  ['set_plan', 'a zone with an offset', { subject: 'u', plan: 'pro', time_zone: 'X+5' }, '22023'],
  ['set_plan', 'an infinite anchor', { subject: 'u', plan: 'pro', anchor: 'infinity' }, '22023'],
  ['set_plan', 'an anchor that is no date', { subject: 'u', plan: 'pro', anchor: 'x' }, '22007'],
  ['apply_plans', 'plans null', { plans: null }, 'QPLAN'],
  ['apply_plans', 'an array', { plans: [] }, 'QPLAN'],
  ['apply_plans', 'an empty document', { plans: {} }, 'QPLAN'],
  ['apply_plans', 'an unknown key', { plans: { ...PLANS, extra: 1 } }, 'QPLAN'],
  ['apply_plans', 'a limit of -1', documentWith(-1), 'QPLAN'],
  ['apply_plans', 'a fractional limit', documentWith(1.5), 'QPLAN'],
  ['apply_plans', 'a text for a limit', documentWith('50'), 'QPLAN'],
  ['apply_plans', 'a limit over 2^53', documentWith(2 ** 53), 'QPLAN'],
];

function documentWith(month: unknown) {
  return { plans: { features: { f: {} }, plans: { p: { limits: { f: { month } } } } } };
}

describe('the server', () => {
  let eventId: string;

  beforeAll(async () => {
    const { data } = await api.rest
      .asService()
      .rpc('consume_usage', { feature: 'export', amount: 2, subject: 'refunded' });
    eventId = data.event_id;
  });

  test.for(REFUNDS)('cannot refund with %s', async ([, body, code]) => {
    const before = await everythingStored(api.owner);
    const sent = JSON.parse(JSON.stringify(body).replace('EVENT', eventId));
    expect(await post('refund_usage', sent, api.rest.serviceRoleKey)).toEqual({
      status: 400,
      code,
    });
    expect(await everythingStored(api.owner)).toBe(before);
  });

  test.for(PLAN_CALLS)('cannot call %s with %s', async ([call, , body, code]) => {
    const before = await everythingStored(api.owner);
    expect(await post(call, body, api.rest.serviceRoleKey)).toEqual({ status: 400, code });
    expect(await everythingStored(api.owner)).toBe(before);
  });
});

test('null for an optional argument is the same as leaving it out', async () => {
  const token = await api.rest.userToken('nulls');
  const body = use({ subject: null, idempotency_key: null, metadata: null });
  expect((await post('consume_usage', body, token)).status).toBe(200);
  const { rows } = await api.owner.query(
    `select idempotency_key, metadata from quota.events where subject_id = 'nulls'`,
  );
  expect(rows).toEqual([{ idempotency_key: null, metadata: {} }]);
});

test('the largest amount, 2^53 - 1, is counted exactly, and one more is QAMNT', async () => {
  const service = api.rest.asService();
  await service.rpc('set_plan', { subject: 'large', plan: 'pro' });
  const most = use({ subject: 'large', amount: 2 ** 53 - 1 });
  expect((await service.rpc('consume_usage', most)).data).toMatchObject({ used: 2 ** 53 - 1 });
  expect(await post('consume_usage', use({ subject: 'large' }), api.rest.serviceRoleKey)).toEqual({
    status: 400,
    code: 'QAMNT',
  });
});
