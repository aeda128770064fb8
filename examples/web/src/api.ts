/** What the page asks of the server. The user's own token is all it ever holds. */
import { createClient, type SupabaseClient } from '@supabase/supabase-js';

export interface Session {
  user: string;
  token: string;
  supabase: SupabaseClient;
}

/** What a refusal says: the body of usageLimitResponse(), or another error's. */
export interface Refusal {
  error: string;
  code: string;
  retry_after?: number | null;
  /** What was counted before it broke off. */
  usage?: { amount: number } | null;
}

/** One client for the page, whoever is signed in; it sends the token of who is. */
let client: SupabaseClient | undefined;
let present = '';

export async function signIn(user: string): Promise<Session> {
  const response = await post('/demo/session', { user });
  if (!response.ok) throw new Error(`Sign-in failed with status ${response.status}`);
  const { anonKey, token } = await response.json();
  present = token;
  client ??= createClient(location.origin, anonKey, { accessToken: async () => present });
  return { user, token, supabase: client };
}

/** Gives a refusal, or null when all of it was written. `onText` is told each piece. */
export async function generate(
  session: Session,
  asked: { prompt: string; drafts: number },
  onText: (draft: number, text: string) => void,
  signal: AbortSignal,
): Promise<(Refusal & { status: number }) | null> {
  const response = await post('/api/generate', asked, session.token, signal);
  if (!response.ok || !response.body) {
    const body = await response.json().catch(() => ({ error: response.statusText, code: '' }));
    return { ...body, status: response.status };
  }
  let rest = '';
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return { error: 'The answer broke off', code: 'GENERATION_FAILED', status: 200 };
    const lines = (rest + value).split('\n');
    rest = lines.pop() ?? '';
    for (const line of lines) {
      const part = JSON.parse(line);
      if (part.error) return { ...part, status: 200 };
      if (part.done) return null;
      onText(part.draft, part.text);
    }
  }
}

export async function upgrade(session: Session, plan: string): Promise<void> {
  const response = await post('/demo/checkout', { plan }, session.token);
  if (!response.ok) throw new Error(`The upgrade failed with status ${response.status}`);
}

function post(path: string, body: object, token?: string, signal?: AbortSignal) {
  const headers: Record<string, string> = { 'content-type': 'application/json' };
  if (token) headers.authorization = `Bearer ${token}`;
  return fetch(path, { method: 'POST', headers, body: JSON.stringify(body), signal });
}
