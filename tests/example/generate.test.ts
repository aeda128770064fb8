import { request as httpRequest } from 'node:http';
import { setTimeout as sleep } from 'node:timers/promises';
import { SignJWT } from 'jose';
import { afterAll, beforeAll, expect, test } from 'vitest';
import WebSocket from 'ws';
import { connectSupabase } from '../../scripts/local/supabase.ts';
import { createGenerate } from '../../supabase/functions/_shared/generate.ts';
import { createStandIn } from '../../supabase/functions/_shared/model.ts';
import { type RunningExample, startExample } from '../support/example.ts';

let example: RunningExample;
beforeAll(async () => {
  example = await startExample(createStandIn(1));
});
afterAll(async () => {
  expect(await example.mismatches()).toEqual([]);
  await example.stop();
});

const PROMPT = 'fair limits';

async function ask(user: string | null, body: unknown, init: RequestInit = {}): Promise<Response> {
  const headers: Record<string, string> = { 'content-type': 'application/json' };
  if (user) headers.authorization = `Bearer ${await example.userToken(user)}`;
  return fetch(`${example.url}/api/generate`, {
    method: 'POST',
    headers,
    body: JSON.stringify(body),
    ...init,
  });
}

// biome-ignore lint/suspicious/noExplicitAny: each line is looked at by what it should be
const linesOf = async (response: Response): Promise<any[]> =>
  (await response.text())
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line));

test('writes what was asked for, counts it, and keeps the tokens in the ledger', async () => {
  const user = example.newUser();
  const response = await ask(user, { prompt: PROMPT, drafts: 2 });
  expect(response.status).toBe(200);
  const lines = await linesOf(response);
  const text = (draft: number) =>
    lines
      .filter((line) => line.draft === draft)
      .map((line) => line.text)
      .join('');
  expect(text(0)).toContain(PROMPT);
  expect(text(1)).toContain(PROMPT);
  expect(lines.at(-1)).toMatchObject({ done: true, usage: { used: 2, reserved: 0, plan: 'free' } });
  const { rows } = await example.admin.query(
    `select metadata ->> 'tokens' as tokens from public.usage_events
     where subject = $1 and kind = 'commit'`,
    [user],
  );
  expect(Number(rows[0].tokens)).toBeGreaterThan(20);
});

test('a failing model costs nothing, and the answer says that it failed', async () => {
  const user = example.newUser();
  const lines = await linesOf(await ask(user, { prompt: '[fail]', drafts: 3 }));
  expect(lines.at(-1)).toMatchObject({ code: 'GENERATION_FAILED' });
  expect(await example.used(user)).toEqual({ used: 0, reserved: 0 });
});

test('at the limit: 402 with the code, the upgrade and what was used; nothing is generated', async () => {
  const user = example.newUser();
  for (let times = 0; times < 5; times++)
    await linesOf(await ask(user, { prompt: PROMPT, drafts: 10 }));
  const response = await ask(user, { prompt: PROMPT });
  expect(response.status).toBe(402);
  expect(await response.json()).toMatchObject({
    code: 'USAGE_LIMIT_EXCEEDED',
    upgrade_url: '/settings/billing',
    used: 50,
    limit: 50,
    remaining: 0,
  });
  expect(await example.used(user)).toEqual({ used: 50, reserved: 0 });
});

test('a limit that soon has room again: 429 with Retry-After', async () => {
  const user = example.newUser();
  await example.admin.query(`select public.set_limit($1, 'ai_generation', 'hour', 2)`, [user]);
  await linesOf(await ask(user, { prompt: PROMPT, drafts: 2 }));
  const second = await ask(user, { prompt: PROMPT });
  expect(second.status).toBe(429);
  expect(Number(second.headers.get('retry-after'))).toBeGreaterThanOrEqual(1);
  expect(await second.json()).toMatchObject({ code: 'USAGE_LIMIT_EXCEEDED', period: 'hour' });
});

