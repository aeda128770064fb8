/**
 * One origin for everything a browser asks: `/rest/v1` goes to PostgREST, as Supabase's gateway does
 * it, other routes can be mounted beside it.
 */
import { Agent, createServer, type IncomingMessage, request, type ServerResponse } from 'node:http';
import { pipeline } from 'node:stream';
import { choosePort } from './ports.ts';

const HOST = '127.0.0.1';
const PREFIX = '/rest/v1';
/** Between two hops only: they describe a connection, not the message. */
const HOP_BY_HOP = ['connection', 'keep-alive', 'te', 'trailer', 'upgrade', 'proxy-connection'];

/** Answers the request and says true, or says false to let the next one try. */
export type Route = (req: IncomingMessage, res: ServerResponse) => boolean | Promise<boolean>;

export interface GatewayOptions {
  postgrestUrl: string;
  port?: number;
  /** true: the port or an error. Otherwise another port is chosen when it is taken. */
  exactPort?: boolean;
  routes?: Route[];
}

export interface Gateway {
  url: string;
  port: number;
  stop(): Promise<void>;
}

export async function startGateway(options: GatewayOptions): Promise<Gateway> {
  const agent = new Agent({ keepAlive: true, maxSockets: 64 });
  const routes = [restRoute(options.postgrestUrl, agent), ...(options.routes ?? [])];
  const server = createServer(async (req, res) => {
    try {
      for (const route of routes) if (await route(req, res)) return;
      answer(res, 404, `Nothing is served at ${req.url}; the API is below ${PREFIX}/`);
    } catch (error) {
      answer(res, 500, (error as Error).message);
    }
  });
  const port = options.exactPort ? options.port : await choosePort(options.port, HOST);
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(port, HOST, resolve);
  }).catch((error) => {
    if (error.code !== 'EADDRINUSE') throw error;
    throw new Error(
      `Port ${port} is taken. Name another: npm start -- --port ${Number(port) + 10}`,
    );
  });
  const { port: chosen } = server.address() as { port: number };
  return {
    url: `http://${HOST}:${chosen}`,
    port: chosen,
    async stop() {
      const closed = new Promise((resolve) => server.close(resolve));
      server.closeAllConnections();
      agent.destroy();
      await closed;
    },
  };
}

export function answer(res: ServerResponse, status: number, message: string): void {
  if (res.headersSent) {
    res.destroy();
    return;
  }
  res.writeHead(status, { 'content-type': 'application/json; charset=utf-8' });
  res.end(`${JSON.stringify({ message })}\n`);
}

function restRoute(postgrestUrl: string, agent: Agent): Route {
  return (req, res) => {
    const path = req.url ?? '/';
    const rest = path.slice(PREFIX.length);
    if (!path.startsWith(PREFIX) || !/^($|[/?])/.test(rest)) return false;

    const headers = { ...req.headers };
    for (const name of HOP_BY_HOP) delete headers[name];
    // A key alone is enough to call: Supabase's gateway signs such a request in with it.
    if (!headers.authorization && headers.apikey)
      headers.authorization = `Bearer ${headers.apikey}`;

    const target = postgrestUrl + (rest.startsWith('/') ? rest : `/${rest}`);
    const upstream = request(target, { method: req.method, headers, agent });
    upstream.on('response', (reply) => {
      const replyHeaders = { ...reply.headers };
      for (const name of HOP_BY_HOP) delete replyHeaders[name];
      // The status text is PostgREST's error message; only the number is passed on.
      res.writeHead(reply.statusCode ?? 502, replyHeaders);
      pipeline(reply, res, () => {});
    });
    upstream.on('error', (error) =>
      answer(res, 502, `PostgREST does not answer: ${error.message}`),
    );
    res.on('close', () => upstream.destroy());
    pipeline(req, upstream, () => {});
    return true;
  };
}
