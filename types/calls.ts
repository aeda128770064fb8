/** What every client offers, whatever carries its calls: the generated methods, and what they are for. */
import {
  type Ask,
  type CallOptions,
  type ConsumeUsageBatchArgs,
  createMethods,
  type EnforceUsageArgs,
  type Tell,
  type UsageDecision,
  type UsageMethods,
} from './client.ts';
import { UsageLimitExceeded } from './errors.ts';
import {
  type UsageWork,
  type WithUsageOptions,
  type WithUsageResult,
  withUsage,
} from './with-usage.ts';

export type UsageItem<Feature extends string = string> = {
  feature: Feature;
  amount?: number;
  /** Of a server: whose use it is, in place of the subject of the call, and for which user. */
  subject?: string;
  actor?: string;
};

export interface UsageCalls<Feature extends string = string> extends UsageMethods<Feature> {
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
   * nothing without a report. Long work holds for a short ttl and extends it (`heartbeat`). Server
   * only: needs the service key.
   *
   * @throws UsageLimitExceeded when a limit refuses; the work did not run
   * @throws UsageOutcomeUnknown when no answer came, with the idempotency key
   * @throws the reason of the signal when it is aborted, once what was reported is counted
   * @throws UsageError QRSRV when a heartbeat finds the hold gone: the work was aborted
   * @throws UsageError with the codes of reserveUsage and commitUsage
   */
  withUsage<Value>(
    feature: Feature,
    options: WithUsageOptions,
    work: (usage: UsageWork<Feature>) => Value | Promise<Value>,
  ): Promise<WithUsageResult<Value, Feature>>;
}

/** `ask` and `tell` carry a call to the database and throw what went wrong there. */
export function createCalls<Feature extends string = string>(
  ask: Ask,
  tell: Tell,
): UsageCalls<Feature> {
  const methods = createMethods<Feature>(ask, tell);
  return {
    ...methods,
    async enforceUsage(args, options) {
      const decision = await methods.consumeUsage(args, options);
      if (!decision.allowed) throw new UsageLimitExceeded(decision);
      return decision;
    },
    withUsage: (feature, options, work) => withUsage(methods, feature, options, work),
  };
}
