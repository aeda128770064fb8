// docs/merging.md is run, over HTTP: the story of an anonymous trial that becomes an account.
import { afterAll, beforeAll, expect, test } from 'vitest';
import { createUsageClient, type UsageClient } from '../../types/index.ts';
import { createDatabase, type TestDatabase } from '../support/database.ts';
import { applyPlans } from '../support/plans.ts';
import { type Rest, startRest } from '../support/rest.ts';
import { blocksOf } from './client-page.ts';

const { blocks } = blocksOf('docs/merging.md');
const feature = 'ai_generation';
let database: TestDatabase;
let rest: Rest;

beforeAll(async () => {
  database = await createDatabase();
  await applyPlans(await database.connect(), {
    features: { [feature]: {} },
    plans: {
      trial: { default: true, limits: { [feature]: { month: 5 } } },
      starter: { limits: { [feature]: { month: 8 } } },
    },
  });
  rest = await startRest(database);
});
afterAll(async () => {
  await rest?.stop();
  await database?.drop();
});

/** Runs the block of the page that merges. */
async function signUp(usage: UsageClient, anonymousId: string, userId: string): Promise<void> {
  const [{ code } = { code: '' }] = blocks;
  const AsyncFunction = (async () => {}).constructor as new (
    ...parts: string[]
  ) => (...values: unknown[]) => Promise<void>;
  await new AsyncFunction('usage', 'anonymousId', 'userId', code)(usage, anonymousId, userId);
}

test('an anonymous trial becomes an account: nothing is lost, nothing is free again', async () => {
  const usage = createUsageClient(rest.asService());
  const visitor = createUsageClient(rest.asUser('anon-1'));
  const first = await visitor.consumeUsage({ feature, amount: 3, idempotency_key: 'first' });
  expect(first).toMatchObject({ allowed: true, subject: 'anon-1', remaining: 2 });
  const hold = await usage.reserveUsage({ feature, subject: 'anon-1' });

  await usage.setPlan({ subject: 'maya', plan: 'starter' });
  const maya = createUsageClient(rest.asUser('maya'));
  await maya.consumeUsage({ feature });
  await signUp(usage, 'anon-1', 'maya');
  await signUp(usage, 'anon-1', 'maya');

  // 3 used and 1 held before, 1 by the account itself: of 8.
  expect(await maya.checkUsage({ feature })).toMatchObject({ used: 4, reserved: 1, remaining: 3 });
  const bar = await maya.from('current_usage').select('used, plan');
  expect(bar.data).toEqual([{ used: 4, plan: 'starter' }]);

  // The session of before: no allowance of its own, nothing to see, the first answer again for a retry.
  expect(await visitor.consumeUsage({ feature, amount: 4 })).toMatchObject({
    allowed: false,
    subject: 'maya',
  });
  expect(
    await visitor.consumeUsage({ feature, amount: 3, idempotency_key: 'first' }),
  ).toMatchObject({ replayed: true, event_id: first.event_id });
  for (const view of ['current_usage', 'usage_events', 'usage_history'] as const) {
    expect((await visitor.from(view).select()).data).toEqual([]);
  }

  // What was begun before ends where it is now.
  const commit = await usage.commitUsage({
    reservation_id: hold.reservation_id as string,
    subject: 'anon-1',
  });
  expect(commit).toMatchObject({ subject: 'maya', used: 5, reserved: 0 });
  await usage.refundUsage({ event_id: first.event_id as string, amount: 1 });
  expect(await maya.checkUsage({ feature })).toMatchObject({ used: 4, remaining: 4 });
  expect(await visitor.consumeUsage({ feature, amount: 4 })).toMatchObject({ subject: 'maya' });
  expect(await maya.consumeUsage({ feature })).toMatchObject({ allowed: false, used: 8 });
  expect(await usage.verifyUsage()).toEqual([]);

  await expect(signUp(usage, 'maya', 'anon-1')).rejects.toMatchObject({ code: 'QSUBJ' });
  await expect(signUp(visitor, 'maya', 'anon-1')).rejects.toMatchObject({ code: '42501' });
});
