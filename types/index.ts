/**
 * The client of pgquota: the generated methods, bound to a SupabaseClient. Every decision is made by
 * the database; this only asks and reports.
 */
import type { SupabaseClient } from '@supabase/supabase-js';
import {
  type Ask,
  type CallOptions,
  createMethods,
  type EnforceUsageArgs,
  type Tell,
  type UsageDecision,
  type UsageMethods,
  type UsageViews,
} from './client.ts';
import { UsageError, UsageLimitExceeded } from './errors.ts';
import { refuseServiceKeyInBrowser } from './service-key.ts';

export type * from './client.ts';
export { UsageError, UsageLimitExceeded } from './errors.ts';
export { type UsageLimitBody, usageLimitResponse } from './response.ts';

export interface UsageClient<Feature extends string = string> extends UsageMethods<Feature> {
  /**
   * As consumeUsage, but a refusal throws.
   *
   * @throws UsageLimitExceeded when a limit refuses
   * @throws UsageError with the codes of consumeUsage
   */
  enforceUsage(
    args: EnforceUsageArgs<Feature>,
    options?: CallOptions,
  ): Promise<UsageDecision<Feature>>;
  /** The views with exact row types: `from('current_usage').select()`, as of supabase-js. */
  from: SupabaseClient<UsageViews<Feature>>['from'];
}

/**
 * `createUsageClient<'ai_generation' | 'export'>(supabase)` knows the project's features.
 *
 * @throws Error in a browser when the SupabaseClient holds a service key
 */
export function createUsageClient<Feature extends string = string>(
  // biome-ignore lint/suspicious/noExplicitAny: whatever database types the project has
  supabase: SupabaseClient<any, any, any, any, any>,
): UsageClient<Feature> {
  refuseServiceKeyInBrowser(supabase);
  const database = supabase.schema('public');

  const request = async (name: string, args?: object, options?: CallOptions) => {
    const call = database.rpc(name, args);
    const { data, error, status } = await (options?.signal
      ? call.abortSignal(options.signal)
      : call);
    if (error || status >= 400) {
      // Whatever stands in front of PostgREST may answer in a form of its own.
      const message = error?.message || `${name} failed with HTTP status ${status}`;
      throw new UsageError({ ...error, message, status });
    }
    return data;
  };
  const tell: Tell = async (name, args, options) => {
    await request(name, args, options);
  };
  const ask: Ask = async (name, args, options) => {
    const data = await request(name, args, options);
    // supabase-js reads a proxy's empty 404 as success without data.
    if (data === null) throw new UsageError({ message: `${name} gave no answer`, status: 0 });
    return data;
  };

  const methods = createMethods<Feature>(ask, tell);
  return {
    ...methods,
    async enforceUsage(args, options) {
      const decision = await methods.consumeUsage(args, options);
      if (!decision.allowed) throw new UsageLimitExceeded(decision);
      return decision;
    },
    from: ((view: string) => database.from(view)) as UsageClient<Feature>['from'],
  };
}
