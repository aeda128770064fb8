// What the product is for, over real HTTP, as an app's browser and server call it.
import type { SupabaseClient } from '@supabase/supabase-js';
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest';
import { setClock } from '../support/clock.ts';
import { must, NOON, startTestApi, type TestApi } from './api.ts';

let api: TestApi;
let service: SupabaseClient;

beforeAll(async () => {
  api = await startTestApi();
  service = api.rest.asService();
});
beforeEach(() => setClock(api.owner, NOON));
afterAll(async () => {
  const mismatches = await service.rpc('verify_usage');
  await api.stop();
  expect(mismatches.data).toEqual([]);
});

const FEATURE = { feature: 'ai_generation' };

const consume = async (client: SupabaseClient, more: Record<string, unknown> = {}) =>
  must(await client.rpc('consume_usage', { ...FEATURE, ...more }));

async function useUp(client: SupabaseClient, calls: number) {
  for (let call = 0; call < calls; call++) {
    expect(await consume(client)).toMatchObject({ allowed: true, reason: 'ok', used: call + 1 });
  }
}

const shown = async (client: SupabaseClient, feature = 'ai_generation') =>
  must(await client.from('current_usage').select().eq('feature', feature))[0];

test('a free user is allowed 50, and the 51st is refused with 402 and the upgrade url', async () => {
  const user = api.rest.asUser('free-1');
  await useUp(user, 50);

  expect(await consume(user)).toMatchObject({ allowed: false, reason: 'limit_reached', used: 50 });
  const refused = await user.rpc('enforce_usage', FEATURE);
  expect(refused.status).toBe(402);
  expect(refused.error).toMatchObject({ code: 'PT402', hint: '/settings/billing' });
  expect(JSON.parse(refused.error?.details ?? '')).toMatchObject({
    allowed: false,
    reason: 'limit_reached',
    subject: 'free-1',
    plan: 'free',
    feature: 'ai_generation',
    period: 'month',
    used: 50,
    limit: 50,
    remaining: 0,
    event_id: null,
    upgrade_url: '/settings/billing',
  });
  expect(await shown(user)).toMatchObject({ used: 50, remaining: 0, status: 'at_limit' });
});

test('a pro user goes on after 50, unlimited, and is counted', async () => {
  must(await service.rpc('set_plan', { subject: 'pro-1', plan: 'pro' }));
  const user = api.rest.asUser('pro-1');
  await useUp(user, 110);
  expect(must(await user.rpc('enforce_usage', FEATURE))).toMatchObject({
    allowed: true,
    plan: 'pro',
    used: 111,
    limit: null,
    remaining: null,
    unlimited: true,
  });
  expect(await shown(user)).toMatchObject({
    used: 111,
    limit: null,
    unlimited: true,
    status: 'ok',
  });
});

test('the counts shown are right at every step, also where nothing was used', async () => {
  const user = api.rest.asUser('shown-1');
  expect(await shown(user)).toMatchObject({
    subject: 'shown-1',
    feature_name: 'AI generations',
    unit: 'generation',
    kind: 'metered',
    plan: 'free',
    period: 'month',
    used: 0,
    reserved: 0,
    limit: 50,
    remaining: 50,
    percent_used: 0,
    period_start: '2026-01-01T00:00:00+00:00',
    resets_at: '2026-02-01T00:00:00+00:00',
    status: 'ok',
  });
  await consume(user, { amount: 39 });
  expect(await shown(user)).toMatchObject({ used: 39, percent_used: 78, status: 'ok' });
  await consume(user);
  expect(await shown(user)).toMatchObject({ used: 40, percent_used: 80, status: 'warning' });
  await consume(user, { amount: 10 });
  expect(await shown(user)).toMatchObject({ used: 50, percent_used: 100, status: 'at_limit' });
  expect(await shown(user, 'export')).toMatchObject({ used: 0, limit: 5, remaining: 5 });

  const rows = must(await user.from('current_usage').select('feature,period'));
  // burst has two limits, so two rows; pro_only is not in the plan, so none
  expect(rows).toHaveLength(5);
});

test('usage is 0 again on the 1st, last month stays in the history', async () => {
  const user = api.rest.asUser('first-1');
  await consume(user, { amount: 50 });
  await setClock(api.owner, '2026-01-31T23:59:59.999Z');
  expect(await consume(user)).toMatchObject({ allowed: false, retry_after: 1 });

  await setClock(api.owner, '2026-02-01T00:00:00Z');
  expect(await shown(user)).toMatchObject({
    used: 0,
    remaining: 50,
    period_start: '2026-02-01T00:00:00+00:00',
  });
  expect(await consume(user)).toMatchObject({ allowed: true, used: 1, remaining: 49 });
  const history = must(
    await user.from('usage_history').select('period_start,used,limit').order('period_start'),
  );
  expect(history).toEqual([
    { period_start: '2026-01-01T00:00:00+00:00', used: 50, limit: 50 },
    { period_start: '2026-02-01T00:00:00+00:00', used: 1, limit: 50 },
  ]);
});