test.for<[string, () => string | null]>([
  ['no token', () => null],
  ['a token that is none', () => 'Bearer nonsense'],
  ['a token of another signer', () => `Bearer ${example.anonKey.slice(0, -4)}AAAA`],
  ['the anon key', () => `Bearer ${example.anonKey}`],
  ['the service key', () => `Bearer ${example.serviceRoleKey}`],
])('%s is 401', async ([, authorization]) => {
  const value = authorization();
  const headers = value ? { authorization: value } : undefined;
  const response = await ask(null, { prompt: PROMPT }, { headers });
  expect(response.status).toBe(401);
  expect(await response.json()).toMatchObject({ code: 'UNAUTHENTICATED' });
});

test('an expired token is 401', async () => {
  const token = await new SignJWT({ sub: example.newUser(), role: 'authenticated' })
    .setProtectedHeader({ alg: 'HS256' })
    .setExpirationTime(new Date(Date.now() - 120_000))
    .sign(new TextEncoder().encode(example.jwtSecret));
  const response = await ask(
    null,
    { prompt: PROMPT },
    { headers: { authorization: `Bearer ${token}` } },
  );
  expect(response.status).toBe(401);
});

test.for([
  [{}],
  [{ prompt: '' }],
  [{ prompt: 'x'.repeat(2001) }],
  [{ prompt: PROMPT, drafts: 0 }],
  [{ prompt: PROMPT, drafts: 11 }],
  [{ prompt: PROMPT, drafts: 1.5 }],
  [{ prompt: PROMPT, drafts: '2' }],
])('%j is 400 and counts nothing', async ([body]) => {
  const user = example.newUser();
  expect((await ask(user, body)).status).toBe(400);
  expect(await example.used(user)).toEqual({ used: 0, reserved: 0 });
});

test('a body that is no JSON is 400, another method is not served', async () => {
  expect((await ask(example.newUser(), null, { body: '{' })).status).toBe(400);
  const { status } = await fetch(`${example.url}/api/generate`, { method: 'PUT' });
  expect(status).toBe(404);
});

/** Reads until `seen` is there, and hangs up. Gives what was read: nothing when it was refused. */
async function leaveAfter(seen: string, user: string, drafts = 1): Promise<string> {
  const stop = new AbortController();
  const response = await ask(user, { prompt: PROMPT, drafts }, { signal: stop.signal });
  let text = '';
  if (response.status === 200) {
    const reader = (response.body as ReadableStream<Uint8Array>).getReader();
    const decoder = new TextDecoder();
    while (!text.includes(seen)) text += decoder.decode((await reader.read()).value);
  }
  stop.abort();
  return text;
}

test('fifty-five readers who leave before the last word: fifty of them had content, and it is paid', async () => {
  const user = example.newUser();
  const read: string[] = [];
  for (let times = 0; times < 11; times++) {
    read.push(...(await Promise.all(Array.from({ length: 5 }, () => leaveAfter('text', user)))));
    await expect.poll(async () => (await example.used(user)).reserved).toBe(0);
  }
  expect(read.filter((text) => text !== '')).toHaveLength(50);
  expect(await example.used(user)).toEqual({ used: 50, reserved: 0 });
});

test('who leaves in a draft pays for it and those before, not for what was not begun', async () => {
  const user = example.newUser();
  await leaveAfter('"draft":0', user, 5);
  await expect.poll(() => kindsOf(user)).toEqual(['reserve', 'commit']);
  expect(await example.used(user)).toEqual({ used: 1, reserved: 0 });

  const another = example.newUser();
  await leaveAfter('"draft":2', another, 10);
  await expect.poll(() => kindsOf(another)).toEqual(['reserve', 'commit']);
  const { used, reserved } = await example.used(another);
  expect(used).toBeGreaterThanOrEqual(3);
  expect(used).toBeLessThan(10);
  expect(reserved).toBe(0);
});

