/**
 * Calls that wait at the same moment share a round trip: while one is on its way for a subject and a
 * feature, those that come meanwhile gather, and go together in the next.
 */
import { unlessAborted } from './aborted.ts';
import type {
  CallOptions,
  ConsumeUsageArgs,
  ConsumeUsageManyArgs,
  UsageDecision,
  UsageMethods,
} from './client.ts';
import { UsageError } from './errors.ts';

/** How many share one: what is beyond waits for the next. */
const MOST = 100;

interface Waiting<Feature extends string> {
  args: ConsumeUsageArgs<Feature>;
  options: CallOptions | undefined;
  resolve(decision: UsageDecision<Feature> | Promise<UsageDecision<Feature>>): void;
  reject(error: unknown): void;
}

type Methods<Feature extends string> = Pick<
  UsageMethods<Feature>,
  'consumeUsage' | 'consumeUsageMany'
>;

/** consumeUsage that shares round trips. */
export function shareRoundTrips<Feature extends string>(
  methods: Methods<Feature>,
): UsageMethods<Feature>['consumeUsage'] {
  const lines = new Map<string, Waiting<Feature>[]>();
  // False once the database says that this caller may not, or has no such function.
  let isShared = true;

  const alone = ({ args, options, resolve }: Waiting<Feature>) =>
    resolve(methods.consumeUsage(args, options));

  async function together(group: Waiting<Feature>[]): Promise<void> {
    const calls = group.map(({ args: { subject: _, ...call } }) => call);
    try {
      const args = { calls, subject: group[0]?.args.subject } as ConsumeUsageManyArgs;
      const decisions = await methods.consumeUsageMany(args);
      for (const [at, one] of group.entries()) {
        const decision = decisions[at];
        // Nothing of it was counted: alone it has the error that it would have had, with its hint.
        if (!decision || /^[0-9A-Z]{5}$/.test(decision.reason)) alone(one);
        else one.resolve(decision);
      }
    } catch (error) {
      if (error instanceof UsageError && /^(42501|42883|PGRST202)$/.test(error.code)) {
        isShared = false;
        for (const one of group) alone(one);
      } else {
        for (const { reject } of group) reject(error);
      }
    }
  }

  async function run(key: string, line: Waiting<Feature>[]): Promise<void> {
    // Whoever calls in the same breath comes along; nobody waits for more.
    await undefined;
    while (line.length > 0) {
      // Who has gone while it waited is not counted.
      const group = line.splice(0, MOST).filter(({ options }) => !options?.signal?.aborted);
      const [first] = group;
      if (first && (group.length === 1 || !isShared)) {
        const answers = group.map((one) => methods.consumeUsage(one.args, one.options));
        for (const [at, one] of group.entries()) one.resolve(answers[at] as never);
        await Promise.allSettled(answers);
      } else if (first) {
        await together(group);
      }
      // Whoever was answered and calls again at once comes along, too.
      await turn();
    }
    lines.delete(key);
  }

  return (args, options) => {
    const { subject, feature } = args ?? {};
    if (typeof subject !== 'string' || !isShared) return methods.consumeUsage(args, options);
    return unlessAborted(
      options?.signal,
      () =>
        new Promise((resolve, reject) => {
          const waiting: Waiting<Feature> = { args, options, resolve, reject };
          const key = JSON.stringify([subject, feature]);
          const line = lines.get(key);
          if (line) {
            line.push(waiting);
          } else {
            const own = [waiting];
            lines.set(key, own);
            void run(key, own);
          }
        }),
    );
  };
}

/** All that follows at once from what was answered has happened; where that cannot be told, most. */
const { setImmediate: afterThis } = globalThis as {
  setImmediate?: (callback: (value?: unknown) => void) => unknown;
};
const turn = (): Promise<unknown> =>
  afterThis ? new Promise((resolve) => afterThis(resolve)) : Promise.resolve();
