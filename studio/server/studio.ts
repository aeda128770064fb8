/** The server behind `npx pgquota studio`: on 127.0.0.1 alone, for who has the address that was printed. */
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { createApi } from './api.ts';
import { openDatabase } from './database.ts';
import { policy, readFiles } from './files.ts';
import { createGate, type Gate } from './gate.ts';

export interface StudioOptions {
  databaseUrl: string;
  /** Shown: host, port and name of the database. */
  place: string;
  /** 0: any that is free. */
  port: number;
  isReadOnly: boolean;
  /** The built page. */
  page: string;
}

export interface Studio {
  /** With its token; whoever has it can do what is possible here. */
  address: string;
  port: number;
  readOnly: string | null;
  close(): Promise<void>;
}

export async function startStudio(options: StudioOptions): Promise<Studio> {
  const file = readFiles(options.page);
  const database = await openDatabase(options.databaseUrl);
  try {
    const api = createApi(database, options);
    const { readOnly } = await api.session();
    let gate: Gate | undefined;
    const server = createServer((request, response) => {
      answer(request, response).catch(() => response.destroy());
    });

    const answer = async (request: IncomingMessage, response: ServerResponse) => {
      const url = new URL(request.url ?? '/', 'http://127.0.0.1');
      const refused = (gate as Gate).refuse(request, url);
      if (refused)
        return send(response, refused.status, 'text/plain; charset=utf-8', `${refused.why}\n`);
      if ((gate as Gate).isEntrance(url)) return enter(response, gate as Gate);
      if (url.pathname.startsWith('/api/')) {
        const { status, body } = await api.answer(request, url);
        return send(response, status, 'application/json; charset=utf-8', JSON.stringify(body));
      }
      const found = request.method === 'GET' ? file(url.pathname) : undefined;
      if (!found)
        return send(response, 404, 'text/plain; charset=utf-8', 'there is no such page\n');
      send(response, 200, found.type, found.body, {
        'content-security-policy': policy(found.nonce),
        'cache-control': found.isLasting ? 'private, max-age=31536000, immutable' : 'no-store',
      });
    };

    const port = await listen(server, options.port);
    gate = createGate(port);
    return {
      address: gate.address,
      port,
      readOnly,
      async close() {
        server.close();
        server.closeAllConnections();
        await database.close();
      },
    };
  } catch (error) {
    await database.close();
    throw error;
  }
}

/**
 * A page, and no redirect: after a click elsewhere (a terminal in a browser) a redirect would be that
 * page's doing, and a strict cookie stays away. The key is behind the #, which no server is sent.
 */
function enter(response: ServerResponse, gate: Gate): void {
  send(
    response,
    200,
    'text/html; charset=utf-8',
    `<!doctype html><html lang="en"><link rel="icon" href="data:,"><title>pgquota studio</title><meta http-equiv="refresh" content="0;url=/#key=${gate.key}"></html>`,
    { 'set-cookie': gate.cookie },
  );
}

function send(
  response: ServerResponse,
  status: number,
  type: string,
  body: string | Buffer,
  headers: Record<string, string> = {},
): void {
  response.writeHead(status, {
    'content-type': type,
    'content-length': Buffer.byteLength(body),
    'cache-control': 'no-store',
    'content-security-policy': policy(undefined),
    'cross-origin-opener-policy': 'same-origin',
    'cross-origin-resource-policy': 'same-origin',
    'referrer-policy': 'no-referrer',
    'x-content-type-options': 'nosniff',
    'x-frame-options': 'DENY',
    ...headers,
  });
  response.end(body);
}

async function listen(server: ReturnType<typeof createServer>, port: number): Promise<number> {
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(port, '127.0.0.1', () => {
      server.off('error', reject);
      resolve();
    });
  });
  return (server.address() as AddressInfo).port;
}