test('a model that does not look at the signal is left alone, and the reader who left pays the same', async () => {
  let isAsked = 0;
  let go = () => {};
  const generate = createGenerate({
    asUser: (token) => connectSupabase(example.url, example.anonKey, async () => token),
    asService: connectSupabase(example.url, example.serviceRoleKey),
    model: async function* () {
      isAsked++;
      yield { text: 'a word' };
      await new Promise<void>((resolve) => {
        go = resolve;
      });
      yield { text: 'another', tokens: 2 };
    },
  });
  const user = example.newUser();
  const response = await generate(await requestOf(user, { prompt: PROMPT, drafts: 3 }));
  const reader = (response.body as ReadableStream<Uint8Array>).getReader();
  await reader.read();
  await reader.cancel();
  await expect.poll(() => example.used(user)).toEqual({ used: 1, reserved: 0 });
  go();
  await sleep(20);
  expect(isAsked).toBe(1);
});

test('who leaves before a word was written pays nothing', async () => {
  let isAsked = () => {};
  const asked = new Promise<void>((resolve) => {
    isAsked = resolve;
  });
  const generate = createGenerate({
    asUser: (token) => connectSupabase(example.url, example.anonKey, async () => token),
    asService: connectSupabase(example.url, example.serviceRoleKey),
    model: async function* () {
      isAsked();
      await new Promise(() => {});
    },
  });
  const user = example.newUser();
  const stop = new AbortController();
  const request = await requestOf(user, { prompt: PROMPT, drafts: 3 }, stop.signal);
  const response = await generate(request);
  await asked;
  stop.abort();
  await expect.poll(() => kindsOf(user)).toEqual(['reserve', 'release']);
  expect(response.status).toBe(200);
  expect(await example.used(user)).toEqual({ used: 0, reserved: 0 });
});

test('two bodies of 150 MB are refused with 413 and hardly read', async () => {
  const MEGABYTE = 1024 * 1024;
  const before = process.memoryUsage().rss;
  let most = 0;
  let sent = 0;
  const large = () => {
    let left = 150;
    return new ReadableStream<Uint8Array>({
      pull(controller) {
        most = Math.max(most, process.memoryUsage().rss - before);
        sent += MEGABYTE;
        controller.enqueue(new Uint8Array(MEGABYTE).fill(0x20));
        if (--left === 0) controller.close();
      },
    });
  };
  const generate = createGenerate({
    asUser: () => expect.unreachable('nobody is asked who it is'),
    asService: connectSupabase(example.url, example.serviceRoleKey),
    model: createStandIn(1),
  });
  const answers = await Promise.all(
    [large(), large()].map((body) =>
      generate(
        new Request('http://localhost/api/generate', {
          method: 'POST',
          body,
          duplex: 'half',
        } as RequestInit),
      ),
    ),
  );
  for (const answer of answers) {
    expect(answer.status).toBe(413);
    expect(await answer.json()).toMatchObject({ code: 'TOO_LARGE' });
  }
  expect(sent).toBeLessThan(10 * MEGABYTE);
  expect(most).toBeLessThan(100 * MEGABYTE);
});

test.for<[string, string]>([
  ['the AI endpoint', '/api/generate'],
  ['the billing webhook', '/api/billing/webhook'],
])('over HTTP %s answers 413 to a body that says nothing of its length', async ([, path]) => {
  const status = await new Promise<number | undefined>((resolve, reject) => {
    const request = httpRequest(`${example.url}${path}`, { method: 'POST' }, (response) => {
      response.resume();
      resolve(response.statusCode);
    });
    request.on('error', reject);
    for (let sent = 0; sent < 20; sent++) request.write(Buffer.alloc(1024 * 1024, 0x20));
    request.end();
  });
  expect(status).toBe(413);
  expect((await ask(null, { prompt: PROMPT })).status).toBe(401); // and it serves on
});

test('a body of just the longest prompt is served, in any spelling', async () => {
  const user = example.newUser();
  const prompt = '\u00fc'.repeat(2000);
  const escaped = `{"prompt":"${'\\u00fc'.repeat(2000)}"}`;
  const twice = [JSON.stringify({ prompt }), escaped];
  for (const body of twice) expect((await ask(user, null, { body })).status).toBe(200);
});

