/**
 * Work that can fail: reserve, run, then commit what was really used, or release. The database does
 * the counting; this carries one idempotency key through the retries and never guesses.
 *
 * Work that throws is free. Work that is aborted is not: what it had reported by then was delivered,
 * and whoever hangs up before the last word would have it for nothing.
 */
import pRetry from 'p-retry';
import type { CallOptions, JsonObject, UsageDecision, UsageMethods } from './client.ts';
import { UsageError, UsageLimitExceeded, UsageOutcomeUnknown } from './errors.ts';

export interface WithUsageOptions {
  /** Who is limited. */
  subject: string;
  /** What is held while the work runs, and counted unless the work reports otherwise. Default: 1. */
  amount?: number;
  /** When the hold ends by itself, should this process die. Default: '15 minutes'. */
  ttl?: string;
  /**
   * While the work runs the hold is extended to ttl from then, every so many milliseconds. A third of
   * the ttl outlives two beats that get no answer. A hold that is lost all the same (released by
   * somebody, or expired while the database was away) aborts the work. Default: never extended.
   */
  heartbeat?: number | null;
  /** For which user it is, where subject is an organisation: kept in the ledger. */
  actor?: string | null;
  /** Kept in the ledger with the hold. */
  metadata?: JsonObject | null;
  /**
   * One per logical call. Default: a new uuid. A call that comes again with the key of one that was
   * counted runs the work again and counts nothing more; after a release it is a new call.
   */
  idempotencyKey?: string | null;
  /** Ends the wait for the work: commits what it has reported by then, and releases the rest. */
  signal?: AbortSignal | null;
  /** How long one attempt at the database may take, in milliseconds. Default: 5000. */
  timeout?: number;
  /** How often an attempt is repeated. Default: 3, with 0.1 to 2 s in between. */
  retries?: number;
  /**
   * What to do when the database does not answer the reservation. deny (the default) throws
   * UsageOutcomeUnknown; allow runs the work uncounted and reports it as `unavailable`.
   */
  whenUnavailable?: 'deny' | 'allow';
}

/** What the work is given. */
export interface UsageWork<Feature extends string = string> {
  idempotencyKey: string;
  /** The hold; null when the database did not answer and whenUnavailable is allow. */
  decision: UsageDecision<Feature> | null;
  signal: AbortSignal;
  /**
   * Says what was really used so far: a whole number, 0 allowed; the last report stands. Counted when
   * the work is done or aborted, not when it throws. Report before you deliver: later is too late for
   * a reader who leaves with it.
   */
  commit(amount: number, metadata?: JsonObject | null): void;
}

export interface WithUsageResult<Value, Feature extends string = string> {
  /** What the work gave. */
  value: Value;
  idempotencyKey: string;
  /** What was counted; null exactly when `unavailable` is set. */
  decision: UsageDecision<Feature> | null;
  /** Why the work ran uncounted. A hold may exist all the same; it is not committed, and expires. */
  unavailable: UsageOutcomeUnknown | null;
}

type Calls<Feature extends string> = Pick<
  UsageMethods<Feature>,
  'reserveUsage' | 'extendUsage' | 'commitUsage' | 'releaseUsage'
>;

