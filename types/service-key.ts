/** The service key may do anything to anybody's usage, and whatever a browser holds is public. */

export function refuseServiceKeyInBrowser(supabase: object): void {
  if (!isBrowser()) return;
  // Both are protected in supabase-js: the key, and a header that may stand in its place.
  const { supabaseKey, headers } = supabase as {
    supabaseKey?: unknown;
    headers?: Record<string, unknown>;
  };
  const header = headers?.Authorization ?? headers?.authorization;
  if (isServiceKey(supabaseKey) || isServiceKey(header)) {
    throw new Error(
      'A service key in a browser: everybody who opens the page can read it and change any usage. ' +
        'Create this client with the anon or publishable key, and revoke the key that was exposed.',
    );
  }
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
