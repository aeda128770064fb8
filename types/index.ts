/**
 * The client of pgquota: the generated methods, bound to a SupabaseClient. Every decision is made by
 * the database; this only asks and reports.
 */
import type { SupabaseClient } from '@supabase/supabase-js';
import {
  type Ask,
  type CallOptions,
  type ConsumeUsageBatchArgs,
  createMethods,
  type EnforceUsageArgs,
  type Tell,
  type UsageDecision,
  type UsageMethods,
  type UsageViews,
} from './client.ts';
import { UsageError, UsageLimitExceeded } from './errors.ts';
import { refuseServiceKeyInBrowser } from './service-key.ts';
import {
  type UsageWork,
  type WithUsageOptions,
  type WithUsageResult,
  withUsage,
} from './with-usage.ts';

export type { UsageAlertEvent } from './alert-event.ts';
export type * from './client.ts';
export { UsageError, UsageLimitExceeded, UsageOutcomeUnknown } from './errors.ts';
export { type UsageLimitBody, usageLimitResponse } from './response.ts';
export type { UsageWork, WithUsageOptions, WithUsageResult } from './with-usage.ts';

export type UsageItem<Feature extends string = string> = { feature: Feature; amount?: number };

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
  /**
   * Consumes several items, all or none, and gives one decision per item, in order. When one is
   * refused nothing is counted: refused items say why, the others have reason not_taken.
   *
   * @throws UsageError with the codes of consumeUsage, and 22023 for none or over 100 items
   */
  consumeUsageBatch(
    args: Omit<ConsumeUsageBatchArgs, 'items'> & { items: UsageItem<Feature>[] },
    options?: CallOptions,
  ): Promise<UsageDecision<Feature>[]>;
  /**
   * Holds an amount, runs the work, and commits what it reports (`usage.commit(tokens)`) or what was
   * held; releases when the work throws. Work that is aborted counts what it reported by then, and
   * nothing without a report. Server only: needs the service key.
   *
   * @throws UsageLimitExceeded when a limit refuses; the work did not run
   * @throws UsageOutcomeUnknown when no answer came, with the idempotency key
   * @throws the reason of the signal when it is aborted, once what was reported is counted
   * @throws UsageError with the codes of reserveUsage and commitUsage
   */
  withUsage<Value>(
    feature: Feature,
    options: WithUsageOptions,
    work: (usage: UsageWork<Feature>) => Value | Promise<Value>,
  ): Promise<WithUsageResult<Value, Feature>>;
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
    withUsage: (feature, options, work) => withUsage(methods, feature, options, work),
    from: ((view: string) => database.from(view)) as UsageClient<Feature>['from'],
  };
}
