// docs/breakdown.md is run, over HTTP: what it calls gives what it says, to the server and to a member.
import { afterAll, beforeAll, expect, test } from 'vitest';
import { createUsageClient, type UsageClient } from '../../types/index.ts';
import { createDatabase, type TestDatabase } from '../support/database.ts';
import { applyPlans } from '../support/plans.ts';
import { type Rest, startRest } from '../support/rest.ts';
import { blocksOf } from './client-page.ts';

const { page, blocks } = blocksOf('docs/breakdown.md');
let database: TestDatabase;
let rest: Rest;

beforeAll(async () => {
  database = await createDatabase();
  const owner = await database.connect();
  await applyPlans(owner, {
    features: { ai_token: {} },
    plans: { free: { default: true, limits: { ai_token: { month: 10_000 } } } },
  });
  rest = await startRest(database);
});
afterAll(async () => {
  await rest?.stop();
  await database?.drop();
});

/** Runs a block; gives what it logs. */
async function runBlock(name: string, usage: UsageClient, userId: string): Promise<unknown[]> {
  const code = blocks.find((block) => block.name === name)?.code as string;
  let logged: unknown[] = [];
  const console = { log: (...values: unknown[]) => (logged = values) };
  const AsyncFunction = (async () => {}).constructor as new (
    ...parts: string[]
  ) => (...values: unknown[]) => Promise<void>;
  await new AsyncFunction('usage', 'userId', 'console', code)(usage, userId, console);
  return logged;
}

test('the page names a user and a project, and is told who used what', async () => {
  const usage = createUsageClient(rest.asService());
  await runBlock('use.ts', usage, 'maya');
  await usage.consumeUsage({ feature: 'ai_token', amount: 40, subject: 'acme' });
  const logged = await runBlock('page.ts', usage, 'maya');
  expect(logged).toEqual([
    [
      { value: 'maya', used: 900, calls: 1 },
      { value: null, used: 40, calls: 1 },
    ],
    [
      { value: 'website', used: 900, calls: 1 },
      { value: null, used: 40, calls: 1 },
    ],
    [],
  ]);
  expect(page).toContain(
    "[{ value: 'maya', used: 900, calls: 1 }, { value: null, used: 40, calls: 1 }]",
  );

  await usage.addMember({ subject: 'acme', user_id: 'zoe' });
  const zoe = createUsageClient(rest.asUser('zoe'));
  expect(await runBlock('page.ts', zoe, 'zoe')).toEqual(logged);
  await zoe.consumeUsage({ feature: 'ai_token', amount: 50, subject: 'acme' });
  expect((await zoe.usageBreakdown({ feature: 'ai_token', subject: 'acme' }))[1]).toEqual({
    value: 'zoe',
    used: 50,
    calls: 1,
  });
  const stranger = createUsageClient(rest.asUser('stranger'));
  await expect(runBlock('page.ts', stranger, 'stranger')).rejects.toMatchObject({ code: '42501' });
});
