/**
 * What a decision says in HTTP headers: draft-ietf-httpapi-ratelimit-headers-11, which are structured
 * fields (RFC 9651), and Retry-After.
 */
import type { UsageDecision } from './client.ts';

/** The largest integer of a structured field. */
const LARGEST = 999_999_999_999_999;

/**
 * The headers that tell a caller where it stands, after an allowed call as after a refused one:
 *
 *     RateLimit-Policy: "export/month";q=5;w=2592000
 *     RateLimit: "export/month";r=0;t=86400
 *     Retry-After: 86400
 *
 * `q` is the limit, `w` the length of the period, `r` what remains, `t` the seconds until there is more.
 * Without a limit there are none. Retry-After comes with a refusal that time alone ends.
 */
export function usageLimitHeaders(
  decision: UsageDecision,
  now: Date = new Date(),
): Record<string, string> {
  const { feature, limit, remaining, period, period_start, resets_at, retry_after } = decision;
  if (limit === null) return {};
  const name = quoted(period === null ? feature : `${feature}/${period}`);
  const window = seconds(period_start, resets_at);
  const untilReset = seconds(now.toISOString(), resets_at);
  // A hold that ends gives something back before the period does; and who is told to come back then must
  // not be told that there is nothing yet.
  const wait = untilReset === null ? retry_after : Math.min(untilReset, retry_after ?? untilReset);
  const headers: Record<string, string> = {
    'RateLimit-Policy': item(name, { q: limit, w: window }),
    RateLimit: item(name, { r: remaining ?? 0, t: wait }),
  };
  if (retry_after !== null) headers['Retry-After'] = String(retry_after);
  return headers;
}

function item(name: string, parameters: Record<string, number | null>): string {
  return Object.entries(parameters)
    .filter(([, value]) => value !== null)
    .reduce((text, [key, value]) => `${text};${key}=${Math.min(value as number, LARGEST)}`, name);
}

/** A structured field's string: visible ASCII and spaces. What is neither stands as in a url. */
function quoted(text: string): string {
  const ascii = text.replace(/[^ -~]/gu, (letter) => encodeURIComponent(letter));
  return `"${ascii.replace(/["\\]/g, '\\$&')}"`;
}

/** Whole seconds from one instant to another, never negative; null where there is none. */
function seconds(from: string | null, to: string | null): number | null {
  if (from === null || to === null) return null;
  return Math.max(0, Math.ceil((Date.parse(to) - Date.parse(from)) / 1000));
}
