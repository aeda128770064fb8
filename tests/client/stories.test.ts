// Seven stories of teams, credits and names, as a server and its users live them: PostgREST, the client, one
// database, and a ledger that is proved at the end of each.
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from 'vitest';
import { createUsageClient, type UsageClient, UsageLimitExceeded } from '../../types/index.ts';
import { setClock } from '../support/clock.ts';
import { applyPlans } from '../support/plans.ts';
import { NOON, startTestApi, type TestApi } from './api.ts';

const PLANS = {
  features: {
    ai_call: { name: 'AI calls' },
    image: { costs: { credit: 10 } },
    token: { costs: { credit: '1/1000' }, hidden: true },
    video: { costs: { credit: '5/2' } },
    credit: { name: 'Credits' },
  },
  plans: {
    free: { default: true, limits: { ai_call: { month: 50 }, credit: { month: 100 } } },
    key: { limits: { ai_call: { day: 20 } } },
    user: { limits: { ai_call: { month: 60 } } },
    org: {
      upgrade_url: '/billing',
      limits: { ai_call: { month: 100 }, credit: { month: 1000 } },
    },
    seats: {
      upgrade_url: '/more-seats',
      limits: { ai_call: { month: 100 }, credit: { month: 1000 } },
      per_member: { ai_call: { month: 40 }, credit: { month: 300 } },
    },
  },
};
type Feature = keyof typeof PLANS.features;

let api: TestApi;
let server: UsageClient<Feature>;
const signedIn = (user: string) => createUsageClient<Feature>(api.rest.asUser(user));
const used = async (
  subject: string,
  feature: Feature = 'ai_call',
  member: string | null = null,
) => {
  const rows = server.from('current_usage').select('used').eq('subject', subject);
  const { data } = await rows.eq('feature', feature).is('member', member as null);
  return data?.[0]?.used;
};

beforeAll(async () => {
  api = await startTestApi();
  await applyPlans(api.owner, PLANS);
  server = createUsageClient<Feature>(api.rest.asService());
});
beforeEach(() => setClock(api.owner, NOON));
afterEach(async () => expect(await server.verifyUsage()).toEqual([]));
afterAll(() => api.stop());

test('a key, its user and the budget of the team: the tightest of the three says no, and which it was', async () => {
  await server.setPlan({ subject: 'acme', plan: 'org' });
  await server.setPlan({ subject: 'user:ada', plan: 'user' });
  await server.setPlan({ subject: 'key:1', plan: 'key' });
  await server.setParent({ subject: 'user:ada', parent: 'acme' });
  await server.setParent({ subject: 'key:1', parent: 'user:ada' });
  const call = (subject: string, amount: number) =>
    server.consumeUsage({ feature: 'ai_call', subject, amount });

  expect(await call('key:1', 15)).toMatchObject({ limiting_subject: 'key:1', remaining: 5 });
  expect(await call('key:1', 6)).toMatchObject({ allowed: false, limiting_subject: 'key:1' });
  // Not by this key: the user itself, and then somebody else of the team.
  expect(await call('user:ada', 40)).toMatchObject({ limiting_subject: 'user:ada', remaining: 5 });
  expect(await call('acme', 42)).toMatchObject({ limiting_subject: 'acme', remaining: 3 });
  expect(await call('key:1', 4)).toMatchObject({
    allowed: false,
    limiting_subject: 'acme',
    plan: 'org',
    upgrade_url: '/billing',
  });
  expect(await call('key:1', 3)).toMatchObject({ allowed: true, remaining: 0 });
  expect([await used('key:1'), await used('user:ada'), await used('acme')]).toEqual([18, 58, 100]);
});

