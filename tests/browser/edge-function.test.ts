/** The Edge Functions in Deno, as Supabase runs them. */
import { type ChildProcess, spawn } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { sign } from '../../examples/web/server/serve.ts';
import { choosePort } from '../../scripts/local/ports.ts';
import { type RunningExample, startExample } from '../support/example.ts';

const DENO = 'deno@2.9.6';
const FUNCTIONS = fileURLToPath(new URL('../../supabase/functions', import.meta.url));

let example: RunningExample;
let generate: Served;
let billing: Served;
beforeAll(async () => {
  example = await startExample();
  const environment = {
    SUPABASE_URL: example.url,
    SUPABASE_ANON_KEY: example.anonKey,
    SUPABASE_SERVICE_ROLE_KEY: example.serviceRoleKey,
    BILLING_WEBHOOK_SECRET: example.secret,
  };
  generate = await serve('generate', environment);
  billing = await serve('billing-webhook', environment);
}, 180_000);
afterAll(async () => {
  generate?.stop();
  billing?.stop();
  expect(await example.mismatches()).toEqual([]);
  await example.stop();
});

interface Served {
  url: string;
  stop(): void;
}

async function serve(name: string, environment: Record<string, string>): Promise<Served> {
  const port = await choosePort(undefined, '127.0.0.1');
  const folder = `${FUNCTIONS}/${name}`;
  const permissions = ['--allow-net', '--allow-env', '--check', '--no-lock'];
  const child: ChildProcess = spawn(
    'npx',
    ['--yes', DENO, 'run', ...permissions, `--config=${folder}/deno.json`, `${folder}/index.ts`],
    {
      env: { ...process.env, ...environment, DENO_SERVE_ADDRESS: `tcp:127.0.0.1:${port}` },
      detached: true,
    },
  );
  let output = '';
  await new Promise<void>((resolve, reject) => {
    const look = (chunk: unknown) => {
      output += chunk;
      if (/Listening on/.test(output)) resolve();
    };
    child.stdout?.on('data', look);
    child.stderr?.on('data', look);
    child.once('error', reject);
    child.once('exit', (code) => reject(new Error(`${name} ended with ${code}:\n${output}`)));
  });
  return {
    url: `http://127.0.0.1:${port}`,
    stop: () => process.kill(-(child.pid as number)),
  };
}

async function ask(user: string | null, body: unknown, signal?: AbortSignal) {
  const headers: Record<string, string> = { 'content-type': 'application/json' };
  if (user) headers.authorization = `Bearer ${await example.userToken(user)}`;
  return fetch(generate.url, { method: 'POST', headers, body: JSON.stringify(body), signal });
}

test('generate writes, counts, and is asked from another origin', async () => {
  const user = example.newUser();
  const response = await ask(user, { prompt: 'fair limits', drafts: 2 });
  expect(response.status).toBe(200);
  expect(response.headers.get('access-control-allow-origin')).toBe('*');
  expect(await response.text()).toMatch(/"done":true/);
  expect(await example.used(user)).toEqual({ used: 2, reserved: 0 });

  const preflight = await fetch(generate.url, { method: 'OPTIONS' });
  expect(preflight.status).toBe(204);
  expect(preflight.headers.get('access-control-allow-headers')).toMatch(/authorization/);
});

test('generate refuses: 401 without a user, 402 at the limit', async () => {
  expect((await ask(null, { prompt: 'x' })).status).toBe(401);
  const user = example.newUser();
  await example.admin.query(`select public.consume_usage('ai_generation', 50, $1)`, [user]);
  const refused = await ask(user, { prompt: 'x' });
  expect(refused.status).toBe(402);
  expect(await refused.json()).toMatchObject({ code: 'USAGE_LIMIT_EXCEEDED', used: 50, limit: 50 });
});

test('a failed generation costs nothing, and one that was left what was begun', async () => {
  const user = example.newUser();
  expect(await (await ask(user, { prompt: '[fail]' })).text()).toMatch(/GENERATION_FAILED/);
  expect(await example.used(user)).toEqual({ used: 0, reserved: 0 });
  const stop = new AbortController();
  const response = await ask(user, { prompt: 'left', drafts: 5 }, stop.signal);
  await (response.body as ReadableStream<Uint8Array>).getReader().read();
  stop.abort();
  await expect.poll(() => example.used(user)).toEqual({ used: 1, reserved: 0 });
});

test('a body that is too large is 413, before anybody is asked who it is', async () => {
  const body = 'x'.repeat(2_000_000);
  const post = (url: string) => fetch(url, { method: 'POST', body });
  expect((await post(generate.url)).status).toBe(413);
  expect((await post(billing.url)).status).toBe(413);
});

test('the billing webhook changes the plan once', async () => {
  const user = example.newUser();
  const deliver = () => {
    const timestamp = '2026-11-10T12:00:00Z';
    const data = { subject: user, plan: 'pro', billing_anchor: null, ends_at: null };
    const event = { type: 'subscription.updated', timestamp, data } as const;
    return fetch(new Request(billing.url, sign(example.secret, event, 'msg_edge')));
  };
  expect(await (await deliver()).json()).toEqual({ applied: true });
  expect(await (await deliver()).json()).toEqual({ applied: false });
  expect((await fetch(billing.url, { method: 'POST', body: '{}' })).status).toBe(401);
  const { rows } = await example.admin.query(
    `select plan from public.check_usage('ai_generation', 1, $1)`,
    [user],
  );
  expect(rows[0].plan).toBe('pro');
});
