/** A refusal as an HTTP answer, with web standards alone: Node, Deno, edge runtimes. */
import type { UsageDecision } from './client.ts';
import type { UsageLimitExceeded } from './errors.ts';

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

/**
 * 429 where a minute or hour limit refuses and waiting helps, else 402: as enforce_usage answers
 * over REST. `headers` are added, for CORS and the like.
 */
export function usageLimitResponse(
  error: UsageLimitExceeded,
  headers: Record<string, string> = {},
): Response {
  const { decision } = error;
  const wait = decision.retry_after;
  const soon = wait !== null && (decision.period === 'minute' || decision.period === 'hour');
  const body: UsageLimitBody = {
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
    retry_after: wait,
  };
  const answer = new Response(JSON.stringify(body), { status: soon ? 429 : 402, headers });
  answer.headers.set('content-type', 'application/json');
  answer.headers.set('cache-control', 'no-store');
  if (wait !== null) answer.headers.set('retry-after', String(wait));
  return answer;
}
