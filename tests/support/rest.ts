/**
 * HTTP for one test database: real PostgREST, the gateway, and supabase-js clients to call it. With POOLED=1
 * PostgREST asks through pgbouncer in transaction mode.
 */
import { randomBytes } from 'node:crypto';
import type { SupabaseClient } from '@supabase/supabase-js';
import { type Api, startApi } from '../../scripts/local/api.ts';
import { connectSupabase } from '../../scripts/local/supabase.ts';
import type { TestDatabase } from './database.ts';
import { startPooler } from './pooler.ts';

export interface Rest extends Api {
  /** What signs its tokens. */
  jwtSecret: string;
  asUser(sub: string): SupabaseClient;
  asAnon(): SupabaseClient;
  asService(): SupabaseClient;
}

export async function startRest(database: TestDatabase): Promise<Rest> {
  const jwtSecret = randomBytes(32).toString('hex');
  const pooler = process.env.POOLED ? await startPooler(database.authenticatorUrl) : undefined;
  const databaseUrl = pooler?.url ?? database.authenticatorUrl;
  const api = await startApi({ databaseUrl, jwtSecret, isPooled: Boolean(pooler) });
  return {
    ...api,
    async stop() {
      await api.stop();
      await pooler?.stop();
    },
    jwtSecret,
    asUser: (sub) => connectSupabase(api.url, api.anonKey, () => api.userToken(sub)),
    asAnon: () => connectSupabase(api.url, api.anonKey),
    asService: () => connectSupabase(api.url, api.serviceRoleKey),
  };
}