test('seats with caps of their own: one member is at its cap while the team has room', async () => {
  await server.setPlan({ subject: 'studio', plan: 'seats' });
  for (const user_id of ['bob', 'eve', 'owner']) {
    await server.addMember({ subject: 'studio', user_id });
  }
  const [bob, eve] = [signedIn('bob'), signedIn('eve')];
  const call = { feature: 'ai_call', subject: 'studio' } as const;

  await bob.consumeUsage({ ...call, amount: 40 });
  const refused = await bob.enforceUsage(call).catch((error) => error);
  expect(refused).toBeInstanceOf(UsageLimitExceeded);
  expect(refused.decision).toMatchObject({
    limiting_subject: 'studio',
    limiting_member: 'bob',
    used: 40,
    limit: 40,
    upgrade_url: '/more-seats',
  });
  expect(await eve.consumeUsage(call)).toMatchObject({ allowed: true, limiting_member: 'eve' });
  // The server says for whom it calls, and meets the same cap.
  expect(await server.consumeUsage({ ...call, actor: 'bob' })).toMatchObject({ allowed: false });

  const shown = async (client: typeof bob) => {
    const rows = client.from('current_usage').select('member, used, limit');
    const { data } = await rows.eq('subject', 'studio').eq('feature', 'ai_call').order('used');
    return data;
  };
  expect(await shown(eve)).toEqual([
    { member: 'eve', used: 1, limit: 40 },
    { member: null, used: 41, limit: 100 },
  ]);
  expect(await bob.usageBreakdown({ feature: 'ai_call', subject: 'studio' })).toEqual([
    { value: 'bob', used: 40, calls: 1 },
  ]);
  // The app knows who owns what.
  await api.owner.query(`
    create or replace function quota.sees_members(p_user_id text, p_subject_id text)
    returns boolean language plpgsql stable set search_path = pg_catalog, pg_temp
    as $$ begin return p_user_id = 'owner' and p_subject_id = 'studio'; end $$`);
  expect(await shown(signedIn('owner'))).toEqual([
    { member: 'owner', used: 0, limit: 40 },
    { member: 'eve', used: 1, limit: 40 },
    { member: 'bob', used: 40, limit: 40 },
    { member: null, used: 41, limit: 100 },
  ]);
});

test('a pool of credits with three priced features, and what they went for', async () => {
  const user = signedIn('zoe');
  await user.consumeUsage({ feature: 'image', amount: 3 });
  await user.consumeUsage({ feature: 'token', amount: 20_500 });
  expect(await user.consumeUsage({ feature: 'video', amount: 11 })).toMatchObject({
    allowed: true,
    limiting_feature: 'credit',
    remaining: 21,
  });
  const [first, second] = await user.consumeUsageBatch({
    items: [{ feature: 'image' }, { feature: 'video', amount: 5 }],
  });
  expect([first?.reason, second?.reason]).toEqual(['not_taken', 'limit_reached']);
  await server.grantUsage({ feature: 'credit', amount: 10, subject: 'zoe' });
  const [image, video] = await user.consumeUsageBatch({
    items: [{ feature: 'image' }, { feature: 'video', amount: 5 }],
  });
  expect([image?.allowed, video?.remaining]).toEqual([true, 8]);
  expect(await user.usageBreakdown({ feature: 'credit', by: 'feature' })).toEqual([
    { value: 'video', used: 41, calls: 2 },
    { value: 'image', used: 40, calls: 2 },
    { value: 'token', used: 21, calls: 1 },
  ]);
});

test("a contractor's cap: less than a member's, for some days, and its holds count", async () => {
  await server.setPlan({ subject: 'forge', plan: 'seats' });
  await server.setLimit({
    subject: 'forge',
    feature: 'credit',
    period: 'month',
    limit: 50,
    member: 'kim',
    ends_at: '2026-01-20T00:00:00Z',
  });
  const call = { feature: 'image', subject: 'forge', actor: 'kim' } as const;
  const held = await server.reserveUsage({ ...call, amount: 4 });
  expect(held).toMatchObject({ allowed: true, limiting_member: 'kim', remaining: 10 });
  expect(await server.consumeUsage({ ...call, amount: 2 })).toMatchObject({
    allowed: false,
    limiting_member: 'kim',
    limiting_feature: 'credit',
  });
  expect(await server.consumeUsage({ ...call, amount: 2, partial: true })).toMatchObject({
    amount: 1,
    remaining: 0,
  });
  const reservation_id = held.reservation_id as string;
  expect(await server.commitUsage({ reservation_id, amount: 1 })).toMatchObject({ remaining: 30 });
  await setClock(api.owner, '2026-01-20T00:00:00Z');
  // By itself the plan's cap holds again.
  expect(await server.consumeUsage({ ...call, amount: 28 })).toMatchObject({ remaining: 0 });
});

