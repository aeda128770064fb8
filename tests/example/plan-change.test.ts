import { afterAll, beforeAll, expect, test } from 'vitest';
import { sign } from '../../examples/web/server/serve.ts';
import type { PlanChangeEvent } from '../../supabase/functions/_shared/plan-change.ts';
import { type RunningExample, startExample } from '../support/example.ts';

let example: RunningExample;
beforeAll(async () => {
  example = await startExample();
});
afterAll(async () => {
  expect(await example.mismatches()).toEqual([]);
  await example.stop();
});

const event = (
  subject: string,
  plan: string,
  timestamp = '2026-11-10T12:00:00Z',
  more: Partial<PlanChangeEvent['data']> = {},
): PlanChangeEvent => ({
  type: 'subscription.updated',
  timestamp,
  data: { subject, plan, billing_anchor: null, ends_at: null, ...more },
});

async function send(request: Request) {
  const response = await fetch(`${example.url}/api/billing/webhook`, {
    method: 'POST',
    headers: request.headers,
    body: await request.text(),
  });
  return { status: response.status, body: await response.json() };
}
const deliver = (what: PlanChangeEvent, id?: string) => send(sign(example.secret, what, id));

async function planOf(subject: string) {
  const { rows } = await example.admin.query(
    `select plan from public.check_usage('ai_generation', 1, $1)`,
    [subject],
  );
  return rows[0].plan;
}
async function planLines(subject: string) {
  const { rows } = await example.admin.query(
    `select count(*)::int as lines from public.usage_events where subject = $1 and kind = 'plan'`,
    [subject],
  );
  return rows[0].lines;
}

test('a signed event changes the plan, and the quota resets on the billing day', async () => {
  const user = example.newUser();
  const anchor = new Date(Date.now() - 3 * 86_400_000);
  const anchored = event(user, 'pro', undefined, { billing_anchor: anchor.toISOString() });
  expect(await deliver(anchored)).toEqual({ status: 200, body: { applied: true } });
  expect(await planOf(user)).toBe('pro');
  const { rows } = await example.admin.query(
    `select period_start from public.check_usage('ai_generation', 1, $1)`,
    [user],
  );
  expect(rows[0].period_start).toEqual(anchor);
});

/** What the page's own button does: pays, and has the event delivered. */
async function checkOut(user: string, plan: string) {
  const response = await fetch(`${example.url}/demo/checkout`, {
    method: 'POST',
    headers: { authorization: `Bearer ${await example.userToken(user)}` },
    body: JSON.stringify({ plan }),
  });
  expect(response.status).toBe(200);
}
const useOf = async (user: string) => (await example.used(user)).used;
const use = (user: string, amount: number) =>
  example.admin.query(`select public.consume_usage('ai_generation', $2, $1)`, [user, amount]);

test('a checkout of the plan one is on does not start the month afresh', async () => {
  const user = example.newUser();
  await use(user, 50);
  await checkOut(user, 'free');
  expect(await useOf(user)).toBe(50);
  await checkOut(user, 'pro');
  expect(await useOf(user)).toBe(0); // the larger one begins with its invoice
  await use(user, 7);
  await checkOut(user, 'pro');
  expect(await useOf(user)).toBe(7);
});

test('nor does one of a smaller plan, and a larger one is larger nowhere less', async () => {
  const user = example.newUser();
  await checkOut(user, 'enterprise');
  await use(user, 60);
  await checkOut(user, 'pro'); // as many generations, fewer files
  expect(await useOf(user)).toBe(60);
  await checkOut(user, 'free');
  expect(await useOf(user)).toBe(60);
  expect(await planOf(user)).toBe('free');

  const { rows } = await example.admin.query(
    `select a, b from unnest(array['free', 'pro', 'enterprise']) as a,
       unnest(array['free', 'pro', 'enterprise']) as b
     where public.is_larger_plan(a, b) order by a, b`,
  );
  expect(rows.map(({ a, b }) => `${a} > ${b}`)).toEqual([
    'enterprise > free',
    'enterprise > pro',
    'pro > free',
  ]);
});

test('a signed event with a billing day does neither', async () => {
  const user = example.newUser();
  await use(user, 50);
  const now = new Date().toISOString();
  await deliver(event(user, 'free', undefined, { billing_anchor: now }));
  expect(await useOf(user)).toBe(50);
});

test('a plan that ended is bought again with a fresh month', async () => {
  const user = example.newUser();
  await deliver(event(user, 'pro', '2026-11-01T12:00:00Z', { ends_at: '2026-11-02T00:00:00Z' }));
  await use(user, 50);
  const now = new Date().toISOString();
  await deliver(event(user, 'pro', '2026-11-10T12:00:00Z', { billing_anchor: now }));
  expect(await useOf(user)).toBe(0);
});

