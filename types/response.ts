/** A refusal as an HTTP answer, with web standards alone: Node, Deno, edge runtimes. */
import type { UsageDecision } from './client.ts';
import type { UsageLimitExceeded } from './errors.ts';
import { usageLimitHeaders } from './headers.ts';

/** What a client of yours reads. */
export interface UsageLimitBody {
  error: string;
  code: 'USAGE_LIMIT_EXCEEDED';
  upgrade_url: string | null;
  reason: UsageDecision['reason'];
  feature: string;
  plan: string | null;
  period: UsageDecision['period'];
  used: number;
  reserved: number;
  limit: number | null;
  remaining: number | null;
  resets_at: string | null;
  retry_after: number | null;
}

/** The body, for frameworks that make the answer themselves. */
export function usageLimitBody(error: UsageLimitExceeded): UsageLimitBody {
  const { decision } = error;
  return {
    error: error.message,
    code: error.code,
    upgrade_url: error.upgradeUrl,
    reason: decision.reason,
    feature: decision.feature,
    plan: decision.plan,
    period: decision.period,
    used: decision.used,
    reserved: decision.reserved,
    limit: decision.limit,
    remaining: decision.remaining,
    resets_at: decision.resets_at,
    retry_after: error.retryAfter,
  };
}

/** The status of the error, its body, and the headers of usageLimitHeaders; `headers` are added, for CORS. */
export function usageLimitResponse(
  error: UsageLimitExceeded,
  headers: Record<string, string> = {},
): Response {
  const answer = Response.json(usageLimitBody(error), { status: error.status, headers });
  const own = {
    ...usageLimitHeaders(error.decision),
    'content-type': 'application/json',
    'cache-control': 'no-store',
  };
  for (const [name, value] of Object.entries(own)) answer.headers.set(name, value);
  return answer;
}
