/**
 * A network that fails on purpose: a proxy in front of the API, told what happens to the next calls of
 * a function. What is not told passes.
 */
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { buffer } from 'node:stream/consumers';

export type Fate =
  /** The database does it, and nobody hears of it. */
  | 'answer lost'
  /** It never arrives. */
  | 'call lost'
  /** It never arrives, and the connection stays open. */
  | 'silence'
  /** Something else answers. */
  | { status: number; body: string };

export interface FlakyNetwork {
  url: string;
  /** The functions called so far, in order. */
  calls: { name: string; args: Record<string, unknown> }[];
  next(name: string, ...fates: Fate[]): void;
  /** Told the status of each answer that passed. */
  onAnswer: (name: string, status: number) => void;
  stop(): Promise<void>;
}

export async function startFlakyNetwork(target: string): Promise<FlakyNetwork> {
  const fates = new Map<string, Fate[]>();
  const network: FlakyNetwork = {
    url: '',
    calls: [],
    next: (name, ...list) => {
      fates.set(name, list);
    },
    onAnswer: () => {},
    stop: () =>
      new Promise((resolve) => {
        server.close(() => resolve()); // also when it was stopped before
        server.closeAllConnections();
      }),
  };

  async function handle(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const body = await buffer(request);
    const name = request.url?.split('/').at(-1) ?? '';
    network.calls.push({ name, args: JSON.parse(body.toString() || '{}') });
    const fate = fates.get(name)?.shift();
    if (fate === 'silence') return;
    if (fate === 'call lost') return void request.socket.destroy();
    if (typeof fate === 'object') return void response.writeHead(fate.status).end(fate.body);

    const headers = { ...request.headers } as Record<string, string>;
    for (const header of ['host', 'connection', 'content-length', 'transfer-encoding']) {
      delete headers[header];
    }
    const answer = await fetch(target + request.url, {
      method: request.method,
      headers,
      body: request.method === 'GET' ? undefined : new Uint8Array(body),
    });
    const text = await answer.text();
    if (fate === 'answer lost') return void request.socket.destroy();
    network.onAnswer(name, answer.status);
    response.writeHead(answer.status, { 'content-type': 'application/json' }).end(text);
  }

  const server = createServer((request, response) => void handle(request, response));
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  network.url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  return network;
}
