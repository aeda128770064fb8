/** What every client offers, whatever carries its calls: the generated methods, and what they are for. */
import {
  type Ask,
  type CallOptions,
  type ConsumeUsageArgs,
  type ConsumeUsageBatchArgs,
  type ConsumeUsageManyArgs,
  createMethods,
  type EnforceUsageArgs,
  type Tell,
  type UsageDecision,
  type UsageMethods,
} from './client.ts';
import { UsageLimitExceeded } from './errors.ts';
import { shareRoundTrips } from './shared.ts';
import {
  type UsageWork,
  type WithUsageOptions,
  type WithUsageResult,
  withUsage,
} from './with-usage.ts';

/** One of many calls: the arguments of consumeUsage, but for the subject that they share. */
export type UsageCall<Feature extends string = string> = Omit<ConsumeUsageArgs<Feature>, 'subject'>;

/** Its answer: the decision, or the code of the error that it would have had alone. */
export type UsageCallDecision<Feature extends string = string> = Omit<
  UsageDecision<Feature>,
  'reason'
> & {
  reason:
    | UsageDecision['reason']
    | ('QAMNT' | 'QFEAT' | 'QIDEM' | 'QMETA' | 'QSUBJ' | '22023' | '55P03');
};

export type UsageItem<Feature extends string = string> = {
  feature: Feature;
  amount?: number;
  /** Of a server: whose use it is, in place of the subject of the call, and for which user. */
  subject?: string;
  actor?: string;
};

export interface UsageCalls<Feature extends string = string>
  extends Omit<UsageMethods<Feature>, 'consumeUsageMany'> {
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
   * Makes up to 1,000 calls of one subject in order and in one round trip, each decided as if it had
   * come alone, and gives one decision per call. What is wrong with one call is the reason of its own
   * decision, as a code (`QAMNT`). Server only. The option `shareRoundTrips` gathers calls by itself.
   *
   * @throws UsageError with 22023 for none or over 1,000 calls, QSUBJ, 42501, and 55P03 (retry)
   */
  consumeUsageMany(
    args: Omit<ConsumeUsageManyArgs, 'calls'> & { calls: UsageCall<Feature>[] },
    options?: CallOptions,
  ): Promise<UsageCallDecision<Feature>[]>;
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
  isShared = false,
): UsageCalls<Feature> {
  const methods = createMethods<Feature>(ask, tell);
  if (isShared) methods.consumeUsage = shareRoundTrips({ ...methods });
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
