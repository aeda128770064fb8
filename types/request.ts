/** One call over PostgREST: its answer, or an error that says what to do. */
import type { CallOptions } from './client.ts';
import type { UsageAnswer, UsageConnection, UsageRequest } from './connection.ts';
import { UsageError } from './errors.ts';
import { whoWasRefused } from './service-key.ts';

/** `client` is what the app made, `database` what it gives for schema public. */
export async function request(
  client: object,
  database: UsageConnection,
  name: string,
  args?: object,
  options?: CallOptions,
): Promise<unknown> {
  const call = database.rpc(name, args);
  const seen = watch(call);
  const { data, error, status } = await (options?.signal ? call.abortSignal(options.signal) : call);
  const isMissing = (status === 404 || seen.status === 404) && !error?.code;
  if (isMissing) {
    const message = `${name}: nothing is served at ${seen.url ?? 'this address'} (HTTP 404)`;
    throw new UsageError({ message, hint: NOTHING_THERE, details: error?.message, status: 404 });
  }
  if (!error && status < 400) return data;
  // Whatever stands in front of PostgREST may answer in a form of its own.
  const message = error?.message || `${name} failed with HTTP status ${status}`;
  throw new UsageError({ ...error, message, hint: hintOf(client, error), status });
}

const NOTHING_THERE =
  'supabase-js asks below /rest/v1, as Supabase serves it. For a PostgREST of your own use PostgrestClient of ' +
  '@supabase/postgrest-js with its address, or serve it below /rest/v1.';

const NOT_INSTALLED =
  'npx pgquota doctor says whether pgquota is installed in the database behind this address; ' +
  "after an installation by hand: notify pgrst, 'reload schema'";

function hintOf(client: object, error: UsageAnswer['error']): string | null | undefined {
  switch (error?.code) {
    case '42501':
      return whoWasRefused(client) ?? error.hint;
    case 'PGRST125': // the path is none of PostgREST's, from 13 on
      return NOTHING_THERE;
    case 'PGRST202': // it knows no such function
      return error.hint || NOT_INSTALLED;
    default:
      return error?.hint;
  }
}

/**
 * What was really answered: supabase-js takes a 404 without a body for the answer of a function that
 * returns nothing.
 */
function watch(call: UsageRequest): { status?: number; url?: string } {
  const seen: { status?: number; url?: string } = {};
  const builder = call as { fetch?: (url: string, init?: object) => Promise<Response> };
  const { fetch } = builder;
  if (typeof fetch !== 'function') return seen;
  builder.fetch = async (url, init) => {
    const response = await fetch(url, init);
    seen.status = response.status;
    seen.url = response.url || String(url);
    return response;
  };
  return seen;
}
