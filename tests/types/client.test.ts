// The client over real HTTP: what it gives back, what it throws, and that a refusal counts nothing.
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { PostgrestClient } from '@supabase/postgrest-js';
import { createClient } from '@supabase/supabase-js';
import { afterAll, beforeAll, expect, test } from 'vitest';
import WebSocket from 'ws';
import { withClient } from '../../scripts/local/client.ts';
import { connectSupabase } from '../../scripts/local/supabase.ts';
import {
  createUsageClient,
  type UsageClient,
  UsageError,
  UsageLimitExceeded,
  UsageOutcomeUnknown,
  usageLimitResponse,
} from '../../types/index.ts';
import { setClock } from '../support/clock.ts';
import { createDatabase, type TestDatabase } from '../support/database.ts';
import { applyPlans } from '../support/plans.ts';
import { type Rest, startRest } from '../support/rest.ts';

let database: TestDatabase;
let rest: Rest;

beforeAll(async () => {
  database = await createDatabase();
  await withClient(database.url, async (client) => {
    await setClock(client, '2026-03-15T12:00:30Z'); // no minute ends between two calls
    await applyPlans(client);
  });
  rest = await startRest(database);
});

afterAll(async () => {
  await rest.stop();
  await database.drop();
});

async function failure(call: Promise<unknown>): Promise<unknown> {
  return call.then(
    (answer) => expect.unreachable(`it answered ${JSON.stringify(answer)}`),
    (error: unknown) => error,
  );
}

test('a signed-in user consumes its own allowance and reads it from the views', async () => {
  const usage = createUsageClient<'ai_generation' | 'export'>(rest.asUser('ann'));

  const decision = await usage.consumeUsage({ feature: 'ai_generation', amount: 3 });
  expect(decision).toMatchObject({ allowed: true, subject: 'ann', used: 3, remaining: 7 });

  const { data } = await usage
    .from('current_usage')
    .select()
    .eq('feature', 'ai_generation')
    .eq('period', 'month')
    .throwOnError();
  expect(data).toMatchObject([{ subject: 'ann', used: 3, limit: 50, remaining: 47 }]);
});

test('a refusal is an answer of consumeUsage and an error of enforceUsage', async () => {
  const usage = createUsageClient(rest.asUser('bob'));
  await usage.enforceUsage({ feature: 'export', amount: 5 });

  const refused = await usage.consumeUsage({ feature: 'export' });
  expect(refused).toMatchObject({ allowed: false, reason: 'limit_reached', used: 5 });

  const error = await failure(usage.enforceUsage({ feature: 'export' }));
  expect(error).toBeInstanceOf(UsageLimitExceeded);
  expect(error).toMatchObject({
    name: 'UsageLimitExceeded',
    code: 'USAGE_LIMIT_EXCEEDED',
    upgradeUrl: '/settings/billing',
    decision: { allowed: false, feature: 'export', used: 5, limit: 5 },
  });
  expect((await usage.checkUsage({ feature: 'export' })).used).toBe(5);
});

test('enforceUsage decides from the decision, so hidden error details do not matter', async () => {
  const paths: string[] = [];
  const supabase = connectSupabase(rest.url, rest.anonKey, () => rest.userToken('cem'));
  const usage = createUsageClient(spyOn(supabase, paths));
  await failure(usage.enforceUsage({ feature: 'export', amount: 6 }));
  expect(paths).toEqual(['consume_usage']);
});

test('a minute limit answers 429 and a month limit 402, as enforce_usage does over REST', async () => {
  const supabase = rest.asUser('dee');
  const usage = createUsageClient(supabase);
  for (const [feature, amount, status, seconds] of [
    ['ai_generation', 10, 429, 30],
    ['export', 5, 402, 16.5 * 86_400 - 30],
  ] as const) {
    await usage.consumeUsage({ feature, amount });
    const error = await failure(usage.enforceUsage({ feature }));
    const response = usageLimitResponse(error as UsageLimitExceeded);
    const raw = await supabase.rpc('enforce_usage', { feature });

    expect(response.status).toBe(status);
    expect(raw.status).toBe(status);
    expect(response.headers.get('retry-after')).toBe(String(seconds));
  }
});

