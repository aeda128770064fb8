/**
 * The AI endpoint, with web standards alone: who is it → reserve → generate → commit what was used, or
 * release. An edge function, a Next.js route and `npm start` serve the same function.
 *
 * A draft counts once its first word is on the way, whoever hangs up then; only a draft that the model
 * fails to finish is free.
 *
 * It answers with one JSON object a line: `{draft, text}` while it writes, then `{done, usage}` or
 * `{error, code}`. Before the first line: 400, 401, 402 or 429 (a limit), 403, 413, 503.
 */
import type { SupabaseClient } from '@supabase/supabase-js';
import {
  createUsageClient,
  type UsageDecision,
  UsageError,
  UsageLimitExceeded,
  UsageOutcomeUnknown,
  usageLimitResponse,
} from 'pgquota';
import { readBody } from './body.ts';
import type { Model } from './model.ts';

const FEATURE = 'ai_generation';
const MOST_DRAFTS = 10;
const LONGEST_PROMPT = 2000;
/** In bytes: the longest prompt in JSON, where a character may be written as \uXXXX, and some room. */
const LARGEST_BODY = 6 * LONGEST_PROMPT + 1024;

export interface GenerateOptions {
  /** A client with the caller's own token: the database says who that is. */
  asUser(token: string): SupabaseClient;
  /** A client with the service key, which never leaves the server. */
  asService: SupabaseClient;
  model: Model;
  /** Keeps the process alive until the use is settled, where the host would end it earlier. */
  waitUntil?(settled: Promise<unknown>): void;
}

export function createGenerate(options: GenerateOptions): (request: Request) => Promise<Response> {
  const usage = createUsageClient<typeof FEATURE>(options.asService);

  return async (request) => {
    if (request.method !== 'POST') return refuse(405, 'METHOD_NOT_ALLOWED', 'Use POST');
    try {
      // Anybody may send one: before it is known who, no more is kept of it than a call can need.
      const body = await readBody(request, LARGEST_BODY);
      if (body === null) return refuse(413, 'TOO_LARGE', `Send at most ${LARGEST_BODY} bytes`);
      const asked = parse(body);
      if (!asked) {
        const message = `Send {"prompt": "…", "drafts": 1 to ${MOST_DRAFTS}}`;
        return refuse(400, 'BAD_REQUEST', message);
      }
      const subject = await identify(request, options);
      if (!subject) return refuse(401, 'UNAUTHENTICATED', 'Sign in first');
      return await generate(subject, asked, request.signal);
    } catch (error) {
      if (request.signal.aborted)
        return refuse(499, 'LEFT', 'You left before anything was written');
      return explain(error);
    }
  };

  /** Resolves once the amount is held and the stream can begin; rejects when it is not. */
  function generate(subject: string, { prompt, drafts }: Asked, signal: AbortSignal) {
    return new Promise<Response>((resolve, reject) => {
      const reader = new AbortController();
      const gone = AbortSignal.any([signal, reader.signal]);
      let lines: ReadableStreamDefaultController<Uint8Array> | undefined;
      const send = (line: object) => {
        if (!gone.aborted) lines?.enqueue(encoder.encode(`${JSON.stringify(line)}\n`));
      };
      let failure: unknown;

      // The key is ours: with one of the caller's, a repeated call would run the model again for the
      // unit it has already paid.
      const settled = usage
        .withUsage(FEATURE, { subject, amount: drafts, signal: gone }, async (work) => {
          const body = new ReadableStream<Uint8Array>({
            start: (controller) => {
              lines = controller;
            },
            cancel: () => reader.abort(),
          });
          resolve(new Response(body, { headers: STREAM_HEADERS }));

          let finished = 0;
          let tokens = 0;
          try {
            for (; finished < drafts; finished++) {
              // Replace `options.model` by a real one: an async iterable of text, then its tokens.
              for await (const part of options.model(prompt, gone)) {
                gone.throwIfAborted(); // also for a model that does not look at the signal
                tokens += part.tokens ?? 0;
                if (!part.text) continue;
                // Before it is sent: whoever leaves with it in hand has begun this draft.
                work.commit(finished + 1, { tokens });
                send({ draft: finished, text: part.text });
              }
            }
          } catch (error) {
            // The reader left: what was begun counts. The model failed: what was finished counts, and
            // without a finished draft all of it is released.
            if (gone.aborted || finished === 0) throw error;
            failure = error;
          }
          work.commit(finished, { tokens });
        })
        .then(
          ({ decision }) =>
            send(failure ? failed(failure, decision) : { done: true, usage: decision }),
          (error) => {
            if (!lines) return reject(error);
            if (error instanceof UsageError) console.error('a generation was not settled:', error);
            send(failed(error, null));
          },
        )
        .then(() => {
          if (!gone.aborted) lines?.close();
        });
      options.waitUntil?.(settled);
    });
  }
}

/** The last line of a generation that broke off; `usage` says what was counted, null: nothing. */
function failed(error: unknown, usage: UsageDecision | null) {
  return error instanceof UsageError
    ? { error: 'The use could not be settled', code: 'USAGE_UNAVAILABLE', usage }
    : { error: 'The generation failed', code: 'GENERATION_FAILED', usage };
}

/**
 * The database is asked with the caller's token, so that a token is good here exactly when it is good
 * there, whoever issued it. Gives null for none, a wrong one, or an expired one.
 */
async function identify(request: Request, options: GenerateOptions): Promise<string | null> {
  const [, token] = request.headers.get('authorization')?.match(/^Bearer (.+)$/i) ?? [];
  if (!token) return null;
  try {
    const decision = await createUsageClient<typeof FEATURE>(options.asUser(token)).checkUsage({
      feature: FEATURE,
    });
    return decision.subject;
  } catch (error) {
    // The service key names nobody, and has no business here.
    if (error instanceof UsageError && (error.status === 401 || error.code === 'QSUBJ'))
      return null;
    throw error;
  }
}

interface Asked {
  prompt: string;
  drafts: number;
}

function parse(body: string): Asked | null {
  let asked: Partial<Asked> | null;
  try {
    asked = JSON.parse(body);
  } catch {
    return null;
  }
  const { prompt, drafts = 1 } = asked ?? {};
  const isPrompt =
    typeof prompt === 'string' && prompt.trim() !== '' && prompt.length <= LONGEST_PROMPT;
  const isAmount = Number.isInteger(drafts) && drafts >= 1 && drafts <= MOST_DRAFTS;
  return isPrompt && isAmount ? { prompt, drafts } : null;
}

function explain(error: unknown): Response {
  if (error instanceof UsageLimitExceeded) return usageLimitResponse(error);
  if (error instanceof UsageError && error.code === '42501') {
    return refuse(403, 'FORBIDDEN', 'Not allowed for you');
  }
  const isAway =
    error instanceof UsageOutcomeUnknown ||
    (error instanceof UsageError &&
      (error.status < 400 || error.status >= 502 || error.code === '55P03'));
  if (isAway) {
    const message = 'Usage cannot be counted at the moment, so nothing was generated';
    return refuse(503, 'USAGE_UNAVAILABLE', message, { 'retry-after': '5' });
  }
  console.error(error);
  return refuse(500, 'INTERNAL', 'Something went wrong');
}

function refuse(status: number, code: string, error: string, headers = {}): Response {
  return Response.json(
    { error, code },
    { status, headers: { 'cache-control': 'no-store', ...headers } },
  );
}

const encoder = new TextEncoder();
const STREAM_HEADERS = {
  'content-type': 'application/x-ndjson; charset=utf-8',
  'cache-control': 'no-store',
};