test('a team is moved to another organisation in the middle of a month', async () => {
  await server.setPlan({ subject: 'north', plan: 'org' });
  await server.setPlan({ subject: 'south', plan: 'seats' });
  await server.setParent({ subject: 'team', parent: 'north' });
  const call = { feature: 'ai_call', subject: 'team', actor: 'lee' } as const;
  const { event_id } = await server.consumeUsage({ ...call, amount: 30 });
  const hold = await server.reserveUsage({ ...call, amount: 5 });

  await setClock(api.owner, '2026-01-15T00:00:00Z');
  await server.setParent({ subject: 'team', parent: 'south' });
  expect(await server.consumeUsage({ ...call, amount: 40 })).toMatchObject({
    limiting_subject: 'south',
    limiting_member: 'lee',
    remaining: 0,
  });
  // What was used before stays where it counted, and so does what comes back of it.
  await server.refundUsage({ event_id: event_id as string, amount: 10 });
  await server.commitUsage({ reservation_id: hold.reservation_id as string, amount: 5 });
  expect([await used('north'), await used('south')]).toEqual([25, 40]);
});

test('an anonymous trial becomes an account', async () => {
  const visitor = signedIn('anon:7');
  await visitor.consumeUsage({ feature: 'ai_call', amount: 45 });
  const open = await server.reserveUsage({ feature: 'ai_call', amount: 3, subject: 'anon:7' });
  const account = signedIn('mia');
  await account.consumeUsage({ feature: 'ai_call' });

  await server.mergeSubjects({ from_subject: 'anon:7', into_subject: 'mia' });
  await server.mergeSubjects({ from_subject: 'anon:7', into_subject: 'mia' });
  expect(await account.checkUsage({ feature: 'ai_call', amount: 2 })).toMatchObject({
    allowed: false,
    used: 46,
    reserved: 3,
  });
  // No fresh allowance under the old name.
  expect(await visitor.consumeUsage({ feature: 'ai_call', amount: 2 })).toMatchObject({
    allowed: false,
    subject: 'mia',
  });
  const reservation_id = open.reservation_id as string;
  expect(await server.commitUsage({ reservation_id })).toMatchObject({ subject: 'mia', used: 49 });
});

test('a use that cost credits is refunded after the month turned', async () => {
  await server.setPlan({ subject: 'atelier', plan: 'seats' });
  const call = { feature: 'image', subject: 'atelier', actor: 'pia' } as const;
  const { event_id } = await server.consumeUsage({ ...call, amount: 30 });
  expect(await server.consumeUsage(call)).toMatchObject({ allowed: false, limiting_member: 'pia' });

  await setClock(api.owner, '2026-02-03T12:00:00Z');
  await server.consumeUsage({ ...call, amount: 2 });
  expect(await server.refundUsage({ event_id: event_id as string, amount: 10 })).toMatchObject({
    amount: 10,
    used: 20,
  });
  // In the month of the use, of the organisation and of the member, and not a unit in this one.
  const { data } = await server
    .from('usage_history')
    .select('period_start, used')
    .eq('subject', 'atelier')
    .eq('feature', 'credit')
    .order('period_start');
  expect(data?.map((row) => row.used)).toEqual([200, 20]);
  expect(await used('atelier', 'credit')).toBe(20);
  expect(
    await server.usageBreakdown({
      feature: 'credit',
      subject: 'atelier',
      since: '2026-01-01T00:00:00Z',
      until: '2026-02-01T00:00:00Z',
    }),
  ).toEqual([{ value: 'pia', used: 200, calls: 1 }]);
});