test('twenty at once for fifteen of room: fifteen are written, five are refused', async () => {
  const user = example.newUser();
  await example.admin.query(`select public.set_limit($1, 'ai_generation', 'month', 15)`, [user]);
  const responses = await Promise.all(
    Array.from({ length: 20 }, () => ask(user, { prompt: PROMPT })),
  );
  const statuses = responses.map(({ status }) => status);
  await Promise.all(responses.map((response) => response.text()));
  expect(statuses.filter((status) => status === 200)).toHaveLength(15);
  expect(statuses.filter((status) => status === 402)).toHaveLength(5);
  expect(await example.used(user)).toEqual({ used: 15, reserved: 0 });
});

test('a model that fails later: the drafts before it were delivered and count, the rest comes back', async () => {
  let drafts = 0;
  const generate = createGenerate({
    asUser: (token) => connectSupabase(example.url, example.anonKey, async () => token),
    asService: connectSupabase(example.url, example.serviceRoleKey),
    model: async function* () {
      yield { text: 'a draft' };
      if (++drafts === 3) throw new Error('overloaded');
      yield { tokens: 2 };
    },
  });
  const user = example.newUser();
  const request = new Request('http://localhost/api/generate', {
    method: 'POST',
    headers: { authorization: `Bearer ${await example.userToken(user)}` },
    body: JSON.stringify({ prompt: PROMPT, drafts: 5 }),
  });
  const lines = await linesOf(await generate(request));
  expect(lines.at(-1)).toMatchObject({ code: 'GENERATION_FAILED', usage: { amount: 2, used: 2 } });
  expect(await example.used(user)).toEqual({ used: 2, reserved: 0 });
});

test('with the database away: 503 with Retry-After, and the model is not asked', async () => {
  let asked = 0;
  const nowhere = 'http://127.0.0.1:9';
  const generate = createGenerate({
    asUser: (token) => connectSupabase(nowhere, example.anonKey, async () => token),
    asService: connectSupabase(nowhere, example.serviceRoleKey),
    model: async function* () {
      asked++;
      yield { text: 'never' };
    },
  });
  const token = await example.userToken(example.newUser());
  const request = (authorization: string) =>
    new Request('http://localhost/api/generate', {
      method: 'POST',
      headers: { authorization },
      body: JSON.stringify({ prompt: PROMPT }),
    });
  const response = await generate(request(`Bearer ${token}`));
  expect(response.status).toBe(503);
  expect(response.headers.get('retry-after')).toBe('5');
  expect(await response.json()).toMatchObject({ code: 'USAGE_UNAVAILABLE' });
  expect(asked).toBe(0);
});

test('the route handler of Next.js is the same endpoint', async () => {
  Object.assign(process.env, {
    SUPABASE_URL: example.url,
    SUPABASE_ANON_KEY: example.anonKey,
    SUPABASE_SERVICE_ROLE_KEY: example.serviceRoleKey,
  });
  // Next.js brings one; Node has its own from 22 on.
  (globalThis as { WebSocket?: unknown }).WebSocket ??= WebSocket;
  const { POST } = await import('../../examples/next/app/api/generate/route.ts');
  const user = example.newUser();
  const request = (authorization: string) =>
    new Request('http://localhost/api/generate', {
      method: 'POST',
      headers: { authorization },
      body: JSON.stringify({ prompt: PROMPT }),
    });
  const lines = await linesOf(await POST(request(`Bearer ${await example.userToken(user)}`)));
  expect(lines.at(-1)).toMatchObject({ done: true, usage: { subject: user, used: 1 } });
  expect((await POST(request('Bearer none'))).status).toBe(401);
});

async function requestOf(user: string, body: unknown, signal?: AbortSignal): Promise<Request> {
  return new Request('http://localhost/api/generate', {
    method: 'POST',
    headers: { authorization: `Bearer ${await example.userToken(user)}` },
    body: JSON.stringify(body),
    signal,
  });
}

async function kindsOf(subject: string): Promise<string[]> {
  await sleep(10);
  const { rows } = await example.admin.query(
    'select kind from public.usage_events where subject = $1 order by at, event_id',
    [subject],
  );
  return rows.map((row) => row.kind);
}
