/**
 * What a payment provider calls when a subscription begins, changes or ends. The signature is that of
 * standardwebhooks.com; a provider with another one (Stripe) changes `verify` and the payload's names.
 */
import type { SupabaseClient } from '@supabase/supabase-js';
import { Webhook, WebhookVerificationError } from 'standardwebhooks';
import { readBody } from './body.ts';

/** In bytes; providers send a few thousand. Read before the signature can be looked at. */
const LARGEST_BODY = 256 * 1024;

/** The state after the event, not a difference: so only the latest one matters. */
export interface PlanChangeEvent {
  type: 'subscription.updated';
  /** When it happened at the provider: decides which of two deliveries is the later one. */
  timestamp: string;
  data: {
    subject: string;
    plan: string;
    /**
     * The billing day, so that the quota resets with the invoice. null: the one there is. It moves with
     * a larger plan only: else a checkout of the plan one is on would start the month afresh.
     */
    billing_anchor: string | null;
    /** When a cancelled plan ends; the default plan follows. */
    ends_at: string | null;
  };
}

export interface PlanChangeOptions {
  /** whsec_… */
  secret: string;
  asService: SupabaseClient;
}

export function createPlanChange({ secret, asService }: PlanChangeOptions) {
  const webhook = new Webhook(secret);

  return async (request: Request): Promise<Response> => {
    if (request.method !== 'POST') return Response.json({ error: 'Use POST' }, { status: 405 });
    const body = await readBody(request, LARGEST_BODY);
    if (body === null) return Response.json({ error: 'Too large' }, { status: 413 });
    let event: PlanChangeEvent;
    try {
      event = webhook.verify(body, Object.fromEntries(request.headers)) as PlanChangeEvent;
    } catch (error) {
      if (!(error instanceof WebhookVerificationError) && !(error instanceof SyntaxError))
        throw error;
      return Response.json({ error: 'The signature is wrong or too old' }, { status: 401 });
    }
    if (event.type !== 'subscription.updated') return Response.json({ applied: false });

    const { subject, plan, billing_anchor, ends_at } = event.data;
    const { data, error, status } = await asService.rpc('apply_subscription', {
      event_id: request.headers.get('webhook-id'),
      event_at: event.timestamp,
      subject,
      plan,
      anchor: billing_anchor,
      ends_at,
    });
    if (!error) return Response.json({ applied: data });
    console.error(`plan of ${subject} not changed: ${error.code} ${error.message}`);
    // Anything but 2xx makes the provider deliver again.
    const isWrong = status >= 400 && status < 500;
    return Response.json(
      { error: 'Not applied', code: error.code },
      { status: isWrong ? 422 : 503 },
    );
  };
}
