/** One alert to one receiver, signed by the rules of standardwebhooks.com: https://www.standardwebhooks.com */
import { Webhook } from 'standardwebhooks';
import type { UsageAlertEvent } from '../types/alert-event.ts';
import { version } from './package.ts';
import { Problem } from './problem.ts';

/** With 40 s for each attempt and 20 s in between it ends well before an alert is handed out again. */
const RETRIES = 3;
export const LONGEST_TIMEOUT = 40;
const LONGEST_PAUSE = 20;

export interface Message {
  /** The same in each delivery. */
  id: string;
  event: UsageAlertEvent;
}

/** Why it did not arrive, and how many seconds the receiver asks to be left alone. */
export interface Failure {
  reason: string;
  retryAfter: number;
}

export type Send = (message: Message, stop: AbortSignal) => Promise<Failure | null>;

/** The receiver says 410: it wants no more, of anything. */
export class ReceiverGone extends Problem {}

/** Null is an arrival. When it is told to stop it finishes the attempt at hand. */
export function createSend(url: string, secret: string, timeout: number): Send {
  const webhook = readSecret(secret);
  const receiver = readUrl(url);
  return async (message, stop) => {
    for (let attempt = 0; ; attempt++) {
      const failure = await post(receiver, webhook, message, timeout);
      if (!failure || attempt === RETRIES || stop.aborted) return failure;
      if (failure.retryAfter > LONGEST_PAUSE) return failure;
      // Not all at the same moment, once it is back.
      const wait = 2 ** attempt * (1 + Math.random() / 2);
      await pause(Math.max(wait, failure.retryAfter), stop);
      if (stop.aborted) return failure;
    }
  };
}

async function post(
  url: URL,
  webhook: Webhook,
  { id, event }: Message,
  timeout: number,
): Promise<Failure | null> {
  const body = JSON.stringify(event);
  const now = new Date(); // of this attempt: a receiver refuses an old one
  let response: Response;
  try {
    response = await fetch(url, {
      method: 'POST',
      body,
      headers: {
        'content-type': 'application/json',
        'user-agent': `pgquota/${version}`,
        'webhook-id': id,
        'webhook-timestamp': String(Math.floor(now.getTime() / 1000)),
        'webhook-signature': webhook.sign(id, now, body),
      },
      redirect: 'manual', // it was signed for this address
      signal: AbortSignal.timeout(timeout * 1000),
    });
    await response.body?.cancel(); // the status says it all
  } catch (error) {
    const { name, message, cause } = error as Error;
    const isLate = name === 'TimeoutError';
    const why = (cause as { code?: string } | undefined)?.code ?? message;
    return { reason: isLate ? `no answer within ${timeout} s` : why, retryAfter: 0 };
  }
  if (response.ok) return null;
  if (response.status === 410) {
    throw new ReceiverGone(
      `${url.origin} answers 410 Gone: it wants no more alerts.`,
      'Name its new address; what was not delivered is kept.',
    );
  }
  const isRedirect = response.status >= 300 && response.status < 400;
  return {
    reason: `answer ${response.status}${isRedirect ? ', and redirects are not followed' : ''}`,
    retryAfter: secondsOf(response.headers.get('retry-after')),
  };
}

/** `120`, or a date. */
function secondsOf(value: string | null): number {
  if (!value) return 0;
  const seconds = /^\d+$/.test(value) ? Number(value) : (Date.parse(value) - Date.now()) / 1000;
  return Number.isFinite(seconds) ? Math.max(0, seconds) : 0;
}

function readSecret(secret: string): Webhook {
  const base64 = secret.replace(/^whsec_/, '');
  if (/^[A-Za-z0-9+/]+={0,2}$/.test(base64) && Buffer.from(base64, 'base64').length >= 24) {
    try {
      return new Webhook(secret);
    } catch {
      // not base64 after all
    }
  }
  throw new Problem(
    'PGQUOTA_WEBHOOK_SECRET is not a secret of Standard Webhooks.',
    "It is whsec_ and at least 24 bytes in base64: node -p \"'whsec_' + crypto.randomBytes(24).toString('base64')\" makes one.",
  );
}

function readUrl(text: string): URL {
  const url = URL.canParse(text) ? new URL(text) : undefined;
  if (url && ['http:', 'https:'].includes(url.protocol) && !url.username && !url.password)
    return url;
  throw new Problem(
    'The address of the webhook cannot be read.',
    'It looks like https://app.example.com/api/usage-alert, without user and password: the signature says who sends.',
  );
}

/** Ends at once when it is told to stop. */
export function pause(seconds: number, stop: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (stop.aborted) return resolve();
    const end = () => {
      clearTimeout(timer);
      stop.removeEventListener('abort', end);
      resolve();
    };
    const timer = setTimeout(end, seconds * 1000);
    stop.addEventListener('abort', end);
  });
}
