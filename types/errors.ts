/** What the client throws. All of it is recognised by class or by code, never by the message. */
import type { UsageDecision } from './client.ts';

/** The call failed. */
export class UsageError extends Error {
  override readonly name: string = 'UsageError';
  /** The SQLSTATE (QAMNT, 42501, 55P03 …) or PostgREST's own code; empty when no answer came. */
  readonly code: string;
  readonly hint: string | null;
  readonly details: string | null;
  /** The HTTP status; 0 when no answer came. */
  readonly status: number;

  constructor(answer: {
    message: string;
    code?: string | null;
    hint?: string | null;
    details?: string | null;
    status: number;
    cause?: unknown;
  }) {
    super(answer.message, { cause: answer.cause });
    this.code = answer.code ?? '';
    this.hint = answer.hint || null;
    this.details = answer.details || null;
    this.status = answer.status;
  }
}

/** A limit refused. Nothing was counted. */
export class UsageLimitExceeded<Feature extends string = string> extends Error {
  override readonly name = 'UsageLimitExceeded';
  readonly code = 'USAGE_LIMIT_EXCEEDED';
  readonly decision: UsageDecision<Feature>;
  /** As enforce_usage answers over REST: 429 where a limit of minutes or hours refuses and waiting helps, else 402. */
  readonly status: 402 | 429;
  /** Seconds until time alone would allow it; null for never. */
  readonly retryAfter: number | null;
  /** Where the plan sends who wants more. */
  readonly upgradeUrl: string | null;

  constructor(decision: UsageDecision<Feature>) {
    super(describe(decision));
    const { period, retry_after } = decision;
    this.decision = decision;
    this.status = retry_after !== null && /minute|hour/.test(period ?? '') ? 429 : 402;
    this.retryAfter = retry_after;
    this.upgradeUrl = decision.upgrade_url;
  }
}

function describe(decision: UsageDecision): string {
  const { reason, feature, plan, amount, used, reserved, limit, remaining, period } = decision;
  if (reason === 'feature_not_in_plan') {
    return plan === null ? `no plan allows ${feature}` : `plan ${plan} does not include ${feature}`;
  }
  const held = reserved > 0 ? ` and ${reserved} reserved` : '';
  const when = period === null || period === 'lifetime' ? '' : ` this ${period}`;
  const asked = remaining === 0 ? '' : `, ${amount} more asked`;
  return `usage limit of ${feature} reached: ${used} of ${limit} used${held}${when}${asked}`;
}

/**
 * The database gave no conclusive answer within the bound: it may have happened or not. Repeating the
 * step with the same key or reservation is safe, and tells.
 */
export class UsageOutcomeUnknown extends UsageError {
  override readonly name = 'UsageOutcomeUnknown';
  /** reserve: the work did not run, a hold may exist and expires. commit: the work is done. */
  readonly step: 'reserve' | 'commit';
  readonly idempotencyKey: string;
  /** The hold to commit, when the step is commit. */
  readonly reservationId: string | null;
  /** What the work gave, when the step is commit. */
  readonly value: unknown;

  constructor(
    step: 'reserve' | 'commit',
    idempotencyKey: string,
    cause: unknown,
    reservationId: string | null = null,
    value: unknown = undefined,
  ) {
    const why = cause instanceof Error ? `: ${cause.message}` : '';
    const hint = cause instanceof UsageError ? cause.hint : null;
    super({ message: `no conclusive answer to ${step}_usage${why}`, hint, status: 0, cause });
    this.step = step;
    this.idempotencyKey = idempotencyKey;
    this.reservationId = reservationId;
    this.value = value;
  }
}
