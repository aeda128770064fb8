/**
 * The client of pgquota without PostgREST: the same methods, answers and errors, over whatever runs a
 * query against Postgres. A call is one statement; in the caller's transaction when the connection is.
 */
import { unlessAborted } from './aborted.ts';
import { createCalls, type UsageCalls } from './calls.ts';
import type { Ask, CallOptions, JsonObject, Tell } from './client.ts';
import { UsageError } from './errors.ts';
import { usageErrorOf } from './pg-errors.ts';
import { becomeOf, callOf, type Identity, type Statement } from './pg-statements.ts';
import { createFrom, type ReadRows, type UsageFrom } from './pg-views.ts';

export type { UsageAlertEvent } from './alert-event.ts';
export type { UsageCall, UsageCallDecision, UsageCalls, UsageItem } from './calls.ts';
export type * from './client.ts';
export { UsageError, UsageLimitExceeded, UsageOutcomeUnknown } from './errors.ts';
export { usageLimitHeaders } from './headers.ts';
export type { UsageFrom, UsageRows, UsageRowsAnswer } from './pg-views.ts';
export { type UsageLimitBody, usageLimitBody, usageLimitResponse } from './response.ts';
export type { UsageWork, WithUsageOptions, WithUsageResult } from './with-usage.ts';

/** A Pool or a Client of pg is one; the recipes for others are a line or two. */
export interface UsageDatabase {
  /**
   * Runs one statement. Its placeholders are $1, $2 …, in this order and each of them once, and
   * their values are text.
   */
  query(text: string, values: string[]): Promise<{ rows: readonly unknown[] }>;
  /**
   * Runs the work in a transaction of its own. Needed only where a view is read as somebody else
   * and `query` takes any connection of a pool. (A Pool of pg needs no telling.)
   */
  transaction?(work: (database: UsageDatabase) => Promise<void>): Promise<unknown>;
}

export interface UsageOptions {
  /**
   * Who calls, where that is not the connection's own login: 'service_role' for a login that was
   * granted it. Taken on for the call alone. Default with claims: 'authenticated'.
   */
  role?: string;
  /** The claims of a signed-in user, which your server has verified: `{ sub: userId }`. */
  claims?: JsonObject & { sub: string };
  /**
   * Calls of consumeUsage and enforceUsage for one subject and feature that wait at the same moment
   * share one round trip, each with its own answer; nobody waits for company. For a server's calls:
   * with claims each goes alone. Default: false.
   */
  shareRoundTrips?: boolean;
}

export interface UsageClient<Feature extends string = string> extends UsageCalls<Feature> {
  /** The views: `from('current_usage').select('feature, used').eq('subject', userId)`. */
  from: UsageFrom<Feature>;
}

/**
 * `createUsageClient<'ai_generation' | 'export'>(pool)` knows the project's features. Cheap: make one
 * for each transaction (`createUsageClient(client)`) or signed-in user.
 */
export function createUsageClient<Feature extends string = string>(
  database: UsageDatabase,
  options: UsageOptions = {},
): UsageClient<Feature> {
  const identity = identityOf(options);
  const hint = identity
    ? `the login of the connection must be granted ${identity.role}, and inherit it`
    : "grant service_role to the login of the connection, and pass { role: 'service_role' }";

  const attempt = async <Result>(
    name: string,
    signal: AbortSignal | null | undefined,
    run: () => Promise<Result>,
  ): Promise<Result> => {
    try {
      return await unlessAborted(signal, run);
    } catch (error) {
      throw usageErrorOf(name, error, hint);
    }
  };
  const request = async (name: string, args?: object, call?: CallOptions) => {
    const statement = callOf(name, args, identity);
    return attempt(name, call?.signal, async () => answerIn(await run(database, statement)));
  };
  const ask: Ask = async <Answer>(name: string, args?: object, call?: CallOptions) => {
    const data = await request(name, args, call);
    if (data === null) throw new UsageError({ message: `${name} gave no answer`, status: 0 });
    return data as Answer;
  };
  const tell: Tell = async (name, args, call) => {
    await request(name, args, call);
  };
  const read: ReadRows = (view, statement, signal) =>
    attempt(view, signal, () => {
      if (!identity) return run(database, statement).then(rowsIn);
      return inTransaction(database, (one, isOwn) => readAs(one, isOwn, identity, statement));
    });

  return {
    ...createCalls<Feature>(ask, tell, options.shareRoundTrips && !options.claims),
    from: createFrom<Feature>(read),
  };
}

function identityOf({ role, claims }: UsageOptions): Identity | undefined {
  if (role === undefined && claims === undefined) return undefined;
  if (claims && !claims.sub) {
    throw new UsageError({
      message: 'the claims have no sub: nobody is signed in',
      code: '42501',
      hint: 'pass the claims of a verified token, or { sub: userId }',
      status: 401,
    });
  }
  const acting = role ?? 'authenticated';
  return { role: acting, claims: claims ? JSON.stringify({ ...claims, role: acting }) : '' };
}

const run = async (database: UsageDatabase, { text, values }: Statement) => {
  const { rows } = await database.query(text, values);
  return (rows[0] ?? {}) as Record<string, string | null | undefined>;
};

const answerIn = ({ answer }: Awaited<ReturnType<typeof run>>): unknown =>
  answer == null ? null : JSON.parse(answer);
const rowsIn = (row: Awaited<ReturnType<typeof run>>) => answerIn(row) as unknown[];

/**
 * Which rows a view shows is decided when its statement is planned, so the role is taken on in a
 * statement before. Inside a transaction of the caller it is laid down again.
 */
async function readAs(
  database: UsageDatabase,
  isOwn: boolean,
  identity: Identity,
  statement: Statement,
): Promise<unknown[]> {
  const before = await run(database, becomeOf(identity));
  const found = await run(database, statement);
  if (found.role !== identity.role) {
    // Nothing of it is given away: another connection, or no transaction, and so another reader.
    throw new UsageError({
      message: `a view can be read as ${identity.role} in a transaction alone, and there is none`,
      code: '25P01',
      hint: 'begin one, or give the database a transaction(work)',
      status: 500,
    });
  }
  if (!isOwn) {
    await run(database, becomeOf({ role: before.role ?? 'none', claims: before.claims ?? '' }));
  }
  return rowsIn(found);
}

interface PoolOfPg extends UsageDatabase {
  connect(): Promise<UsageDatabase & { release(error?: Error | boolean): void }>;
}

const isPool = (database: UsageDatabase): database is PoolOfPg =>
  'connect' in database && 'totalCount' in database;

async function inTransaction<Result>(
  database: UsageDatabase,
  work: (database: UsageDatabase, isOwn: boolean) => Promise<Result>,
): Promise<Result> {
  if (database.transaction) {
    const results: Result[] = [];
    await database.transaction(async (one) => {
      results.push(await work(one, true));
    });
    return results[0] as Result;
  }
  if (!isPool(database)) return work(database, false);
  const client = await database.connect();
  let failure: Error | undefined;
  try {
    await client.query('begin', []);
    const result = await work(client, true);
    await client.query('commit', []);
    return result;
  } catch (error) {
    failure = error as Error;
    throw error;
  } finally {
    // A connection whose transaction failed is closed rather than trusted.
    client.release(failure);
  }
}
