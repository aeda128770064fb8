/**
 * The AI endpoint as a route handler of Next.js, and of all that speak Request and Response (Hono,
 * SvelteKit, Remix, Bun). Take `generate.ts`, `body.ts` and `model.ts` along. On Node 20 createClient needs
 * `realtime: { transport: ws }`: docs/client.md.
 */
import { createClient } from '@supabase/supabase-js';
import { createGenerate } from '../../../../../supabase/functions/_shared/generate.ts';
import { createStandIn } from '../../../../../supabase/functions/_shared/model.ts';

const { SUPABASE_URL = '', SUPABASE_ANON_KEY = '', SUPABASE_SERVICE_ROLE_KEY = '' } = process.env;

/** On a serverless host add `waitUntil: (settled) => after(settled)`, with `after` of next/server. */
export const POST = createGenerate({
  asUser: (token) =>
    createClient(SUPABASE_URL, SUPABASE_ANON_KEY, { accessToken: async () => token }),
  asService: createClient(SUPABASE_URL, SUPABASE_SERVICE_ROLE_KEY, {
    auth: { persistSession: false, autoRefreshToken: false },
  }),
  model: createStandIn(),
});
