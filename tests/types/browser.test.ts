// A service key never works in a browser. The browser here is its two globals; real Chromium runs
// the example's tests.
import { PostgrestClient } from '@supabase/postgrest-js';
import { createClient } from '@supabase/supabase-js';
import { afterEach, expect, test, vi } from 'vitest';
import WebSocket from 'ws';
import { createKeys } from '../../scripts/local/keys.ts';
import { createUsageClient } from '../../types/index.ts';

const keys = await createKeys('a-secret-of-at-least-32-characters!');

const connect = (key: string, headers: Record<string, string> = {}) =>
  createClient('http://127.0.0.1:1', key, {
    auth: { persistSession: false, autoRefreshToken: false },
    global: { headers },
    realtime: { transport: WebSocket as never },
  });

const inBrowser = () => vi.stubGlobal('window', { document: {} });

afterEach(() => vi.unstubAllGlobals());

test('in a browser a service key is refused, in both of its forms', () => {
  const secret = connect('sb_secret_N7UND0UgjKTVK');
  const legacy = connect(keys.serviceRoleKey);
  const header = connect(keys.anonKey, { Authorization: `Bearer ${keys.serviceRoleKey}` });
  const authorization = { Authorization: `Bearer ${keys.serviceRoleKey}` };
  const postgrest = new PostgrestClient('http://127.0.0.1:1', { headers: authorization });
  inBrowser();
  for (const supabase of [secret, legacy, header, postgrest]) {
    expect(() => createUsageClient(supabase)).toThrow(/service key in a browser/);
  }
});

test('in a browser anon and publishable keys and users are welcome', async () => {
  const clients = [
    connect(keys.anonKey),
    connect('sb_publishable_ACJWlzQHlZjBrEguHvfOxg'),
    connect(keys.anonKey, { Authorization: `Bearer ${await keys.userToken('ann')}` }),
    connect('neither.a.jwt'),
  ];
  inBrowser();
  for (const supabase of clients) {
    expect(createUsageClient(supabase).consumeUsage).toBeTypeOf('function');
  }
});

test('on a server a service key is what one uses', () => {
  expect(createUsageClient(connect(keys.serviceRoleKey)).setPlan).toBeTypeOf('function');
});
