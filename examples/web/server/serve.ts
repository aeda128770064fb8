/**
 * The server side of the example, mounted beside the API on the same origin: the page, the AI endpoint,
 * the billing webhook, and stand-ins for what an app buys elsewhere (sign-in, payment).
 */
import { randomBytes } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { extname, join, normalize } from 'node:path';
import { fileURLToPath } from 'node:url';
import { Webhook } from 'standardwebhooks';
import type { Route } from '../../../scripts/local/gateway.ts';
import type { Keys } from '../../../scripts/local/keys.ts';
import { connectSupabase } from '../../../scripts/local/supabase.ts';
import { readBody } from '../../../supabase/functions/_shared/body.ts';
import { createGenerate } from '../../../supabase/functions/_shared/generate.ts';
import { createStandIn, type Model } from '../../../supabase/functions/_shared/model.ts';
import {
  createPlanChange,
  type PlanChangeEvent,
} from '../../../supabase/functions/_shared/plan-change.ts';
import { type Handler, serve } from './http.ts';

const EXAMPLE = fileURLToPath(new URL('..', import.meta.url));
/** Whom the page may sign in as: those of the sample data, and an own one. */
const DEMO_USER = /^(demo-(free|pro|ada|bob)|you-[0-9a-f]{8})$/;
const TYPES: Record<string, string> = {
  '.html': 'text/html; charset=utf-8',
  '.js': 'text/javascript; charset=utf-8',
  '.css': 'text/css; charset=utf-8',
  '.svg': 'image/svg+xml',
};

export interface ExampleOptions extends Keys {
  /** Where the API answers. */
  url: string;
  model?: Model;
}

export function createExample({ url, anonKey, serviceRoleKey, userToken, model }: ExampleOptions) {
  const asService = connectSupabase(url, serviceRoleKey);
  const secret = `whsec_${randomBytes(24).toString('base64')}`;
  const planChange = createPlanChange({ secret, asService });

  const handlers: Record<string, Handler> = {
    'POST /api/generate': createGenerate({
      asUser: (token) => connectSupabase(url, anonKey, async () => token),
      asService,
      model: model ?? createStandIn(),
    }),
    'POST /api/billing/webhook': planChange,

    /** In place of an auth server: what the page gets is what Supabase Auth would give it. */
    'POST /demo/session': async (request) => {
      const { user = '' } = await read(request);
      if (!DEMO_USER.test(user)) return Response.json({ error: 'No such user' }, { status: 404 });
      return Response.json({ user, anonKey, token: await userToken(user) });
    },

    /** In place of a payment provider: "pays", then delivers the signed event as a provider does. */
    'POST /demo/checkout': async (request) => {
      const token = request.headers.get('authorization')?.replace(/^Bearer /i, '') ?? '';
      const { plan = '' } = await read(request);
      const { data, error } = await connectSupabase(url, anonKey, async () => token).rpc(
        'check_usage',
        { feature: 'ai_generation' },
      );
      if (error) return Response.json({ error: 'Sign in first' }, { status: 401 });
      const now = new Date();
      return planChange(
        sign(secret, {
          type: 'subscription.updated',
          timestamp: now.toISOString(),
          data: {
            subject: data.subject,
            plan,
            billing_anchor: now.toISOString(),
            ends_at: null,
          },
        }),
      );
    },
  };

  const route: Route = async (req, res) => {
    const path = new URL(req.url ?? '/', 'http://localhost').pathname;
    const handler = handlers[`${req.method} ${path}`] ?? (req.method === 'GET' ? page(path) : null);
    if (!handler) return false;
    await serve(handler, req, res);
    return true;
  };
  return { route, secret };
}

/** A delivery as the provider's own library would sign it. */
export function sign(
  secret: string,
  event: PlanChangeEvent,
  id = `msg_${randomBytes(9).toString('hex')}`,
) {
  const body = JSON.stringify(event);
  const now = new Date();
  return new Request('http://localhost/api/billing/webhook', {
    method: 'POST',
    body,
    headers: {
      'content-type': 'application/json',
      'webhook-id': id,
      'webhook-timestamp': String(Math.floor(now.getTime() / 1000)),
      'webhook-signature': new Webhook(secret).sign(id, now, body),
    },
  });
}

/** What the page sends to the stand-ins; from anybody else too much or none of it is nothing. */
async function read(request: Request): Promise<{ user?: string; plan?: string }> {
  try {
    return JSON.parse((await readBody(request, 1024)) ?? '{}');
  } catch {
    return {};
  }
}

function page(path: string): Handler | null {
  const file = normalize(path === '/' || path === '/settings/billing' ? '/index.html' : path);
  const type = TYPES[extname(file)];
  if (!type) return null;
  return async () => {
    const content = await readFile(join(EXAMPLE, 'dist', file)).catch(() => null);
    if (!content) return Response.json({ message: `There is no ${path}` }, { status: 404 });
    const isHashed = file.startsWith('/assets/');
    return new Response(content, {
      headers: {
        'content-type': type,
        'cache-control': isHashed ? 'public, max-age=31536000, immutable' : 'no-cache',
        // Nothing from elsewhere; styles are inlined by React and the chart.
        'content-security-policy': "default-src 'self'; style-src 'self' 'unsafe-inline'",
      },
    });
  };
}