test('200 parallel requests of one user count exactly 50, the others get 402', async () => {
  const user = api.rest.asUser('parallel-1');
  const answers = await Promise.all(
    Array.from({ length: 200 }, () => user.rpc('enforce_usage', FEATURE)),
  );
  expect(answers.filter(({ status }) => status === 200)).toHaveLength(50);
  expect(answers.filter(({ status }) => status === 402)).toHaveLength(150);
  expect(await shown(user)).toMatchObject({ used: 50, remaining: 0 });
});

test('a refund gives one back, and the next call is allowed again', async () => {
  const user = api.rest.asUser('refund-1');
  await consume(user, { amount: 49 });
  const { event_id } = await consume(user);
  expect(await consume(user)).toMatchObject({ allowed: false });

  const refund = must(await service.rpc('refund_usage', { event_id, reason: 'it failed' }));
  expect(refund).toMatchObject({ amount: 1, used: 49, remaining: 1 });
  expect(await shown(user)).toMatchObject({ used: 49, remaining: 1 });
  expect(await consume(user)).toMatchObject({ allowed: true, used: 50 });
});

test('check_usage answers like consume_usage and counts nothing, by POST and by GET', async () => {
  const user = api.rest.asUser('check-1');
  await consume(user, { amount: 50 });
  for (const get of [false, true]) {
    expect(must(await user.rpc('check_usage', FEATURE, { get }))).toMatchObject({
      allowed: false,
      reason: 'limit_reached',
      used: 50,
      limit: 50,
      upgrade_url: '/settings/billing',
    });
  }
  expect(must(await api.rest.asUser('check-2').rpc('check_usage', FEATURE))).toMatchObject({
    allowed: true,
    used: 0,
    remaining: 50,
    event_id: null,
  });
});

test('a repeated key is told the first answer, from consume_usage and enforce_usage alike', async () => {
  const user = api.rest.asUser('key-1');
  const key = { idempotency_key: 'order-1' };
  const first = await consume(user, key);
  expect(await consume(user, key)).toEqual({ ...first, replayed: true });
  // A retry carries other metadata (timestamps), and is the same call all the same.
  const retry = { ...FEATURE, ...key, metadata: { at: 'later' } };
  expect(must(await user.rpc('enforce_usage', retry))).toEqual({ ...first, replayed: true });
  expect(await shown(user)).toMatchObject({ used: 1 });

  const other = await user.rpc('consume_usage', { ...FEATURE, ...key, amount: 2 });
  expect([other.status, other.error?.code]).toEqual([400, 'QIDEM']);
});

test('an upgrade lets a refused user go on at once, with the use so far', async () => {
  const user = api.rest.asUser('upgrade-1');
  await consume(user, { amount: 50 });
  expect((await user.rpc('enforce_usage', FEATURE)).status).toBe(402);
  must(await service.rpc('set_plan', { subject: 'upgrade-1', plan: 'pro' }));
  expect(await consume(user)).toMatchObject({ allowed: true, plan: 'pro', used: 51 });
});

test("the user's ledger shows what used it up", async () => {
  const user = api.rest.asUser('ledger-1');
  const use = await consume(user, { amount: 3, metadata: { model: 'small' } });
  must(await service.rpc('refund_usage', { event_id: use.event_id, amount: 1, reason: 'short' }));
  const lines = must(
    await user
      .from('usage_events')
      .select('kind,used_change,about_id,metadata')
      .order('used_change'),
  );
  expect(lines).toEqual([
    { kind: 'refund', used_change: -1, about_id: use.event_id, metadata: { reason: 'short' } },
    { kind: 'consume', used_change: 3, about_id: null, metadata: { model: 'small' } },
  ]);
});

test('a pricing page reads plans and limits without signing in', async () => {
  const rows = must(
    await api.rest
      .asAnon()
      .from('plan_catalog')
      .select('plan,feature,period,limit,unlimited')
      .eq('feature', 'ai_generation')
      .order('plan'),
  );
  expect(rows).toEqual([
    { plan: 'free', feature: 'ai_generation', period: 'month', limit: 50, unlimited: false },
    { plan: 'pro', feature: 'ai_generation', period: 'month', limit: null, unlimited: true },
  ]);
});

test('rows are filtered by their limit with and=(limit.gte.10), since ?limit= is paging', async () => {
  const user = api.rest.asUser('filter-1');
  const token = await api.rest.userToken('filter-1');
  const response = await fetch(
    `${api.rest.url}/rest/v1/current_usage?select=feature,limit&and=(limit.gte.50)&order=feature,limit`,
    { headers: { apikey: api.rest.anonKey, authorization: `Bearer ${token}` } },
  );
  expect(await response.json()).toEqual([
    { feature: 'ai_generation', limit: 50 },
    { feature: 'burst', limit: 100 },
  ]);
  expect(must(await user.from('current_usage').select().limit(1))).toHaveLength(1);
});
