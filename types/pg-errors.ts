/** What a driver, or a library around it, throws: as the error that PostgREST would have made of it. */
import { UsageError } from './errors.ts';

export function usageErrorOf(name: string, error: unknown, hint: string): UsageError {
  if (error instanceof UsageError) return error;
  const found = postgresErrorIn(error);
  if (!found) {
    // The connection broke, or there was none: whether the call was made is not known.
    const why = error instanceof Error ? error.message || error.name : String(error);
    return new UsageError({ message: `${name} gave no answer: ${why}`, status: 0, cause: error });
  }
  const missing = found.code === '42501' && !found.hint;
  return new UsageError({
    ...found,
    hint: missing ? hint : found.hint,
    status: httpStatusOf(found.code),
    cause: error,
  });
}

interface PostgresError {
  code: string;
  message: string;
  details?: string;
  hint?: string;
}

/** Drizzle keeps the driver's error as the cause of its own, Prisma in what it calls meta. */
function postgresErrorIn(error: unknown, depth = 0): PostgresError | undefined {
  if (typeof error !== 'object' || error === null || depth > 5) return undefined;
  const { code, originalCode, message, originalMessage, severity, detail, hint, cause, meta } =
    error as Record<string, string | undefined>;
  const { driverAdapterError } = error as { driverAdapterError?: unknown };
  if (originalCode) {
    return { code: originalCode, message: originalMessage ?? '', details: detail, hint };
  }
  // EPIPE and Prisma's P2010 look like codes of Postgres, and come without a severity.
  if (severity && /^[0-9A-Z]{5}$/.test(code ?? '')) {
    return { code: code as string, message: message ?? '', details: detail, hint };
  }
  return (
    postgresErrorIn(cause, depth + 1) ??
    postgresErrorIn(driverAdapterError, depth + 1) ??
    postgresErrorIn(meta, depth + 1)
  );
}

/** The table of PostgREST. */
const STATUSES: [RegExp, number][] = [
  [/^53400/, 500],
  [/^(08|53)/, 503],
  [/^(0L|0P|28|42501)/, 403],
  [/^(23503|23505)/, 409],
  [/^25006/, 405],
  [/^57P01/, 503],
  [/^(42883|42P01)/, 404],
  [/^P0001/, 400],
  [/^42P17/, 500],
  [/^(09|25|2D|38|39|3B|40|54|55|57|58|F0|HV|P0|XX)/, 500],
];

export function httpStatusOf(code: string): number {
  if (/^PT[1-5]\d\d$/.test(code)) return Number(code.slice(2));
  return STATUSES.find(([codes]) => codes.test(code))?.[1] ?? 400;
}
