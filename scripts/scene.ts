/**
 * What pgquota is for, played over real HTTP: a free user uses up its month and is refused, a pro
 * user goes on. Throws when it does not come out that way, so that it proves something too.
 */
import { randomUUID } from 'node:crypto';
import type { PostgrestSingleResponse } from '@supabase/supabase-js';
import type { Stack } from './local/stack.ts';
import { connectSupabase } from './local/supabase.ts';
import type { Screen } from './screen.ts';
import { formatTable } from './table.ts';

const FEATURE = 'ai_generation';
const FREE_LIMIT = 50;
const PRO_CALLS = 120;
const COLUMNS = ['user', 'feature', 'plan', 'period', 'used', 'limit', 'remaining', 'status'];

export async function playScene(stack: Stack, screen: Screen): Promise<void> {
  const user = async (name: string) => {
    const id = `${name}-${randomUUID().slice(0, 8)}`;
    const token = await stack.userToken(id);
    return { name, id, client: connectSupabase(stack.url, stack.anonKey, async () => token) };
  };
  const service = connectSupabase(stack.url, stack.serviceRoleKey);
  const free = await user('free');
  const pro = await user('pro');

  const useUp = async ({ name, client }: typeof free, calls: number) => {
    for (let call = 1; call <= calls; call++) {
      const decision = must(await client.rpc('consume_usage', { feature: FEATURE }));
      expect(decision.allowed, `call ${call} of the ${name} user`, decision);
      screen.progress(call, calls);
    }
    screen.line(`  ${calls} of ${calls} allowed`);
  };

  screen.line(`A free user (${free.id}) uses its ${FREE_LIMIT} AI generations of the month:`);
  await useUp(free, FREE_LIMIT);

  const asked = must(await free.client.rpc('consume_usage', { feature: FEATURE }));
  expect(!asked.allowed && asked.reason === 'limit_reached', 'the refusal', asked);
  screen.line(`The ${FREE_LIMIT + 1}st is refused:`);
  screen.line(`  consume_usage  allowed ${asked.allowed}, reason ${asked.reason}`);

  const { status, error } = await free.client.rpc('enforce_usage', { feature: FEATURE });
  expect(status === 402 && error?.code === 'PT402' && error.hint, 'the error', { status, error });
  screen.line(`  enforce_usage  HTTP ${status}, code ${error?.code}, upgrade at ${error?.hint}`);

  screen.line(`A pro user (${pro.id}) goes on:`);
  must(await service.rpc('set_plan', { subject: pro.id, plan: 'pro' }));
  await useUp(pro, PRO_CALLS);

  screen.line('What each of them reads from current_usage:');
  const rows: Record<string, unknown>[] = [];
  for (const { name, client } of [free, pro]) {
    for (const row of must(await client.from('current_usage').select())) {
      rows.push({ ...row, user: name });
    }
  }
  const used = (name: string) =>
    rows.find((row) => row.user === name && row.feature === FEATURE && row.period === 'month')
      ?.used;
  expect(used('free') === FREE_LIMIT && used('pro') === PRO_CALLS, 'the counts', rows);
  for (const line of formatTable(rows, COLUMNS)) screen.line(`  ${line}`);
}

// biome-ignore lint/suspicious/noExplicitAny: the client has no types of this database here
function must({ data, error, status }: PostgrestSingleResponse<any>) {
  if (error) throw new Error(`HTTP ${status}, ${error.code}: ${error.message}`);
  return data;
}

function expect(truth: unknown, what: string, got: unknown): asserts truth {
  if (truth) return;
  throw new Error(
    `${what} came out differently: ${JSON.stringify(got)}. The scene needs the plans of ` +
      `supabase/seed.sql (free: ${FREE_LIMIT} AI generations a month, pro: unlimited).`,
  );
}
