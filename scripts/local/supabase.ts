/** A supabase-js client as an app's server or browser makes it, for Node 20 too. */
import { createClient, type SupabaseClient } from '@supabase/supabase-js';
import WebSocket from 'ws';

/** `accessToken` gives the signed-in user's JWT; without it the key itself is who calls. */
export function connectSupabase(
  url: string,
  key: string,
  accessToken?: () => Promise<string>,
): SupabaseClient {
  return createClient(url, key, {
    accessToken,
    auth: { persistSession: false, autoRefreshToken: false },
    // Node 20 has no WebSocket of its own, and createClient insists on one
    realtime: { transport: WebSocket as never },
  });
}
