/**
 * Who may ask. The address that is printed has a token; who shows it gets a cookie for the page and its
 * files, and a key, which the page keeps and sends as a header, for everything else. Both, since cookies know
 * no ports: another server on this machine is sent them too, and a key it is not.
 *
 * A name that leads here (DNS rebinding) is another Host, a page of others another Origin: neither is let in,
 * whatever it brings.
 */
import { createHash, randomBytes, timingSafeEqual } from 'node:crypto';
import type { IncomingMessage } from 'node:http';

export interface Gate {
  /** What is printed: it opens the page. */
  address: string;
  /** Why a request is turned away; undefined lets it in. */
  refuse(request: IncomingMessage, url: URL): { status: number; why: string } | undefined;
  /** Whether it is the address that was printed, which gets cookie and key. */
  isEntrance(url: URL): boolean;
  cookie: string;
  key: string;
}

const secret = () => randomBytes(32).toString('base64url');
const digest = (text: string) => createHash('sha256').update(text).digest();
/** In the same time, whatever is alike, and whatever the lengths are. */
const isSame = (given: string, wanted: string) => timingSafeEqual(digest(given), digest(wanted));

export function createGate(port: number): Gate {
  const [token, session, key] = [secret(), secret(), secret()];
  const host = `127.0.0.1:${port}`;
  const origin = `http://${host}`;
  const name = `pgquota-studio-${port}`;

  const isEntrance = (url: URL) =>
    url.pathname === '/' && isSame(url.searchParams.get('token') ?? '', token);

  return {
    address: `${origin}/?token=${token}`,
    cookie: `${name}=${session}; Path=/; HttpOnly; SameSite=Strict`,
    key,
    isEntrance,
    refuse(request, url) {
      const { host: said, origin: from } = request.headers;
      if (said !== host) return { status: 421, why: `this server is ${host} and nothing else` };
      const isOwn = from === undefined ? request.method === 'GET' : from === origin;
      if (!isOwn) return { status: 403, why: 'asked from another page' };
      if (isEntrance(url)) return undefined;
      const site = request.headers['sec-fetch-site'];
      if (site !== undefined && site !== 'same-origin' && site !== 'none') {
        return { status: 403, why: 'asked from another page' };
      }
      if (!isSame(cookieOf(request, name), session)) {
        return { status: 401, why: 'no token: open the address that pgquota studio printed' };
      }
      if (!url.pathname.startsWith('/api/')) return undefined;
      const bearer = /^Bearer (.+)$/.exec(request.headers.authorization ?? '')?.[1] ?? '';
      if (isSame(bearer, key)) return undefined;
      return { status: 401, why: 'no key: open the address that pgquota studio printed' };
    },
  };
}

function cookieOf(request: IncomingMessage, name: string): string {
  for (const pair of (request.headers.cookie ?? '').split(';')) {
    const [one, value] = pair.trim().split('=');
    if (one === name) return value ?? '';
  }
  return '';
}
