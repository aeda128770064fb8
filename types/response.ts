/** A refusal as an HTTP answer, with web standards alone: Node, Deno, edge runtimes. */
import type { UsageLimitExceeded } from './errors.ts';

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
  const body = {
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
  return new Response(JSON.stringify(body), {
    status: soon ? 429 : 402,
    headers: {
      ...headers,
      'content-type': 'application/json',
      'cache-control': 'no-store',
      ...(wait === null ? {} : { 'retry-after': String(wait) }),
    },
  });
}