test('errors carry the SQLSTATE, the hint and the HTTP status', async () => {
  const usage = createUsageClient(rest.asUser('eve'));
  const anon = createUsageClient(rest.asAnon());
  const service = createUsageClient(rest.asService());
  const cases: [() => Promise<unknown>, string, number][] = [
    [() => usage.consumeUsage({ feature: 'nothing' }), 'QFEAT', 400],
    [() => usage.consumeUsage({ feature: 'export', amount: 0 }), 'QAMNT', 400],
    [() => usage.consumeUsage({ feature: 'export', idempotency_key: '' }), 'QIDEM', 400],
    [() => usage.consumeUsage({ feature: 'export', subject: 'ann' }), '42501', 403],
    [() => usage.setPlan({ subject: 'eve', plan: 'pro' }), '42501', 403],
    [() => anon.checkUsage({ feature: 'export' }), '42501', 401],
    [() => service.checkUsage({ feature: 'export' }), 'QSUBJ', 400],
  ];
  for (const [call, code, status] of cases) {
    const error = await failure(call());
    expect(error).toBeInstanceOf(UsageError);
    expect(error).toMatchObject({ name: 'UsageError', code, status });
  }
  const error = await failure(usage.consumeUsage({ feature: 'nothing' }));
  expect((error as UsageError).hint).not.toBeNull();
});

test('the server puts a subject on a plan, and the call has no answer', async () => {
  const usage = createUsageClient(rest.asService());
  expect(await usage.setPlan({ subject: 'fay', plan: 'pro' })).toBeUndefined();
  const decision = await usage.consumeUsage({
    feature: 'ai_generation',
    amount: 500,
    subject: 'fay',
  });
  expect(decision).toMatchObject({ plan: 'pro', unlimited: true, limit: null, remaining: null });
});

test('a client of another schema still calls schema public', async () => {
  const supabase = createClient(rest.url, rest.anonKey, {
    accessToken: () => rest.userToken('gil'),
    db: { schema: 'app' },
    realtime: { transport: WebSocket as never },
  });
  const usage = createUsageClient(supabase);
  expect(await usage.checkUsage({ feature: 'export' })).toMatchObject({ allowed: true });
});

test('a PostgrestClient at PostgREST itself does the same', async () => {
  const headers = { Authorization: `Bearer ${await rest.userToken('gus')}` };
  for (const schema of ['app', 'public'] as const) {
    const usage = createUsageClient(new PostgrestClient(rest.postgrestUrl, { headers, schema }));
    expect(await usage.enforceUsage({ feature: 'export' })).toMatchObject({ subject: 'gus' });
  }
  const usage = createUsageClient(new PostgrestClient(rest.postgrestUrl, { headers }));
  const { data } = await usage.from('current_usage').select('feature, used').eq('used', 2);
  expect(data).toEqual([{ feature: 'export', used: 2 }]);
});

test('an aborted call is an error without code and status, never an answer', async () => {
  const usage = createUsageClient(rest.asUser('hal'));
  const error = await failure(
    usage.consumeUsage({ feature: 'export' }, { signal: AbortSignal.abort() }),
  );
  expect(error).toMatchObject({ name: 'UsageError', code: '', status: 0 });
});

test('no answer, an empty one, and one from something else than PostgREST are errors', async () => {
  for (const [status, body] of [
    [404, ''],
    [502, '<html>Bad gateway</html>'],
    [500, 'null'],
    [200, '<html>Sign in to the network</html>'],
    [200, ''],
    [200, '{}'],
    [200, '{"allowed": null, "reason": null}'],
  ] as const) {
    const { server, url } = await answering(status, body);
    const usage = createUsageClient(connectSupabase(url, 'key'));
    for (const call of ['consumeUsage', 'enforceUsage', 'checkUsage'] as const) {
      const error = await failure(usage[call]({ feature: 'export' }));
      expect(error, `${status} ${body}`).toBeInstanceOf(UsageError);
      expect((error as UsageError).code).toBe('');
      expect((error as UsageError).message).not.toBe('');
    }
    server.close();
  }
});

test('at a bare PostgREST supabase-js gets a 404 that says nothing, and the error says what to do', async () => {
  const calls: ((usage: UsageClient) => Promise<unknown>)[] = [
    (usage) => usage.consumeUsage({ feature: 'export', subject: 'ida' }),
    (usage) => usage.setPlan({ subject: 'ida', plan: 'pro' }),
    (usage) => usage.addMember({ subject: 'ida', user_id: 'jim' }),
    (usage) => usage.verifyUsage(),
  ];
  for (const call of calls) {
    const bare = createUsageClient(connectSupabase(rest.postgrestUrl, rest.serviceRoleKey));
    const error = await failure(call(bare));
    expect(error).toBeInstanceOf(UsageError);
    expect(error).toMatchObject({ status: 404, code: '' });
    expect((error as UsageError).message).toContain(`${rest.postgrestUrl}/rest/v1/rpc/`);
    expect((error as UsageError).hint).toContain('PostgrestClient');
    await call(createUsageClient(rest.asService()));
  }
});

