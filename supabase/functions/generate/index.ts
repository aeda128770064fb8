/**
 * The AI endpoint as a Supabase Edge Function. Outside this repository, map `pgquota` in deno.json to
 * `npm:pgquota@^0.1`; SUPABASE_URL and the keys are set by Supabase.
 */
import { createClient } from '@supabase/supabase-js';
import { createGenerate } from '../_shared/generate.ts';
import { createStandIn } from '../_shared/model.ts';

declare const EdgeRuntime: { waitUntil(settled: Promise<unknown>): void } | undefined;

const url = environment('SUPABASE_URL');
const anonKey = environment('SUPABASE_ANON_KEY');
const stateless = { auth: { persistSession: false, autoRefreshToken: false } };

const generate = createGenerate({
  asUser: (token) => createClient(url, anonKey, { accessToken: async () => token }),
  asService: createClient(url, environment('SUPABASE_SERVICE_ROLE_KEY'), stateless),
  model: createStandIn(),
  waitUntil: (settled) => {
    if (typeof EdgeRuntime !== 'undefined') EdgeRuntime.waitUntil(settled);
  },
});

/** The token is sent by the page itself, never by a cookie, so any origin may ask. */
const CORS = {
  'access-control-allow-origin': '*',
  'access-control-allow-headers': 'authorization, x-client-info, apikey, content-type',
  'access-control-allow-methods': 'POST',
  'access-control-expose-headers': 'retry-after, ratelimit, ratelimit-policy',
};

Deno.serve(async (request) => {
  if (request.method === 'OPTIONS') return new Response(null, { status: 204, headers: CORS });
  const response = await generate(request);
  for (const [name, value] of Object.entries(CORS)) response.headers.set(name, value);
  return response;
});

function environment(name: string): string {
  const value = Deno.env.get(name);
  if (!value) throw new Error(`${name} is not set`);
  return value;
}
