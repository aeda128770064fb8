/** The service key may do anything to anybody's usage, and whatever a browser holds is public. */

export function refuseServiceKeyInBrowser(supabase: object): void {
  if (!isBrowser()) return;
  if (keysOf(supabase).some(isServiceKey)) {
    throw new Error(
      'A service key in a browser: everybody who opens the page can read it and change any usage. ' +
        'Create this client with the anon or publishable key, and revoke the key that was exposed.',
    );
  }
}

/** The key, and the headers that may stand in its place. supabase-js keeps both to itself. */
function keysOf(client: object): unknown[] {
  const { supabaseKey, headers } = client as {
    supabaseKey?: unknown;
    headers?: Record<string, string>;
  };
  const sent = new Headers(headers);
  return [supabaseKey, sent.get('authorization'), sent.get('apikey')];
}

function isBrowser(): boolean {
  const { window } = globalThis as { window?: { document?: unknown } };
  return window?.document !== undefined;
}

function isServiceKey(value: unknown): boolean {
  if (typeof value !== 'string') return false;
  const key = value.replace(/^Bearer /i, '');
  if (key.startsWith('sb_secret_')) return true;
  try {
    const claims = key.split('.')[1]?.replaceAll('-', '+').replaceAll('_', '/') ?? '';
    return JSON.parse(atob(claims)).role === 'service_role';
  } catch {
    return false; // no JWT
  }
}