test('a repeated delivery changes nothing, however often it comes', async () => {
  const user = example.newUser();
  await deliver(event(user, 'pro'), 'msg_1');
  for (let times = 0; times < 3; times++) {
    expect(await deliver(event(user, 'pro'), 'msg_1')).toEqual({
      status: 200,
      body: { applied: false },
    });
  }
  expect(await planLines(user)).toBe(1);
});

test('a late delivery does not undo a newer one', async () => {
  const user = example.newUser();
  await deliver(event(user, 'enterprise', '2026-11-10T12:00:05Z'));
  const late = await deliver(event(user, 'free', '2026-11-10T12:00:00Z'));
  expect(late).toEqual({ status: 200, body: { applied: false } });
  expect(await planOf(user)).toBe('enterprise');
});

test('two events of the same second both count, each once', async () => {
  const user = example.newUser();
  expect((await deliver(event(user, 'pro'), 'msg_a')).body).toEqual({ applied: true });
  expect((await deliver(event(user, 'enterprise'), 'msg_b')).body).toEqual({ applied: true });
  expect((await deliver(event(user, 'pro'), 'msg_a')).body).toEqual({ applied: false });
  expect(await planOf(user)).toBe('enterprise');
});

test('ten deliveries at once in any order leave the newest plan', async () => {
  const user = example.newUser();
  const plans = ['free', 'pro', 'free', 'pro', 'free', 'pro', 'free', 'pro', 'free', 'enterprise'];
  const events = plans.map((plan, at) => event(user, plan, `2026-11-10T12:00:0${at}Z`));
  const answers = await Promise.all(
    [5, 9, 0, 3, 8, 1, 7, 2, 6, 4].map((at) => deliver(events[at] as PlanChangeEvent)),
  );
  for (const { status } of answers) expect(status).toBe(200);
  expect(await planOf(user)).toBe('enterprise');
});

test('a cancelled plan ends when it was paid to, and the default follows', async () => {
  const user = example.newUser();
  await deliver(event(user, 'pro', undefined, { ends_at: '2020-01-01T00:00:00Z' }));
  expect(await planOf(user)).toBe('free');
});

test('a wrong, missing or old signature is 401 and changes nothing', async () => {
  const user = example.newUser();
  const good = () => sign(example.secret, event(user, 'pro'));
  const other = `whsec_${Buffer.from('another secret of the same size').toString('base64')}`;
  expect((await send(sign(other, event(user, 'pro')))).status).toBe(401);
  for (const header of ['webhook-id', 'webhook-signature', 'webhook-timestamp']) {
    const request = good();
    request.headers.delete(header);
    expect((await send(request)).status).toBe(401);
  }
  const old = good();
  old.headers.set('webhook-timestamp', '1700000000');
  expect((await send(old)).status).toBe(401);
  const body = (await good().text()).replace('pro', 'enterprise');
  expect((await send(new Request(good(), { body, method: 'POST' }))).status).toBe(401);
  expect(await planOf(user)).toBe('free');
});

test('an unknown plan is 422, and is not remembered: once it exists the next delivery applies', async () => {
  const user = example.newUser();
  expect(await deliver(event(user, 'gold'), 'msg_gold')).toMatchObject({
    status: 422,
    body: { code: 'QPLAN' },
  });
  expect((await deliver(event(user, 'pro'), 'msg_gold')).body).toEqual({ applied: true });
});

test('another type of event is accepted and ignored', async () => {
  const other = { ...event(example.newUser(), 'pro'), type: 'invoice.paid' } as never;
  expect(await deliver(other)).toEqual({ status: 200, body: { applied: false } });
});

test('a user cannot apply a subscription itself, nor read or write the table', async () => {
  const user = example.newUser();
  const call = async (path: string, body?: object) => {
    const { status } = await fetch(`${example.url}/rest/v1/${path}`, {
      method: body ? 'POST' : 'GET',
      headers: {
        authorization: `Bearer ${await example.userToken(user)}`,
        'content-type': 'application/json',
      },
      body: body && JSON.stringify(body),
    });
    return status;
  };
  const change = { event_id: 'x', event_at: '2026-01-01', subject: user, plan: 'pro' };
  expect(await call('rpc/apply_subscription', change)).toBe(403);
  expect(await call('rpc/is_larger_plan', { plan: 'pro', other: 'free' })).toBe(403);
  expect(await call('rpc/set_plan', { subject: user, plan: 'pro' })).toBe(403);
  expect(await call('subscriptions')).toBe(403);
  expect(await planOf(user)).toBe('free');
});
