/** Asks the server, with the key that came behind the # of the address, and hands refusals on as they are. */
import type { Refusal } from '../../server/shapes.ts';

const KEPT = 'pgquota-studio-key';

/** Taken from the address once, so that it is neither in the history nor in a screenshot. */
export function takeKey(): void {
  const [, key] = /^#key=(.+)$/.exec(location.hash) ?? [];
  if (!key) return;
  localStorage.setItem(KEPT, key);
  history.replaceState(null, '', location.pathname + location.search);
}

export class Refused extends Error {
  readonly refusal: Refusal;
  readonly status: number;

  constructor(status: number, refusal: Refusal) {
    super(refusal.message);
    this.status = status;
    this.refusal = refusal;
  }
}

export const refusalOf = (error: unknown): Refusal =>
  error instanceof Refused
    ? error.refusal
    : { message: String((error as Error)?.message ?? error) };

type Asked = Record<string, string | number | null | undefined>;

export async function get<T>(name: string, asked: Asked = {}): Promise<T> {
  const query = new URLSearchParams();
  for (const [key, value] of Object.entries(asked)) {
    if (value !== undefined && value !== null && value !== '') query.set(key, String(value));
  }
  return answer<T>(await send(`/api/${name}?${query}`));
}

export async function post<T>(name: string, body: unknown): Promise<T> {
  return answer<T>(
    await send(`/api/${name}`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify(body),
    }),
  );
}

async function send(path: string, init: RequestInit = {}): Promise<Response> {
  const authorization = `Bearer ${localStorage.getItem(KEPT) ?? ''}`;
  try {
    return await fetch(path, { ...init, headers: { ...init.headers, authorization } });
  } catch {
    throw new Refused(0, {
      message: 'The studio does not answer.',
      hint: 'It was stopped, perhaps: start npx pgquota studio again and open the address that it prints.',
    });
  }
}

async function answer<T>(response: Response): Promise<T> {
  if (response.ok) return (await response.json()) as T;
  const text = await response.text();
  if (response.headers.get('content-type')?.startsWith('application/json')) {
    throw new Refused(response.status, JSON.parse(text));
  }
  throw new Refused(response.status, {
    message: text.trim(),
    hint: 'Another studio was started since, perhaps: open the address that it printed.',
  });
}
