/** The service key may do anything to anybody's usage, and whatever a browser holds is public. */

export function refuseServiceKeyInBrowser(client: object): void {
  if (!isBrowser()) return;
  const { key, authorization } = keysOf(client);
  if (isServiceKey(key) || isServiceKey(authorization)) {
    throw new Error(
      'A service key in a browser: everybody who opens the page can read it and change any usage. ' +
        'Create this client with the anon or publishable key, and revoke the key that was exposed.',
    );
  }
}

/** Why a client that has the service key was refused as somebody else; null when it was not that. */
export function whoWasRefused(client: object): string | null {
  const { key, authorization } = keysOf(client);
  if (!isServiceKey(key) || isServiceKey(authorization)) return null;
  return authorization === null
    ? 'This client has the service key, but a user who is signed in on it, or its accessToken, goes before ' +
        'the key. Use a client of its own for the service key.'
    : 'This client has the service key and an Authorization header, and the header goes before the key: the ' +
        'call was made as the user of that header. Use a client with the service key alone.';
}

/** The key, and the header that goes before it. supabase-js keeps both to itself. */
function keysOf(client: object): { key: unknown; authorization: string | null } {
  const { supabaseKey, headers } = client as {
    supabaseKey?: unknown;
    headers?: Record<string, string>;
  };
  const sent = new Headers(headers);
  return { key: supabaseKey ?? sent.get('apikey'), authorization: sent.get('authorization') };
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