test('an empty 404 of a proxy is no success of a call that returns nothing', async () => {
  const { server, url } = await answering(404, '');
  const headers = { Authorization: `Bearer ${rest.serviceRoleKey}` };
  for (const client of [connectSupabase(url, 'key'), new PostgrestClient(url, { headers })]) {
    expect(await client.rpc('set_plan', {})).toMatchObject({ error: null, status: 204 });
    for (const signal of [null, AbortSignal.timeout(5000)]) {
      const usage = createUsageClient(client);
      const error = await failure(usage.setPlan({ subject: 'ida', plan: 'pro' }, { signal }));
      expect(error).toMatchObject({ name: 'UsageError', status: 404 });
    }
  }
  server.close();
});

test('so it does where PostgREST 13 and later give that 404 a code, and where pgquota is missing', async () => {
  for (const [code, hint] of [
    ['PGRST125', /PostgrestClient/],
    ['PGRST202', /pgquota doctor/],
  ] as const) {
    const { server, url } = await answering(
      404,
      JSON.stringify({ code, message: 'No', hint: null }),
    );
    const usage = createUsageClient(connectSupabase(url, 'key'));
    const error = await failure(usage.setPlan({ subject: 'ida', plan: 'pro' }));
    expect(error).toMatchObject({ status: 404, code, hint: expect.stringMatching(hint) });
    server.close();
  }
});

test('such a 404 is no conclusive answer to withUsage, which says the same', async () => {
  const bare = createUsageClient(connectSupabase(rest.postgrestUrl, rest.serviceRoleKey));
  const work = () => expect.unreachable('the work ran');
  const options = { subject: 'ida', retries: 0 };
  const error = await failure(bare.withUsage('export', options, work));
  expect(error).toBeInstanceOf(UsageOutcomeUnknown);
  expect((error as UsageError).hint).toContain('PostgrestClient');
});

test('a service key beside a user’s Authorization header is that user: the 42501 names the cause', async () => {
  const Authorization = `Bearer ${await rest.userToken('kim')}`;
  const options = { realtime: { transport: WebSocket as never } };
  const edge = createClient(rest.url, rest.serviceRoleKey, {
    ...options,
    global: { headers: { Authorization } }, // as the templates of edge functions have it
  });
  const session = createClient(rest.url, rest.serviceRoleKey, {
    ...options,
    accessToken: () => rest.userToken('kim'),
  });
  const postgrest = new PostgrestClient(rest.postgrestUrl, {
    headers: { apikey: rest.serviceRoleKey, Authorization },
  });
  for (const [supabase, cause] of [
    [edge, 'Authorization header'],
    [session, 'accessToken'],
    [postgrest, 'Authorization header'],
  ] as const) {
    const usage = createUsageClient(supabase);
    for (const call of [
      () => usage.consumeUsage({ feature: 'export', subject: 'lou' }),
      () => usage.setPlan({ subject: 'lou', plan: 'pro' }),
      () => usage.verifyInstallation(),
    ]) {
      const error = await failure(call());
      expect(error).toMatchObject({ code: '42501', hint: expect.stringContaining(cause) });
    }
  }
  // SQL says it too, to whoever calls without this client
  const { error } = await edge.rpc('consume_usage', { feature: 'export', subject: 'lou' });
  expect(error).toMatchObject({ code: '42501', hint: expect.stringContaining('service key') });
  // and it is not said to a user, or where the service key is who called
  const user = createUsageClient(rest.asUser('kim'));
  const refused = (await failure(user.setPlan({ subject: 'kim', plan: 'pro' }))) as UsageError;
  expect([refused.code, refused.hint]).toEqual(['42501', null]);
});

test('one decision of a batch that is neither yes nor no fails the batch', async () => {
  const { server, url } = await answering(200, '[{"allowed": true}, {"allowed": null}]');
  const usage = createUsageClient(connectSupabase(url, 'key'));
  const error = await failure(usage.consumeUsageBatch({ items: [{ feature: 'export' }] }));
  expect(error).toBeInstanceOf(UsageError);
  server.close();
});

function spyOn(supabase: ReturnType<Rest['asUser']>, paths: string[]) {
  const schema = supabase.schema.bind(supabase);
  return Object.assign(supabase, {
    schema(name: string) {
      const client = schema(name);
      const rpc = client.rpc.bind(client);
      return Object.assign(client, {
        rpc: (...args: Parameters<typeof rpc>) => {
          paths.push(args[0]);
          return rpc(...args);
        },
      });
    },
  });
}

async function answering(status: number, body: string): Promise<{ server: Server; url: string }> {
  const server = createServer((_, response) => {
    response.writeHead(status).end(body);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return { server, url: `http://127.0.0.1:${(server.address() as AddressInfo).port}` };
}
