/** The HTTP side of a migrated database: PostgREST, the gateway before it, and keys for both. */
import { type GatewayOptions, startGateway } from './gateway.ts';
import { createKeys, type Keys } from './keys.ts';
import { startPostgrest } from './postgrest.ts';

export interface ApiOptions extends Omit<GatewayOptions, 'postgrestUrl'> {
  /** Who PostgREST signs in as: a role that may become anon, authenticated and service_role. */
  databaseUrl: string;
  jwtSecret: string;
  /** See PostgrestOptions. */
  isPooled?: boolean;
}

export interface Api extends Keys {
  /** What createClient of supabase-js takes. */
  url: string;
  port: number;
  /** PostgREST itself, without the gateway: for tests that look at raw HTTP. */
  postgrestUrl: string;
  stop(): Promise<void>;
}

export async function startApi({
  databaseUrl,
  jwtSecret,
  isPooled,
  ...options
}: ApiOptions): Promise<Api> {
  const keys = await createKeys(jwtSecret);
  const postgrest = await startPostgrest({ databaseUrl, jwtSecret, isPooled });
  try {
    const gateway = await startGateway({ ...options, postgrestUrl: postgrest.url });
    return {
      ...keys,
      url: gateway.url,
      port: gateway.port,
      postgrestUrl: postgrest.url,
      async stop() {
        await gateway.stop();
        await postgrest.stop();
      },
    };
  } catch (error) {
    await postgrest.stop();
    throw error;
  }
}