export async function withUsage<Feature extends string, Value>(
  calls: Calls<Feature>,
  feature: Feature,
  options: WithUsageOptions,
  work: (usage: UsageWork<Feature>) => Value | Promise<Value>,
): Promise<WithUsageResult<Value, Feature>> {
  const { subject, amount, ttl, heartbeat, metadata, actor, whenUnavailable = 'deny' } = options;
  if (heartbeat != null && !(heartbeat >= 1 && heartbeat <= 2 ** 31 - 1)) {
    throw new RangeError(`heartbeat is ${heartbeat}; milliseconds, 1 or more, are expected`);
  }
  const lost = new AbortController();
  const given = options.signal ?? new AbortController().signal;
  const signal = heartbeat == null ? given : AbortSignal.any([given, lost.signal]);
  const idempotencyKey = options.idempotencyKey ?? crypto.randomUUID();
  let report: { amount: number | null; metadata?: JsonObject | null } = { amount: null };
  const usage = (decision: UsageDecision<Feature> | null): UsageWork<Feature> => ({
    idempotencyKey,
    decision,
    signal,
    commit(used, about) {
      if (!Number.isSafeInteger(used) || used < 0) {
        throw new RangeError(`${used} was used; a whole number from 0 is expected`);
      }
      report = { amount: used, metadata: about };
    },
  });

  signal.throwIfAborted();
  // Not ended by the signal: a hold that was made must be known, to be given back.
  const reserved = await insist(options, (call) =>
    calls.reserveUsage(
      { feature, subject, amount, ttl, metadata, actor, idempotency_key: idempotencyKey },
      call,
    ),
  );
  if ('failure' in reserved) {
    if (!reserved.isUnknown) throw reserved.failure;
    const unknown = new UsageOutcomeUnknown('reserve', idempotencyKey, reserved.failure);
    if (whenUnavailable !== 'allow') throw unknown;
    const value = await untilAborted(signal, () => work(usage(null)));
    return { value, idempotencyKey, decision: null, unavailable: unknown };
  }
  const hold = reserved.answer;
  if (!hold.allowed) throw new UsageLimitExceeded(hold);
  const reservation = { reservation_id: hold.reservation_id as string, subject };

  const commit = async (value?: Value) => {
    const { amount, metadata } = report; // as it is now, through all attempts
    const committed = await insist(options, (call) =>
      calls.commitUsage({ ...reservation, amount, metadata }, call),
    );
    if ('answer' in committed) return committed.answer;
    // A row that stayed locked is no better than silence: the hold is open and can be committed.
    const { failure, isUnknown } = committed;
    if (!isUnknown && !isPassing(failure)) throw failure;
    const { reservation_id } = reservation;
    throw new UsageOutcomeUnknown('commit', idempotencyKey, failure, reservation_id, value);
  };

  const stop = beat(heartbeat, async () => {
    try {
      const call = { signal: AbortSignal.timeout(options.timeout ?? 5000) };
      await calls.extendUsage({ ...reservation, ttl }, call);
    } catch (error) {
      if (!isLost(error) && !isPassing(error)) lost.abort(error);
    }
  });
  let value: Value;
  try {
    value = await untilAborted(signal, () => work(usage(hold))).finally(stop);
  } catch (error) {
    if (signal.aborted && report.amount !== null) {
      await commit();
    } else {
      // Whether or not it can be given back now, it expires; the work's own error is what matters.
      await insist(options, (call) => calls.releaseUsage(reservation, call));
    }
    throw error;
  }
  return { value, idempotencyKey, decision: await commit(value), unavailable: null };
}

/** Once more after each answer, so that a slow database is not asked twice at once. */
function beat(milliseconds: number | null | undefined, extend: () => Promise<void>): () => void {
  if (milliseconds == null) return () => {};
  let isOver = false;
  let timer: ReturnType<typeof setTimeout>;
  const next = () => {
    timer = setTimeout(async () => {
      await extend();
      if (!isOver) next();
    }, milliseconds);
  };
  next();
  return () => {
    isOver = true;
    clearTimeout(timer);
  };
}

type Outcome<Answer> = { answer: Answer } | { failure: unknown; isUnknown: boolean };

/** Repeats a call that is safe to repeat. Once an attempt got no answer, only a good one settles it. */
async function insist<Answer>(
  { timeout = 5000, retries = 3 }: WithUsageOptions,
  call: (options: CallOptions) => Promise<Answer>,
): Promise<Outcome<Answer>> {
  let isUnknown = false;
  try {
    const answer = await pRetry(() => call({ signal: AbortSignal.timeout(timeout) }), {
      retries,
      minTimeout: 100,
      maxTimeout: 2000,
      randomize: true,
      onFailedAttempt: ({ error }) => {
        isUnknown ||= isLost(error);
      },
      shouldRetry: ({ error }) => isLost(error) || isPassing(error),
    });
    return { answer };
  } catch (failure) {
    return { failure, isUnknown };
  }
}

/** Serialization failure, deadlock, lock timeout: rolled back, and likely to pass next time. */
function isPassing(error: unknown): boolean {
  return error instanceof UsageError && ['40001', '40P01', '55P03'].includes(error.code);
}

/** No answer, or that of something in front of Postgres which did not get one either. */
function isLost(error: unknown): boolean {
  if (!(error instanceof UsageError)) return false;
  const { status, code } = error;
  const isProxy = status === 404 && code === ''; // PostgREST's own 404 has a code
  return status < 400 || status >= 502 || isProxy || /^(08|57P0)/.test(code);
}

async function untilAborted<Value>(
  signal: AbortSignal,
  work: () => Value | Promise<Value>,
): Promise<Value> {
  signal.throwIfAborted();
  let stop = () => {};
  const aborted = new Promise<never>((_, reject) => {
    stop = () => reject(signal.reason);
    signal.addEventListener('abort', stop, { once: true });
  });
  try {
    return await Promise.race([work(), aborted]);
  } finally {
    signal.removeEventListener('abort', stop);
  }
}
