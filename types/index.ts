/**
 * The client of pgquota over PostgREST: the generated methods, bound to a SupabaseClient or a
 * PostgrestClient. Every decision is made by the database; this only asks and reports.
 */
import { createCalls, type UsageCalls } from './calls.ts';
import type { Ask, CallOptions, Tell } from './client.ts';
import type { UsageConnection, UsageFrom } from './connection.ts';
import { UsageError } from './errors.ts';
import { request } from './request.ts';
import { refuseServiceKeyInBrowser } from './service-key.ts';

export type { UsageAlertEvent } from './alert-event.ts';
export type { UsageCall, UsageCallDecision, UsageCalls, UsageItem } from './calls.ts';
export type * from './client.ts';
export type { UsageAnswer, UsageConnection, UsageRequest } from './connection.ts';
export { UsageError, UsageLimitExceeded, UsageOutcomeUnknown } from './errors.ts';
export { usageLimitHeaders } from './headers.ts';
export { type UsageLimitBody, usageLimitBody, usageLimitResponse } from './response.ts';
export type { UsageWork, WithUsageOptions, WithUsageResult } from './with-usage.ts';

export interface UsageClient<Feature extends string = string> extends UsageCalls<Feature> {
  /** The views with exact row types: `from('current_usage').select()`, as of supabase-js. */
  from: UsageFrom<Feature>;
}

export interface UsageOptions {
  /**
   * Calls of consumeUsage and enforceUsage for one subject and feature that wait at the same moment
   * share one round trip, each with its own answer; nobody waits for company. For a server, with the
   * service key: a user's calls go alone. Default: false.
   */
  shareRoundTrips?: boolean;
}

/**
 * `createUsageClient<keyof typeof plans.features>(supabase)` knows the features of the project's plan
 * document (`import type plans from './plans.json'`), `<'ai_generation' | 'export'>` the named ones. It
 * takes a SupabaseClient or a PostgrestClient, of any version and whatever database types it has.
 *
 * @throws Error in a browser when the client holds a service key
 */
export function createUsageClient<Feature extends string = string>(
  supabase: UsageConnection,
  options: UsageOptions = {},
): UsageClient<Feature> {
  refuseServiceKeyInBrowser(supabase);
  const database = inPublic(supabase);

  const tell: Tell = async (name, args, call) => {
    await request(supabase, database, name, args, call);
  };
  const ask: Ask = async <Answer>(name: string, args?: object, call?: CallOptions) => {
    const data = await request(supabase, database, name, args, call);
    if (data === null) throw new UsageError({ message: `${name} gave no answer`, status: 0 });
    return data as Answer;
  };

  return {
    ...createCalls<Feature>(ask, tell, options.shareRoundTrips),
    from: ((view: string) => database.from(view)) as UsageClient<Feature>['from'],
  };
}

/** The same client in schema public, where it has schemas: it may be set to one of the app's. */
function inPublic(connection: UsageConnection): UsageConnection {
  const { schema } = connection as { schema?: unknown };
  return typeof schema === 'function' ? schema.call(connection, 'public') : connection;
}
